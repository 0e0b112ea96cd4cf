"""Deep3DFaceRecon's published formulas in plain float64 NumPy, and a random model file for them.

This is the oracle that our reading of its coefficients is held against: written from the
formulas alone, one frame at a time, in the tool's own units and axes, with its 1-based indices.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.io

from metatalk.morphable.basel_2009 import read_bfm2009
from metatalk.morphable.model import MorphableModel

IDENTITIES, EXPRESSIONS, TEXTURES, LENGTH = 80, 64, 80, 257
FOCAL_PX, CENTRE_PX, CAMERA_DM = 1015.0, 112.0, 10.0
SLOTS = 8  # triangles that the file lists for a vertex
COLUMNS, ROWS = 9, 13
EYES = (4 * COLUMNS + 3, 4 * COLUMNS + 7)  # vertices from 1, where the sheet's eyes would be
Arrays = dict[str, np.ndarray]


def model_file(seed: int = 0) -> Arrays:
    """What a `BFM_model_front.mat` holds, with random numbers: a bulging sheet of 117 vertices.

    Returns:
        meanshape (1, 3V) dm, meantex (1, 3V) 0-255, idBase, exBase and texBase (3V, N), tri (F, 3)
        and point_buf (V, 8) and keypoints (1, 68), all counting from 1.
    """
    chance = np.random.default_rng(seed)
    up, across = np.meshgrid(
        np.linspace(0.9, -0.9, ROWS), np.linspace(-0.7, 0.7, COLUMNS), indexing="ij"
    )
    towards = 0.9 - 0.8 * across**2 - 0.4 * up**2
    mean = np.stack((across, up, towards), -1).reshape(-1, 3)
    mean += chance.normal((0.05, -0.11, 0.3), 0.02, mean.shape)  # its centroid is elsewhere
    count = mean.size
    tri = sheet_triangles() + 1
    keypoints = chance.integers(1, len(mean) + 1, (1, 68))
    keypoints[0, 36:42], keypoints[0, 42:48] = EYES
    return {
        "meanshape": mean.reshape(1, -1),
        "meantex": chance.uniform(90, 160, (1, count)),
        "idBase": chance.normal(0, 0.01, (count, IDENTITIES)),
        "exBase": chance.normal(0, 0.01, (count, EXPRESSIONS)),
        "texBase": chance.normal(0, 1.5, (count, TEXTURES)),
        "tri": tri,
        "point_buf": point_buffer(tri, len(mean)),
        "keypoints": keypoints,
    }


def sheet_triangles() -> np.ndarray:
    """(F, 3) from 0, counter-clockwise for a viewer at positive z with y up."""
    corner = np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS)
    a, b, c, d = corner[:-1, :-1], corner[:-1, 1:], corner[1:, :-1], corner[1:, 1:]
    halves = [np.stack((a, c, b), -1), np.stack((b, c, d), -1)]
    return np.stack(halves).reshape(-1, 3)


def point_buffer(tri: np.ndarray, vertices: int) -> np.ndarray:
    """(V, 8) from 1: each vertex's triangles; an empty slot names one past the last."""
    buffer = np.full((vertices, SLOTS), len(tri) + 1)
    filled = np.zeros(vertices, int)
    for number, corners in enumerate(tri, start=1):
        for corner in corners - 1:
            buffer[corner, filled[corner]] = number
            filled[corner] += 1
    return buffer


def random_vectors(frames: int, seed: int = 1) -> np.ndarray:
    """(T, 257) of one person who turns, speaks and is lit; float32 numbers."""
    chance = np.random.default_rng(seed)
    identity, texture = chance.normal(0, 1, IDENTITIES), chance.normal(0, 1, TEXTURES)
    rows = [
        np.concatenate(
            (
                identity,
                chance.normal(0, 1, EXPRESSIONS),
                texture,
                chance.uniform(-0.7, 0.7, 3),
                chance.normal(0, 0.1, 27),
                chance.uniform(-0.5, 0.5, 3),
            )
        )
        for _ in range(frames)
    ]
    return np.stack(rows).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Answer:
    """What the formulas say of one frame."""

    camera_dm: np.ndarray  # (V, 3) x right, y up, z away from the camera
    pixels: np.ndarray  # (68, 2) y up
    colours: np.ndarray  # (V, 3)
    texture: np.ndarray  # (V, 3)


