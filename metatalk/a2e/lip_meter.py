"""How far apart an actor's lips are, as a linear function of the expression."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from metatalk.errors import ShapeError
from metatalk.landmarks.points import point_groups
from metatalk.morphable.model import MorphableModel
from metatalk.shapes import check_shape

_CLOSED_PERCENTILE = 5  # of the filmed gaps: nobody speaks without ever closing the lips,
_WIDEST_CLOSED_MM = 1.0  # but a short clip may not show it


@dataclass(frozen=True, eq=False)
class LipMeter:
    """The gap between the inner lips of an actor's mesh."""

    resting_mm: float  # with no expression
    per_unit_mm: np.ndarray  # (E,) what each unit of expression adds
    closed_mm: float = 0.0  # what the mesh shows where this actor's lips touch

    def __post_init__(self) -> None:
        check_shape("per_unit_mm", self.per_unit_mm, "E")

    def gap_mm(self, expression: np.ndarray) -> np.ndarray:
        """Measure (T, E) expressions: (T,) mm that the lips are apart; 0 where they touch.

        Pressed lips give less than 0: a mesh's lips pass through each other.
        """
        check_shape("expression", expression, "T E", E=len(self.per_unit_mm))
        apart: np.ndarray = self.resting_mm - self.closed_mm + expression @ self.per_unit_mm
        return apart


def make_lip_meter(
    model: MorphableModel, identity: Tensor, filmed: np.ndarray, is_trusted: np.ndarray
) -> LipMeter:
    """Make the meter of one actor, its zero being the actor's own closed lips.

    A fitted mesh may be a millimetre open, or shut through, where the filmed lips touch; what
    it shows then is learned from the footage.

    Args:
        model: the face model, with landmarks.
        identity: (I,) the actor's.
        filmed: (T, E) the expressions fitted to the footage.
        is_trusted: (T,) bool, the frames that show the mouth well.

    Returns:
        The meter: downward distance of the lower from the upper inner lip, mean of the middle
        three landmarks of each.

    Raises:
        ShapeError: the model has no landmarks, or arrays disagree.
    """
    if not model.landmark_layout:
        raise ShapeError("the face model has no landmarks, so its lips cannot be measured")
    frames = check_shape("filmed", filmed, "T E", E=len(model.expression_basis))["T"]
    check_shape("is_trusted", is_trusted, "T", T=frames)
    upper, lower = _middle_pairs(point_groups(model.landmark_layout).lips_inner)
    mean, shapes, moves = model.landmark_basis()
    rest = (mean + torch.tensordot(identity, shapes, 1))[:, 1]  # y runs down
    resting_mm = float((rest[lower] - rest[upper]).mean())
    per_unit = (moves[:, lower, 1] - moves[:, upper, 1]).mean(1).numpy().astype(np.float64)
    seen = LipMeter(resting_mm, per_unit).gap_mm(filmed[np.asarray(is_trusted, bool)])
    closed = float(np.percentile(seen, _CLOSED_PERCENTILE)) if len(seen) else 0.0
    return LipMeter(resting_mm, per_unit, min(closed, _WIDEST_CLOSED_MM))


def _middle_pairs(ring: tuple[int, ...]) -> tuple[list[int], list[int]]:
    """The middle of a lip ring and its neighbours, above and below; the ring is symmetric."""
    middle = len(ring) // 4
    above = range(middle - 1, middle + 2)
    return [ring[place] for place in above], [ring[-place] for place in above]
