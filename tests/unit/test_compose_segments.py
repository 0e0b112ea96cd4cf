"""Which frames get a new mouth: all of a segment, some beside it, no other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metatalk.compose.segments import blend_expression, segment_ramps
from metatalk.compose.segments_config import SegmentsConfig
from metatalk.errors import ConfigError

SECONDS = np.arange(100) / 25
CONFIG = SegmentsConfig()


@settings(max_examples=60, deadline=None)
@given(
    first_s=st.floats(0, 4),
    length_s=st.floats(0.001, 2),
    ramp_s=st.floats(0, 1),
    rate=st.sampled_from([24000 / 1001, 25.0, 60.0]),
)
def test_a_segment_is_new_and_the_rest_is_filmed(
    first_s: float, length_s: float, ramp_s: float, rate: float
) -> None:
    seconds, end_s = np.arange(150) / rate, first_s + length_s
    ramps = segment_ramps(seconds, np.array([[first_s, end_s]]), SegmentsConfig(ramp_s=ramp_s))
    inside = (seconds + 1 / rate > first_s + 1e-3) & (seconds < end_s - 1e-3)
    assert (ramps.picture[inside] == 1).all()
    assert (ramps.mouth[inside] == 1).all()
    outside = (seconds < first_s - ramp_s - 1 / rate) | (seconds > end_s + ramp_s)
    assert (ramps.picture[outside] == 0).all()
    assert (ramps.mouth[outside] == 0).all()


def test_the_picture_is_there_before_the_mouth_moves() -> None:
    """No frame mixes two mouths: where the picture is part filmed, the drawn one is as filmed."""
    seconds = np.arange(1000) / 250
    ramps = segment_ramps(seconds, np.array([[1.0, 2.0]]), CONFIG)
    fading = (ramps.picture > 0) & (ramps.picture < 1)
    assert fading.sum() > 10
    assert (ramps.mouth[fading] == 0).all()
    before = ramps.mouth[:250]
    assert (np.diff(before) >= 0).all()
    assert np.diff(before).max() < 0.05  # at 250 frames a second: a movement, not a switch


def test_both_sides_of_a_segment_are_alike() -> None:
    ramps = segment_ramps(SECONDS, np.array([[1.0, 2.0]]), CONFIG)
    np.testing.assert_allclose(ramps.mouth[15:25], ramps.mouth[59:49:-1], atol=1e-6)
    assert ramps.picture.sum() > 25


def test_a_segment_between_two_frames_is_the_frame_that_shows_it() -> None:
    ramps = segment_ramps(SECONDS, np.array([[1.01, 1.02]]), SegmentsConfig(ramp_s=0.0))
    assert np.flatnonzero(ramps.picture).tolist() == [25]


def test_a_segment_after_the_last_frame_has_none() -> None:
    ramps = segment_ramps(SECONDS, np.array([[4.0, 5.0]]), CONFIG)
    assert not ramps.picture.any()
    assert segment_ramps(SECONDS, np.array([[3.97, 5.0]]), CONFIG).picture[-1] == 1
    assert segment_ramps(np.zeros(1), np.array([[0.0, 1.0]]), CONFIG).picture.tolist() == [1.0]


def test_a_ramp_ends_at_a_cut() -> None:
    cuts = np.array([23, 52])
    ramps = segment_ramps(SECONDS, np.array([[1.0, 2.0]]), CONFIG, cuts)
    assert ramps.picture[22] == 0
    assert ramps.picture[23] == 1
    assert ramps.picture[51] == 1
    assert ramps.picture[52] == 0
    within = segment_ramps(SECONDS, np.array([[1.0, 2.0]]), CONFIG, np.array([40]))
    free = segment_ramps(SECONDS, np.array([[1.0, 2.0]]), CONFIG)
    np.testing.assert_array_equal(within.mouth, free.mouth)


def test_near_segments_keep_the_greater_share() -> None:
    one = segment_ramps(SECONDS, np.array([[1.0, 1.5]]), CONFIG)
    other = segment_ramps(SECONDS, np.array([[1.6, 2.0]]), CONFIG)
    both = segment_ramps(SECONDS, np.array([[1.0, 1.5], [1.6, 2.0]]), CONFIG)
    np.testing.assert_array_equal(both.mouth, np.maximum(one.mouth, other.mouth))
    assert both.picture[25:50].min() == 1


def test_no_segments_leave_the_film_as_it_is() -> None:
    ramps = segment_ramps(SECONDS, np.zeros((0, 2)), CONFIG)
    assert not ramps.picture.any()
    assert not ramps.mouth.any()


def test_the_expression_goes_from_the_filmed_to_the_new() -> None:
    filmed, new = np.zeros((3, 2), np.float32), np.ones((3, 2), np.float32)
    blended = blend_expression(filmed, new, np.array([0.0, 0.25, 1.0]))
    np.testing.assert_allclose(blended, [[0, 0], [0.25, 0.25], [1, 1]])
    assert blended.dtype == np.float32


@pytest.mark.parametrize("values", [{"ramp_s": -1}, {"fade": 0}, {"fade": 1.1}, {"margin_s": 2}])
def test_values_out_of_range_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=rf"drive\.segments\.{next(iter(values))} is"):
        SegmentsConfig(**values)
    SegmentsConfig(fade=1.0, ramp_s=0.0)
