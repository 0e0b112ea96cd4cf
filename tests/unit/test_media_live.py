"""Streams in and out: prompt, in step, and playable however they end."""

from __future__ import annotations

import io
import itertools
import os
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from media_clips import numbered_picture

from metatalk.errors import MediaError
from metatalk.media.audio import Sound, SoundBlock, read_sound, write_wav
from metatalk.media.colour import ColourTags
from metatalk.media.live import (
    LiveSettings,
    LiveWriter,
    ReaderGoneError,
    choose_format,
    is_place_on_disk,
)
from metatalk.media.live_sound import AnalysisSound, SoundFeed, open_live_sound
from metatalk.media.picture import Picture
from metatalk.media.video import index_frames, read_pictures

RATE = Fraction(25)
SETTINGS = LiveSettings(96, 64, RATE, ColourTags(1, 1, 1))
ENDINGS = ["mkv", "ts", "mp4"]


def picture(number: int) -> Picture:
    luma = np.ascontiguousarray(numbered_picture(number)[..., 0])
    chroma = np.full((32, 48), 128, np.uint8)
    return Picture(number, number, (luma, chroma, chroma), ColourTags())


def tone(seconds: float, rate: int = 16000, channels: int = 1) -> np.ndarray:
    """(C, S): a tone that begins after a tenth of a second."""
    clock = np.arange(round(seconds * rate)) / rate
    wave = 0.3 * np.sin(2 * np.pi * 440 * clock) * (clock > 0.1)
    return np.repeat(wave[None].astype(np.float32), channels, axis=0)


def blocks(samples: np.ndarray, rate: int = 16000, size: int = 640) -> list[SoundBlock]:
    layout = "mono" if len(samples) == 1 else "stereo"
    pieces = np.split(samples, range(size, samples.shape[1], size), axis=1)
    return [SoundBlock(piece, rate, layout) for piece in pieces]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("channels", [1, 2])
