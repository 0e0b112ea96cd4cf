"""The cheapest walk through footage, against all walks there are."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metatalk.compose.retiming.walk import WalkCosts, find_walk, no_jumps, shorten_run
from metatalk.compose.retiming.walk_steps import UNIT
from metatalk.errors import ShapeError

Step = tuple[int, int, int, bool, float]  # frame, direction, frames since a turn, held, cost


def next_steps(state: Step, costs: WalkCosts, run: int) -> Iterator[Step]:
    """Every legal step from a state, straight from the rules of the module's docstring."""
    t, direction, age, held, cost = state
    shot = next((first, end) for first, end in costs.shots.tolist() if first <= t < end)
    inside = lambda frame: shot[0] <= frame < shot[1]  # noqa: E731
    on, back = t + direction, t - direction
    if inside(on):
        yield on, direction, age + 1, False, cost
    if age < run:
        return
    if not held:
        yield t, direction, age + 1, True, cost + costs.hold[t]
    if inside(back):
        yield back, -direction, 0, False, cost + costs.turn[t]
    if inside(on):
        for target, sources in enumerate(costs.sources.tolist()):
            for k, source in enumerate(sources):
                if source == on:
                    for way in (1, -1):
                        yield target, way, 0, False, cost + costs.jump[target, k]


def cheapest_by_force(
    node: np.ndarray, costs: WalkCosts, run: int, start: int | None
) -> tuple[float, set[tuple[int, ...]]]:
    """Cost of the best walk and all walks within rounding of it."""
    found: list[tuple[float, tuple[int, ...]]] = []

    def go(state: Step, path: tuple[int, ...]) -> None:
        state = (*state[:4], state[4] + node[len(path) - 1, state[0]])
        if len(path) == len(node):
            found.append((state[4], path))
            return
        for following in next_steps(state, costs, run):
            go(following, (*path, following[0]))

    for t in range(len(costs)) if start is None else [start]:
        for direction in (1, -1):
            go((t, direction, run, False, 0.0), (t,))
    best = min((cost for cost, _ in found), default=np.inf)
    return best, {path for cost, path in found if cost <= best + 1e-9}


def in_units(values: np.ndarray) -> np.ndarray:
    """Costs that need no rounding."""
    return np.round(values / UNIT) * UNIT


@st.composite
def problems(draw: st.DrawFn) -> tuple[np.ndarray, WalkCosts, int, int | None]:
    lengths = draw(st.lists(st.integers(1, 5), min_size=1, max_size=3))
    ends = np.cumsum(lengths)
    shots = np.stack([ends - lengths, ends], axis=1)
    count, result = int(ends[-1]), draw(st.integers(1, 7))
    seed = draw(st.integers(0, 2**31))
    rng = np.random.default_rng(seed)
    candidates = draw(st.integers(0, 2))
    costs = WalkCosts(
        shots,
        in_units(rng.uniform(0, 2, count)),
        in_units(rng.uniform(0, 2, count)),
        rng.integers(-1, count, (count, candidates)),
        in_units(rng.uniform(0, 3, (count, candidates))),
    )
    start = draw(st.none() | st.integers(0, count - 1))
    node = in_units(rng.uniform(-2, 2, (result, count)))
    return node, costs, draw(st.integers(0, 3)), start


@settings(deadline=None, max_examples=300)
@given(problems())
def test_no_walk_is_cheaper(problem):
    node, costs, run, start = problem
    run = shorten_run(run, costs.shots)
    best, walks = cheapest_by_force(node, costs, run, start)
    if not walks:
        with pytest.raises(ShapeError, match="no walk"):
            find_walk(len(node), lambda a, b: node[a:b], costs, run, start)
        return
    frames, cost = find_walk(len(node), lambda a, b: node[a:b], costs, run, start)
    assert cost == best  # to the last unit
    assert tuple(frames.tolist()) in walks


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 12), st.integers(1, 400), st.integers(0, 6), st.integers(0, 2**31))
def test_long_walks_stay_in_one_shot_and_keep_the_rules(length, count, run, seed):
    rng = np.random.default_rng(seed)
    shots = np.array([[0, length], [length, 2 * length + 3]])
    total = int(shots[-1, 1])
    costs = WalkCosts(
        shots, in_units(rng.random(total)), in_units(rng.random(total)), *no_jumps(total)
    )
    node = in_units(rng.uniform(-1, 1, (count, total)))
    frames, cost = find_walk(count, lambda a, b: node[a:b], costs, run)
    assert len({bool(frame >= length) for frame in frames}) == 1
    steps = np.diff(frames)
    assert (np.abs(steps) <= 1).all()
    assert not ((steps[1:] == 0) & (steps[:-1] == 0)).any()
    turned = turns(frames)
    assert (np.diff(turned) > shorten_run(run, shots)).all()
    paid = node[np.arange(count), frames].sum()
    held = np.flatnonzero(steps == 0)
    paid += costs.hold[frames[held]].sum() + costs.turn[frames[turned]].sum()
    assert paid == cost


def turns(frames: np.ndarray) -> np.ndarray:
    """Places in the walk from which it goes back."""
    way, found = 0, []
    for place, step in enumerate(np.diff(frames).tolist()):
        if step and way and step != way:
            found.append(place)
        way = step or way
    return np.array(found, int)


