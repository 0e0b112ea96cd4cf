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
from typing import Any

import numpy as np
from numba import njit

from metatalk.errors import ShapeError
from metatalk.shapes import check_shape

# How a frame is reached, in six bits of a byte: by a turn, by one of the jumps, by going on. A walk
# that turned or jumped before has grown free instead. The other two bits tell of the walks of the
# frame before: that the one that stood at this footage frame had held (told of both directions),
# that the one which would go on to it runs backwards (told in the row of the first direction).
_TURN, _GROWN, _JUMP, _ON, _BACKWARDS, _HAD_HELD = 0, 0, 1, 63, 64, 128
MOST_SOURCES = _ON - _JUMP

_FREE, _HELD, _SUM, _RING = 0, 1, 2, 3  # rows of a direction's state, see `_begin`
_NOTHING = np.zeros((0, 0, 0, 0), np.uint8)

_BLOCK = 32  # frames of the result whose costs are asked for together

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

    Two passes: the first keeps the state at the beginning of every stretch, the second goes
    through the stretches from the last to the first and remembers their steps. A stretch is as
    long as makes both take the same memory. Time is O(N T (1 + J)), memory O(T sqrt(N run)).

    Args:
        count: N, frames of the result.
        node: what showing each footage frame costs in a part of the result, finite; every part
            is asked for twice, some frames at a time.
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
    is_jump = costs.sources >= 0
    sources = np.where(is_jump, costs.sources, 0).astype(np.int32)
    jump = np.where(is_jump, costs.jump, np.inf)
    steps = (run, _room(costs.shots, len(costs)), costs.hold, costs.turn, sources, jump,
             jump.min(1, initial=np.inf))  # fmt: skip
    state = _begin(_ask(node, 0, 1)[0], run, start)
    asked = 2 if run else 1  # rows of a direction whose steps are not told by the row itself
    size = _stretch_length(count, state.nbytes, 2 * asked * len(costs))
    kept = []
    for first, end in _parts(1, count, size):
        kept.append(state.copy())
        for a, b in _parts(first, end, _BLOCK):
            _advance(state, _ask(node, a, b), a, *steps, _NOTHING)
    row, frame, cost = _best_end(state, count - 1, run, steps[1])
    if not math.isfinite(cost):
        raise ShapeError(
            f"no walk of {count} frames stays within a shot", "use footage with longer shots"
        )
    frames = np.empty(count, np.int64)
    back = np.zeros((min(size, count), 2, asked, len(costs)), np.uint8)
    for first, end in reversed(list(_parts(1, count, size))):
        state = kept.pop()
        for a, b in _parts(first, end, _BLOCK):
            _advance(state, _ask(node, a, b), a, *steps, back[a - first : b - first])
        row, frame = _trace(back[: end - first], run, sources, row, frame, frames[first:end])
    frames[0] = frame
    return frames, cost


def shorten_run(run: int, shots: np.ndarray) -> int:
    """The longest run, up to `run`, with which some shot can be walked to and fro for ever."""
    longest = int((shots[:, 1] - shots[:, 0]).max())
    return max(0, min(run, longest - 2))


def _ask(node: NodeCosts, first: int, end: int) -> np.ndarray:
    return np.ascontiguousarray(node(first, end), np.float64)


