"""Where face models that were built or imported are kept."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np

from metatalk.morphable.model import MorphableModel, save_model
from metatalk.workspace.cache import cache_folder, writing_in

_SIZED = ("mean", "identity_basis", "expression_basis", "texture_basis")


def model_folder() -> Path:
    """The part of the cache that holds face models ready to use."""
    return cache_folder() / "face_models"


def keep_model(path: Path, model: MorphableModel) -> None:
    """Write a face model into the cache, whole or not at all.

    Raises:
        MissingAssetError: the folder cannot be written.
    """
    with writing_in(path.parent):
        partial = path.with_suffix(f".{os.getpid()}.npz")  # several processes may build at once
        try:
            save_model(partial, model)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


def stored_sizes(path: Path) -> tuple[int, int, int, int] | None:
    """Sizes of a face model in the cache, read without reading the model.

    Args:
        path: what `save_model` wrote.

    Returns:
        Vertices, identity, expression and texture modes; None where there is no such file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            counts = [_first_axis(archive, name) for name in _SIZED]
    except (OSError, zipfile.BadZipFile, KeyError, ValueError):
        return None
    return counts[0], counts[1], counts[2], counts[3]


def _first_axis(archive: zipfile.ZipFile, name: str) -> int:
    with archive.open(f"{name}.npy") as member:
        version = np.lib.format.read_magic(member)
        read = {(1, 0): np.lib.format.read_array_header_1_0}.get(
            version, np.lib.format.read_array_header_2_0
        )
        return int(read(member)[0][0])
