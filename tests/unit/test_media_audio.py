"""Sound in: every kind of recording becomes mono on the picture's clock."""

from __future__ import annotations

import logging
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from media_clips import lag_samples, make_clip, make_sound, speech_like

from metatalk.errors import MediaError, ShapeError
from metatalk.media.audio import Sound, audio_duration, read_sound, write_wav


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
def test_any_rate_becomes_16_khz_without_delay(tmp_path: Path, rate: int) -> None:
    path = make_sound(tmp_path / "a.wav", speech_like(2, rate)[None], rate)
    sound = read_sound(path)
    assert sound.rate == 16000
    assert sound.samples.dtype == np.float32
    assert len(sound.samples) == 32000
    times = np.arange(32000) / 16000
    expected = np.interp(times, np.arange(2 * rate) / rate, speech_like(2, rate))
    assert lag_samples(expected, sound.samples) == 0
    if rate >= 44100:  # fine enough for straight lines between its samples
        np.testing.assert_allclose(sound.samples, expected, atol=0.02)


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.flac", "flac"),
        ("a.mp3", "libmp3lame"),
        ("a.m4a", "aac"),
        ("a.opus", "libopus"),
        ("a.mka", "ac3"),
        ("a.aac", "aac"),
    ],
)
def test_any_codec(tmp_path: Path, name: str, codec: str) -> None:
    original = speech_like(2, 48000)
    path = make_sound(tmp_path / name, original[None], 48000, codec=codec)
    sound = read_sound(path, 48000)
    # Bare ADTS cannot say how much of its beginning is the encoder's.
    expected_lag = 1024 if name == "a.aac" else 0
    assert abs(lag_samples(original, sound.samples) - expected_lag) <= 1
    assert sound.duration_s == pytest.approx(2, abs=0.06)
    assert float(audio_duration(path)) == pytest.approx(sound.duration_s, abs=1e-4)


def test_centre_and_fronts_are_equally_loud_and_the_bass_channel_is_left_out(
    tmp_path: Path,
) -> None:
    voice = speech_like(1, 48000)
    planar = np.zeros((6, 48000), np.float32)
    for channels, loudness in (([2], 0.7071), ([0, 1], 1.0), ([3], 0.0), ([4], 0.3536)):
        planar[:] = 0
        planar[channels] = voice
        path = make_sound(tmp_path / "a.wav", planar, 48000, layout="5.1")
        np.testing.assert_allclose(read_sound(path, 48000).samples, loudness * voice, atol=1e-3)


def test_stereo_is_averaged(tmp_path: Path) -> None:
    left, right = speech_like(1, 16000, 1), speech_like(1, 16000, 2)
    path = make_sound(tmp_path / "a.wav", np.stack([left, right]), 16000, layout="stereo")
    np.testing.assert_allclose(read_sound(path).samples, (left + right) / 2, atol=1e-3)


def test_wav_round_trip_is_exact(tmp_path: Path) -> None:
    sound = Sound(speech_like(1.2345, 16000), 16000)
    write_wav(tmp_path / "a.wav", sound)
    assert np.array_equal(read_sound(tmp_path / "a.wav").samples, sound.samples)
    assert audio_duration(tmp_path / "a.wav") == Fraction(len(sound.samples), 16000)


def test_digital_silence_is_sound(tmp_path: Path) -> None:
    path = make_sound(tmp_path / "a.wav", np.zeros((1, 8000), np.float32), 8000)
    assert read_sound(path).samples.tolist() == [0.0] * 16000


@pytest.mark.parametrize("first_frame", [0, 12])
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.mov"])
def test_sound_can_start_with_the_first_frame(tmp_path: Path, name: str, first_frame: int) -> None:
    pts = [first_frame + t for t in range(50)]
    path = make_clip(tmp_path / name, 50, pts=pts, sound_start_s=Fraction(1))
    whole, aligned = read_sound(path, 48000), read_sound(path, 48000, from_first_frame=True)
    click = np.argmax(np.abs(aligned.samples) > 0.3) / 48000
    tolerance = 0.0025 if name.endswith("mkv") else 0.0015  # AAC smears the click, MKV counts ms
    assert click == pytest.approx(1 - first_frame / 25, abs=tolerance)
    assert len(whole.samples) - len(aligned.samples) == pytest.approx(
        first_frame / 25 * 48000, abs=60
    )


