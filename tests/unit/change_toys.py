"""Sound in which no two stretches are alike, as in speech: what is changed in it can be found."""

from __future__ import annotations

import numpy as np
from scipy.signal import butter, sosfilt

RATE = 16_000


def changing_sound(seconds: float, seed: int = 3) -> np.ndarray:
    """(S,) float32 at 16 kHz: every eighth of a second noise of another band and level."""
    chance = np.random.default_rng(seed)
    carrier = chance.standard_normal(round(seconds * RATE)).astype(np.float32)
    step, parts = RATE // 8, []
    for start in range(0, len(carrier), step):
        low, high = np.sort(chance.uniform(150, 6000, 2)) * (0.8, 1.2)
        band = butter(2, (low, high), "bandpass", fs=RATE, output="sos")
        parts.append(sosfilt(band, carrier[start : start + step]) * chance.uniform(0, 1))
    return (0.3 * np.concatenate(parts)).astype(np.float32)


def delayed(samples: np.ndarray, delay: int) -> np.ndarray:
    """The same sound later, or earlier by a negative delay; its length stays."""
    shifted = np.zeros_like(samples)
    if delay >= 0:
        shifted[delay:] = samples[: max(len(samples) - delay, 0)]
    else:
        shifted[:delay] = samples[-delay:]
    return shifted
