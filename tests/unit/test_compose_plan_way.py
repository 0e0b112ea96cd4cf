"""What a plan's way through the footage is made of: jumps, turns, repeats and cuts."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metatalk.compose.retiming.plan import FramePlan, forth_and_back

walks = st.lists(
    st.one_of(st.sampled_from([-1, 0, 1]), st.integers(-30, 30)), min_size=0, max_size=60
).map(lambda steps: 1000 + np.cumsum([0, *steps]))


def plan_of(frames: np.ndarray) -> FramePlan:
    return FramePlan(np.asarray(frames), np.arange(len(frames)), Fraction(1, 25))


def test_turns_repeats_and_jumps_are_told_apart() -> None:
    #                          0  1  2  3  4  5  6   7   8
    plan = plan_of(np.array([5, 6, 7, 7, 6, 5, 40, 39, 40]))
    assert plan.turns().tolist() == [3, 7]  # where it stands still first
    assert plan.repeats().tolist() == [3]
    assert plan.jumps().tolist() == [6]


def test_after_a_jump_the_footage_only_goes_on() -> None:
    assert plan_of(np.array([5, 6, 20, 19, 18])).turns().tolist() == []
    assert plan_of(np.array([5, 6, 20, 20, 19])).turns().tolist() == []
    assert plan_of(np.array([5, 6, 20, 19, 20])).turns().tolist() == [3]


@given(walks)
def test_each_step_is_one_thing(frames: np.ndarray) -> None:
    """The slow way: from frame to frame, remembering which way the footage runs."""
    plan, steps = plan_of(frames), np.diff(frames).tolist()
    turns, way = [], 0
    for number, step in enumerate(steps):
        if abs(step) > 1:
            way = 0
        elif step:
            if way and step != way:
                turns.append(number)
            way = step
    assert plan.turns().tolist() == turns
    assert plan.jumps().tolist() == [n + 1 for n, step in enumerate(steps) if abs(step) > 1]
    assert plan.repeats().tolist() == [n + 1 for n, step in enumerate(steps) if step == 0]


@given(st.integers(1, 40), st.integers(1, 200))
def test_to_and_fro_turns_at_the_ends_alone(length: int, count: int) -> None:
    plan = plan_of(forth_and_back(length, count))
    assert len(plan.jumps()) == 0
    assert set(plan.frames[plan.turns()]) <= {0, length - 1}


@pytest.mark.parametrize(
    ("frames", "numbers", "cuts"),
    [
        ([0, 3, 4, 5], [1, 1, 2, 3], [2, 3]),  # shots of four frames, of one, and of five
        ([5, 4, 3, 3], [3, 2, 1, 1], [1, 2]),
        ([9], [3], []),
    ],
)
def test_cuts_are_where_another_shot_is_shown(
    frames: list[int], numbers: list[int], cuts: list[int]
) -> None:
    shots, plan = np.array([[0, 4], [4, 5], [5, 10]]), plan_of(np.array(frames))
    assert plan.shots(shots).tolist() == numbers
    assert plan.cuts(shots).tolist() == cuts
