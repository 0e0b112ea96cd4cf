"""Segments found by comparing two files: what is told, and what is refused."""

from __future__ import annotations

import logging
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from change_toys import RATE, changing_sound
from media_clips import make_clip, make_sound

from metatalk.errors import ConfigError, MediaError
from metatalk.stages import segments
from metatalk.stages.segments import changed_segments, named_segments

OLD = changing_sound(6.0)


def wav(path: Path, samples: np.ndarray) -> Path:
    return make_sound(path, samples[None].astype(np.float32), RATE)


def test_a_replaced_word_is_the_segment(tmp_path: Path) -> None:
    new = 0.5 * OLD
    new[2 * RATE : 3 * RATE] = 0
    old_file, new_file = wav(tmp_path / "old.wav", OLD), wav(tmp_path / "new.wav", new)
    parts = changed_segments(old_file, new_file, 6.0, 0.1)
    assert len(parts) == 1
    assert 1.75 < parts[0].first_s < 2.0
    assert 3.0 < parts[0].end_s < 3.25


def test_the_same_recording_has_no_segment(tmp_path: Path) -> None:
    old_file, new_file = wav(tmp_path / "old.wav", OLD), wav(tmp_path / "new.wav", 0.5 * OLD)
    with pytest.raises(ConfigError, match="nothing to change"):
        changed_segments(old_file, new_file, 6.0, 0.1)


def test_what_no_longer_fits_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    at, chance = 3 * RATE, np.random.default_rng(0)
    piece = 0.1 * chance.standard_normal(RATE // 2)
    new = np.concatenate([OLD[:at], piece, OLD[at:]])
    old_file, new_file = wav(tmp_path / "old.wav", OLD), wav(tmp_path / "new.wav", new)
    with caplog.at_level(logging.WARNING):
        parts = changed_segments(old_file, new_file, 6.0, 0.0)
    assert "0.50 s later" in caplog.text
    assert len(parts) == 1
    assert parts[0].first_s == pytest.approx(3.0, abs=0.1)
    assert parts[0].end_s == 6.0


@pytest.mark.parametrize(
    ("shift_s", "remedy"), [(0.5, "cut that off its beginning"), (-0.5, "put that much silence")]
)
def test_a_recording_that_begins_at_another_moment_is_told_how_to_fit(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, shift_s: float, remedy: str
) -> None:
    by = round(abs(shift_s) * RATE)
    new = np.concatenate([np.zeros(by), OLD]) if shift_s > 0 else OLD[by:]
    old_file, new_file = wav(tmp_path / "old.wav", OLD), wav(tmp_path / "new.wav", new)
    with caplog.at_level(logging.WARNING):
        changed_segments(old_file, new_file, 6.0, 0.0)
    assert remedy in caplog.text


def test_first_words_of_another_length_are_not_to_be_cut_off(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """All of it is as late as where it begins late, but the new words would go."""
    words = 0.1 * np.random.default_rng(0).standard_normal(round(0.8 * RATE))
    new = np.concatenate([words, OLD[RATE // 2 :]])
    old_file, new_file = wav(tmp_path / "old.wav", OLD), wav(tmp_path / "new.wav", new)
    with caplog.at_level(logging.WARNING):
        changed_segments(old_file, new_file, 6.0, 0.0)
    assert "0.30 s later" in caplog.text
    remedy = caplog.text.partition("To keep it, ")[2]
    assert remedy.startswith("make the new words as long as the old ones; where it is the same")


def test_another_recording_is_new_throughout(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("metatalk.lipsync.changes._COMMON", 2.0)
    old_file, new_file = wav(tmp_path / "old.wav", OLD), wav(tmp_path / "new.wav", OLD[::-1])
    with caplog.at_level(logging.WARNING):
        parts = changed_segments(old_file, new_file, 5.0, 0.0)
    assert "nothing in common" in caplog.text
    assert [(part.first_s, part.end_s) for part in parts] == [(0.0, 5.0)]


def test_a_missing_recording_is_told(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"none\.wav"):
        changed_segments(tmp_path / "none.wav", wav(tmp_path / "new.wav", OLD), 6.0, 0.0)


def test_sound_alone_is_compared_whatever_its_name(tmp_path: Path) -> None:
    new = OLD.copy()
    new[2 * RATE : 3 * RATE] = 0
    old_file, new_file = (
        make_sound(tmp_path / name, sound[None].astype(np.float32), RATE, codec="aac")
        for name, sound in (("old.mp4", OLD), ("new.mov", new))
    )
    (part,) = changed_segments(old_file, new_file, 6.0, 0.1)
    assert 1.6 < part.first_s < 2.0
    assert 3.0 < part.end_s < 3.4


@pytest.mark.parametrize("name", ["old.mts", "old.mkv", "old.mpeg"])
def test_a_films_sound_counts_from_its_first_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    codec = "mpeg2video" if name.endswith("mpeg") else "libx264"
    film = make_clip(tmp_path / name, 10, codec=codec)
    asked: dict[Path, bool] = {}

    def read(path: Path, rate: int, from_first_frame: bool) -> SimpleNamespace:
        asked[path] = from_first_frame
        return SimpleNamespace(samples=OLD)

    monkeypatch.setattr(segments, "read_sound", read)
    words = wav(tmp_path / "new.wav", OLD)
    with pytest.raises(ConfigError):
        changed_segments(film, words, 6.0, 0.1)
    assert asked == {film: True, words: False}


def test_named_segments_count_by_the_films_time_code() -> None:
    parts = named_segments("10:00:01:00-10:00:02:00,4-5", Fraction(25), "10:00:00:00", 60.0)
    assert [(part.first_s, part.end_s) for part in parts] == [(1, 2), (4, 5)]