def test_sound_that_begins_after_the_picture_is_padded(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", 50, sound_start_s=Fraction(1))
    late = tmp_path / "late.mp4"
    with av.open(str(clip)) as source, av.open(str(late), "w") as target:
        tracks = {s.index: target.add_stream_from_template(s) for s in source.streams}
        for packet in source.demux():
            if packet.size == 0:
                continue
            if packet.stream.type == "audio":
                shift = int(Fraction(1, 4) / packet.time_base)
                packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
            packet.stream = tracks[packet.stream.index]
            target.mux(packet)
    samples = read_sound(late, 48000, from_first_frame=True).samples
    assert np.argmax(np.abs(samples) > 0.3) / 48000 == pytest.approx(1.25, abs=0.03)


def test_a_gap_stays_a_gap(tmp_path: Path) -> None:
    path, rate = tmp_path / "a.mka", 16000
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate, layout="mono")
        for first in (0, 1000, 2000, 9000, 10000):
            frame = av.AudioFrame.from_ndarray(np.full((1, 1000), 8000, np.int16), "s16", "mono")
            frame.sample_rate, frame.pts, frame.time_base = rate, first, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    samples = read_sound(path).samples
    assert len(samples) == pytest.approx(11000, abs=20)
    assert np.all(np.abs(samples[3100:8900]) < 0.01)
    assert np.all(samples[9100:10900] > 0.2)
    assert float(audio_duration(path)) == pytest.approx(11000 / rate, abs=2e-3)


def test_no_sound_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    silent_film = make_clip(tmp_path / "a.mp4", 3)
    text = tmp_path / "text.wav"
    text.write_text("not a sound " * 50)
    for path, words in ((silent_film, "no sound track"), (text, "not a video or audio file")):
        for read in (read_sound, audio_duration):
            with pytest.raises(MediaError, match=words) as caught:
                read(path)
            assert caught.value.remedy


def test_an_empty_recording_is_an_error(tmp_path: Path) -> None:
    path = make_sound(tmp_path / "a.wav", np.zeros((1, 0), np.float32), 16000)
    with pytest.raises(MediaError):
        read_sound(path)


def test_a_recording_without_a_picture_has_no_first_frame(tmp_path: Path) -> None:
    path = make_sound(tmp_path / "a.wav", speech_like(1, 16000)[None], 16000)
    with pytest.raises(MediaError, match="no video stream"):
        read_sound(path, from_first_frame=True)


def test_a_truncated_recording_gives_what_it_holds(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = make_sound(tmp_path / "a.flac", speech_like(4, 16000)[None], 16000, codec="flac")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with caplog.at_level(logging.WARNING):
        sound = read_sound(path)
    assert 1 < sound.duration_s < 3.5
    np.testing.assert_allclose(sound.samples[:16000], speech_like(4, 16000)[:16000], atol=1e-3)


def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="cannot be written"):
        write_wav(tmp_path / "absent" / "a.wav", Sound(np.zeros(10, np.float32), 16000))


def test_sound_is_a_vector() -> None:
    with pytest.raises(ShapeError):
        Sound(np.zeros((2, 10), np.float32), 16000)


@pytest.mark.parametrize(
    ("name", "seconds"), [("jfk.flac", 11.0), ("mandarin_claire.wav", 8.013875)]
)
def test_real_recordings(shared_clips: Path, name: str, seconds: float) -> None:
    sound = read_sound(shared_clips / "audio" / name)
    assert sound.duration_s == pytest.approx(seconds, abs=1e-4)
    assert 0.3 < np.abs(sound.samples).max() <= 1
