"""Wav2Lip's mel against its recipe, written out with librosa."""

from __future__ import annotations

from fractions import Fraction

import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metatalk.errors import ShapeError
from metatalk.lipsync.mel import (
    CHUNK_COLUMNS,
    SILENCE,
    chunk_starts,
    mel_chunks,
    wav2lip_mel,
)


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return (0.1 * generator.standard_normal(int(16_000 * seconds))).astype(np.float32)


def recipe(samples: np.ndarray) -> np.ndarray:
    """The published recipe in one piece, in double precision."""
    emphasised = librosa.effects.preemphasis(samples.astype(np.float64), coef=0.97, zi=[0.0])
    spectrum = np.abs(librosa.stft(emphasised, n_fft=800, hop_length=200, win_length=800))
    bank = librosa.filters.mel(sr=16_000, n_fft=800, n_mels=80, fmin=55, fmax=7600)
    decibels = 20 * np.log10(np.maximum(1e-5, bank @ spectrum)) - 20
    return np.clip(8 * (decibels + 100) / 100 - 4, -4, 4)


@pytest.mark.filterwarnings("ignore:n_fft")
@pytest.mark.parametrize("length", [1, 199, 200, 799, 16_000, 481_234])
def test_mel_follows_the_recipe_whatever_the_length(length: int) -> None:
    samples = noise(1 + length / 16_000)[:length]
    np.testing.assert_allclose(wav2lip_mel(samples), recipe(samples), atol=2e-4)


def test_an_empty_recording_has_one_silent_column() -> None:
    assert wav2lip_mel(np.zeros(0, np.float32)).shape == (80, 1)


def test_digital_silence_is_the_floor() -> None:
    assert (wav2lip_mel(np.zeros(8000, np.float32)) == SILENCE).all()


def test_a_tone_is_loudest_in_its_band_and_moment() -> None:
    samples = np.zeros(32_000, np.float32)
    samples[16_000:24_000] = np.sin(2 * np.pi * 1000 * np.arange(8000) / 16_000)
    mel = wav2lip_mel(samples)
    centres = librosa.mel_frequencies(82, fmin=55, fmax=7600)[1:-1]
    assert abs(centres[mel[:, 100].argmax()] - 1000) < 60
    assert 80 <= mel[23].argmax() <= 120


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_none_are_refused(value: float) -> None:
    samples = noise(0.1)
    samples[7] = value
    with pytest.raises(ShapeError):
        wav2lip_mel(samples)


def test_stereo_is_refused() -> None:
    with pytest.raises(ShapeError):
        wav2lip_mel(np.zeros((2, 1600), np.float32))


@settings(deadline=None, max_examples=50)
@given(
    frames=st.integers(1, 500),
    rate=st.sampled_from([Fraction(25), Fraction(30_000, 1001), Fraction(1350, 61), Fraction(60)]),
    columns=st.integers(1, 2000),
)
def test_chunks_start_at_their_frames_and_stay_inside(
    frames: int, rate: Fraction, columns: int
) -> None:
    starts = chunk_starts(frames, rate, columns)
    assert (np.diff(starts) >= 0).all()
    assert starts[-1] <= max(columns - CHUNK_COLUMNS, 0)
    free = starts < columns - CHUNK_COLUMNS
    exact = np.array([float(80 * t / rate) for t in range(frames)])
    assert (np.floor(exact[free] + 1e-9) == starts[free]).all()


def test_chunks_are_pieces_of_the_mel() -> None:
    mel = wav2lip_mel(noise(2.0))
    starts = chunk_starts(50, 25, mel.shape[1])
    chunks = mel_chunks(mel, starts)
    assert chunks.shape == (50, 80, 16)
    np.testing.assert_array_equal(chunks[10], mel[:, 32:48])


def test_a_mel_shorter_than_a_chunk_is_filled_with_silence() -> None:
    mel = wav2lip_mel(noise(0.05))
    chunks = mel_chunks(mel, chunk_starts(2, 25, mel.shape[1]))
    assert (chunks[:, :, mel.shape[1] :] == SILENCE).all()


def test_a_tone_on_a_bin_by_hand() -> None:
    """Nothing of librosa: a cosine at 1 kHz, which is bin 50, through the recipe's formulas."""
    level, columns = 0.1, np.arange(8000)
    tone = (level * np.cos(2 * np.pi * 1000 / 16000 * columns)).astype(np.float32)
    column = wav2lip_mel(tone)[:, 20]
    edges = [_slaney_hz(mel) for mel in np.linspace(_slaney(55), _slaney(7600), 82)]
    # Hann's window of 800 gives a cosine on a bin a quarter of 800 there, an eighth beside it.
    high_pass = abs(1 - 0.97 * np.exp(-2j * np.pi * 1000 / 16000))
    lines = {980: 100.0, 1000: 200.0, 1020: 100.0}
    for band in (int(column.argmax()), int(column.argmax()) + 1):
        low, peak, high = edges[band : band + 3]
        weights = {hz: max(0.0, min((hz - low) / (peak - low), (high - hz) / (high - peak)))
                   * 2 / (high - low) for hz in lines}  # fmt: skip
        amplitude = level * high_pass * sum(lines[hz] * weights[hz] for hz in lines)
        decibels = 20 * np.log10(max(1e-5, amplitude)) - 20
        assert amplitude > 1e-5
        np.testing.assert_allclose(column[band], 8 * (decibels + 100) / 100 - 4, atol=2e-3)


def _slaney(hz: float) -> float:
    """Linear up to 1 kHz, which is 15 mels; from there 27 mels for a factor of 6.4."""
    return hz * 3 / 200 if hz < 1000 else 15 + 27 * np.log(hz / 1000) / np.log(6.4)


def _slaney_hz(mel: float) -> float:
    return mel * 200 / 3 if mel < 15 else 1000 * 6.4 ** ((mel - 15) / 27)
