"""Other voices: what was to change does, the words and their times do not."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import librosa
import numpy as np
import pytest
from scipy import signal

from metatalk import presenter
from metatalk.a2e import recording_conditions as conditions
from metatalk.a2e import vocal_tract
from metatalk.a2e.vocal_tract import change_tempo, shift_formants, shift_pitch, shift_speaker
from metatalk.a2e.voice_config import VoiceConfig
from metatalk.a2e.voices import VOICE_KINDS, VoiceKind, vary_voice, voice_set
from metatalk.errors import ConfigError, ShapeError
from metatalk.media.audio import read_sound

RATE = 16_000
SPEECH = read_sound(Path(presenter.__file__).with_name("driving.flac")).samples[: RATE * 5]
FACTORS = [0.75, 0.9, 1.15, 1.4]
IN_TIME: list[VoiceKind] = [kind for kind in VOICE_KINDS if kind != "tempo"]


def vowel(pitch_hz: float, formant_hz: float, seconds: float = 1.0) -> np.ndarray:
    """Pulses through one resonance of 120 Hz width."""
    pulses = np.zeros(int(RATE * seconds))
    pulses[np.arange(0, len(pulses), RATE / pitch_hz).astype(int)] = 1.0
    radius = np.exp(-np.pi * 120 / RATE)
    poles = [1, -2 * radius * np.cos(2 * np.pi * formant_hz / RATE), radius**2]
    return (0.1 * signal.lfilter([1], poles, pulses)).astype(np.float32)


def measured_pitch(samples: np.ndarray) -> float:
    middle = samples[RATE // 4 : -RATE // 4]
    alike = np.correlate(middle, middle, "full")[len(middle) - 1 :]
    alike = alike[:400] / np.arange(len(middle), len(middle) - 400, -1)
    lags = np.arange(RATE // 320, 300)
    return RATE / lags[alike[lags].argmax()]


def measured_formant(samples: np.ndarray) -> float:
    """The strongest resonance, from the mean spectrum smoothed over the harmonics."""
    power = np.abs(librosa.stft(samples, n_fft=256, hop_length=64))[:, 20:-20] ** 2
    level = np.log(power.mean(axis=1) + 1e-9)
    peak = int(level[4:].argmax()) + 4
    parabola = np.polyfit([-1, 0, 1], level[peak - 1 : peak + 2], 2)
    return (peak - parabola[1] / (2 * parabola[0])) * RATE / 256


def loudness(samples: np.ndarray) -> np.ndarray:
    """How the spectrum's level moves, a value a millisecond, heard through 25 ms."""
    bands = librosa.feature.melspectrogram(
        y=samples, sr=RATE, n_fft=400, hop_length=16, n_mels=30, power=1
    )
    return np.diff(np.log(bands + 1e-2).mean(axis=0))


def lag_ms(samples: np.ndarray, reference: np.ndarray) -> float:
    ours, theirs = loudness(samples), loudness(reference)
    lags = np.arange(-40, 41)
    alike = np.array([(np.roll(ours, -lag) * theirs)[50:-50].sum() for lag in lags])
    return float(lags[alike.argmax()])


@pytest.mark.parametrize("factor", FACTORS)
def test_pitch_moves_and_formants_stay(factor: float) -> None:
    before = vowel(130, 1800)
    after = shift_pitch(before, factor)
    assert after.shape == before.shape
    assert measured_pitch(after) == pytest.approx(130 * factor, rel=0.03)
    assert measured_formant(after) == pytest.approx(measured_formant(before), rel=0.06)


@pytest.mark.parametrize("factor", FACTORS)
def test_formants_move_and_pitch_stays(factor: float) -> None:
    before = vowel(130, 1800)
    after = shift_formants(before, factor)
    assert measured_pitch(after) == pytest.approx(130, rel=0.02)
    assert measured_formant(after) == pytest.approx(measured_formant(before) * factor, rel=0.06)


@pytest.mark.parametrize("factor", FACTORS)
def test_a_speaker_moves_both(factor: float) -> None:
    before = vowel(130, 1800)
    after = shift_speaker(before, factor)
    assert measured_pitch(after) == pytest.approx(130 * factor, rel=0.03)
    assert measured_formant(after) == pytest.approx(measured_formant(before) * factor, rel=0.06)


@pytest.mark.parametrize("shift", [shift_speaker, shift_pitch, shift_formants])
@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_shifts_keep_onsets_and_level(shift, factor: float) -> None:
    after = shift(SPEECH, factor)
    assert abs(lag_ms(after, SPEECH)) < 5
    assert 0.6 < after.std() / SPEECH.std() < 1.6


def test_onsets_do_not_lean_with_the_factor() -> None:
    lags = [lag_ms(shift_speaker(SPEECH, factor), SPEECH) for factor in (0.8, 1.25)]
    assert abs(lags[0] - lags[1]) < 3


