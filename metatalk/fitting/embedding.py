"""Where on a face model the detector's landmarks lie, found by detecting on a render of it.

No landmark is picked by hand, so that every face model gets the detector's own idea of where
a mouth corner is, biases included, and the fit inherits none of the difference.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy.ndimage
import torch
from torch import Tensor

from metatalk.errors import FittingError
from metatalk.landmarks.detector import Detector
from metatalk.landmarks.points import point_groups
from metatalk.morphable.camera import Camera
from metatalk.morphable.lighting import sh_basis
from metatalk.morphable.model import MorphableModel
from metatalk.morphable.normals import vertex_normals
from metatalk.morphable.skin_texture import ALBEDO
from metatalk.render.rasterize import Fragments, interpolate, rasterize
from metatalk.shapes import check_shape

PICTURE_PX = 640
DISTANCE_MM = 700.0
FOCAL_PX = 1700.0
CHIN_BELOW_EYES_MM = 40.0  # how far below the model's origin the picture's middle lies
LID_REACH_MM = 4.0  # skin that a blink moves further belongs to the upper lid
OPENED = 0.35  # of the widest mouth: lips apart, so that the inner lip rings have a surface each


@dataclass(frozen=True, eq=False)
class Portrait:
    """The mean face from the front, and where a detector sees its landmarks."""

    fragments: Fragments  # of one picture: what is seen at each pixel
    points: np.ndarray  # (L, 2) px, the detector's landmarks


def embed_landmarks(model: MorphableModel, detector: Detector) -> MorphableModel:
    """Find the surface point under each of the detector's landmarks.

    Args:
        model: a face model whose regions name "skin" and "inner_mouth".
        detector: a landmark detector for single pictures.

    Returns:
        The model with `landmark_triangles`, `landmark_weights` and `landmark_layout`.

    Raises:
        FittingError: the detector sees no face in the render.
    """
    closed, open_mouth = torch.zeros(len(model.expression_names)), OPENED * model.open_mouth
    skin = model.region_triangles("skin")
    shut = take_portrait(model, detector, closed)
    triangles, weights = surface_under(shut.points, shut.fragments, skin)
    lips = list(point_groups(detector.layout).lips)
    apart = take_portrait(model, detector, open_mouth)
    triangles[lips], weights[lips] = surface_under(apart.points[lips], apart.fragments, skin)
    if any(name.startswith("eyeBlink") for name in model.expression_names):
        _embed_lids(model, shut, detector.layout, triangles, weights)
    return replace(
        model,
        landmark_triangles=torch.from_numpy(triangles),
        landmark_weights=torch.from_numpy(weights),
        landmark_layout=detector.layout,
    )


def _embed_lids(
    model: MorphableModel,
    seen: Portrait,
    layout: str,
    triangles: np.ndarray,
    weights: np.ndarray,
) -> None:
    """Keep the upper lids' landmarks on skin that a blink takes along, the lower ones off it.

    The detector's points lie on the lids' edges, and half of them over the eyeball: the nearest
    skin may be the other lid's.
    """
    blinking = torch.tensor([name.startswith("eyeBlink") for name in model.expression_names])
    moved = model.expression_basis[blinking].norm(dim=-1).amax(0) > LID_REACH_MM  # (V,)
    skin = model.region_triangles("skin")
    upper = moved[model.triangles[skin]].any(-1)
    groups = point_groups(layout)
    for ring in (groups.right_eye, groups.left_eye):
        half = len(ring) // 2
        for lid, allowed in ((ring[1:half], skin[upper]), (ring[half + 1 :], skin[~upper])):
            at = list(lid)
            found = surface_under(seen.points[at], seen.fragments, allowed)
            triangles[at], weights[at] = found


def portrait(model: MorphableModel, expression: Tensor) -> tuple[np.ndarray, Fragments]:
    """Picture the mean face from the front under a soft key light.

    Args:
        model: the face model.
        expression: (E,) activations.

    Returns:
        (PICTURE_PX, PICTURE_PX, 3) uint8 RGB, and what is seen at each pixel.
    """
    vertices = model.shape(torch.zeros(len(model.identity_basis)), expression)
    points = portrait_points(vertices).numpy()[None]
    light = torch.tensor([2.2, -0.35, -0.75, -0.2, 0.0, 0.0, 0.0, 0.0, 0.0])
    shading = (sh_basis(vertex_normals(vertices, model.triangles)) @ light).clamp_min(0.0)
    colours = (model.texture_mean * shading[:, None]).clamp(0, 1).numpy()
    triangles = model.triangles.numpy().astype(np.int32)
    hollow = not bool(model.regions["inner_mouth"].any())  # an open mouth is a hole in the surface
    fragments = rasterize(points, triangles, PICTURE_PX, PICTURE_PX, cull_back=hollow)
    picture = interpolate(fragments, triangles, colours, background=0.35)[0]
    if hollow:
        covered = fragments.covered[0]
        picture[scipy.ndimage.binary_fill_holes(covered) & ~covered] = ALBEDO["inner_mouth"]
    return (picture * 255).round().astype(np.uint8), fragments


def portrait_points(vertices: Tensor) -> Tensor:
    """Project vertices as `portrait` sees them.

    Args:
        vertices: (V, 3) mm, model frame.

    Returns:
        (V, 3) x and y in px of the portrait, depth in mm.

    Raises:
        ShapeError: `vertices` is not (V, 3).
    """
    check_shape("vertices", vertices, "V 3")
    placed = vertices + vertices.new_tensor((0.0, -CHIN_BELOW_EYES_MM, DISTANCE_MM))
    pixels = Camera(FOCAL_PX, PICTURE_PX, PICTURE_PX).project(placed)
    return torch.cat((pixels, placed[..., 2:]), -1)


def take_portrait(model: MorphableModel, detector: Detector, expression: Tensor) -> Portrait:
    """Picture the mean face and find its landmarks in the picture.

    Args:
        model: the face model.
        detector: a landmark detector for single pictures.
        expression: (E,) activations.

    Returns:
        The portrait.

    Raises:
        FittingError: the detector sees no face in it.
    """
    picture, fragments = portrait(model, expression)
    detector.reset()
    faces = detector.detect(picture)
    if not faces:
        raise FittingError(
            f"the landmark detector sees no face in a render of the {model.source} model",
            "check the units (millimetres) and axes (y down, z away) that its reader gives it",
        )
    return Portrait(fragments, faces[0].points[:, :2])


def surface_under(
    points: np.ndarray, fragments: Fragments, allowed: Tensor
) -> tuple[np.ndarray, np.ndarray]:
    """Find the surface points under pixels of a portrait.

    Args:
        points: (N, 2) px.
        fragments: of one picture.
        allowed: (F',) numbers of the triangles that may be found; where a pixel shows another
            one, the nearest pixel that shows one of these counts.

    Returns:
        (N,) int64 triangles and (N, 3) float32 weights of their corners.

    Raises:
        FittingError: the picture shows none of these triangles.
        ShapeError: `points` is not (N, 2).
    """
    check_shape("points", points, "N 2")
    seen = fragments.triangle[0]
    rows, columns = np.nonzero(np.isin(seen, allowed.numpy()))
    if not len(rows):
        raise FittingError("a render of the face model shows none of its skin")
    centres = np.stack((columns, rows), -1) + 0.5
    # One by one: all at once are a gigabyte of distances.
    nearest = np.array([((centres - point) ** 2).sum(-1).argmin() for point in points], int)
    rows, columns = rows[nearest], columns[nearest]
    return seen[rows, columns].astype(np.int64), fragments.weights[0, rows, columns].copy()
