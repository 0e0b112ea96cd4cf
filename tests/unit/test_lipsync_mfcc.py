"""SyncNet's cepstral coefficients: by hand, and against the library of its evaluation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from metatalk.errors import ShapeError
from metatalk.lipsync import mfcc as module
from metatalk.lipsync.mfcc import syncnet_mfcc

# python_speech_features 0.6 (its defaults) on `two_tones()` as 16-bit samples: first column, last.
GOLDEN_FIRST = [21.4946, 2.9724, -4.8961, 13.0778, -52.7997, -41.7053, 0.0134]
GOLDEN_LAST = [21.3842, 4.4874, -2.8969, 16.3285, -49.1061, -38.3455, 2.9693]


def two_tones() -> np.ndarray:
    t = np.arange(1000)
    low, high = np.sin(2 * np.pi * 440 * t / 16000), np.sin(2 * np.pi * 3100 * t / 16000)
    return (0.5 * low + 0.1 * high).astype(np.float32)


def test_golden_numbers() -> None:
    found = syncnet_mfcc(two_tones())
    assert found.shape == (13, 5)  # 1 + ceil((1000 - 400) / 160)
    np.testing.assert_allclose(found[:7, 0], GOLDEN_FIRST, atol=1e-4)
    np.testing.assert_allclose(found[:7, -1], GOLDEN_LAST, atol=1e-4)


def test_a_click_computed_by_hand() -> None:
    # One sample of 1000 steps at place 100 is 1000 there and -970 behind it after pre-emphasis;
    # |1000 - 970 z|^2 at bin k of 512 is 1000^2 + 970^2 - 2 * 1000 * 970 cos(2 pi k / 512).
    samples = np.zeros(400, np.float32)
    samples[100] = 1000 / 32768
    bins = np.arange(257)
    power = (1000**2 + 970**2 - 2 * 1000 * 970 * np.cos(2 * np.pi * bins / 512)) / 512

    def hertz(place: int) -> float:  # HTK's mel, 28 edges from 0 to 8000 Hz
        top = 2595 * math.log10(1 + 8000 / 700)
        return float(700 * (10 ** (top * place / 27 / 2595) - 1))

    edges = [math.floor(513 * hertz(place) / 16000) for place in range(28)]
    bands = []
    for left, top, right in zip(edges, edges[1:], edges[2:], strict=False):
        rising = sum(power[k] * (k - left) / (top - left) for k in range(left, top))
        falling = sum(power[k] * (right - k) / (right - top) for k in range(top, right))
        bands.append(math.log(rising + falling))
    third = math.sqrt(2 / 26) * sum(
        band * math.cos(math.pi * 3 * (2 * place + 1) / 52) for place, band in enumerate(bands)
    )
    found = syncnet_mfcc(samples)[:, 0]
    assert found[0] == pytest.approx(math.log(power.sum()), abs=1e-4)
    assert found[3] == pytest.approx(third * (1 + 11 * math.sin(3 * math.pi / 22)), abs=1e-4)


def test_blocks_join_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = np.random.default_rng(0).normal(0, 0.1, 20_000).astype(np.float32)
    whole = syncnet_mfcc(samples)
    monkeypatch.setattr(module, "_BLOCK_COLUMNS", 7)
    np.testing.assert_allclose(syncnet_mfcc(samples), whole, atol=1e-5)


def test_silence_and_too_little_sound_have_finite_values() -> None:
    assert np.isfinite(syncnet_mfcc(np.zeros(1600, np.float32))).all()
    assert syncnet_mfcc(np.zeros(10, np.float32)).shape == (13, 1)


def test_broken_sound_is_refused() -> None:
    with pytest.raises(ShapeError, match="not numbers"):
        syncnet_mfcc(np.array([0.0, np.nan], np.float32))
