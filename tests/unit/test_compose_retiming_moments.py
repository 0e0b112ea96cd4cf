"""Moments between footage frames: what is held, where the footage turns, what a jump goes over."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metatalk.compose.retiming.moments import bridge_jumps, half_steps
from metatalk.compose.retiming.plan import forth_and_back

WHOLE = np.array([[0, 200]])


def shown(frames: list[int], shots: np.ndarray = WHOLE) -> np.ndarray:
    """Where in the footage each frame of a result stands, in frames."""
    walk = np.array(frames)
    towards, share = half_steps(walk, shots)
    assert share.dtype == np.float32
    assert (walk == frames).all()
    return np.asarray(walk + share * (towards - walk))


def test_a_repeat_stands_half_way_to_the_next_frame():
    assert shown([4, 5, 5, 6, 6, 7]).tolist() == [4, 5, 5.5, 6, 6.5, 7]
    assert shown([5, 5, 4, 4]).tolist() == [5, 4.5, 4, 4]  # after the last frame there is none


def test_a_repeat_before_a_jump_or_a_cut_stays_as_it_was_filmed():
    assert shown([11, 12, 12, 80, 80, 79, 90, 90]).tolist() == [11, 12, 12, 80, 79.5, 79, 90, 90]
    assert shown([3, 4, 4, 5], np.array([[0, 5], [5, 9]])).tolist() == [3, 4, 4, 5]


def test_the_head_brakes_where_the_footage_turns():
    up, down = shown([5, 6, 7, 6, 5]), shown([7, 6, 5, 6, 7])
    assert up == pytest.approx([5, 6, 6 + 1 / 3, 6, 5], abs=1e-6)
    assert down == pytest.approx([7, 6, 6 - 1 / 3, 6, 7], abs=1e-6)
    assert np.abs(np.diff(up, 2)).max() == pytest.approx(2 / 3, abs=1e-6)
    assert shown([5, 6, 7, 7, 6, 5]).tolist() == [5, 6, 6.5, 6.5, 6, 5]
    assert shown([3, 4, 5, 4], np.array([[0, 5], [5, 6]])).tolist() == [3, 4, 5, 4]  # over a cut
    assert shown([7, 6]).tolist() == [7, 6]
    assert shown([7]).tolist() == [7]


@given(st.integers(3, 30), st.integers(1, 100))
def test_to_and_fro_nothing_is_ever_thrown_round(length: int, count: int):
    places = shown(forth_and_back(length, count).tolist())
    inside = np.abs(np.diff(places, 2))
    assert count < 3 or inside.max() <= (2 / 3 if length > 3 else 4 / 3) + 1e-6


def test_a_jump_is_spread_over_both_strands():
    frames = np.array([10, 11, 12, 13, 40, 39, 38, 37])
    towards, share = bridge_jumps(frames, np.array([[0, 42]]), 5)
    assert np.flatnonzero(share).tolist() == [1, 2, 3, 4, 5]
    assert towards[1:6].tolist() == [41, 41, 41, 14, 15]  # the shot ends at 41
    whole = np.where(np.arange(8) < 4, share, 1 - share)[1:6]  # of the way to the new strand
    assert (np.diff(whole) > 0).all()
    assert whole + whole[::-1] == pytest.approx(1)
    assert share.max() <= 0.5
    backwards = bridge_jumps(np.array([20, 19, 18, 5, 6, 7]), np.array([[0, 42]]), 3)[0]
    assert backwards[1:4].tolist() == [3, 4, 17]
    plain = bridge_jumps(frames, np.array([[0, 42]]), 0)
    assert not plain[1].any()
    ends = bridge_jumps(np.array([3, 9]), np.array([[0, 12]]), 5)
    assert (ends[1] > 0).all()
