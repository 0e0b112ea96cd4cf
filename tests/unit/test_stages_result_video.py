"""A result keeps what its footage says: time code, depth, tags; and tells what it cannot keep."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from media_clips import make_clip

from metatalk.compose.config import DriveConfig
from metatalk.compose.delivery_config import DeliveryConfig
from metatalk.compose.retiming.plan import FramePlan, plan_frames
from metatalk.errors import MediaError
from metatalk.media.colour import ColourTags
from metatalk.media.hdr import HdrTags
from metatalk.media.probe import probe_video
from metatalk.media.video import read_pictures
from metatalk.media.writer import VideoWriter
from metatalk.stages import result_video
from metatalk.stages.result_video import layer_format, open_layer, open_result
from metatalk.timing import FrameIndex

RATE = Fraction(30000, 1001)
SIZE = 256, 144


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Four frames with drop-frame time code."""
    raw = make_clip(tmp_path / "raw.mp4", 4, size=SIZE, rate=RATE, tags=(1, 1, 1, 1))
    pictures = list(read_pictures(raw))
    path = tmp_path / "clip.mov"
    tags = {"timecode": "00:59:59;28"}
    with VideoWriter(path, *SIZE, RATE, 1 / RATE, ColourTags(1, 1, 1), metadata=tags) as writer:
        for number, picture in enumerate(pictures):
            writer.write(picture, number)
    return path


def plan_of(count: int = 4) -> FramePlan:
    return FramePlan(np.arange(count), np.arange(count), 1 / RATE)


def settings(**delivery) -> DriveConfig:
    return DriveConfig(delivery=DeliveryConfig(**delivery))


def write(output: Path, clip: Path, config: DriveConfig, first_frame: int = 0) -> Path:
    opened = open_result(output, clip, RATE, plan_of(), None, config, first_frame)
    with opened as writer:
        for number, picture in enumerate(read_pictures(clip)):
            writer.write(picture, number)
    return output


@pytest.mark.parametrize(
    ("first_frame", "timecode"), [(0, "00:59:59;28"), (2, "01:00:00;00"), (1800, "01:00:59;28")]
)
def test_time_code_goes_with_the_first_frame(
    tmp_path: Path, clip: Path, first_frame: int, timecode: str
) -> None:
    path = write(tmp_path / "a.mov", clip, settings(format="prores422hq"), first_frame)
    assert probe_video(path).timecode == timecode


def test_the_default_is_what_players_show(tmp_path: Path, clip: Path) -> None:
    info = probe_video(write(tmp_path / "a.mp4", clip, DriveConfig()))
    assert (info.codec, info.pixel_format, info.rate) == ("h264", "yuv420p", RATE)
    assert info.colour == ColourTags(1, 1, 1)


def test_depth_follows_the_footage(tmp_path: Path) -> None:
    deep = make_clip(
        tmp_path / "deep.mkv", 4, size=SIZE, rate=RATE, pixel_format="yuv420p10le",
        tags=(9, 16, 9, 1),
    )  # fmt: skip
    info = probe_video(write(tmp_path / "a.mp4", deep, settings(format="h265")))
    assert (info.pixel_format, info.colour) == ("yuv420p10le", ColourTags(9, 16, 9))
    info = probe_video(write(tmp_path / "b.mp4", deep, settings(format="h265", bits=8)))
    assert info.pixel_format == "yuv420p"


@pytest.mark.parametrize(
    ("first_number", "first_frame", "number"), [(0, 0, 0), (1001, 5, 1001), (None, 5, 107895)]
)
def test_numbers_by_the_time_code(
    tmp_path: Path, clip: Path, first_number: int | None, first_frame: int, number: int
) -> None:
    """An hour of drop-frame time code has 107892 numbers; 00:59:59;28 is two before its end."""
    folder = tmp_path / "shot"
    write(folder, clip, settings(format="png", bits=8, first_number=first_number), first_frame)
    sheet = json.loads((folder / "shot.json").read_text())
    assert sheet["first"] == number
    assert (folder / f"shot.{number:06d}.png").exists()
    assert "synthetic" in sheet["comment"]


def test_the_layer_keeps_time_code_and_rate(tmp_path: Path, clip: Path) -> None:
    patch = np.ones((8, 8, 3), np.float32), np.ones((8, 8), np.float32), 40, 40
    with open_layer(tmp_path / "a.mov", clip, RATE, plan_of(), DriveConfig(), 2) as layer:
        for number in range(4):
            layer.write([patch], number)
    info = probe_video(tmp_path / "a.mov")
    assert (info.timecode, info.rate) == ("01:00:00;00", RATE)
    assert info.pixel_format.startswith("yuva444p1")


def test_a_layer_is_a_film_or_a_folder(tmp_path: Path) -> None:
    assert layer_format(tmp_path / "a.mov", DeliveryConfig()) == "prores4444"
    assert layer_format(tmp_path / "a", DeliveryConfig()) == "png"
    assert layer_format(tmp_path / "a", DeliveryConfig(patch="exr")) == "exr"
    for path, patch in (("a.mov", "exr"), ("a", "prores4444"), ("a.mp4", "auto")):
        with pytest.raises(MediaError) as caught:
            layer_format(tmp_path / path, DeliveryConfig(patch=patch))
        assert "drive.delivery.patch" in caught.value.remedy