def _stretch_length(count: int, state_bytes: int, back_bytes: int) -> int:
    """Frames of a stretch: the kept states and one stretch's steps take the same memory."""
    return max(1, math.isqrt(count * state_bytes // back_bytes))


def _parts(first: int, end: int, size: int) -> Iterator[tuple[int, int]]:
    """A range in parts (first, one past the last)."""
    for part in range(first, end, size):
        yield part, min(part + size, end)


def _room(shots: np.ndarray, count: int) -> np.ndarray:
    """(2, T) int32: how many frames of its shot come before a frame, and how many after it."""
    room, frames = np.zeros((2, count), np.int32), np.arange(count)
    for first, end in shots.tolist():
        room[0, first:end] = frames[first:end] - first
        room[1, first:end] = end - 1 - frames[first:end]
    return room


def _begin(node: np.ndarray, run: int, start: int | None) -> np.ndarray:
    """(2, 3 + slots, T) float64: what leads up to the result's first frame.

    Rows of a direction: costs of being free, of having held, the nodes' sum along the frame's
    diagonal (one frame of the footage for one of the result, since the shot's end); then, in a
    ring, what it cost to turn or jump to each frame in the last frames of the result, less that
    sum. So a run costs one subtraction and not a row for each of its ages.
    """
    state = np.full((2, 3 + (run + 1 if run else 0), len(node)), np.inf)
    chosen = slice(None) if start is None else slice(start, start + 1)
    state[:, _FREE, chosen] = node[chosen]
    state[:, _SUM] = 0.0
    return state


def _best_end(state: np.ndarray, last: int, run: int, room: np.ndarray) -> tuple[int, int, float]:
    """Row, footage frame and cost of the cheapest walk at frame `last` of the result.

    Rows of a direction: `run` ages since a turn or a jump, then free, then held.
    """
    best = (0, 0, math.inf)
    for direction in range(2):
        total = state[direction, _SUM]
        for age in range(run + 2):
            if age < run:
                entered = state[direction, _RING + (last - age) % (run + 1)]
                away = np.roll(entered, age if direction == 0 else -age)
                values = np.where(room[direction] >= age, away + total, np.inf)
            else:
                values = state[direction, _FREE if age == run else _HELD]
            frame = int(np.argmin(values))
            if values[frame] < best[2]:
                best = (direction * (run + 2) + age, frame, float(values[frame]))
    return best


@njit(cache=True, nogil=True)
def _advance(
    state: Any,
    node: Any,
    first: int,
    run: int,
    room: Any,
    hold: Any,
    turn: Any,
    sources: Any,
    jump: Any,
    least_jump: Any,
    back: Any,
) -> None:
    """Go on, in place, by some frames of the result; `back`, where it has rows, gets the steps."""
    count = state.shape[2]
    landed, source = np.full(count, np.inf), np.zeros(count, np.uint8)
    least, on, rested = np.empty((2, count)), np.empty((2, count)), np.empty(count)
    turned, so_far, grown = np.empty(count), np.empty(count), np.empty(count)
    for n in range(len(node)):
        for way in range(2):
            _least(state[way, _FREE], state[way, _HELD], least[way])
            _shift(least[way], 1 - 2 * way, room[way], np.inf, on[way])
        if sources.shape[1]:
            _land(on, sources, jump, least_jump, landed, source)
        for way in range(2):
            step, inside, new = 1 - 2 * way, room[way], state[way]
            # A walk that ran the other way stood at the frame before, and turns back to this one.
            _shift(least[1 - way] + turn, step, inside, np.inf, turned)
            _shift(new[_SUM], step, inside, 0.0, so_far)
            if run > 0:  # what turned or jumped `run` frames ago
                young = new[_RING + (first + n - run) % (run + 1)]
                _shift(young, step * run, inside, np.inf, grown)
            if len(back):
                noted = back[n, way]
                _note_entered(landed, turned, source, noted[0])
                if run > 0:
                    _note_free(on[way], grown, so_far, noted[1])
                else:
                    _note_set_off(on[way], landed, turned, noted[0])
                _note_least(new[_HELD], new[_FREE], _HAD_HELD, noted[len(noted) - 1])
                if way == 0:
                    _note_least(on[1], on[0], _BACKWARDS, noted[len(noted) - 1])
            rested[:] = new[_FREE]
            if run > 0:
                _enter(landed, turned, so_far, new[_RING + (first + n) % (run + 1)])
                _go_on(on[way], grown, so_far, node[n], new[_FREE])
            else:
                _set_off(on[way], landed, turned, node[n], new[_FREE])
            _sum(rested, hold, node[n], new[_HELD])
            for t in range(count):
                new[_SUM, t] = so_far[t] + node[n, t]


# One array is written in each of these loops: a compiler does several frames of them at a time.


@njit(cache=True, nogil=True)
def _least(one: Any, other: Any, out: Any) -> None:
    for t in range(len(out)):
        out[t] = one[t] if one[t] < other[t] else other[t]


@njit(cache=True, nogil=True)
def _sum(one: Any, other: Any, third: Any, out: Any) -> None:
    for t in range(len(out)):
        out[t] = one[t] + other[t] + third[t]


@njit(cache=True, nogil=True)
def _shift(values: Any, by: int, room: Any, filling: float, out: Any) -> None:
    """Bring each frame the value of the one `by` before it in its shot."""
    count, far = len(values), abs(by)
    if far >= count:
        out[:] = filling
        return
    if by > 0:
        out[:far] = filling
        out[far:] = values[: count - far]
    else:
        out[count - far :] = filling
        out[: count - far] = values[far:]
    for t in range(count):
        out[t] = out[t] if room[t] >= far else filling


@njit(cache=True, nogil=True)
def _enter(landed: Any, turned: Any, so_far: Any, entered: Any) -> None:
    """Turn or jump to each frame; its own cost and those before it on its diagonal go off."""
    for t in range(len(entered)):
        came = turned[t] if turned[t] < landed[t] else landed[t]
        entered[t] = came - so_far[t]


@njit(cache=True, nogil=True)
def _go_on(on: Any, grown: Any, so_far: Any, node: Any, free: Any) -> None:
    """Be free: by going on, or at the end of a run."""
    for t in range(len(free)):
        grew = grown[t] + so_far[t]
        free[t] = (grew if grew < on[t] else on[t]) + node[t]


@njit(cache=True, nogil=True)
def _set_off(on: Any, landed: Any, turned: Any, node: Any, free: Any) -> None:
    """Be free, where no run follows a turn or a jump."""
    for t in range(len(free)):
        came = turned[t] if turned[t] < landed[t] else landed[t]
        free[t] = (came if came < on[t] else on[t]) + node[t]


@njit(cache=True, nogil=True)
def _land(on: Any, sources: Any, jump: Any, least_jump: Any, landed: Any, source: Any) -> None:
    """The cheapest jump to each frame before its own cost, and which of its sources that is.

    A jump that is dearer than to go on to the frame in either direction is left out: the walk
    that goes on may do all that the other may.
    """
    arriving = np.empty(on.shape[1])
    _least(on[0], on[1], arriving)
    lowest = arriving.min()
    for t in range(len(landed)):
        best, chosen = np.inf, 0
        if lowest + least_jump[t] >= max(on[0, t], on[1, t]):
            landed[t], source[t] = best, chosen
            continue
        for k in range(sources.shape[1]):
            value = arriving[sources[t, k]] + jump[t, k]
            if value < best:
                best, chosen = value, k
        landed[t], source[t] = best, chosen


@njit(cache=True, nogil=True)
def _note_entered(landed: Any, turned: Any, source: Any, back: Any) -> None:
    for t in range(len(back)):
        back[t] = _TURN if turned[t] < landed[t] else _JUMP + source[t]


@njit(cache=True, nogil=True)
def _note_free(on: Any, grown: Any, so_far: Any, back: Any) -> None:
    for t in range(len(back)):
        back[t] = _ON if on[t] <= grown[t] + so_far[t] else _GROWN


@njit(cache=True, nogil=True)
def _note_set_off(on: Any, landed: Any, turned: Any, back: Any) -> None:
    """Over what `_note_entered` has noted."""
    for t in range(len(back)):
        came = turned[t] if turned[t] < landed[t] else landed[t]
        back[t] = _ON if on[t] <= came else back[t]


@njit(cache=True, nogil=True)
def _note_least(one: Any, other: Any, bit: int, back: Any) -> None:
    for t in range(len(back)):
        back[t] |= bit if one[t] <= other[t] else 0


@njit(cache=True, nogil=True)
def _trace(back: Any, run: int, sources: Any, row: int, frame: int, frames: Any) -> Any:
    """Fill in a stretch from its last frame on; the row and frame before its first."""
    side, last = run + 2, back.shape[2] - 1
    for n in range(len(back) - 1, -1, -1):
        frames[n] = frame
        way, age = row // side, row % side
        if age == run + 1:  # held
            row -= 1
            continue
        came, source = way, frame
        how = back[n, way, 0 if age == 0 else last, frame] & _ON
        if 0 < age < run or (age == run > 0 and how == _GROWN):
            row, frame = row - 1, frame - (1 - 2 * way)
            continue
        if how == _TURN:
            came = 1 - way
            frame -= 1 - 2 * way
        else:
            if how != _ON:
                source = sources[frame, how - _JUMP]
                came = 1 if back[n, 0, last, source] & _BACKWARDS else 0
            frame = source - (1 - 2 * came)
        row = came * side + run + (1 if back[n, came, last, frame] & _HAD_HELD else 0)
    return row, frame
