"""Where on a face model the detector's landmarks lie, found by detecting on a render of it.

No landmark is picked by hand, so that every face model gets the detector's own idea of where
a mouth corner is, biases included, and the fit inherits none of the difference.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from metatalk.errors import FittingError
from metatalk.landmarks.detector import Detector
from metatalk.landmarks.points import point_groups
from metatalk.morphable.camera import Camera
from metatalk.morphable.lighting import sh_basis
from metatalk.morphable.model import MorphableModel
from metatalk.morphable.normals import vertex_normals
from metatalk.render.rasterize import Fragments, interpolate, rasterize

PICTURE_PX = 640
DISTANCE_MM = 700.0
FOCAL_PX = 1700.0
CHIN_BELOW_EYES_MM = 40.0  # how far below the model's origin the picture's middle lies
OPENED = 0.35  # of the widest mouth: lips apart, so that the inner lip rings have a surface each


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
    triangles, weights = _surface_under(model, detector, closed, skin)
    groups = point_groups(detector.layout)
    lips = list(groups.lips)
    apart = _surface_under(model, detector, open_mouth, skin)
    triangles[lips], weights[lips] = apart[0][lips], apart[1][lips]
    return replace(
        model,
        landmark_triangles=torch.from_numpy(triangles),
        landmark_weights=torch.from_numpy(weights),
        landmark_layout=detector.layout,
    )


def portrait(model: MorphableModel, expression: Tensor) -> tuple[np.ndarray, Fragments]:
    """Picture the mean face from the front under a soft key light.

    Args:
        model: the face model.
        expression: (E,) activations.

    Returns:
        (PICTURE_PX, PICTURE_PX, 3) uint8 RGB, and what is seen at each pixel.
    """
    vertices = model.shape(torch.zeros(len(model.identity_basis)), expression)
    vertices = vertices + torch.tensor([0.0, -CHIN_BELOW_EYES_MM, DISTANCE_MM])
    pixels = Camera(FOCAL_PX, PICTURE_PX, PICTURE_PX).project(vertices)
    points = torch.cat((pixels, vertices[..., 2:]), -1).numpy()[None]
    light = torch.tensor([2.2, -0.35, -0.75, -0.2, 0.0, 0.0, 0.0, 0.0, 0.0])
    shading = (sh_basis(vertex_normals(vertices, model.triangles)) @ light).clamp_min(0.0)
    colours = (model.texture_mean * shading[:, None]).clamp(0, 1).numpy()
    fragments = rasterize(points, model.triangles.numpy().astype(np.int32), PICTURE_PX, PICTURE_PX)
    picture = interpolate(fragments, model.triangles.numpy(), colours, background=0.35)[0]
    return (picture * 255).round().astype(np.uint8), fragments


def _surface_under(
    model: MorphableModel, detector: Detector, expression: Tensor, allowed: Tensor
) -> tuple[np.ndarray, np.ndarray]:
    """(L,) triangles and (L, 3) weights under the landmarks seen on one portrait."""
    picture, fragments = portrait(model, expression)
    detector.reset()
    faces = detector.detect(picture)
    if not faces:
        raise FittingError(
            f"the landmark detector sees no face in a render of the {model.source} model",
            "check the units (millimetres) and axes (y down, z away) that its reader gives it",
        )
    seen = fragments.triangle[0]
    rows, columns = np.nonzero(np.isin(seen, allowed.numpy()))
    centres = np.stack((columns, rows), -1) + 0.5
    points = faces[0].points[:, :2]
    nearest = ((points[:, None] - centres[None]) ** 2).sum(-1).argmin(1)
    rows, columns = rows[nearest], columns[nearest]
    return seen[rows, columns].astype(np.int64), fragments.weights[0, rows, columns].copy()
