"""Filmed blinks go, others come where the recording pauses; all else keeps its own eyes."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from eye_toys import RATE, blinking, eye_task, eye_track
from face_toys import toy_track
from hypothesis import given, settings
from hypothesis import strategies as st

from metatalk.compose.eyes.blink_plan import EyeFootage, _near, look_at_eyes, plan_eyes
from metatalk.compose.eyes.blink_times import blink_rate
from metatalk.compose.eyes.config import EyesConfig
from metatalk.compose.eyes.plan import (
    NOTHING,
    EyePlan,
    judge_plan,
    keep_eyes,
    leave_out,
    settle_passing,
)
from metatalk.errors import ConfigError, ShapeError

REMOVE, REPLACE = EyesConfig("remove"), EyesConfig("replace")


def filmed(
    count: int,
    blinks: list[int],
    shots: list[tuple[int, int]] | None = None,
    turned: float = 0.0,
) -> EyeFootage:
    """Footage that blinks from the given frames on, its gaze and head still."""
    track = replace(
        toy_track(count),
        rotation=torch.linspace(0, turned, count)[:, None].expand(-1, 3).clone(),
        translation=torch.tensor([0.0, 0.0, 700.0]).expand(count, -1).clone(),
    )
    return look_at_eyes(eye_track(blinking(count, blinks), shots=shots), track, RATE)


def test_keep_touches_nothing():
    plan = plan_eyes(eye_task(np.arange(100)), filmed(100, [30]), EyesConfig())
    assert (plan.first == -1).all()
    assert (plan.second == -1).all()
    assert not plan.events
    assert plan.donors() == []
    assert EyesConfig().blinks == "keep"


def test_a_removed_blink_shows_the_open_eyes_beside_it():
    plan = plan_eyes(eye_task(np.arange(100)), filmed(100, [30, 70]), REMOVE)
    touched = np.flatnonzero(plan.first >= 0)
    assert touched.tolist() == [*range(30, 35), *range(70, 75)]
    assert set(plan.first[30:35]) == {29}
    assert set(plan.second[30:35]) == {35}
    assert (np.diff(plan.share[30:35]) > 0).all()  # gaze that keeps still drifts
    assert [event.kind for event in plan.events] == ["removed"] * 2
    assert plan.donors() == [29, 35, 69, 75]


def test_gaze_that_moved_in_a_blink_jumps():
    footage = filmed(100, [30])
    moved = footage.gaze.copy()
    moved[33:] += 0.2
    plan = plan_eyes(eye_task(np.arange(100)), replace(footage, gaze=moved), REMOVE)
    assert plan.share[30:35].tolist() == [0, 0, 0, 1, 1]


def test_blinks_are_removed_in_the_order_of_the_result():
    walk = np.concatenate([np.arange(40, 20, -1), np.arange(21, 33), np.full(9, 32)])
    plan = plan_eyes(eye_task(walk), filmed(60, [30]), REMOVE)
    assert [(event.first, event.end, event.kind) for event in plan.events] == [
        (6, 11, "removed"),
        (29, 41, "removed"),
    ]
    assert set(plan.first[6:11]) == {35}
    assert set(plan.second[6:11]) == {29}
    assert set(plan.first[29:41]) == {29}
    assert set(plan.second[29:41]) == {-1}


def test_eyes_do_not_cross_a_cut_nor_come_from_shut_ones():
    footage = filmed(100, [50], shots=[(0, 50), (50, 100)])
    plan = plan_eyes(eye_task(np.arange(100)), footage, REMOVE)
    assert set(plan.first[50:55]) == {55}
    assert set(plan.second[50:55]) == {-1}
    shut = replace(footage, usable=np.arange(100) < 40)
    left = plan_eyes(eye_task(np.arange(100)), shut, REMOVE)
    assert (left.first == -1).all()
    assert left.count("left") == 1


def test_a_picture_between_two_frames_blinks_where_either_does():
    frames, towards = np.full(5, 10), np.array([11, 11, 30, 30, 11])
    share = np.array([0, 0.5, 0, 0.5, 0], np.float32)
    plan = plan_eyes(eye_task(frames, None, None, towards, share), filmed(60, [30]), REMOVE)
    assert np.flatnonzero(plan.first >= 0).tolist() == [3]


def test_frames_that_must_stay_stay():
    may = np.arange(100) < 60
    plan = plan_eyes(eye_task(np.arange(100), None, may), filmed(100, [30, 70]), REMOVE)
    assert [event.kind for event in plan.events] == ["removed", "kept"]
    task = eye_task(np.arange(250), None, np.arange(250) < 150)
    placed = plan_eyes(task, filmed(250, [220]), EyesConfig("replace", 30))
    assert placed.count("placed")
    assert (placed.first[150:] == -1).all()


def test_blinks_come_at_the_ends_of_phrases():
    speaking = np.ones(500, bool)
    pauses = [(100, 112), (200, 212), (300, 312), (400, 412)]
    for first, end in pauses:
        speaking[first:end] = False
    walk = np.r_[np.arange(250), np.arange(250)[::-1]]
    plan = plan_eyes(eye_task(walk, speaking), filmed(250, [120, 170]), EyesConfig("replace", 15))
    placed = [event.first for event in plan.events if event.kind == "placed"]
    between = [at for at in placed if 75 < at < 425]  # a pause is never far
    assert len(between) >= 3
    assert all(any(first <= at < end for first, end in pauses) for at in between)
    assert sum(at in (101, 201, 301, 401) for at in between) >= 2  # as soon as the phrase ends
    assert plan.count("removed") == 4
    assert plan.count("kept") == 0


def test_a_filmed_blink_in_a_pause_is_the_best_of_all():
    speaking = np.ones(200, bool)
    speaking[60:80] = False
    forwards = plan_eyes(eye_task(np.arange(200), speaking), filmed(200, [64, 150]), REPLACE)
    assert [(e.first, e.kind) for e in forwards.events if e.kind == "kept"] == [(64, "kept")]
    assert (forwards.first[60:80] == -1).all()
    backwards = plan_eyes(eye_task(np.arange(200)[::-1], speaking), filmed(200, [132]), REPLACE)
    assert backwards.count("kept") == 0
    assert backwards.count("removed") == 1


@pytest.mark.parametrize("pause", [0, 6, 7, 8])
def test_a_pause_is_near_in_a_result_shorter_than_the_reach_too(pause: int):
    """Seven frames, and a pause may be six away."""
    speaking = np.arange(7) != pause
    plan = plan_eyes(eye_task(np.arange(29, 36), speaking), filmed(60, [30]), REPLACE)
    (event,) = plan.events
    assert (event.first, event.kind) == (1, "kept" if pause < 7 else "removed")


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 59), st.integers(1, 12), st.sampled_from([REMOVE, REPLACE]))
def test_a_result_of_hardly_any_frames_has_a_plan(first: int, count: int, config: EyesConfig):
    frames = np.minimum(np.arange(first, first + count), 59)
    plan = plan_eyes(eye_task(frames), filmed(60, [0, 27, 55]), config)
    assert len(plan.first) == count
    assert all(0 <= event.first < event.end <= count for event in plan.events)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(0, 1 << 30), st.sampled_from([REMOVE, REPLACE]))
def test_faces_that_come_and_go_and_shots_of_a_frame_have_a_plan(
    count: int, seed: int, config: EyesConfig
):
    chance = np.random.default_rng(seed)
    edges = [0, *np.flatnonzero(chance.random(count - 1) < 0.2) + 1, count]
    seen, opening = chance.random(count) < chance.choice([0.0, 0.7, 1.0]), np.full(count, 0.3)
    opening[chance.random(count) < 0.2] = 0.02
    marks = eye_track(opening, shots=list(itertools.pairwise(edges)), has_face=seen)
    track = replace(toy_track(count), confidence=torch.from_numpy(seen.astype(np.float32)))
    footage = look_at_eyes(marks, track, RATE)
    frames, may = chance.integers(0, count, 25), chance.random(25) < 0.8
    plan = plan_eyes(eye_task(frames, None, may), footage, config, seed)
    assert (plan.first[~may] == -1).all()
    assert footage.usable[plan.donors()].all()  # nobody's eyes come from a face that is not there


@settings(max_examples=30, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=40), st.integers(0, 20))
def test_what_is_near_a_mask_is_known_by_its_distance(mask: list[bool], reach: int):
    held = np.flatnonzero(mask)
    wanted = [bool(len(held)) and np.abs(held - row).min() <= reach for row in range(len(mask))]
    assert _near(np.array(mask), reach).tolist() == wanted


def test_a_blink_that_stays_leaves_no_trace_in_the_plan():
    """Eyes from beside it suit the first of its frames, and none the other, of another shot."""
    footage = filmed(100, [30, 70], shots=[(0, 50), (50, 100)])
    plan = plan_eyes(eye_task(np.array([28, 29, 30, 70, 35, 36])), footage, REMOVE)
    assert [(event.first, event.end, event.kind) for event in plan.events] == [(2, 4, "left")]
    kept = keep_eyes(6)
    for name in ("first", "second", "share"):
        np.testing.assert_array_equal(getattr(plan, name), getattr(kept, name))


def test_a_blink_put_in_is_a_filmed_one_from_first_to_last():
    plan = plan_eyes(eye_task(np.arange(250)), filmed(250, [120]), EyesConfig("replace", 20))
    placed = [event for event in plan.events if event.kind == "placed"]
    assert placed
    for event in placed:
        assert plan.first[event.first : event.end].tolist() == list(range(120, 125))
    likely = filmed(250, [60, 190], turned=1.0)
    early = plan_eyes(eye_task(np.arange(50)), likely, EyesConfig("replace", 20))
    assert early.donors()
    assert max(early.donors()) < 70


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 99), st.floats(5, 40), st.floats(0.5, 3), st.integers(0, 1 << 30))
def test_blinks_are_never_too_near(seed: int, per_minute: float, gap: float, pattern: int):
    speaking = np.random.default_rng(pattern).random(30).repeat(25)[:700] > 0.4
    config = EyesConfig("replace", per_minute, gap)
    walk = np.r_[np.arange(300), np.arange(300)[::-1], np.arange(100)]
    footage = filmed(300, [50, 140, 260])
    plan = plan_eyes(eye_task(walk, speaking), footage, config, seed)
    again = plan_eyes(eye_task(walk, speaking), footage, config, seed)
    assert (plan.first == again.first).all()
    assert plan.events == again.events
    seen = [event for event in plan.events if event.kind != "removed"]
    assert all(first.end <= second.first for first, second in itertools.pairwise(seen))
    for before, after in itertools.pairwise(seen):
        if "placed" in (before.kind, after.kind):
            assert (after.first - before.end) / RATE > gap - 1e-6 - 1 / RATE
    assert (plan.first < 0).sum() == 700 - sum(
        event.end - event.first for event in plan.events if event.kind in ("removed", "placed")
    )


def test_the_rate_is_kept_over_a_long_recording():
    count = 25 * 240
    speaking = np.arange(count) % 75 < 60  # a pause every three seconds
    for per_minute in (8.0, 16.0):
        walk = np.abs((np.arange(count) + 250) % 500 - 250)
        config = EyesConfig("replace", per_minute)
        plan = plan_eyes(eye_task(walk, speaking), filmed(260, [100]), config)
        shown = plan.count("placed") + plan.count("kept")
        assert shown == pytest.approx(4 * per_minute, rel=0.3)
    assert blink_rate(10, 60.0, REPLACE) == 10
    assert blink_rate(1, 3.0, REPLACE) == 17
    assert blink_rate(99, 60.0, REPLACE) == 30
    assert blink_rate(10, 60.0, EyesConfig("replace", 40)) == 40


def test_what_does_not_fit_is_planned_anew_and_left_out_at_last():
    walk, footage = np.arange(250), filmed(250, [60, 190])
    config = EyesConfig("replace", 20)
    speaking = np.ones(250, bool)
    plan = plan_eyes(eye_task(walk, speaking), footage, config)
    first = next(event for event in plan.events if event.kind == "placed")
    donor = int(plan.first[first.first])
    misfit = lambda row, frame: 2.0 if row == first.first and frame == donor else 0.1  # noqa: E731
    refused = judge_plan(plan, misfit, 0.7)
    assert refused.placed == {(first.first, donor)}
    assert not refused.removed
    again = plan_eyes(eye_task(walk, speaking), footage, config, refused=refused)
    assert not any(e.first == first.first and again.first[e.first] == donor for e in again.events)
    without = leave_out(plan, refused)
    assert without.count("placed") == plan.count("placed") - 1
    assert (without.first[first.first : first.end] == -1).all()
    no_removal = judge_plan(plan, lambda row, frame: float(row == 60), 0.7)
    assert no_removal.removed == {60}
    assert leave_out(plan, no_removal).count("left") == 1
    assert (
        plan_eyes(eye_task(walk, speaking), footage, config, refused=no_removal).first[60:65] == -1
    ).all()
    assert judge_plan(plan, lambda row, frame: 0.0, 0.7) == NOTHING


def test_the_eyes_after_a_blink_take_over_where_they_fit():
    plan = plan_eyes(eye_task(np.arange(100)), filmed(100, [30]), REMOVE)
    turns = lambda row, frame: 0.1 if (frame == 29) == (row < 31) else 0.9  # noqa: E731
    assert settle_passing(plan, turns).share[30:35].tolist() == [0, 1, 1, 1, 1]
    still = settle_passing(plan, lambda row, frame: 0.1)
    np.testing.assert_array_equal(still.share, plan.share)


def test_wrong_arguments_are_told():
    with pytest.raises(ShapeError, match="speaking"):
        eye_task(np.arange(9), np.ones(8, bool))
    with pytest.raises(ShapeError, match="may_change"):
        eye_task(np.arange(9), None, np.ones(10, bool))
    with pytest.raises(ShapeError, match="share"):
        EyePlan(**{**vars(keep_eyes(3)), "share": np.zeros(2)})
    for name, value in (
        ("blinks", "never"),
        ("per_minute", 61.0),
        ("least_gap_s", 0.0),
        ("rim_limit", 0.0),
    ):
        with pytest.raises(ConfigError, match=f"drive.eyes.{name}"):
            EyesConfig(**{name: value})
