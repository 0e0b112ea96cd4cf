"""Writing: times, sizes and tags are kept, the sound is the recording's, files are whole."""

from __future__ import annotations

import os
import resource
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from media_clips import (
    lag_samples,
    make_clip,
    make_sound,
    numbered_picture,
    read_number,
    speech_like,
)

from metatalk.errors import MediaError
from metatalk.media.audio import read_sound
from metatalk.media.colour import ColourTags
from metatalk.media.picture import Picture
from metatalk.media.video import index_frames, probe_video, read_pictures
from metatalk.media.writer import VideoWriter

BT709 = ColourTags(1, 1, 1)


def picture_of(number: int, width: int = 96, height: int = 64) -> Picture:
    half = (height + 1) // 2, (width + 1) // 2
    planes = tuple(np.full(s, 128, np.uint8) for s in ((height, width), half, half))
    blank = Picture(number, number, planes, BT709)
    rgb = numbered_picture(number, height, width).astype(np.float32) / 255
    return blank.with_patch(rgb, np.ones((height, width), np.float32), 0, 0)


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def write_clip(
    path: Path,
    pts: list[int],
    time_base: Fraction = Fraction(1, 25),
    rate: Fraction = Fraction(25),
    size: tuple[int, int] = (96, 64),
    colour: ColourTags = BT709,
    **options,
) -> Path:
    with VideoWriter(path, *size, rate, time_base, colour, **options) as writer:
        for number, time in enumerate(pts):
            writer.write(picture_of(number, *size), time)
    return path


@pytest.mark.parametrize("suffix", ["mp4", "mov"])
@pytest.mark.parametrize(
    ("pts", "time_base", "rate"),
    [
        (list(range(40)), Fraction(1, 25), Fraction(25)),
        (list(range(40)), Fraction(1001, 30000), Fraction(30000, 1001)),
        ([1001 * t for t in range(40)], Fraction(1, 24000), Fraction(24000, 1001)),
        ([0, 100, 1024, 1500, 4000, 4001, 5000], Fraction(1, 12800), Fraction(17)),
        ([0, 40, 80, 90, 1000], Fraction(1, 1000), Fraction(5)),
        ([0], Fraction(1, 25), Fraction(25)),
        ([0, 512, 1024], Fraction(1, 12800), Fraction(25)),
    ],
)
def test_times_come_back_exactly(
    tmp_path: Path, suffix: str, pts: list[int], time_base: Fraction, rate: Fraction
) -> None:
    path = write_clip(tmp_path / f"a.{suffix}", pts, time_base, rate)
    index = index_frames(path)
    assert [index.time(t) for t in range(len(index))] == [time * time_base for time in pts]
    assert [read_number(picture) for picture in read_pictures(path)] == list(range(len(pts)))
    with av.open(str(path)) as container:
        assert container.streams.video[0].start_time == 0
    steps = {b - a for a, b in pairwise(pts)}
    if len(steps) == 1 and steps.pop() * time_base * rate == 1:
        assert index.rate == probe_video(path).rate == rate


def test_matroska_times_are_within_its_millisecond(tmp_path: Path) -> None:
    path = write_clip(
        tmp_path / "a.mkv", list(range(40)), Fraction(1001, 30000), Fraction(30000, 1001)
    )
    expected = np.arange(40) * 1001 / 30000
    np.testing.assert_allclose(index_frames(path).seconds(), expected, atol=0.0006)
    assert probe_video(path).rate == Fraction(30000, 1001)


@pytest.mark.parametrize("size", [(96, 64), (97, 64), (96, 63), (97, 63)])
def test_any_size_is_kept(tmp_path: Path, size: tuple[int, int]) -> None:
    path = write_clip(tmp_path / "a.mp4", list(range(4)), size=size)
    info = probe_video(path)
    assert (info.width, info.height) == size
    assert info.pixel_format == ("yuv444p" if size[0] % 2 or size[1] % 2 else "yuv420p")
    written_pictures = [picture_of(t, *size) for t in range(4)]
    for written, read in zip(written_pictures, read_pictures(path), strict=True):
        error = read.planes[0].astype(int) - written.planes[0]
        assert np.abs(error).mean() < 3
        assert np.abs(read.planes[1].astype(int) - written.planes[1]).mean() < 3


@pytest.mark.parametrize(
    "colour", [BT709, ColourTags(9, 18, 9), ColourTags(), ColourTags(5, 6, 5, full_range=True)]
)
def test_colour_tags_are_kept(tmp_path: Path, colour: ColourTags) -> None:
    assert probe_video(write_clip(tmp_path / "a.mp4", [0, 1], colour=colour)).colour == colour


