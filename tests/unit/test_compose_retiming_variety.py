"""Utterances beside each other begin with different footage."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metatalk.compose.retiming.by_pose import Mouths, plan_by_pose
from metatalk.compose.retiming.by_speech import (
    START,
    Source,
    frame_costs,
    hear_parts,
    plan_by_speech,
    step_costs,
)
from metatalk.compose.retiming.config import RetimingConfig
from metatalk.compose.retiming.head_motion import HeadMotion
from metatalk.compose.retiming.plan import FramePlan
from metatalk.compose.retiming.variety import spread_starts
from metatalk.compose.retiming.walk import Review, WalkCosts, find_walk, no_jumps
from metatalk.compose.retiming.walk_steps import UNIT, Steps
from metatalk.errors import ConfigError
from metatalk.timing import true_runs

RATE, UTTERANCES, PERIOD = 25.0, 6, 60
COUNT = UTTERANCES * PERIOD
NODS = np.where(np.arange(160) // 20 % 2 == 1, 1.5, 0.1)  # four nods with pauses between
NODS[20:40] = 1.6  # the best of them
SPOKEN = np.arange(COUNT) % PERIOD >= 25


def nodding() -> Source:
    places = np.cumsum(np.stack([NODS / RATE, 0 * NODS], 1), axis=0)
    motion = HeadMotion(places, NODS, np.zeros(len(NODS)))
    return Source(motion, np.ones(len(NODS), bool), np.array([[0, len(NODS)]]), RATE)


def clock() -> FramePlan:
    return FramePlan(np.zeros(COUNT, np.int64), np.arange(COUNT), Fraction(1, 25))


def plan(retime: str, variety: float) -> FramePlan:
    config = RetimingConfig(variety=variety)
    if retime == "speech":
        return plan_by_speech(clock(), SPOKEN, nodding(), config)
    rng = np.random.default_rng(0)
    mouths = Mouths(rng.random((COUNT, 3)), rng.random((len(NODS), 3)))
    return plan_by_pose(clock(), SPOKEN, nodding(), mouths, rng.random((160, 4)), config)


def heard() -> np.ndarray:
    return hear_parts(SPOKEN, clock().seconds(), RetimingConfig())


def seen_again(frames: np.ndarray) -> int:
    """Starts that share a footage frame with one of the two before."""
    spans = [set(frames[first:end].tolist()) for first, end in true_runs(heard() == START)]
    assert len(spans) == UTTERANCES
    before = [set().union(*spans[max(number - 2, 0) : number]) for number in range(UTTERANCES)]
    return sum(bool(span & shown) for span, shown in zip(spans, before, strict=True))


@pytest.mark.parametrize("retime", ["speech", "pose"])
def test_neighbouring_utterances_begin_with_different_nods(retime: str) -> None:
    plain, varied = plan(retime, 0), plan(retime, RetimingConfig().variety)
    assert seen_again(plain.frames) >= 4
    assert seen_again(varied.frames) <= 1
    starts = heard() == START
    assert NODS[varied.frames][starts].mean() > 0.6 * NODS[plain.frames][starts].mean()
    np.testing.assert_array_equal(plan(retime, 3.0).frames, plan(retime, 3.0).frames)


def test_without_variety_the_walk_is_the_cheapest() -> None:
    source, config, parts = nodding(), RetimingConfig(variety=0), heard()
    table = frame_costs(source, config)
    steps = step_costs(source, config, no_jumps(len(source)))
    run = round(config.run_s * RATE)
    cheapest, _ = find_walk(COUNT, lambda a, b: table[parts[a:b]], steps, run)
    np.testing.assert_array_equal(plan("speech", 0).frames, cheapest)
    assert (plan("speech", 3).frames != cheapest).any()


def test_a_single_start_has_nothing_to_differ_from() -> None:
    assert spread_starts([(3, 9)], 50, 3.0) is None
    assert spread_starts([(3, 9), (20, 26)], 50, 0.0) is None
    with pytest.raises(ConfigError, match=r"drive\.retiming\.variety is -1"):
        RetimingConfig(variety=-1)


def test_what_opens_the_next_few_is_dear_and_what_lies_beside_it_less() -> None:
    starts = [(10 * n, 10 * n + 4) for n in range(8)]
    review = spread_starts(starts, 100, 3.0)
    assert review is not None
    assert review.breaks.tolist() == list(range(10, 80, 10))
    later = np.arange(80)[30:] + 20  # frame n of the result shows frame n + 20
    costs = review.charge(20, 28, 30, later)
    assert costs is not None
    assert not costs[4:].any()  # the start is over
    assert (costs[:4, 50:54] == 3).all()
    assert (costs[:4, [60, 70, 80]] == 3).all()  # four of them
    assert not costs[:4, 90:].any()
    assert costs[0, 50] > costs[0, 49] > costs[0, 48] > costs[0, 47] == 0
    assert review.charge(25, 30, 30, later) is None
    last = review.charge(70, 74, 80, later[:0])
    assert last is None or not last.any()


@st.composite
def problems(draw: st.DrawFn) -> tuple[np.ndarray, WalkCosts, int, np.random.Generator]:
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    lengths = draw(st.lists(st.integers(2, 12), min_size=1, max_size=3))
    ends = np.cumsum(lengths)
    count, result = int(ends[-1]), draw(st.integers(2, 90))
    some = lambda *shape: np.round(rng.uniform(0, 2, shape) / UNIT) * UNIT  # noqa: E731
    jumps = rng.integers(-1, count, (count, draw(st.integers(0, 2))))
    shots = np.stack([ends - lengths, ends], axis=1)
    costs = WalkCosts(shots, some(count), some(count), jumps, some(*jumps.shape))
    return some(result, count), costs, draw(st.integers(0, 3)), rng


@settings(deadline=None, max_examples=60)
@given(problems())
def test_a_review_that_charges_nothing_changes_nothing(problem) -> None:
    node, costs, run, rng = problem
    plain, cost = find_walk(len(node), lambda a, b: node[a:b], costs, run)
    breaks = np.flatnonzero(rng.random(len(node)) < 0.2)
    seen = []

    def charge(first: int, end: int, settled: int, later: np.ndarray) -> None:
        assert first < end <= settled
        assert not ((breaks > first) & (breaks < settled)).any()
        np.testing.assert_array_equal(later, plain[settled:])
        seen.append((first, end))

    review = Review(breaks[breaks > 0], charge)
    again, same = find_walk(len(node), lambda a, b: node[a:b], costs, run, review=review)
    np.testing.assert_array_equal(again, plain)
    assert same == cost
    asked = np.sort(np.concatenate([np.arange(*part) for part in seen]))
    np.testing.assert_array_equal(asked, np.arange(1, len(node)))  # each frame once


@pytest.mark.parametrize("every", [1, 3, 50])
def test_a_review_turns_each_place_into_a_frame_once(
    every: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many pieces there are, and whether they are charged or not."""
    turned, frame_of = [], Steps.frame_of

    def count(steps: Steps, places: np.ndarray) -> np.ndarray:
        turned.append(len(places))
        return frame_of(steps, places)

    monkeypatch.setattr(Steps, "frame_of", count)
    costs = WalkCosts(np.array([[0, 9]]), np.ones(9), np.ones(9), *no_jumps(9))
    node = np.random.default_rng(1).random((400, 9))
    review = Review(np.arange(every, 400, every), lambda a, b, *_: node[a:b] if a % 2 else None)
    find_walk(400, lambda a, b: node[a:b], costs, 2, review=review)
    assert sum(turned) == 400


