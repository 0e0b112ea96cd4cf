"""The jaw line in crops: the outline of the lower face, as it is shown and as it was filmed.

An outline is kept as distances from it, which can be smoothed, enlarged and read between pixels.
Where the head is raised the lower face ends under the chin, in the middle of skin that goes on:
such an outline is no edge that is seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from metatalk.morphable.model import MorphableModel
from metatalk.render.lower_face import solid_mask
from metatalk.render.scene import Scene
from metatalk.render.texture import Look, surface_of
from metatalk.shapes import check_shape

JUMP_MM = (8.0, 20.0)  # what lies behind an edge is farther than the first, surely by the second
SMOOTHING = 1 / 256  # of a distance's blur, of the crop's side: takes away the pixels' stairs


@dataclass(frozen=True, eq=False)
class Outlines:
    """Lower faces in B crops."""

    shown: np.ndarray  # (B, S, S) uint8, 255 within the lower face that is to be shown
    filmed: np.ndarray  # (B, S, S) uint8, 255 within the one in the footage
    still: np.ndarray  # (B, S, S) bool: the rest of the face, which no jaw moves
    # (B, S, S) float32 in [0, 1]: along the shown outline, whether it is an edge that is seen,
    # with nothing behind it or something much farther; 0 away from it
    edge: np.ndarray

    def __post_init__(self) -> None:
        sizes = check_shape("shown", self.shown, "B S S")
        check_shape("filmed", self.filmed, "B S S", **sizes)
        check_shape("still", self.still, "B S S", **sizes)
        check_shape("edge", self.edge, "B S S", **sizes)


def find_outlines(scene: Scene, new: Look, old: Look) -> Outlines:
    """Find where the lower faces end.

    Args:
        scene: the actor.
        new: (B) the faces to be shown.
        old: (B) the faces in the footage, in the same pose.

    Returns:
        Their outlines.
    """
    surface, still = surface_of(scene), _still_triangles(scene.model)
    shown, filmed = (
        np.stack([solid_mask((seen >= 0) & (seen < surface.shown), 0) for seen in triangles])
        for triangles in (new.seen.triangle, old.seen.triangle)
    )
    edge = np.stack([find_edge(*pair) for pair in zip(shown, new.seen.depth, strict=True)])
    # An empty pixel's -1 reads the appended last entry.
    return Outlines(shown, filmed, still[new.seen.triangle], edge)


def find_edge(solid: np.ndarray, depth_mm: np.ndarray) -> np.ndarray:
    """Find where an outline hides something far behind it.

    Args:
        solid: (S, S) uint8, 0 outside.
        depth_mm: (S, S) float32, of all that is seen; inf where nothing is.

    Returns:
        (S, S) float32 in [0, 1] on the pixels on either side of the outline, else 0.

    Raises:
        ShapeError: an argument is not shaped as documented.
    """
    check_shape("depth_mm", depth_mm, "S S", **check_shape("solid", solid, "S S"))
    around = np.ones((3, 3), np.uint8)
    outline = (cv2.dilate(solid, around) > 0) & (cv2.erode(solid, around) == 0)
    known = np.minimum(depth_mm, np.float32(1e6)).astype(np.float32)
    jump = cv2.dilate(known, around) - cv2.erode(known, around)
    share = np.clip((jump - JUMP_MM[0]) / (JUMP_MM[1] - JUMP_MM[0]), 0.0, 1.0)
    edge: np.ndarray = np.where(outline, share, 0.0).astype(np.float32)
    return edge


@lru_cache(maxsize=4)
def _still_triangles(model: MorphableModel) -> np.ndarray:
    """(F + 1,) bool in a surface's order: the face but for its lower part; false at the end."""
    drawn = model.region_triangles("lower_face", "lips", "inner_mouth").numpy()
    rest = np.setdiff1d(np.arange(len(model.triangles)), drawn)
    face = model.regions["face"].numpy()[model.triangles.numpy()].any(-1)
    return np.concatenate([np.zeros(len(drawn), bool), face[rest], [False]])


