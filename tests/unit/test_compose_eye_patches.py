"""From footage that blinks to frames that do not, or that do elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from eye_toys import RATE, Painted, blinking, eye_task, eye_track, paint_face
from face_toys import CAMERA, toy_track
from test_render_eyes import model_with_eyes

from metatalk.compose.eyes.config import EyesConfig
from metatalk.compose.eyes.patches import EyeClip, Eyes, Reader, prepare_eyes
from metatalk.morphable.coefficients import PersonCoefficients, TrackCoefficients
from metatalk.render.scene import Scene

COUNT, FIRST = 120, 60
OPEN, SHUT = (0.1, 0.1, 0.1), (0.62, 0.48, 0.4)  # of the eyes, in the picture


def still() -> TrackCoefficients:
    """A head whose eyes lie about where `paint_face` paints them."""
    return replace(
        toy_track(COUNT),
        rotation=torch.zeros(COUNT, 3),
        translation=torch.tensor([0.0, 0.0, 350.0]).expand(COUNT, -1).clone(),
    )


def scene(layout: str = "ibug68") -> Scene:
    person = PersonCoefficients(torch.zeros(3), torch.zeros(6))
    return Scene(replace(model_with_eyes(), landmark_layout=layout), person, CAMERA, 64)


def filmed(frame: int, seed: int = 0) -> Painted:
    """The footage: eyes that are shut in five frames."""
    return paint_face(iris=SHUT if FIRST <= frame < FIRST + 5 else OPEN, seed=seed)


def clip(read: Reader, layout: str = "ibug68") -> EyeClip:
    return EyeClip(eye_track(blinking(COUNT, [FIRST])), still(), scene(layout), RATE, read)


def prepared(
    frames: np.ndarray, config: EyesConfig, seen: list[int] | None = None, *, strange: bool = False
) -> Eyes | None:
    def read(wanted: list[int]) -> Iterator[Painted]:
        assert wanted == sorted(set(wanted))
        if seen is not None:
            seen.extend(wanted)
        # In strange footage nothing looks like anything before.
        yield from (filmed(frame, seed=frame if strange else 0) for frame in wanted)

    return prepare_eyes(eye_task(frames), clip(read), config, 0)


def darkness(eyes: Eyes, row: int, frame: int) -> float:
    """Of the eyes in a frame of the result: 0 shut, 1 open."""
    picture = filmed(frame)
    patch = eyes.patch(row, picture, still().take(np.array([frame])))
    pixels = picture.pixels / 255
    if patch is not None:
        height, width = patch.alpha.shape
        here = np.s_[patch.top : patch.top + height, patch.left : patch.left + width]
        alpha = patch.alpha[..., None]
        pixels = pixels.copy()
        pixels[here] = (1 - alpha) * pixels[here] + alpha * patch.picture
    return float(np.mean([(SHUT[0] - pixels[90, x, 0]) / (SHUT[0] - OPEN[0]) for x in (120, 200)]))


def test_keep_reads_nothing():
    seen: list[int] = []
    assert prepared(np.arange(COUNT), EyesConfig(), seen) is None
    assert seen == []


def test_removed_blinks_show_open_eyes_whatever_the_order():
    for frames in (np.arange(COUNT), np.arange(COUNT)[::-1]):
        seen: list[int] = []
        eyes = prepared(frames, EyesConfig("remove"), seen)
        assert eyes is not None
        assert eyes.plan.count("removed") == 1
        assert len(seen) == len(set(seen)) <= 8  # a blink, and what lies beside it
        rows = [row for row in range(COUNT) if eyes.plan.first[row] >= 0]
        assert sorted(frames[rows]) == list(range(FIRST, FIRST + 5))
        for row in (rows[0] - 1, *rows, rows[-1] + 1):
            assert darkness(eyes, row, int(frames[row])) > 0.9
        assert eyes.patch(0, filmed(0), still().take(np.array([0]))) is None
        assert set(eyes.windows) == set(eyes.plan.donors())


def test_blinks_put_in_shut_the_eyes():
    eyes = prepared(np.arange(50), EyesConfig("replace", 60, 0.2))
    assert eyes is not None
    assert eyes.plan.count("placed")
    event = next(event for event in eyes.plan.events if event.kind == "placed")
    assert darkness(eyes, event.first + 1, event.first + 1) < 0.1
    assert darkness(eyes, event.end, event.end) > 0.9


def test_pictures_that_do_not_fit_stay_and_it_is_said(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.INFO, logger="metatalk.compose.eyes.patches"):
        assert prepared(np.arange(COUNT), EyesConfig("remove"), strange=True) is None
    assert "1 of the filmed blinks stay" in caplog.text
    with caplog.at_level(logging.INFO, logger="metatalk.compose.eyes.patches"):
        assert prepared(np.arange(50), EyesConfig("replace"), strange=True) is None
    assert "no blink was put in" in caplog.text


def test_a_model_without_landmarks_keeps_the_eyes(caplog: pytest.LogCaptureFixture):
    blind = clip(lambda _: [], layout="")
    assert prepare_eyes(eye_task(np.arange(COUNT)), blind, EyesConfig("remove"), 0) is None
    assert "does not know its eyes" in caplog.text
