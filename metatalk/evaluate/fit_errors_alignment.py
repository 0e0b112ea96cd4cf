"""How far bodies, rotations and series are from each other."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from metatalk.evaluate.mouth import correlation
from metatalk.shapes import check_shape


def align(points: Tensor, onto: Tensor, scaled: bool) -> tuple[Tensor, float]:
    """Move points as one body as near to others as it gets, by least squares.

    Args:
        points: (V, 3).
        onto: (V, 3).
        scaled: the body may change its size.

    Returns:
        (V, 3) the moved points, and the factor by which their size changed.

    Raises:
        ShapeError: the points are not as many as the others.

    Source: Umeyama 1991, eq. 40 to 43.
    """
    sizes = check_shape("points", points, "V 3")
    check_shape("onto", onto, "V 3", **sizes)
    own, other = points - points.mean(0), onto - onto.mean(0)
    left, spread, right = torch.linalg.svd(other.T @ own)
    flip = torch.ones_like(spread)
    flip[2] = torch.linalg.det(left @ right).sign()
    factor = float((spread * flip).sum() / own.square().sum()) if scaled else 1.0
    return factor * own @ ((left * flip) @ right).T + onto.mean(0), factor


def rotation_between(first: Tensor, second: Tensor) -> Tensor:
    """The turn that leads from one rotation to another, about the first one's own axes.

    Args:
        first: (T, 3, 3) rotation matrices, model -> camera.
        second: (T, 3, 3) rotation matrices, less than half a turn away.

    Returns:
        (T, 3) radians about x, y and z of the model: pitch, yaw and roll.

    Raises:
        ShapeError: the matrices are not 3 by 3, or not as many.
    """
    sizes = check_shape("first", first, "T 3 3")
    check_shape("second", second, "T 3 3", T=sizes["T"])
    between = first.mT @ second
    skew = torch.stack(
        (
            between[:, 2, 1] - between[:, 1, 2],
            between[:, 0, 2] - between[:, 2, 0],
            between[:, 1, 0] - between[:, 0, 1],
        ),
        -1,
    )
    double_sine = skew.norm(dim=-1)  # of the angle
    double_cosine = between.diagonal(dim1=1, dim2=2).sum(-1) - 1
    angle = torch.atan2(double_sine, double_cosine)
    factor = torch.where(double_sine > 1e-12, angle / double_sine.clamp_min(1e-12), 0.5)
    return skew * factor[:, None]


def series_correlation(true: np.ndarray, made: np.ndarray) -> float:
    """Pearson's r of two (T,) series; nan where the true one says nothing.

    >>> series_correlation(np.zeros(3), np.array([1.0, 2.0, 3.0]))
    nan
    """
    if len(true) < 3 or np.ptp(true) < 1e-6:
        return float("nan")
    return correlation(true, made)


def second_difference(track: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """How much points tremble: what a straight, even movement has none of.

    Args:
        track: (T, ...) of any unit.
        kept: (T,) bool; only frames with both their neighbours among the kept count.

    Returns:
        (N, ...) x[t - 1] - 2 x[t] + x[t + 1] of the frames that count.

    Raises:
        ShapeError: `kept` is not as long as the track.
    """
    check_shape("kept", kept, "T", T=len(track))
    return np.diff(track, n=2, axis=0)[kept[2:] & kept[1:-1] & kept[:-2]]
