"""The cheapest walk through footage: exact dynamic programming in little memory.

A walk shows one footage frame for each frame of the result and runs forwards or backwards. From
one frame of the result to the next it

- goes on: the next footage frame in its direction;
- turns: the frame it came from, and from there on the other way;
- holds: the same frame once more, never twice in a row;
- jumps: to a frame whose `sources` name the one that going on would have shown; the direction
  there is free.

It never leaves a shot unless a jump takes it there. After a turn or a jump it goes on for `run`
frames before it may do anything else, so that neither comes in bursts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numba import njit

from metatalk.errors import ShapeError
from metatalk.shapes import check_shape

# A step back in one byte: (free, held) of the same direction, for going on and for turning; then
# a hold; then four for each candidate of a jump, two directions and (free, held).
_YOUNGER, _ON, _TURN, _HOLD, _JUMP = 0, 1, 3, 5, 6
MOST_SOURCES = (256 - _JUMP) // 4

NodeCosts = Callable[[int, int], np.ndarray]  # (first, end) of the result -> (end - first, T)


@dataclass(frozen=True, eq=False)
class WalkCosts:
    """What a walk's steps cost, by the footage frame they start from; T frames."""

    shots: np.ndarray  # (K, 2) first frame and one past the last
    hold: np.ndarray  # (T,)
    turn: np.ndarray  # (T,)
    sources: np.ndarray  # (T, J) int: the frames that a jump to each may stand in for, or -1
    jump: np.ndarray  # (T, J) cost of each

    def __post_init__(self) -> None:
        count = check_shape("hold", self.hold, "T")["T"]
        check_shape("turn", self.turn, "T", T=count)
        sizes = check_shape("sources", self.sources, "T J", T=count)
        check_shape("jump", self.jump, "T J", **sizes)
        if sizes["J"] > MOST_SOURCES:
            raise ShapeError(f"a frame has {sizes['J']} sources, at most {MOST_SOURCES} fit")

    def __len__(self) -> int:
        return len(self.hold)


