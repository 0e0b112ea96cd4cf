"""What differs between two recordings is found, and what a mix or a codec does is not."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from change_toys import changing_sound, delayed
from media_clips import make_sound, speech_like
from scipy.signal import butter, resample_poly, sosfilt

from metatalk.errors import ShapeError
from metatalk.lipsync.changes import SAMPLE_RATE, Comparison, compare_recordings, mel_levels
from metatalk.media.audio import read_sound

SPEECH = Path(__file__).resolve().parents[3] / "shared" / "clips" / "audio" / "english_28s.wav"


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    if not SPEECH.is_file():
        pytest.skip("needs ../shared/clips: real speech")
    return read_sound(SPEECH).samples


@pytest.fixture(scope="module")
def toy() -> np.ndarray:
    return changing_sound(12.0)


def replaced(sound: np.ndarray, first_s: float, end_s: float, from_s: float) -> np.ndarray:
    """A recording with another piece of it in one place."""
    first, end, source = (round(s * SAMPLE_RATE) for s in (first_s, end_s, from_s))
    new = sound.copy()
    new[first:end] = sound[source : source + end - first]
    return new


def recoded(sound: np.ndarray, path: Path, codec: str, bits: int) -> np.ndarray:
    """The same through a codec, at a recording's usual rate."""
    planar = resample_poly(sound, 3, 1)[None].astype(np.float32)
    return read_sound(make_sound(path, planar, 48_000, codec=codec, bit_rate=bits)).samples


def assert_found(comparison: Comparison, *ranges: tuple[float, float]) -> None:
    assert comparison.ranges.shape == (len(ranges), 2), comparison.ranges
    for (first_s, end_s), (from_s, to_s) in zip(comparison.ranges, ranges, strict=True):
        assert from_s - 0.06 <= first_s <= from_s + 0.015
        assert to_s - 0.015 <= end_s <= to_s + 0.06


@pytest.mark.parametrize("gain", [0.25, -1.0, 2.0])
def test_another_level_is_no_change(toy: np.ndarray, gain: float) -> None:
    compared = compare_recordings(toy, toy * np.float32(gain))
    assert_found(compared)
    assert compared.level_db == pytest.approx(20 * np.log10(abs(gain)), abs=0.2)
    assert compared.alike > 0.99


def test_an_equaliser_a_telephone_and_some_noise_are_no_change(toy: np.ndarray) -> None:
    shelf = toy + 1.5 * sosfilt(butter(1, 2500, "highpass", fs=SAMPLE_RATE, output="sos"), toy)
    assert_found(compare_recordings(toy, shelf))
    low = sosfilt(butter(6, 3400, fs=SAMPLE_RATE, output="sos"), toy)
    assert_found(compare_recordings(toy, low))
    noise = np.random.default_rng(0).standard_normal(len(toy)).astype(np.float32)
    assert_found(compare_recordings(toy, toy + 0.03 * toy.std() * noise))


def test_a_replaced_piece_is_found_where_it_is(toy: np.ndarray) -> None:
    assert_found(compare_recordings(toy, replaced(toy, 4.0, 4.5, 9.0)), (4.0, 4.5))
    two = replaced(replaced(toy, 4.0, 4.5, 9.0), 7.0, 7.2, 1.0)
    assert_found(compare_recordings(toy, 0.5 * two), (4.0, 4.5), (7.0, 7.2))


def test_a_piece_taken_out_and_one_put_into_silence_are_changes(toy: np.ndarray) -> None:
    silenced = toy.copy()
    silenced[5 * SAMPLE_RATE : 6 * SAMPLE_RATE] = 0
    for old, new in ((toy, silenced), (silenced, toy)):
        compared = compare_recordings(old, new)
        assert len(compared.ranges) == 1
        np.testing.assert_allclose(compared.ranges[0], [5, 6], atol=0.15)


def test_the_margin_is_added_on_both_sides(toy: np.ndarray) -> None:
    new = replaced(toy, 4.0, 4.5, 9.0)
    bare, wide = (compare_recordings(toy, new, margin).ranges for margin in (0.0, 0.1))
    np.testing.assert_allclose(wide - bare, [[-0.1, 0.1]], atol=1e-9)


def test_a_codecs_delay_is_no_change(toy: np.ndarray) -> None:
    compared = compare_recordings(toy, delayed(toy, 500))
    assert_found(compared)
    assert compared.delays == ((0.0, 500 / SAMPLE_RATE),)
    assert compared.out_of_step_s is None


