"""The synthetic lower face and the mask that it fills."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from metatalk.morphable.camera import Camera
from metatalk.morphable.lighting import shade
from metatalk.morphable.model import MorphableModel
from metatalk.morphable.normals import vertex_normals
from metatalk.render.backend import see_mesh
from metatalk.render.crops import apply_transforms
from metatalk.render.rasterize import Fragments, interpolate
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
    points[..., :2] = apply_transforms(pixels.astype(np.float64), transforms)
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
    normals = _normals_around(vertices_camera, model.triangles, drawn)
    colour = shade(albedo, normals, lighting).detach().cpu().numpy()
    points = project_to_crop(vertices_camera, camera, transforms)
    triangles = model.triangles.cpu().numpy()
    hidden_by = None if occluders is None else triangles[occluders.cpu().numpy()]
    seen = triangles[drawn.cpu().numpy()]
    fragments, faces = see_triangles(points, seen, size, hidden_by, backend)
    picture = interpolate(fragments, faces, colour)
    np.multiply(picture, 255.0, out=picture)
    return np.clip(np.rint(picture, out=picture), 0, 255).astype(np.uint8)


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
        covered |= see_triangles(points, triangles, size, occluders, backend)[0].covered
    return np.stack([solid_mask(silhouette, grow_px) for silhouette in covered])


def see_triangles(
    points: np.ndarray,
    triangles: np.ndarray,
    size: int | tuple[int, int],
    occluders: np.ndarray | None = None,
    backend: str = "numba",
) -> tuple[Fragments, np.ndarray]:
    """Rasterize the front of some triangles, with others that only hide them.

    Args:
        points: (B, V, 3) x, y in px of the pictures, depth in mm.
        triangles: (F', 3) corner numbers of what is to be seen.
        size: height and width of the pictures, px; one number means both.
        occluders: (F'', 3) corner numbers of what hides it.
        backend: which rasteriser, see `backend.choose_backend`.

    Returns:
        Fragments in which pixels that show an occluder are empty, and the (F', 3) int32
        triangles that their numbers refer to.

    Raises:
        ShapeError: an argument is not shaped as documented.
    """
    faces = np.ascontiguousarray(triangles, dtype=np.int32)
    every = faces if occluders is None else np.concatenate([faces, occluders.astype(np.int32)])
    height, width = (size, size) if isinstance(size, int) else size
    seen = see_mesh(backend, points, every, height, width, cull_back=True, shown=len(faces))
    return seen, faces


def _normals_around(vertices: Tensor, triangles: Tensor, drawn: Tensor) -> Tensor:
    """Normals of the drawn triangles' corners; whatever is elsewhere on the mesh costs nothing."""
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
