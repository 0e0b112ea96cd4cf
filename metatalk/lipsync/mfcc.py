"""The cepstral coefficients that SyncNet reads, at 100 columns a second."""

from __future__ import annotations

import functools

import numpy as np
from scipy.fft import dct

from metatalk.errors import ShapeError
from metatalk.lipsync.mel import SAMPLE_RATE
from metatalk.shapes import check_shape

COEFFICIENTS = 13
HOP = 160  # samples: 10 ms
WINDOW = 400  # samples: 25 ms, rectangular

_TRANSFORM = 512
_BANDS = 26
_PRE_EMPHASIS = 0.97
_LIFTER = 22
_FULL_SCALE = 32_768  # the evaluation reads 16-bit files and does not scale them
_SMALLEST = float(np.finfo(np.float64).eps)  # stands for an energy of nought
_BLOCK_COLUMNS = 3000  # half a minute: bounds the memory of the spectrum


def syncnet_mfcc(samples: np.ndarray) -> np.ndarray:
    """Compute the coefficients by the recipe of SyncNet's evaluation.

    Args:
        samples: (S,) speech at 16 kHz in [-1, 1].

    Returns:
        (13, M) float32 with M = 1 + ceil((S - 400) / 160), at least 1; column m is of samples
        160 m to 160 m + 399. Row 0 is the logarithm of the window's energy, rows 1 to 12 are
        liftered coefficients of sound on the scale of 16-bit samples.

    Raises:
        ShapeError: the samples are not one-dimensional, or not finite.

    Source: Chung & Zisserman 2016; the defaults of python_speech_features 0.6, with which the
        evaluation of `syncnet_v2.model` computes them.

    >>> syncnet_mfcc(np.zeros(16_000, np.float32)).shape
    (13, 99)
    """
    size = check_shape("samples", samples, "S")["S"]
    if not np.isfinite(samples).all():
        raise ShapeError("the sound holds values that are not numbers", "Decode the file again.")
    columns = 1 + -(-max(size - WINDOW, 0) // HOP)
    found = np.empty((COEFFICIENTS, columns), np.float32)
    for first in range(0, columns, _BLOCK_COLUMNS):
        last = min(first + _BLOCK_COLUMNS, columns)
        found[:, first:last] = _columns(samples, first, last)
    return found


def _columns(samples: np.ndarray, first: int, last: int) -> np.ndarray:
    """(13, last - first) coefficients."""
    heard = _emphasised(samples, first * HOP, (last - 1) * HOP + WINDOW)
    places = HOP * np.arange(last - first)[:, None] + np.arange(WINDOW)
    power = np.abs(np.fft.rfft(heard[places], _TRANSFORM)) ** 2 / _TRANSFORM  # (M, 257)
    energy = np.log(_no_nought(power.sum(axis=1)))
    bands = np.log(_no_nought(power @ _filter_bank().T))  # (M, 26)
    cepstrum = dct(bands, type=2, axis=1, norm="ortho")[:, :COEFFICIENTS] * _lifter()
    cepstrum[:, 0] = energy
    return np.asarray(cepstrum.T)


def _emphasised(samples: np.ndarray, start: int, stop: int) -> np.ndarray:
    """Pre-emphasised samples [start, stop) in 16-bit steps, zero behind the recording's end."""
    inside = samples[max(start - 1, 0) : stop].astype(np.float64)
    steps = np.clip(np.rint(inside * _FULL_SCALE), -_FULL_SCALE, _FULL_SCALE - 1)
    if start == 0:
        steps = np.pad(steps, (1, 0))  # the first sample stays as it is
    high = steps[1:] - _PRE_EMPHASIS * steps[:-1]
    return np.pad(high, (0, stop - start - len(high)))


def _no_nought(energy: np.ndarray) -> np.ndarray:
    return np.where(energy == 0, _SMALLEST, energy)


@functools.cache
def _lifter() -> np.ndarray:
    """(13,) weights that bring the higher coefficients to the size of the lower ones."""
    return 1 + _LIFTER / 2 * np.sin(np.pi * np.arange(COEFFICIENTS) / _LIFTER)


@functools.cache
def _filter_bank() -> np.ndarray:
    """(26, 257) triangles of equal height 1 between whole bins, even in HTK's mel."""
    highest = 2595 * np.log10(1 + SAMPLE_RATE / 2 / 700)
    hertz = 700 * (10 ** (np.linspace(0, highest, _BANDS + 2) / 2595) - 1)
    edges = np.floor((_TRANSFORM + 1) * hertz / SAMPLE_RATE)
    left, top, right = (edges[shift : shift + _BANDS, None] for shift in range(3))
    bins = np.arange(_TRANSFORM // 2 + 1)[None]
    with np.errstate(divide="ignore", invalid="ignore"):  # an edge without width is not chosen
        rising, falling = (bins - left) / (top - left), (right - bins) / (right - top)
    up, down = (left <= bins) & (bins < top), (top <= bins) & (bins < right)
    return np.where(up, rising, np.where(down, falling, 0.0))