def test_what_follows_an_insertion_is_out_of_step(toy: np.ndarray) -> None:
    at, piece = 5 * SAMPLE_RATE, toy[9 * SAMPLE_RATE : 9 * SAMPLE_RATE + 6400]
    compared = compare_recordings(toy, np.concatenate([toy[:at], piece, toy[at:]]))
    assert compared.ranges.shape == (1, 2)
    assert compared.ranges[0] == pytest.approx([5.0, 12.4], abs=0.06)
    assert compared.out_of_step_s == pytest.approx(5.0, abs=0.45)
    assert compared.delays[-1][1] == pytest.approx(0.4, abs=0.001)


def test_a_recording_that_comes_back_into_step_is_as_it_was(toy: np.ndarray) -> None:
    at, back = 3 * SAMPLE_RATE, 8 * SAMPLE_RATE
    longer = np.concatenate([toy[:at], toy[at - 4800 : at], toy[at:back], toy[back + 4800 :]])
    compared = compare_recordings(toy, longer)
    assert compared.out_of_step_s is None
    assert compared.ranges[0] == pytest.approx([3.0, 8.3], abs=0.35)
    assert len(compared.ranges) == 1


def test_a_recording_that_begins_late_is_out_of_step_from_the_start(toy: np.ndarray) -> None:
    late = np.concatenate([np.zeros(SAMPLE_RATE, np.float32), toy])
    compared = compare_recordings(toy, late)
    assert compared.out_of_step_s == 0.0
    assert compared.delays == ((0.0, 1.0),)


def test_other_words_of_the_same_voice_are_unrelated(speech: np.ndarray) -> None:
    middle = len(speech) // 2
    assert compare_recordings(speech[:middle], speech[middle:]).unrelated
    assert not compare_recordings(speech, speech).unrelated


def test_silence_and_nothing_are_alike() -> None:
    compared = compare_recordings(np.zeros(8000, np.float32), np.zeros(0, np.float32))
    assert compared.ranges.shape == (0, 2)
    assert not compared.unrelated


def test_columns_do_not_depend_on_how_many_are_made_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sound = speech_like(1.0, SAMPLE_RATE)
    whole = mel_levels(sound)
    assert whole.shape == (101, 32)
    monkeypatch.setattr("metatalk.lipsync.changes._BLOCK", 7)
    np.testing.assert_allclose(mel_levels(sound), whole, atol=1e-3)


@pytest.mark.parametrize("delay", [0, 37, -37, 9000, -20_000])
def test_levels_of_a_delayed_sound_are_those_of_its_samples(delay: int) -> None:
    sound = speech_like(1.0, SAMPLE_RATE)
    moved = delayed(np.pad(sound, (0, 500)), delay)
    np.testing.assert_array_equal(mel_levels(sound, delay, len(sound) + 500), mel_levels(moved))


def test_memory_is_a_few_times_the_levels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the samples nor the levels are copied for each delay or each step."""
    monkeypatch.setattr("metatalk.lipsync.changes._BLOCK", 500)
    monkeypatch.setattr("metatalk.lipsync.delays._BLOCK", 1 << 13)
    old = np.tile(changing_sound(10.0), 12)
    noise = np.random.default_rng(0).standard_normal(len(old)).astype(np.float32)
    old += 0.01 * noise
    new = np.concatenate([old[: len(old) // 2], old[:6400], old[len(old) // 2 :]])
    levels_bytes = 32 * 4 * len(new) // 160
    compare_recordings(old[:32000], new[:32000])  # what it needs is loaded, and compiled
    tracemalloc.start()
    try:
        compare_recordings(old, new)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 9 * levels_bytes, peak / levels_bytes


def test_what_is_no_sound_is_refused(toy: np.ndarray) -> None:
    with pytest.raises(ShapeError, match="new"):
        compare_recordings(toy, np.array([np.nan], np.float32))


@pytest.mark.parametrize(
    ("codec", "name", "bits"), [("aac", "x.m4a", 48_000), ("mp3", "x.mp3", 64_000)]
)
def test_a_word_is_found_in_real_speech_through_a_codec(
    speech: np.ndarray, tmp_path: Path, codec: str, name: str, bits: int
) -> None:
    part = speech[: 14 * SAMPLE_RATE]
    assert_found(compare_recordings(part, recoded(part, tmp_path / name, codec, bits)))
    new = recoded(replaced(part, 5.0, 5.4, 12.0), tmp_path / name, codec, bits)
    assert_found(compare_recordings(part, new), (5.0, 5.4))
