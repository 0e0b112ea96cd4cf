"""Reading: any container, rotation, depth and size; exact times; damage survived."""

from __future__ import annotations

import logging
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from media_clips import checksum, make_clip, numbered_picture, read_number

from metatalk.errors import MediaError
from metatalk.media.colour import ColourTags
from metatalk.media.planes import say_if_reduced
from metatalk.media.video import _Clock as Clock
from metatalk.media.video import index_frames, probe_video, read_pictures

LOSSLESS = {"qp": "0"}


def numbers(path: Path) -> list[int]:
    return [read_number(picture) for picture in read_pictures(path)]


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format", "options"),
    [
        ("b_frames.mp4", "libx264", "yuv420p", {"bf": "3", "g": "12"}),
        ("hevc.mp4", "libx265", "yuv420p", {"x265-params": "keyint=12:log-level=none"}),
        ("ten_bit.mkv", "libx265", "yuv420p10le", {"x265-params": "log-level=none"}),
        ("mpeg1.mpg", "mpeg1video", "yuv420p", {"bf": "2", "g": "12"}),
        ("mpeg2.ts", "mpeg2video", "yuv420p", {"bf": "2"}),
        ("prores.mov", "prores_ks", "yuv422p10le", {}),
        ("full_chroma.mkv", "libx264", "yuv444p", {}),
        ("motion_jpeg.avi", "mjpeg", "yuvj420p", {}),
        ("vp9.webm", "libvpx-vp9", "yuv420p", {"cpu-used": "8", "deadline": "realtime"}),
        ("rgb.mkv", "ffv1", "bgr0", {}),
    ],
)
def test_every_frame_of_every_kind(
    tmp_path: Path, name: str, codec: str, pixel_format: str, options: dict[str, str]
) -> None:
    clip = make_clip(tmp_path / name, 30, codec=codec, pixel_format=pixel_format, options=options)
    assert numbers(clip) == list(range(30))
    index = index_frames(clip)
    assert len(index) == 30
    np.testing.assert_allclose(index.seconds(), np.arange(30) / 25, atol=6e-4)
    assert index.rate == 25
    for picture, pts in zip(read_pictures(clip), index.pts, strict=True):
        assert picture.pts == pts
        error = picture.rgb().astype(int) - numbered_picture(picture.index)
        assert np.abs(error)[20:].mean() < 12  # the right colours, whatever the codec lost


