"""The mel spectrogram that Wav2Lip reads, and the columns that belong to a video frame."""

from __future__ import annotations

import functools
from fractions import Fraction

import librosa
import numpy as np

from metatalk.errors import ShapeError
from metatalk.shapes import check_shape

SAMPLE_RATE = 16_000
HOP = 200
WINDOW = 800
BANDS = 80
COLUMNS_PER_SECOND = SAMPLE_RATE // HOP
CHUNK_COLUMNS = 16
SILENCE = -4.0  # the value of digital silence in every band

_LOWEST_HZ, _HIGHEST_HZ = 55.0, 7600.0
_PRE_EMPHASIS = 0.97
_REFERENCE_DB = 20.0
_DYNAMIC_RANGE_DB = 100.0
_BLOCK_COLUMNS = 2400  # half a minute: bounds the memory of the complex spectrum

DB_PER_UNIT = _DYNAMIC_RANGE_DB / (2 * -SILENCE)  # how many decibels one unit of the mel is worth


def wav2lip_mel(samples: np.ndarray) -> np.ndarray:
    """Compute the mel spectrogram by Wav2Lip's recipe.

    Args:
        samples: (S,) speech at 16 kHz in [-1, 1].

    Returns:
        (80, M) float32 in [-4, 4] with M = 1 + S // 200; column m is centred on sample 200 m,
        which is second m / 80. Digital silence is -4.

    Raises:
        ShapeError: the samples are not one-dimensional, or not finite.

    Source: Prajwal et al. 2020 (Wav2Lip), hyper-parameters of the released models.
    Departs: the ends are padded with zeros, as librosa does today; the release's librosa
        mirrored them there, which moves the two outermost columns.

    >>> wav2lip_mel(np.zeros(1600, np.float32)).shape
    (80, 9)
    """
    check_shape("samples", samples, "S")
    if not np.isfinite(samples).all():
        raise ShapeError("the sound holds values that are not numbers", "Decode the file again.")
    columns = 1 + len(samples) // HOP
    mel = np.empty((BANDS, columns), np.float32)
    for first in range(0, columns, _BLOCK_COLUMNS):
        last = min(first + _BLOCK_COLUMNS, columns)
        mel[:, first:last] = _mel_of_columns(samples, first, last)
    return mel


def chunk_starts(frames: int, rate: Fraction | float, columns: int) -> np.ndarray:
    """Find the first mel column that Wav2Lip reads for each video frame.

    Args:
        frames: number of video frames.
        rate: frames a second.
        columns: columns of the mel spectrogram, M.

    Returns:
        (T,) int64: floor(80 t / rate), held back so that the chunk ends inside the mel.
    """
    rate = Fraction(rate)
    starts = [t * COLUMNS_PER_SECOND * rate.denominator // rate.numerator for t in range(frames)]
    return np.minimum(np.array(starts, np.int64), max(columns - CHUNK_COLUMNS, 0))


def mel_chunks(mel: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Cut one chunk of 16 columns for every video frame.

    Args:
        mel: (80, M) from `wav2lip_mel`; shorter than a chunk, it is filled up with silence.
        starts: (T,) from `chunk_starts`.

    Returns:
        (T, 80, 16) float32.

    Raises:
        ShapeError: the mel does not have 80 bands.
    """
    columns = check_shape("mel", mel, f"{BANDS} M")["M"]
    missing = max(CHUNK_COLUMNS - columns, 0)
    padded = np.pad(mel, ((0, 0), (0, missing)), constant_values=SILENCE)
    chunks = padded[:, starts[:, None] + np.arange(CHUNK_COLUMNS)]  # (80, T, 16)
    return np.ascontiguousarray(chunks.transpose(1, 0, 2), dtype=np.float32)


def _mel_of_columns(samples: np.ndarray, first: int, last: int) -> np.ndarray:
    start, stop = first * HOP - WINDOW // 2, (last - 1) * HOP + WINDOW // 2
    spectrum = librosa.stft(
        _emphasised(samples, start, stop), n_fft=WINDOW, hop_length=HOP, center=False
    )
    amplitude = _filter_bank() @ np.abs(spectrum)  # (80, last - first)
    decibels = 20 * np.log10(np.maximum(1e-5, amplitude)) - _REFERENCE_DB
    scaled = (decibels + _DYNAMIC_RANGE_DB) / DB_PER_UNIT + SILENCE
    return np.clip(scaled, SILENCE, -SILENCE).astype(np.float32)


def _emphasised(samples: np.ndarray, start: int, stop: int) -> np.ndarray:
    """Pre-emphasised samples [start, stop), zero where the recording has none."""
    first, last = max(start, 0), max(min(stop, len(samples)), 0)
    inside = samples[max(first - 1, 0) : last].astype(np.float32)
    inside = np.pad(inside, (int(first == 0), 0))  # the sample before the first
    high = inside[1:] - np.float32(_PRE_EMPHASIS) * inside[:-1]
    return np.pad(high, (first - start, stop - first - len(high)))


@functools.cache
def _filter_bank() -> np.ndarray:
    return librosa.filters.mel(
        sr=SAMPLE_RATE, n_fft=WINDOW, n_mels=BANDS, fmin=_LOWEST_HZ, fmax=_HIGHEST_HZ
    )
