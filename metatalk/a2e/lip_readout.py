"""What the mouth space moves at the lips, in millimetres: gap, width and protrusion."""

from __future__ import annotations

import numpy as np

from metatalk.a2e.lip_meter import LipMeter
from metatalk.a2e.targets import MouthSpace
from metatalk.errors import ShapeError
from metatalk.landmarks.points import point_groups
from metatalk.morphable.model import MorphableModel


def read_lips(model: MorphableModel, space: MouthSpace, meter: LipMeter) -> np.ndarray:
    """Say what one deviation of each mouth coordinate does to the lips.

    Args:
        model: the face model, with landmarks; x runs to the picture's right, z into it.
        space: the actor's mouth space.
        meter: of the lips' gap.

    Returns:
        (3, K) float32 millimetres: lips apart, corners apart, lips forward.

    Raises:
        ShapeError: the model has no landmarks.
    """
    if not model.landmark_layout:
        raise ShapeError("the face model has no landmarks, so its lips cannot be measured")
    groups = point_groups(model.landmark_layout)
    moves = model.landmark_basis()[2].numpy()  # (E, L, 3)
    left, right = groups.mouth_corners
    wider = moves[:, right, 0] - moves[:, left, 0]
    forward = -moves[:, list(groups.lips_outer), 2].mean(axis=1)
    per_unit = np.stack([meter.per_unit_mm, wider, forward])  # (3, E)
    lips: np.ndarray = (per_unit @ space.directions.T).astype(np.float32)
    return lips
