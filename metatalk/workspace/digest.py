"""Content digests of files and folders."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from pathlib import Path

from metatalk.errors import MissingAssetError

CHUNK_BYTES = 8 << 20
DIGEST_BYTES = 20
NOT_CONTENT = frozenset({"manifest.json", "cause.json"})


def digest_file(path: Path) -> str:
    """Digest one file's content, chunks side by side on all cores.

    Args:
        path: an existing file of any size; memory stays at a few chunks of 8 MiB.

    Returns:
        Hexadecimal BLAKE2b digest of the chunks' digests; the same for the same bytes.

    Raises:
        MissingAssetError: there is no such file, or it cannot be read.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            return _digest_descriptor(file.fileno(), size)
    except OSError as error:
        raise MissingAssetError(
            f"{path}: cannot be read ({error.strerror})", "check the path and its permissions"
        ) from error


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