@pytest.mark.parametrize("shift", [shift_speaker, shift_pitch, shift_formants, change_tempo])
def test_a_factor_of_one_leaves_the_sound(shift) -> None:
    np.testing.assert_allclose(shift(SPEECH, 1.0), SPEECH, atol=1e-6)


@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_tempo_moves_time_and_not_pitch(factor: float) -> None:
    assert measured_pitch(change_tempo(vowel(130, 1800), factor)) == pytest.approx(130, rel=0.02)
    bursts = np.zeros(RATE * 4, np.float32)
    moments = np.array([0.5, 1.3, 2.6, 3.4])
    for moment in moments:
        bursts[int(moment * RATE) :][:320] = vowel(130, 1800)[:320]
    after = change_tempo(bursts, factor)
    assert len(after) == round(len(bursts) / factor)
    for moment in moments / factor:
        near = slice(int((moment - 0.1) * RATE), int((moment + 0.1) * RATE))
        power = after[near] ** 2
        centre = power @ (np.arange(len(power)) / RATE) / power.sum() - 0.1
        assert centre == pytest.approx(0.003 / factor, abs=0.012)


def test_a_lowered_speaker_keeps_the_treble() -> None:
    hiss = np.random.default_rng(0).normal(0, 0.1, RATE).astype(np.float32)
    power = np.abs(np.fft.rfft(shift_speaker(hiss, 0.8))) ** 2
    assert power[7000:7800].mean() > 0.3 * power[1000:5000].mean()


def test_blocks_are_joined_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = shift_formants(SPEECH, 1.2)
    monkeypatch.setattr(vocal_tract, "_BLOCK", RATE)
    np.testing.assert_allclose(shift_formants(SPEECH, 1.2), whole, atol=0.01 * np.abs(whole).max())
    assert abs(lag_ms(shift_speaker(SPEECH, 1.2), SPEECH)) < 5


@pytest.mark.parametrize("factor", [0.4, 2.1])
def test_far_shifts_are_refused(factor: float) -> None:
    with pytest.raises(ConfigError, match="factor"):
        shift_pitch(SPEECH, factor)


@pytest.mark.parametrize("kind", IN_TIME)
@pytest.mark.parametrize("seed", [0, 1])
def test_variations_change_the_sound_and_not_its_time(kind: VoiceKind, seed: int) -> None:
    varied = vary_voice(SPEECH, kind, 0.7, np.random.default_rng(seed))
    assert varied.time_scale == 1
    assert varied.samples.shape == SPEECH.shape
    assert varied.samples.dtype == np.float32
    assert np.abs(varied.samples).max() <= 1
    assert np.abs(varied.samples - SPEECH).max() > 1e-4
    assert abs(lag_ms(varied.samples, SPEECH)) < 5


def test_tempo_says_how_time_went() -> None:
    varied = vary_voice(SPEECH, "tempo", 1.0, np.random.default_rng(0))
    assert len(varied.samples) == round(len(SPEECH) / varied.time_scale)
    assert varied.time_scale != 1


@pytest.mark.parametrize("kind", VOICE_KINDS)
def test_the_same_seed_gives_the_same_sound(kind: VoiceKind) -> None:
    first, again, *others = (
        vary_voice(SPEECH[:RATE], kind, 1.0, np.random.default_rng(seed)).samples
        for seed in (3, 3, 4, 5, 6)
    )
    np.testing.assert_array_equal(first, again)
    assert any(not np.array_equal(first, other) for other in others)


@pytest.mark.parametrize("kind", VOICE_KINDS)
@pytest.mark.parametrize("count", [0, 1, 300, 1600, RATE])
def test_silence_and_shortness_stay_finite(kind: VoiceKind, count: int) -> None:
    rng = np.random.default_rng(0)
    for samples in (np.zeros(count, np.float32), SPEECH[:count]):
        varied = vary_voice(samples, kind, 1.0, rng)
        assert np.isfinite(varied.samples).all()
        if kind != "tempo":
            assert len(varied.samples) == count


def test_a_strength_of_zero_leaves_the_sound() -> None:
    for kind in VOICE_KINDS:
        varied = vary_voice(SPEECH, kind, 0.0, np.random.default_rng(0))
        np.testing.assert_array_equal(varied.samples, SPEECH)


def test_unknown_kinds_and_strengths_are_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ConfigError, match="no variation"):
        vary_voice(SPEECH, "accent", 1.0, rng)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="strength"):
        vary_voice(SPEECH, "pitch", 1.5, rng)
    with pytest.raises(ShapeError, match="not numbers"):
        vary_voice(np.array([np.nan]), "pitch", 1.0, rng)


