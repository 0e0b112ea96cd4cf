"""The synthetic lower face and the mask that it fills."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import torch
from numba import njit
from torch import Tensor

from metatalk.morphable.camera import Camera
from metatalk.morphable.lighting import shade
from metatalk.morphable.model import MorphableModel
from metatalk.morphable.normals import vertex_normals
from metatalk.render.backend import see_mesh
from metatalk.render.bands import share_rows
from metatalk.render.rasterize import REACH_PX, Box, Fragments
from metatalk.shapes import check_shape


def project_to_crop(vertices_camera: Tensor, camera: Camera, transforms: np.ndarray) -> np.ndarray:
    """Project vertices into crops, as the rasteriser takes them.

    Args:
        vertices_camera: (B, V, 3) mm, camera frame.
        camera: the clip's camera.
        transforms: (B, 2, 3) frame px to crop px.

    Returns:
        (B, V, 3) float32: x and y in crop px, camera depth in mm.

    Raises:
        ShapeError: an argument is not shaped as documented.
    """
    batch = check_shape("vertices_camera", vertices_camera, "B V 3")["B"]
    check_shape("transforms", transforms, "B 2 3", B=batch)
    pixels = camera.project(vertices_camera.detach()).cpu().numpy()
    points = np.empty(vertices_camera.shape, dtype=np.float32)
    # Written out: products of stacks of 2x2 matrices take four times as long.
    x, y = pixels[..., 0].astype(np.float64), pixels[..., 1].astype(np.float64)
    for axis in range(2):
        along_x, along_y, shift = transforms[:, axis, :, None].transpose(1, 0, 2)
        points[..., axis] = along_x * x + along_y * y + shift
    points[..., 2] = vertices_camera.detach().cpu().numpy()[..., 2]
    return points


def render_lower_face(
    vertices_camera: Tensor,
    albedo: Tensor,
    lighting: Tensor,
    model: MorphableModel,
    camera: Camera,
    transforms: np.ndarray,
    size: int,
    drawn: Tensor,
    occluders: Tensor | None = None,
    backend: str = "numba",
) -> np.ndarray:
    """Draw the shaded lower face into crops, on black.

    Args:
        vertices_camera: (B, V, 3) mm, camera frame.
        albedo: (V, 3) or (B, V, 3) reflected share of R, G, B.
        lighting: (B, 3, 9) SH bands 0-2 for R, G, B.
        model: whose triangles these vertices belong to.
        camera: the clip's camera.
        transforms: (B, 2, 3) frame px to crop px.
        size: the crops' side, px.
        drawn: (F',) numbers of the triangles to draw, such as `region_triangles("lower_face")`.
        occluders: (F'',) numbers of triangles that hide what lies behind them but stay black.
        backend: which rasteriser, see `backend.choose_backend`.

    Returns:
        (B, size, size, 3) uint8 RGB.

    Raises:
        ShapeError: an argument is not shaped as documented.
    """
    batch = check_shape("vertices_camera", vertices_camera, "B V 3")["B"]
    check_shape("lighting", lighting, "B 3 9", B=batch)
    colour = shade_corners(vertices_camera, albedo, lighting, model, drawn)
    points = project_to_crop(vertices_camera, camera, transforms)
    triangles = model.triangles.cpu().numpy()
    hidden_by = None if occluders is None else triangles[occluders.cpu().numpy()]
    seen = triangles[drawn.cpu().numpy()]
    fragments, faces = see_triangles(points, seen, size, hidden_by, backend)
    return paint(fragments, faces, colour)


def shade_corners(
    vertices_camera: Tensor, albedo: Tensor, lighting: Tensor, model: MorphableModel, drawn: Tensor
) -> np.ndarray:
    """Colour the corners of some triangles under a frame's light.

    Args:
        vertices_camera: (B, V, 3) mm, camera frame.
        albedo: (V, 3) or (B, V, 3) reflected share of R, G, B.
        lighting: (B, 3, 9) SH bands 0-2 for R, G, B.
        model: whose triangles these vertices belong to.
        drawn: (F',) numbers of the triangles; other vertices' colours mean nothing.

    Returns:
        (B, V, 3) float32 RGB, in [0, 1] where the light is not too strong.
    """
    normals = drawn_normals(vertices_camera, model, drawn)
    colour: np.ndarray = shade(albedo, normals, lighting).detach().cpu().numpy()
    return colour


def paint(
    fragments: Fragments, triangles: np.ndarray, colour: np.ndarray, threads: int | None = None
) -> np.ndarray:
    """Paint what is seen, on black.

    Args:
        fragments: what is seen at each pixel of B pictures; triangles from F' on stay black.
        triangles: (F', 3) the first of the triangles that were rasterized.
        colour: (B, V, 3) RGB in [0, 1] of the corners; what is beyond is clipped.
        threads: at most this many at once; None means one for each core.

    Returns:
        (B, H, W, 3) uint8 RGB.

    Raises:
        ShapeError: an argument is not shaped as documented.
    """
    batch, height, width = fragments.triangle.shape
    check_shape("colour", colour, "B V 3", B=batch)
    check_shape("triangles", triangles, "F 3")
    corners = np.ascontiguousarray(colour, dtype=np.float32)
    faces = np.ascontiguousarray(triangles, dtype=np.int32)
    picture = np.zeros((batch, height, width, 3), dtype=np.uint8)

    def fill(number: int, first: int, end: int) -> None:
        rows = slice(first, end)
        _paint_rows(
            fragments.triangle[number, rows], fragments.weights[number, rows],
            faces, corners[number], picture[number, rows],
        )  # fmt: skip

    share_rows(fill, batch, height, threads)
    return picture


def lower_face_mask(
    vertices_closed: Tensor,
    vertices_open: Tensor,
    triangles: np.ndarray,
    camera: Camera,
    transforms: np.ndarray,
    size: int,
    grow_px: int,
    occluders: np.ndarray | None = None,
    backend: str = "numba",
    threads: int | None = None,
) -> np.ndarray:
    """Mark what any mouth of this head could cover, so that the mask never tells the mouth.

    Args:
        vertices_closed: (B, V, 3) mm, camera frame: the frame's pose with the mouth closed.
        vertices_open: (B, V, 3) mm, camera frame: the same pose with the mouth wide open.
        triangles: (F', 3) corner numbers of the lower face.
        camera: the clip's camera.
        transforms: (B, 2, 3) frame px to crop px.
        size: the crops' side, px.
        grow_px: how far the mask reaches beyond the two silhouettes, crop px.
        occluders: (F'', 3) triangles that hide the lower face where they are nearer.
        backend: which rasteriser, see `backend.choose_backend`.
        threads: at most this many at once on the processor; None means one for each core.

    Returns:
        (B, size, size) uint8: 255 within the mask, 0 outside; without holes.

    Raises:
        ShapeError: an argument is not shaped as documented.

    Source: the mouth mask of AudioDVP (Wen et al. 2020). Departs: holes are filled, and what
        is hidden by the rest of the head, such as a cheek behind the nose, is left out.
    """
    covered = np.zeros((len(vertices_closed), size, size), dtype=bool)
    for vertices in (vertices_closed, vertices_open):
        points = project_to_crop(vertices, camera, transforms)
        seen, _ = see_triangles(points, triangles, size, occluders, backend, threads, False)
        covered |= seen.covered
    return np.stack([solid_mask(silhouette, grow_px) for silhouette in covered])


def see_triangles(
    points: np.ndarray,
    triangles: np.ndarray,
    size: int | tuple[int, int],
    occluders: np.ndarray | None = None,
    backend: str = "numba",
    threads: int | None = None,
    weighted: bool = True,
) -> tuple[Fragments, np.ndarray]:
    """Rasterize the front of some triangles, with others that only hide them.

    Args:
        points: (B, V, 3) x, y in px of the pictures, depth in mm.
        triangles: (F', 3) corner numbers of what is to be seen.
        size: height and width of the pictures, px; one number means both.
        occluders: (F'', 3) corner numbers of what hides it.
        backend: which rasteriser, see `backend.choose_backend`.
        threads: at most this many at once on the processor; None means one for each core.
        weighted: whether the fragments' weights are wanted.

    Returns:
        Fragments in which pixels that show an occluder are empty, and the (F', 3) int32
        triangles that their numbers refer to.

    Raises:
        ShapeError: an argument is not shaped as documented.
    """
    faces = np.ascontiguousarray(triangles, dtype=np.int32)
    every = faces if occluders is None else np.concatenate([faces, occluders.astype(np.int32)])
    height, width = (size, size) if isinstance(size, int) else size
    box = box_around(points, faces)
    seen = see_mesh(backend, points, every, height, width, True, len(faces), threads, weighted, box)
    return seen, faces


def box_around(points: np.ndarray, triangles: np.ndarray) -> Box:
    """Find the box outside of which no picture of a batch can show any of some triangles.

    Args:
        points: (B, V, 3) x, y in px, depth in mm.
        triangles: (F, 3) corner numbers.

    Returns:
        left, top, right, bottom in px; it may reach beyond the pictures.
    """
    places = points[:, np.unique(triangles), :2]
    if not places.size or not np.isfinite(places).all():
        return -REACH_PX, -REACH_PX, REACH_PX, REACH_PX
    low = np.clip(np.floor(places.min((0, 1))), -REACH_PX, REACH_PX)
    high = np.clip(np.ceil(places.max((0, 1))), -REACH_PX, REACH_PX)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def drawn_normals(vertices: Tensor, model: MorphableModel, drawn: Tensor) -> Tensor:
    """Find the normals of some triangles' corners; what is elsewhere on the mesh costs nothing.

    Args:
        vertices: (B, V, 3) mm.
        model: whose triangles these vertices belong to.
        drawn: (F',) numbers of the triangles.

    Returns:
        (B, V, 3) unit vectors; other vertices' mean nothing.
    """
    triangles = model.triangles
    used = torch.zeros(vertices.shape[-2], dtype=torch.bool, device=triangles.device)
    used[triangles[drawn].flatten()] = True
    return vertex_normals(vertices, triangles[used[triangles].any(-1)])


def solid_mask(silhouette: np.ndarray, grow_px: int) -> np.ndarray:
    """Fill a silhouette's holes and grow it on all sides.

    Args:
        silhouette: (H, W) bool.
        grow_px: how far the mask reaches beyond it, px.

    Returns:
        (H, W) uint8, 0 or 255.
    """
    pixels = silhouette.astype(np.uint8)
    outlines, _ = cv2.findContours(pixels, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    mask = np.zeros_like(pixels)
    cv2.drawContours(mask, outlines, -1, (255,), cv2.FILLED)
    if grow_px <= 0:
        return mask
    side = 2 * grow_px + 1
    return cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))


@njit(cache=True, nogil=True)
def _paint_rows(triangle: Any, weights: Any, triangles: Any, colour: Any, out: Any) -> None:
    for row in range(out.shape[0]):
        for column in range(out.shape[1]):
            number = triangle[row, column]
            if number < 0 or number >= triangles.shape[0]:
                continue
            a, b, c = triangles[number, 0], triangles[number, 1], triangles[number, 2]
            u, v, w = weights[row, column]
            for channel in range(3):
                value = u * colour[a, channel] + v * colour[b, channel] + w * colour[c, channel]
                value = np.rint(value * np.float32(255.0))
                # Written so that not-a-number is black rather than an undefined byte.
                out[row, column, channel] = np.uint8(min(value, 255.0)) if value > 0.0 else 0
