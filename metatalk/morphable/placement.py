"""Bringing other models' meshes into our model frame.

Every face model read here has x towards the person's left, y up and z towards the viewer; they
differ in their unit and in where the origin lies.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from metatalk.morphable.model import REGIONS
from metatalk.shapes import check_shape

HALF_TURN = (1.0, -1.0, -1.0)  # about x: y up and z towards the viewer to y down and z away
EYES_ABOVE_NOSE_MM = 36.0  # of an adult's nose tip, give or take 5
EYES_BEHIND_NOSE_MM = 32.0


def to_model_frame(vectors: np.ndarray, mm_per_unit: float) -> Tensor:
    """Turn points or displacements of another model into ours.

    Args:
        vectors: (..., V, 3) x to the person's left, y up, z towards the viewer.
        mm_per_unit: millimetres in one of their units.

    Returns:
        (..., V, 3) float32 millimetres; x right in the picture, y down, z away. The turn is a
        rotation, so that triangles keep their sense.

    Raises:
        ShapeError: the last axis is not 3.
    """
    check_shape("vectors", vectors, "... 3")
    scale = np.asarray(HALF_TURN, np.float32) * np.float32(mm_per_unit)
    return torch.from_numpy(vectors.astype(np.float32) * scale)


def turn_outwards(triangles: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """Let triangles run counter-clockwise seen from outside, whichever way their file has them.

    Args:
        triangles: (F, 3) corner numbers, all with the same sense.
        vertices: (V, 3) any unit, right-handed axes: a head, or the front of one.

    Returns:
        (F, 3) int64, turned round if most of the surface looked inwards.

    Raises:
        ShapeError: an argument is not shaped as documented.
    """
    check_shape("triangles", triangles, "F 3")
    check_shape("vertices", vertices, "V 3")
    corners = vertices[triangles] - vertices.mean(0)
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    # The centroid of a face lies behind it: its surface looks away from there.
    outwards = float((a * np.cross(b - a, c - a)).sum())
    faces = triangles.astype(np.int64)
    return faces if outwards >= 0 else np.ascontiguousarray(faces[:, ::-1])


def guess_eye_middle(mean: Tensor) -> Tensor:
    """Guess the point between the eyes of a face that looks into the camera.

    Args:
        mean: (V, 3) millimetres, our axes, any origin.

    Returns:
        (3,) millimetres, about 10 mm off at worst: above and behind the tip of the nose, which is
        what lies nearest to the viewer. Good enough for a portrait that a detector looks at.

    Raises:
        ShapeError: `mean` is not (V, 3).
    """
    check_shape("mean", mean, "V 3")
    tip = mean[mean[:, 2].argmin()]
    return tip + mean.new_tensor((0.0, -EYES_ABOVE_NOSE_MM, EYES_BEHIND_NOSE_MM))


def regions_from(vertices: int, **known: np.ndarray) -> dict[str, Tensor]:
    """All regions of a face model, those that are not known being empty.

    Args:
        vertices: V.
        known: (V,) bool by the region's name.

    Returns:
        (V,) bool for each of `model.REGIONS`.

    Raises:
        ShapeError: a known region is not (V,).
    """
    regions = {name: torch.zeros(vertices, dtype=torch.bool) for name in REGIONS}
    for name, inside in known.items():
        check_shape(name, inside, "V", V=vertices)
        regions[name] = torch.from_numpy(np.asarray(inside, dtype=bool))
    return regions


def mode_names(count: int) -> tuple[str, ...]:
    """What the expressions of a statistical model are called.

    >>> mode_names(2)
    ('mode_00', 'mode_01')
    """
    return tuple(f"mode_{number:02d}" for number in range(count))
