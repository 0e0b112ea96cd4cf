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
    ConsentError,
    MediaError,
    MetatalkError,
    MissingAssetError,
    StaleArtefactError,
)
from metatalk.lipsync.tracks import RATE
from metatalk.stages.lipsync_clips import Clip, find_clips, stated_terms
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
from metatalk.stages.terms import landmark_model_entry, require_commercial, training_entry
from metatalk.workspace.actor import ActorFolder
from metatalk.workspace.consent import NOT_ON_RECORD
from metatalk.workspace.digest import digest_file
from metatalk.workspace.manifest import Cause, explain_changes
from metatalk.workspace.terms import FILE as STATEMENT
from metatalk.workspace.terms import find_terms

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
    commercial_safe: bool = False,
) -> Outcome:
    """Prepare clips, a core each.

    Args:
        clips: folders of clips, and clips.
        output: the corpus; made, or gone on with.
        preparation: how.
        progress_factory: shows how far it is.
        workers: clips at a time; None: as many as there are cores.
        terms: under which the clips may be used, where nothing that lies by them says so; None:
            as on record.
        commercial_safe: whether to refuse, before any work, clips that are not known to allow
            commercial use.

    Returns:
        What became of each clip.

    Raises:
        MissingAssetError: no clip is there, or the detector is not.
        StaleArtefactError: the folder holds a corpus that was prepared otherwise.
        BusyActorError: another process is preparing into the folder.
        MediaError: not one of the clips could be prepared.
        TermsError: a statement of terms cannot be understood, or a clip is refused.
        MetatalkError: the folder is something else, or its disk is full or read-only.
    """
    if workers is not None and workers < 1:
        raise ConfigError(f"{workers} workers", "give 1 or more")
    began, found = time.monotonic(), find_clips(clips)
    _require_corpus_or_nothing(output)
    with progress_factory("clips") as progress:
        named = _identify_all(found, terms, progress)
        if commercial_safe:
            _require_cleared(output, named, preparation.landmarks.detector)
        with disk_errors_explained(output), _locked(output):
            sources = _begin(output, preparation.settings())
            try:
                run = _Run(output, sources, progress)
                run.prepare(named, preparation, workers or _cores())
            finally:
                write_index(output, preparation.settings(), sources)
    mine = tuple(sources[key] for key in run.keys)
    outcome = Outcome(mine, run.kept, len(found) - len(mine), run.frames, time.monotonic() - began)
    if not outcome.prepared:
        raise _nothing(outcome.left_out)
    return outcome


class _Run:
    """One run's bookkeeping; `sources` is the whole corpus and is kept up to date."""

    def __init__(self, output: Path, sources: dict[str, Source], progress: Progress) -> None:
        self.output, self.sources, self.progress = output, sources, progress
        self.keys: list[str] = []  # of this run's clips
        self.kept = self.done = self.total = self.frames = 0

    def prepare(self, clips: Sequence[Source], preparation: Preparation, workers: int) -> None:
        """Prepare those clips that no earlier run has."""
        self.total = len(clips)
        by_path = {source.path: source.key for source in self.sources.values()}
        todo = [clip for clip in clips if self._take(clip)]
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

    def _take(self, source: Source) -> bool:
        """Whether a clip is still to be prepared: neither it nor its copy is."""
        if source.key in self.keys:
            LOG.warning("%s: the same content as another clip; taken once", source.name)
            return False
        self.keys.append(source.key)
        before = self.sources.get(source.key)
        if source.error:
            remove_tracks(self.output, source.digest)  # of when it was allowed
            return True
        if before is None or before.again or not is_whole(self.output, before):
            return True
        self.kept += 1
        said = _with_terms_of(before, source)
        now = replace(
            before, name=source.name, path=source.path, split=source.split, terms=said.terms,
            commercial=said.commercial,
        )  # fmt: skip
        if now != before:
            self._note(now)
            _rewrite_records(self.output, now)
        return False

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


def _identify_all(clips: Sequence[Clip], terms: str | None, progress: Progress) -> list[Source]:
    """What the clips are, before there is a trace of any work."""
    named = []
    for number, clip in enumerate(clips):
        progress(number, len(clips), "looking for what is done")
        named.append(_identify(clip, terms))
    return named


def _identify(clip: Clip, given: str | None) -> Source:
    path, digest = str(clip.path.resolve()), ""
    try:
        digest = digest_file(clip.path)
        stated = stated_terms(clip, digest, given)
    except (MissingAssetError, ConsentError) as fault:
        error = fault.problem.removeprefix(f"{clip.path}: ")
        return Source(clip.name, digest, path=path, split=clip.split, error=error, again=True)
    return Source(
        clip.name, digest, path=path, terms=stated.terms, commercial=stated.commercial,
        split=clip.split,
    )  # fmt: skip


def _with_terms_of(before: Source, now: Source) -> Source:
    """A clip of which nothing is said now, and of which something was when it was prepared."""
    if now.terms != NOT_ON_RECORD:
        return now
    return replace(now, terms=before.terms, commercial=before.commercial)


def _require_cleared(output: Path, named: Sequence[Source], detector: str) -> None:
    """Refuse what is not known to allow commercial use: the clips, and those with tracks already.

    What cannot be prepared is none of the corpus.
    """
    before = read_sources(output) if read_index(output) is not None else {}
    clips = [_with_terms_of(before.get(source.key, source), source) for source in named]
    known = {source.key for source in clips}
    clips += [source for key, source in before.items() if source.tracks and key not in known]
    stated = find_terms(output)
    entries = [training_entry(source, stated) for source in clips if not source.error]
    require_commercial([landmark_model_entry(detector), *entries])


def _rewrite_records(output: Path, source: Source) -> None:
    for name in source.tracks:
        folder = output / TRACKS / name
        record = json.loads((folder / "track.json").read_text(encoding="utf-8"))
        own = {"source": source.name, "terms": source.terms, "split": source.split}
        write_record(folder, {**record, **own})


def _require_corpus_or_nothing(output: Path) -> None:
    if output.is_dir():
        found = (path.name for path in output.iterdir() if not path.name.startswith("."))
        others = [name for name in found if name != STATEMENT]  # made before its corpus
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
