"""Whether a result can be written where it is wanted, known before the work and not after."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from metatalk.errors import MediaError

ACTOR_FILES = ("config.json", "ledger.json", "footage.json", ".lock")
RESULT_MARK = "synthetic"  # what the comment in a result begins with
TARGETS = "targets"  # artefacts of other clips, a folder each


def require_output(output: Path, sources: Iterable[Path], option: str = "-o") -> None:
    """Check that a file can be written, and that it is none of those it is made from.

    Args:
        output: the file to be; its folder is made if need be.
        sources: files that it must not replace.
        option: what names it on a command line.

    Raises:
        MediaError: a folder in its place, a place that cannot be written, or one of the sources.
    """
    if output.is_dir():
        raise MediaError(f"{output} is a folder", f"give {option} the name of a file")
    require_no_source([output], sources, option)
    _require_place(output.parent, option)
    if output.exists() and not os.access(output, os.W_OK):
        raise MediaError(f"{output} cannot be written", f"give {option} another name")


def require_output_folder(folder: Path, sources: Iterable[Path], option: str = "-o") -> None:
    """Check that a folder can be filled with pictures.

    Args:
        folder: the folder to be; it is made if need be.
        sources: files that are read.
        option: what names it on a command line.

    Raises:
        MediaError: a file in its place, a place that cannot be written, or a folder with one of
            the sources, or with somebody's own pictures by the names that are to be written.
    """
    if folder.exists() and not folder.is_dir():
        raise MediaError(f"{folder} is a file", f"give {option} the name of a folder")
    if folder.is_dir() and not _is_ours(folder) and (there := _numbered(folder)) is not None:
        raise MediaError(
            f"{folder} holds pictures that metatalk did not write, such as {there.name}",
            f"give {option} another folder",
        )
    if any(source.resolve().parent == folder.resolve() for source in sources):
        raise MediaError(f"{folder} holds files to work from", f"give {option} another folder")
    _require_place(folder if folder.is_dir() else folder.parent, option)


def _is_ours(folder: Path) -> bool:
    """Whether the sheet of a folder's sequence says that it is a result."""
    try:
        sheet = json.loads((folder / f"{folder.resolve().name}.json").read_text(encoding="utf-8"))
        return str(sheet["comment"]).startswith(RESULT_MARK)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _numbered(folder: Path) -> Path | None:
    """A picture that a sequence of the folder's name would replace."""
    numbered = re.compile(re.escape(folder.resolve().name) + r"\.\d{6,}\.\w+")
    return next((path for path in folder.iterdir() if numbered.fullmatch(path.name)), None)


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """A file to write, which takes its name when the block ends well, and is gone else.

    Args:
        path: the file to be.

    Returns:
        Context with a hidden file beside it, of the same ending.
    """
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def require_no_source(outputs: Iterable[Path], sources: Iterable[Path], option: str = "-o") -> None:
    """Check that nothing would be written over what it is made from.

    Args:
        outputs: what is to be written.
        sources: what is read.
        option: what names the outputs on a command line.

    Raises:
        MediaError: it would.
    """
    known = {source.resolve() for source in sources}
    for output in outputs:
        if output.resolve() in known:
            raise MediaError(
                f"{output} is one of the files to work from", f"give {option} another name"
            )


def _require_place(folder: Path, option: str) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise MediaError(
            f"{folder} cannot be written: {error.strerror}", f"give {option} another place"
        ) from error


def require_apart(output: Path, stages: Collection[str], roots: Iterable[Path] = ()) -> None:
    """Check that a result is no part of an actor; beside the artefacts, as in report/, it may be.

    Args:
        output: the file or folder to be.
        stages: names of the stages, whose folders are the artefacts.
        roots: actor folders; others around the output are told by their artefacts.

    Raises:
        MediaError: it is an actor folder, a file that the actor needs, or inside an artefact.
    """
    place, known = output.resolve(), {root.resolve() for root in roots}
    artefacts = {f"{stage}{end}" for stage in stages for end in ("", ".partial", ".old")}
    for root in (place, *place.parents):
        if root not in known and not _is_actor(root, stages):
            continue
        inside = place.relative_to(root).parts
        if inside[:1] in ((), *((name,) for name in (*artefacts, TARGETS, *ACTOR_FILES))):
            raise MediaError(
                f"{output} is a part of an actor", "give -o another name, outside the actor"
            )


def _is_actor(folder: Path, stages: Iterable[str]) -> bool:
    return any((folder / stage / "manifest.json").is_file() for stage in stages)


def named_path(output: Path) -> Path:
    """A path that ends in a name, which others can be made from, for one such as `.` or `..`.

    Raises:
        MediaError: it is the root of a disk.
    """
    named = output if output.name not in ("", "..") else output.resolve()
    if not named.name:
        raise MediaError(f"{output} is the root of a disk", "give -o the name of a file or folder")
    return named