def cost_of(frames: np.ndarray, node: np.ndarray, costs: WalkCosts) -> float:
    """What a walk without jumps costs, by its frames."""
    paid, way = node[np.arange(len(frames)), frames].sum(), 0
    for frame, step in zip(frames[:-1], np.diff(frames).tolist(), strict=True):
        paid += costs.hold[frame] if step == 0 else 0
        paid += costs.turn[frame] if step and way and step != way else 0
        way = step or way
    return float(paid)


@settings(deadline=None, max_examples=100)
@given(problems(), st.booleans())
def test_a_piece_that_is_charged_costs_no_more_than_as_it_was(problem, dear: bool) -> None:
    """Its end is settled, and the walk as it was ends there, too."""
    node, costs, run, rng = problem
    costs = replace(costs, **dict(zip(("sources", "jump"), no_jumps(len(costs)), strict=True)))
    plain, cost = find_walk(len(node), lambda a, b: node[a:b], costs, run)
    assert cost_of(plain, node, costs) == cost
    first, end = sorted(rng.integers(1, len(node) + 1, 2).tolist())
    extra = np.round(rng.uniform(0, 9 if dear else 1, node.shape) / UNIT) * UNIT
    extra[:first] = extra[end:] = 0
    breaks = np.unique([first, min(end, len(node) - 1)])
    review = Review(breaks, lambda a, b, *_: extra[a:b])
    frames, _ = find_walk(len(node), lambda a, b: node[a:b], costs, run, review=review)
    np.testing.assert_array_equal(frames[end:], plain[end:])
    whole = cost_of(plain, node + extra, costs)
    assert cost_of(frames, node + extra, costs) <= whole
