"""Any order of frames gives the very pictures of decoding in order."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from media_clips import checksum, make_clip

import metatalk.media.ordered as ordered
from metatalk.errors import MediaError
from metatalk.media.ordered import read_pictures_in_order
from metatalk.media.video import index_frames, read_pictures
from metatalk.timing import FrameIndex

FRAMES = 48
PICTURE_BYTES = 96 * 64 * 3 // 2
KINDS = {
    "b_frames.mp4": ("libx264", {"bf": "3", "g": "8"}),
    "open_gop.mp4": ("libx264", {"bf": "3", "g": "8", "x264-params": "open-gop=1:b-adapt=0"}),
    "one_key_frame.mp4": ("libx264", {"bf": "3", "g": "999"}),
    "intra_refresh.mkv": ("libx264", {"g": "8", "x264-params": "intra-refresh=1"}),
    "hevc.mp4": ("libx265", {"x265-params": "keyint=8:log-level=none"}),
    "hevc_open.mkv": ("libx265", {"x265-params": "keyint=8:open-gop=1:log-level=none"}),
    "mpeg1.mpg": ("mpeg1video", {"bf": "2", "g": "8"}),
    "mpeg2.ts": ("mpeg2video", {"bf": "2", "g": "8"}),
    "raw.h264": ("libx264", {"g": "8"}),
    "motion_jpeg.avi": ("mjpeg", {}),
}


@pytest.fixture(scope="module", params=KINDS)
def clip(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, FrameIndex, list[tuple[int, ...]]]:
    """A clip of each kind, its index, and the checksums of its frames in order."""
    codec, options = KINDS[request.param]
    pixel_format = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    path = tmp_path_factory.mktemp("ordered") / request.param
    make_clip(path, FRAMES, codec=codec, options=options, pixel_format=pixel_format)
    return path, index_frames(path), [checksum(picture) for picture in read_pictures(path)]


def assert_same(clip: tuple[Path, FrameIndex, list], order: list[int], memory: int) -> None:
    path, index, sums = clip
    pictures = list(read_pictures_in_order(path, order, index, memory))
    assert [picture.index for picture in pictures] == order
    assert [picture.pts for picture in pictures] == [int(index.pts[t]) for t in order]
    assert [checksum(picture) for picture in pictures] == [sums[t] for t in order]


def test_forth_and_back_and_forth(clip) -> None:
    there = list(range(FRAMES))
    assert_same(clip, [*there, *there[-2:0:-1], *there], 12 * PICTURE_BYTES)


@given(
    order=st.lists(st.integers(0, FRAMES - 1), max_size=20),
    pictures=st.integers(0, 30),
)
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_order_and_any_memory(clip, order: list[int], pictures: int) -> None:
    assert_same(clip, order, pictures * PICTURE_BYTES)


def test_a_run_backwards_decodes_each_frame_about_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_clip(tmp_path / "a.mp4", 96, options={"g": "12"})
    index = index_frames(path)
    decoded = 0
    decode = ordered.decode_video

    def count(*args):
        nonlocal decoded
        for frame in decode(*args):
            decoded += 1
            yield frame

    monkeypatch.setattr(ordered, "decode_video", count)
    order = list(range(95, -1, -1))
    list(read_pictures_in_order(path, order, index, 24 * PICTURE_BYTES))
    assert decoded < 1.3 * 96


def test_kept_pictures_stay_within_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_clip(tmp_path / "a.mp4", 60, options={"g": "60"})
    index = index_frames(path)
    alive: list[int] = []
    lookahead = ordered._with_lookahead

    def watch(frames, room):
        for t, wanted in lookahead(frames, room):
            alive.append(len(wanted))
            yield t, wanted

    monkeypatch.setattr(ordered, "_with_lookahead", watch)
    list(read_pictures_in_order(path, list(range(59, -1, -1)), index, 10 * PICTURE_BYTES))
    assert max(alive) == 10


@pytest.mark.parametrize(
    ("picture_bytes", "pictures"),
    [
        (1920 * 1080 * 3 // 2, 43),  # HD of 8 bits
        (1920 * 1080 * 4, 32),  # 10 bits, 4:2:2
        (3840 * 2160 * 3, 32),  # 4K of 10 bits
        (3840 * 2160 * 6, 21),  # 4K of 12 bits, 4:4:4
        (7680 * 4320 * 6, 5),
    ],
)
def test_large_pictures_are_given_more_memory(picture_bytes: int, pictures: int) -> None:
    memory = ordered._memory_for(picture_bytes)
    assert memory // picture_bytes == pictures
    assert 128 << 20 <= memory <= 1 << 30


def test_large_pictures_backwards_are_decoded_a_few_times_and_not_dozens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a clip of one group of pictures; as if five of them filled the least memory."""
    path = make_clip(tmp_path / "a.mp4", 128, options={"g": "999"})
    index = index_frames(path)
    decoded = 0
    next_frame = ordered._Decoder.next_frame

    def count(decoder):
        nonlocal decoded
        decoded += 1
        return next_frame(decoder)

    monkeypatch.setattr(ordered._Decoder, "next_frame", count)
    monkeypatch.setattr(ordered, "_LEAST_BYTES", 5 * PICTURE_BYTES)
    shown = list(read_pictures_in_order(path, list(range(127, -1, -1)), index))
    assert [picture.index for picture in shown] == list(range(127, -1, -1))
    assert decoded < 3.5 * 128


def test_a_frame_outside_is_refused(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", 5)
    with pytest.raises(MediaError, match=r"frame 5 is outside 0\.\.4"):
        next(read_pictures_in_order(path, [0, 5], index_frames(path)))


def test_another_clip_than_the_index_s_is_noticed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    index = index_frames(make_clip(tmp_path / "long.mp4", 20))
    with caplog.at_level(logging.INFO), pytest.raises(MediaError, match="has 20"):
        list(read_pictures_in_order(make_clip(tmp_path / "short.mp4", 5), [19], index))


def test_a_real_clip_forth_and_back(shared_clips: Path) -> None:
    path = shared_clips / "fractional_fps.mp4"
    index = index_frames(path)
    sums = [checksum(picture) for picture in read_pictures(path)]
    assert_same((path, index, sums), [*range(100, 135), *range(133, 60, -1)], 30 << 20)
