"""Frame times are exact."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from metatalk.errors import MediaError, ShapeError
from metatalk.timing import FrameIndex, true_runs


def ntsc(frames: int) -> FrameIndex:
    return FrameIndex(np.arange(frames) * 1001, Fraction(1, 30000), Fraction(30000, 1001))


def test_ntsc_times_do_not_drift() -> None:
    index = ntsc(108_000)  # an hour
    assert index.time(107_999) == 107_999 * Fraction(1001, 30000)
    assert index.exact_duration == 108_000 * Fraction(1001, 30000)
    np.testing.assert_allclose(index.seconds(), np.arange(108_000) * 1001 / 30000, rtol=1e-15)


@pytest.mark.parametrize(
    ("pts", "time_base", "variable"),
    [
        ([0, 33, 67, 100], Fraction(1, 1000), False),  # 30 per second, rounded by the container
        ([0, 1, 2, 3], Fraction(1, 25), False),
        ([0, 1, 3, 4], Fraction(1, 25), True),  # one frame is missing
        ([0, 512, 1200, 1536], Fraction(1, 12800), True),
        ([0], Fraction(1, 25), False),
    ],
)
def test_variable_rate_is_told_from_rounding(
    pts: list[int], time_base: Fraction, variable: bool
) -> None:
    assert FrameIndex(np.array(pts), time_base, Fraction(25)).is_variable is variable


@pytest.mark.parametrize("pts", [[], [1, 2], [0, 2, 2], [0, 3, 2]])
def test_times_that_cannot_be_are_refused(pts: list[int]) -> None:
    with pytest.raises(MediaError):
        FrameIndex(np.array(pts, np.int64), Fraction(1, 25), Fraction(25))


def test_times_are_a_vector() -> None:
    with pytest.raises(ShapeError):
        FrameIndex(np.zeros((2, 2), np.int64), Fraction(1, 25), Fraction(25))


@pytest.mark.parametrize(
    ("flags", "runs"),
    [
        ([True, True], [(0, 2)]),
        ([1, 1, 0, 1], [(0, 2), (3, 4)]),
        ([0, 2, 0], [(1, 2)]),
        ([False] * 3, []),
        ([], []),
    ],
)
def test_runs_of_true(flags: list[int], runs: list[tuple[int, int]]) -> None:
    assert true_runs(np.array(flags)) == runs
