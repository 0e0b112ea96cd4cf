"""Who the presenter is, in the face model's own terms."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from demo_presenter.head import PLACE, Scene
from metatalk.morphable.model import MorphableModel

SEED, SPREAD = 6, 0.32  # a face near the average
DAMPING = 5e-4  # keeps modes that the skin does not need at rest


def presenter_identity(model: MorphableModel) -> torch.Tensor:
    """(I,) coefficients of a person whom nobody has met."""
    generator = torch.Generator().manual_seed(SEED)
    return SPREAD * torch.randn(len(model.identity_basis), generator=generator)


def presenter_texture(scene: Scene) -> torch.Tensor:
    """(X,) coefficients of the texture basis that come closest to the painted skin."""
    model = scene.model
    count = len(model.mean)
    height, width, _ = scene.skin.albedo.shape
    column, row = scene.fixed[:count, PLACE : PLACE + 2].astype(int).T
    seen = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    seen &= model.regions["skin"].numpy() & (model.mean[:, 2] < 60).numpy()
    soft = cv2.GaussianBlur(scene.skin.albedo, (0, 0), 8)
    difference = soft[row[seen], column[seen]] - model.texture_mean.numpy()[seen]
    basis = model.texture_basis.numpy()[:, seen].reshape(len(model.texture_basis), -1)
    normal = basis @ basis.T + DAMPING * len(difference) * np.eye(len(basis))
    return torch.from_numpy(np.linalg.solve(normal, basis @ difference.ravel())).float()
