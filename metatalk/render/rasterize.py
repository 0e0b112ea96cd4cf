"""Which triangle is seen at which pixel, and what lies there.

Corners are snapped to a grid of 1/4096 pixel and edges are compared in whole numbers, so that
two triangles sharing an edge leave no hole and no pixel is drawn by both. Every pixel depends
on the order of the triangles alone: the result is the same for any number of threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit

from metatalk.errors import ShapeError
from metatalk.render.bands import share_rows
from metatalk.shapes import check_shape

SUBPIXEL_BITS = 12
SUBPIXEL = 1 << SUBPIXEL_BITS  # grid steps per pixel
REACH_PX = 1 << 17  # |x|, |y| of a drawable corner; keeps products of edges within 64 bits
Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels; right, bottom excluded
NEAR_MM = 1.0  # corners at this depth or nearer cannot be projected


@dataclass(frozen=True, eq=False)
class Fragments:
    """What a camera sees at each pixel of B pictures."""

    triangle: np.ndarray  # (B, H, W) int32, number of the triangle, -1 = none
    weights: np.ndarray  # (B, H, W, 3) float32 perspective-correct barycentrics, sum 1; 0 = none
    depth: np.ndarray  # (B, H, W) float32 millimetres along the camera's axis, inf = none

    def __post_init__(self) -> None:
        sizes = check_shape("triangle", self.triangle, "B H W")
        check_shape("weights", self.weights, "B H W 3", **sizes)
        check_shape("depth", self.depth, "B H W", **sizes)

    @property
    def covered(self) -> np.ndarray:
        """(B, H, W) bool: pixels at which there is a surface."""
        return self.triangle >= 0


def rasterize(
    points: np.ndarray,
    triangles: np.ndarray,
    height: int,
    width: int,
    cull_back: bool = False,
    threads: int | None = None,
    shown: int | None = None,
    weighted: bool = True,
    box: Box | None = None,
) -> Fragments:
    """Find the nearest triangle at each pixel centre.

    Pixel (row 0, column 0) has its centre at (0.5, 0.5). A centre on an edge belongs to the
    triangle below or to the right of it (top-left rule). Where two depths are equal in float32
    the lower triangle number wins. A triangle with a corner at or behind the near plane
    (1 mm), not finite, or farther than 131,072 px from the origin is left out whole.

    Args:
        points: (B, V, 3) x in px, y in px, camera depth in mm.
        triangles: (F, 3) corner numbers; counter-clockwise in the picture is the front,
            which is what outward-facing normals cross(b - a, c - a) give in a camera frame
            of x right, y down, z forward.
        height: rows of the pictures.
        width: columns of the pictures.
        cull_back: leave out triangles seen from behind.
        threads: at most this many at once; None means one for each core.
        shown: triangles from this number on hide what lies behind them but leave their own
            pixels empty; None means that all are shown.
        weighted: whether weights are wanted; without them they are all 0, and it is faster.
        box: the part of the pictures to draw, the rest stays empty; None means all.

    Returns:
        Fragments of B pictures.

    Raises:
        ShapeError: points or triangles are not shaped as documented, or a corner number
            is not that of a point.

    Source: Pineda 1988 for edge functions.
    """
    batch, count = check_mesh(points, triangles)
    corners = np.ascontiguousarray(points, dtype=np.float32)
    faces = np.ascontiguousarray(triangles, dtype=np.int32)
    triangle = np.full((batch, height, width), -1, dtype=np.int32)
    weights = _weights(batch, height, width, weighted)
    depth = np.full((batch, height, width), np.inf, dtype=np.float32)
    grid = np.empty((batch, count, 2), dtype=np.int64)
    inverse = np.empty((batch, count), dtype=np.float64)
    for picture in range(batch):
        _snap_corners(corners[picture], grid[picture], inverse[picture])

    left, top, right, bottom = _within(box, height, width)

    def draw(picture: int, first: int, end: int) -> None:
        first, end = max(first, top), min(end, bottom)
        _draw_rows(
            grid[picture], inverse[picture], faces, first, end, left, right, cull_back,
            triangle[picture], depth[picture],
        )  # fmt: skip
        if shown is not None:
            rows = slice(first, end)
            _hide_from(shown, triangle[picture, rows], depth[picture, rows])
        if weighted:
            _weigh_rows(
                grid[picture], inverse[picture], faces, first, end,
                triangle[picture], weights[picture],
            )  # fmt: skip

    share_rows(draw, batch, height, threads)
    return Fragments(triangle, weights, depth)


def _within(box: Box | None, height: int, width: int) -> Box:
    """The part of a box that lies in the picture; all of the picture where there is no box."""
    left, top, right, bottom = box or (0, 0, width, height)
    left, top = min(max(left, 0), width), min(max(top, 0), height)
    return left, top, max(min(right, width), left), max(min(bottom, height), top)


def _weights(batch: int, height: int, width: int, weighted: bool) -> np.ndarray:
    """(B, H, W, 3) float32 zeros; where nothing is written into them they take no memory."""
    shape = (batch, height, width, 3)
    if weighted:
        return np.zeros(shape, dtype=np.float32)
    return np.broadcast_to(np.zeros((), dtype=np.float32), shape)


def interpolate(
    fragments: Fragments,
    triangles: np.ndarray,
    attributes: np.ndarray,
    background: float = 0.0,
    threads: int | None = None,
) -> np.ndarray:
    """Carry values from the vertices to the pixels.

    Args:
        fragments: what is seen at each pixel.
        triangles: (F, 3) the triangles that were rasterized.
        attributes: (B, V, C) values for each picture, or (V, C) for all alike.
        background: value where there is no surface.
        threads: at most this many at once; None means one for each core.

    Returns:
        (B, H, W, C) float32, in the unit of the attributes.

    Raises:
        ShapeError: attributes or triangles are not shaped as documented.
    """
    batch, height, width = fragments.triangle.shape
    if attributes.ndim == 2:
        attributes = np.broadcast_to(attributes, (batch, *attributes.shape))
    sizes = check_shape("attributes", attributes, "B V C", B=batch)
    check_shape("triangles", triangles, "F 3")
    values = np.ascontiguousarray(attributes, dtype=np.float32)
    faces = np.ascontiguousarray(triangles, dtype=np.int32)
    result = np.empty((batch, height, width, sizes["C"]), dtype=np.float32)

    def fill(picture: int, first: int, end: int) -> None:
        rows = slice(first, end)
        _fill_rows(
            fragments.triangle[picture, rows], fragments.weights[picture, rows],
            faces, values[picture], background, result[picture, rows],
        )  # fmt: skip

    share_rows(fill, batch, height, threads)
    return result


def check_mesh(points: np.ndarray, triangles: np.ndarray) -> tuple[int, int]:
    """Check what is to be rasterized.

    Args:
        points: (B, V, 3).
        triangles: (F, 3) corner numbers.

    Returns:
        B and V.

    Raises:
        ShapeError: one is not shaped as documented, or a corner number is not that of a point.
    """
    sizes = check_shape("points", points, "B V 3")
    check_shape("triangles", triangles, "F 3")
    if triangles.size and not 0 <= triangles.min() <= triangles.max() < sizes["V"]:
        raise ShapeError(
            f"triangles name corners {triangles.min()}..{triangles.max()}, "
            f"but there are {sizes['V']} points"
        )
    return sizes["B"], sizes["V"]


@njit(cache=True, nogil=True)
def _snap_corners(points: Any, grid: Any, inverse: Any) -> None:
    """Corners on the grid, and one over their depth; 0 marks a corner that cannot be drawn."""
    for vertex in range(points.shape[0]):
        x, y, z = points[vertex, 0], points[vertex, 1], points[vertex, 2]
        # written so that not-a-number fails every comparison
        if z > NEAR_MM and z < np.inf and abs(x) <= REACH_PX and abs(y) <= REACH_PX:
            grid[vertex, 0] = np.int64(np.floor(np.float64(x) * SUBPIXEL + 0.5))
            grid[vertex, 1] = np.int64(np.floor(np.float64(y) * SUBPIXEL + 0.5))
            inverse[vertex] = 1.0 / np.float64(z)
        else:
            grid[vertex, 0] = grid[vertex, 1] = 0
            inverse[vertex] = 0.0


@njit(cache=True, nogil=True)
def _owns_edge(dx: Any, dy: Any) -> Any:
    """Whether centres on an edge of this direction are inside: its left and top edges."""
    return dy < 0 or (dy == 0 and dx > 0)


@njit(cache=True, nogil=True)
def _draw_rows(
    grid: Any, inverse: Any, triangles: Any, first: int, end: int, start: int, stop: int,
    cull_back: bool, out_triangle: Any, out_depth: Any,
) -> None:  # fmt: skip
    half = SUBPIXEL // 2
    for number in range(triangles.shape[0]):
        a, b, c = triangles[number, 0], triangles[number, 1], triangles[number, 2]
        ay, by, cy = grid[a, 1], grid[b, 1], grid[c, 1]
        top = max((min(ay, by, cy) - half + SUBPIXEL - 1) >> SUBPIXEL_BITS, first)
        bottom = min((max(ay, by, cy) - half) >> SUBPIXEL_BITS, end - 1)
        if top > bottom:
            continue
        ax, bx, cx = grid[a, 0], grid[b, 0], grid[c, 0]
        left = max((min(ax, bx, cx) - half + SUBPIXEL - 1) >> SUBPIXEL_BITS, start)
        right = min((max(ax, bx, cx) - half) >> SUBPIXEL_BITS, stop - 1)
        if left > right or inverse[a] == 0.0 or inverse[b] == 0.0 or inverse[c] == 0.0:
            continue
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area == 0 or (cull_back and area > 0):
            continue
        # second and third corner change places where needed, so that inside is positive
        if area < 0:
            area, b, c = -area, c, b
            bx, by, cx, cy = cx, cy, bx, by
        # the edge facing a corner: its weight's step along a row (x) and down a column (y)
        step_ax, step_bx, step_cx = by - cy, cy - ay, ay - by
        step_ay, step_by, step_cy = cx - bx, ax - cx, bx - ax
        bias_a = 0 if _owns_edge(step_ay, -step_ax) else -1
        bias_b = 0 if _owns_edge(step_by, -step_bx) else -1
        bias_c = 0 if _owns_edge(step_cy, -step_cx) else -1
        x, y = left * SUBPIXEL + half, top * SUBPIXEL + half
        row_a = step_ay * (y - by) + step_ax * (x - bx)
        row_b = step_by * (y - cy) + step_bx * (x - cx)
        row_c = step_cy * (y - ay) + step_cx * (x - ax)
        for row in range(top, bottom + 1):
            in_a, in_b, in_c = row_a, row_b, row_c
            entered = False
            for column in range(left, right + 1):
                if (in_a + bias_a) | (in_b + bias_b) | (in_c + bias_c) >= 0:
                    entered = True
                    total = in_a * inverse[a] + in_b * inverse[b] + in_c * inverse[c]
                    depth = np.float32(area / total)
                    if depth < out_depth[row, column]:
                        out_depth[row, column] = depth
                        out_triangle[row, column] = number
                elif entered:
                    break  # a triangle has no gaps
                in_a += step_ax * SUBPIXEL
                in_b += step_bx * SUBPIXEL
                in_c += step_cx * SUBPIXEL
            row_a += step_ay * SUBPIXEL
            row_b += step_by * SUBPIXEL
            row_c += step_cy * SUBPIXEL


@njit(cache=True, nogil=True)
def _weigh_rows(
    grid: Any, inverse: Any, triangles: Any, first: int, end: int, triangle: Any, weights: Any
) -> None:
    """Weigh the corners of what is seen in the end, not of all that was drawn on the way."""
    half = SUBPIXEL // 2
    for row in range(first, end):
        y = row * SUBPIXEL + half
        for column in range(triangle.shape[1]):
            number = triangle[row, column]
            if number < 0:
                continue
            x = column * SUBPIXEL + half
            a, b, c = triangles[number, 0], triangles[number, 1], triangles[number, 2]
            ax, bx, cx = grid[a, 0] - x, grid[b, 0] - x, grid[c, 0] - x
            ay, by, cy = grid[a, 1] - y, grid[b, 1] - y, grid[c, 1] - y
            weight_a = (bx * cy - by * cx) * inverse[a]
            weight_b = (cx * ay - cy * ax) * inverse[b]
            weight_c = (ax * by - ay * bx) * inverse[c]
            share = 1.0 / (weight_a + weight_b + weight_c)
            weights[row, column, 0] = weight_a * share
            weights[row, column, 1] = weight_b * share
            weights[row, column, 2] = weight_c * share


@njit(cache=True, nogil=True)
def _hide_from(shown: int, triangle: Any, depth: Any) -> None:
    for row in range(triangle.shape[0]):
        for column in range(triangle.shape[1]):
            if triangle[row, column] >= shown:
                triangle[row, column] = -1
                depth[row, column] = np.inf


@njit(cache=True, nogil=True)
def _fill_rows(
    triangle: Any, weights: Any, triangles: Any, values: Any, background: float, out: Any
) -> None:
    for row in range(out.shape[0]):
        for column in range(out.shape[1]):
            number = triangle[row, column]
            if number < 0:
                out[row, column] = background
                continue
            a, b, c = triangles[number, 0], triangles[number, 1], triangles[number, 2]
            u, v, w = weights[row, column]
            for channel in range(out.shape[2]):
                out[row, column, channel] = (
                    u * values[a, channel] + v * values[b, channel] + w * values[c, channel]
                )
