"""Where a new recording differs from the old one, by what is heard and not by its samples.

Both are compared in mel columns, as levels in decibels. What one mix does to all of a recording is
taken out first: a delay, a level, an equaliser, a band that a codec or a telephone leaves out, a
floor of noise. What is left differs where other words are spoken. An insertion moves all that
follows: the delay is therefore not one number but a path over the recording, and where it leaves
the film's own time everything is a change, for the filmed mouth is no longer in step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import librosa
import numpy as np
from scipy.ndimage import uniform_filter1d

from metatalk.errors import ShapeError
from metatalk.lipsync.delays import cut_piece, find_delays
from metatalk.shapes import check_shape

SAMPLE_RATE = 16_000
HOP = 160  # samples from one column to the next
COLUMNS_PER_SECOND = SAMPLE_RATE // HOP
IN_STEP_S = 0.045  # nobody sees less (ITU-R BT.1359), and codecs shift sound by so much

_WINDOW, _TRANSFORM, _BANDS = 400, 512, 32
_LOWEST_HZ, _HIGHEST_HZ = 80.0, 7600.0
_BLOCK = 6000  # columns at once: a minute, which bounds the memory of the complex spectrum
_QUIET_DB = -110.0  # the value of digital silence
_FLOOR_SHARE, _FLOOR_DB = 10.0, 8.0  # what lies so near to the quietest columns is noise,
_DYNAMIC_DB = 45.0  # and so is what lies this far below the loudest
_LEAST_SPREAD_DB = 2.0  # codecs move every band by this
_ALL_BANDS = 0.5  # how much a level counts that all bands rise by: compressors do that, too
_SMOOTH = 5  # columns that are judged together: 50 ms
_LEAST_DB, _MOST_DB, _DEVIATIONS = 5.0, 8.0, 6.0  # where a difference begins
_FALLS_OFF = 0.6  # a change goes on while the difference is so much of that
_SWITCH_S = 0.6  # a delay must change this much for the better to be believed
_GAP_S, _SHORTEST_S = 0.2, 0.1  # changes nearer than this are one; shorter ones are none
_COMMON = 0.15  # share of the sounding columns that must agree, or it is another recording


@dataclass(frozen=True, eq=False)
class Comparison:
    """How a new recording differs from an old one; times are the new one's."""

    ranges: np.ndarray  # (R, 2) float64 seconds: where it does, in order and apart
    level_db: float  # how much louder it is where it does not
    delays: tuple[tuple[float, float], ...]  # from second ... on it runs ... seconds late
    alike: float  # share of the sounding columns that agree, 0 to 1

    @property
    def unrelated(self) -> bool:
        """Whether the two have nothing in common."""
        return self.alike < _COMMON

    @property
    def out_of_step_s(self) -> float | None:
        """From when on, to its end, the new recording no longer runs with the old one."""
        late = [abs(delay_s) > IN_STEP_S for _, delay_s in self.delays]
        if not late or not late[-1]:
            return None
        first = len(late) - (late[::-1].index(False) if False in late else len(late))
        return self.delays[first][0]


def compare_recordings(old: np.ndarray, new: np.ndarray, margin_s: float = 0.0) -> Comparison:
    """Find where another recording of the same differs.

    Args:
        old: (S,) sound at 16 kHz in [-1, 1], from the film's first frame on.
        new: (S',) the same.
        margin_s: seconds that are added to both ends of every change.

    Returns:
        The differences. Where one recording is over, the other one's sound is a change.

    Raises:
        ShapeError: one is not a vector.
    """
    for name, samples in (("old", old), ("new", new)):
        check_shape(name, samples, "S")
        if not np.isfinite(samples).all():
            raise ShapeError(f"{name} holds values that are not numbers")
    length = max(len(old), len(new), HOP)
    levels = mel_levels(new, 0, length)
    delays = find_delays(mel_levels(old, 0, length), levels, old, new, HOP, length)
    # One after the other: the levels of all of them would take as much room again for each.
    pairs = [_compare_levels(mel_levels(old, delay, length), levels) for delay in delays]
    distance = np.stack([pair.distance for pair in pairs])  # (K, M)
    path = _follow_delay(distance)
    found = distance[path, np.arange(distance.shape[1])]
    sounding = np.stack([pair.sounding for pair in pairs])[path, np.arange(len(found))]
    late = np.abs(np.array(delays))[path] > IN_STEP_S * SAMPLE_RATE
    alike = float((found < 1)[sounding].mean()) if sounding.any() else 1.0
    changed = _hysteresis(found) | late
    main = pairs[int(np.bincount(path).argmax())]
    return Comparison(
        _ranges(changed, length / SAMPLE_RATE, margin_s),
        main.level_db,
        _delay_changes(path, delays),
        alike,
    )


