"""Which footage frame is shown when."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from metatalk.compose.retiming.config import RetimingConfig
from metatalk.compose.retiming.plan import (
    NEARLY_FRAMES,
    FramePlan,
    forth_and_back,
    plan_clock,
    plan_frames,
    retime_track,
    retime_transforms,
)
from metatalk.errors import ConfigError, MediaError, ShapeError
from metatalk.morphable.coefficients import TrackCoefficients
from metatalk.timing import FrameIndex


def steady(frames: int, rate: Fraction = Fraction(25), ticks: int = 512) -> FrameIndex:
    return FrameIndex(np.arange(frames, dtype=np.int64) * ticks, 1 / (rate * ticks), rate)


VARIABLE = FrameIndex(np.array([0, 40, 73, 140, 160, 200]), Fraction(1, 1000), Fraction(25))


@pytest.mark.parametrize("length", ["audio", "video"])
def test_equal_lengths_show_the_footage_as_it_is(length):
    index = steady(30)
    plan = plan_frames(index, index.exact_duration, length)
    assert plan.frames.tolist() == list(range(30))
    assert plan.pts.tolist() == index.pts.tolist()
    assert plan.time_base == index.time_base


@pytest.mark.parametrize("off", [-NEARLY_FRAMES, -1, 1, NEARLY_FRAMES])
def test_a_recording_about_as_long_is_taken_as_exactly_as_long(off):
    index = steady(30)
    plan = plan_frames(index, index.exact_duration + off / index.rate, "audio")
    assert plan.frames.tolist() == list(range(30))


def test_a_shorter_recording_ends_the_result():
    plan = plan_frames(steady(30), Fraction(4, 10), "audio")  # ten frames
    assert plan.frames.tolist() == list(range(10))
    plan = plan_frames(steady(30), Fraction(41, 100), "audio")  # an eleventh has begun
    assert plan.frames.tolist() == list(range(11))


def test_video_length_keeps_every_frame():
    for sound_s in (Fraction(1, 1000), Fraction(500)):
        assert len(plan_frames(steady(30), sound_s, "video")) == 30


def test_a_longer_recording_plays_the_footage_backwards():
    index = steady(5)
    plan = plan_frames(index, Fraction(13, 25), "audio")
    assert plan.frames.tolist() == [0, 1, 2, 3, 4, 3, 2, 1, 0, 1, 2, 3, 4]
    assert plan.pts.tolist() == (512 * np.arange(13)).tolist()


def test_ntsc_does_not_drift():
    rate = Fraction(30000, 1001)
    index = FrameIndex(np.arange(100) * 1001, Fraction(1, 30000), rate)
    plan = plan_frames(index, 1000 / rate, "audio")
    assert len(plan) == 1000
    assert plan.pts.tolist() == (1001 * np.arange(1000)).tolist()


def test_a_coarse_clock_stays_within_half_a_tick():
    """Matroska counts milliseconds: 30 frames a second do not fall on them."""
    rate = Fraction(30)
    pts = np.array([round(Fraction(1000 * t, 30)) for t in range(20)])
    plan = plan_frames(FrameIndex(pts, Fraction(1, 1000), rate), Fraction(10), "audio")
    assert len(plan) == 300
    assert (np.diff(plan.pts) > 0).all()
    assert np.abs(plan.seconds() - np.arange(300) / 30).max() <= 1.5e-3


def test_variable_times_are_kept_and_each_frame_lasts_as_long_again():
    plan = plan_frames(VARIABLE, Fraction(1), "audio")
    assert plan.pts[:6].tolist() == VARIABLE.pts.tolist()
    assert plan.frames[:9].tolist() == [0, 1, 2, 3, 4, 5, 4, 3, 2]
    filmed = [*np.diff(VARIABLE.pts).tolist(), 40]  # the last one lasts as long as they do mostly
    lasting = np.diff(plan.pts)
    assert lasting.tolist() == [filmed[frame] for frame in plan.frames[:-1]]
    assert plan.pts[-1] < 1000 <= plan.pts[-1] + filmed[plan.frames[-1]]


@pytest.mark.parametrize("rate", [Fraction(24000, 1001), Fraction(30000, 1001)])
@pytest.mark.parametrize("offset", range(0, 40, 3))
def test_footage_that_goes_on_is_as_steady_as_it_was(rate: Fraction, offset: int) -> None:
    """Matroska counts milliseconds; wherever its rounding begins, the loop stays within it."""
    tick = 1000 / rate
    rounded = np.array([round(number * tick + Fraction(offset, 40)) for number in range(50)])
    index = FrameIndex(rounded - rounded[0], Fraction(1, 1000), rate)
    plan = plan_frames(index, Fraction(7), "audio")
    away = plan.pts - np.arange(len(plan)) * float(tick)
    assert len(plan) > 3 * len(index)
    assert np.ptp(away) < 1.01


def test_a_variable_rate_does_not_drift_over_hours():
    """The last frame's mean length is no whole number of ticks."""
    index = FrameIndex(np.array([0, 3, 5, 13]), Fraction(1, 100), Fraction(300, 13))
    plan = plan_frames(index, Fraction(7200), "audio")
    shown_last = np.flatnonzero(plan.frames == 3)
    period = Fraction(13, 3) + 8 + 2 + 3 + 2 + 8
    exact = [13 + number * period for number in range(len(shown_last))]
    begins = plan.pts[shown_last].tolist()
    assert max(abs(a - b) for a, b in zip(begins, exact, strict=True)) <= Fraction(1, 2)
    assert (np.diff(plan.pts) > 0).all()