def test_metadata_and_timecode_and_pixel_aspect(tmp_path: Path) -> None:
    path = write_clip(
        tmp_path / "a.mp4",
        [0, 1, 2],
        metadata={"comment": "synthetic: made with metatalk", "timecode": "10:00:00:00"},
        pixel_aspect=Fraction(16, 15),
    )
    info = probe_video(path)
    assert (info.timecode, info.pixel_aspect) == ("10:00:00:00", Fraction(16, 15))
    with av.open(str(path)) as container:
        assert container.metadata["comment"] == "synthetic: made with metatalk"


def codec_of(path: Path) -> str:
    with av.open(str(path)) as container:
        return container.streams.audio[0].codec_context.name


@pytest.mark.parametrize(
    ("name", "codec", "rate", "target", "carried"),
    [
        ("s.m4a", "aac", 44100, "a.mp4", "aac"),
        ("s.m4a", "alac", 44100, "a.mp4", "alac"),
        ("s.mp3", "libmp3lame", 44100, "a.mp4", "mp3float"),
        ("s.mka", "ac3", 48000, "a.mp4", "ac3"),
        ("s.aac", "aac", 48000, "a.mp4", "aac"),
        ("s.wav", "pcm_s16le", 44100, "a.mov", "pcm_s16le"),
        ("s.wav", "pcm_s16le", 44100, "a.mkv", "pcm_s16le"),
        ("s.flac", "flac", 44100, "a.mkv", "flac"),
    ],
)
def test_sound_is_copied_where_the_container_takes_it(
    tmp_path: Path, name: str, codec: str, rate: int, target: str, carried: str
) -> None:
    source = make_sound(tmp_path / name, speech_like(2, rate)[None], rate, codec=codec)
    path = write_clip(tmp_path / target, list(range(40)), audio=source)
    assert codec_of(path) == carried
    original, result = (
        read_sound(source, rate),
        read_sound(path, rate, from_first_frame=True),
    )
    # Matroska counts milliseconds; nothing else may move.
    coarse = ".mk" in name + target
    assert abs(lag_samples(original.samples, result.samples)) <= (rate // 1000 if coarse else 0)
    if not coarse:
        count = min(len(original.samples), len(result.samples))
        assert count > 1.95 * rate
        np.testing.assert_allclose(
            result.samples[4000:count], original.samples[4000:count], atol=2e-3
        )


@pytest.mark.parametrize(
    ("name", "codec", "rate", "layout", "channels"),
    [
        ("s.wav", "pcm_s16le", 8000, "mono", 1),
        ("s.wav", "pcm_s16le", 22050, "stereo", 2),
        ("s.wav", "pcm_s16le", 48000, "5.1", 6),
        ("s.wav", "pcm_s16le", 48000, "7.1", 6),
        ("s.opus", "libopus", 48000, "mono", 1),
        ("s.wav", "pcm_s24le", 96000, "quad", 4),
    ],
)
def test_other_sound_becomes_aac_in_step(
    tmp_path: Path, name: str, codec: str, rate: int, layout: str, channels: int
) -> None:
    count = av.AudioLayout(layout).nb_channels
    planar = np.stack([speech_like(2, rate)] * count)
    source = make_sound(tmp_path / name, planar, rate, codec=codec, layout=layout)
    path = write_clip(tmp_path / "a.mp4", list(range(40)), audio=source)
    with av.open(str(path)) as container:
        context = container.streams.audio[0].codec_context
        assert (context.name, context.sample_rate) == ("aac", 48000)
        assert context.layout.nb_channels == channels
    original, result = read_sound(source), read_sound(path, from_first_frame=True)
    assert abs(lag_samples(original.samples, result.samples)) <= 1
    assert result.duration_s == pytest.approx(2, abs=0.03)


@pytest.mark.parametrize("name", ["s.wav", "s.m4a"])
def test_sound_ends_at_the_limit(tmp_path: Path, name: str) -> None:
    codec = "aac" if name.endswith("m4a") else "pcm_s16le"
    source = make_sound(tmp_path / name, speech_like(3, 48000)[None], 48000, codec=codec)
    path = write_clip(tmp_path / "a.mp4", list(range(25)), audio=source, audio_limit_s=Fraction(1))
    with av.open(str(path)) as container:
        assert float(container.streams.audio[0].duration / 48000) == pytest.approx(1, abs=1e-3)
        assert container.duration == 1_000_000
    assert read_sound(path).duration_s == pytest.approx(1, abs=0.03)


def test_sound_and_picture_are_interleaved(tmp_path: Path) -> None:
    source = make_sound(tmp_path / "s.wav", speech_like(20, 16000)[None], 16000)
    path = write_clip(tmp_path / "a.mp4", list(range(500)), audio=source, preset="ultrafast")
    with av.open(str(path)) as container:
        order = [
            (packet.pos, float(packet.pts * packet.time_base))
            for packet in container.demux()
            if packet.size
        ]
    times = [time for _, time in sorted(order)]
    assert max(np.maximum.accumulate(times) - times) < 1.5


def test_the_sound_of_a_video_can_be_carried(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "s.mp4", 50, sound_start_s=Fraction(1))
    path = write_clip(tmp_path / "a.mp4", list(range(50)), audio=source)
    assert codec_of(path) == "aac"
    np.testing.assert_array_equal(read_sound(source).samples, read_sound(path).samples)


def test_a_file_is_whole_or_absent(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with VideoWriter(path, 96, 64, Fraction(25), Fraction(1, 25), BT709) as writer:
        for number in range(60):
            writer.write(picture_of(number), number)
        assert not path.exists()
    assert names(tmp_path) == ["a.mp4"]
    before = path.read_bytes()
    with pytest.raises(MediaError, match="follow"):
        write_clip(path, [0, 1, 1])
    assert names(tmp_path) == ["a.mp4"]
    assert path.read_bytes() == before


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with VideoWriter(
        tmp_path / "a.mp4", 96, 64, Fraction(25), Fraction(1, 25), BT709
    ) as writer:  # fmt: skip
        writer.write(picture_of(0), 0)
        writer.write(picture_of(1), 5)
        with pytest.raises(MediaError, match="does not follow 5"):
            writer.write(picture_of(2), 5)
        with pytest.raises(MediaError, match="64x64"):
            writer.write(picture_of(2, 64, 64), 6)
    assert len(index_frames(tmp_path / "a.mp4")) == 2


def test_only_the_default_preset_is_made_leaner(tmp_path: Path) -> None:
    """x264 notes in the file how it was set."""
    settings = {
        preset: write_clip(tmp_path / f"{preset}.mp4", [0, 1], preset=preset).read_bytes()
        for preset in ("veryfast", "faster")
    }
    assert b"bframes=1 " in settings["veryfast"]
    assert b"analyse=0x3:0x3 " in settings["veryfast"]  # no search within macroblocks
    assert b"crf=16.0 " in settings["veryfast"]
    assert b"bframes=3 " in settings["faster"]
    assert b"analyse=0x3:0x113 " in settings["faster"]


def test_no_frame_is_an_error(tmp_path: Path) -> None:
    with (
        pytest.raises(MediaError, match="no frame"),
        VideoWriter(tmp_path / "a.mp4", 96, 64, Fraction(25), Fraction(1, 25), BT709),
    ):
        pass
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "words"), [("absent/a.mp4", "does not exist"), ("a.avi", r"\.avi"), ("a", "suffix")]
)
def test_a_wrong_place_is_an_error_with_a_remedy(tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(MediaError, match=words) as caught:
        VideoWriter(tmp_path / name, 96, 64, Fraction(25), Fraction(1, 25), BT709)
    assert caught.value.remedy
    assert names(tmp_path) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_folder_without_permission_is_an_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(MediaError, match="may not be written"):
        VideoWriter(tmp_path / "a.mp4", 96, 64, Fraction(25), Fraction(1, 25), BT709)


def test_a_full_disk_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4", [0, 1], crf=1, preset="ultrafast").unlink()
    # What is compiled on the way is kept in files, too: now it is.
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, limits[1]))
    try:
        with pytest.raises(MediaError, match="no space left"):
            write_clip(tmp_path / "a.mp4", list(range(250)), crf=1, preset="ultrafast")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert names(tmp_path) == []


def test_a_recording_that_cannot_be_read_leaves_nothing(tmp_path: Path) -> None:
    text = tmp_path / "s.wav"
    text.write_text("not a sound " * 50)
    with pytest.raises(MediaError, match=r"s\.wav"):
        write_clip(tmp_path / "a.mp4", [0, 1], audio=text)
    assert names(tmp_path) == ["s.wav"]


@pytest.mark.parametrize("name", ["fractional_fps.mp4", "senator.mp4"])
def test_a_real_clip_keeps_its_times(shared_clips: Path, tmp_path: Path, name: str) -> None:
    source, path = shared_clips / name, tmp_path / "a.mp4"
    info, index = probe_video(source), index_frames(source)
    with VideoWriter(
        path, info.width, info.height, index.rate, index.time_base, info.colour,
        preset="ultrafast", audio=source,
    ) as writer:  # fmt: skip
        for picture in read_pictures(source):
            writer.write(picture, picture.pts)
    result = index_frames(path)
    assert [result.time(t) for t in range(len(result))] == [
        index.time(t) for t in range(len(index))
    ]
    assert result.rate == index.rate
    assert probe_video(path).colour == info.colour
    np.testing.assert_array_equal(read_sound(source).samples, read_sound(path).samples)
