"""Other rooms, microphones and surroundings, put over a recording of speech."""

from __future__ import annotations

import numpy as np
from scipy import signal

from metatalk.errors import ShapeError
from metatalk.lipsync.mel import SAMPLE_RATE
from metatalk.shapes import check_shape

_TAPS = 255
_KNOTS_HZ = np.array([0, 120, 350, 900, 2000, 4000, 8000.0])  # about even to the ear
_LOUD_PERCENTILE = 60  # of the short-time power, where speech with pauses speaks
_FRAME = 400  # samples
_ECHOES = 6
_ECHO_S = (0.002, 0.03)
_TALKERS = 5
_MOST_EXPONENT = 2.0  # of 1 / f: brown noise


def equalise(samples: np.ndarray, gains_db: np.ndarray) -> np.ndarray:
    """Filter by a smooth curve, without delay.

    Args:
        samples: (S,) at 16 kHz.
        gains_db: (7,) decibels at 0, 120, 350, 900, 2000, 4000 and 8000 Hz.

    Returns:
        (S,) float32.
    """
    check_shape("samples", samples, "S")
    check_shape("gains_db", gains_db, f"{len(_KNOTS_HZ)}")
    taps = signal.firwin2(_TAPS, _KNOTS_HZ, 10 ** (gains_db / 20), fs=SAMPLE_RATE)
    return _convolved(samples, taps, _TAPS // 2)


def draw_equaliser(deviation_db: float, rng: np.random.Generator) -> np.ndarray:
    """Draw the curve of a microphone.

    Args:
        deviation_db: standard deviation at every knot.
        rng: source of the random numbers.

    Returns:
        (7,) decibels for `equalise`, of mean 0.
    """
    gains = rng.normal(0, deviation_db, len(_KNOTS_HZ))
    return gains - gains.mean()


def add_room(
    samples: np.ndarray, decay_s: float, direct_db: float, rng: np.random.Generator
) -> np.ndarray:
    """Put speech into a room: a few echoes and a tail of decaying noise behind the direct sound.

    Args:
        samples: (S,) at 16 kHz.
        decay_s: until the tail is 60 dB down, seconds.
        direct_db: energy of the direct sound over that of echoes and tail.
        rng: source of the random numbers.

    Returns:
        (S,) float32; the direct sound is where it was.
    """
    check_shape("samples", samples, "S")
    length = max(int(decay_s * SAMPLE_RATE), 2)
    time = np.arange(length) / SAMPLE_RATE
    tail = rng.normal(size=length) * 10 ** (-3 * time / decay_s)
    tail[: int(_ECHO_S[0] * SAMPLE_RATE)] = 0
    places = (rng.uniform(*_ECHO_S, _ECHOES) * SAMPLE_RATE).astype(int)
    places = places[places < length]
    tail[places] += 6 * rng.normal(size=len(places)) * 10 ** (-3 * time[places] / decay_s)
    energy = (tail**2).sum()
    response = tail * np.sqrt(10 ** (-direct_db / 10) / energy) if energy else tail
    response[0] = 1.0
    return _convolved(samples, response, 0)


def add_noise(
    samples: np.ndarray, noise: np.ndarray, ratio_db: float, rng: np.random.Generator
) -> np.ndarray:
    """Lay noise under speech, repeated from a random place where it is shorter.

    Args:
        samples: (S,) speech at 16 kHz.
        noise: (N,) at 16 kHz, of any level.
        ratio_db: power of the speech where it speaks over that of the noise.
        rng: source of the random numbers.

    Returns:
        (S,) float32; as it was where either is silent.

    Raises:
        ShapeError: there is no noise.
    """
    check_shape("samples", samples, "S")
    if check_shape("noise", noise, "N")["N"] == 0:
        raise ShapeError("a noise of no samples cannot be repeated", "Give a second of noise.")
    start = int(rng.integers(len(noise)))
    under = np.take(noise, np.arange(start, start + len(samples)), mode="wrap")
    power = float(np.mean(under**2)) if len(under) else 0.0
    if power == 0:
        return samples.astype(np.float32)
    gain = np.sqrt(speech_power(samples) / power * 10 ** (-ratio_db / 10))
    return (samples + gain * under).astype(np.float32)


def coloured_noise(length: int, exponent: float, rng: np.random.Generator) -> np.ndarray:
    """Make steady noise whose power falls with the frequency.

    Args:
        length: N, samples.
        exponent: of 1 / frequency: 0 white, 1 pink, 2 brown.
        rng: source of the random numbers.

    Returns:
        (N,) float32 of power 1 (0 where there is no room for any).
    """
    spectrum = np.fft.rfft(rng.normal(size=max(length, 2)))
    hertz = np.maximum(np.fft.rfftfreq(max(length, 2), 1 / SAMPLE_RATE), 40.0)
    noise = np.fft.irfft(spectrum * hertz ** (-exponent / 2), max(length, 2))[:length]
    deviation = noise.std() if length else 0.0
    return (noise / deviation if deviation else noise).astype(np.float32)


def draw_noise(length: int, rng: np.random.Generator) -> np.ndarray:
    """Draw the noise of a room or a microphone.

    Args:
        length: N, samples.
        rng: source of the random numbers.

    Returns:
        (N,) float32 of power 1, of any colour from white to brown.
    """
    return coloured_noise(length, rng.uniform(0, _MOST_EXPONENT), rng)


def babble(voices: np.ndarray, length: int, rng: np.random.Generator) -> np.ndarray:
    """Let several people talk at once, out of sentences that are not the recording's own.

    Args:
        voices: (N,) speech at 16 kHz; cut at random places.
        length: of the result, samples.
        rng: source of the random numbers.

    Returns:
        (length,) float32.

    Raises:
        ShapeError: there are no voices.
    """
    if check_shape("voices", voices, "N")["N"] == 0:
        raise ShapeError("a babble out of no voices cannot be made", "Give a second of speech.")
    together = np.zeros(length, np.float32)
    for start in rng.integers(len(voices), size=_TALKERS):
        spoken = np.take(voices, np.arange(start, start + length), mode="wrap")
        together += spoken * rng.uniform(0.5, 1.0)
    return together


def clip_peaks(samples: np.ndarray, share: float) -> np.ndarray:
    """Cut off the loudest peaks, as an overdriven input does.

    Args:
        samples: (S,).
        share: of the samples that lie beyond the limit, 0 to 1.

    Returns:
        (S,) float32.
    """
    if len(samples) == 0 or share <= 0:
        return samples.astype(np.float32)
    limit = np.quantile(np.abs(samples), 1 - share)
    return np.clip(samples, -limit, limit).astype(np.float32)


def speech_power(samples: np.ndarray) -> float:
    """Measure the power of the speech in a recording, pauses aside.

    Args:
        samples: (S,).

    Returns:
        Mean square over the loud windows of 25 ms; 0 for none.
    """
    whole = len(samples) // _FRAME * _FRAME
    if whole == 0:
        return float(np.mean(samples**2)) if len(samples) else 0.0
    power = (samples[:whole].reshape(-1, _FRAME) ** 2).mean(axis=1)
    return float(power[power >= np.percentile(power, _LOUD_PERCENTILE)].mean())


def _convolved(samples: np.ndarray, taps: np.ndarray, delay: int) -> np.ndarray:
    if len(samples) == 0:
        return samples.astype(np.float32)
    whole = signal.oaconvolve(samples.astype(np.float32), taps.astype(np.float32))
    return whole[delay : delay + len(samples)].astype(np.float32)