def test_variable_footage_is_cut_by_time():
    plan = plan_frames(VARIABLE, Fraction(141, 1000), "audio")
    assert plan.frames.tolist() == [0, 1, 2, 3]
    assert plan_frames(VARIABLE, Fraction(140, 1000), "audio").frames.tolist() == [0, 1, 2]


def test_a_clip_of_one_frame_is_held():
    plan = plan_frames(steady(1), Fraction(1), "audio")
    assert plan.frames.tolist() == [0] * 25
    assert (np.diff(plan.pts) == 512).all()
    assert len(plan_frames(steady(1), Fraction(1, 1000), "audio")) == 1


@pytest.mark.parametrize("sound_s", [Fraction(0), Fraction(-1)])
def test_an_empty_recording_is_refused(sound_s):
    with pytest.raises(MediaError, match="empty"):
        plan_frames(steady(5), sound_s, "audio")


@st.composite
def indices(draw: st.DrawFn) -> FrameIndex:
    """Any clip whose frames last at least a tick on average."""
    steps = draw(st.lists(st.integers(1, 90), min_size=0, max_size=40))
    pts = np.concatenate([[0], np.cumsum(steps)]).astype(np.int64)
    time_base = draw(st.sampled_from([Fraction(1, 1000), Fraction(1, 90000), Fraction(1, 25)]))
    mean = Fraction(int(pts[-1]), len(steps)) if steps else Fraction(draw(st.integers(1, 50)))
    return FrameIndex(pts, time_base, 1 / (mean * time_base))


@settings(deadline=None)
@given(indices(), st.fractions(Fraction(1, 100), 6, max_denominator=1000))
def test_any_plan(index: FrameIndex, lasting: Fraction):
    sound_s = lasting * index.exact_duration
    plan = plan_frames(index, sound_s, "audio")
    assert plan.pts[0] == plan.frames[0] == 0
    assert (np.diff(plan.pts) > 0).all()
    assert plan.frames.max() < len(index)
    assert (np.abs(np.diff(plan.frames)) <= 1).all()
    if len(index) > 1:
        assert (np.diff(plan.frames) != 0).all()
    own = min(len(plan), len(index))
    assert plan.pts[:own].tolist() == index.pts[:own].tolist()
    frame_s = 1 / index.rate
    ends = int(plan.pts[-1]) * plan.time_base
    slack = NEARLY_FRAMES * frame_s + plan.time_base
    if len(plan) >= len(index):
        assert ends + frame_s >= sound_s - slack
    else:  # the frame that is not shown any more begins when the sound is over
        assert int(index.pts[len(plan)]) * index.time_base >= sound_s
    assert len(plan) == len(index) or ends < sound_s + plan.time_base


@given(st.integers(1, 30), st.integers(0, 200))
def test_to_and_fro_turns_only_at_the_ends(length: int, count: int):
    frames = forth_and_back(length, count)
    assert len(frames) == count
    if length > 1 and count > 2:
        turns = np.flatnonzero(np.diff(np.sign(np.diff(frames)))) + 1
        assert set(frames[turns].tolist()) <= {0, length - 1}
        visits = np.bincount(frames, minlength=length)
        assert count < length or visits.min() > 0


def test_a_plan_checks_its_shapes():
    with pytest.raises(ShapeError, match="pts"):
        FramePlan(np.arange(3), np.arange(4), Fraction(1, 25))


