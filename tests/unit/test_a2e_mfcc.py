"""The features of Synthesizing Obama: what each row says, and when."""

from __future__ import annotations

import librosa
import numpy as np
import pytest

from metatalk.a2e import mfcc as module
from metatalk.a2e.mfcc import MFCC_SIZE, mfcc
from metatalk.errors import ShapeError


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, int(16_000 * seconds)).astype(np.float32)


def test_coefficients_are_librosas() -> None:
    samples = noise(1.0)
    power = librosa.feature.melspectrogram(
        y=samples, sr=16_000, n_fft=512, win_length=400, hop_length=200, n_mels=40
    )
    expected = librosa.feature.mfcc(
        S=librosa.power_to_db(power, amin=1e-10, top_db=None), n_mfcc=13
    )
    heard = mfcc(samples, expected.shape[1])
    np.testing.assert_allclose(heard[:13], expected, atol=1e-3)


def test_energy_is_that_of_the_window() -> None:
    samples = noise(1.0)
    window = np.hanning(401)[:-1]
    expected = np.log(((samples[8000 - 200 : 8000 + 200] * window) ** 2).mean())
    assert mfcc(samples, 81)[13, 40] == pytest.approx(expected, abs=1e-4)


def test_differences_are_slopes() -> None:
    ramp = noise(1.0) * np.exp(np.linspace(0, 4, 16_000)).astype(np.float32)
    heard = mfcc(ramp, 80)
    assert heard.shape == (MFCC_SIZE, 80)
    np.testing.assert_allclose(heard[14:, 1:-1], (heard[:14, 2:] - heard[:14, :-2]) / 2, atol=1e-5)
    # the energy's logarithm grows by twice the amplitude's
    assert heard[27, 5:-5].mean() == pytest.approx(2 * 4 / 80, abs=0.02)


def test_a_click_is_heard_at_its_time() -> None:
    samples = np.zeros(16_000, np.float32)
    samples[200 * 33] = 1.0
    assert mfcc(samples, 80)[13].argmax() == 33


@pytest.mark.parametrize("count", [0, 1, 50, 1600, 16_000])
def test_silence_and_shortness_are_finite(count: int) -> None:
    heard = mfcc(np.zeros(count, np.float32), 40)
    assert np.isfinite(heard).all()
    assert not heard[14:].any(), "silence does not change"


def test_blocks_are_not_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = noise(2.0)
    whole = mfcc(samples, 150)
    monkeypatch.setattr(module, "_BLOCK_COLUMNS", 17)
    np.testing.assert_allclose(mfcc(samples, 150), whole, atol=1e-4)


def test_numbers_only() -> None:
    with pytest.raises(ShapeError, match="not numbers"):
        mfcc(np.array([0.0, np.nan]), 1)
