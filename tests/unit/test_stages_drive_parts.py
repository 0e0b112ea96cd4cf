"""Which part of a result is made, and which parts of it are new."""

from __future__ import annotations

import logging
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pytest
from face_toys import CAMERA, toy_track
from hypothesis import given
from hypothesis import strategies as st
from mouth_folders import toy_landmarks

from metatalk.compose.config import DriveConfig
from metatalk.compose.fallback.stretches import Fallback
from metatalk.compose.retiming.plan import FramePlan
from metatalk.compose.segments_config import SegmentsConfig
from metatalk.config import Config
from metatalk.errors import ConfigError, MetatalkError
from metatalk.interchange.ranges import TimeRange
from metatalk.stages import drive_parts
from metatalk.stages.drive_order import PREVIEW_S, DriveOrder
from metatalk.stages.drive_parts import Segments, check_parts, choose_segments, preview_frames
from metatalk.stages.drive_preparation import Drive
from metatalk.stages.footage import Footage
from metatalk.timing import FrameIndex

RATE, FRAMES = Fraction(25), 100
PLAN = FramePlan(np.arange(FRAMES), np.arange(FRAMES), 1 / RATE)
NOW = SegmentsConfig(ramp_s=0.2)


def footage_of(rate: Fraction = RATE, shots: list[list[int]] | None = None) -> Footage:
    landmarks = replace(toy_landmarks(FRAMES), shots=np.array(shots or [[0, FRAMES]]))
    index = FrameIndex(np.arange(FRAMES), 1 / rate, rate)
    return Footage(Path("clip.mp4"), index, landmarks, toy_track(FRAMES), CAMERA, Path())


