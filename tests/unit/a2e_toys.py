"""A toy speaker: syllables whose loudness opens the mouth and whose pitch widens it."""

from __future__ import annotations

import numpy as np

from metatalk.a2e.config import A2EConfig, AugmentConfig, KernelConfig, NetworkConfig
from metatalk.a2e.training import Footage

RATE = 16_000
QUICK = A2EConfig(
    components=2,
    augment=AugmentConfig(share=0.5),
    network=NetworkConfig(channels=16, dilations=(1, 2), dropout=0.1, members=2),
    kernel=KernelConfig(share=0.3),
    steps=60,
    batch=4,
    window_s=1.0,
)


def toy_speech(seconds: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Samples (S,) at 16 kHz and the mouth (S, 2) that goes with them, about unit variance."""
    generator = np.random.default_rng(seed)
    size = int(seconds * RATE)
    loud, high = np.zeros(size), np.zeros(size)
    start = 0
    while start < size:
        length = int(generator.uniform(0.1, 0.3) * RATE)
        stop = min(start + length, size)
        loud[start:stop] = np.hanning(length)[: stop - start] * generator.uniform(0.3, 1)
        high[start:stop] = generator.uniform()
        start = stop + int(generator.uniform(0, 0.1) * RATE)
    clock = np.arange(size) / RATE
    voice = np.sin(2 * np.pi * 300 * clock) + high * np.sin(2 * np.pi * 2500 * clock)
    samples = 0.2 * loud * voice + 1e-3 * generator.standard_normal(size)
    mouth = np.stack([loud, high * loud], axis=1)
    return samples.astype(np.float32), ((mouth - mouth.mean(0)) / mouth.std(0)).astype(np.float32)


def toy_footage(seconds: float = 6.0, seed: int = 0, frames_per_second: float = 25.0) -> Footage:
    """The toy speaker filmed."""
    samples, mouth = toy_speech(seconds, seed)
    times = np.arange(int(seconds * frames_per_second)) / frames_per_second
    frames = len(times)
    return Footage(
        samples,
        times,
        mouth[(times * RATE).astype(int)],
        np.ones(frames, bool),
        [(0, frames)],
    )
