"""When nobody speaks: where the pauses are and how the actor's mouth rests in them."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import binary_opening, gaussian_filter1d, maximum_filter1d

from metatalk.a2e.features import column_level_db, speech_columns
from metatalk.lipsync.mel import COLUMNS_PER_SECOND, HOP, WINDOW
from metatalk.shapes import check_shape

_LEAD_S = 0.2  # a mouth opens up to this long before its sound,
_TRAIL_S = 0.08  # and is shut again this long after
_FADE_S = 0.06  # standard deviation of the way into and out of rest
_LONGEST_CLICK = WINDOW // HOP  # columns in which one loud sample is heard
_LEAST_REST_S = 0.3  # of pauses in the footage, to learn the rest from
_QUIET_SHARE = 0.1  # of the footage, taken for rest where it has no pauses


def speaking_gate(mel: np.ndarray) -> np.ndarray:
    """Tell how much of the mouth's movement belongs to speech, column by column.

    Args:
        mel: (80, M) mel units.

    Returns:
        (M,) float32 from 0, a pause, to 1: from a fifth of a second before a sound to a tenth
        after it; no jumps.
    """
    speech = _drop_clicks(speech_columns(mel)).astype(np.float32)
    lead, trail = (round(hold * COLUMNS_PER_SECOND) for hold in (_LEAD_S, _TRAIL_S))
    size = lead + trail + 1  # the window reaches `trail` columns back and `lead` ahead
    near = maximum_filter1d(speech, size, mode="nearest", origin=trail - size // 2)
    return gaussian_filter1d(near, _FADE_S * COLUMNS_PER_SECOND, mode="nearest")


def find_rest(mel: np.ndarray, targets: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Find how the actor's mouth rests.

    Args:
        mel: (80, M) mel units.
        targets: (M, K) mouth coordinates at the mel's columns.
        known: (M,) bool, columns at which the mouth is known; at least one.

    Returns:
        (K,) float32: the median mouth in the footage's pauses; without pauses, in its quietest
        tenth.
    """
    check_shape("targets", targets, "M K", M=mel.shape[1])
    paused = known & (speaking_gate(mel) < 0.01)
    if paused.sum() < _LEAST_REST_S * COLUMNS_PER_SECOND:
        level = column_level_db(mel)
        paused = known & (level <= np.quantile(level[known], _QUIET_SHARE))
    # The median: an actor who breathes in through an open mouth does not rest with it open.
    rest: np.ndarray = np.median(targets[paused], axis=0).astype(np.float32)
    return rest


def _drop_clicks(speech: np.ndarray) -> np.ndarray:
    """Forget sounds no longer than the analysis window: a click, not a syllable."""
    return binary_opening(speech, np.ones(_LONGEST_CLICK + 1, bool))
