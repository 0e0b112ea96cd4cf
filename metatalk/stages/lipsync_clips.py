"""Which clips a corpus is prepared from, and what is stated about them: split, terms."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from metatalk.errors import MissingAssetError
from metatalk.stages.terms import commercial_of
from metatalk.workspace.consent import NOT_ON_RECORD, consent_path, footage_entry
from metatalk.workspace.terms import Terms, find_terms

LOG = logging.getLogger(__name__)
VIDEO_SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *("mp4", "m4v", "mov", "mkv", "webm", "avi", "mpg", "mpeg", "mts", "m2ts", "ts", "mxf"),
        *("flv", "wmv", "3gp", "ogv"),
    )
)
SPLITS = ("train", "val", "test")
_LISTS = "filelists"
_LISTED_FOLDER = "main"  # the part of LRS2 that the lists name without its folder


@dataclass(frozen=True)
class Clip:
    """A clip to be prepared."""

    path: Path
    name: str  # from the folder that was named on
    split: str | None = None
    root: Path | None = None  # the folder that was named; None: the clip itself was


def find_clips(sources: Sequence[Path]) -> list[Clip]:
    """Find the clips in folders and among files.

    Args:
        sources: folders, looked through to any depth, and clips; a file that is named is taken
            for a clip whatever its name. `filelists/train.txt`, `val.txt` and `test.txt` in a
            folder, or beside it, say which clip is in which split, a line each as in LRS2.

    Returns:
        The clips, each once, in the order of their names.

    Raises:
        MissingAssetError: one of the sources is not there, or there is no clip in any.
    """
    found: dict[Path, Clip] = {}
    for source in sources:
        if not source.exists():
            raise MissingAssetError(f"{source}: no such file or folder", "check the path")
        for clip in _clips_of(source):
            found.setdefault(clip.path.resolve(), clip)
    if not found:
        named = ", ".join(str(source) for source in sources)
        raise MissingAssetError(
            f"{named}: no clip in it",
            "name a folder of videos; their names end in " + ", ".join(sorted(VIDEO_SUFFIXES)),
        )
    return sorted(found.values(), key=lambda clip: clip.name)


def stated_terms(clip: Clip, digest: str, given: str | None) -> Terms:
    """Say under which terms a clip may be used.

    What lies nearest to the clip comes first: its consent, a statement beside it, those of the
    folders up to the one that was named, what was given with the command. Where that does not
    answer whether commercial use is allowed, the next that does counts.

    Args:
        clip: the clip.
        digest: of its content.
        given: terms of all clips; None: none are.

    Raises:
        ConsentError: the consent beside it has ended, has not begun, covers another clip or
            cannot be read.
        TermsError: a statement cannot be understood.
    """
    found = [*_consented(clip.path, digest), *_stated_around(clip)]
    if given is not None:
        found.append(Terms(given, commercial_of(given)))
    answered = [terms for terms in found if terms.commercial != "unknown"]
    return next(iter((*answered, *found)), Terms(NOT_ON_RECORD))


def _consented(path: Path, digest: str) -> list[Terms]:
    if not consent_path(path).is_file():
        return []
    entry = footage_entry(path, digest, None, date.today())
    return [Terms(entry.terms, entry.commercial)]


def _stated_around(clip: Clip) -> list[Terms]:
    """Beside the clip, and in its folders up to the one that was named; nearest first."""
    places = [clip.path]
    if clip.root is not None:
        above = clip.path.relative_to(clip.root).parents
        places += [clip.root / folder for folder in above]
    return [terms for place in places if (terms := find_terms(place))]


def _clips_of(source: Path) -> Iterator[Clip]:
    if not source.is_dir():
        yield Clip(source, source.name)
        return
    root, splits = source.resolve(), _read_splits(source.resolve())
    for folder, _, files in os.walk(source):
        for file in files:
            path = Path(folder, file)
            if path.suffix.lower() not in VIDEO_SUFFIXES or file.startswith("."):
                continue
            inside = path.relative_to(source)
            yield Clip(path, f"{root.name}/{inside.as_posix()}", _split_of(inside, splits), source)


def _read_splits(folder: Path) -> dict[str, str]:
    """The split of each listed clip, by its path without the ending."""
    splits: dict[str, str] = {}
    lists = next((f / _LISTS for f in (folder, folder.parent) if (f / _LISTS).is_dir()), None)
    for split in SPLITS if lists else ():
        path = Path(str(lists), f"{split}.txt")
        if not path.is_file():
            LOG.warning("%s: no such list; clips are without the split %s", path, split)
            continue
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        splits.update((line.split()[0], split) for line in lines if line.strip())
    return splits


def _split_of(inside: Path, splits: dict[str, str]) -> str | None:
    path = inside.with_suffix("")
    listed = path.relative_to(_LISTED_FOLDER) if path.parts[0] == _LISTED_FOLDER else path
    return splits.get(path.as_posix(), splits.get(listed.as_posix()))
