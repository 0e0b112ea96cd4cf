"""Sync of picture and sound: found, corrected, doubted or refused."""

from __future__ import annotations

import dataclasses
import logging

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from metatalk.a2e.offset import _NATURAL_LEAD_S, OffsetReport, correct_offset, measure_offset
from metatalk.a2e.sync_trial import find_peaks
from metatalk.a2e.training import Footage
from metatalk.errors import FittingError

RATE = 16_000
FRAMES_PER_SECOND = 25.0


def talk(seconds: float, late_s: float = 0.0, seed: int = 0) -> Footage:
    """Noise whose loudness follows a mouth, which leads it as lips do; then moved by `late_s`."""
    generator = np.random.default_rng(seed)
    size = int(seconds * RATE)
    clock = np.arange(size) / RATE
    syllables = generator.uniform(0, 1, int(seconds * 5) + 2)
    opening = np.interp(clock * 5, np.arange(len(syllables)), syllables)
    width = np.interp(clock * 5, np.arange(len(syllables)), generator.permutation(syllables))
    noise = generator.standard_normal((2, size))
    low, high = gaussian_filter1d(noise[0], 8), np.diff(noise[1], prepend=0.0)
    samples = 0.3 * opening**2 * low + 0.1 * width**2 * high + 1e-3 * noise[1]
    times = np.arange(int(seconds * FRAMES_PER_SECOND)) / FRAMES_PER_SECOND
    shown = times + _NATURAL_LEAD_S + late_s
    mouth = np.stack([np.interp(shown, clock, part) for part in (opening, width)], axis=1)
    mouth = (mouth - mouth.mean(axis=0)) / mouth.std(axis=0)
    frames = len(times)
    return Footage(
        samples.astype(np.float32),
        times,
        mouth.astype(np.float32),
        np.ones(frames, bool),
        [(0, frames)],
    )


@pytest.mark.parametrize("late_s", [-0.2, -0.08, 0.0, 0.3])
def test_a_known_offset_is_found(late_s: float) -> None:
    report = measure_offset(talk(11.0, late_s))
    assert report.verdict == "measured"
    assert report.offset_s == pytest.approx(late_s, abs=0.012)
    assert report.error_s < 0.02
    assert report.confidence > 0.9


def test_the_correction_lays_frames_where_they_are_heard() -> None:
    footage = talk(11.0, 0.2)
    corrected, report = correct_offset(footage)
    np.testing.assert_allclose(corrected.frame_seconds, footage.frame_seconds + report.offset_s)
    assert report.metrics()["offset_corrected_ms"] == 1000 * report.offset_s
    assert measure_offset(corrected).offset_s == pytest.approx(0.0, abs=0.015)


def test_what_nobody_sees_is_left_alone() -> None:
    footage = talk(8.0, 0.005)
    corrected, report = correct_offset(footage)
    assert corrected is footage
    assert report.verdict == "measured"
    assert report.metrics()["offset_ms"] == 1000 * report.offset_s != 0
    assert report.metrics()["offset_corrected_ms"] == 0


def test_a_given_offset_is_believed() -> None:
    footage = talk(3.0)
    corrected, report = correct_offset(footage, offset_s=-0.1)
    np.testing.assert_allclose(corrected.frame_seconds, footage.frame_seconds - 0.1)
    assert report.metrics() == {
        "offset_ms": -100.0,
        "offset_corrected_ms": -100.0,
        "offset_confidence": 1.0,
    }


def test_a_short_clip_is_only_warned_of(caplog) -> None:
    footage = talk(8.0, 0.2)
    with caplog.at_level(logging.WARNING):
        corrected, report = correct_offset(footage)
    assert corrected is footage
    assert report.verdict == "doubtful"
    assert report.offset_s == pytest.approx(0.2, abs=0.015)
    assert report.metrics()["offset_ms"] == 0.0
    assert "ms late" in caplog.text
    assert f"a2e.offset_s={report.offset_s:.3f}" in caplog.text


