"""Whose eyes each frame of a result shows, and whether the pictures fit that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from metatalk.shapes import check_shape

STILL, FAR = 0.35, 2.0  # misfits: of a head that keeps still, and more than any can be
EVEN = 0.05  # cost of passing at an end of a blink rather than in its middle


@dataclass(frozen=True)
class EyeEvent:
    """A range of a result's frames whose eyes come from elsewhere, or whose blink was kept."""

    first: int
    end: int
    kind: str  # "removed", "placed", "kept", or "left": a blink that could not be taken out


@dataclass(frozen=True)
class Refused:
    """What was tried in vain, because the pictures do not fit each other."""

    removed: frozenset[int] = frozenset()  # first frames of blinks that stay
    placed: frozenset[tuple[int, int]] = frozenset()  # where, and first footage frame of which

    def __or__(self, other: Refused) -> Refused:
        return Refused(self.removed | other.removed, self.placed | other.placed)


NOTHING = Refused()


@dataclass(frozen=True, eq=False)
class EyePlan:
    """Whose eyes each frame of a result shows; row n belongs to its frame n."""

    first: np.ndarray  # (N,) int64 footage frame that gives the eyes; -1: its own
    second: np.ndarray  # (N,) int64 footage frame mixed in; -1: none
    share: np.ndarray  # (N,) float32 of the second
    events: tuple[EyeEvent, ...] = ()

    def __post_init__(self) -> None:
        count = check_shape("first", self.first, "N")
        for name in ("second", "share"):
            check_shape(name, getattr(self, name), "N", **count)

    def donors(self) -> list[int]:
        """Footage frames that give eyes, in order."""
        both = np.concatenate([self.first, self.second])
        return [int(frame) for frame in np.unique(both[both >= 0])]

    def count(self, kind: str) -> int:
        """How many events of a kind there are."""
        return sum(event.kind == kind for event in self.events)


def keep_eyes(count: int) -> EyePlan:
    """The plan that touches nothing, for a result of `count` frames."""
    nobody = np.full(count, -1, np.int64)
    return EyePlan(nobody, nobody.copy(), np.zeros(count, np.float32))


def settle_passing(plan: EyePlan, misfit: Callable[[int, int], float]) -> EyePlan:
    """Pass from the eyes before a blink to those after it where both fit best.

    A head that turns in its blink looks like before at first, and like after at last.

    Args:
        plan: the plan.
        misfit: see `judge_plan`.

    Returns:
        The plan with other shares. Gaze that drifts, in a head that keeps still, goes on to.
    """
    share = plan.share.copy()
    for event in plan.events:
        rows = np.arange(event.first, event.end)
        if event.kind != "removed" or (plan.second[rows] < 0).any():
            continue
        early = np.array([misfit(row, int(plan.first[row])) for row in rows]).clip(max=FAR)
        late = np.array([misfit(row, int(plan.second[row])) for row in rows]).clip(max=FAR)
        drifts = 0 < share[rows[0]] < 1 and len(rows) > 1
        if drifts and max(early.max(), late.max()) < STILL:
            continue
        places = np.arange(len(rows) + 1)
        cost = np.array([(early[:at] ** 2).sum() + (late[at:] ** 2).sum() for at in places])
        at = int(np.argmin(cost + EVEN * (places / len(rows) - 0.5) ** 2))
        share[rows] = np.arange(len(rows)) >= at
    return replace(plan, share=share)


def judge_plan(plan: EyePlan, misfit: Callable[[int, int], float], limit: float) -> Refused:
    """Find what is no use, because the pictures do not fit each other.

    Args:
        plan: the plan.
        misfit: of a frame of the result and a footage frame that is to give it eyes, see
            `eyes.rim_misfit`; infinite where it cannot.
        limit: the largest that will do.

    Returns:
        The events that exceed it: for `plan_eyes` to be asked again.
    """
    removed, placed = set(), set()
    for event in plan.events:
        if event.kind not in ("removed", "placed"):
            continue
        rows = range(event.first, event.end)
        pairs = [(row, int(plan.first[row])) for row in rows if plan.share[row] < 1]
        pairs += [(row, int(plan.second[row])) for row in rows if plan.share[row] > 0]
        if max((misfit(*pair) for pair in pairs), default=0.0) > limit:
            if event.kind == "removed":
                removed.add(event.first)
            else:
                placed.add((event.first, int(plan.first[event.first])))
    return Refused(frozenset(removed), frozenset(placed))


def leave_out(plan: EyePlan, refused: Refused) -> EyePlan:
    """A plan without what is refused, and nothing else in its place."""
    first, second, events = plan.first.copy(), plan.second.copy(), []
    for event in plan.events:
        rows = slice(event.first, event.end)
        if event.kind == "placed" and (event.first, int(first[event.first])) in refused.placed:
            first[rows] = second[rows] = -1
            continue
        if event.kind == "removed" and event.first in refused.removed:
            first[rows] = second[rows] = -1
            event = replace(event, kind="left")
        events.append(event)
    return replace(plan, first=first, second=second, events=tuple(events))
