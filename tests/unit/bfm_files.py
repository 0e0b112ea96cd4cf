"""Writers of files in the layouts in which people have face models, filled with random numbers."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import scipy.io

from metatalk.morphable import ict

FULL, TOLD, FRONT = 90, 70, 50  # vertices of the model, of its expressions, of the front face
MODES = 83  # as many as a file has, of which 80 or 64 are read


@dataclass(frozen=True)
class Basel2009:
    """What stands in the six files of 2009."""

    arrays: dict[str, np.ndarray]  # of 01_MorphableModel.mat
    expressions: np.ndarray  # (N, 3 * TOLD) float32
    spreads: np.ndarray  # (N,)
    front: np.ndarray  # (FRONT,) from 1, into TOLD
    trimmed: np.ndarray  # (TOLD,) from 1, into FULL
    triangles: np.ndarray  # (F, 3) from 1
    keypoints: np.ndarray  # (68,) from 1


def write_2009_parts(folder: Path, chance: np.random.Generator) -> Basel2009:
    """The files from which Deep3DFaceRecon makes its `BFM_model_front.mat`."""
    arrays = {
        "shapeMU": 1e4 * chance.standard_normal((3 * FULL, 1)),
        "shapePC": chance.standard_normal((3 * FULL, MODES)).astype(np.float32),
        "shapeEV": 1e3 * chance.random((MODES, 1)).astype(np.float32),
        "texMU": 255 * chance.random((3 * FULL, 1)),
        "texPC": chance.standard_normal((3 * FULL, MODES)).astype(np.float32),
        "texEV": 10 * chance.random((MODES, 1)).astype(np.float32),
        "tl": np.ones((5, 3)),
    }
    expressions = chance.standard_normal((MODES, 3 * TOLD)).astype(np.float32)
    files = Basel2009(
        arrays,
        expressions,
        1e3 * chance.random(MODES),
        1 + chance.permutation(TOLD)[:FRONT],
        1 + chance.permutation(FULL)[:TOLD],
        1 + chance.integers(0, FRONT, (30, 3)),
        1 + chance.integers(0, FRONT, 68),
    )
    scipy.io.savemat(folder / "01_MorphableModel.mat", arrays)
    with (folder / "Exp_Pca.bin").open("wb") as file:
        np.array([MODES], np.int32).tofile(file)
        chance.standard_normal(3 * TOLD).astype(np.float32).tofile(file)  # a mean: not to be used
        expressions.tofile(file)
    np.savetxt(folder / "std_exp.txt", files.spreads[None])
    scipy.io.savemat(folder / "BFM_front_idx.mat", {"idx": files.front[:, None].astype(float)})
    trimmed = files.trimmed[:, None].astype(np.uint16)
    scipy.io.savemat(folder / "BFM_exp_idx.mat", {"trimIndex": trimmed})
    info = {"tri": files.triangles, "keypoints": files.keypoints[None]}
    scipy.io.savemat(folder / "facemodel_info.mat", info)
    return files


def write_front_mat(
    path: Path, chance: np.random.Generator, vertices: int = FRONT
) -> dict[str, np.ndarray]:
    """A `BFM_model_front.mat`: everything that stands in such a file."""
    arrays = {
        "meanshape": chance.standard_normal((1, 3 * vertices)) + 0.7,
        "meantex": 255 * chance.random((1, 3 * vertices)),
        "idBase": 0.05 * chance.standard_normal((3 * vertices, 80)).astype(np.float32),
        "exBase": 0.05 * chance.standard_normal((3 * vertices, 64)).astype(np.float32),
        "texBase": 9.0 * chance.standard_normal((3 * vertices, 80)).astype(np.float32),
        "tri": 1 + chance.integers(0, vertices, (40, 3)),
        "keypoints": 1 + chance.integers(0, vertices, (1, 68)),
        "point_buf": 1 + chance.integers(0, 41, (vertices, 8)),
        "frontmask2_idx": 1 + chance.integers(0, vertices, (30, 1)),
        "skinmask": chance.integers(0, 2, (1, vertices)),
        "tri_mask2": 1 + chance.integers(0, vertices, (20, 3)),
    }
    scipy.io.savemat(path, arrays)
    return arrays


@dataclass(frozen=True)
class Statistics:
    """One of the statistical models in a file of 2017 or 2019."""

    mean: np.ndarray  # (V, 3)
    basis: np.ndarray  # (N, V, 3) per standard deviation


def random_statistics(chance: np.random.Generator, vertices: int, modes: int) -> Statistics:
    """Random numbers in that shape, spread by about 2 either way."""
    basis = chance.standard_normal((modes, vertices, 3))
    return Statistics(40 * chance.standard_normal((vertices, 3)), basis)


def write_basel_h5(
    path: Path,
    shape: Statistics,
    expression: Statistics,
    colour: Statistics,
    triangles: np.ndarray,
    upright: bool = True,
) -> None:
    """A `model2017-1_bfm_nomouth.h5` or one of 2019, which are alike.

    Args:
        path: the file.
        shape: millimetres.
        expression: millimetres.
        colour: RGB in any scale.
        triangles: (F, 3).
        upright: points and cells as (3, N), as their authors write them; else (N, 3).
    """
    turn = (lambda rows: rows.T) if upright else (lambda rows: rows)
    with h5py.File(path, "w") as file:
        for name, part in (("shape", shape), ("expression", expression), ("color", colour)):
            columns = part.basis.reshape(len(part.basis), -1).T
            lengths = np.linalg.norm(columns, axis=0)
            model = file.create_group(f"{name}/model")
            model["mean"] = part.mean.ravel().astype(np.float32)
            model["pcaBasis"] = (columns / lengths).astype(np.float32)
            model["pcaVariance"] = (lengths**2).astype(np.float32)
            model["noiseVariance"] = np.zeros(1, np.float32)
            file[f"{name}/representer/points"] = turn(shape.mean.astype(np.float32))
            file[f"{name}/representer/cells"] = turn(triangles.astype(np.int32))
        file["catalog/version"] = "1"


def write_ict(folder: Path, chance: np.random.Generator, names: tuple[str, ...]) -> np.ndarray:
    """A checkout of ICT-FaceKit with two identities and the named expressions.

    Returns:
        (3 + N, V, 3) what the files hold: neutral head, identities, expressions.
    """
    neutral = 8 * chance.standard_normal((ict.VERTICES, 3))
    shapes = [neutral + 0.3 * chance.standard_normal(neutral.shape) for _ in range(2 + len(names))]
    heads = np.stack([neutral, *shapes]).round(4)
    polygons = [(0, 1, 2, 3), (4, 8, 6), (25999, 26000, 26001, 26002)]
    write_ict_files(folder, heads, names, polygons)
    (folder / ict.FOLDER / "PupilDilate_L.obj").write_text("v 0 0 0\n")  # no expression
    return heads


def write_ict_files(
    folder: Path, heads: np.ndarray, names: tuple[str, ...], polygons: Iterable[Iterable[int]]
) -> None:
    """The files of ICT-FaceKit that are read.

    Args:
        folder: the checkout.
        heads: (1 + I + N, V, 3) centimetres: neutral head, identities, expressions.
        names: N expressions.
        polygons: corner numbers, from 0.
    """
    place = folder / ict.FOLDER
    place.mkdir(parents=True)
    people = [f"identity{number:03d}" for number in range(len(heads) - 1 - len(names))]
    files = (ict.NEUTRAL, *(f"{name}.obj" for name in (*people, *names)))
    rings = "".join("f " + " ".join(f"{n + 1}/{n + 1}/1" for n in ring) + "\n" for ring in polygons)
    for file, head in zip(files, heads, strict=True):
        points = "".join("v {:.4f} {:.4f} {:.4f}\n".format(*point) for point in head)
        (place / file).write_text(f"mtllib a.mtl\n{points}vt 0.5 0.5\ng face\n{rings}")
    lists = {"expressions": list(names), ict.LANDMARKS_KEY: list(range(68))}
    (place / ict.INDICES).write_text(json.dumps(lists))
