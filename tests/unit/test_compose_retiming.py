"""Which footage frame is shown when."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metatalk.compose.retiming import NEARLY_FRAMES, FramePlan, forth_and_back, plan_frames
from metatalk.errors import MediaError, ShapeError
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


def test_variable_times_are_kept_and_then_go_on_evenly():
    plan = plan_frames(VARIABLE, Fraction(1), "audio")
    assert plan.pts[:6].tolist() == VARIABLE.pts.tolist()
    assert plan.pts[6:].tolist() == list(range(240, 1000, 40))
    assert plan.frames[:9].tolist() == [0, 1, 2, 3, 4, 5, 4, 3, 2]


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
