"""Takes at other times: exact where a frame is, linear between, never across a cut."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from face_toys import CAMERA, UNITS, toy_track
from interchange_toys import NTSC, toy_index, toy_take

from metatalk.errors import CurvesError, ShapeError
from metatalk.interchange.take import (
    Take,
    mix_rotations,
    number_shots,
    parse_rate,
    regular_index,
    resample_take,
)
from metatalk.morphable.pose import euler_to_matrix
from metatalk.timing import FrameIndex


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("25", Fraction(25)),
        (" 23.976", Fraction(24000, 1001)),
        ("23.98", Fraction(24000, 1001)),
        ("29.97", NTSC),
        ("59.94", Fraction(60000, 1001)),
        ("30000/1001", NTSC),
        ("12.5", Fraction(25, 2)),
    ],
)
def test_rates_are_exact(text: str, rate: Fraction):
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["", "fast", "0", "-25", "25/0", "nan", "inf", "1e9"])
def test_what_is_no_rate_is_refused(text: str):
    with pytest.raises(CurvesError, match="not a frame rate"):
        parse_rate(text)


@pytest.mark.parametrize(("seconds", "rate", "frames"), [(3, 25, 75), (3, NTSC, 90), (1, "0.1", 1)])
def test_as_many_frames_as_begin_within_the_duration(seconds: int, rate: Fraction, frames: int):
    index = regular_index(Fraction(seconds), Fraction(rate))
    assert len(index) == frames
    assert index.time(-1) < seconds <= index.exact_duration
    assert index.time(-1) == (frames - 1) / Fraction(rate)


def test_its_own_times_give_the_same_take():
    take = toy_take(12, cut=5, rate=NTSC)
    same = resample_take(take, regular_index(take.index.exact_duration, NTSC))
    for name, rows in vars(take.track).items():
        torch.testing.assert_close(getattr(same.track, name), rows, atol=1e-6, rtol=1e-6)
    assert same.shots.tolist() == take.shots.tolist()


def test_halfway_is_the_mean_and_on_the_sphere():
    take = toy_take(6)
    double = resample_take(take, regular_index(take.index.exact_duration, Fraction(50)))
    assert len(double) == 12
    expression = take.track.expression
    middle = (expression[2] + expression[3]) / 2
    torch.testing.assert_close(double.track.expression[5], middle)
    before, between, after = (
        euler_to_matrix(double.track.rotation[row].double()) for row in (4, 5, 6)
    )
    # Half the way on the sphere, done twice, is the whole way.
    torch.testing.assert_close(between @ before.T @ between, after, atol=1e-6, rtol=0)


def test_rotations_take_the_short_way_past_half_a_turn():
    angles = np.radians([[0.0, 0.0, 179.0], [0.0, 0.0, -179.0]])
    mixed = mix_rotations(angles, np.array([0]), np.array([1]), np.array([0.5]))
    assert math.degrees(abs(mixed[0, 2])) == pytest.approx(180.0)


def test_nothing_runs_across_a_cut():
    take = toy_take(10, cut=4)
    fine = resample_take(take, regular_index(take.index.exact_duration, Fraction(100)))
    seconds = fine.index.seconds()
    before = (seconds >= 0.12 - 1e-9) & (seconds < 0.16 - 1e-9)
    held = fine.track.expression[torch.from_numpy(before)]
    torch.testing.assert_close(held, take.track.expression[3].expand(len(held), -1))
    torch.testing.assert_close(fine.track.expression[16], take.track.expression[4])
    assert fine.shots[15:17].tolist() == [0, 1]


def test_a_cut_falls_on_its_own_frame_at_any_clock():
    """Times a hair early would show the frame before the cut."""
    for number in range(0, 3000, 61):
        index = FrameIndex(np.arange(2) * (number + 1) * 3003, Fraction(1, 90000), NTSC)
        track = toy_track(2)
        take = Take(UNITS, track, index, np.array([0, 1]), CAMERA)
        asked = regular_index(index.exact_duration, NTSC)
        assert resample_take(take, asked).shots[number : number + 2].tolist() == [0, 1]


def test_confidence_is_that_of_the_nearer_frame():
    take = toy_take(2)
    take.track.confidence[:] = torch.tensor([0.0, 1.0])
    fine = resample_take(take, regular_index(take.index.exact_duration, Fraction(100)))
    assert fine.track.confidence.tolist() == [0, 0, 1, 1, 1, 1, 1, 1]


def test_variable_times_are_respected():
    index = FrameIndex(np.array([0, 10, 50]), Fraction(1, 100), Fraction(6))
    take = Take(UNITS, toy_track(3), index, np.zeros(3, np.int64), CAMERA)
    at_tenths = resample_take(take, regular_index(Fraction(6, 10), Fraction(10)))
    expected = 0.75 * take.track.expression[1] + 0.25 * take.track.expression[2]
    torch.testing.assert_close(at_tenths.track.expression[2], expected)


def test_a_take_checks_its_shapes():
    with pytest.raises(ShapeError, match="expression"):
        Take(UNITS[:2], toy_track(4), toy_index(4), np.zeros(4, np.int64), CAMERA)
    with pytest.raises(ShapeError, match="shots"):
        Take(UNITS, toy_track(4), toy_index(4), np.zeros(3, np.int64), CAMERA)


def test_shots_are_numbered():
    assert number_shots(np.array([[0, 2], [2, 3], [3, 5]]), 5).tolist() == [0, 0, 1, 2, 2]