def test_a_set_is_made_of_different_voices_in_time() -> None:
    quiet = VoiceConfig(room=0, noise=0, babble=0, clipping=0, codec=0)
    copies = list(voice_set(SPEECH, 3, 5, quiet))
    assert [copy.shape for copy in copies] == [SPEECH.shape] * 3
    for copy in copies:
        assert abs(lag_ms(copy, SPEECH)) < 5
        assert not np.array_equal(copy, SPEECH)
    assert not np.array_equal(copies[0], copies[1])


def test_a_set_has_taller_and_smaller_speakers() -> None:
    tract = VoiceConfig(
        pitch=0, equaliser_db=0, level_db=0, room=0, noise=0, babble=0, clipping=0, codec=0
    )
    before = vowel(130, 1800)
    ratios = [measured_formant(copy) / 1800 for copy in voice_set(before, 4, 0, tract)]
    assert min(ratios) < 0.98
    assert max(ratios) > 1.02
    assert 1 / 1.25 < min(ratios) < max(ratios) < 1.25


def test_a_copy_hangs_on_its_number_alone() -> None:
    speech = SPEECH[:RATE]
    few, many = list(voice_set(speech, 1, 9)), list(islice(voice_set(speech, 9, 9), 2))
    np.testing.assert_array_equal(few[0], many[0])
    again = list(voice_set(speech, 1, 10))
    assert not np.array_equal(few[0], again[0])


def test_a_set_of_silence_is_finite() -> None:
    everything = VoiceConfig(room=1, noise=1, babble=1, clipping=1, codec=1)
    for samples in (np.zeros(RATE, np.float32), np.zeros(0, np.float32), SPEECH[:1600]):
        for copy in voice_set(samples, 3, 0, everything):
            assert np.isfinite(copy).all()
            assert len(copy) == len(samples)


def test_settings_off_leave_the_sound() -> None:
    nothing = VoiceConfig(
        pitch=0, tract=0, equaliser_db=0, level_db=0,
        room=0, noise=0, babble=0, clipping=0, codec=0,
    )  # fmt: skip
    for copy in voice_set(SPEECH, 2, 0, nothing):
        np.testing.assert_allclose(copy, SPEECH, atol=1e-3)


@pytest.mark.parametrize(("name", "value"), [("room", 1.2), ("pitch", -0.1), ("tract", 0.95)])
def test_settings_are_checked(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"a2e.voices.{name}"):
        VoiceConfig(**{name: value})


def test_an_equaliser_follows_its_curve() -> None:
    gains = np.array([0, 0, 0, 6.0, -6.0, 0, 0])
    impulse = np.zeros(4000, np.float32)
    impulse[2000] = 1
    heard = conditions.equalise(impulse, gains)
    assert heard.argmax() == 2000
    response = 20 * np.log10(np.abs(np.fft.rfft(heard, RATE)) + 1e-9)
    assert response[900] == pytest.approx(6, abs=1)
    assert response[2000] == pytest.approx(-6, abs=1)
    assert response[6000] == pytest.approx(0, abs=1)


def test_a_room_comes_after_the_direct_sound() -> None:
    impulse = np.zeros(RATE, np.float32)
    impulse[4000] = 1
    heard = conditions.add_room(impulse, 0.4, 6.0, np.random.default_rng(0))
    assert not np.abs(heard[:3999]).max() > 1e-6
    assert heard[4000] == pytest.approx(1, abs=1e-5)
    tail = heard[4001:] ** 2
    assert 10 * np.log10(1 / tail.sum()) == pytest.approx(6, abs=0.1)
    assert tail[3200:].sum() < 0.01 * tail.sum()  # 30 dB down after 0.2 s


def test_noise_has_the_level_it_was_given() -> None:
    noise = conditions.coloured_noise(RATE, 1.0, np.random.default_rng(0))
    heard = conditions.add_noise(SPEECH, noise, 12.0, np.random.default_rng(1))
    added = heard - SPEECH
    ratio = conditions.speech_power(SPEECH) / (added**2).mean()
    assert 10 * np.log10(ratio) == pytest.approx(12, abs=0.5)


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0])
def test_coloured_noise_has_its_slope(exponent: float) -> None:
    noise = conditions.coloured_noise(RATE * 4, exponent, np.random.default_rng(0))
    hertz, power = signal.welch(noise, RATE, nperseg=2048)
    slope = np.polyfit(np.log(hertz[20:900]), np.log(power[20:900]), 1)[0]
    assert slope == pytest.approx(-exponent, abs=0.15)


def test_clipping_touches_the_share_it_was_given() -> None:
    heard = conditions.clip_peaks(SPEECH, 0.02)
    assert (heard != SPEECH).mean() == pytest.approx(0.02, abs=0.002)


def test_nothing_cannot_be_repeated() -> None:
    rng, none = np.random.default_rng(0), np.zeros(0, np.float32)
    with pytest.raises(ShapeError, match="noise"):
        conditions.add_noise(SPEECH, none, 10.0, rng)
    with pytest.raises(ShapeError, match="babble"):
        conditions.babble(none, 100, rng)