def test_what_is_written_comes_back(tmp_path: Path, ending: str, channels: int) -> None:
    path = tmp_path / f"out.{ending}"
    settings = LiveSettings(96, 64, RATE, ColourTags(1, 1, 1), channels=channels)
    sound = blocks(tone(2.0, 48000, channels), 48000, 1920)
    tags = {"comment": "synthetic"}
    with LiveWriter(str(path), settings, choose_format(str(path)), tags) as writer:
        for number in range(50):
            writer.write(picture(number), sound[number : number + 1])
    index = index_frames(path)
    assert len(index) == 50
    np.testing.assert_allclose(index.seconds(), np.arange(50) / 25, atol=2e-3)
    for made, number in zip(read_pictures(path), range(50), strict=True):
        assert np.abs(made.planes[0].astype(int) - picture(number).planes[0]).mean() < 6
    heard = read_sound(path, 16000, from_first_frame=True).samples
    begins = np.flatnonzero(np.abs(heard) > 0.1)[0] / 16000
    assert begins == pytest.approx(0.1, abs=0.01)
    with av.open(str(path)) as container:
        tagged = {**container.metadata}
        assert any("synthetic" in value for value in tagged.values()) or ending == "ts"
        assert container.streams.audio[0].codec_context.layout.nb_channels == channels


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_stream_that_is_cut_off_still_plays(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"out.{ending}"
    writer = LiveWriter(str(path), SETTINGS, choose_format(str(path)))
    sound = blocks(tone(2.0))
    for number in range(50):
        writer.write(picture(number), sound[number : number + 1])
    copy = tmp_path / f"copy.{ending}"
    copy.write_bytes(path.read_bytes())  # as if the process had been killed here
    assert 45 <= len(index_frames(copy)) <= 50
    assert read_sound(copy).duration_s > 1.7
    with writer:
        pass


def test_a_held_frame_leaves_its_time(tmp_path: Path) -> None:
    path = tmp_path / "out.mkv"
    sound = blocks(tone(0.4))
    with LiveWriter(str(path), SETTINGS, "matroska") as writer:
        for number in range(10):
            (writer.hold(sound[number : number + 1]) if number in (3, 4) else
             writer.write(picture(number), sound[number : number + 1]))  # fmt: skip
    seconds = index_frames(path).seconds()
    kept = [number for number in range(10) if number not in (3, 4)]
    np.testing.assert_allclose(seconds, np.array(kept) / 25, atol=2e-3)


def test_an_error_inside_leaves_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "out.mkv"

    def write() -> None:
        with LiveWriter(str(path), SETTINGS, "matroska") as writer:
            for number in range(20):
                writer.write(picture(number), blocks(tone(0.04)))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write()
    assert len(index_frames(path)) == 20


def frames_in(stream: bytes) -> int:
    """How many pictures can be read of what has come so far."""
    try:
        with av.open(io.BytesIO(stream)) as container:
            return sum(packet.size > 0 for packet in container.demux(video=0))
    except (av.error.FFmpegError, IndexError):
        return 0  # not even what the stream says about itself


@pytest.mark.parametrize("pause_s", [0.0, 0.05])
def test_a_pipe_gets_every_packet_at_once_and_its_end_is_told(
    tmp_path: Path, pause_s: float
) -> None:
    """Each frame can be read when the second after it has been written: it waits for the sound
    that is laid around it. By a reader who is slow, too; then the reader leaves."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    came, more, enough = bytearray(), threading.Condition(), threading.Event()

    def read() -> None:
        with open(pipe, "rb", buffering=0) as source:  # noqa: PTH123 (unbuffered)
            while not enough.is_set() and (data := source.read(1 << 16)):
                with more:
                    came.extend(data)
                    more.notify()
                time.sleep(pause_s)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    sound = blocks(tone(40.0), size=640)

    def write() -> None:
        with LiveWriter(str(pipe), SETTINGS, "matroska") as writer:
            for number in range(1000):
                writer.write(picture(number), sound[number : number + 1])
                if number < 20:
                    with more:
                        there = more.wait_for(lambda n=number: frames_in(bytes(came)) >= n - 1, 60)
                    assert there, f"frame {number - 2} did not come out with frame {number}"
                elif number == 20:
                    enough.set()

    with pytest.raises(ReaderGoneError):
        write()
    reader.join()


@pytest.mark.parametrize(
    ("output", "asked", "container"),
    [
        ("a.mkv", None, "matroska"),
        ("a.TS", None, "mpegts"),
        ("a.mov", None, "mp4"),
        ("-", None, "matroska"),
        ("-", "ts", "mpegts"),
        ("udp://127.0.0.1:5000", None, "mpegts"),
        ("rtmp://host/app", None, "flv"),
    ],
)
def test_the_container_goes_by_the_place(output: str, asked: str | None, container: str) -> None:
    assert choose_format(output, asked) == container


def test_places_that_cannot_be_written_are_told(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="--format"):
        choose_format(str(tmp_path / "out.avi"))
    with pytest.raises(MediaError, match="create the folder"):
        LiveWriter(str(tmp_path / "none" / "out.mkv"), SETTINGS, "matroska")
    small = np.zeros((8, 8), np.uint8)
    wrong = Picture(0, 0, (small, small[:4, :4], small[:4, :4]), ColourTags())
    with (
        LiveWriter(str(tmp_path / "out.mkv"), SETTINGS, "matroska") as writer,
        pytest.raises(MediaError, match="96x64"),
    ):
        writer.write(wrong)


def test_what_stays_is_told_from_what_passes(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert is_place_on_disk(str(tmp_path / "out.mkv"))
    assert not is_place_on_disk(str(tmp_path / "pipe"))
    assert not is_place_on_disk("-")
    assert not is_place_on_disk("udp://127.0.0.1:5000")
    assert not is_place_on_disk("/dev/null")


@pytest.fixture
def stop() -> threading.Event:
    return threading.Event()


def send(path: Path, content: bytes, size: int = 700, pause_s: float = 0.0) -> threading.Thread:
    def write() -> None:
        with open(path, "wb", buffering=0) as pipe:  # noqa: PTH123 (unbuffered)
            for first in range(0, len(content), size):
                pipe.write(content[first : first + size])
                time.sleep(pause_s)

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    return thread


def heard_in(sound: Iterator[SoundBlock]) -> tuple[np.ndarray, int]:
    """All samples and their rate."""
    parts = list(sound)
    return np.concatenate([part.samples for part in parts], axis=1), parts[0].rate


def test_raw_samples_come_through_a_pipe(tmp_path: Path, stop: threading.Event) -> None:
    os.mkfifo(tmp_path / "pipe")
    samples = (tone(1.0)[0] * 32767).astype("<i2")
    send(tmp_path / "pipe", samples.tobytes(), size=333)  # not whole samples
    with open_live_sound(str(tmp_path / "pipe"), stop) as sound:
        heard, rate = heard_in(sound)
    assert rate == 16000
    np.testing.assert_allclose(heard[0], samples / 32768, atol=1e-6)


@pytest.mark.parametrize("kind", ["wav", "flac", "ogg", "matroska", "file"])
def test_files_of_sound_come_through_a_pipe(
    tmp_path: Path, stop: threading.Event, kind: str
) -> None:
    source = tmp_path / "sound.wav"
    write_wav(source, Sound(tone(1.0, 48000)[0], 48000))
    if kind not in ("wav", "file"):
        codec = {"flac": "flac", "ogg": "flac", "matroska": "flac"}[kind]
        source = recode(source, tmp_path / f"sound.{kind}", kind, codec)
    place = source
    if kind != "file":
        place = tmp_path / "pipe"
        os.mkfifo(place)
        send(place, source.read_bytes())
    with open_live_sound(str(place), stop) as sound:
        heard, rate = heard_in(sound)
    assert rate == 48000
    np.testing.assert_allclose(heard[0], tone(1.0, 48000)[0], atol=2e-4)


def recode(source: Path, path: Path, container: str, codec: str) -> Path:
    with av.open(str(source)) as read, av.open(str(path), "w", format=container) as write:
        stream = write.add_stream(codec, 48000, layout="mono")
        for frame in read.decode(audio=0):
            write.mux(stream.encode(frame))
        write.mux(stream.encode(None))
    return path


def test_the_first_sound_is_handed_over_before_more_comes(
    tmp_path: Path, stop: threading.Event
) -> None:
    os.mkfifo(tmp_path / "pipe")
    handed = threading.Event()
    wav = tmp_path / "sound.wav"
    write_wav(wav, Sound(tone(3.0)[0], 16000))
    content = wav.read_bytes()

    def write() -> None:
        with open(tmp_path / "pipe", "wb", buffering=0) as pipe:  # noqa: PTH123
            pipe.write(content[:50000])  # 0.8 s of it
            assert handed.wait(20)

    threading.Thread(target=write, daemon=True).start()
    with open_live_sound(str(tmp_path / "pipe"), stop) as sound:
        heard = sum(block.samples.shape[1] for block in itertools.islice(sound, 5))
        handed.set()
    assert heard > 0


def test_stopping_ends_a_source_that_says_nothing(tmp_path: Path, stop: threading.Event) -> None:
    os.mkfifo(tmp_path / "pipe")
    silent = os.open(tmp_path / "pipe", os.O_RDWR)
    try:
        threading.Timer(0.2, stop.set).start()
        with open_live_sound(str(tmp_path / "pipe"), stop) as sound:
            assert list(sound) == []
            assert list(SoundFeed(sound, stop)) == []
    finally:
        os.close(silent)


@pytest.mark.parametrize("content", [b"RIFFnothing that is a sound....", b""])
def test_what_is_no_sound_is_told_or_empty(
    tmp_path: Path, stop: threading.Event, content: bytes
) -> None:
    os.mkfifo(tmp_path / "pipe")
    send(tmp_path / "pipe", content)
    with open_live_sound(str(tmp_path / "pipe"), stop) as sound:
        if content:
            with pytest.raises(MediaError, match="16 kHz"):
                list(sound)
        else:
            assert list(sound) == []


def test_an_address_where_nobody_speaks_is_told(stop: threading.Event) -> None:
    with (
        open_live_sound("tcp://127.0.0.1:9", stop) as sound,
        pytest.raises(MediaError, match="check the address"),
    ):
        list(sound)


def test_an_error_of_the_source_is_raised_where_it_is_heard(stop: threading.Event) -> None:
    def speak() -> Iterator[SoundBlock]:
        yield from blocks(tone(0.1))
        raise MediaError("the line is dead")

    with pytest.raises(MediaError, match="dead"):
        list(SoundFeed(speak(), stop))


def test_analysis_hears_what_it_hears_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    write_wav(path, Sound(tone(1.0, 44100)[0], 44100))
    analysis = AnalysisSound()
    parts = [analysis.push(block) for block in blocks(tone(1.0, 44100), 44100, 777)]
    whole = np.concatenate([*parts, analysis.finish()])
    expected = read_sound(path).samples
    assert abs(len(whole) - len(expected)) <= 1
    np.testing.assert_allclose(whole[:15000], expected[:15000], atol=1e-4)


def test_analysis_goes_on_when_the_kind_of_sound_changes() -> None:
    analysis = AnalysisSound()
    first = [analysis.push(block) for block in blocks(tone(0.5, 48000, 2), 48000)]
    then = [analysis.push(block) for block in blocks(tone(0.5))]
    whole = np.concatenate([*first, *then, analysis.finish()])
    assert len(whole) == pytest.approx(16000, abs=40)
