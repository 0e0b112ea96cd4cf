"""The mouth's movement as an animator wants it: larger or smaller, calmer, crisper."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d

from metatalk.compose.mouth_config import MouthConfig
from metatalk.shapes import check_shape

QUICK_S = 0.06  # deviation of the filter that parts consonants, 60 to 120 ms, from vowels


def tune_mouth(
    expression: np.ndarray,
    seconds: np.ndarray,
    rest: np.ndarray,
    lower: np.ndarray,
    config: MouthConfig,
) -> np.ndarray:
    """Change how a mouth moves, and not what it says.

    First the movement is calmed, then its quick part is raised, then all of it is stretched
    about the rest. It is not held to what the actor was seen to do: what is turned is meant.

    Args:
        expression: (N, E).
        seconds: (N,) times of the frames, ascending; the filters take them as evenly spaced.
        rest: (E,) the actor's face at rest.
        lower: (E,) bool, the units that are changed.
        config: what is turned, and how far.

    Returns:
        (N, E) float32; with the default settings `expression` itself.

    Raises:
        ShapeError: an argument is not shaped as documented.
    """
    sizes = check_shape("expression", expression, "N E")
    check_shape("seconds", seconds, "N", **sizes)
    check_shape("rest", rest, "E", **sizes)
    check_shape("lower", lower, "E", **sizes)
    if config == MouthConfig() or len(expression) == 0:
        return expression
    step_s = float(np.median(np.diff(seconds))) if len(seconds) > 1 else 1.0
    moved = expression[:, lower].astype(np.float64)
    if config.smoothing_s > 0:
        moved = _filter(moved, config.smoothing_s / step_s)
    if config.consonants > 0:
        moved = moved + config.consonants * (moved - _filter(moved, QUICK_S / step_s))
    still = rest[lower]
    tuned = expression.astype(np.float32, copy=True)
    tuned[:, lower] = still + config.amplitude * (moved - still)
    return tuned


def _filter(values: np.ndarray, deviation_frames: float) -> np.ndarray:
    smooth: np.ndarray = gaussian_filter1d(values, deviation_frames, axis=0, mode="nearest")
    return smooth
