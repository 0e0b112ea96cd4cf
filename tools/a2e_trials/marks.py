"""How well a predicted mouth follows a filmed one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from a2e_trials.footage import Filmed
from metatalk.a2e.lip_meter import LipMeter, make_lip_meter
from metatalk.a2e.targets import MouthSpace
from metatalk.evaluate.mouth import correlation, lag
from metatalk.landmarks.points import point_groups
from metatalk.morphable.model import MorphableModel

_LAG_REACH = 8  # frames either way


@dataclass(frozen=True, eq=False)
class Lips:
    """One face's lips: how far they are apart and how wide the mouth is."""

    meter: LipMeter
    corners: np.ndarray  # (2, 3) millimetres, without expression
    basis: np.ndarray  # (E, 2, 3)

    @classmethod
    def of(cls, model: MorphableModel, film: Filmed) -> Lips:
        """The lips of the face in a clip."""
        mean, shapes, moves = model.landmark_basis()
        pair = list(point_groups(model.landmark_layout).mouth_corners)
        rest = mean.numpy() + np.tensordot(film.identity.numpy(), shapes.numpy(), axes=1)
        meter = make_lip_meter(model, film.identity, film.expression, film.is_trusted)
        return cls(meter, rest[pair], moves.numpy()[:, pair])

    def measure(self, expression: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(T, E) -> gap and width, (T,) millimetres each.

        The gap is taken down the face and falls below 0 where lips press into each other; a
        distance in space would rise again there.
        """
        left, right = np.moveaxis(self.corners + np.tensordot(expression, self.basis, 1), 1, 0)
        return self.meter.gap_mm(expression), np.linalg.norm(left - right, axis=1)


@dataclass(frozen=True)
class LipMarks:
    """How the lips follow."""

    r_gap: float
    r_width: float
    lag: int  # frames by which the predicted gap comes late


@dataclass(frozen=True)
class Errors:
    """Errors of the actor's own mouth, per mouth coordinate."""

    mse: float  # square millimetres
    mae: float  # millimetres
    change_mse: float  # square millimetres: of first differences, from frame to frame


def mark_lips(
    made: tuple[np.ndarray, np.ndarray], real: tuple[np.ndarray, np.ndarray], trusted: np.ndarray
) -> LipMarks:
    """Compare gap and width, (T,) each, in the frames that show the mouth well."""
    (gap, width), (real_gap, real_width) = (
        tuple(values[trusted] for values in pair) for pair in (made, real)
    )
    reach = min(_LAG_REACH, len(gap) // 4)
    return LipMarks(
        correlation(real_gap, gap),
        correlation(real_width, width),
        lag(real_gap, gap, reach) if len(gap) > reach else 0,
    )


def mark_errors(made: np.ndarray, film: Filmed, space: MouthSpace) -> Errors:
    """Compare (T, K) mouth coordinates with the filmed ones, in millimetres of lip movement."""
    error = (made - space.expression_to_mouth(film.expression)) * space.scale
    trusted = film.is_trusted
    follows = trusted[1:] & trusted[:-1] & (np.diff(film.shot) == 0)
    change = np.diff(error, axis=0)[follows]
    error = error[trusted]
    return Errors(
        float((error**2).mean()),
        float(np.abs(error).mean()),
        float((change**2).mean()) if len(change) else 0.0,
    )


def movement(mouth: np.ndarray, film_rate: float, space: MouthSpace, chosen: np.ndarray) -> float:
    """How much lips and chin move.

    Args:
        mouth: (T, K) coordinates, evenly spaced.
        film_rate: frames a second.
        space: of the coordinates.
        chosen: (T,) bool, the frames that count, where the one before counts as well.

    Returns:
        Root-mean-square speed, millimetres a second; not a number where no two frames count.
    """
    both = chosen[1:] & chosen[:-1]
    if not both.any():
        return float("nan")
    speed = np.diff(mouth * space.scale, axis=0)[both] * film_rate
    return float(np.sqrt((speed**2).sum(axis=1).mean()))
