"""The Basel Face Model 2009 with the expressions of Guo et al., trimmed to the front of the face.

People have it in one of two forms: a single `BFM_model_front.mat`, or the files from which
Deep3DFaceRecon makes that. Both give the same numbers here.

Decimetres, x to the person's left, y up, z towards the viewer; colours 0 to 255; numbers of
vertices begin with 1.

Source: Paysan et al. 2009 (the model); Guo et al. 2018 (the expressions); Deng et al. 2019 (the
trimming and the scales).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.io
import torch

from metatalk.errors import MissingAssetError, ShapeError
from metatalk.morphable.model import MorphableModel
from metatalk.morphable.placement import mode_names, regions_from, to_model_frame
from metatalk.shapes import check_shape

SOURCE = "bfm2009"
TERMS = "Basel Face Model 2009: registered users, research only, no redistribution"
READY_MADE = "BFM_model_front.mat"
PARTS = (
    "01_MorphableModel.mat", "Exp_Pca.bin", "std_exp.txt",
    "BFM_front_idx.mat", "BFM_exp_idx.mat", "facemodel_info.mat",
)  # fmt: skip
FROM = {  # where each file comes from, as far as a message can tell
    READY_MADE: "Deep3DFaceRecon writes it from the files of the University of Basel",
    "01_MorphableModel.mat": "the University of Basel, after registration",
    "Exp_Pca.bin": "CoarseData of Guo et al.'s 3DFace",
    "std_exp.txt": "Deep3DFaceRecon's BFM folder",
    "BFM_front_idx.mat": "Deep3DFaceRecon's BFM folder",
    "BFM_exp_idx.mat": "Deep3DFaceRecon's BFM folder",
    "facemodel_info.mat": "Deep3DFaceRecon's BFM folder",
}
IDENTITY_MODES, EXPRESSION_MODES, TEXTURE_MODES = 80, 64, 80
MM_PER_DM = 100.0
UNITS_PER_DM = 1e5  # the model of 2009 is in micrometres
EYE_KEYPOINTS = slice(36, 48)  # both eyes among the 68


@dataclass(frozen=True, eq=False)
class FrontFace:
    """What `BFM_model_front.mat` holds of the face itself, in its own units."""

    mean: np.ndarray  # (V, 3) decimetres
    identity: np.ndarray  # (I, V, 3) decimetres per standard deviation
    expression: np.ndarray  # (E, V, 3) decimetres per standard deviation
    colour: np.ndarray  # (V, 3) RGB, 0 to 255
    colours: np.ndarray  # (X, V, 3) RGB per standard deviation
    triangles: np.ndarray  # (F, 3) from 0
    keypoints: np.ndarray  # (68,) vertices, from 0

    def __post_init__(self) -> None:
        sizes = check_shape("meanshape", self.mean, "V 3")
        for name in ("identity", "expression", "colours"):
            check_shape(name, getattr(self, name), "N V 3", **sizes)
        check_shape("meantex", self.colour, "V 3", **sizes)
        check_shape("tri", self.triangles, "F 3")
        check_shape("keypoints", self.keypoints, "68")
        for name in ("triangles", "keypoints"):
            numbers = getattr(self, name)
            if numbers.min() < 0 or numbers.max() >= sizes["V"]:
                raise ShapeError(
                    f"{name} name vertices {numbers.min() + 1} to {numbers.max() + 1} "
                    f"of a face of {sizes['V']}"
                )


def eye_origin(mean_dm: np.ndarray, keypoints: np.ndarray) -> np.ndarray:
    """The point between the eyes, which is our origin, in the file's centred axes.

    Args:
        mean_dm: (V, 3) decimetres: the mean face; whether it is centred already does not matter.
        keypoints: (68,) vertices of the 68 landmarks, from 0.

    Returns:
        (3,) float64 decimetres from the mean face's centroid: the mean of the twelve keypoints
        about the eyes.

    Raises:
        ShapeError: an argument is not shaped as documented.
    """
    check_shape("mean_dm", mean_dm, "V 3")
    check_shape("keypoints", keypoints, "68")
    mean = np.asarray(mean_dm, np.float64)
    return mean[keypoints[EYE_KEYPOINTS]].mean(0) - mean.mean(0)


def read_bfm2009(path: Path) -> MorphableModel:
    """Read the Basel Face Model 2009 in either form, without landmarks and regions.

    Args:
        path: `BFM_model_front.mat`, or a folder that has it or the files it is made of.

    Returns:
        The model: `model = (file - centroid - eye_origin) * (1, -1, -1) * 100` for the mean, modes
        likewise without the offsets, standard deviations and their order as in the file,
        albedo = texture / 255. Its only region is "skin", which is everything.

    Raises:
        MissingAssetError: a file is missing, or cannot be read.
        ShapeError: the arrays do not fit together.
    """
    front = read_front_face(path)
    mean = front.mean.astype(np.float64)
    centred = mean - mean.mean(0) - eye_origin(mean, front.keypoints)
    as_float = lambda array: torch.from_numpy((array / 255.0).astype(np.float32))  # noqa: E731
    return MorphableModel(
        source=SOURCE,
        terms=TERMS,
        mean=to_model_frame(centred, MM_PER_DM),
        identity_basis=to_model_frame(front.identity, MM_PER_DM),
        expression_basis=to_model_frame(front.expression, MM_PER_DM),
        texture_mean=as_float(front.colour),
        texture_basis=as_float(front.colours),
        triangles=torch.from_numpy(front.triangles),
        expression_names=mode_names(len(front.expression)),
        regions=regions_from(len(mean), skin=np.ones(len(mean), bool)),
    )


def read_front_face(path: Path) -> FrontFace:
    """Read the front face in the file's own units, from either form.

    Args:
        path: `BFM_model_front.mat`, or a folder that has it or the files it is made of; where
            there are both, the ready-made one counts.

    Returns:
        The arrays, vertices numbered from 0.

    Raises:
        MissingAssetError: a file is missing, or cannot be read.
        ShapeError: the arrays do not fit together.
    """
    file = path / READY_MADE if path.is_dir() else path
    if file.name in PARTS:
        return _assemble(file.parent)
    if not file.is_file() and path.is_dir():
        return _assemble(path)
    stored = _read_mat(
        file, "meanshape", "meantex", "idBase", "exBase", "texBase", "tri", "keypoints"
    )
    return FrontFace(
        mean=_points(stored["meanshape"]),
        identity=_modes(stored["idBase"]),
        expression=_modes(stored["exBase"]),
        colour=_points(stored["meantex"]),
        colours=_modes(stored["texBase"]),
        triangles=stored["tri"].astype(np.int64) - 1,
        keypoints=stored["keypoints"].ravel().astype(np.int64) - 1,
    )


def missing_files(folder: Path) -> list[str]:
    """Names of the files without which a folder does not hold the model; empty: it does."""
    if (folder / READY_MADE).is_file():
        return []
    return [name for name in PARTS if not (folder / name).is_file()]


def _assemble(folder: Path) -> FrontFace:
    """Make the front face from the model of 2009 and the expressions for it.

    Expressions are told for 53,215 of the model's 53,490 vertices, and the front face is 35,709
    of those: `BFM_front_idx.idx` counts among the 53,215, `BFM_exp_idx.trimIndex` says which of
    the 53,490 these are.
    """
    missing = missing_files(folder)
    if missing:
        raise MissingAssetError(
            f"{folder} lacks {', '.join(missing)}",
            "; ".join(f"{name}: {FROM[name]}" for name in missing),
        )
    names = ("shapeMU", "shapePC", "shapeEV", "texMU", "texPC", "texEV")
    basel = _read_mat(folder / "01_MorphableModel.mat", *names)
    info = _read_mat(folder / "facemodel_info.mat", "tri", "keypoints")
    front = _numbers(folder / "BFM_front_idx.mat", "idx")
    trimmed = _numbers(folder / "BFM_exp_idx.mat", "trimIndex")
    _require_below("BFM_front_idx.idx", front, len(trimmed))
    _require_below("BFM_exp_idx.trimIndex", trimmed, basel["shapeMU"].size // 3)
    kept = trimmed[front]
    moved = _read_expressions(folder, len(trimmed))[:, front]
    scaled = lambda name, count: _scaled(basel, name, count)[:, kept]  # noqa: E731
    return FrontFace(
        mean=_points(basel["shapeMU"])[kept] / UNITS_PER_DM,
        identity=scaled("shape", IDENTITY_MODES) / UNITS_PER_DM,
        expression=moved / UNITS_PER_DM,
        colour=_points(basel["texMU"])[kept],
        colours=scaled("tex", TEXTURE_MODES),
        triangles=info["tri"].astype(np.int64) - 1,
        keypoints=info["keypoints"].ravel().astype(np.int64) - 1,
    )


def _scaled(basel: dict[str, np.ndarray], name: str, count: int) -> np.ndarray:
    """(N, V, 3) the first modes, per standard deviation."""
    directions, spreads = basel[f"{name}PC"], basel[f"{name}EV"].ravel()
    if directions.shape[1] < count or len(spreads) != directions.shape[1]:
        raise ShapeError(
            f"01_MorphableModel.mat: {name}PC has {directions.shape[1]} modes and {name}EV "
            f"{len(spreads)}; {count} or more are needed"
        )
    return _modes(directions[:, :count] * spreads[:count])


def _read_expressions(folder: Path, vertices: int) -> np.ndarray:
    """(E, V', 3) micrometres per standard deviation, from `Exp_Pca.bin` and `std_exp.txt`.

    Departs: like Deep3DFaceRecon, we leave out the mean that stands before the modes: the mean
    face is the neutral one of the shape model.
    """
    path = folder / "Exp_Pca.bin"
    count = int(np.fromfile(path, np.int32, 1)[0]) if path.stat().st_size >= 4 else 0
    expected = 4 + 4 * 3 * vertices * (count + 1)
    if count < EXPRESSION_MODES or path.stat().st_size < expected:
        raise ShapeError(
            f"{path.name} has {path.stat().st_size} bytes and says {count} modes: for {vertices} "
            f"vertices that would be {expected}"
        )
    spreads = _read_spreads(folder / "std_exp.txt")
    start = 4 + 4 * 3 * vertices
    modes = np.fromfile(path, np.float32, 3 * vertices * EXPRESSION_MODES, offset=start)
    return modes.reshape(EXPRESSION_MODES, vertices, 3) * spreads[:, None, None]


def _read_spreads(path: Path) -> np.ndarray:
    try:
        spreads = np.loadtxt(path, dtype=np.float32).ravel()
    except ValueError as error:
        raise ShapeError(f"{path.name} is not a list of numbers: {error}") from error
    if len(spreads) < EXPRESSION_MODES:
        raise ShapeError(f"{path.name} has {len(spreads)} numbers, not {EXPRESSION_MODES} or more")
    return spreads[:EXPRESSION_MODES]


def _read_mat(path: Path, *names: str) -> dict[str, np.ndarray]:
    if not path.is_file():
        where = FROM.get(path.name, FROM[READY_MADE])
        raise MissingAssetError(f"{path}: no such file", f"it comes from: {where}")
    try:
        stored = scipy.io.loadmat(path, variable_names=names)
    except (OSError, ValueError, TypeError, NotImplementedError, EOFError,
            scipy.io.matlab.MatReadError) as error:  # fmt: skip
        raise MissingAssetError(
            f"{path} cannot be read as a MATLAB file: {error}", "fetch the file again"
        ) from error
    lacking = [name for name in names if name not in stored]
    if lacking:
        raise ShapeError(f"{path} has no array {', '.join(lacking)}", "is it another model's file?")
    return {name: np.asarray(stored[name]) for name in names}


def _numbers(path: Path, name: str) -> np.ndarray:
    """Vertices that a file lists from 1, counted from 0."""
    return _read_mat(path, name)[name].ravel().astype(np.int64) - 1


def _require_below(name: str, numbers: np.ndarray, count: int) -> None:
    if numbers.min() < 0 or numbers.max() >= count:
        raise ShapeError(
            f"{name} names vertices {numbers.min() + 1} to {numbers.max() + 1} of {count}",
            "the files belong to different models: take all of them from one place",
        )


def _points(flat: np.ndarray) -> np.ndarray:
    """(1, 3V) or (3V, 1) to (V, 3)."""
    if flat.size % 3:
        raise ShapeError(f"{flat.size} numbers are not points of three")
    return flat.reshape(-1, 3)


def _modes(columns: np.ndarray) -> np.ndarray:
    """(3V, N) to (N, V, 3) float32."""
    rows, count = columns.shape
    if rows % 3:
        raise ShapeError(f"{rows} rows of a basis are not points of three")
    return np.ascontiguousarray(columns.T, np.float32).reshape(count, rows // 3, 3)
