"""Prepare a corpus for lip-sync training: any folder of talking clips, faces and sound cut out.

A clip whose tracks are there is not touched again, so a run that was ended goes on where it was.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from metatalk.errors import (
    BusyActorError,
    ConfigError,
    MediaError,
    MetatalkError,
    MissingAssetError,
    StaleArtefactError,
)
from metatalk.lipsync.tracks import RATE
from metatalk.stages.lipsync_clips import Clip, find_clips
from metatalk.stages.lipsync_corpus import (
    INDEX,
    TRACKS,
    Source,
    add_news,
    disk_errors_explained,
    is_whole,
    read_index,
    read_sources,
    write_index,
)
from metatalk.stages.lipsync_pool import prepare_side_by_side
from metatalk.stages.lipsync_tracks import Preparation, remove_tracks, write_record
from metatalk.stages.stage import Progress, ProgressFactory
from metatalk.workspace.actor import ActorFolder
from metatalk.workspace.consent import NOT_ON_RECORD
from metatalk.workspace.digest import digest_file
from metatalk.workspace.manifest import Cause, explain_changes

LOG = logging.getLogger(__name__)
_SHOWN_FAULTS = 3


@dataclass(frozen=True)
class Outcome:
    """What became of the clips of one run."""

    sources: tuple[Source, ...]  # in the order of their names, copies left out
    kept: int  # of them, done by an earlier run
    copies: int  # clips with the content of another one
    frames: int  # looked at in this run
    seconds: float  # that it took

    @property
    def prepared(self) -> list[Source]:
        """The clips with tracks."""
        return [source for source in self.sources if source.tracks]

    @property
    def left_out(self) -> list[Source]:
        """The clips without."""
        return [source for source in self.sources if not source.tracks]

    def metrics(self) -> dict[str, Any]:
        """Plain figures."""
        frames = sum(source.frames for source in self.prepared)
        return {
            "clips": len(self.sources) + self.copies,
            "prepared": len(self.prepared),
            "left_out": {source.name: source.error for source in self.left_out},
            "copies": self.copies,
            "kept": self.kept,
            "tracks": sum(len(source.tracks) for source in self.prepared),
            "minutes": frames / RATE / 60,
            "seconds": self.seconds,
            "frames_a_second": self.frames / self.seconds if self.frames else 0.0,
        }


def prepare_corpus(
    clips: Sequence[Path],
    output: Path,
    preparation: Preparation,
    progress_factory: ProgressFactory,
    *,
    workers: int | None = None,
    terms: str | None = None,
) -> Outcome:
    """Prepare clips, a core each.

    Args:
        clips: folders of clips, and clips.
        output: the corpus; made, or gone on with.
        preparation: how.
        progress_factory: shows how far it is.
        workers: clips at a time; None: as many as there are cores.
        terms: under which the clips may be used; None: as on record.

    Returns:
        What became of each clip.

    Raises:
        MissingAssetError: no clip is there, or the detector is not.
        StaleArtefactError: the folder holds a corpus that was prepared otherwise.
        BusyActorError: another process is preparing into the folder.
        MediaError: not one of the clips could be prepared.
        MetatalkError: the folder is something else, or its disk is full or read-only.
    """
    if workers is not None and workers < 1:
        raise ConfigError(f"{workers} workers", "give 1 or more")
    began, found = time.monotonic(), find_clips(clips)
    _require_corpus_or_nothing(output)
    with disk_errors_explained(output), _locked(output):
        sources = _begin(output, preparation.settings())
        try:
            with progress_factory("clips") as progress:
                run = _Run(output, sources, terms, progress)
                run.prepare(found, preparation, workers or _cores())
        finally:
            write_index(output, preparation.settings(), sources)
    mine = tuple(sources[key] for key in run.keys)
    outcome = Outcome(mine, run.kept, len(found) - len(mine), run.frames, time.monotonic() - began)
    if not outcome.prepared:
        raise _nothing(outcome.left_out)
    return outcome


class _Run:
    """One run's bookkeeping; `sources` is the whole corpus and is kept up to date."""

    def __init__(
        self, output: Path, sources: dict[str, Source], terms: str | None, progress: Progress
    ) -> None:
        self.output, self.sources, self.terms, self.progress = output, sources, terms, progress
        self.keys: list[str] = []  # of this run's clips
        self.kept = self.done = self.total = self.frames = 0

    def prepare(self, clips: Sequence[Clip], preparation: Preparation, workers: int) -> None:
        """Prepare those clips that no earlier run has."""
        self.total = len(clips)
        by_path = {source.path: source.key for source in self.sources.values()}
        todo = []
        for number, clip in enumerate(clips):
            self.progress(number, self.total, "looking for what is done")
            source = self._take(clip)
            todo += [source] if source else []
        for source in todo:
            self._forget_replaced(source, by_path)
        failed = [source for source in todo if source.error]
        waiting = [source for source in todo if not source.error]
        self.done = self.total - len(waiting)
        self._note(*failed)
        results = prepare_side_by_side(
            waiting, self.output, preparation, min(workers, max(len(waiting), 1)), self._show
        )
        for source in results:
            self.done += 1
            self._note(source)

    def _take(self, clip: Clip) -> Source | None:
        """What is to be done about a clip; None: nothing, for it or its copy is prepared."""
        source = _identify(clip, self.terms or NOT_ON_RECORD)
        if source.key in self.keys:
            LOG.warning("%s: the same content as another clip; taken once", clip.name)
            return None
        self.keys.append(source.key)
        before = self.sources.get(source.key)
        if before is None or before.again or not is_whole(self.output, before):
            return source
        self.kept += 1
        terms = before.terms if self.terms is None else self.terms
        now = replace(before, name=clip.name, path=source.path, terms=terms, split=clip.split)
        if now != before:
            self._note(now)
            _rewrite_records(self.output, now)
        return None

    def _forget_replaced(self, source: Source, by_path: Mapping[str, str]) -> None:
        """Drop the tracks of a clip that had other content when it was last prepared."""
        key = by_path.get(source.path, source.key)
        if key != source.key and key not in self.keys and key in self.sources:
            LOG.warning("%s: has changed; its tracks are made anew", source.name)
            remove_tracks(self.output, self.sources.pop(key).digest)

    def _note(self, *sources: Source) -> None:
        for source in sources:
            self.sources[source.key] = source
            add_news(self.output, source)
            if source.error:
                LOG.info("%s left out: %s", source.name, source.error)
            for note in source.notes:
                LOG.info("%s: %s", source.name, note)
        self._show(self.frames)

    def _show(self, frames: int) -> None:
        self.frames = frames
        self.progress(self.done, self.total, f"{frames} frames")


