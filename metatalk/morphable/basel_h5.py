"""The Basel Face Models of 2017 and 2019, from their HDF5 files.

Millimetres, x to the person's left, y up, z towards the viewer.

Source: Gerig et al. 2018.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import torch

from metatalk.errors import MissingAssetError, ShapeError
from metatalk.morphable.model import MorphableModel
from metatalk.morphable.placement import (
    guess_eye_middle,
    mode_names,
    regions_from,
    to_model_frame,
    turn_outwards,
)
from metatalk.shapes import check_shape

TERMS = "Basel Face Model {year}: registered users, research only, no redistribution"
FILES = {  # source -> the name that its authors give the file
    "bfm2017": "model2017-1_bfm_nomouth.h5",
    "bfm2017-face12": "model2017-1_face12_nomouth.h5",
    "bfm2019": "model2019_bfm.h5",
    "bfm2019-face12": "model2019_face12.h5",
    "bfm2019-fullhead": "model2019_fullHead.h5",
}
FROM = "the University of Basel, after registration"
IDENTITY_MODES, EXPRESSION_MODES, TEXTURE_MODES = 80, 64, 80
BRIGHTEST_SHARE = 2.0  # a mean colour above this counts from 0 to 255, below it from 0 to 1


@dataclass(frozen=True, eq=False)
class _Modes:
    """One of the three statistical models in a file, in its own unit."""

    mean: np.ndarray  # (V, 3)
    basis: np.ndarray  # (N, V, 3) per standard deviation


def read_basel_h5(path: Path, source: str) -> MorphableModel:
    """Read a Basel Face Model of 2017 or 2019, without landmarks and regions.

    The first 80 identity, 64 expression and 80 colour modes are taken, or as many as there are.
    The mean of the expressions is part of the resting face, as in the model's own sampler.

    Args:
        path: the HDF5 file.
        source: one of `FILES`.

    Returns:
        The model, all of the file's vertices in the file's order. Its origin is a guess at the
        point between the eyes, and its only region is "skin", which is everything.

    Raises:
        MissingAssetError: no such file, or not one of HDF5.
        ShapeError: a group is missing, or its arrays do not fit together.
    """
    try:
        with h5py.File(path, "r") as file:
            shape = _read_modes(file, "shape", IDENTITY_MODES)
            expression = _read_modes(file, "expression", EXPRESSION_MODES)
            colour = _read_modes(file, "color", TEXTURE_MODES)
            cells = _as_rows(_array(file, "shape/representer/cells"))
            points = _as_rows(_array(file, "shape/representer/points"))
    except FileNotFoundError as error:
        raise MissingAssetError(f"{path}: no such file", f"it comes from: {FROM}") from error
    except OSError as error:
        raise MissingAssetError(
            f"{path} cannot be read as HDF5: {error}", f"fetch it again; it comes from: {FROM}"
        ) from error
    vertices = check_shape("shape/representer/points", points, "V 3")["V"]
    for name, modes in (("shape", shape), ("expression", expression), ("color", colour)):
        check_shape(f"{name}/model/mean", modes.mean, "V 3", V=vertices)
    _require_corners(cells, vertices)
    resting = shape.mean.astype(np.float64) + expression.mean
    mean = to_model_frame(resting, 1.0)
    brightest = _full_scale(colour.mean)
    return MorphableModel(
        source=source,
        terms=TERMS.format(year=source[3:7]),
        mean=mean - guess_eye_middle(mean),
        identity_basis=to_model_frame(shape.basis, 1.0),
        expression_basis=to_model_frame(expression.basis, 1.0),
        texture_mean=torch.from_numpy(colour.mean.astype(np.float32) / brightest),
        texture_basis=torch.from_numpy(colour.basis / brightest),
        triangles=torch.from_numpy(turn_outwards(cells, resting)),
        expression_names=mode_names(len(expression.basis)),
        regions=regions_from(vertices, skin=np.ones(vertices, bool)),
    )


def _read_modes(file: h5py.File, name: str, most: int) -> _Modes:
    """Read the first modes; a basis' columns are unit directions, its variances squared spreads."""
    mean = _array(file, f"{name}/model/mean").ravel()
    variances = _array(file, f"{name}/model/pcaVariance").ravel()
    basis = _array(file, f"{name}/model/pcaBasis", slice(0, min(most, len(variances))))
    sizes = {"rows": len(mean), "modes": min(most, len(variances))}
    check_shape(f"{name}/model/pcaBasis", basis, "rows modes", **sizes)
    if len(mean) % 3:
        raise ShapeError(f"{name}/model/mean has {len(mean)} numbers, not three a vertex")
    spreads = np.sqrt(np.maximum(variances[: sizes["modes"]], 0.0)).astype(np.float32)
    scaled = np.ascontiguousarray((basis.astype(np.float32) * spreads).T)
    return _Modes(mean.reshape(-1, 3), scaled.reshape(len(spreads), -1, 3))


def _array(file: h5py.File, name: str, columns: slice | None = None) -> np.ndarray:
    stored = file.get(name)
    if not isinstance(stored, h5py.Dataset):
        raise ShapeError(
            f"{file.filename} has no array {name}",
            f"face models of 2017 and 2019 do; they come from: {FROM}",
        )
    if columns is not None and len(stored.shape) == 2:
        return np.asarray(stored[:, columns])  # a whole basis would be twice what is needed
    return np.asarray(stored[()])


def _as_rows(array: np.ndarray) -> np.ndarray:
    """(3, N) or (N, 3) to (N, 3); of a 3 x 3 array the file's own way, columns, counts."""
    if array.ndim == 2 and array.shape[0] == 3:
        array = array.T
    return array


def _require_corners(cells: np.ndarray, vertices: int) -> None:
    check_shape("shape/representer/cells", cells, "F 3")
    if len(cells) == 0 or cells.min() < 0 or cells.max() >= vertices:
        raise ShapeError(f"shape/representer/cells does not name corners among {vertices} vertices")


def _full_scale(colour_mean: np.ndarray) -> np.float32:
    """What full brightness is in the file: colours count to 1 in some, to 255 in others."""
    return np.float32(255.0 if float(colour_mean.max()) > BRIGHTEST_SHARE else 1.0)
