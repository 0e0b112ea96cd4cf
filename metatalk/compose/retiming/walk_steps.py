"""One frame of the result after the other: the search for a walk in whole numbers.

Costs are counted in `UNIT`s, in 32 bits. Sums of whole numbers are exact however long they grow,
so that a walk of hours is found as surely as one of seconds, and on every machine the same. With
each frame the cheapest walk's cost is taken off all of them. The sums along a diagonal may run
over: only their differences over a run are used.

Frames of the footage lie in *places*: `guard` empty places come before the first shot, between
shots and after the last, where no walk can be. So no step has to ask where its shot ends.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

UNIT = 1 / 4096
NEVER = np.int32(1 << 30)  # the cost of a walk that there is not
_BARRED = np.int32((1 << 29) + (1 << 28))  # the cost of a step that must not be taken
LIMIT = np.int32(1 << 29)  # a walk that is this much dearer than another is given up
_DEAREST_JUMP = 1 << 28

FREE, HELD, SUM, RING = 0, 1, 2, 3  # rows of a direction's state, see `begin`


@dataclass(frozen=True, eq=False)
class Steps:
    """What the steps cost, in units and by places; T frames lie in P places."""

    run: int  # frames that a walk goes on after a turn or a jump
    most: int  # see `dearest`
    shots: np.ndarray  # (K, 3) int64: first place, one past the last, first frame
    room: np.ndarray  # (2, P) int32: places of its shot before a place, and after it; guards: -1
    hold: np.ndarray  # (P,) int32
    turn: np.ndarray  # (2, P) int32: to run forwards, backwards from there
    # Jumps: first those to every target, then the second ones to all that have two, and so on.
    targets: np.ndarray  # (D,) uint32 places, those with most jumps first
    ranks: np.ndarray  # (J + 1,) int32: where the first ones begin in the following two, the second
    sources: np.ndarray  # (M,) uint32 places
    jump: np.ndarray  # (M,) int32

    @property
    def places(self) -> int:
        """P."""
        return len(self.hold)

    def frame_of(self, places: np.ndarray) -> np.ndarray:
        """The footage frames that lie in some places, none of them a guard's."""
        shot = np.searchsorted(self.shots[:, 1], places, side="right")
        return np.asarray(places - self.shots[shot, 0] + self.shots[shot, 2])

    def place_of(self, frames: np.ndarray) -> np.ndarray:
        """Where some footage frames lie."""
        return _place_of(self.shots, frames)


def count_steps(
    shots: np.ndarray,
    run: int,
    hold: np.ndarray,
    turn: np.ndarray,
    sources: np.ndarray,
    jump: np.ndarray,
) -> Steps:
    """Lay the frames out and count what their steps cost; see `WalkCosts` for the arguments."""
    guard, most = max(run, 1), dearest(run)
    firsts = shots[:, 0] + guard * np.arange(1, len(shots) + 1)
    laid = np.stack([firsts, firsts + shots[:, 1] - shots[:, 0], shots[:, 0]], axis=1)
    laid = np.ascontiguousarray(laid, np.int64)
    places = int(laid[-1, 1]) + guard
    at = _place_of(laid, np.arange(len(hold)))
    room = np.full((2, places), -1, np.int32)
    for first, end, _ in laid.tolist():
        room[0, first:end] = np.arange(end - first)
        room[1, first:end] = room[0, first:end][::-1]
    held, turned = np.zeros(places, np.int32), np.full((2, places), _BARRED, np.int32)
    held[at] = count_units(hold, most)
    for way in range(2):  # where the shot's other end is there is nothing to turn to
        turned[way, at] = np.where(room[1 - way, at] > 0, count_units(turn, most), _BARRED)
    leaps = _rank_jumps(at, laid, sources, jump)
    return Steps(run, most, laid, room, held, turned, *leaps)


def _rank_jumps(
    at: np.ndarray, laid: np.ndarray, sources: np.ndarray, jump: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Targets, ranks, sources and costs, so that a jump of each target can be tried at once."""
    frame, column = np.nonzero(sources >= 0)
    begins = np.searchsorted(frame, np.arange(len(at) + 1))
    many = np.diff(begins)  # (T,) jumps to each frame
    some = np.flatnonzero(many)
    targets = some[np.argsort(-many[some], kind="stable")]
    position = np.zeros(len(at), np.int64)
    position[targets] = np.arange(len(targets))
    rank = np.arange(len(frame)) - begins[frame]
    order = np.lexsort((position[frame], rank))
    ranks = np.searchsorted(rank[order], np.arange(int(many.max(initial=0)) + 1))
    places = _place_of(laid, sources[frame, column])[order]
    units = count_units(jump[frame, column], _DEAREST_JUMP)[order]
    return at[targets].astype(np.uint32), ranks.astype(np.int32), places.astype(np.uint32), units


def _place_of(shots: np.ndarray, frames: np.ndarray) -> np.ndarray:
    shot = np.searchsorted(shots[:, 2], frames, side="right") - 1
    return np.asarray(frames - shots[shot, 2] + shots[shot, 0])


def dearest(run: int) -> int:
    """The most units that a frame or a step may cost: 32 bits hold several for a whole run."""
    return min(1 << 23, (1 << 27) // (run + 2))


def count_units(costs: np.ndarray, most: int) -> np.ndarray:
    """Costs in units, int32; what is dearer than `most`, or less than its negative, is as much."""
    return np.asarray(np.floor(costs / UNIT + 0.5).clip(-most, most).astype(np.int32))


def begin(node: np.ndarray, steps: Steps, start: int | None) -> np.ndarray:
    """(2, 3 + slots, P) int32: what leads up to the result's first frame.

    Rows of a direction: costs of being free, of having held, the nodes' sum along the place's
    diagonal (one place for one frame of the result); then, in a ring, what it cost to turn or
    jump to each place in the last frames of the result, less that sum. So a run costs one
    subtraction and not a row for each of its ages.
    """
    run = steps.run
    state = np.full((2, 3 + (run + 1 if run else 0), steps.places), NEVER, np.int32)
    chosen = np.arange(len(node)) if start is None else np.array([start])
    state[:, FREE, steps.place_of(chosen)] = count_units(node, steps.most)[chosen]
    state[:, SUM] = 0
    return state


def best_end(state: np.ndarray, last: int, steps: Steps) -> tuple[int, int, int | None]:
    """Row, place and units of the cheapest walk at frame `last` of the result; None: no walk.

    Rows of a direction: `run` ages since a turn or a jump, then free, then held.
    """
    run = steps.run
    best = (0, 0, int(LIMIT))
    for way in range(2):
        for age in range(run + 2):
            if age < run:
                entered = state[way, RING + (last - age) % (run + 1)]
                away = np.roll(entered, age if way == 0 else -age)
                # Sums that ran over come back by running over once more.
                values = np.where(steps.room[way] >= age, away + state[way, SUM], NEVER)
            else:
                values = state[way, FREE if age == run else HELD]
            place = int(np.argmin(values))
            if values[place] < best[2]:
                best = (way * (run + 2) + age, place, int(values[place]))
    return best if best[2] < LIMIT else (0, 0, None)