def test_lossless_frames_come_through_bit_by_bit(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mkv", 3, options=LOSSLESS)
    for picture in read_pictures(clip):
        rgb = av.VideoFrame.from_ndarray(numbered_picture(picture.index), "rgb24")
        stored = rgb.reformat(format="yuv420p").to_ndarray().reshape(-1)
        assert np.array_equal(np.concatenate([p.reshape(-1) for p in picture.planes]), stored)


@pytest.mark.parametrize(
    ("codec", "pixel_format", "said"),
    [
        ("libx264", "yuv420p", 0),
        ("libx264", "yuv422p", 1),
        ("libx264", "yuv444p", 1),
        ("ffv1", "yuv420p10le", 0),
        ("ffv1", "bgr0", 1),
        ("ffv1", "gray", 0),
    ],
)
def test_colour_that_is_reduced_is_said_once(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    codec: str,
    pixel_format: str,
    said: int,
) -> None:
    clip = make_clip(tmp_path / "a.mkv", 3, codec=codec, pixel_format=pixel_format)
    with caplog.at_level(logging.WARNING, "metatalk"):
        for native in (False, True):  # reading alone loses nothing of a result
            assert len(list(read_pictures(clip, native))) == 3
        assert not caplog.text
        for _ in range(2):
            say_if_reduced(probe_video(clip))
    assert caplog.text.count("finer than 4:2:0") == said


def test_variable_rate_is_exact(tmp_path: Path) -> None:
    pts = [0, 1001, 3003, 3500, 7000, 7001, 30000]
    clip = make_clip(tmp_path / "vfr.mp4", 7, time_base=Fraction(1, 30000), pts=pts)
    index = index_frames(clip)
    assert [index.time(t) for t in range(7)] == [Fraction(p, 30000) for p in pts]
    assert index.is_variable


def test_ntsc_rate_stays_a_fraction(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "ntsc.mp4", 12, rate=Fraction(30000, 1001))
    assert probe_video(clip).rate == index_frames(clip).rate == Fraction(30000, 1001)
    assert index_frames(clip).time(11) == 11 * Fraction(1001, 30000)


def displayed(plane: np.ndarray, a: int, b: int, c: int, d: int) -> np.ndarray:
    """A plane shown by a display matrix, sample by sample (ISO/IEC 14496-12, 8.3.2)."""
    rows, columns = np.mgrid[0 : plane.shape[0], 0 : plane.shape[1]]
    x, y = a * columns + c * rows, b * columns + d * rows
    x, y = x - x.min(), y - y.min()
    shown = np.zeros((y.max() + 1, x.max() + 1), plane.dtype)
    shown[y, x] = plane
    return shown


@pytest.mark.parametrize(
    ("display", "rotation"),
    [
        ((0, 1, -1, 0), 90),  # what a telephone held upright writes
        ((-1, 0, 0, -1), 180),
        ((0, -1, 1, 0), 270),
        ((-1, 0, 0, 1), 0),
        ((1, 0, 0, -1), 180),
        ((0, 1, 1, 0), 270),
        ((0, -1, -1, 0), 90),
    ],
)
def test_the_display_matrix_is_applied_without_loss(
    tmp_path: Path, display: tuple[int, int, int, int], rotation: int
) -> None:
    plain = make_clip(tmp_path / "plain.mp4", 2)
    turned = make_clip(tmp_path / "turned.mp4", 2, display=display)
    info = probe_video(turned)
    assert info.rotation == rotation
    assert (info.width, info.height) == ((64, 96) if rotation % 180 else (96, 64))
    for stored, upright in zip(read_pictures(plain), read_pictures(turned), strict=True):
        for plane, result in zip(stored.planes, upright.planes, strict=True):
            assert np.array_equal(displayed(plane, *display), result)


def test_odd_sizes(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "odd.mkv", 4, size=(97, 63), pixel_format="yuv444p")
    picture = next(read_pictures(clip))
    assert [plane.shape for plane in picture.planes] == [(63, 97), (32, 49), (32, 49)]
    assert picture.rgb().shape == (63, 97, 3)


def test_probe_reads_what_is_stated(tmp_path: Path) -> None:
    clip = make_clip(
        tmp_path / "a.mp4", 5, tags=(9, 16, 9, 1), codec="libx265", pixel_format="yuv420p10le",
        options={"x265-params": "log-level=none"}, sound_start_s=Fraction(0),
    )  # fmt: skip
    info = probe_video(clip)
    assert info.colour == ColourTags(9, 16, 9, full_range=False)
    assert (info.codec, info.bits, info.has_audio, info.interlaced) == ("hevc", 10, True, False)
    assert info.duration_s == pytest.approx(0.2)
    assert info.timecode is None


def test_full_range_is_known(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", 2, tags=(1, 1, 1, 2))
    assert probe_video(clip).colour == ColourTags(1, 1, 1, full_range=True)
    assert next(read_pictures(clip)).colour.full_range


@pytest.mark.parametrize("reader", [probe_video, index_frames, lambda p: list(read_pictures(p))])
def test_what_is_no_video_is_an_error_with_a_remedy(tmp_path: Path, reader) -> None:
    text, empty = tmp_path / "text.mp4", tmp_path / "empty.mp4"
    text.write_text("Dear diary,\n" * 100)
    empty.touch()
    for path in (tmp_path / "absent.mp4", text, empty, tmp_path):
        with pytest.raises(MediaError) as caught:
            reader(path)
        assert str(path) in caught.value.problem
        assert caught.value.remedy


def test_a_recording_is_no_video(shared_clips: Path) -> None:
    with pytest.raises(MediaError, match="no video stream"):
        probe_video(shared_clips / "audio" / "jfk.flac")


@pytest.mark.parametrize("name", ["cut.mkv", "cut.ts"])
def test_a_truncated_file_gives_what_it_holds(tmp_path: Path, name: str) -> None:
    whole = make_clip(tmp_path / f"whole_{name}", 60)
    cut = tmp_path / name
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    seen = numbers(cut)
    assert 10 < len(seen) < 60
    assert seen[:10] == list(range(10))
    # Near the end, frames may be missing that were stored behind later ones; times tell so.
    # The very last may be a patched-up one.
    times = index_frames(cut).seconds()
    assert len(times) == len(seen)
    np.testing.assert_allclose(times[:-1], np.array(seen[:-1]) / 25, atol=6e-4)


def test_what_an_edit_list_leaves_out_is_not_missing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As a cut without encoding anew leaves it: the key frame before the cut stays in the file."""
    edited = tmp_path / "edited.mp4"
    whole = make_clip(tmp_path / "whole.mp4", 60)
    with av.open(str(whole)) as source, av.open(str(edited), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size and packet.pts is not None and packet.dts is not None:
                earlier = round(20 / (25 * packet.time_base))
                packet.pts, packet.dts = packet.pts - earlier, packet.dts - earlier
                packet.stream = stream
                target.mux(packet)
    with caplog.at_level(logging.WARNING):
        assert numbers(edited) == list(range(20, 60))
    assert caplog.text == ""


def test_a_truncated_mp4_says_where_it_ends(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = make_clip(tmp_path / "whole.mp4", 60)
    front = tmp_path / "front.mp4"  # with its table at the front, as downloads have it
    with av.open(str(whole)) as source, av.open(
        str(front), "w", options={"movflags": "faststart"}
    ) as target:  # fmt: skip
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(front.read_bytes()[: front.stat().st_size // 2])
    with caplog.at_level(logging.WARNING):
        seen = list(read_pictures(cut))
    assert 5 < len(seen) < 60
    assert f"frame {len(seen)}" in caplog.text
    behind = tmp_path / "behind.mp4"
    behind.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(MediaError, match="cannot be read|not a video"):
        index_frames(behind)


def test_damage_in_the_middle_does_not_end_the_clip(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clip = make_clip(tmp_path / "a.ts", 90, options={"g": "10"})
    data = bytearray(clip.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = bytes(3000)
    clip.write_bytes(data)
    seen = numbers(clip)
    assert len(seen) > 60
    assert seen[-1] == 89
    assert len(index_frames(clip)) == len(seen)


@pytest.mark.parametrize(
    ("stated", "placed", "repaired"),
    [
        ([7, 17, 27], [0, 10, 20], 0),
        ([None, None, None], [0, 10, 20], 2),
        ([0, 10, 10, 30], [0, 10, 11, 30], 1),
        ([0, 20, 10, 30], [0, 20, 21, 30], 1),
        ([5000, 5010, 0, 10, 20], [0, 10, 20, 30, 40], 1),
    ],
)
def test_times_are_repaired(stated: list[int | None], placed: list[int], repaired: int) -> None:
    clock = Clock(Fraction(1, 250), Fraction(25))
    assert [clock.place(pts) for pts in stated] == placed
    assert clock.repaired == repaired


def test_a_raw_stream_has_times_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clip = make_clip(tmp_path / "raw.h264", 20)
    assert len(index_frames(clip)) == 20
    assert numbers(clip) == list(range(20))


def test_progress_is_reported(tmp_path: Path) -> None:
    reports: list[tuple[int, int | None]] = []
    index_frames(
        make_clip(tmp_path / "a.mp4", 5), lambda done, total: reports.append((done, total))
    )
    assert reports == [(t, 5) for t in range(1, 6)]


PEAKS = """
import re, resource, sys
from pathlib import Path
from metatalk.media.video import read_pictures

def peak_kb():
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.search(r"VmHWM:\\s+(\\d+) kB", status.read_text())[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

for picture in read_pictures(sys.argv[1]):
    if picture.index in (420, 799):
        print(peak_kb())
"""


def test_memory_does_not_grow_with_length(tmp_path: Path) -> None:
    # In a process of its own: the peak of this one is long past. Linux hands that on as the usage
    # of a process that is begun, not as the peak of its memory. The pools of the decoder and of
    # Python's objects fill within 400 frames.
    clip = make_clip(tmp_path / "long.mp4", 800, size=(320, 240), options={"preset": "ultrafast"})
    root = Path(__file__).resolve().parents[2]
    output = subprocess.run(
        [sys.executable, "-c", PEAKS, str(clip)], cwd=root, capture_output=True, check=True
    ).stdout.split()
    early, late = (int(kilobytes) for kilobytes in output)
    assert late - early < 20_000  # the pictures in between are 44 MB


@pytest.mark.parametrize(
    ("name", "frames", "rate", "variable"),
    [
        ("presenter_hd.mp4", 502, Fraction(25), False),
        ("fractional_fps.mp4", 135, Fraction(1350, 61), True),
        ("grid_voices/brbk7n.mpg", 75, Fraction(25), False),
        ("address.mp4", 200, Fraction(25), False),
    ],
)
def test_real_clips(
    shared_clips: Path, name: str, frames: int, rate: Fraction, variable: bool
) -> None:
    index = index_frames(shared_clips / name)
    assert (len(index), index.rate, index.is_variable) == (frames, rate, variable)
    assert probe_video(shared_clips / name).rate == rate


def test_decoding_twice_gives_the_same(shared_clips: Path) -> None:
    clip = shared_clips / "fractional_fps.mp4"
    first, second = ([checksum(picture) for picture in read_pictures(clip)] for _ in range(2))
    assert first == second