def test_stretches_do_not_change_the_walk():
    """A walk of 257 frames has sixteen stretches and one of a single frame."""
    rng = np.random.default_rng(3)
    hold, turn = in_units(rng.random((2, 9)))
    costs = WalkCosts(np.array([[0, 9]]), hold, turn, *no_jumps(9))
    for count in (1, 2, 3, 4, 5, 16, 17, 256, 257):
        node = in_units(np.random.default_rng(count).random((count, 9)))
        frames, cost = find_walk(count, lambda a, b, node=node: node[a:b], costs, 2)
        assert cost == _forward_only(node, costs, 2)
        assert len(frames) == count


def _forward_only(node: np.ndarray, costs: WalkCosts, run: int) -> float:
    """The best cost by going over a dictionary of states."""
    states = {(t, way, run, False): node[0, t] for t in range(len(costs)) for way in (1, -1)}
    for row in node[1:]:
        reached: dict[tuple[int, int, int, bool], float] = {}
        for state, cost in states.items():
            for t, way, age, held, paid in next_steps((*state, cost), costs, run):
                key = (t, way, min(age, run), held)
                reached[key] = min(reached.get(key, np.inf), paid + row[t])
        states = reached
    return min(states.values())


def test_memory_is_a_few_states_and_a_stretch_of_steps():
    """The states of all ages at every root of N frames would take seven times as much."""
    footage, result, run = 400, 2500, 30
    rng = np.random.default_rng(5)
    costs = WalkCosts(
        np.array([[0, footage]]), rng.random(footage), rng.random(footage), *no_jumps(footage)
    )
    table = rng.random((3, footage))
    node = lambda first, end: table[np.arange(first, end) // 40 % 3]  # noqa: E731
    find_walk(3, node, costs, run)  # compiles
    tracemalloc.start()
    frames, _ = find_walk(result, node, costs, run)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(frames) == result
    assert most < 0.25 * 2 * (run + 2) * footage * (8 + 1) * result**0.5


def test_a_single_frame_can_be_shown_twice_only():
    costs = WalkCosts(np.array([[0, 1]]), np.ones(1), np.ones(1), *no_jumps(1))
    node = lambda a, b: np.zeros((b - a, 1))  # noqa: E731
    assert find_walk(2, node, costs, 0)[0].tolist() == [0, 0]
    with pytest.raises(ShapeError, match="longer shots"):
        find_walk(3, node, costs, 0)


def test_nothing_to_show_is_refused():
    costs = WalkCosts(np.array([[0, 2]]), np.ones(2), np.ones(2), *no_jumps(2))
    node = lambda a, b: np.zeros((b - a, 2))  # noqa: E731
    with pytest.raises(ShapeError, match="0 frames"):
        find_walk(0, node, costs, 0)
    with pytest.raises(ShapeError, match="frame 2 of 2"):
        find_walk(1, node, costs, 0, start=2)
    with pytest.raises(ShapeError, match="at most"):
        WalkCosts(np.array([[0, 2]]), np.ones(2), np.ones(2), np.zeros((2, 63)), np.zeros((2, 63)))


@settings(deadline=None, max_examples=40)
@given(problems(), st.integers(0, 2**31))
def test_costs_between_units_are_rounded(problem, seed):
    node, costs, run, start = problem
    rng = np.random.default_rng(seed)
    node = node + rng.uniform(-0.5, 0.5, node.shape) * UNIT
    run = shorten_run(run, costs.shots)
    best, walks = cheapest_by_force(node, costs, run, start)
    if walks:
        _, cost = find_walk(len(node), lambda a, b: node[a:b], costs, run, start)
        assert cost == pytest.approx(best, abs=0.51 * UNIT * len(node))


def test_sums_of_hours_are_exact():
    """Eleven minutes at 1000 a frame are more units than 32 bits hold; the walk is the same."""
    rng, count = np.random.default_rng(8), 16_000
    jumps = rng.integers(-1, 9, (9, 2)), in_units(rng.uniform(1, 3, (9, 2)))
    hold, turn = in_units(rng.random((2, 9)))
    costs = WalkCosts(np.array([[0, 5], [5, 9]]), hold, turn, *jumps)
    table = in_units(rng.uniform(0, 2, (977, 9)))
    node = lambda a, b: table[np.arange(a, b) % 977]  # noqa: E731
    frames, cost = find_walk(count, node, costs, 2)
    for more in (1000, -1000):
        dear, paid = find_walk(count, lambda a, b, more=more: node(a, b) + more, costs, 2)
        np.testing.assert_array_equal(dear, frames)
        assert paid == cost + more * count


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**31), st.integers(0, 12), st.sampled_from([1e3, 1e6, 1e12]))
def test_no_cost_is_too_large(seed, run, most):
    rng = np.random.default_rng(seed)
    shots, total, count = np.array([[0, 20], [20, 23], [23, 40]]), 40, 150
    sources = rng.integers(-1, total, (total, 2))
    here = np.arange(total)[:, None]
    sources = np.where((sources < 20) & (here < 20) & (np.abs(sources - here) > 2), sources, -1)
    large = lambda *shape: rng.choice([0.0, 1.0, most], shape)  # noqa: E731
    costs = WalkCosts(shots, large(total), large(total), sources, large(total, 2))
    node = large(count, total) * rng.choice([-1, 1], (count, total))
    frames, cost = find_walk(count, lambda a, b: node[a:b], costs, run)
    assert np.isfinite(cost)
    assert 0 <= frames.min() <= frames.max() < total
    assert len(set(np.searchsorted(shots[:, 1], frames, side="right"))) == 1
    steps = np.diff(frames)
    assert not ((steps[1:] == 0) & (steps[:-1] == 0)).any()
    for place in np.flatnonzero(np.abs(steps) > 1):
        landed = frames[place + 1]
        assert set(sources[landed].tolist()) & {frames[place] - 1, frames[place] + 1}
