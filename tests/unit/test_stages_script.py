"""What is known of a recording's words is used, the surest first."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from metatalk.a2e.activity_config import ActivityConfig
from metatalk.a2e.closure_config import ClosureConfig
from metatalk.a2e.lip_meter import LipMeter
from metatalk.a2e.phone_times import PhoneTimes
from metatalk.a2e.targets import fit_mouth_space
from metatalk.cli.options import require_words_of
from metatalk.errors import ConfigError, MediaError
from metatalk.media.audio import read_sound
from metatalk.stages.script import (
    Script,
    _in_speech,
    close_spoken_lips,
    read_transcript,
    script_of,
    script_phones,
)


def test_only_one_of_them_is_taken() -> None:
    with pytest.raises(ConfigError, match="both --phones and --transcript"):
        Script(Path("a.TextGrid"), "mary")


def test_words_of_a_recording_that_moves_nothing_are_refused() -> None:
    require_words_of(None, Path("a.TextGrid"), None)
    with pytest.raises(ConfigError, match="--phones tells the words"):
        require_words_of(Path("clip.mp4"), Path("a.TextGrid"), None)
    with pytest.raises(ConfigError, match="--transcript tells the words"):
        require_words_of(Path("clip.mp4"), None, "mary")


def test_a_transcript_is_a_text_or_a_file_of_it(tmp_path: Path) -> None:
    assert read_transcript("Mary rolled the barrel") == "Mary rolled the barrel"
    assert read_transcript("word " * 2000) == "word " * 2000
    note = tmp_path / "said.txt"
    note.write_text("Mary rolled", encoding="utf-8")
    assert read_transcript(str(note)) == "Mary rolled"
    assert script_of(None, str(note)) == Script(None, "Mary rolled", note)
    assert script_of(None, "Mary rolled") == Script(None, "Mary rolled")
    assert script_of(Path("a.TextGrid"), None) == Script(Path("a.TextGrid"))
    note.write_bytes(b"\xff\xfe\x00binary\x80")
    with pytest.raises(MediaError, match="not a text"):
        read_transcript(str(note))


def test_the_surest_source_is_used(
    shared_clips: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("pocketsphinx")
    audio = shared_clips / "audio"
    sound = read_sound(audio / "mary.wav").samples
    assert script_phones(Script(audio / "mary.TextGrid"), sound).labels[1] == "m"
    assert "B" in script_phones(Script(transcript="Mary rolled the barrel"), sound).labels
    heard = script_phones(Script(), sound).of_kind("bilabial")
    assert (heard.confidence < 1).all()
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    with caplog.at_level("INFO"):
        guessed = script_phones(Script(), sound[1600:])
    assert set(guessed.labels) == {"stop"}
    assert "guessed from the sound alone" in caplog.text


def test_spoken_lips_close_on_the_textgrids_times(shared_clips: Path) -> None:
    audio = shared_clips / "audio"
    generator = np.random.default_rng(0)
    filmed = generator.normal(0.5, 0.3, (200, 2)).clip(0)
    basis = np.array([[9.0, 0.0], [0.0, 1.0]])
    space = fit_mouth_space(filmed, np.ones(200, bool), basis, np.array([True, True]), 2)
    meter = LipMeter(0.0, np.array([9.0, 0.0]))
    seconds = np.arange(45) / 25.0
    spoken = np.full((45, 2), 0.5, np.float32)
    said = Script(audio / "mary.TextGrid")
    sound = audio / "mary.wav"
    out = close_spoken_lips(spoken, sound, seconds, space, meter, said, ClosureConfig())
    gap = meter.gap_mm(out)
    assert np.abs(seconds[gap < 0.1] - 0.33).min() < 0.04  # m of Mary
    assert np.abs(seconds[gap < 0.1] - 1.06).min() < 0.04  # b of barrel
    assert gap[np.abs(seconds - 0.7) < 0.1].min() == pytest.approx(4.5, abs=0.01)
    off = close_spoken_lips(
        spoken, Path("absent.wav"), seconds, space, meter, said, ClosureConfig(strength=0.0)
    )
    assert np.array_equal(off, spoken)


def test_a_phone_heard_where_nobody_speaks_is_not_believed() -> None:
    samples = np.zeros(32_000, np.float32)
    heard, written = (
        PhoneTimes(*(np.array([t]) for t in (0.5, 0.6)), ("P",), ("bilabial",), np.array([sure]))
        for sure in (0.9, 1.0)
    )
    activity = ActivityConfig(detector="level")
    assert len(_in_speech(heard, samples, activity)) == 0
    assert len(_in_speech(written, samples, activity)) == 1
    said = samples.copy()
    said[9_000:16_000] = np.random.default_rng(0).normal(0, 0.1, 7_000)
    assert len(_in_speech(heard, said, activity)) == 1