def no_jumps(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Sources and costs of jumps where there are none, (T, 0) each."""
    return np.zeros((count, 0), np.int64), np.zeros((count, 0))


def find_walk(
    count: int, node: NodeCosts, costs: WalkCosts, run: int, start: int | None = None
) -> tuple[np.ndarray, float]:
    """Find the cheapest walk.

    Two passes: the first keeps the costs of every sqrt(N)-th frame, the second goes through the
    stretches between them from the last to the first and remembers their steps. Time is
    O(N T (run + J)), memory O(T run sqrt(N)).

    Args:
        count: N, frames of the result.
        node: what showing each footage frame costs in a stretch of the result; asked twice.
        costs: what the steps cost.
        run: frames that a walk goes on after a turn or a jump. Where no shot is long enough to
            be walked to and fro like this, it is as many as the longest shot has room for.
        start: footage frame of the result's first; None: any.

    Returns:
        (N,) int64 footage frames, and their cost.

    Raises:
        ShapeError: there is nothing to show, or `start` is no frame of the footage.
    """
    if count < 1 or len(costs) < 1:
        raise ShapeError(f"a walk of {count} frames through {len(costs)}")
    if start is not None and not 0 <= start < len(costs):
        raise ShapeError(f"a walk is to start at frame {start} of {len(costs)}")
    run = shorten_run(run, costs.shots)
    steps = (_has_next(costs.shots, len(costs)), costs.hold, costs.turn, costs.sources, costs.jump)
    size = max(1, math.isqrt(count))
    kept, state = [], _begin(node(0, 1)[0], run, start)
    for first, end in _stretches(count, size):
        kept.append(state)
        state = _advance(state, node(first, end), run, *steps)
    best = int(np.argmin(state))
    cost = float(state.flat[best])
    if not math.isfinite(cost):
        raise ShapeError(
            f"no walk of {count} frames stays within a shot", "use footage with longer shots"
        )
    row, frame = divmod(best, len(costs))
    frames = np.empty(count, np.int64)
    for (first, end), state in zip(
        reversed(list(_stretches(count, size))), reversed(kept), strict=True
    ):
        back = np.zeros((end - first, *state.shape), np.uint8)
        _remember(state, node(first, end), run, *steps, back)
        row, frame = _trace(back, run, costs.sources, row, frame, frames[first:end])
    frames[0] = frame
    return frames, cost


def shorten_run(run: int, shots: np.ndarray) -> int:
    """The longest run, up to `run`, with which some shot can be walked to and fro for ever."""
    longest = int((shots[:, 1] - shots[:, 0]).max())
    return max(0, min(run, longest - 2))


def _stretches(count: int, size: int) -> Iterator[tuple[int, int]]:
    """The frames after the first in stretches (first, one past the last)."""
    for first in range(1, count, size):
        yield first, min(first + size, count)


def _has_next(shots: np.ndarray, count: int) -> np.ndarray:
    """(2, T) bool: whether a frame's shot goes on behind it, and before it."""
    inside = np.ones((2, count), bool)
    inside[0, shots[:, 1] - 1] = False
    inside[1, shots[:, 0]] = False
    return inside


def _begin(node: np.ndarray, run: int, start: int | None) -> np.ndarray:
    """(2 (run + 2), T) costs of the result's first frame.

    Rows of a direction: `run` ages since a turn or a jump, then free, then held.
    """
    state = np.full((2, run + 2, len(node)), np.inf)
    chosen = slice(None) if start is None else slice(start, start + 1)
    state[:, run, chosen] = node[chosen]
    return state.reshape(-1, len(node))


@njit(cache=True, nogil=True)
def _advance(state, node, run, has_next, hold, turn, sources, jump):  # type: ignore[no-untyped-def]
    nothing = np.zeros((0, 0), np.uint8)
    for n in range(len(node)):
        state = _step(state, node[n], run, has_next, hold, turn, sources, jump, nothing)
    return state


@njit(cache=True, nogil=True)
def _remember(state, node, run, has_next, hold, turn, sources, jump, back):  # type: ignore[no-untyped-def]
    for n in range(len(node)):
        state = _step(state, node[n], run, has_next, hold, turn, sources, jump, back[n])


@njit(cache=True, nogil=True)
def _step(state, node, run, has_next, hold, turn, sources, jump, back):  # type: ignore[no-untyped-def]
    """Costs of the result's next frame; `back`, where it has rows, gets the steps to it."""
    rows, count = state.shape
    side = run + 2
    traced = len(back) > 0
    new = np.full((rows, count), np.inf)
    landed, code = _jump_costs(state, side, has_next, sources, jump)
    for direction in range(2):
        step = 1 - 2 * direction
        free, held = direction * side + run, direction * side + run + 1
        entered = direction * side  # row of a walk that has just turned or jumped
        other = (1 - direction) * side + run
        for row in range(entered + 1, entered + run):  # these only go on
            _shift(state[row - 1], node, step, has_next[direction], new[row])
        for t in range(count):
            before = t - step
            if before < 0 or before >= count or not has_next[direction, before]:
                before = -1
            # Just after a turn or a jump
            best, how = landed[t], code[t]
            if before >= 0:
                for late in range(2):
                    # A walk that ran the other way stood at `before` and turns back to `t`.
                    value = state[other + late, before] + turn[before]
                    if value < best:
                        best, how = value, _TURN + late
                if run == 0:
                    for late in range(2):
                        value = state[free + late, before]
                        if value <= best:
                            best, how = value, _ON + late
            if run > 0:
                new[entered, t] = best + node[t]
                if traced:
                    back[entered, t] = how
                best, how = np.inf, _ON
                if before >= 0:
                    best, how = state[free - 1, before], _YOUNGER
                    for late in range(2):
                        value = state[free + late, before]
                        if value <= best:
                            best, how = value, _ON + late
            new[free, t] = best + node[t]
            new[held, t] = state[free, t] + hold[t] + node[t]
            if traced:
                back[free, t] = how
                back[held, t] = _HOLD
    return new


@njit(cache=True, nogil=True)
def _shift(costs, node, step, has_next, new):  # type: ignore[no-untyped-def]
    """Go on by a frame from every frame; kept apart so that it is done several at a time."""
    count = len(node)
    if step > 0:
        for t in range(1, count):
            new[t] = (costs[t - 1] if has_next[t - 1] else np.inf) + node[t]
    else:
        for t in range(count - 1):
            new[t] = (costs[t + 1] if has_next[t + 1] else np.inf) + node[t]


@njit(cache=True, nogil=True)
def _jump_costs(state, side, has_next, sources, jump):  # type: ignore[no-untyped-def]
    """(T,) cheapest jump to each frame before its own cost, and (T,) its code."""
    count, candidates = sources.shape
    landed, code = np.full(count, np.inf), np.zeros(count, np.uint8)
    if candidates == 0:
        return landed, code
    arriving, way = np.full(count, np.inf), np.zeros(count, np.uint8)
    for direction in range(2):
        step = 1 - 2 * direction
        for t in range(count):
            before = t - step
            if 0 <= before < count and has_next[direction, before]:
                for late in range(2):
                    value = state[direction * side + side - 2 + late, before]
                    if value < arriving[t]:
                        arriving[t], way[t] = value, 2 * direction + late
    for t in range(count):
        for k in range(candidates):
            source = sources[t, k]
            if source >= 0:
                value = arriving[source] + jump[t, k]
                if value < landed[t]:
                    landed[t], code[t] = value, _JUMP + 4 * k + way[source]
    return landed, code


@njit(cache=True, nogil=True)
def _trace(back, run, sources, row, frame, frames):  # type: ignore[no-untyped-def]
    """Fill in a stretch from its last frame on; the state before its first."""
    side = run + 2
    for n in range(len(back) - 1, -1, -1):
        frames[n] = frame
        how = back[n, row, frame]
        direction, age = row // side, row % side
        step = 1 - 2 * direction
        if age == run + 1:
            row -= 1
        elif 0 < age < run or (age == run and run > 0 and how == _YOUNGER):
            row, frame = row - 1, frame - step
        elif how >= _JUMP:
            source, way = sources[frame, (how - _JUMP) // 4], (how - _JUMP) % 4
            came = way // 2
            row, frame = came * side + run + way % 2, source - (1 - 2 * came)
        elif how >= _TURN:
            row, frame = (1 - direction) * side + run + how - _TURN, frame - step
        else:
            row, frame = direction * side + run + how - _ON, frame - step
    return row, frame
