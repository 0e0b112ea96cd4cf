"""The prepared corpus: faces and sound cut out of talking clips, as training reads them.

    corpus.json             its layout and settings, and every clip with its tracks or its fault
    tracks/NAME/faces.npy   (T, 128, 128, 3) uint8 RGB at exactly 25 frames a second
    tracks/NAME/sound.wav   16 kHz mono 16 bit from the first frame on, 0.2 s beyond the last
    tracks/NAME/mel.npy     (80, M) float32, its mel
    tracks/NAME/track.json  where it was cut from

While clips are being prepared, `sources.jsonl` says what `corpus.json` does not say yet.
"""

from __future__ import annotations

import errno
import functools
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from metatalk.errors import MetatalkError, MissingAssetError, StaleArtefactError
from metatalk.lipsync.tracks import Track
from metatalk.workspace.ledger import ANSWERS, Commercial
from metatalk.workspace.manifest import write_json

FORMAT = 1
INDEX, NEWS, TRACKS = "corpus.json", "sources.jsonl", "tracks"
_MAPPED = 1024  # files held open at a time: a process may map some 65,000


@dataclass(frozen=True)
class Source:
    """A clip and what came of it."""

    name: str
    digest: str  # of its content
    path: str = ""  # where it lay
    terms: str = ""  # under which it may be used
    commercial: Commercial | None = None  # whether they allow commercial use; None: never asked
    split: str | None = None
    tracks: tuple[str, ...] = ()  # names of the folders below tracks/
    frames: int = 0  # of all tracks, at 25 a second
    seconds: float = 0.0  # of the clip
    error: str | None = None  # why nothing was cut from it
    again: bool = False  # the reason may not hold another time
    notes: tuple[str, ...] = ()  # what its user may want to know

    @property
    def key(self) -> str:
        """What tells it from others: its content, or its place where that cannot be read."""
        return self.digest or self.path


class StoredTrack(Track):
    """A track whose arrays stay on disk; each look at them maps the file or finds it mapped."""

    def __init__(self, folder: Path, source: Source) -> None:
        for name, value in {
            "name": folder.name,
            "source": source.name,
            "split": source.split,
            "digest": source.digest,
            "folder": folder,
        }.items():
            object.__setattr__(self, name, value)

    folder: Path

    @property
    def faces(self) -> np.ndarray:
        """(T, 128, 128, 3) uint8 RGB, read only."""
        return _map_array(self.folder / "faces.npy")

    @property
    def mel(self) -> np.ndarray:
        """(80, M) float32, read only."""
        return _map_array(self.folder / "mel.npy")


def open_corpus(folder: Path) -> list[Track]:
    """Open a prepared corpus; nothing is read before it is looked at.

    Args:
        folder: as `metatalk lipsync prepare` wrote it; it may still be growing.

    Returns:
        Its tracks, sorted by name. They can be sent to other processes at no cost.

    Raises:
        MissingAssetError: no such folder, no corpus, no track in it, or one of them is gone.
        StaleArtefactError: the corpus is of another layout, or damaged.
    """
    tracks: list[Track] = [
        StoredTrack(folder / TRACKS / name, source)
        for source in read_sources(folder).values()
        for name in source.tracks
    ]
    for track in tracks:
        if not (folder / TRACKS / track.name / "faces.npy").is_file():
            raise MissingAssetError(
                f"{folder}: the track {track.name} of {track.source} is gone",
                "prepare the clips again into the same folder: what is missing is made anew",
            )
    if not tracks:
        raise MissingAssetError(
            f"{folder}: the corpus holds no track", "prepare clips in which somebody speaks"
        )
    return sorted(tracks, key=lambda track: track.name)


def read_sources(folder: Path) -> dict[str, Source]:
    """Read what became of each clip, the latest news included.

    Args:
        folder: a prepared corpus.

    Returns:
        The clips by their key, in the order in which they were prepared.

    Raises:
        MissingAssetError: no such folder, or no corpus.
        StaleArtefactError: the corpus is of another layout, or damaged.
    """
    index = read_index(folder)
    if index is None:
        what = "is no prepared corpus" if folder.is_dir() else "no such folder"
        raise MissingAssetError(
            f"{folder}: {what}", f"make one: metatalk lipsync prepare CLIPS --output {folder}"
        )
    try:
        listed = [_as_source(entry) for entry in index["sources"]]
    except (KeyError, TypeError, AttributeError) as error:
        raise _damaged(folder) from error
    return {source.key: source for source in (*listed, *_read_news(folder))}


