"""Where what can be made again is kept for a user."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from metatalk.errors import MissingAssetError


def cache_folder() -> Path:
    """Where metatalk keeps what it can make again: $METATALK_CACHE, else the user's cache.

    Raises:
        MissingAssetError: the user has no home, and no other place is named.
    """
    own = os.environ.get("METATALK_CACHE")
    if own:
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    if base:
        return Path(base) / "metatalk"
    try:
        return Path.home() / ".cache" / "metatalk"
    except RuntimeError as error:
        raise MissingAssetError(
            "there is no home folder to keep a cache in",
            "set METATALK_CACHE to a folder that can be written",
        ) from error


@contextmanager
def writing_in(folder: Path) -> Iterator[None]:
    """Make a folder of the cache, and say what to do where it cannot be written.

    Raises:
        MissingAssetError: it cannot be.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise MissingAssetError(
            f"the cache folder {folder} cannot be written: {error.strerror}",
            "set METATALK_CACHE to a folder that can be written",
        ) from error
