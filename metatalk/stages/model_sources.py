"""Which face models there are besides the default one, and where their files are looked for."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path

import metatalk
from metatalk.errors import MissingAssetError
from metatalk.morphable import basel_2009, basel_h5, ict
from metatalk.morphable.model import MorphableModel
from metatalk.workspace.digest import digest_file

MODELS_VARIABLE = "METATALK_MODELS"
THIRD_PARTY = Path(metatalk.__file__).parents[1] / "third_party"
DEFAULT = "anny"
HOW_TO_BRING = (
    f"put {{files}} into third_party/bfm/ or ${MODELS_VARIABLE}, or run "
    "`metatalk face-model import PATH`; it comes from: {origin}"
)


_HDF5 = b"\x89HDF\r\n\x1a\n"
_BEGINNINGS = {".h5": (_HDF5,), ".mat": (b"MATLAB", _HDF5), ".npz": (b"PK",)}


@dataclass(frozen=True)
class Source:
    """A family of files that a face model is read from."""

    name: str  # as `fit.face_model` names it
    terms: str
    files: str  # in words: what the user brings
    origin: str  # where that comes from
    sizes: str  # in words: what it has
    centred: bool  # whether its reader knows the point between the eyes
    find: Callable[[Path], Path | None]  # in a folder: what `read` is given
    parts: Callable[[Path], list[Path]]  # the files that decide its content
    read: Callable[[Path], MorphableModel]


@dataclass(frozen=True)
class FoundSource:
    """Files of a face model on this machine."""

    source: Source
    path: Path

    @property
    def digest(self) -> str:
        """Hexadecimal digest of all its files."""
        stamps = [(file, file.stat().st_size, file.stat().st_mtime_ns) for file in self.files]
        return _digest_files(tuple(stamps))

    @property
    def files(self) -> list[Path]:
        """What it is read from."""
        return self.source.parts(self.path)

    @property
    def problem(self) -> str:
        """Why it cannot be read, as far as the first bytes of its files tell; else empty."""
        try:
            foreign = [file.name for file in self.files if not _begins_well(file)]
        except MissingAssetError as error:
            return error.problem
        except OSError as error:
            return str(error)
        return f"{self.path}: {', '.join(foreign)} is not of that format" if foreign else ""

    def read(self) -> MorphableModel:
        """Read it, see the readers in `metatalk.morphable`."""
        return self.source.read(self.path)


def source_names() -> tuple[str, ...]:
    """Names of all sources but the default one."""
    return tuple(SOURCES)


def search_folders() -> tuple[Path, ...]:
    """Where files of face models are looked for, the first before the second."""
    own = os.environ.get(MODELS_VARIABLE)
    return (*([Path(own)] if own else []), THIRD_PARTY / "bfm", THIRD_PARTY)


def find_source(name: str) -> FoundSource | None:
    """Look for the files of a face model.

    Args:
        name: one of `source_names`.

    Returns:
        The first that is found in `search_folders`.
    """
    source = SOURCES[name]
    for folder in search_folders():
        path = source.find(folder)
        if path is not None:
            return FoundSource(source, path)
    return None


def recognise(path: Path, name: str | None = None) -> FoundSource:
    """Tell which face model a file or folder holds.

    Args:
        path: a model's file, or a folder of its files.
        name: which one it is, where file names do not tell or there are several.

    Returns:
        The source and what it is read from.

    Raises:
        MissingAssetError: nothing there, nothing known there, files missing, or several models.
    """
    if not path.exists():
        raise MissingAssetError(f"{path}: no such file or folder", "check the path")
    folder = path if path.is_dir() else path.parent
    found = [FoundSource(s, hit) for s in SOURCES.values() if (hit := s.find(folder)) is not None]
    if path.is_file():
        found = [hit for hit in found if path in hit.files or hit.path == path]
    named = [hit for hit in found if hit.source.name == name]
    if named or len(found) == 1:
        return (named or found)[0]
    if len(found) > 1:
        names = ", ".join(hit.source.name for hit in found)
        raise MissingAssetError(
            f"{path} holds several face models: {names}", "give the file, or --name"
        )
    if path.is_file() and name in SOURCES and path.suffix in (".h5", ".mat"):
        return FoundSource(SOURCES[name], path)  # under a name that is not its authors'
    raise _nothing_found(path, folder)


def how_to_bring() -> list[str]:
    """Lines for a person: where face models are looked for, under which names, how one comes in."""
    places = ", ".join(str(folder) for folder in search_folders())
    return [
        f"looked for in {places} (${MODELS_VARIABLE} names a folder of your own):",
        *(f"  {source.name}: {source.files}" for source in SOURCES.values()),
        "or bring one in from anywhere: metatalk face-model import PATH",
    ]


def missing_source(name: str) -> MissingAssetError:
    """The error for a known face model whose files are nowhere."""
    source = SOURCES[name]
    remedy = HOW_TO_BRING.format(files=source.files, origin=source.origin)
    return MissingAssetError(f"the files of the face model {name} are not found", remedy)


def _nothing_found(path: Path, folder: Path) -> MissingAssetError:
    if path.is_file() and path.name not in basel_2009.PARTS and path.suffix in (".h5", ".mat"):
        named = (*basel_h5.FILES.values(), basel_2009.READY_MADE)
        theirs = ", ".join(file for file in named if file.endswith(path.suffix))
        return MissingAssetError(
            f"{path}: the file's name does not tell which face model it is",
            f"rename it to what its authors call it ({theirs}), "
            f"or give --name, one of {', '.join(SOURCES)}",
        )
    missing = basel_2009.missing_files(folder)
    if 0 < len(missing) < len(basel_2009.PARTS):  # some of its files are there
        return MissingAssetError(
            f"{folder} lacks {', '.join(missing)}",
            "; ".join(f"{name}: {basel_2009.FROM[name]}" for name in missing),
        )
    known = "; ".join(f"{source.name}: {source.files}" for source in SOURCES.values())
    return MissingAssetError(f"{path} holds no face model", f"known are {known}")


@lru_cache(maxsize=32)
def _digest_files(stamps: tuple[tuple[Path, int, int], ...]) -> str:
    """Digest of files by name and content; their sizes and times are there for the cache."""
    whole = blake2b(digest_size=20)
    for path, _, _ in stamps:
        whole.update(f"{path.name} {digest_file(path)}\n".encode())
    return whole.hexdigest()


def _begins_well(file: Path) -> bool:
    """Whether a file begins as its ending says; a page saved in its place does not."""
    beginnings = _BEGINNINGS.get(file.suffix.lower())
    if beginnings is None:
        return True
    with file.open("rb") as opened:
        return opened.read(16).startswith(beginnings)


def _find_2009(folder: Path) -> Path | None:
    return folder if folder.is_dir() and not basel_2009.missing_files(folder) else None


def _parts_2009(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    ready = path / basel_2009.READY_MADE
    return [ready] if ready.is_file() else [path / name for name in basel_2009.PARTS]


def _find_ict(folder: Path) -> Path | None:
    for place in (folder, folder / "ICT-FaceKit"):
        if any((inner / ict.NEUTRAL).is_file() for inner in (place, place / ict.FOLDER)):
            return ict.find_model_folder(place)
    return None


def _parts_ict(path: Path) -> list[Path]:
    identities, expressions = ict.model_files(path)
    return [path / ict.NEUTRAL, path / ict.INDICES, *identities, *expressions]


def _basel_h5_source(name: str, file: str) -> Source:
    def find(folder: Path) -> Path | None:
        return folder / file if (folder / file).is_file() else None

    return Source(
        name=name,
        terms=basel_h5.TERMS.format(year=name[3:7]),
        files=file,
        origin=basel_h5.FROM,
        sizes="80/64/80 modes",
        centred=False,
        find=find,
        parts=lambda path: [path],
        read=lambda path: basel_h5.read_basel_h5(path, name),
    )


_BFM2009 = Source(
    name=basel_2009.SOURCE,
    terms=basel_2009.TERMS,
    files=f"{basel_2009.READY_MADE}, or {', '.join(basel_2009.PARTS)}",
    origin="the University of Basel after registration, and Deep3DFaceRecon's BFM folder",
    sizes="35,709 vertices, 80/64/80 modes",
    centred=True,
    find=_find_2009,
    parts=_parts_2009,
    read=basel_2009.read_bfm2009,
)
_ICT = Source(
    name=ict.SOURCE,
    terms=ict.TERMS,
    files=f"ICT-FaceKit with its folder {ict.FOLDER}",
    origin=ict.FROM,
    sizes="26,719 vertices, 100/53 modes",
    centred=True,
    find=_find_ict,
    parts=_parts_ict,
    read=ict.read_ict,
)
_BASEL_H5 = [_basel_h5_source(name, file) for name, file in basel_h5.FILES.items()]
SOURCES = {source.name: source for source in (_BFM2009, *_BASEL_H5, _ICT)}
