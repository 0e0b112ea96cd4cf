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
    length: int | None = None,
) -> list[int]:
    """Find the delays by which parts of two recordings agree.

    Args:
        old_levels: (M, B) decibels.
        new_levels: (M, B) decibels.
        old: (S,) samples.
        new: (S',) samples.
        hop: samples a column.
        length: samples that count, with silence behind the end of either; None: the new one's.

    Returns:
        Samples by which the new one is late, the likeliest first; at least one.
    """
    peaks = _rough_delays(_onsets(old_levels), _onsets(new_levels))
    found: list[int] = []
    for peak in peaks:
        delay = _refine(old, new, len(new) if length is None else length, peak * hop, hop)
        if all(abs(delay - other) >= hop for other in found):
            found.append(delay)
    return found


def cut_piece(samples: np.ndarray, first: int, end: int) -> np.ndarray:
    """(end - first,) float32 samples of a recording, silence where it has none.

    >>> cut_piece(np.array([1.0, 2.0, 3.0]), -1, 2)
    array([0., 1., 2.], dtype=float32)
    """
    piece = np.zeros(end - first, np.float32)
    inside = slice(max(first, 0), max(min(end, len(samples)), 0))
    if inside.start < inside.stop:
        piece[inside.start - first : inside.stop - first] = samples[inside]
    return piece


def _onsets(levels: np.ndarray) -> np.ndarray:
    """How the level of each band changes: sharper in time than the level, blind to the mix."""
    floors = [np.percentile(band, 95) - 40.0 for band in levels.T]
    levels = np.maximum(levels, np.array(floors, levels.dtype))
    change = np.zeros_like(levels)
    np.subtract(levels[4:], levels[:-4], out=change[2:-2])
    return change


def _rough_delays(old: np.ndarray, new: np.ndarray) -> list[int]:
    """Columns of delay at the peaks of the bands' correlation; 0 where there is none."""
    columns = len(old)
    total = np.zeros(2 * columns - 1)
    for band in range(old.shape[1]):
        total += fftconvolve(new[:, band], old[::-1, band])
    most = float(np.sqrt(_energy(old) * _energy(new)))
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


def _energy(values: np.ndarray) -> float:
    bands = (band.astype(np.float64) for band in values.T)
    return float(sum(band @ band for band in bands))


def _refine(old: np.ndarray, new: np.ndarray, length: int, delay: int, reach: int) -> int:
    """The delay near a rough one, to a sample: the peak of the phases' correlation."""
    total = np.zeros(_BLOCK)
    for first in range(0, length, _BLOCK // 2):
        end = min(first + _BLOCK // 2, length)
        one = np.fft.rfft(cut_piece(old, first - delay, end - delay), _BLOCK)
        other = np.fft.rfft(cut_piece(new, first, end), _BLOCK)
        cross = other * np.conj(one)
        total += np.fft.irfft(cross / np.maximum(np.abs(cross), 1e-12), _BLOCK)
    lags = np.arange(-reach, reach + 1)
    return delay + int(lags[np.abs(total[lags]).argmax()])