def signed_distance(solid: np.ndarray) -> np.ndarray:
    """Measure how far each pixel lies from an outline.

    Args:
        solid: (H, W) uint8, 0 outside.

    Returns:
        (H, W) float32 px, negative inside; smooth. The picture's own border is no outline, and
        where there is no outline at all everything is far outside.

    Raises:
        ShapeError: the mask is not shaped as documented.
    """
    sizes = check_shape("solid", solid, "H W")
    if not solid.any():
        return np.full(solid.shape, float(max(sizes.values())), np.float32)
    inside = (solid > 0).astype(np.uint8)
    away = cv2.distanceTransform(1 - inside, cv2.DIST_L2, 5)
    depth = cv2.distanceTransform(inside, cv2.DIST_L2, 5)
    # The outline runs between the pixels: half a pixel from the centres on either side.
    distance = np.where(inside > 0, 0.5 - depth, away - 0.5).astype(np.float32)
    return cv2.GaussianBlur(distance, (0, 0), max(SMOOTHING * max(solid.shape), 0.5))


def outward(distance: np.ndarray) -> np.ndarray:
    """Find the direction away from an outline.

    Args:
        distance: (H, W) px, see `signed_distance`.

    Returns:
        (H, W, 2) float32 x and y, of unit length but for ridges, where it is shorter.
    """
    down, right = np.gradient(distance)
    direction = np.stack([right, down], -1).astype(np.float32)
    length = np.linalg.norm(direction, axis=-1, keepdims=True)
    unit: np.ndarray = direction / np.maximum(length, np.float32(0.5))
    return unit


@dataclass(frozen=True, eq=False)
class JawLine:
    """Places along a jaw line, from the left in the picture to the right."""

    points: np.ndarray  # (K, 2) crop px; nan where the outline leaves the crop
    normals: np.ndarray  # (K, 2) unit vectors that point away from the face

    def __post_init__(self) -> None:
        check_shape("normals", self.normals, "K 2", **check_shape("points", self.points, "K 2"))


def trace_jaw(solid: np.ndarray, count: int = 33, spread_deg: float = 60.0) -> JawLine:
    """Follow an outline around the chin.

    Args:
        solid: (S, S) uint8, 0 outside the lower face.
        count: places, evenly by the angle at which they are seen from the face's middle.
        spread_deg: how far to either side of straight down.

    Returns:
        The line.

    Raises:
        ShapeError: the mask is not shaped as documented.
    """
    check_shape("solid", solid, "S S")
    angles = np.radians(np.linspace(-spread_deg, spread_deg, count))
    rays = np.stack([np.sin(angles), np.cos(angles)], -1)  # (K, 2), down is +y
    if not solid.any():
        return JawLine(np.full((count, 2), np.nan), rays)
    distance = signed_distance(solid)
    left, top, width, height = cv2.boundingRect((solid > 0).astype(np.uint8))
    middle = np.array([left + width / 2, top + height / 3])
    steps = np.arange(0.0, 1.5 * max(width, height), 0.5)
    along = middle + steps[:, None, None] * rays  # (N, K, 2)
    inside = read_between(distance, along, outside=1.0) < 0
    last = len(steps) - 1 - inside[::-1].argmax(0)
    points = _cross(distance, along, last)
    points[~inside.any(0)] = np.nan
    points[(points > np.array(solid.shape) - 2.0).any(-1) | (points < 2.0).any(-1)] = np.nan
    broad = cv2.GaussianBlur(distance, (0, 0), len(solid) / 48)
    normals = read_between(outward(broad), np.nan_to_num(points))
    normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-6)
    return JawLine(points, normals)


def _cross(distance: np.ndarray, along: np.ndarray, last: np.ndarray) -> np.ndarray:
    """(K, 2) where rays leave a face, between their last step inside and the next."""
    rows, after = np.arange(along.shape[1]), np.minimum(last + 1, len(along) - 1)
    here, there = along[last, rows], along[after, rows]
    inner, outer = read_between(distance, here), read_between(distance, there)
    share = np.clip(-inner / np.maximum(outer - inner, 1e-6), 0.0, 1.0)
    points: np.ndarray = here + share[:, None] * (there - here)
    return points


def read_between(values: np.ndarray, places: np.ndarray, outside: float = 0.0) -> np.ndarray:
    """Read a picture between its pixels, linearly.

    Args:
        values: (H, W) or (H, W, C).
        places: (..., 2) x and y in px, pixel centres at half integers.
        outside: what there is beyond the picture.

    Returns:
        (...) or (..., C) float64.
    """
    flat = places.reshape(-1, 1, 2).astype(np.float32) - np.float32(0.5)
    border = (outside,) * 4
    read = cv2.remap(
        values.astype(np.float32), flat[..., 0], flat[..., 1], cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT, borderValue=border,
    )  # fmt: skip
    return read.reshape(*places.shape[:-1], *values.shape[2:]).astype(np.float64)
