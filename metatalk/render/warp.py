"""Real pixels carried along by the mesh: from where the skin was to where it is now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numba import njit

from metatalk.render.backend import see_mesh
from metatalk.render.bands import share_rows
from metatalk.render.rasterize import Fragments
from metatalk.shapes import check_shape

HIDING_MM = 2.0  # a surface this much nearer hides the one behind it


@dataclass(frozen=True, eq=False)
class CarryMap:
    """For each pixel of the new picture, where its surface point lies in the old one."""

    source: np.ndarray  # (B, S, S, 2) float32, x and y in old px; NaN where not valid
    valid: np.ndarray  # (B, S, S) bool: a surface is seen now and its point was seen then
    # (B, S, S) bool: the point lies between the lips, on no surface; None: nothing does
    between: np.ndarray | None = None

    def __post_init__(self) -> None:
        sizes = check_shape("valid", self.valid, "B H W")
        check_shape("source", self.source, "B H W 2", **sizes)
        if self.between is not None:
            check_shape("between", self.between, "B H W", **sizes)


def carry_map(
    points_new: np.ndarray,
    points_old: np.ndarray,
    triangles: np.ndarray,
    size: int,
    old_height: int,
    old_width: int,
    hiding_mm: float = HIDING_MM,
    backend: str = "numba",
) -> CarryMap:
    """Find in an old picture the surface points that a new one shows.

    Args:
        points_new: (B, V, 3) x, y in px of the new picture, camera depth in mm.
        points_old: (B, V, 3) x, y in px of the old picture, camera depth in mm.
        triangles: (F, 3) corner numbers, everything that can hide something included.
        size: side of the new pictures, px.
        old_height: rows of the old pictures.
        old_width: columns of the old pictures.
        hiding_mm: a point is hidden where the old picture shows something this much nearer.
        backend: which rasteriser, see `backend.choose_backend`.

    Returns:
        The map. A point is not valid where nothing is seen, or where it was hidden, turned
        away or outside the old picture.

    Raises:
        ShapeError: an argument is not shaped as documented.
    """
    check_shape("points_old", points_old, "B V 3", **check_shape("points_new", points_new, "B V 3"))
    faces = np.ascontiguousarray(triangles, dtype=np.int32)
    old = np.ascontiguousarray(points_old, dtype=np.float32)
    seen = see_mesh(backend, points_new, faces, size, size, cull_back=True)
    behind = see_mesh(backend, old, faces, old_height, old_width, cull_back=True, weighted=False)
    return trace_back(seen, faces, old, behind.depth, hiding_mm)


def trace_back(
    seen: Fragments,
    triangles: np.ndarray,
    points_old: np.ndarray,
    depth_old: np.ndarray,
    hiding_mm: float = HIDING_MM,
    threads: int | None = None,
) -> CarryMap:
    """Find in old pictures the surface points that rasterized new ones show.

    Args:
        seen: what the new pictures show, B of them.
        triangles: (F, 3) the triangles that were rasterized.
        points_old: (B, V, 3) x, y in px of the old pictures, camera depth in mm.
        depth_old: (B, H, W) float32 mm, what the old pictures show; inf = nothing.
        hiding_mm: a point is hidden where the old picture shows something this much nearer.
        threads: at most this many at once; None means one for each core.

    Returns:
        The map, see `carry_map`.

    Raises:
        ShapeError: an argument is not shaped as documented.
    """
    batch, height, width = seen.triangle.shape
    check_shape("triangles", triangles, "F 3")
    check_shape("points_old", points_old, "B V 3", B=batch)
    check_shape("depth_old", depth_old, "B H W", B=batch)
    faces = np.ascontiguousarray(triangles, dtype=np.int32)
    old = np.ascontiguousarray(points_old, dtype=np.float32)
    depth = np.ascontiguousarray(depth_old, dtype=np.float32)
    source = np.empty((batch, height, width, 2), dtype=np.float32)

    def trace(picture: int, first: int, end: int) -> None:
        rows = slice(first, end)
        _trace_rows(
            seen.triangle[picture, rows], seen.weights[picture, rows], faces,
            old[picture], depth[picture], np.float32(hiding_mm), source[picture, rows],
        )  # fmt: skip

    share_rows(trace, batch, height, threads)
    return CarryMap(source, np.isfinite(source[..., 0]))


def carry_pixels(picture: np.ndarray, source: np.ndarray) -> np.ndarray:
    """Fetch the pixels that a map points at.

    Args:
        picture: (H, W, 3) uint8, the old picture.
        source: (S, S, 2) x and y in px of the old picture, pixel centres at half integers.

    Returns:
        (S, S, 3) uint8; black where the map is NaN.
    """
    check_shape("source", source, "H W 2")
    where = np.where(np.isfinite(source), source - 0.5, -1e4).astype(np.float32)
    x, y = where[..., 0], where[..., 1]
    pixels = cv2.remap(picture, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    pixels[~np.isfinite(source[..., 0])] = 0
    return pixels


@njit(cache=True, nogil=True)
def _trace_rows(
    triangle: Any, weights: Any, triangles: Any, old: Any, old_depth: Any,
    hiding_mm: Any, out: Any,
) -> None:  # fmt: skip
    for row in range(out.shape[0]):
        for column in range(out.shape[1]):
            out[row, column, 0] = out[row, column, 1] = np.nan
            number = triangle[row, column]
            if number < 0:
                continue
            a, b, c = triangles[number, 0], triangles[number, 1], triangles[number, 2]
            if _turned_away(old, a, b, c):
                continue
            # x * depth is linear over the surface where x alone is not
            at_a = weights[row, column, 0] * old[a, 2]
            at_b = weights[row, column, 1] * old[b, 2]
            at_c = weights[row, column, 2] * old[c, 2]
            depth = at_a + at_b + at_c
            share = np.float32(1.0) / depth
            x = (at_a * old[a, 0] + at_b * old[b, 0] + at_c * old[c, 0]) * share
            y = (at_a * old[a, 1] + at_b * old[b, 1] + at_c * old[c, 1]) * share
            if _farthest_around(old_depth, x, y) > depth - hiding_mm:
                out[row, column, 0] = x
                out[row, column, 1] = y


@njit(cache=True, nogil=True)
def _turned_away(old: Any, a: int, b: int, c: int) -> Any:
    """Whether a triangle shows its back, or cannot be projected."""
    if not (old[a, 2] > 0 and old[b, 2] > 0 and old[c, 2] > 0):
        return True
    across = (old[b, 0] - old[a, 0]) * (old[c, 1] - old[a, 1])
    return across - (old[b, 1] - old[a, 1]) * (old[c, 0] - old[a, 0]) >= 0


@njit(cache=True, nogil=True)
def _farthest_around(depth: Any, x: Any, y: Any) -> Any:
    """The greatest depth among the four pixels around a point; -inf outside the picture."""
    height, width = depth.shape
    if not (0 <= x <= width and 0 <= y <= height):
        return np.float32(-np.inf)
    # Half a pixel inwards lies the first centre; a number cut off is rounded down, being positive.
    column, row = int(x + np.float32(0.5)) - 1, int(y + np.float32(0.5)) - 1
    left, right = max(column, 0), min(column + 1, width - 1)
    upper, lower = max(row, 0), min(row + 1, height - 1)
    above = max(depth[upper, left], depth[upper, right])
    return max(above, depth[lower, left], depth[lower, right])
