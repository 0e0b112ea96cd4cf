"""Another speaker's pitch, vocal tract and pace, out of the same recording."""

from __future__ import annotations

from collections.abc import Callable

import librosa
import numpy as np
from scipy import fft, signal

from metatalk.errors import ConfigError
from metatalk.lipsync.mel import SAMPLE_RATE
from metatalk.shapes import check_shape

LARGEST_FACTOR = 2.0

_WINDOW, _HOP = 640, 160  # 40 ms: the shortest that parts the harmonics of a low voice
_QUEFRENCY = 38  # cepstral coefficients of the envelope: formants, and no harmonics up to 400 Hz
_ENVELOPE_STEPS = 3
_LARGEST_GAIN = 2.3  # natural logarithm; 20 dB
_BLOCK, _SEAM = 30 * SAMPLE_RATE, SAMPLE_RATE // 4  # bounds the memory of the spectra
_CROSSOVER_TAPS = 129
_FLOOR = 1e-5
_GRAIN = 400  # samples, 25 ms
_GRAIN_HOP = _GRAIN // 2
_SEARCH = 112  # samples, 7 ms: half a period of a voice of 71 Hz
_NEARNESS = 0.4 * np.linspace(-1, 1, 2 * _SEARCH + 1) ** 2
_STEADINESS = 0.1  # share of a grain's displacement that the ones after it make up for


def shift_formants(samples: np.ndarray, factor: float) -> np.ndarray:
    """Lengthen or shorten the vocal tract; pitch and timing stay.

    In every window the spectrum's envelope is read at stretched frequencies and the harmonics
    under it are left where they are.

    Args:
        samples: (S,) speech at 16 kHz.
        factor: of the formants' frequencies; above 1 for a shorter tract.

    Returns:
        (S,) float32.

    Raises:
        ConfigError: a factor beyond 1/2 to 2.

    Source: the envelope is that of Röbel & Rodet 2005 (true envelope), a few of its steps.
    """
    _check(samples, factor)
    return _in_blocks(samples, lambda block: _formants_of_block(block, factor))


def shift_speaker(samples: np.ndarray, factor: float) -> np.ndarray:
    """Play speech faster or slower and give it its tempo back: pitch and formants move together.

    Args:
        samples: (S,) speech at 16 kHz.
        factor: of all frequencies.

    Returns:
        (S,) float32; where a factor below 1 leaves the highest band empty, it is the recording's.

    Raises:
        ConfigError: a factor beyond 1/2 to 2.
    """
    _check(samples, factor)
    return _in_blocks(samples, lambda block: _with_high_band(_moved(block, factor), block, factor))


def shift_pitch(samples: np.ndarray, factor: float) -> np.ndarray:
    """Raise or lower the pitch; formants and timing stay.

    Args:
        samples: (S,) speech at 16 kHz.
        factor: of the pitch.

    Returns:
        (S,) float32.

    Raises:
        ConfigError: a factor beyond 1/2 to 2.
    """
    _check(samples, factor)

    def shift(block: np.ndarray) -> np.ndarray:
        restored = _formants_of_block(_moved(block, factor), 1 / factor)
        return _with_high_band(restored, block, factor)

    return _in_blocks(samples, shift)


def change_tempo(samples: np.ndarray, factor: float) -> np.ndarray:
    """Speak faster or slower with the same voice.

    Args:
        samples: (S,) speech at 16 kHz.
        factor: of the pace; moment t of the result is moment t factor of the recording.

    Returns:
        (round(S / factor),) float32.

    Raises:
        ConfigError: a factor beyond 1/2 to 2.
    """
    _check(samples, factor)
    if factor == 1:
        return samples.astype(np.float32)
    length = round(len(samples) / factor)
    return _stretched(samples.astype(np.float32), factor, length)


def _check(samples: np.ndarray, factor: float) -> None:
    check_shape("samples", samples, "S")
    if not 1 / LARGEST_FACTOR <= factor <= LARGEST_FACTOR:
        raise ConfigError(
            f"a voice cannot be shifted by a factor of {factor}", "give 0.5 to 2; 1 leaves it"
        )


