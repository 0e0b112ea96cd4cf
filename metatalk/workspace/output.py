"""Whether a result can be written where it is wanted, known before the work and not after."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from metatalk.errors import MediaError


def require_output(output: Path, sources: Iterable[Path]) -> None:
    """Check that a file can be written, and that it is none of those it is made from.

    Args:
        output: the file to be; its folder is made if need be.
        sources: files that it must not replace.

    Raises:
        MediaError: a folder in its place, a place that cannot be written, or one of the sources.
    """
    if output.is_dir():
        raise MediaError(f"{output} is a folder", "give -o the name of a file")
    if output.resolve() in {source.resolve() for source in sources}:
        raise MediaError(f"{output} is one of the files to work from", "give -o another name")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=output.parent):
            pass
    except OSError as error:
        raise MediaError(
            f"{output.parent} cannot be written: {error.strerror}", "give -o another place"
        ) from error
    if output.exists() and not os.access(output, os.W_OK):
        raise MediaError(f"{output} cannot be written", "give -o another name")