def test_footage_that_is_not_to_be_re_timed_must_be_long_enough():
    index = steady(50)
    with pytest.raises(ConfigError, match=r"lasts 2\.60 s, the footage 2\.00 s") as refused:
        plan_frames(index, Fraction(26, 10), "audio", "off")
    assert "--retime loop" in refused.value.remedy
    assert "--length video" in refused.value.remedy
    assert len(plan_frames(index, Fraction(26, 10), "video", "off")) == 50
    for sound_s in (Fraction(1), Fraction(2), Fraction(2) + NEARLY_FRAMES / index.rate):
        same = plan_frames(index, sound_s, "audio", "off").frames
        assert same.tolist() == plan_frames(index, sound_s, "audio").frames.tolist()


def test_re_timed_footage_is_shown_at_even_times():
    steps = np.diff(plan_clock(VARIABLE, Fraction(1), "audio").pts)
    assert set(steps.tolist()) == {40}
    index = steady(30, Fraction(30000, 1001))
    even, own = (plan(index, Fraction(3), "audio") for plan in (plan_clock, plan_frames))
    assert even.pts.tolist() == own.pts.tolist()


def some_track(frames: int) -> TrackCoefficients:
    grow = torch.arange(frames, dtype=torch.float32)
    return TrackCoefficients(
        grow[:, None] * torch.tensor([1.0, -2.0]),
        grow[:, None].repeat(1, 3),
        grow[:, None].repeat(1, 3) ** 2,
        grow[:, None, None].repeat(1, 3, 9),
        torch.tensor([1.0, 0.1, 0.9, 0.8, 0.0])[:frames],
    )


def test_what_lies_between_two_frames_is_read_between_their_rows():
    plan = FramePlan(
        np.array([0, 1, 2, 3]),
        np.arange(4),
        Fraction(1, 25),
        np.array([1, 2, 3, 4]),
        np.array([0, 0.25, 0.5, 0], np.float32),
    )
    shown = retime_track(some_track(5), plan)
    assert shown.expression[:, 0].tolist() == [0, 1.25, 2.5, 3]
    assert shown.rotation[:, 1].tolist() == [0, 1.25, 2.5, 3]
    assert shown.translation[:, 2].tolist() == [0, 1.75, 6.5, 9]
    assert shown.lighting[:, 2, 8].tolist() == [0, 1.25, 2.5, 3]
    assert shown.is_trusted.tolist() == [True, False, True, True]
    transforms = np.arange(30, dtype=np.float32).reshape(5, 2, 3)
    between = retime_transforms(transforms, plan)
    assert between.dtype == np.float32
    assert between[:, 1, 2].tolist() == [5, 12.5, 20, 23]
    assert plan.is_filmed.tolist() == [True, False, False, True]


def test_a_plain_plan_takes_rows_as_they_are():
    plan = FramePlan(np.array([3, 1, 1]), np.arange(3), Fraction(1, 25))
    track, transforms = some_track(5), np.random.default_rng(0).random((5, 2, 3))
    assert torch.equal(retime_track(track, plan).rotation, track.rotation[[3, 1, 1]])
    assert np.array_equal(retime_transforms(transforms, plan), transforms[[3, 1, 1]])
    assert plan.is_filmed.all()


def test_a_part_of_a_plan_begins_at_nought():
    share = np.array([0, 0.5, 0, 0], np.float32)
    plan = FramePlan(np.arange(4), 10 * np.arange(4), Fraction(1, 250), np.arange(1, 5), share)
    part = plan.part(1, 3)
    assert part.frames.tolist() == [1, 2]
    assert part.pts.tolist() == [0, 10]
    assert part.share is not None
    assert part.share.tolist() == [0.5, 0]
    assert FramePlan(np.arange(4), np.arange(4), Fraction(1)).part(0, 2).share is None


@pytest.mark.parametrize(
    ("towards", "share"),
    [
        (np.arange(3), None),
        (None, np.zeros(3)),
        (np.arange(2), np.zeros(3)),
        (np.arange(3), np.zeros(2)),
        (np.arange(3), np.array([0, 1, 0.0])),
        (np.arange(3), np.array([0, -0.1, 0.0])),
        (np.arange(3), np.array([0, np.nan, 0.0])),
    ],
)
def test_half_a_moment_is_refused(towards, share):
    with pytest.raises(ShapeError):
        FramePlan(np.arange(3), np.arange(3), Fraction(1, 25), towards, share)


@pytest.mark.parametrize(
    ("name", "value"),
    [("still", -1.0), ("turn", float("nan")), ("run_s", 3.0), ("candidates", 61), ("bridge", 26)],
)
def test_settings_out_of_range_are_named(name, value):
    with pytest.raises(ConfigError, match=f"drive.retiming.{name} is"):
        RetimingConfig(**{name: value})
