"""A readable stand-in for PyTorch3D's mesh rasteriser, after its documentation.

It keeps that library's conventions, which are not ours: coordinates with x to the left and y up,
the shorter side of the picture spanning [-1, 1]; the front of a triangle is the side from which
its corners run counter-clockwise on the screen; a pixel is inside where all three weights are
above zero; triangles of next to no area are left out; pixels without a surface hold -1.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import torch

from metatalk.render import backend

NO_AREA = 1e-8


@dataclass
class Meshes:
    """One mesh, as `pytorch3d.structures.Meshes` takes it."""

    verts: list[torch.Tensor]
    faces: list[torch.Tensor]


def make_rasterizer(dtype: type) -> Any:
    """Make a `rasterize_meshes` that calculates in one kind of float."""

    def rasterize_meshes(
        meshes: Meshes,
        image_size: tuple[int, int],
        blur_radius: float,
        faces_per_pixel: int,
        max_faces_per_bin: int,
        perspective_correct: bool,
        cull_backfaces: bool,
    ) -> tuple[torch.Tensor, ...]:
        assert blur_radius == 0
        assert faces_per_pixel == 1
        assert perspective_correct
        (corners,), (faces,) = meshes.verts, meshes.faces
        assert corners.dtype == torch.float32  # the library takes no other
        assert max_faces_per_bin >= len(faces)
        height, width = image_size
        x, y = ndc_axis(width, height, dtype), ndc_axis(height, width, dtype)
        number = np.full(image_size, -1, np.int64)
        depth, weights = np.full(image_size, -1, dtype), np.full((*image_size, 3), -1, dtype)
        for face, triangle in enumerate(corners.numpy().astype(dtype)[faces.numpy()]):
            draw(face, triangle, x, y, cull_backfaces, number, depth, weights)
        one = lambda values: torch.from_numpy(values)[None, :, :, None]  # noqa: E731
        return one(number), one(depth).float(), one(weights).float(), one(depth).float()

    return rasterize_meshes


def ndc_axis(size: int, other: int, dtype: type) -> np.ndarray:
    """Coordinates of the pixels' centres along one side, from the left or the top."""
    span = dtype(2.0 * max(size / other, 1.0))
    return (-span / 2 + (span * np.arange(size, dtype=dtype) + span / 2) / dtype(size))[::-1]


def draw(
    face: int,
    triangle: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    cull_backfaces: bool,
    number: np.ndarray,
    depth: np.ndarray,
    weights: np.ndarray,
) -> None:
    """Draw one triangle into what is there."""
    (ax, ay), (bx, by), (cx, cy) = triangle[:, :2]
    az, bz, cz = triangle[:, 2]
    doubled_area = edge(cx, cy, ax, ay, bx, by)
    if abs(doubled_area) <= NO_AREA or (cull_backfaces and doubled_area < 0):
        return
    if min(az, bz, cz) < NO_AREA:
        return
    columns = np.flatnonzero((x >= min(ax, bx, cx)) & (x <= max(ax, bx, cx)))
    rows = np.flatnonzero((y >= min(ay, by, cy)) & (y <= max(ay, by, cy)))
    if not (len(columns) and len(rows)):
        return
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    px, py = x[box[1]][None, :], y[box[0]][:, None]
    over = doubled_area + triangle.dtype.type(NO_AREA)
    flat = [
        edge(px, py, bx, by, cx, cy) / over,
        edge(px, py, cx, cy, ax, ay) / over,
        edge(px, py, ax, ay, bx, by) / over,
    ]
    shares = np.stack([flat[0] * bz * cz, flat[1] * az * cz, flat[2] * az * bz], -1)
    with np.errstate(divide="ignore", invalid="ignore"):
        shares /= shares.sum(-1, keepdims=True)
    away = shares @ triangle[:, 2]
    wins = (shares > 0).all(-1) & (away >= 0)
    wins &= (number[box] < 0) | (away < depth[box])
    number[box][wins], depth[box][wins], weights[box][wins] = face, away[wins], shares[wins]


def edge(px: Any, py: Any, ax: Any, ay: Any, bx: Any, by: Any) -> Any:
    """Twice the area of p, a, b; with x to the left, above zero where they run anticlockwise."""
    return (px - ax) * (by - ay) - (py - ay) * (bx - ax)


@contextmanager
def installed(dtype: type = np.float64) -> Iterator[None]:
    """Let `import pytorch3d` find this stand-in."""
    structures, rasterizer = ModuleType("pytorch3d.structures"), ModuleType("rasterize_meshes")
    structures.Meshes = Meshes  # type: ignore[attr-defined]
    rasterizer.rasterize_meshes = make_rasterizer(dtype)  # type: ignore[attr-defined]
    modules = {
        "pytorch3d": ModuleType("pytorch3d"),
        "pytorch3d.structures": structures,
        "pytorch3d.renderer": ModuleType("pytorch3d.renderer"),
        "pytorch3d.renderer.mesh": ModuleType("pytorch3d.renderer.mesh"),
        "pytorch3d.renderer.mesh.rasterize_meshes": rasterizer,
    }
    before = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(modules)
    backend.why_missing.cache_clear()
    try:
        yield
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
        backend.why_missing.cache_clear()
