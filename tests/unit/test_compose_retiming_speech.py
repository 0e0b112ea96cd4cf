"""A head that is still in the pauses of a recording and moves where it sets in."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metatalk.compose.retiming.by_speech import (
    PAUSE,
    SPEAKING,
    START,
    Source,
    eyes_stay_shut,
    hear_parts,
    plan_by_speech,
    speaking_at,
    step_costs,
    usual_speed,
)
from metatalk.compose.retiming.config import RetimingConfig
from metatalk.compose.retiming.head_motion import HeadMotion, shown_motion
from metatalk.compose.retiming.plan import FramePlan
from metatalk.compose.retiming.walk import no_jumps
from metatalk.errors import ShapeError

RATE = 25.0


def some_source(
    speed: np.ndarray, shots: list[list[int]] | None = None, blink: np.ndarray | None = None
) -> Source:
    """Footage whose head moves to and fro at the given speeds."""
    count = len(speed)
    places = np.cumsum(np.stack([speed / RATE, 0 * speed], 1), axis=0)
    motion = HeadMotion(places, speed, np.zeros(count) if blink is None else blink)
    return Source(motion, np.ones(count, bool), np.array(shots or [[0, count]]), RATE)


def clock(count: int) -> FramePlan:
    return FramePlan(np.zeros(count, np.int64), np.arange(count), Fraction(1, 25))


def spoken(count: int, *ranges: tuple[int, int]) -> np.ndarray:
    heard = np.zeros(count, bool)
    for first, end in ranges:
        heard[first:end] = True
    return heard


NODDING = np.where((np.arange(200) // 50) % 2 == 1, 1.5, 0.1)  # still, moving, still, moving


def test_the_head_is_still_in_pauses_and_moves_at_starts():
    source, heard = some_source(NODDING), spoken(200, (40, 90), (130, 190))
    plan = plan_by_speech(clock(200), heard, source, RetimingConfig())
    parts = hear_parts(heard, plan.seconds(), RetimingConfig())
    speed = NODDING[plan.frames]
    assert speed[parts == PAUSE].mean() < 0.2
    assert speed[parts == START].mean() > 1.2
    idle = plan_by_speech(clock(200), heard, source, RetimingConfig(still=0, start=0, blink=0))
    assert NODDING[idle.frames][parts == START].mean() < 1.2  # the bonus is what does it


def test_blinks_are_kept_out_of_pauses():
    blink = np.zeros(120)
    blink[30:38] = 1
    source, heard = some_source(np.full(120, 0.3), blink=blink), spoken(100, (50, 60))
    for weight, blinks in ((1.0, False), (0.0, True)):
        config = RetimingConfig(blink=weight, start=0, turn_each=2)
        plan = plan_by_speech(clock(100), heard, source, config, start=10)
        assert bool(blink[plan.frames][~heard].any()) == blinks


def test_eyes_that_stay_shut_are_avoided_and_blinks_in_speech_are_not():
    blink = np.zeros(120)
    blink[20:25] = blink[60:80] = 1
    source = some_source(np.full(120, 0.3), blink=blink)
    assert np.flatnonzero(eyes_stay_shut(source)).tolist() == list(range(60, 80))
    heard = np.ones(30, bool)
    for weight, shown in ((1.0, False), (0.0, True)):
        config = RetimingConfig(start=0, start_s=0, shut=weight)
        frames = plan_by_speech(clock(30), heard, source, config, start=55).frames
        assert bool((frames >= 60).any()) == shown
    frames = plan_by_speech(clock(30), heard, source, RetimingConfig(start=0), start=15).frames
    assert set(range(20, 25)) <= set(frames.tolist())


def test_a_turn_costs_the_square_of_the_fastest_head_around_it():
    speed = np.array([1.0, 1.0, 1.0, 4.0, 1.0, 1.0, 1.0, 2.0])
    config = RetimingConfig(turn=2, turn_each=5)
    turn = step_costs(some_source(speed), config, no_jumps(8)).turn
    usual = speed.mean()
    wanted = np.array([1, 1, 4, 4, 4, 1, 2, 2]) / usual
    assert turn == pytest.approx(5 + 2 * wanted**2)


def test_a_fast_head_before_a_cut_costs_nothing_after_it():
    speed = np.array([1.0, 1.0, 1.0, 4.0, 1.0, 1.0, 1.0, 1.0])
    config, shots = RetimingConfig(turn=2, turn_each=5), [[0, 4], [4, 5], [5, 8]]
    turn = step_costs(some_source(speed, shots), config, no_jumps(8)).turn
    wanted = np.array([1, 1, 4, 4, 1, 1, 1, 1]) / speed.mean()
    assert turn == pytest.approx(5 + 2 * wanted**2)


def test_the_footage_turns_where_the_head_is_slow():
    """A head that swings to and fro: its ends are where it would turn itself."""
    speed = np.abs(np.sin(np.arange(240) / 12)) + 0.02
    heard = spoken(400, *[(first, first + 30) for first in range(10, 390, 45)])
    plan = plan_by_speech(clock(400), heard, some_source(speed), RetimingConfig(), start=60)
    turns = plan.turns()
    assert len(turns) > 2
    assert speed[plan.frames[turns]].max() < speed.mean()


def test_the_walk_stays_in_the_best_shot_and_away_from_what_is_to_be_avoided():
    speed = np.full(150, 0.5)
    source = some_source(speed, [[0, 60], [60, 80], [80, 150]])
    heard = spoken(200, (20, 180))
    frames = plan_by_speech(clock(200), heard, source, RetimingConfig(), start=65).frames
    assert set(frames.tolist()) <= set(range(60, 80))
    avoid = np.zeros(150)
    avoid[:60] = 0.1
    free = plan_by_speech(clock(200), heard, source, RetimingConfig(), avoid).frames
    assert free.min() >= 80  # the middle shot is short
    avoid[100:] = 1.0
    kept = plan_by_speech(clock(200), heard, source, RetimingConfig(), avoid).frames
    assert set(kept.tolist()) <= set(range(80, 100)) | set(range(60))


def test_frames_without_a_trusted_face_are_avoided():
    source = some_source(np.full(100, 0.5))
    trusted = np.ones(100, bool)
    trusted[40:] = False
    hidden = Source(source.motion, trusted, source.shots, RATE)
    frames = plan_by_speech(clock(150), spoken(150, (10, 140)), hidden, RetimingConfig()).frames
    assert frames.max() < 40
    assert (usual_speed(hidden)[40:] == 1).all()


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**31), st.integers(1, 60), st.integers(1, 150))
def test_any_walk_keeps_the_rules(seed, length, count):
    rng = np.random.default_rng(seed)
    source = some_source(rng.random(length + 5), [[0, length], [length, length + 5]])
    heard = np.repeat(rng.random(count // 10 + 1) < 0.5, 10)[:count]
    plan = plan_by_speech(clock(count), heard, source, RetimingConfig(run_s=0.2))
    steps = np.diff(plan.frames)
    assert (np.abs(steps) <= 1).all()
    assert len(set(plan.frames >= length)) == 1
    if len(plan) > 2:
        assert not ((steps[1:] == 0) & (steps[:-1] == 0)).any()
    assert plan.share is not None
    assert plan.towards is not None
    assert (np.abs(plan.towards - plan.frames) <= 1).all()
    assert ((plan.towards != plan.frames) == (plan.share > 0)).all()


def test_a_still_is_held():
    plan = plan_by_speech(clock(9), spoken(9, (2, 5)), some_source(np.zeros(1)), RetimingConfig())
    assert plan.frames.tolist() == [0] * 9
    assert plan.is_filmed.all()


def test_short_pauses_belong_to_speech_and_the_ends_stay_silent():
    seconds = np.arange(100) / 25
    heard = spoken(100, (5, 20), (32, 40), (53, 90), (92, 95))
    parts = hear_parts(heard, seconds, RetimingConfig())
    assert set(parts[20:32].tolist()) == {SPEAKING}  # 0.48 s
    assert set(parts[40:53].tolist()) == {PAUSE}  # 0.52 s
    assert set(parts[:5].tolist()) == set(parts[95:].tolist()) == {PAUSE}
    assert np.flatnonzero(parts == START).tolist() == [*range(5, 15), *range(53, 63)]


def test_speech_is_read_at_the_frames_own_times():
    probability = np.repeat([0.1, 0.9], 80)  # a second of each
    seconds = np.array([0.0, 0.98, 1.0, 1.5, 1.98, 2.5])
    heard = speaking_at(probability, seconds, 0.4)
    assert heard.tolist() == [False, False, True, True, True, False]


def test_what_is_shown_moves_as_it_is_shown():
    source = some_source(np.full(20, 0.5))
    forward = FramePlan(np.arange(20), np.arange(20), Fraction(1, 25))
    assert shown_motion(source.motion, forward, RATE).speed == pytest.approx(0.5)
    frames = np.array([3, 4, 4, 5])
    share = np.array([0, 0, 0.5, 0], np.float32)
    slow = FramePlan(frames, np.arange(4), Fraction(1, 25), np.array([3, 4, 5, 5]), share)
    assert shown_motion(source.motion, slow, RATE).speed == pytest.approx([0.5, 0.375, 0.25, 0.25])


def test_shapes_are_checked():
    source = some_source(np.ones(5))
    with pytest.raises(ShapeError, match="speaking"):
        plan_by_speech(clock(4), np.zeros(3, bool), source, RetimingConfig())
    with pytest.raises(ShapeError, match="avoid"):
        plan_by_speech(clock(4), np.zeros(4, bool), source, RetimingConfig(), np.zeros(4))
