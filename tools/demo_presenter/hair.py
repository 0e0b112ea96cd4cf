"""Short hair as shells: thin layers above the scalp, each showing the strands that reach it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit

from demo_presenter.geometry import smooth_normals, unroll
from demo_presenter.light import WINDOW
from demo_presenter.shading import VIEW, irradiance
from demo_presenter.skin import noise, scalp
from metatalk.render.rasterize import interpolate, rasterize

SHELLS = 18
STRAND_PX_PER_MM = 5.0
STRAND_SIZE = (1600, 1500)
CENTRE = np.array([0.0, -8.0, 62.0], np.float32)
ROOT, TIP = (0.085, 0.058, 0.043), (0.300, 0.205, 0.140)


@dataclass(frozen=True, eq=False)
class Hair:
    """Where hair grows, and which way."""

    points: np.ndarray  # (N,) numbers of the head's points that carry hair or border on it
    triangles: np.ndarray  # (F, 3) into those
    all_triangles: np.ndarray  # (F', 3) of the whole head, for its normals
    growth: np.ndarray  # (N, 3) mm from root to tip, model frame
    fixed: np.ndarray  # (N, 3) strand's place across and along (px), mm inside the hairline
    strands: np.ndarray  # (H, W, 2) how far a strand reaches, 0 to 1; its shade


def grow_hair(head: np.ndarray, triangles: np.ndarray) -> Hair:
    """Grow hair on a resting head.

    Args:
        head: (V, 3) mm, model frame.
        triangles: (F, 3).
    """
    inside = scalp(unroll(head))
    ears = (np.abs(head[:, 0]) > 70) & (head[:, 1] > -26) & (head[:, 2] > 45)
    inside[ears] = -20
    inside[head[:, 1] > 60] = -20
    kept = (inside > -7)[triangles].all(1)
    points, flat = np.unique(triangles[kept], return_inverse=True)
    normals = smooth_normals(head.astype(np.float32), triangles)[points]
    roots = head[points] - CENTRE
    comb = _combing(roots, normals)
    fringe = np.clip(inside[points] / 14.0, 0, 1)
    top = np.clip((-roots[:, 1] - 20) / 50, 0, 1)
    middle = np.exp(-((roots[:, 0] / 52) ** 2))
    length = (2.5 + 9.5 * top * (0.45 + 0.75 * middle)) * (0.25 + 0.75 * fringe)
    growth = length[:, None] * (0.80 * normals + (0.35 + 0.65 * top[:, None]) * comb)
    radius = np.linalg.norm(roots, axis=1)
    across = np.arcsin(np.clip(roots[:, 0] / radius, -1, 1)) * 95
    along = np.arctan2(-roots[:, 1], -roots[:, 2]) * 95
    place = np.stack([across + 150, along + 160], -1) * STRAND_PX_PER_MM
    fixed = np.concatenate([place, inside[points, None]], -1).astype(np.float32)
    shape = (len(flat.reshape(-1)) // 3, 3)
    return Hair(points, flat.reshape(shape).astype(np.int32), triangles,
                growth.astype(np.float32), fixed, _strands())  # fmt: skip


def _combing(roots: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """(N, 3) unit vectors along the scalp: up and back above, down at the sides."""
    back = np.stack([np.zeros(len(roots)), roots[:, 2], -roots[:, 1]], -1)
    back /= np.linalg.norm(back, axis=1, keepdims=True)
    back[:, 0] = 0.65  # a parting: a little to the picture's right
    down = np.array([0.0, 0.85, 0.5])
    side = np.clip((roots[:, 1] + 45) / 35, 0, 1)[:, None]
    mixed = back * (1 - side) + down * side
    mixed -= (mixed * normals).sum(1, keepdims=True) * normals
    return mixed / np.linalg.norm(mixed, axis=1, keepdims=True).clip(1e-6)


def _strands() -> np.ndarray:
    reach = 0.55 * noise(STRAND_SIZE, 1.3, 26, 31) + 0.35 * noise(STRAND_SIZE, 9, 60, 32)
    reach += 0.35 * noise(STRAND_SIZE, 2.6, 34, 33)
    order = np.argsort(reach.ravel())
    share = np.empty(order.size, np.float32)
    share[order] = np.linspace(0, 1, order.size, dtype=np.float32)
    shade = 0.6 * noise(STRAND_SIZE, 1.5, 40, 34) + 0.5 * noise(STRAND_SIZE, 5, 60, 35)
    return np.stack([share.reshape(STRAND_SIZE), shade], -1).astype(np.float32)


def draw_hair(
    hair: Hair, head: np.ndarray, turn: np.ndarray, shift: np.ndarray, project: Any,
    light: np.ndarray, depth: np.ndarray, picture: np.ndarray,
) -> None:  # fmt: skip
    """Draw the hair over a picture, from the innermost shell to the outermost.

    Args:
        hair: of this head.
        head: (V, 3) mm, model frame, as it is in this frame.
        turn: (3, 3) the head's rotation.
        shift: (3,) its translation, mm.
        project: camera-frame points to (N, 3) x, y in px and depth in mm.
        light: (3, 9) SH.
        depth: (H, W) mm of what is in the picture.
        picture: (H, W, 3) written.
    """
    normals = smooth_normals(head, hair.all_triangles)[hair.points] @ turn.T
    strand = hair.growth / np.linalg.norm(hair.growth, axis=1, keepdims=True).clip(1e-6) @ turn.T
    values = np.concatenate([normals, hair.fixed, strand], -1).astype(np.float32)
    roots = head[hair.points]
    shells = [
        project((roots + (shell + 0.3) / SHELLS * hair.growth) @ turn.T + shift)
        for shell in range(SHELLS)
    ]
    left, top, right, bottom = _box(shells, depth.shape)
    window = (slice(top, bottom), slice(left, right))
    for shell, points in enumerate(shells):
        points[:, :2] -= np.array([left, top], np.float32)
        seen = rasterize(points[None], hair.triangles, bottom - top, right - left,
                         cull_back=True, threads=1)  # fmt: skip
        carried = interpolate(seen, hair.triangles, values, threads=1)[0]
        _shade_shell(seen.triangle[0], seen.depth[0], carried, hair.strands,
                     (shell + 0.3) / SHELLS, light, depth[window], picture[window])  # fmt: skip


def _box(shells: list[np.ndarray], shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    places = np.concatenate(shells)[:, :2]
    left, top = np.maximum(places.min(0).astype(int) - 1, 0)
    right, bottom = np.minimum(places.max(0).astype(int) + 2, [shape[1], shape[0]])
    return int(left), int(top), int(right), int(bottom)


@njit(cache=True, nogil=True, fastmath=True)
def _shade_shell(
    triangle: Any, shell_depth: Any, values: Any, strands: Any, height: float, light: Any,
    depth: Any, picture: Any,
) -> None:  # fmt: skip
    rows, columns, _ = strands.shape
    n = np.zeros(3)
    for row in range(triangle.shape[0]):
        for column in range(triangle.shape[1]):
            if triangle[row, column] < 0 or shell_depth[row, column] > depth[row, column] + 3.0:
                continue
            value = values[row, column]
            x, y = min(max(value[3], 0.0), columns - 1.001), min(max(value[4], 0.0), rows - 1.001)
            reach = strands[int(y), int(x), 0]
            shade = strands[int(y), int(x), 1]
            edge = min(1.0, max(0.0, (value[5] + 0.5 + 7.0 * (reach - 0.5)) / 9.0))
            cover = (reach * (0.35 + 0.65 * edge) + 0.42 * edge - height * 1.05) * 3.2
            cover = min(0.92, max(0.0, cover)) * min(1.0, edge * 2.0)
            if cover <= 0.0:
                continue
            for axis in range(3):
                n[axis] = value[axis]
            glow = _strand_light(value[6], value[7], value[8])
            tone = min(1.0, max(0.0, 0.15 + 0.55 * height + 0.16 * shade))
            dim = 0.40 + 0.60 * height
            for channel in range(3):
                albedo = ROOT[channel] + tone * (TIP[channel] - ROOT[channel])
                lit = irradiance(light, n, channel) * dim
                colour = albedo * lit * (0.75 + 0.5 * glow[0]) + 0.13 * glow[1] * dim * (
                    1.0 + 0.35 * shade
                ) * (1.0 - 0.12 * channel)
                picture[row, column, channel] += cover * (colour - picture[row, column, channel])


@njit(cache=True, nogil=True, fastmath=True)
def _strand_light(x: float, y: float, z: float) -> Any:
    """Matt and shiny light of the window on a thin cylinder (Kajiya & Kay 1989, eq. 14-15)."""
    length = (x * x + y * y + z * z) ** 0.5 + 1e-9
    towards = (x * WINDOW[0] + y * WINDOW[1] + z * WINDOW[2]) / length
    viewed = (x * VIEW[0] + y * VIEW[1] + z * VIEW[2]) / length
    matt = max(0.0, 1 - towards * towards) ** 0.5
    shiny = matt * max(0.0, 1 - viewed * viewed) ** 0.5 - towards * viewed
    return matt, max(0.0, shiny) ** 14
