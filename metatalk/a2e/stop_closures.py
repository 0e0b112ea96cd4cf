"""Where a vocal tract is shut: the dips of a stop or a nasal, in any language, by sound alone."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d, minimum_filter1d

from metatalk.a2e.phone_times import PhoneTimes
from metatalk.lipsync.mel import COLUMNS_PER_SECOND, DB_PER_UNIT, wav2lip_mel

_BODY = slice(18, 60)  # mel bands of about 0.6 to 4 kHz: where a shut mouth takes the sound away
_BURST_LOW, _BURST_HIGH = slice(12, 30), slice(50, 75)  # about 0.4 to 1.2 and 3 to 6.5 kHz
_SMOOTH_COLUMNS = 0.8
_LEAST_RISE_DB = 8.0
_AFTER = 12  # columns in which sound must come back
_LONGEST = (20, 14)  # columns that a closure reaches back and ahead of its deepest point
_MARGIN = 3  # columns on either side that may not be deeper
_AUDIBLE_DB = 35.0  # the sound that comes back may be this far below the recording's loud parts
_VOWEL_S = 0.02  # from the burst to the vowel, which is where transcribers end a stop
_PER_DB = 0.06  # log-odds of lips, not tongue, for each decibel that the burst is low-pitched
_EVEN_DB = 12.0  # a burst this much louder below says nothing
_FEW = -1.0  # log-odds that a stop is made by the lips


def find_stop_closures(samples: np.ndarray) -> PhoneTimes:
    """Find moments at which lips may have been shut.

    A closure is a dip of the sound above the voice's own murmur that ends at once. The lips'
    bursts are low-pitched, the tongue's are not; that alone tells them apart badly, so the
    confidence stays low and what was predicted of the mouth has to bear it out.

    Args:
        samples: (S,) speech at 16 kHz in [-1, 1].

    Returns:
        Closures of kind "bilabial", labelled "stop", ending where the sound is back.

    Raises:
        ShapeError: the samples are not one-dimensional, or not finite.
    """
    mel = wav2lip_mel(samples) * DB_PER_UNIT
    body = gaussian_filter1d(mel[_BODY].mean(axis=0), _SMOOTH_COLUMNS, mode="nearest")
    least = float(np.percentile(body, 95)) - _AUDIBLE_DB
    lowest = np.flatnonzero(body == minimum_filter1d(body, 2 * _MARGIN + 1, mode="nearest"))
    found: list[tuple[float, float, float]] = []
    for column in lowest:
        after = float(body[column : column + _AFTER].max())
        rise = after - float(body[column])
        if rise < _LEAST_RISE_DB or after < least:
            continue
        first, end = _edges(body, int(column), rise)
        if found and first / COLUMNS_PER_SECOND < found[-1][1] - _VOWEL_S:
            continue  # a second bottom of the same dip
        odds = _FEW + _PER_DB * (_burst_tilt(mel, end) - _EVEN_DB)
        times = first / COLUMNS_PER_SECOND, end / COLUMNS_PER_SECOND + _VOWEL_S
        found.append((*times, float(1.0 / (1.0 + np.exp(-odds)))))
    starts, ends, confidence = np.array(found, float).reshape(-1, 3).T
    kinds = ("bilabial",) * len(found)
    return PhoneTimes(starts, ends, ("stop",) * len(found), kinds, confidence)


def _edges(body: np.ndarray, column: int, rise: float) -> tuple[int, int]:
    """Where a dip is half filled on either side."""
    half = body[column] + rise / 2
    first = end = column
    while first > 0 and body[first - 1] < half and column - first < _LONGEST[0]:
        first -= 1
    while end < len(body) - 1 and body[end] < half and end - column < _LONGEST[1]:
        end += 1
    return first, end


def _burst_tilt(mel: np.ndarray, column: int) -> float:
    """Decibels by which the sound that comes back is louder at the bottom."""
    burst = mel[:, column : column + 3].mean(axis=1)
    return float(burst[_BURST_LOW].mean() - burst[_BURST_HIGH].mean())
