"""Somebody else's expression on the actor's face: unit by unit, from one's range to the other's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metatalk.errors import FittingError
from metatalk.shapes import check_shape

_REST_PERCENTILE = 10.0  # of a unit, which only ever adds: lips at rest, and shut for m, b and p
_FULL_PERCENTILE = 95.0
_SEEN_PERCENTILES = (0.5, 99.5)
_MARGIN = 0.25  # of the seen range, by which a retargeted face may leave it
_LARGEST_GAIN = 2.0  # between two people; and its inverse is the smallest
# Added to both reaches: seconds of footage show a part of what a face can do, and units act
# together. With bare reaches the lips went through each other in twice as many frames.
_UNSEEN_REACH = 0.1


@dataclass(frozen=True, eq=False)
class ExpressionRange:
    """What one person was seen to do with each unit of the face."""

    rest: np.ndarray  # (E,) where the unit is when it does nothing
    reach: np.ndarray  # (E,) how far above rest it goes; 0 for modes, which have two sides
    low: np.ndarray  # (E,) the least that was seen
    high: np.ndarray  # (E,) the most

    def __post_init__(self) -> None:
        units = check_shape("rest", self.rest, "E")
        for name in ("reach", "low", "high"):
            check_shape(name, getattr(self, name), "E", **units)


def measure_range(
    expression: np.ndarray, is_trusted: np.ndarray, has_units: bool
) -> ExpressionRange:
    """Measure what a person does with each unit.

    Args:
        expression: (T, E) as fitted.
        is_trusted: (T,) bool, the frames to be used.
        has_units: whether the columns are face units, 0 to 1, and not statistical modes.

    Returns:
        The range. The rest of a unit is its lowest tenth, that of a mode its median.

    Raises:
        FittingError: no frame is trusted.
    """
    frames = check_shape("expression", expression, "T E")["T"]
    check_shape("is_trusted", is_trusted, "T", T=frames)
    seen = np.asarray(expression, np.float64)[is_trusted]
    if len(seen) == 0:
        raise FittingError(
            "no frame of the performance shows the face well enough to be followed",
            "give a clip in which the face is seen from the front, large and unhidden",
        )
    low, high = np.percentile(seen, _SEEN_PERCENTILES, axis=0)
    if not has_units:
        rest = np.median(seen, axis=0)
        return ExpressionRange(rest, np.zeros_like(rest), low, high)
    rest, full = np.percentile(seen, (_REST_PERCENTILE, _FULL_PERCENTILE), axis=0)
    return ExpressionRange(rest, full - rest, low, high)


def retarget(
    expression: np.ndarray, performer: ExpressionRange, actor: ExpressionRange
) -> np.ndarray:
    """Make the actor do what somebody else did, as far as the actor was seen to go.

    Each unit runs linearly: the performer's rest becomes the actor's, and what is above it grows
    or shrinks with the actor's reach over the performer's, to twice or half as much and no
    further. Modes, which move the face only together, keep their proportions: their rest alone
    is exchanged.

    Args:
        expression: (T, E) the performer's.
        performer: the performer's range.
        actor: the actor's range.

    Returns:
        (T, E) float32, inside the actor's seen range and a quarter of it more.
    """
    check_shape("expression", expression, "T E", E=len(performer.rest))
    check_shape("actor.rest", actor.rest, "E", E=len(performer.rest))
    moved = actor.rest + _gain(performer, actor) * (expression - performer.rest)
    margin = _MARGIN * (actor.high - actor.low)
    return np.clip(moved, actor.low - margin, actor.high + margin).astype(np.float32)


def _gain(performer: ExpressionRange, actor: ExpressionRange) -> np.ndarray:
    """(E,) how many times the actor's reach is the performer's."""
    ratio = (actor.reach + _UNSEEN_REACH) / (performer.reach + _UNSEEN_REACH)
    gain: np.ndarray = np.clip(ratio, 1.0 / _LARGEST_GAIN, _LARGEST_GAIN)
    return gain