def test_a_name_that_does_not_fit_is_refused(tmp_path: Path, clip: Path) -> None:
    with pytest.raises(MediaError, match="ProRes 422 HQ"):
        open_result(tmp_path / "a.mp4", clip, RATE, plan_of(), None, settings(format="prores422hq"))


def test_what_cannot_be_kept_is_told(
    tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    seen = replace(
        probe_video(clip), interlaced=True, field_order="top first", timecode="01:00:00:77",
        hdr=HdrTags(content=(1000, 400)),
    )  # fmt: skip
    monkeypatch.setattr(result_video, "probe_video", lambda path: seen)
    with caplog.at_level(logging.WARNING):
        path = write(tmp_path / "a.mp4", clip, DriveConfig())
    assert "interlaced (top first)" in caplog.text
    assert "HDR mastering data" in caplog.text
    assert "01:00:00:77" in caplog.text
    assert probe_video(path).timecode is None
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        write(tmp_path / "b.mp4", clip, settings(format="h265"))
    assert "HDR" not in caplog.text


def times_written(output: Path, clip: Path, plan: FramePlan, rate: Fraction) -> list[Fraction]:
    """When the frames of a result are shown, seconds."""
    with open_result(output, clip, rate, plan, None, settings()) as writer:
        for picture, pts in zip(read_pictures(clip), plan.pts.tolist(), strict=True):
            writer.write(picture, pts)
    with av.open(str(output)) as container:
        return sorted(packet.pts * packet.time_base for packet in container.demux() if packet.size)


@pytest.mark.parametrize(
    ("rate", "stated", "time_base"),
    [
        (Fraction(24000, 1001), Fraction(24000, 1001), Fraction(1, 1000)),
        (Fraction(24000, 1001), Fraction(24000, 1001), Fraction(1, 90000)),
        (Fraction(60000, 1001), Fraction(19001, 317), Fraction(1, 1000)),
        (Fraction(1350, 61), Fraction(1350, 61), Fraction(1, 1000)),
    ],
)
@pytest.mark.parametrize("start_s", [0, Fraction(23, 1000)])
def test_a_coarse_clock_leaves_no_trace(
    tmp_path: Path, rate: Fraction, stated: Fraction, time_base: Fraction, start_s: Fraction
) -> None:
    """An editing program takes frames of 41 and 42 ms for a variable rate."""
    raw = make_clip(tmp_path / "raw.mp4", 40, size=SIZE, rate=rate)
    pts = np.array([round((number / rate + start_s) / time_base) for number in range(40)])
    plan = FramePlan(np.arange(40), pts - pts[0], time_base)
    assert times_written(tmp_path / "a.mov", raw, plan, stated) == [k / rate for k in range(40)]
    assert probe_video(tmp_path / "a.mov").rate == rate


@pytest.mark.parametrize("rate", [Fraction(24000, 1001), Fraction(30000, 1001)])
def test_footage_that_goes_on_is_as_steady_as_it_was(rate: Fraction) -> None:
    """Its clock rounds what follows once more, from the last frame on."""
    pts = np.array([round(1000 * number / rate) for number in range(300)])
    index = FrameIndex(pts, Fraction(1, 1000), rate)
    plan = plan_frames(index, 1200 / rate, "audio")
    assert len(plan) == 1200
    assert result_video._steady_rate(plan, rate) == rate


def test_a_layer_has_the_times_of_its_result(tmp_path: Path, clip: Path) -> None:
    rate, patch = Fraction(24000, 1001), (np.ones((8, 8, 3), np.float32), np.ones((8, 8)), 40, 40)
    plan = FramePlan(np.arange(4), np.array([0, 42, 83, 125]), Fraction(1, 1000))
    with open_layer(tmp_path / "a.mov", clip, rate, plan, DriveConfig()) as layer:
        for pts in plan.pts.tolist():
            layer.write([patch], pts)
    with av.open(str(tmp_path / "a.mov")) as container:
        shown = [frame.pts * frame.time_base for frame in container.decode(video=0)]
    assert shown == [number / rate for number in range(4)]


def test_times_that_are_the_footages_own_are_kept(tmp_path: Path) -> None:
    raw = make_clip(tmp_path / "raw.mp4", 6, size=SIZE, rate=Fraction(25))
    for pts in ([0, 40, 80, 140, 160, 200], [0, 40, 81, 123, 166, 210]):
        plan = FramePlan(np.arange(6), np.array(pts), Fraction(1, 1000))
        shown = times_written(tmp_path / "a.mov", raw, plan, Fraction(25))
        assert shown == [Fraction(time, 1000) for time in pts]
    late = FramePlan(np.arange(6), np.array([0, 4, 9, 12, 15, 21]), Fraction(1, 100))
    assert times_written(tmp_path / "a.mov", raw, late, Fraction(25))[-1] == Fraction(21, 100)
    coarse = FramePlan(np.arange(6), np.array([0, 1, 2, 3, 4, 6]), Fraction(1, 25))
    assert times_written(tmp_path / "a.mov", raw, coarse, Fraction(25))[-1] == Fraction(6, 25)


def test_pixels_that_dnxhr_in_mxf_cannot_tell_are_told(
    tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    wide = replace(probe_video(clip), pixel_aspect=Fraction(16, 11))
    monkeypatch.setattr(result_video, "probe_video", lambda path: wide)
    for name, is_told in (("a.mov", False), ("a.mxf", True)):
        caplog.clear()
        write(tmp_path / name, clip, settings(format="dnxhr_hq"))
        assert ("1.45 times as wide" in caplog.text) == is_told
