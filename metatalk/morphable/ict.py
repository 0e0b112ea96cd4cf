"""The ICT face model (its light version), from a checkout of ICT-FaceKit.

A folder of OBJ files of one topology: the neutral head, a hundred identities, 53 expressions, each
standing for a mode by what it differs from the neutral head. Centimetres, x to the person's left,
y up, z towards the viewer.

Source: Li et al. 2020 (the model).
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from metatalk.errors import MissingAssetError, ShapeError
from metatalk.morphable.model import MorphableModel
from metatalk.morphable.placement import regions_from, to_model_frame, turn_outwards
from metatalk.morphable.skin_texture import ALBEDO

SOURCE = "ict"
TERMS = "ICT-FaceKit light face model: MIT"
FROM = "a checkout of the ICT-FaceKit repository"
FOLDER = "FaceXModel"
NEUTRAL = "generic_neutral_mesh.obj"
INDICES = "vertex_indices.json"
LANDMARKS_KEY, EXPRESSIONS_KEY = "idx_to_landmark_verts", "expressions"
MM_PER_CM = 10.0
VERTICES = 26719
# Geometries by the numbers of their vertices, first and one past the last.
SKIN = (0, 11248)  # the face, then head and neck
MOUTH_SOCKET = (11248, 13294)
GUMS_AND_TONGUE = (14062, 17039)  # not told apart
TEETH = (17039, 21451)
EYEBALLS = (21451, 24591)
SEE_THROUGH = (24591, VERTICES)  # tears, blends, occlusion, lashes: not to be drawn as surfaces


def find_model_folder(path: Path) -> Path:
    """The folder of the model's files, given that folder or the checkout around it.

    Raises:
        MissingAssetError: there is no neutral head in either.
    """
    for folder in (path, path / FOLDER):
        if (folder / NEUTRAL).is_file():
            return folder
    raise MissingAssetError(f"{path} has no {FOLDER}/{NEUTRAL}", f"it comes from: {FROM}")


def model_files(path: Path) -> tuple[list[Path], list[Path]]:
    """The files that hold the model's modes.

    Args:
        path: a checkout, or its folder of OBJ files.

    Returns:
        The identities in the order of their numbers, and the expressions that `vertex_indices.json`
        lists, in its order: the folder has other shapes too.

    Raises:
        MissingAssetError: there is no neutral head, no identity, or an expression is missing.
    """
    folder = find_model_folder(path)
    identities = sorted(folder.glob("identity[0-9][0-9][0-9].obj"))
    expressions = [folder / f"{name}.obj" for name in _listed(folder, EXPRESSIONS_KEY)]
    missing = [file.name for file in expressions if not file.is_file()]
    if not identities:
        missing.append("identity000.obj and those that follow")
    if missing:
        raise MissingAssetError(
            f"{folder} lacks {', '.join(missing)}", f"take all of its OBJ files from {FROM}"
        )
    return identities, expressions


def read_ict(path: Path) -> MorphableModel:
    """Read the ICT face model, without its landmark embedding.

    Args:
        path: a checkout of ICT-FaceKit, or its folder of OBJ files.

    Returns:
        The model: 100 identity modes, 53 face units with ARKit's names. Its albedo is coarse and
        has no modes: what a texture needs is known once the lips are found. The origin is the
        middle of the eyeballs. All vertices are kept, so that published numbers hold; surfaces
        that are seen through (tears, lashes, occlusion) have no triangles. The regions that its
        ranges of vertices tell are filled in; "face", "lips", "eyelids" and "lower_face" are empty.

    Raises:
        MissingAssetError: a file is missing.
        ShapeError: the files are not of that topology.
    """
    identities, expressions = model_files(path)
    points, polygons = read_obj(find_model_folder(path) / NEUTRAL)
    if len(points) != VERTICES:
        raise ShapeError(
            f"{NEUTRAL} has {len(points)} vertices, the ICT face model {VERTICES}",
            f"take the light model from {FROM}",
        )
    origin = points[slice(*EYEBALLS)].mean(0)
    modes = lambda files: np.stack([_difference(file, points) for file in files])  # noqa: E731
    return MorphableModel(
        source=SOURCE,
        terms=TERMS,
        mean=to_model_frame(points - origin, MM_PER_CM),
        identity_basis=to_model_frame(modes(identities), MM_PER_CM),
        expression_basis=to_model_frame(modes(expressions), MM_PER_CM),
        texture_mean=torch.from_numpy(_colours()),
        texture_basis=torch.zeros(0, VERTICES, 3),
        triangles=torch.from_numpy(turn_outwards(_drawn(split_polygons(polygons)), points)),
        expression_names=tuple(unit_name(file.stem) for file in expressions),
        regions=regions_from(VERTICES, **_regions()),
    )


def read_landmarks(path: Path) -> np.ndarray:
    """Read the published vertices of the 68 landmarks.

    Args:
        path: a checkout of ICT-FaceKit, or its folder of OBJ files.

    Returns:
        (68,) numbers of vertices, from 0.

    Raises:
        MissingAssetError: the file that lists them is missing or lists none.
    """
    return np.asarray(_listed(find_model_folder(path), LANDMARKS_KEY), np.int64)


def unit_name(stem: str) -> str:
    """ARKit's name of an expression.

    Brows raised inside and puffed cheeks are one unit each in ARKit; here each side has its own.

    >>> unit_name("mouthSmile_L"), unit_name("jawOpen")
    ('mouthSmileLeft', 'jawOpen')
    """
    for ending, side in (("_L", "Left"), ("_R", "Right")):
        if stem.endswith(ending):
            return stem.removesuffix(ending) + side
    return stem


def read_obj(path: Path) -> tuple[np.ndarray, list[list[int]]]:
    """Read the points and polygons of an OBJ file.

    Args:
        path: the file; texture points, normals, groups and materials are passed over.

    Returns:
        (V, 3) float64 in the file's unit, and the corner numbers of each polygon, from 0.

    Raises:
        ShapeError: the file holds something else.
    """
    text = path.read_text(encoding="utf-8", errors="replace").splitlines()
    try:
        numbers = " ".join(line[2:] for line in text if line.startswith("v "))
        points = np.array(numbers.split(), float).reshape(-1, 3)
        rings = [line.split()[1:] for line in text if line.startswith("f ")]
        polygons = [[int(word.partition("/")[0]) - 1 for word in ring] for ring in rings]
    except ValueError as error:
        raise ShapeError(f"{path} is not an OBJ file of triples: {error}") from error
    if any(not 0 <= corner < len(points) for ring in polygons for corner in ring):
        raise ShapeError(f"{path}: a face names a corner that is not among {len(points)} points")
    return points, polygons


def split_polygons(polygons: list[list[int]]) -> np.ndarray:
    """Cut convex polygons into triangles with the same sense.

    >>> split_polygons([[0, 1, 2, 3]]).tolist()
    [[0, 1, 2], [0, 2, 3]]
    """
    triangles = [
        (ring[0], ring[corner], ring[corner + 1])
        for ring in polygons
        for corner in range(1, len(ring) - 1)
    ]
    return np.array(triangles, np.int64).reshape(-1, 3)


def _listed(folder: Path, key: str) -> list:
    file = folder / INDICES
    try:
        return list(json.loads(file.read_text(encoding="utf-8"))[key])
    except FileNotFoundError as error:
        raise MissingAssetError(f"{folder} lacks {INDICES}", f"take it from {FROM}") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MissingAssetError(f"{file} lists no {key}", f"take it from {FROM}") from error


def _difference(path: Path, neutral: np.ndarray) -> np.ndarray:
    points, _ = read_obj(path)
    if points.shape != neutral.shape:
        raise ShapeError(
            f"{path.name} has {len(points)} vertices, {NEUTRAL} {len(neutral)}",
            f"take all OBJ files from one version of {FROM}",
        )
    return (points - neutral).astype(np.float32)


def _drawn(triangles: np.ndarray) -> np.ndarray:
    return triangles[(triangles < SEE_THROUGH[0]).all(1)]


def _regions() -> dict[str, np.ndarray]:
    """(V,) bool: what the ranges of vertices tell."""
    inside = lambda *ranges: np.any([_range(*ends) for ends in ranges], axis=0)  # noqa: E731
    return {
        "skin": inside(SKIN),
        "eyes": inside(EYEBALLS),
        "teeth": inside(TEETH),
        "inner_mouth": inside(MOUTH_SOCKET, GUMS_AND_TONGUE, TEETH),
    }


def _colours() -> np.ndarray:
    """(V, 3) albedo of what the ranges tell; lips are not among that. Gums look like a tongue."""
    colours = np.tile(ALBEDO["skin"], (VERTICES, 1)).astype(np.float32)
    colours[slice(*MOUTH_SOCKET)] = ALBEDO["inner_mouth"]
    colours[slice(*GUMS_AND_TONGUE)] = ALBEDO["tongue"]
    colours[slice(*TEETH)] = ALBEDO["teeth"]
    colours[slice(*EYEBALLS)] = ALBEDO["eyes"]
    return colours


def _range(first: int, end: int) -> np.ndarray:
    inside = np.zeros(VERTICES, bool)
    inside[first:end] = True
    return inside
