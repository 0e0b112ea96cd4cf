"""Content digests of files and folders."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from metatalk.errors import MissingAssetError

CHUNK_BYTES = 8 << 20
DIGEST_BYTES = 20
_SETTLED_NS = 2_000_000_000  # clocks of file systems are this coarse: a file so new may yet change
NOT_CONTENT = frozenset({"manifest.json", "cause.json"})


def digest_file(path: Path) -> str:
    """Digest one file's content, chunks side by side on all cores.

    A process that asks again is told what it was told before, as long as the file's identity, size
    and times are the same: one drive asks for its clip's digest in many places. What was written
    within the last two seconds is read again, for its times may not tell two writings apart.

    Args:
        path: an existing file of any size; memory stays at a few chunks of 8 MiB.

    Returns:
        Hexadecimal BLAKE2b digest of the chunks' digests; the same for the same bytes.

    Raises:
        MissingAssetError: there is no such file, or it cannot be read.
    """
    try:
        with path.open("rb") as file:
            asked_ns, before = time.time_ns(), _stamp(os.fstat(file.fileno()))
            name = os.path.realpath(path)
            known = _KNOWN.get(name)
            if known is not None and known[0] == before:
                return known[1]
            digest = _digest_descriptor(file.fileno(), before.size)
            is_settled = max(before.written_ns, before.changed_ns) + _SETTLED_NS < asked_ns
            if is_settled and _stamp(os.fstat(file.fileno())) == before:
                _KNOWN[name] = before, digest
            return digest
    except OSError as error:
        raise MissingAssetError(
            f"{path}: cannot be read ({error.strerror})", "check the path and its permissions"
        ) from error


class _Stamp(NamedTuple):
    """What tells a file from another, and from itself when it has been written to."""

    device: int
    inode: int
    size: int
    written_ns: int
    changed_ns: int  # also by what sets the time of writing back


def _stamp(status: os.stat_result) -> _Stamp:
    return _Stamp(
        status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
    )


_KNOWN: dict[str, tuple[_Stamp, str]] = {}  # by resolved path


def digest_path(path: Path) -> str:
    """Digest a file, a finished artefact or any other folder.

    Args:
        path: a file; a folder with a `manifest.json`, whose recorded digest is taken on trust;
            or a plain folder, whose files are read.

    Returns:
        Hexadecimal digest of the content; names inside a folder count, its own name does not.

    Raises:
        MissingAssetError: there is nothing at `path`, or it cannot be read.
    """
    if not path.is_dir():
        return digest_file(path)
    manifest = path / "manifest.json"
    if manifest.is_file():
        return str(json.loads(manifest.read_text(encoding="utf-8"))["outputs"])
    return digest_folder(path)


def digest_folder(folder: Path) -> str:
    """Digest every file below a folder, with its name, manifests aside.

    Args:
        folder: an existing folder.

    Returns:
        Hexadecimal digest; an empty folder has one too.
    """
    files = sorted(file for file in folder.rglob("*") if _is_content(folder, file))
    return _combine(
        part.encode()
        for file in files
        for part in (file.relative_to(folder).as_posix(), digest_file(file))
    )


def _is_content(folder: Path, file: Path) -> bool:
    top_level = file.parent == folder
    return file.is_file() and not (top_level and file.name in NOT_CONTENT)


def _digest_descriptor(descriptor: int, size: int) -> str:
    def digest_chunk(start: int) -> bytes:
        chunk = os.pread(descriptor, CHUNK_BYTES, start)
        return blake2b(chunk, digest_size=DIGEST_BYTES).digest()

    starts = range(0, max(size, 1), CHUNK_BYTES)
    if len(starts) == 1:
        return _combine([digest_chunk(0)])
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return _combine(pool.map(digest_chunk, starts))


def _combine(parts: Iterable[bytes]) -> str:
    whole = blake2b(digest_size=DIGEST_BYTES)
    for part in parts:
        whole.update(len(part).to_bytes(8, "little"))
        whole.update(part)
    return whole.hexdigest()