def mel_levels(samples: np.ndarray, delay: int = 0, length: int | None = None) -> np.ndarray:
    """Levels in mel bands, in columns of 25 ms.

    Args:
        samples: (S,) at 16 kHz.
        delay: samples by which the sound is to come later.
        length: of the sound with its delay, silence behind its end; None: its own.

    Returns:
        (M, 32) float32 decibels; column m is centred on second m / 100.
    """
    length = len(samples) if length is None else length
    columns = 1 + length // HOP
    levels = np.empty((columns, _BANDS), np.float32)
    bank = librosa.filters.mel(
        sr=SAMPLE_RATE, n_fft=_TRANSFORM, n_mels=_BANDS, fmin=_LOWEST_HZ, fmax=_HIGHEST_HZ
    )
    samples = samples[max(-delay, 0) : max(length - delay, 0)]  # what is heard from 0 to `length`
    for first in range(0, columns, _BLOCK):
        last = min(first + _BLOCK, columns)
        start = first * HOP - _TRANSFORM // 2 - max(delay, 0)
        part = cut_piece(samples, start, start + (last - first - 1) * HOP + _TRANSFORM)
        spectrum = librosa.stft(
            part, n_fft=_TRANSFORM, win_length=_WINDOW, hop_length=HOP, center=False
        )
        power = bank @ (np.abs(spectrum) ** 2)
        levels[first:last] = (10 * np.log10(np.maximum(power, 10 ** (_QUIET_DB / 10)))).T
    return levels


@dataclass(frozen=True, eq=False)
class _Pair:
    """Two recordings in step."""

    distance: np.ndarray  # (M,) 1 where a difference begins
    sounding: np.ndarray  # (M,) bool: columns in which either is heard
    level_db: float


def _compare_levels(old: np.ndarray, new: np.ndarray) -> _Pair:
    """Take out what the mix does to all columns, and measure what is left."""
    tilt = _means(new) - _means(old)
    usual = np.ones(len(new), bool)
    for _ in range(2):  # the second time without the columns that differ
        floor = np.maximum(_floor(old, usual) + tilt, _floor(new, usual)).astype(np.float32)
        apart, lower = np.maximum(new, floor), np.maximum(old + tilt, floor)
        heard = (apart > floor) | (lower > floor)  # (M, B)
        apart -= lower
        del lower
        spread = 1.4826 * _heard_median(apart, heard, usual, np.abs)
        weight = (1 / (spread**2 + _LEAST_SPREAD_DB**2)).astype(np.float32)
        raw = _distance(apart, weight / weight.sum())
        usual = raw <= max(float(np.median(raw[heard.any(1)])) if heard.any() else 0.0, _LEAST_DB)
        tilt = tilt + _heard_median(apart, heard, usual)
    sounding = heard.mean(1) > 0.2
    smooth = uniform_filter1d(raw, _SMOOTH, mode="nearest")
    calm = smooth[sounding & usual]
    middle = float(np.median(calm)) if len(calm) else 0.0
    noise = 1.4826 * float(np.median(np.abs(calm - middle))) if len(calm) else 0.0
    limit = min(max(middle + _DEVIATIONS * noise, _LEAST_DB), _MOST_DB)
    return _Pair(smooth / limit, sounding, float(np.average(tilt, weights=weight)))


