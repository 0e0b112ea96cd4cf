"""A toy speaker: syllables whose loudness opens the mouth and whose pitch widens it."""

from __future__ import annotations

import numpy as np

from metatalk.a2e.activity_config import ActivityConfig
from metatalk.a2e.architectures.config import EnsembleConfig, TcnConfig
from metatalk.a2e.config import A2EConfig, AugmentConfig, KernelConfig
from metatalk.a2e.encoder_config import EncoderConfig
from metatalk.a2e.footage import Footage
from metatalk.a2e.hearing import Ears, Stream
from metatalk.a2e.voice_config import VoiceConfig
from metatalk.lipsync.mel import wav2lip_mel

RATE = 16_000
HEARD = 8  # rows of the toy ears
QUICK = A2EConfig(
    components=2,
    augment=AugmentConfig(share=0.5),
    encoder=EncoderConfig(source="none"),
    voices=VoiceConfig(copies=0),
    activity=ActivityConfig(detector="level"),  # the toy's voice is no speech to a better one
    tcn=TcnConfig(channels=16, dilations=(1, 2), dropout=0.1),
    ensemble=EnsembleConfig(members=2),
    kernel=KernelConfig(share=0.3),
    steps=60,
    batch=4,
    window_s=1.0,
)


def toy_speech(
    seconds: float, seed: int = 0, pitch_hz: float = 300.0
) -> tuple[np.ndarray, np.ndarray]:
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
    voice = np.sin(2 * np.pi * pitch_hz * clock) + high * np.sin(2 * np.pi * 2500 * clock)
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


def toy_ears(identity: str = "toy") -> Ears:
    """Ears that hear, beside the mel, how loud eight ranges of frequency are."""
    return Ears((Stream("speech", HEARD, hear_ranges, identity),), terms="toy terms")


def hear_ranges(samples: np.ndarray, columns: int) -> np.ndarray:
    """(8, M) mel units above silence, the mean over an eighth of the bands each."""
    mel = wav2lip_mel(samples)[:, :columns] + 4
    ranges = np.stack([part.mean(axis=0) for part in np.split(mel, HEARD)])
    return np.pad(ranges, ((0, 0), (0, columns - ranges.shape[1])))
