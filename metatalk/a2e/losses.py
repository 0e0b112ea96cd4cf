"""What an error of the mouth counts: in the actor's mouth space, and in millimetres at the lips."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from metatalk.a2e.config import A2EConfig
from metatalk.a2e.windows import Windows
from metatalk.shapes import check_shape

_CLOSED_MM = 1.0  # lips nearer to each other than this count as closed


@dataclass(frozen=True, eq=False)
class MouthWeights:
    """How visible an error is.

    Args:
        coordinates: (K,) of one deviation in each mouth coordinate, mean 1.
        lips: (3, K) millimetres by which a deviation changes gap, width and protrusion of the
            lips; None: these are not looked at.
        gap_mm: the gap at the mouth space's mean.
    """

    coordinates: Tensor
    lips: Tensor | None = None
    gap_mm: float = 0.0

    def __post_init__(self) -> None:
        sizes = check_shape("coordinates", self.coordinates, "K")
        if self.lips is not None:
            check_shape("lips", self.lips, "3 K", **sizes)


def mouth_loss(made: Tensor, windows: Windows, weights: MouthWeights, config: A2EConfig) -> Tensor:
    """Weigh squared errors of position and velocity, of the coordinates and of the lips.

    Args:
        made: (N, B, K, W) what N networks predict, standard deviations.
        windows: the truth, (B, K, W), and where it is known.
        weights: of the coordinates.
        config: weights of velocity, lips and closure.

    Returns:
        The mean over networks, known steps and coordinates. Where the real lips are closed an
        error of their gap counts `1 + closed_weight` times: a mouth that stays a little open in
        a p is seen, one that is a little too wide in an a is not.
    """
    error = made - windows.mouth
    known = windows.known[:, None]  # (B, 1, W)
    total = _moving_error(error, weights.coordinates[:, None] * known, config.velocity_weight)
    total = total / len(weights.coordinates)
    if weights.lips is not None and config.lips_weight > 0:
        # In deviations of gap, width and protrusion, so that each of them counts.
        unit = weights.lips / weights.lips.norm(dim=1, keepdim=True).clamp(min=1e-6)
        gap = weights.gap_mm + torch.einsum("k,bkw->bw", weights.lips[0], windows.mouth)
        closed = known * (1 + config.closed_weight * (gap < _CLOSED_MM)[:, None])
        importance = torch.cat([closed, known, known], dim=1)  # (B, 3, W)
        lips = torch.einsum("rk,nbkw->nbrw", unit, error)
        total = total + config.lips_weight / 3 * _moving_error(
            lips, importance, config.velocity_weight
        )
    return total / (windows.known.sum().clamp(min=1) * len(made))


def _moving_error(error: Tensor, importance: Tensor, velocity_weight: float) -> Tensor:
    """Sum of (N, B, C, W) squared errors and of their changes, weighed by (B, C, W)."""
    change = error[..., 1:] - error[..., :-1]
    seen = torch.minimum(importance[..., 1:], importance[..., :-1])
    return (error**2 * importance).sum() + velocity_weight * (change**2 * seen).sum()
