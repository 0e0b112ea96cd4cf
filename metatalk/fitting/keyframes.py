"""Frames that together show all the clip has to show."""

from __future__ import annotations

import numpy as np

from metatalk.shapes import check_shape


def choose_keyframes(points: np.ndarray, usable: np.ndarray, count: int) -> np.ndarray:
    """Choose frames far apart in pose and expression, by farthest-point sampling.

    Args:
        points: (T, L, 2) landmarks, pixels.
        usable: (T,) bool: frames that may be chosen.
        count: how many are wanted.

    Returns:
        (N,) ascending frame numbers, N <= count.

    Raises:
        ShapeError: the arrays do not belong together.
    """
    frames = check_shape("points", points, "T L 2")["T"]
    check_shape("usable", usable, "T", T=frames)
    candidates = np.flatnonzero(usable)
    if len(candidates) <= count:
        return candidates
    features = _normalised(points[candidates])
    # Start with the most ordinary frame: outliers come by themselves.
    chosen = [int(np.square(features - np.median(features, 0)).sum(1).argmin())]
    distance = np.full(len(features), np.inf)
    while len(chosen) < count:
        distance = np.minimum(distance, np.square(features - features[chosen[-1]]).sum(1))
        distance[chosen] = -1.0  # never twice, even where all frames are alike
        chosen.append(int(distance.argmax()))
    return np.sort(candidates[chosen])


def _normalised(points: np.ndarray) -> np.ndarray:
    """(T, 2L): landmarks about their middle, in units of their spread."""
    centred = points - points.mean(1, keepdims=True)
    spread = np.sqrt(np.square(centred).sum(-1).mean(1))
    return (centred / np.maximum(spread, 1e-6)[:, None, None]).reshape(len(points), -1)
