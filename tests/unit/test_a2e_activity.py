"""Where somebody speaks: the detector, its pieces and what it must not take for speech."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch

from metatalk.a2e import activity
from metatalk.a2e.activity import SpeechDetector, find_silero, hear_speech
from metatalk.a2e.activity_config import ActivityConfig
from metatalk.a2e.features import speech_columns
from metatalk.errors import ConfigError, MissingAssetError, ShapeError
from metatalk.lipsync.mel import wav2lip_mel

RATE = 16_000
needs_silero = pytest.mark.skipif(find_silero() is None, reason="silero-vad is not installed")


def sung_vowels(seconds: float = 3.0) -> np.ndarray:
    """A voice made in code: a pulse train through the resonances of a, i and u in turn."""
    clock = np.arange(int(seconds * RATE)) / RATE
    pitch = 120 + 15 * np.sin(2 * np.pi * 2.1 * clock)
    pulses = np.diff(np.floor(np.cumsum(pitch) / RATE), prepend=0.0)
    spectrum = np.fft.rfft(pulses)
    hertz = np.fft.rfftfreq(len(clock), 1 / RATE)
    vowels = []
    for formants in ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240)):
        gain = np.zeros_like(hertz, complex)
        for centre in formants:
            gain += 1 / (1 + 1j * (hertz**2 - centre**2) / (hertz + 1) / 90)
        vowels.append(np.fft.irfft(spectrum * gain, len(clock)))
    turn = np.stack([np.maximum(np.sin(2 * np.pi * (1.5 * clock + k / 3)), 0) for k in range(3)])
    voice = (turn * np.stack(vowels)).sum(axis=0)
    return (0.1 * voice / voice.std()).astype(np.float32)


def breaths(seconds: float = 4.0) -> np.ndarray:
    """Bursts of noise, as a mouth breathes, half a second each."""
    generator = np.random.default_rng(0)
    size, burst = int(seconds * RATE), RATE // 2
    loud = np.zeros(size)
    for start in range(RATE // 4, size - burst, RATE):
        loud[start : start + burst] = np.hanning(burst)
    noise = generator.standard_normal(size)
    low = np.convolve(noise, np.ones(4) / 4, mode="same")
    return (0.05 * loud * low + 1e-4 * noise).astype(np.float32)


def smacks(seconds: float = 4.0) -> np.ndarray:
    """Clicks of twenty milliseconds, three a second."""
    samples = 1e-4 * np.random.default_rng(0).standard_normal(int(seconds * RATE))
    clock = np.arange(RATE // 50) / RATE
    click = 0.3 * np.exp(-400 * clock) * np.sin(2 * np.pi * 2300 * clock)
    for start in range(RATE // 5, len(samples) - len(click), RATE // 3):
        samples[start : start + len(click)] += click
    return samples.astype(np.float32)


@needs_silero
def test_a_voice_is_speech_between_silences() -> None:
    quiet = np.zeros(RATE, np.float32)
    speech = hear_speech(np.concatenate([quiet, sung_vowels(3.0), quiet]))
    assert len(speech) == 1 + 5 * 80
    assert speech.dtype == np.float32
    assert speech[120:300].mean() > 0.7
    assert speech[:70].max() < 0.3
    assert speech[340:].max() < 0.3


@needs_silero
@pytest.mark.parametrize("make", [breaths, smacks])
@pytest.mark.parametrize("gain", [0.1, 1.0, 5.0])
def test_breath_and_smacks_are_no_speech(make, gain: float) -> None:
    assert hear_speech(gain * make()).max() < 0.2


@needs_silero
def test_quiet_speech_is_speech() -> None:
    voice = np.concatenate([np.zeros(RATE, np.float32), sung_vowels(3.0)])
    loud, quiet = hear_speech(voice), hear_speech(voice * 10 ** (-50 / 20))
    spoken = loud > 0.5
    assert spoken.mean() > 0.5
    assert (quiet[spoken] > 0.4).mean() > 0.9


@needs_silero
@pytest.mark.parametrize("noise_db", [-200, -20])
def test_the_end_is_heard_at_once(noise_db: float) -> None:
    samples = np.concatenate([sung_vowels(2.0), np.zeros(RATE, np.float32)])
    noise = np.random.default_rng(0).standard_normal(len(samples)).astype(np.float32)
    high = np.diff(samples[: 2 * RATE]).std() / np.diff(noise).std()
    speech = hear_speech(samples + high * 10 ** (noise_db / 20) * noise)
    assert speech[40:160].mean() > 0.5
    assert speech[163:185].max() == 0.0  # the network may be sure for a fifth of a second more


@needs_silero
def test_what_is_far_quieter_is_silence_for_a_moment_only() -> None:
    voice = sung_vowels(2.0)
    speech = hear_speech(np.concatenate([np.zeros(RATE // 2, np.float32), voice, 0.03 * voice]))
    assert speech[204:216].max() == 0.0
    assert speech[260:].min() > 0.0


@needs_silero
@pytest.mark.parametrize("size", [1, 100, 512, 777, 5000])
def test_pieces_make_no_difference(size: int) -> None:
    samples = sung_vowels(1.0)[: 3 * 777 * 5 + 13] if size > 1 else sung_vowels(1.0)[:1500]
    whole, detector = hear_speech(samples), SpeechDetector()
    parts = [detector.push(samples[first : first + size]) for first in range(0, len(samples), size)]
    np.testing.assert_allclose(np.concatenate([*parts, detector.finish()]), whole, atol=1e-5)


@needs_silero
@pytest.mark.parametrize("samples", [0, 1, 199, 200, 511, 512, 513, 1600, 12_800, 25_600])
def test_every_mel_column_gets_one_probability(samples: int) -> None:
    silent = np.zeros(samples, np.float32)
    speech = hear_speech(silent)
    assert len(speech) == wav2lip_mel(silent).shape[1]
    assert np.isfinite(speech).all()
    assert speech.max() < 0.2


@needs_silero
def test_the_same_sound_gives_the_same_bits() -> None:
    samples = sung_vowels(1.0)
    threads = torch.get_num_threads()
    first, again = hear_speech(samples), hear_speech(samples)
    assert np.array_equal(first, again)
    assert torch.get_num_threads() == threads


@needs_silero
def test_a_broken_sample_passes() -> None:
    detector, samples = SpeechDetector(), sung_vowels(2.0)
    broken = samples.copy()
    broken[8000:8050] = np.nan
    broken[9000] = np.inf
    heard = np.concatenate([detector.push(broken), detector.finish()])
    assert np.isfinite(heard).all()
    assert np.abs(heard[-40:] - hear_speech(samples)[-40:]).max() < 0.5


def test_a_recording_that_is_no_number_is_refused() -> None:
    for detector in ("auto", "level"):
        with pytest.raises(ShapeError):
            hear_speech(np.full(1600, np.nan, np.float32), ActivityConfig(detector=detector))


def test_the_level_decides_where_it_is_asked_to() -> None:
    samples = sung_vowels(2.0)
    heard = hear_speech(samples, ActivityConfig(detector="level"))
    np.testing.assert_array_equal(heard, speech_columns(wav2lip_mel(samples)))


def test_without_the_package_the_level_decides_and_says_so(monkeypatch, caplog) -> None:
    monkeypatch.setattr(activity, "_PACKAGE", "no_such_package")
    activity.load_silero.cache_clear()
    samples = sung_vowels(1.0)
    with caplog.at_level(logging.WARNING):
        heard = hear_speech(samples)
    assert "silero-vad is not installed" in caplog.text
    np.testing.assert_array_equal(heard, speech_columns(wav2lip_mel(samples)))
    with pytest.raises(MissingAssetError, match="silero-vad"):
        hear_speech(samples, ActivityConfig(detector="silero"))


def test_other_weights_are_refused(monkeypatch, tmp_path) -> None:
    from safetensors.torch import save_file

    strange = tmp_path / "weights.safetensors"
    save_file({"conv1.weight": torch.zeros(3)}, strange)
    monkeypatch.setattr(activity, "find_silero", lambda: strange)
    activity.load_silero.cache_clear()
    with pytest.raises(MissingAssetError, match="another network"):
        hear_speech(np.zeros(1600, np.float32))
    activity.load_silero.cache_clear()


@pytest.mark.parametrize(
    "make",
    [
        lambda: ActivityConfig(threshold=1.0),
        lambda: ActivityConfig(hold=0.6),
        lambda: ActivityConfig(hold=0.0),
        lambda: ActivityConfig(lead_s=-0.1),
        lambda: ActivityConfig(release_s=float("nan")),
    ],
)
def test_impossible_settings_are_refused(make) -> None:
    with pytest.raises(ConfigError):
        make()