def _begin(output: Path, settings: Mapping[str, Any]) -> dict[str, Source]:
    """Make the corpus, or read what is in it; settings must be those it was begun with."""
    index = read_index(output)
    if index is None:
        write_index(output, settings, {})
    (output / TRACKS).mkdir(exist_ok=True)
    for partial in (output / TRACKS).glob("*.partial"):
        shutil.rmtree(partial, ignore_errors=True)
    if index is None:
        return {}
    before = {name: index.get(name) for name in settings}
    changes = explain_changes(Cause("", 0, before, {}), Cause("", 0, settings, {}))
    if changes:
        raise StaleArtefactError(
            f"{output} was prepared otherwise: " + "; ".join(changes),
            "go back to those settings, or name another --output",
        )
    return read_sources(output)


def _identify(clip: Clip, terms: str) -> Source:
    path = str(clip.path.resolve())
    try:
        digest, error = digest_file(clip.path), None
    except MissingAssetError as fault:
        digest, error = "", fault.problem.removeprefix(f"{clip.path}: ")
    return Source(
        clip.name, digest, path=path, terms=terms, split=clip.split, error=error,
        again=bool(error),
    )  # fmt: skip


def _rewrite_records(output: Path, source: Source) -> None:
    for name in source.tracks:
        folder = output / TRACKS / name
        record = json.loads((folder / "track.json").read_text(encoding="utf-8"))
        own = {"source": source.name, "terms": source.terms, "split": source.split}
        write_record(folder, {**record, **own})


def _require_corpus_or_nothing(output: Path) -> None:
    if output.is_dir():
        others = [path.name for path in output.iterdir() if not path.name.startswith(".")]
        if others and INDEX not in others:
            raise MetatalkError(
                f"{output} holds something else ({min(others)})",
                "name an --output of its own: a new folder, or a prepared corpus",
            )
    elif output.exists():
        raise MetatalkError(f"{output} is a file", "give --output the name of a folder")


@contextmanager
def _locked(output: Path) -> Iterator[None]:
    try:
        with ActorFolder(output).lock():
            yield
    except BusyActorError as error:
        raise BusyActorError(
            error.problem, "wait until it ends, or name another --output"
        ) from error


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _nothing(left_out: Sequence[Source]) -> MediaError:
    faults = [f"{source.name}: {source.error}" for source in left_out[:_SHOWN_FAULTS]]
    more = len(left_out) - len(faults)
    return MediaError(
        f"not one of {len(left_out)} clips could be prepared: " + "; ".join(faults)
        + (f"; and {more} more" if more else ""),
        "give clips of one person each who is seen and heard speaking, a second or more at a "
        "stretch; corpus.json names each clip's fault",
    )  # fmt: skip
