"""Edited curves drive the lower face; the rest of the face, and the rest pose, stay."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from face_toys import UNITS

from metatalk.interchange.edits import Edits
from metatalk.stages.performance import drawn_expression

LOWER = np.array([True, True, False, False])  # jawOpen, mouthSmileLeft | brow, eye
REST = np.array([0.02, 0.1, 0.5, 0.5], np.float32)


def draw(edits: Edits, seconds: np.ndarray) -> np.ndarray:
    spoken = np.full((len(seconds), 4), 0.7, np.float32)
    return drawn_expression(spoken, edits, seconds, UNITS, LOWER, REST)


def test_only_the_lower_face_is_taken():
    edits = Edits(np.array([0.0, 1.0]), UNITS, np.array([[0.0, 0.2, 9.0, 9.0], [1.0, 0.2, 9, 9]]))
    drawn = draw(edits, np.array([0.0, 0.25, 1.0]))
    np.testing.assert_allclose(drawn[:, 0], [0.0, 0.25, 1.0])
    np.testing.assert_allclose(drawn[:, 1], 0.2)
    np.testing.assert_allclose(drawn[:, 2:], 0.7)


def test_units_that_are_not_drawn_stay_spoken(caplog: pytest.LogCaptureFixture):
    edits = Edits(np.array([0.0]), ("jawOpen",), np.array([[0.3]]))
    with caplog.at_level(logging.WARNING):
        drawn = draw(edits, np.array([0.0, 0.1]))
    np.testing.assert_allclose(drawn, [[0.3, 0.7, 0.7, 0.7]] * 2)
    assert "mouthSmileLeft" in caplog.text


def test_curves_that_end_are_held_and_go_to_the_actor_s_rest():
    edits = Edits(np.array([0.0, 1.0]), UNITS[:2], np.array([[0.0, 0.0], [0.8, 0.4]]))
    drawn = draw(edits, np.array([1.0, 1.2, 1.35, 1.6, 60.0]))
    np.testing.assert_allclose(drawn[:, 0], [0.8, 0.8, 0.41, 0.02, 0.02], atol=1e-6)
    np.testing.assert_allclose(drawn[:, 1], [0.4, 0.4, 0.25, 0.1, 0.1], atol=1e-6)


@pytest.mark.parametrize("rate", [24.0, 25.0, 30000 / 1001, 60.0])
def test_any_frame_rate_shows_the_same_movement(rate: float):
    times = np.arange(0, 2.0001, 1 / 60)
    edits = Edits(times, UNITS[:2], np.stack([times / 2, 1 - times / 2], -1))
    seconds = np.arange(int(2 * rate)) / rate
    np.testing.assert_allclose(draw(edits, seconds)[:, 0], seconds / 2, atol=1e-6)