def _distance(apart: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(M,) decibels: root mean square of (M, B) differences, less of what the bands share."""
    shared = apart @ weight
    own = apart - shared[:, None]
    own *= own
    distance: np.ndarray = np.sqrt(own @ weight + (_ALL_BANDS * shared) ** 2)
    return distance


def _means(levels: np.ndarray) -> np.ndarray:
    """(B,) mean level of a band where it is heard."""
    heard = levels > _floor(levels)
    total = levels.sum(0, dtype=np.float64, where=heard)
    means: np.ndarray = total / np.maximum(heard.sum(0), 1)
    return means.astype(np.float32)


def _floor(levels: np.ndarray, usual: np.ndarray | None = None) -> np.ndarray:
    """(B,) level below which a band holds noise; by the columns (M,) that are usual alone."""
    if usual is not None and not usual.any():
        return np.full(levels.shape[1], _QUIET_DB, np.float32)
    bands = (band if usual is None else band[usual] for band in levels.T)
    quiet, loud = np.array([np.percentile(band, [_FLOOR_SHARE, 95.0]) for band in bands]).T
    floor = np.minimum(np.maximum(quiet + _FLOOR_DB, loud - _DYNAMIC_DB), loud)
    return floor.astype(np.float32)


def _heard_median(
    values: np.ndarray,
    heard: np.ndarray,
    usual: np.ndarray,
    measure: Callable[[np.ndarray], np.ndarray] = np.asarray,
) -> np.ndarray:
    """(B,) median of a measure of each band's (M, B) values in its heard and usual columns."""
    medians = [
        float(np.median(measure(band[mask & usual]))) if (mask & usual).any() else 0.0
        for band, mask in zip(values.T, heard.T, strict=True)
    ]
    return np.array(medians, np.float32)


def _follow_delay(distance: np.ndarray) -> np.ndarray:
    """(M,) the delay by which each column agrees best; it changes only for something.

    Args:
        distance: (K, M) of every column by every delay.
    """
    count, columns = distance.shape
    if count == 1:
        return np.zeros(columns, np.int64)
    cost = (distance - _FALLS_OFF).clip(0.0, 1.0)  # of two that agree neither is better
    penalty = _SWITCH_S * COLUMNS_PER_SECOND
    total, came = cost[:, 0].copy(), np.zeros((columns, count), np.int16)
    for column in range(1, columns):
        best = int(total.argmin())
        switch = total > total[best] + penalty
        came[column] = np.where(switch, best, np.arange(count))
        total = np.where(switch, total[best] + penalty, total) + cost[:, column]
    path = np.empty(columns, np.int64)
    path[-1] = int(total.argmin())
    for column in range(columns - 1, 0, -1):
        path[column - 1] = came[column, path[column]]
    return path


def _hysteresis(found: np.ndarray) -> np.ndarray:
    """(M,) bool: runs above `_FALLS_OFF` that somewhere reach 1."""
    above = found > _FALLS_OFF
    edges = np.flatnonzero(np.diff(np.r_[False, above, False]))
    changed = np.zeros(len(found), bool)
    for first, end in zip(edges[::2], edges[1::2], strict=True):
        changed[first:end] = (found[first:end] >= 1).any()
    return changed


def _ranges(changed: np.ndarray, length_s: float, margin_s: float) -> np.ndarray:
    edges = np.flatnonzero(np.diff(np.r_[False, changed, False]))
    runs = [(first, end) for first, end in zip(edges[::2], edges[1::2], strict=True)]
    joined: list[list[float]] = []
    for first, end in runs:
        if joined and first - joined[-1][1] <= _GAP_S * COLUMNS_PER_SECOND:
            joined[-1][1] = end
        else:
            joined.append([first, end])
    kept = [run for run in joined if run[1] - run[0] >= _SHORTEST_S * COLUMNS_PER_SECOND]
    # A run's columns are centred on its times; each reaches half a column beyond them.
    ends = np.array(kept, np.float64).reshape(-1, 2) / COLUMNS_PER_SECOND
    ends = ends - 0.5 / COLUMNS_PER_SECOND + (-margin_s, margin_s)
    return _merged(ends.clip(0.0, length_s))


def _merged(ends: np.ndarray) -> np.ndarray:
    merged: list[list[float]] = []
    for first_s, end_s in ends.tolist():
        if merged and first_s <= merged[-1][1]:
            merged[-1][1] = max(end_s, merged[-1][1])
        else:
            merged.append([first_s, end_s])
    return np.array(merged, np.float64).reshape(-1, 2)


def _delay_changes(path: np.ndarray, delays: list[int]) -> tuple[tuple[float, float], ...]:
    starts = np.r_[0, 1 + np.flatnonzero(np.diff(path))]
    return tuple(
        (float(start) / COLUMNS_PER_SECOND, delays[path[start]] / SAMPLE_RATE) for start in starts
    )