@pytest.fixture(autouse=True)
def timecode(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What the footage says of its first frame; it is no file here."""
    info = SimpleNamespace(timecode=None, rate=RATE, duration_s=4.0)
    monkeypatch.setattr(drive_parts, "probe_video", lambda path: info)
    return info


def order(**more: Any) -> DriveOrder:
    return DriveOrder(Path("actor"), Path("out.mp4"), Path("words.wav"), **more)


def choose(asked: DriveOrder, footage: Footage | None = None, **drive: Any) -> Segments | None:
    heard_s = drive.pop("heard_s", 4.0)
    config = Config(drive=DriveConfig(**{"segments": NOW, **drive}))
    return choose_segments(asked, footage or footage_of(), PLAN, heard_s, config)


def test_all_is_new_where_nothing_is_named() -> None:
    assert choose(order()) is None
    assert choose(order(preview="1")) is None


def test_named_parts_are_new_and_no_others() -> None:
    found = choose(order(segments="1-2"))
    assert found is not None
    assert [(part.first_s, part.end_s) for part in found.ranges] == [(1.0, 2.0)]
    assert (found.ramps.picture[25:50] == 1).all()
    assert (found.ramps.mouth[25:50] == 1).all()
    assert (found.ramps.picture[:20] == 0).all()
    assert (found.ramps.picture[55:] == 0).all()
    assert 0 < found.ramps.picture[22] <= 1


def test_parts_are_named_by_the_films_own_time_code(timecode: SimpleNamespace) -> None:
    timecode.timecode = "10:00:00:00"
    found = choose(order(segments="10:00:01:00-10:00:02:00"))
    assert found is not None
    assert [(part.first_s, part.end_s) for part in found.ranges] == [(1.0, 2.0)]


def test_a_cut_hides_a_change_and_needs_no_ramp() -> None:
    cut = footage_of(shots=[[0, 25], [25, FRAMES]])
    found, plain = choose(order(segments="1-2"), cut), choose(order(segments="1-2"))
    assert found is not None
    assert plain is not None
    assert (found.ramps.picture[:25] == 0).all()
    assert plain.ramps.picture[24] > 0
    np.testing.assert_array_equal(found.ramps.picture[25:], plain.ramps.picture[25:])


def retimed(retime: Any) -> Config:
    return Config(drive=DriveConfig(retime=retime))


@pytest.mark.parametrize(
    "asked",
    [
        {"segments": "nonsense"},
        {"segments": "4-5"},
        {"segments": "2-1"},
        {"segments": "missing.srt"},
        {"segments": ""},
        {"preview": "soon"},
        {"preview": "10:00:00:30"},
    ],
    ids=str,
)
def test_times_that_cannot_be_read_are_told_before_any_work(asked: dict[str, Any]) -> None:
    with pytest.raises(MetatalkError) as refusal:
        check_parts(order(**asked), Config(), Path("clip.mp4"))
    assert refusal.value.remedy


def test_times_are_read_as_the_film_counts_them(timecode: SimpleNamespace) -> None:
    timecode.timecode = "10:00:00:00"
    clip = Path("clip.mp4")
    check_parts(order(segments="10:00:01:00-10:00:02:00", preview="10:00:01:00"), Config(), clip)
    with pytest.raises(MetatalkError, match="before the film"):
        check_parts(order(segments="09:00:01:00-09:00:02:00"), Config(), clip)
    timecode.duration_s = None  # the file does not say: it is known once it was decoded
    check_parts(order(segments="100-200"), Config(), clip)


def test_the_film_is_not_looked_at_where_no_time_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drive_parts, "probe_video", None)
    check_parts(order(), Config(), Path("clip.mp4"))
    check_parts(order(changed_from=Path("old.wav")), Config(), Path("clip.mp4"))


def test_a_part_needs_sound_of_the_whole_film(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ConfigError, match="begins later") as refusal:
        choose(order(segments="1-1.5,3-4"), heard_s=2.0)
    assert "whole new sound" in refusal.value.remedy
    with caplog.at_level(logging.WARNING):
        assert choose(order(segments="1-1.5"), heard_s=3.95) is not None
        assert not caplog.text
        assert choose(order(segments="1-1.5"), heard_s=2.0) is not None
    assert "whose end is silent" in caplog.text


def test_sound_after_the_films_end_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """The film stays as long as it is, and words of another length may be meant to be heard."""
    with caplog.at_level(logging.WARNING):
        choose(order(segments="1-1.5"), heard_s=4.05)  # a container's rounding
        assert not caplog.records
        choose(order(segments="1-1.5"), heard_s=4.5)
    assert "what follows the film's end is not heard" in caplog.text


@pytest.mark.parametrize("retime", ["speech", "pose"])
@pytest.mark.parametrize("part", [{"segments": "1-2"}, {"changed_from": Path("old.wav")}])
def test_parts_of_a_film_that_is_retimed_are_refused(retime: str, part: dict[str, Any]) -> None:
    clip = Path("clip.mp4")
    with pytest.raises(ConfigError, match=f"drive.retime={retime}"):
        check_parts(order(**part), retimed(retime), clip)
    check_parts(order(**part), retimed("loop"), clip)
    check_parts(order(), retimed(retime), clip)


def test_two_recordings_are_compared_with_the_margin_that_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[object] = []

    def compare(*words: object) -> list[TimeRange]:
        asked.extend(words)
        return [TimeRange(3.0, 3.5)]

    monkeypatch.setattr(drive_parts, "changed_segments", compare)
    config = SegmentsConfig(ramp_s=0.0, margin_s=0.3)
    found = choose(order(changed_from=Path("old.wav")), segments=config)
    assert asked == [Path("old.wav"), Path("words.wav"), 4.0, 0.3]
    assert found is not None
    new = np.zeros(FRAMES)
    new[75:88] = 1  # the frame at 3.48 s is shown until 3.52 s
    np.testing.assert_array_equal(found.ramps.picture, new)


def test_parts_beyond_the_film_are_refused() -> None:
    with pytest.raises(MetatalkError, match="no segment lies in the film"):
        choose(order(segments="4-5"))


rates = st.sampled_from([Fraction(25), Fraction(30000, 1001), Fraction(24), Fraction(50), 10])


@given(rates, st.integers(1, 400), st.floats(0, 1, exclude_max=True))
def test_a_preview_begins_with_the_frame_that_is_shown_then_and_lasts_three_seconds(
    rate: Fraction, count: int, share: float
) -> None:
    plan = FramePlan(np.arange(count), np.arange(count), 1 / Fraction(rate))
    seconds, lasts_s = plan.seconds(), float(1 / Fraction(rate))
    start_s = round(share * count * lasts_s, 3)
    if start_s > count * lasts_s - 1e-6:  # rounded past the end
        return
    _require_preview(plan, Fraction(rate), seconds, start_s, lasts_s)


@given(st.lists(st.integers(1, 90), min_size=1, max_size=120), st.floats(0, 1, exclude_max=True))
def test_so_does_one_of_footage_of_a_variable_rate(steps: list[int], share: float) -> None:
    pts = np.cumsum([0, *steps])
    plan = FramePlan(np.arange(len(pts)), pts, Fraction(1, 1000))
    start_s = round(share * pts[-1] / 1000, 3)
    _require_preview(plan, Fraction(25), plan.seconds(), start_s, 0.04)


def _require_preview(
    plan: FramePlan, rate: Fraction, seconds: np.ndarray, start_s: float, lasts_s: float
) -> None:
    unnamed = SimpleNamespace(timecode=None)
    with mock.patch.object(drive_parts, "probe_video", return_value=unnamed):
        first, end = preview_frames(f"{start_s:.3f}", footage_of(rate), plan)
    ends = np.append(seconds[1:], seconds[-1] + lasts_s)
    assert 0 <= first < end <= len(plan)
    assert seconds[first] <= start_s + 2e-6
    assert start_s < ends[first] + 2e-6  # it is still shown then
    within = (seconds >= seconds[first]) & (seconds < seconds[first] + PREVIEW_S - 1e-5)
    assert within[first:end].all()
    assert within.sum() == end - first
    part = plan.part(first, end)
    assert part.pts[0] == 0
    np.testing.assert_array_equal(part.frames, np.arange(first, end))


def test_a_preview_is_named_by_the_films_own_time_code(timecode: SimpleNamespace) -> None:
    timecode.timecode = "10:00:00:00"
    assert preview_frames("10:00:01:05", footage_of(), PLAN) == (30, FRAMES)
    with pytest.raises(ConfigError, match="the result lasts"):
        preview_frames("00:00:01:05", footage_of(), PLAN)


@pytest.mark.parametrize("word", ["4", "0:04", "1:00:00", "soon", "-1", "1-2", ""])
def test_a_preview_of_no_moment_of_the_result_is_refused(word: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        preview_frames(word, footage_of(), PLAN)
    assert refusal.value.remedy


def test_the_last_frame_alone_can_be_looked_at() -> None:
    assert preview_frames("3.99", footage_of(), PLAN) == (FRAMES - 1, FRAMES)


def fallback(first: int, end: int) -> Fallback:
    return Fallback(first, end, "hand", "a hand", 1.0)


STRENGTH = np.linspace(0, 1, FRAMES, dtype=np.float32)


def drive_with(fallbacks: list[Fallback], segments: Segments | None = None) -> Drive:
    performance: Any = SimpleNamespace(strength=STRENGTH)
    studio: Any = None
    return Drive(
        footage_of(), PLAN, performance, studio, Path("words.wav"), segments, tuple(fallbacks)
    )


def test_a_piece_of_a_drive_keeps_what_lies_in_it() -> None:
    drive = drive_with([fallback(0, 10), fallback(5, 35), fallback(40, 60), fallback(70, 80)])
    piece = drive.part(10, 50)
    assert (len(piece.plan), piece.plan.pts[0], piece.plan.frames[0]) == (40, 0, 10)
    assert [(one.first, one.end) for one in piece.fallbacks] == [(0, 25), (30, 40)]
    assert piece.sound == Path("words.wav")
    assert piece.with_sound(None).sound is None
    assert piece.with_sound(None).fallbacks == piece.fallbacks
    assert piece.segments is None


def test_a_piece_is_drawn_from_the_performance_of_the_whole() -> None:
    """What is drawn depends on the frames around it, which a cut would take away."""
    drive = drive_with([])
    np.testing.assert_array_equal(drive.strength, STRENGTH)
    piece = drive.part(10, 50).part(5, 15)
    assert piece.performance is drive.performance
    assert piece.first == 15
    np.testing.assert_array_equal(piece.strength, STRENGTH[15:25])


def test_a_piece_counts_its_segments_from_its_own_beginning() -> None:
    segments = choose(order(segments="0.4-0.8,1.2-2.2,2.4-2.8,3.2-3.4"))
    assert segments is not None
    piece = drive_with([], segments).part(50, 75)  # from 2 s to 3 s
    assert piece.segments is not None
    spans = [(part.first_s, part.end_s) for part in piece.segments.ranges]
    assert np.allclose(spans, [(0.0, 0.2), (0.4, 0.8)])
    np.testing.assert_array_equal(piece.segments.ramps.picture, segments.ramps.picture[50:75])
    np.testing.assert_array_equal(piece.segments.ramps.mouth, segments.ramps.mouth[50:75])
    nothing = drive_with([], segments).part(21, 29).segments
    assert nothing is None or nothing.ranges == []


spans = st.lists(
    st.tuples(st.integers(0, FRAMES - 1), st.integers(1, 30)).map(
        lambda one: fallback(one[0], min(one[0] + one[1], FRAMES))
    ),
    max_size=6,
)


@given(spans, st.integers(0, FRAMES - 1), st.integers(1, FRAMES))
def test_frames_with_the_filmed_mouth_stay_the_same_frames_in_a_piece(
    stretches: list[Fallback], first: int, length: int
) -> None:
    def kept(parts: tuple[Fallback, ...] | list[Fallback], count: int) -> np.ndarray:
        flags = np.zeros(count, int)
        for one in parts:
            assert 0 <= one.first < one.end <= count
            flags[one.first : one.end] += 1
        return flags

    end = min(first + length, FRAMES)
    drive = drive_with(stretches)
    piece = drive.part(first, end)
    np.testing.assert_array_equal(
        kept(piece.fallbacks, end - first), kept(stretches, FRAMES)[first:end]
    )
    again = drive.part(first, FRAMES).part(0, end - first)
    assert again.fallbacks == piece.fallbacks