def other_voice(footage: Footage, seed: int = 5) -> Footage:
    seconds = len(footage.samples) / RATE
    return dataclasses.replace(footage, samples=talk(seconds, seed=seed).samples)


def test_the_sound_of_another_clip_is_refused() -> None:
    with pytest.raises(FittingError, match="nothing to do with the mouth") as caught:
        correct_offset(other_voice(talk(31.0)))
    assert "a2e.offset_s=0" in caught.value.remedy


def test_a_shorter_one_is_warned_of(caplog) -> None:
    footage = other_voice(talk(17.0))
    with caplog.at_level(logging.WARNING):
        corrected, report = correct_offset(footage)
    assert report.verdict == "unrelated"
    assert corrected is footage
    assert "nothing to do with the mouth" in caplog.text


@pytest.mark.parametrize("kind", ["short", "still", "silent", "faceless", "speechless"])
def test_where_nothing_can_be_measured_nothing_is_corrected(kind: str, caplog) -> None:
    footage, speech = talk(2.0 if kind == "short" else 8.0, 0.2), None
    if kind == "still":
        footage = dataclasses.replace(footage, mouth=np.ones_like(footage.mouth))
    if kind == "silent":
        footage = dataclasses.replace(footage, samples=np.zeros_like(footage.samples))
    if kind == "faceless":
        footage = dataclasses.replace(footage, has_face=np.zeros_like(footage.has_face))
    if kind == "speechless":
        speech = np.zeros(1 + len(footage.samples) // 200, np.float32)
    with caplog.at_level(logging.WARNING):
        corrected, report = correct_offset(footage, speech=speech)
    assert corrected is footage
    assert report.verdict == "unknown"
    assert np.isfinite(list(report.metrics().values())).all()
    assert "could not be measured" in caplog.text


def test_only_speech_is_looked_at() -> None:
    footage = talk(16.0, 0.1)
    mouth = footage.mouth.copy()
    mouth[275:] = np.random.default_rng(3).standard_normal(mouth[275:].shape)  # chews
    speech = np.zeros(1 + len(footage.samples) // 200, np.float32)
    speech[: 11 * 80 - 24] = 1.0
    report = measure_offset(dataclasses.replace(footage, mouth=mouth), speech)
    assert report.heard_s == pytest.approx(11.0, abs=0.1)
    assert report.offset_s == pytest.approx(0.1, abs=0.015)


def test_hard_cuts_are_not_bridged() -> None:
    footage = talk(11.0, -0.1)
    frames = len(footage.frame_seconds)
    shots = [(first, min(first + 50, frames)) for first in range(0, frames, 50)]
    report = measure_offset(dataclasses.replace(footage, shots=shots))
    assert report.offset_s == pytest.approx(-0.1, abs=0.015)


def test_a_peak_lies_between_the_lags() -> None:
    lags_s = np.arange(-36, 37, 2) / 80
    fit = np.exp(-(((lags_s - 0.06) / 0.1) ** 2))
    [lag_s], [height] = find_peaks(1 - fit[None, None], np.ones((1, 1, len(fit))))
    assert lag_s == pytest.approx(0.06, abs=0.003)
    assert 0.9 < height <= 1.0


def test_a_lag_at_which_nothing_was_compared_is_no_peak() -> None:
    lags_s = np.arange(-36, 37, 2) / 80
    fit = 0.5 * np.exp(-(((lags_s - 0.06) / 0.1) ** 2))
    errors, sizes = np.stack([1 - fit] * 2), np.ones((2, len(fit)))
    errors[:, :3] = sizes[:, :3] = 0
    [lag_s], [height] = find_peaks(errors[None], sizes[None])
    assert lag_s == pytest.approx(0.06, abs=0.003)
    assert 0.4 < height <= 0.5


def test_nothing_found_is_no_offset() -> None:
    assert set(OffsetReport().metrics().values()) == {0.0}
