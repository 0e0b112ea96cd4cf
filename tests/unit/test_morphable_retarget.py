"""The laws of retargeting: rest to rest, reach to reach, in order, inside what was seen."""

from __future__ import annotations

import numpy as np
import pytest

from metatalk.errors import FittingError
from metatalk.morphable.retarget import ExpressionRange, measure_range, retarget


def ranges(rest: float, reach: float, low: float = -1.0, high: float = 2.0) -> ExpressionRange:
    return ExpressionRange(*(np.array([value]) for value in (rest, reach, low, high)))


def speaking(seed: int, frames: int = 400) -> np.ndarray:
    """(T, 5) units of somebody who speaks: at rest often, seldom wide open."""
    chance = np.random.default_rng(seed)
    wide = chance.uniform(0.2, 0.8, 5)
    return (0.05 + wide * chance.beta(0.6, 2.0, (frames, 5))).astype(np.float32)


def test_equal_ranges_change_nothing_that_was_seen():
    own = speaking(0)
    measured = measure_range(own, np.ones(len(own), bool), has_units=True)
    seen = np.clip(own, measured.low, measured.high)
    np.testing.assert_allclose(retarget(seen, measured, measured), seen, atol=1e-6)


def test_rest_becomes_rest_and_the_reach_follows_the_actor_s():
    mine, other = ranges(0.1, 0.4), ranges(0.02, 0.6)  # each reach counts a tenth more
    moved = retarget(np.array([[0.02], [0.62], [0.32]]), other, mine)
    np.testing.assert_allclose(moved[:, 0], [0.1, 0.1 + 0.6 * 5 / 7, 0.1 + 0.3 * 5 / 7], atol=1e-6)


def test_measured_rest_and_reach_are_the_tenth_and_the_last_twentieth():
    ramp = np.linspace(0.0, 1.0, 1001)[:, None]
    measured = measure_range(ramp, np.ones(1001, bool), has_units=True)
    assert measured.rest[0] == pytest.approx(0.10)
    assert measured.rest[0] + measured.reach[0] == pytest.approx(0.95)


def test_order_is_kept():
    mine, other = (measure_range(speaking(n), np.ones(400, bool), True) for n in (1, 2))
    ramp = np.repeat(np.linspace(-0.5, 1.5, 50)[:, None], 5, axis=1)
    assert (np.diff(retarget(ramp, other, mine), axis=0) >= 0).all()


def test_nobody_goes_further_than_a_quarter_beyond_what_the_actor_showed():
    mine, other = ranges(0.0, 0.4, 0.0, 0.4), ranges(0.0, 0.4, 0.0, 0.4)
    moved = retarget(np.array([[-5.0], [0.45], [5.0]]), other, mine)
    np.testing.assert_allclose(moved[:, 0], [-0.1, 0.45, 0.5], atol=1e-6)


def test_the_gain_is_at_most_two_and_at_least_a_half():
    far = np.array([[0.1]])
    assert retarget(far, ranges(0.0, 0.01), ranges(0.0, 0.9))[0, 0] == pytest.approx(0.2)
    assert retarget(far, ranges(0.0, 0.9), ranges(0.0, 0.01))[0, 0] == pytest.approx(0.05)


def test_modes_keep_their_proportions_and_change_their_rest():
    other, mine = speaking(3) * 2, speaking(4) - 1
    seen = [measure_range(values, np.ones(400, bool), has_units=False) for values in (other, mine)]
    near = other[:1] * 0.01 + np.median(other, axis=0) * 0.99
    expected = np.median(mine, axis=0) + near - np.median(other, axis=0)
    np.testing.assert_allclose(retarget(near, *seen), expected, atol=1e-5)


def test_frames_that_show_nothing_do_not_count():
    own = speaking(5)
    broken = np.concatenate([own, np.full((100, 5), 9.0, np.float32)])
    trusted = np.arange(500) < 400
    found = measure_range(broken, trusted, True)
    np.testing.assert_array_equal(found.high, measure_range(own, trusted[:400], True).high)
    with pytest.raises(FittingError, match="shows the face well"):
        measure_range(own, np.zeros(400, bool), True)