def evaluate(file: Arrays, vector: np.ndarray) -> Answer:
    """Go from one (257,) vector to vertices, landmarks and colours."""
    vector = vector.astype(np.float64)
    identity, expression, texture = vector[:80], vector[80:144], vector[144:224]
    angles, gamma, translation = vector[224:227], vector[227:254], vector[254:257]
    mean = file["meanshape"].astype(np.float64).reshape(-1, 3)
    mean = mean - mean.mean(0)
    shape = mean + (file["idBase"] @ identity + file["exBase"] @ expression).reshape(-1, 3)
    albedo = (file["meantex"].reshape(-1) + file["texBase"] @ texture).reshape(-1, 3) / 255
    turn = rotation(angles)
    moved = shape @ turn + translation
    camera = np.column_stack((moved[:, 0], moved[:, 1], CAMERA_DM - moved[:, 2]))
    pixels = FOCAL_PX * camera[:, :2] / camera[:, 2:] + CENTRE_PX
    functions = light_functions(normals(file, shape) @ turn)
    light = gamma.reshape(3, 9).copy()
    light[:, 0] += 0.8
    return Answer(
        camera, pixels[file["keypoints"].reshape(-1) - 1], functions @ light.T * albedo, albedo
    )


def rotation(angles: np.ndarray) -> np.ndarray:
    """(3, 3) for row vectors: the transpose of Rz Ry Rx."""
    (a, b, c), zero, one = angles, 0.0, 1.0
    about_x = [[one, zero, zero], [zero, np.cos(a), -np.sin(a)], [zero, np.sin(a), np.cos(a)]]
    about_y = [[np.cos(b), zero, np.sin(b)], [zero, one, zero], [-np.sin(b), zero, np.cos(b)]]
    about_z = [[np.cos(c), -np.sin(c), zero], [np.sin(c), np.cos(c), zero], [zero, zero, one]]
    return (np.array(about_z) @ np.array(about_y) @ np.array(about_x)).T


def normals(file: Arrays, shape: np.ndarray) -> np.ndarray:
    """(V, 3) the normalised sum of the listed triangles' unit normals."""
    first, second, third = (shape[file["tri"][:, corner] - 1] for corner in range(3))
    faces = np.cross(first - second, second - third)
    faces /= np.linalg.norm(faces, axis=1, keepdims=True)
    faces = np.concatenate((faces, np.zeros((1, 3))))  # where the empty slots point
    total = faces[file["point_buf"] - 1].sum(1)
    return total / np.linalg.norm(total, axis=1, keepdims=True)


def light_functions(n: np.ndarray) -> np.ndarray:
    """(V, 9) of rotated normals."""
    a0, a1, a2 = np.pi, 2 * np.pi / np.sqrt(3), 2 * np.pi / np.sqrt(8)
    c0, c1 = 1 / np.sqrt(4 * np.pi), np.sqrt(3) / np.sqrt(4 * np.pi)
    c2 = 3 * np.sqrt(5) / np.sqrt(12 * np.pi)
    x, y, z = n.T
    columns = (
        a0 * c0 * np.ones_like(x),
        -a1 * c1 * y,
        a1 * c1 * z,
        -a1 * c1 * x,
        a2 * c2 * x * y,
        -a2 * c2 * y * z,
        0.5 * a2 * c2 / np.sqrt(3) * (3 * z * z - 1),
        -a2 * c2 * x * z,
        0.5 * a2 * c2 * (x * x - y * y),
    )
    return np.stack(columns, -1)


def face_model(file: Arrays) -> MorphableModel:
    """Read the file with the reader that a user's own goes through."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "BFM_model_front.mat"
        scipy.io.savemat(path, file)
        return read_bfm2009(path)
