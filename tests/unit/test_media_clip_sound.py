"""A clip's sound begins with its picture, wherever the container lets it begin."""

from __future__ import annotations

import logging
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from media_clips import make_clip, make_sound

from metatalk.media.audio import audio_duration, read_sound
from metatalk.media.clip_sound import align_sound, cut_sound
from metatalk.media.video import read_pictures
from metatalk.media.writer import VideoWriter

SECOND = Fraction(1)


def click_s(path: Path) -> float:
    return float(np.abs(read_sound(path, 48000).samples).argmax() / 48000)


def test_sound_that_begins_with_the_picture_is_taken_as_it_is(tmp_path: Path):
    clip = make_clip(tmp_path / "clip.mp4", 25, sound_start_s=Fraction(2, 5))
    assert align_sound(clip, SECOND, tmp_path / "copy.flac") == clip
    assert not (tmp_path / "copy.flac").exists()


@pytest.mark.parametrize("name", ["late.mkv", "late.mp4"])
def test_sound_before_the_first_picture_is_cut(tmp_path: Path, name: str):
    """The picture begins at 0.2 s, and something is heard 0.4 s later."""
    clip = make_clip(tmp_path / name, 30, pts=range(5, 35), sound_start_s=Fraction(3, 5))
    found = align_sound(clip, SECOND, tmp_path / "copy.flac")
    assert found == tmp_path / "copy.flac"
    assert click_s(found) == pytest.approx(0.4, abs=0.005)
    assert audio_duration(found) == pytest.approx(SECOND, abs=0.03)


def test_sound_that_goes_on_after_the_picture_ends_with_it(tmp_path: Path):
    clip = make_clip(tmp_path / "clip.mp4", 50, sound_start_s=Fraction(2, 5))
    found = align_sound(clip, SECOND, tmp_path / "copy.flac")
    assert found is not None
    assert audio_duration(found) == SECOND
    assert click_s(found) == pytest.approx(0.4, abs=0.005)


def test_channels_are_kept(tmp_path: Path):
    tone = np.sin(np.arange(48000) / 7)
    stereo = make_sound(tmp_path / "s.wav", np.stack([tone, 0 * tone]), 48000, layout="stereo")
    pictures = list(read_pictures(make_clip(tmp_path / "silent.mkv", 25)))
    clip, tick = tmp_path / "clip.mkv", Fraction(1, 25)
    with VideoWriter(clip, 96, 64, 1 / tick, tick, pictures[0].colour, audio=stereo) as writer:
        for number, picture in enumerate(pictures):
            writer.write(picture, number)
    found = align_sound(clip, SECOND / 2, tmp_path / "copy.flac")
    assert found is not None
    with av.open(str(found)) as container:
        heard = np.concatenate([f.to_ndarray().reshape(-1, 2) for f in container.decode(audio=0)])
    assert len(heard) == 24000
    assert np.abs(heard[:, 0]).max() > 1000 > np.abs(heard[:, 1]).max()


def test_a_clip_without_sound_says_that_the_result_is_silent(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    clip = make_clip(tmp_path / "mute.mp4", 10)
    with caplog.at_level(logging.WARNING):
        assert align_sound(clip, SECOND, tmp_path / "copy.flac") is None
    assert "the result is silent" in caplog.text


def test_a_part_of_a_recording_is_the_very_part(tmp_path: Path):
    noise = np.random.default_rng(0).uniform(-0.9, 0.9, 48000)
    whole = make_sound(tmp_path / "s.wav", np.stack([noise, noise / 2]), 48000, layout="stereo")
    copy = tmp_path / "part.flac"
    assert cut_sound(whole, Fraction(3, 10), Fraction(2, 5), copy)
    assert audio_duration(copy) == Fraction(2, 5)
    assert audio_stereo(copy)
    wanted, part = read_sound(whole, 48000).samples, read_sound(copy, 48000).samples
    np.testing.assert_allclose(part, wanted[14400:33600], atol=1e-6)


def test_a_part_past_the_end_is_shorter_or_nothing(tmp_path: Path):
    whole = make_sound(tmp_path / "s.wav", np.ones((1, 48000)) / 2, 48000)
    assert cut_sound(whole, Fraction(9, 10), SECOND, tmp_path / "short.flac")
    assert audio_duration(tmp_path / "short.flac") == Fraction(1, 10)
    assert not cut_sound(whole, 2 * SECOND, SECOND, tmp_path / "none.flac")
    assert not (tmp_path / "none.flac").exists()


def audio_stereo(path: Path) -> bool:
    with av.open(str(path)) as container:
        return container.streams.audio[0].codec_context.layout.name == "stereo"
