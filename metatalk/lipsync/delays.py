"""By how much one recording of the same sound lags another: the delays that some part of it has."""

from __future__ import annotations

import numpy as np
from scipy.signal import fftconvolve

MOST_DELAYS = 6
_LEAST = 0.1  # of the highest peak that is possible
_APART = 8  # columns between two delays
_BLOCK = 1 << 16  # samples that are transformed at once


def find_delays(
    old_levels: np.ndarray,
    new_levels: np.ndarray,
    old: np.ndarray,
    new: np.ndarray,
    hop: int,
) -> list[int]:
    """Find the delays by which parts of two recordings agree.

    Args:
        old_levels: (M, B) decibels.
        new_levels: (M, B) decibels.
        old: (S,) samples.
        new: (S,) samples.
        hop: samples a column.

    Returns:
        Samples by which the new one is late, the likeliest first; at least one.
    """
    peaks = _rough_delays(_onsets(old_levels), _onsets(new_levels))
    found: list[int] = []
    for peak in peaks:
        delay = _refine(old, new, peak * hop, hop)
        if all(abs(delay - other) >= hop for other in found):
            found.append(delay)
    return found


def shift_samples(samples: np.ndarray, delay: int) -> np.ndarray:
    """Let a recording come later, or earlier by a negative delay; its length stays.

    >>> shift_samples(np.array([1.0, 2.0, 3.0]), 1)
    array([0., 1., 2.])
    """
    shifted = np.zeros_like(samples)
    if delay >= 0:
        shifted[delay:] = samples[: max(len(samples) - delay, 0)]
    else:
        shifted[:delay] = samples[-delay:]
    return shifted


def _onsets(levels: np.ndarray) -> np.ndarray:
    """How the level of each band changes: sharper in time than the level, blind to the mix."""
    levels = np.maximum(levels, np.percentile(levels, 95, axis=0) - 40.0)
    change = np.zeros_like(levels)
    change[2:-2] = levels[4:] - levels[:-4]
    return change


def _rough_delays(old: np.ndarray, new: np.ndarray) -> list[int]:
    """Columns of delay at the peaks of the bands' correlation; 0 where there is none."""
    columns = len(old)
    total = np.zeros(2 * columns - 1)
    for band in range(old.shape[1]):
        total += fftconvolve(new[:, band], old[::-1, band])
    most = float(np.sqrt((old.astype(np.float64) ** 2).sum() * (new.astype(np.float64) ** 2).sum()))
    if most == 0:
        return [0]
    score = total / most
    delays: list[int] = []
    while len(delays) < MOST_DELAYS:
        best = int(score.argmax())
        if score[best] < _LEAST:
            break
        delays.append(best - (columns - 1))
        score[max(0, best - _APART) : best + _APART + 1] = -1.0
    return delays or [0]


def _refine(old: np.ndarray, new: np.ndarray, delay: int, reach: int) -> int:
    """The delay near a rough one, to a sample: the peak of the phases' correlation."""
    moved = shift_samples(old, delay)
    total = np.zeros(_BLOCK)
    for first in range(0, len(new), _BLOCK // 2):
        ends = slice(first, first + _BLOCK // 2)
        one, other = np.fft.rfft(moved[ends], _BLOCK), np.fft.rfft(new[ends], _BLOCK)
        cross = other * np.conj(one)
        total += np.fft.irfft(cross / np.maximum(np.abs(cross), 1e-12), _BLOCK)
    lags = np.arange(-reach, reach + 1)
    return delay + int(lags[np.abs(total[lags]).argmax()])