def _in_blocks(samples: np.ndarray, change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Change a recording half a minute at a time, with blended seams."""
    out = np.zeros(len(samples), np.float32)
    for start in range(0, len(samples), _BLOCK):
        first, last = max(start - _SEAM, 0), min(start + _BLOCK + _SEAM, len(samples))
        block = samples[first:last].astype(np.float32)
        changed = change(block) if np.abs(block).max(initial=0) > 0 else block
        rise, fall = start > 0, last < len(samples)
        out[first:last] += changed * _fade(last - first, rise, fall)
    return out


def _fade(length: int, rise: bool, fall: bool) -> np.ndarray:
    """Weights that sum to 1 with the block before and after over twice the seam."""
    weight = np.ones(length, np.float32)
    ramp = (np.arange(2 * _SEAM, dtype=np.float32) + 0.5) / (2 * _SEAM)
    if rise:
        weight[: 2 * _SEAM] = ramp[:length]
    if fall:
        weight[-2 * _SEAM :] *= ramp[::-1][-length:]
    return weight


def _moved(block: np.ndarray, factor: float) -> np.ndarray:
    """Pitch and formants by the factor; empty above the Nyquist frequency times it."""
    if factor == 1:
        return block
    # Grains are cut from the longer of the two, in which they weigh least.
    if factor < 1:
        slower = librosa.resample(block, orig_sr=SAMPLE_RATE, target_sr=SAMPLE_RATE / factor)
        return _stretched(slower, 1 / factor, len(block))
    longer = _stretched(block, 1 / factor, round(len(block) * factor))
    moved = librosa.resample(longer, orig_sr=SAMPLE_RATE, target_sr=SAMPLE_RATE / factor)
    return librosa.util.fix_length(moved, size=len(block))


def _stretched(samples: np.ndarray, rate: float, length: int) -> np.ndarray:
    """Overlapping grains, each taken where it goes on best from the one before it.

    Grain k is centred on sample k hop of the result and, but for a search of a few
    milliseconds to either side, on sample k hop rate of the recording, so time never drifts.

    Source: Verhelst & Roelands 1993 (WSOLA). Departs: a grain far from its place must go on
        clearly better than one at it, which keeps onsets in time.
    """
    grains = length // _GRAIN_HOP + 2
    places = np.round(np.arange(grains) * (_GRAIN_HOP * rate)).astype(int)
    margin = _GRAIN // 2 + _SEARCH
    after = max(int(places[-1]) + 2 * margin + _GRAIN_HOP - len(samples), 0)
    padded = np.pad(samples, (margin, after))
    out = np.zeros((grains + 1) * _GRAIN_HOP, np.float32)
    window = np.hanning(_GRAIN + 1)[:-1].astype(np.float32)
    best, late = _SEARCH, 0.0
    for k, place in enumerate(places):
        if k:
            goes_on = padded[best + _GRAIN_HOP : best + _GRAIN_HOP + _GRAIN]
            first = min(max(place - round(late), 0), place + _SEARCH)
            best = first + _best_grain(padded[first : first + _GRAIN + 2 * _SEARCH], goes_on)
            late += _STEADINESS * (best - _SEARCH - place)
        out[k * _GRAIN_HOP : k * _GRAIN_HOP + _GRAIN] += window * padded[best : best + _GRAIN]
    return out[_GRAIN_HOP : _GRAIN_HOP + length]


def _best_grain(region: np.ndarray, goes_on: np.ndarray) -> int:
    """Where in the region the grain begins that is most like the wanted one."""
    alike = np.correlate(region, goes_on, mode="valid")  # (2 search + 1,)
    energy = np.cumsum(np.concatenate([[0.0], region.astype(np.float64) ** 2]))
    norm = np.sqrt((energy[_GRAIN:] - energy[:-_GRAIN]).clip(0) * (goes_on @ goes_on)) + _FLOOR
    return int((alike / norm - _NEARNESS).argmax())


def _with_high_band(changed: np.ndarray, block: np.ndarray, factor: float) -> np.ndarray:
    if factor >= 1:
        return changed
    crossover = signal.firwin(_CROSSOVER_TAPS, 0.97 * factor)
    low = signal.oaconvolve(block, crossover.astype(np.float32), mode="same")
    return changed + (block - low)


def _formants_of_block(block: np.ndarray, factor: float) -> np.ndarray:
    if factor == 1:
        return block
    spectrum = librosa.stft(block, n_fft=_WINDOW, hop_length=_HOP)  # (F, T)
    envelope = _envelope(np.log(np.abs(spectrum) + _FLOOR))
    bins = np.arange(len(envelope)) / factor
    low = np.minimum(bins.astype(int), len(envelope) - 2)
    share = np.clip(bins - low, 0, 1)[:, None]
    wanted = envelope[low] * (1 - share) + envelope[low + 1] * share
    gain = np.exp(np.clip(wanted - envelope, -_LARGEST_GAIN, _LARGEST_GAIN))
    return librosa.istft(spectrum * gain, n_fft=_WINDOW, hop_length=_HOP, length=len(block))


def _envelope(log_magnitude: np.ndarray) -> np.ndarray:
    """(F, T) smooth curve over the peaks of each log spectrum."""
    envelope = _liftered(log_magnitude)
    for _ in range(_ENVELOPE_STEPS):
        envelope = _liftered(np.maximum(log_magnitude, envelope))
    return envelope


def _liftered(log_magnitude: np.ndarray) -> np.ndarray:
    # scipy's transform stays in single precision, at twice numpy's speed.
    cepstrum = fft.irfft(log_magnitude, axis=0)
    cepstrum[_QUEFRENCY:-_QUEFRENCY] = 0
    return fft.rfft(cepstrum, axis=0).real
