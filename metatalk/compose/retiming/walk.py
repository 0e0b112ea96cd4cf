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
from itertools import pairwise

import numpy as np

from metatalk.compose.retiming.walk_kernel import MOST_SOURCES, advance, trace
from metatalk.compose.retiming.walk_steps import UNIT, Steps, begin, best_end, count_steps
from metatalk.errors import ShapeError
from metatalk.shapes import check_shape

_NOTHING = np.zeros((0, 0, 0, 0), np.uint8)

_BLOCK = 32  # frames of the result whose costs are asked for together

NodeCosts = Callable[[int, int], np.ndarray]  # (first, end) of the result -> (end - first, T)
# first and end; the frame from which on the walk is settled; the footage frames from there on
Charge = Callable[[int, int, int, np.ndarray], np.ndarray | None]


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


@dataclass(frozen=True, eq=False)
class Review:
    """What frames cost besides, once it is known what the walk shows later.

    The walk is settled piece by piece from its end on. What leads up to a piece was found without
    these costs, so the whole is not the cheapest walk there is under them; each piece is.
    """

    breaks: np.ndarray  # (B,) ascending frames of the result at which pieces begin, from 1 on
    charge: Charge  # (end - first, T), or None for nothing; asked within one piece at a time


def no_jumps(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Sources and costs of jumps where there are none, (T, 0) each."""
    return np.zeros((count, 0), np.int64), np.zeros((count, 0))


def find_walk(
    count: int,
    node: NodeCosts,
    costs: WalkCosts,
    run: int,
    start: int | None = None,
    review: Review | None = None,
) -> tuple[np.ndarray, float]:
    """Find the cheapest walk.

    Two passes: the first keeps the state at the beginning of every stretch, the second goes
    through the stretches from the last to the first and remembers their steps. A stretch is as
    long as makes both take the same memory. Time is O(N T (1 + J)), memory O(T sqrt(N run)). A
    review takes a third pass.

    Costs are rounded to `UNIT`, and those of some 250 and more after a long run, of 2000 and more
    after a short one, all count as much. For these costs the walk is the cheapest.

    Args:
        count: N, frames of the result.
        node: what showing each footage frame costs in a part of the result, finite; every part
            is asked for two or three times, some frames at a time.
        costs: what the steps cost.
        run: frames that a walk goes on after a turn or a jump. Where no shot is long enough to
            be walked to and fro like this, it is as many as the longest shot has room for.
        start: footage frame of the result's first; None: any.
        review: what is charged besides in the second pass.

    Returns:
        (N,) int64 footage frames, and what the cheapest walk costs without a review.

    Raises:
        ShapeError: there is nothing to show, or `start` is no frame of the footage.
    """
    if count < 1 or len(costs) < 1:
        raise ShapeError(f"a walk of {count} frames through {len(costs)}")
    if start is not None and not 0 <= start < len(costs):
        raise ShapeError(f"a walk is to start at frame {start} of {len(costs)}")
    run = shorten_run(run, costs.shots)
    steps = count_steps(costs.shots, run, costs.hold, costs.turn, costs.sources, costs.jump)
    state = begin(_ask(node, 0, 1)[0], steps, start)
    breaks = np.zeros(0, np.int64) if review is None else review.breaks
    stretches = _stretches(count, _stretch_length(count, state.nbytes, steps), breaks)
    kept, taken = [], 0
    for first, end in stretches:
        kept.append(state.copy())
        taken += _go(state, node, first, end, steps)
    row, place, units = best_end(state, count - 1, steps)
    if units is None:
        raise ShapeError(
            f"no walk of {count} frames stays within a shot", "use footage with longer shots"
        )
    frames = np.empty(count, np.int64)
    for first, end in reversed(stretches):
        pieces, states = _pieces(first, end, breaks), [kept.pop()]
        for a, b in pieces[:-1]:
            states.append(states[-1].copy())
            _go(states[-1], node, a, b, steps)
        for a, b in reversed(pieces):
            asked = node if review is None else _add_charge(node, review.charge, b, frames[b:])
            back = np.zeros((b - a, 2, 2 if run else 1, steps.places), np.uint8)
            _go(states.pop(), asked, a, b, steps, back)
            places = np.empty(b - a, np.int64)
            row, place = trace(back, steps, row, place, places)
            frames[a:b] = steps.frame_of(places)  # once, however often a review asks for them
    frames[:1] = steps.frame_of(np.array([place]))
    return frames, (taken + units) * UNIT


def _go(
    state: np.ndarray,
    node: NodeCosts,
    first: int,
    end: int,
    steps: Steps,
    back: np.ndarray | None = None,
) -> int:
    """Go on, in place, by a part of the result; what was taken off all costs."""
    taken = 0
    for a, b in _parts(first, end, _BLOCK):
        noted = _NOTHING if back is None else back[a - first : b - first]
        taken += advance(state, _ask(node, a, b), a, steps, noted)
    return taken


def _add_charge(node: NodeCosts, charge: Charge, settled: int, later: np.ndarray) -> NodeCosts:
    """The costs of a piece, after which the walk is settled: it shows the frames `later`."""

    def costs(first: int, end: int) -> np.ndarray:
        plain, more = node(first, end), charge(first, end, settled, later)
        return plain if more is None else plain + more

    return costs


def shorten_run(run: int, shots: np.ndarray) -> int:
    """The longest run, up to `run`, with which some shot can be walked to and fro for ever."""
    longest = int((shots[:, 1] - shots[:, 0]).max())
    return max(0, min(run, longest - 2))


def _ask(node: NodeCosts, first: int, end: int) -> np.ndarray:
    return np.ascontiguousarray(node(first, end), np.float32)


def _stretch_length(count: int, state_bytes: int, steps: Steps) -> int:
    """Frames of a stretch: the kept states and one stretch's steps take the same memory."""
    back_bytes = (4 if steps.run else 2) * steps.places
    return max(1, math.isqrt(count * state_bytes // back_bytes))


def _stretches(count: int, size: int, breaks: np.ndarray) -> list[tuple[int, int]]:
    """The result after its first frame in stretches; they begin at breaks where they can."""
    bounds = [1]
    while bounds[-1] < count:
        end = min(bounds[-1] + size, count)
        near = breaks[(breaks > bounds[-1]) & (breaks <= end)]
        bounds.append(int(near[-1]) if len(near) and end < count else end)
    return list(pairwise(bounds))


def _pieces(first: int, end: int, breaks: np.ndarray) -> list[tuple[int, int]]:
    """A stretch in pieces that begin at breaks."""
    inside = breaks[(breaks > first) & (breaks < end)].tolist()
    return list(pairwise([first, *inside, end]))


def _parts(first: int, end: int, size: int) -> Iterator[tuple[int, int]]:
    """A range in parts (first, one past the last)."""
    for part in range(first, end, size):
        yield part, min(part + size, end)
