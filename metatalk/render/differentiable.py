"""Pictures with gradients: what is seen where is held fixed, what it looks like is not.

Either rasteriser says which triangle each pixel shows. The weights within it, and all that
follows, are worked out again in torch from the vertices, so that gradients flow to vertices,
albedo and light. There is none for a silhouette that moves over a pixel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from metatalk.morphable.camera import Camera
from metatalk.morphable.lighting import shade
from metatalk.morphable.normals import vertex_normals
from metatalk.render.crops import invert_transforms
from metatalk.render.rasterize import Fragments
from metatalk.shapes import check_shape


@dataclass(frozen=True, eq=False)
class Pixels:
    """The N pixels of B pictures that show a surface, and through which corners."""

    shape: tuple[int, int, int]  # B, H, W of the pictures
    picture: Tensor  # (N,) int64, the picture a pixel belongs to
    where: Tensor  # (N,) int64, its place among all pixels of all pictures
    rays: Tensor  # (N, 2) x / z and y / z, camera frame, of what its centre shows
    corners: Tensor  # (N, 3) int64, vertex numbers of the triangle it shows

    def __post_init__(self) -> None:
        count = check_shape("where", self.where, "N")["N"]
        check_shape("picture", self.picture, "N", N=count)
        check_shape("rays", self.rays, "N 2", N=count)
        check_shape("corners", self.corners, "N 3", N=count)


@dataclass(frozen=True, eq=False)
class Appearance:
    """What B pictures show; everything carries gradients."""

    colour: Tensor  # (B, H, W, 3) RGB, not clipped; 0 where there is no surface
    normals: Tensor  # (B, H, W, 3) unit vectors, camera frame; 0 where there is no surface
    depth: Tensor  # (B, H, W) mm; 0 where there is no surface


def seen_pixels(
    fragments: Fragments,
    triangles: Tensor,
    camera: Camera,
    transforms: np.ndarray | None = None,
    dtype: torch.dtype = torch.float32,
) -> Pixels:
    """List the pixels that show a surface: the visibility that is held fixed.

    Args:
        fragments: what either rasteriser found.
        triangles: (F, 3) the triangles that were rasterized, on the device to work on.
        camera: the clip's camera.
        transforms: (B, 2, 3) frame px to px of the pictures; None: they are whole frames.
        dtype: of the rays, that of the vertices to come.

    Returns:
        The pixels.

    Raises:
        ShapeError: an argument is not shaped as documented.
    """
    check_shape("triangles", triangles, "F 3")
    batch, height, width = fragments.triangle.shape
    where = torch.from_numpy(np.flatnonzero(fragments.covered))
    numbers = torch.from_numpy(fragments.triangle.reshape(-1))[where].long()
    picture, rest = where // (height * width), where % (height * width)
    centres = torch.stack((rest % width, rest // width), -1).double() + 0.5
    if transforms is not None:
        check_shape("transforms", transforms, "B 2 3", B=batch)
        back = torch.from_numpy(invert_transforms(transforms))[picture]  # (N, 2, 3)
        centres = (back[..., :2] @ centres[..., None])[..., 0] + back[..., 2]
    middle = centres.new_tensor([camera.width / 2, camera.height / 2])
    rays = ((centres - middle) / camera.focal_px).to(dtype)
    place = triangles.device
    corners = triangles.long()[numbers.to(place)]
    return Pixels(
        (batch, height, width), picture.to(place), where.to(place), rays.to(place), corners
    )


def pixel_weights(pixels: Pixels, vertices_camera: Tensor) -> Tensor:
    """Say how much of each corner a pixel shows.

    Args:
        pixels: N pixels.
        vertices_camera: (B, V, 3) mm, camera frame.

    Returns:
        (N, 3) perspective-correct barycentrics, sum 1; differentiable.

    Raises:
        ShapeError: the vertices are not those of so many pictures.

    Source: the point on the pixel's ray d is a weighted sum of the corners a, b, c with weights
        in proportion to det(d, b, c), det(d, c, a) and det(d, a, b) (Cramer's rule). Taking from
        each corner its own depth's share of the ray leaves them small, and float32 exact enough.
    """
    check_shape("vertices_camera", vertices_camera, "B V 3", B=pixels.shape[0])
    corners = vertices_camera[pixels.picture[:, None], pixels.corners]  # (N, 3, 3)
    a, b, c = (corners[..., :2] - pixels.rays[:, None] * corners[..., 2:]).unbind(1)
    shares = torch.stack((_cross(b, c), _cross(c, a), _cross(a, b)), -1)
    return shares / shares.sum(-1, keepdim=True)


def spread(pixels: Pixels, weights: Tensor, attributes: Tensor) -> Tensor:
    """Carry values from the vertices to the pixels.

    Args:
        pixels: N pixels.
        weights: (N, 3) from `pixel_weights`.
        attributes: (B, V, C), or (V, C) for all pictures alike.

    Returns:
        (N, C) in the unit of the attributes; differentiable in weights and attributes.

    Raises:
        ShapeError: an argument is not shaped as documented.
    """
    check_shape("weights", weights, "N 3", N=len(pixels.where))
    if attributes.ndim == 2:
        values = attributes[pixels.corners]
    else:
        check_shape("attributes", attributes, "B V C", B=pixels.shape[0])
        values = attributes[pixels.picture[:, None], pixels.corners]
    return (weights[..., None] * values).sum(1)


def to_pictures(pixels: Pixels, values: Tensor) -> Tensor:
    """Put the pixels' values where they belong.

    Args:
        pixels: N pixels.
        values: (N, C).

    Returns:
        (B, H, W, C), 0 where there is no surface.

    Raises:
        ShapeError: there are not as many values as pixels.
    """
    sizes = check_shape("values", values, "N C", N=len(pixels.where))
    batch, height, width = pixels.shape
    flat = values.new_zeros(batch * height * width, sizes["C"])
    return flat.index_copy(0, pixels.where, values).reshape(batch, height, width, sizes["C"])


def draw_appearance(
    pixels: Pixels, vertices_camera: Tensor, albedo: Tensor, lighting: Tensor, triangles: Tensor
) -> Appearance:
    """Draw a lit surface so that its picture can be compared with a real one.

    Args:
        pixels: what is seen where, held fixed.
        vertices_camera: (B, V, 3) mm, camera frame.
        albedo: (V, 3) or (B, V, 3) reflected share of R, G, B.
        lighting: (B, 3, 9) SH bands 0-2 for R, G, B.
        triangles: (F, 3) all triangles around the vertices, for their normals.

    Returns:
        The pictures, with gradients to vertices, albedo and light.

    Raises:
        ShapeError: an argument is not shaped as documented.

    Source: Phong 1975 for normals within a triangle. Departs: `render_lower_face` shades the
        vertices and spreads their colours, which differs by less than footage can show.
    """
    check_shape("lighting", lighting, "B 3 9", B=pixels.shape[0])
    weights = pixel_weights(pixels, vertices_camera)
    around = vertex_normals(vertices_camera, triangles)
    normals = normalize(spread(pixels, weights, around), dim=-1)
    skin = spread(pixels, weights, albedo)
    light = lighting[pixels.picture]  # (N, 3, 9)
    colour = shade(skin[:, None], normals[:, None], light)[:, 0]
    depth = spread(pixels, weights, vertices_camera[..., 2:])
    return Appearance(
        to_pictures(pixels, colour),
        to_pictures(pixels, normals),
        to_pictures(pixels, depth)[..., 0],
    )


def _cross(first: Tensor, second: Tensor) -> Tensor:
    """(..., 2) and (..., 2) to the (...) area that they span."""
    return first[..., 0] * second[..., 1] - first[..., 1] * second[..., 0]
