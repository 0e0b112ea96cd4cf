"""The 28 features of Synthesizing Obama, on the clock of the mel."""

from __future__ import annotations

import librosa
import numpy as np

from metatalk.errors import ShapeError
from metatalk.lipsync.mel import HOP, SAMPLE_RATE
from metatalk.shapes import check_shape

COEFFICIENTS = 13
MFCC_SIZE = 2 * (COEFFICIENTS + 1)

_WINDOW = 400  # samples, 25 ms
_TRANSFORM = 512
_BANDS = 40
_FLOOR = 1e-10  # of power; digital silence lies here
_BLOCK_COLUMNS = 2400  # half a minute: bounds the memory of the spectrum


def mfcc(samples: np.ndarray, columns: int) -> np.ndarray:
    """Compute cepstral coefficients, log energy and their first differences.

    Args:
        samples: (S,) speech at 16 kHz in [-1, 1].
        columns: M, of the result; past the end of the sound it is digital silence.

    Returns:
        (28, M) float32; column m is centred on sample 200 m. Rows 0 to 12 are MFCC 0 to 12 in
        decibels, row 13 the natural logarithm of the window's mean energy, rows 14 to 27
        their changes a column (of the difference between the columns beside).

    Raises:
        ShapeError: the samples are not one-dimensional, or not finite.

    Source: Suwajanakorn et al. 2017 (Synthesizing Obama), section 4.1.
    Departs: 80 columns a second in place of 100, the clock of the other features.

    >>> mfcc(np.zeros(1600, np.float32), 9).shape
    (28, 9)
    """
    check_shape("samples", samples, "S")
    if not np.isfinite(samples).all():
        raise ShapeError("the sound holds values that are not numbers", "Decode the file again.")
    # One column more on either side, for the differences at the ends.
    static = np.empty((COEFFICIENTS + 1, columns + 2), np.float32)
    for first in range(-1, columns + 1, _BLOCK_COLUMNS):
        last = min(first + _BLOCK_COLUMNS, columns + 1)
        static[:, first + 1 : last + 1] = _static_columns(samples, first, last)
    change = (static[:, 2:] - static[:, :-2]) / 2
    return np.concatenate([static[:, 1:-1], change])


def _static_columns(samples: np.ndarray, first: int, last: int) -> np.ndarray:
    """(14, last - first) coefficients and log energy."""
    start = first * HOP - _TRANSFORM // 2
    stop = (last - 1) * HOP + _TRANSFORM // 2
    heard = _cut(samples, start, stop)
    spectrum = librosa.stft(
        heard, n_fft=_TRANSFORM, win_length=_WINDOW, hop_length=HOP, center=False
    )
    power = np.abs(spectrum) ** 2
    bands = librosa.feature.melspectrogram(S=power, sr=SAMPLE_RATE, n_mels=_BANDS)
    decibels = 10 * np.log10(np.maximum(bands, _FLOOR))
    cepstrum = librosa.feature.mfcc(S=decibels, n_mfcc=COEFFICIENTS)
    # Parseval, over the window's 25 ms.
    energy = (2 * power.sum(axis=0) - power[0] - power[-1]) / (_TRANSFORM * _WINDOW)
    return np.concatenate([cepstrum, np.log(energy + _FLOOR)[None]])


def _cut(samples: np.ndarray, start: int, stop: int) -> np.ndarray:
    """Samples [start, stop), zero where the recording has none."""
    inside = samples[max(start, 0) : max(min(stop, len(samples)), 0)].astype(np.float32)
    before = min(max(-start, 0), stop - start)
    return np.pad(inside, (before, stop - start - before - len(inside)))
