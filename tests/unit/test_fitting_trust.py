"""A hand before the face is seen in its colours; what is always there is the face."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from face_toys import toy_clip, toy_model

from metatalk.fitting.photometric import ColourSamples
from metatalk.fitting.trust import measure_trust
from metatalk.morphable.lighting import ambient_light

MODEL = toy_model()
FRAMES, TOTAL = np.arange(0, 40, 4), 40
LIGHT = ambient_light(0.8).expand(len(FRAMES), 3, 9)


def samples_of(colours: torch.Tensor) -> ColourSamples:
    count = len(FRAMES)
    normals = torch.tensor([0.0, 0.0, -1.0]).expand(count, 60, 3)
    return ColourSamples(FRAMES, torch.arange(60), colours, normals, torch.ones(count, 60))


def plain() -> torch.Tensor:
    noise = 0.01 * torch.randn(len(FRAMES), 60, 3, generator=torch.Generator().manual_seed(0))
    return 0.8 * MODEL.texture_mean.expand(len(FRAMES), 60, 3) + noise


def trust_of(colours: torch.Tensor, error_mm: torch.Tensor | None = None, **landmarks):
    clip = replace(toy_clip(MODEL, TOTAL, torch.zeros(3)).landmarks, **landmarks)
    errors = torch.zeros(TOTAL) if error_mm is None else error_mm
    return measure_trust(MODEL, samples_of(colours), torch.zeros(6), LIGHT, clip, errors)


def test_a_face_in_full_view_is_trusted():
    trust = trust_of(plain())
    assert trust.visible_share.min() > 0.97
    assert trust.confidence.min() > 0.95
    assert trust.colour_error.max() < 0.02


def test_a_hand_lowers_the_trust_where_it_is():
    colours = plain()
    colours[5, :40] = torch.tensor([0.1, 0.3, 0.9])  # frame 20
    trust = trust_of(colours)
    assert abs(trust.visible_share[20] - 1 / 3) < 0.05
    assert trust.confidence[20] < 0.4
    assert trust.visible_share[[12, 28]].min() > 0.97
    assert trust.confidence[20] < trust.confidence[18] < trust.confidence[16]


def test_glasses_that_never_come_off_are_the_face():
    colours = plain()
    colours[:, :15] = 0.05
    assert trust_of(colours).visible_share.min() > 0.97


def test_bad_landmarks_and_no_face_lower_it_too():
    error = torch.zeros(TOTAL)
    error[10], error[11] = 2.0, torch.nan
    state = np.ones(TOTAL, np.uint8)
    state[11] = 0
    trust = trust_of(plain(), error, state=state)
    assert 0.45 < trust.confidence[10] < 0.55
    assert trust.confidence[11] == 0