def read_index(folder: Path) -> dict[str, Any] | None:
    """Read `corpus.json`.

    Args:
        folder: a prepared corpus, or another folder.

    Returns:
        Its content; None where there is none.

    Raises:
        StaleArtefactError: it is of another layout, or damaged.
    """
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:
        raise _damaged(folder) from error
    if not isinstance(index, dict) or not isinstance(index.get("format"), int):
        raise _damaged(folder)
    if index["format"] != FORMAT:
        raise StaleArtefactError(
            f"{folder}: a corpus of layout {index['format']}, this version reads layout {FORMAT}",
            "prepare the clips anew, into another folder",
        )
    return index


def write_index(folder: Path, settings: Mapping[str, Any], sources: Mapping[str, Source]) -> None:
    """Write `corpus.json`, and forget the news that it now holds.

    Args:
        folder: of the corpus.
        settings: of the preparation, plain values.
        sources: all clips by their key.
    """
    listed = [_plain(source) for source in sources.values()]
    write_json(folder / INDEX, {"format": FORMAT, **settings, "sources": listed})
    (folder / NEWS).unlink(missing_ok=True)


def add_news(folder: Path, source: Source) -> None:
    """Note what became of a clip; costs the same however many clips there are.

    Args:
        folder: of the corpus.
        source: the clip.
    """
    with (folder / NEWS).open("a", encoding="utf-8") as file:
        file.write(json.dumps(_plain(source)) + "\n")


def is_whole(folder: Path, source: Source) -> bool:
    """Whether every track of a clip is still there."""
    return all((folder / TRACKS / name / "track.json").is_file() for name in source.tracks)


DISK_REMEDIES = {
    errno.EACCES: "give yourself the right to write there, or name another --output",
    errno.EPERM: "give yourself the right to write there, or name another --output",
    errno.EROFS: "the disk is read-only: name an --output on another one",
    errno.ENOSPC: "the disk is full: free some space and run again, finished clips are kept",
    errno.EDQUOT: "your quota is used up: free some space and run again, finished clips are kept",
}


@contextmanager
def disk_errors_explained(folder: Path) -> Iterator[None]:
    """Say what to do about a disk that refuses a corpus.

    Args:
        folder: of the corpus.

    Raises:
        MetatalkError: the disk is full, read-only or somebody else's.
    """
    try:
        yield
    except OSError as error:
        remedy = DISK_REMEDIES.get(error.errno or 0)
        if remedy is None:
            raise
        raise MetatalkError(f"{error.filename or folder}: {error.strerror}", remedy) from error


def _read_news(folder: Path) -> list[Source]:
    try:
        lines = (folder / NEWS).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    sources = []
    for line in lines:
        try:
            sources.append(_as_source(json.loads(line)))
        except (ValueError, TypeError, AttributeError):  # a line that was cut off
            continue
    return sources


def _plain(source: Source) -> dict[str, Any]:
    return {name: value for name, value in asdict(source).items() if value or name == "tracks"}


def _as_source(entry: Mapping[str, Any]) -> Source:
    known = {field.name for field in fields(Source)}
    values = {name: value for name, value in entry.items() if name in known}
    for name in ("tracks", "notes"):
        values[name] = tuple(values.get(name, ()))
    if values.get("commercial") not in (None, *ANSWERS):  # what is not understood is no leave
        values["commercial"] = "unknown"
    return Source(**values)


def _damaged(folder: Path) -> StaleArtefactError:
    return StaleArtefactError(
        f"{folder / INDEX}: damaged", "prepare the clips anew, into another folder"
    )


@functools.lru_cache(maxsize=_MAPPED)
def _map_array(path: Path) -> np.ndarray:
    mapped: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    return mapped
