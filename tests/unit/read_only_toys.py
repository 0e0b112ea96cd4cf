"""A folder that cannot be written, on machines where modes bind nobody."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def refuse_writing(
    monkeypatch: pytest.MonkeyPatch, folder: Path, number: int = errno.EROFS
) -> None:
    """Let nothing below a folder be opened for writing, as if it lay on a share mounted so.

    Args:
        monkeypatch: undoes it.
        folder: the share.
        number: how the disk refuses.
    """
    plain = os.open

    def refusing(path: Any, flags: int, *rest: Any, **more: Any) -> int:
        inside = Path(os.path.realpath(os.fspath(path))).is_relative_to(folder.resolve())
        if flags & _WRITES and inside:
            raise OSError(number, os.strerror(number), str(path))
        return plain(path, flags, *rest, **more)

    monkeypatch.setattr(os, "open", refusing)
