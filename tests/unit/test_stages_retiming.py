"""The plan that the settings ask for, from a clip taken apart and whatever is heard."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from eye_toys import eye_track
from face_toys import CAMERA, toy_model, toy_track
from hypothesis import given, settings
from hypothesis import strategies as st
from media_clips import make_sound, speech_like

from metatalk.a2e.activity_config import ActivityConfig
from metatalk.compose.config import DriveConfig
from metatalk.compose.retiming.config import RetimingConfig
from metatalk.compose.retiming.plan import FramePlan, plan_clock, plan_frames
from metatalk.errors import ConfigError
from metatalk.media.colour import ColourTags
from metatalk.media.picture import Picture
from metatalk.morphable.coefficients import TrackCoefficients
from metatalk.stages import retiming
from metatalk.stages.footage import Footage
from metatalk.stages.retiming import (
    Hearing,
    begin_plan,
    choose_plan,
    plot_plan,
)
from metatalk.timing import FrameIndex

MODEL = toy_model()
FRAMES, RATE = 60, Fraction(25)
SHOTS = [[0, 24], [24, 60]]
NOWHERE = Path("no such file")


def swaying(count: int = FRAMES) -> TrackCoefficients:
    """A head that sways slowly before the camera and makes no face."""
    track = toy_track(count)
    rotation = torch.zeros(count, 3)
    rotation[:, 1] = 0.1 * torch.sin(torch.arange(count) / 9)
    return TrackCoefficients(
        torch.zeros_like(track.expression),
        rotation,
        torch.tensor([0.0, 0.0, 700.0]).expand(count, 3).clone(),
        track.lighting,
        track.confidence,
    )


def footage_of(shots: list[list[int]] | None = None, track: TrackCoefficients | None = None) -> Any:
    landmarks = eye_track(np.full(FRAMES, 0.3), shots=[tuple(shot) for shot in shots or SHOTS])  # type: ignore[misc]
    index = FrameIndex(np.arange(FRAMES), 1 / RATE, RATE)
    return Footage(Path("clip.mp4"), index, landmarks, track or swaying(), CAMERA, Path())


def settings_of(retime: str, **more: Any) -> DriveConfig:
    weights = {"retiming": RetimingConfig(run_s=0.2), **more}
    return DriveConfig(retime=retime, **weights)  # type: ignore[arg-type]


def planned(
    footage: Footage,
    heard_s: Fraction,
    config: DriveConfig,
    opened: np.ndarray | None = None,
    avoid: np.ndarray | None = None,
) -> FramePlan:
    """The plan for a silent recording, and a mouth that opens as it is told."""
    clock = begin_plan(footage.index, heard_s, config)
    moved = np.zeros((len(clock), 4), np.float32)
    if opened is not None:
        moved[:, 0] = opened
    return choose_plan(clock, footage, moved, Hearing(), config, MODEL, avoid)


@pytest.mark.parametrize("retime", ["off", "loop"])
@pytest.mark.parametrize("length", ["audio", "video"])
def test_the_footage_in_its_order_needs_nothing_heard(retime: str, length: str) -> None:
    footage, config = footage_of(), settings_of(retime, length=length)
    clock = begin_plan(footage.index, Fraction(1), config)
    plan = choose_plan(clock, footage, np.zeros((0, 4)), Hearing(NOWHERE), config, MODEL)
    wanted = plan_frames(footage.index, Fraction(1), length)  # type: ignore[arg-type]
    np.testing.assert_array_equal(plan.frames, wanted.frames)
    np.testing.assert_array_equal(plan.pts, wanted.pts)
    assert plan.is_filmed.all()


def test_a_longer_recording_is_refused_or_goes_to_and_fro() -> None:
    index, heard_s = footage_of().index, Fraction(4)
    with pytest.raises(ConfigError, match="drive.retime is off"):
        begin_plan(index, heard_s, settings_of("off"))
    assert len(begin_plan(index, heard_s, settings_of("loop"))) == 100
    ended = begin_plan(index, heard_s, settings_of("off", length="video"))
    assert len(ended) == FRAMES


def test_to_and_fro_the_head_brakes_where_the_footage_turns() -> None:
    footage, config = footage_of(), settings_of("loop")
    plan = planned(footage, Fraction(6), config)
    assert np.flatnonzero(~plan.is_filmed).tolist() == [FRAMES - 1, 2 * (FRAMES - 1)]
    assert plan.towards is not None
    assert plan.towards[[FRAMES - 1, 2 * (FRAMES - 1)]].tolist() == [FRAMES - 2, 1]
    cut_at_the_end = footage_of([[0, FRAMES - 1], [FRAMES - 1, FRAMES]])
    plan = planned(cut_at_the_end, Fraction(4), config)
    assert plan.is_filmed.all()  # nothing lies between two shots


def shot_of(frames: np.ndarray, shots: list[list[int]]) -> np.ndarray:
    return np.searchsorted([first for first, _ in shots], frames, side="right")


@settings(max_examples=25, deadline=None)
@given(st.integers(8, 52), st.integers(4, 160))
def test_by_speech_the_footage_stays_in_a_shot_and_keeps_the_clock(cut: int, frames: int) -> None:
    shots = [[0, cut], [cut, FRAMES]]
    footage, heard_s = footage_of(shots), Fraction(frames, 25)
    plan = planned(footage, heard_s, settings_of("speech"))
    clock = plan_clock(footage.index, heard_s, "audio")
    np.testing.assert_array_equal(plan.pts, clock.pts)
    assert plan.time_base == clock.time_base
    assert 0 <= plan.frames.min() <= plan.frames.max() < FRAMES
    assert len(set(shot_of(plan.frames, shots))) == 1
    assert (np.abs(np.diff(plan.frames)) <= 1).all()
    if plan.towards is not None:
        assert len(set(shot_of(np.append(plan.frames, plan.towards), shots))) == 1


def test_frames_that_are_better_not_shown_are_shown_less() -> None:
    footage, heard_s = footage_of([[0, FRAMES]]), Fraction(2)
    avoid = np.zeros(FRAMES, bool)
    plain = planned(footage, heard_s, settings_of("speech"), avoid=avoid)
    shown = np.bincount(plain.frames, minlength=FRAMES)
    avoid[shown > 0] = True
    if avoid.all():
        avoid[FRAMES // 2 :] = False
    other = planned(footage, heard_s, settings_of("speech"), avoid=avoid)
    assert avoid[other.frames].mean() < avoid[plain.frames].mean()
    careless = settings_of("speech", retiming=RetimingConfig(run_s=0.2, untrusted=0.0))
    same = planned(footage, heard_s, careless, avoid=avoid)
    np.testing.assert_array_equal(same.frames, planned(footage, heard_s, careless).frames)


def blank(frames: int) -> list[Picture]:
    planes = np.full((64, 64), 100, np.uint8), *(np.full((32, 32), 128, np.uint8),) * 2
    return [Picture(n, n, planes, ColourTags()) for n in range(frames)]


def test_by_pose_the_filmed_mouth_is_the_wanted_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first half of the footage is filmed with a shut mouth, the second with an open one."""
    monkeypatch.setattr(retiming, "read_pictures", lambda clip: blank(FRAMES))
    filmed = torch.zeros(FRAMES, 4)
    filmed[FRAMES // 2 :, 0] = 1.0
    still = swaying()
    still = replace(still.with_expression(filmed), rotation=torch.zeros(FRAMES, 3))
    footage = footage_of([[0, FRAMES]], still)
    wanted = np.repeat([0.0, 1.0, 0.0], 24)
    config = settings_of("pose", retiming=RetimingConfig(run_s=0.2, mouth=4.0, bridge=0))
    plan = planned(footage, Fraction(72, 25), config, wanted)
    assert len(plan) == 72
    agree = filmed.numpy()[plan.frames, 0] == wanted
    assert agree.mean() > 0.85
    deaf = settings_of("pose", retiming=RetimingConfig(run_s=0.2, mouth=0.0, bridge=0))
    other = planned(footage, Fraction(72, 25), deaf, wanted)
    assert (filmed.numpy()[other.frames, 0] == wanted).mean() < agree.mean()


def test_by_pose_the_upper_face_counts_as_a_look(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[np.ndarray] = []
    find = retiming.find_looks
    monkeypatch.setattr(retiming, "read_pictures", lambda clip: blank(FRAMES))
    monkeypatch.setattr(
        retiming, "find_looks", lambda *words: seen.append(words[2]) or find(*words)
    )
    track = toy_track(FRAMES)
    still = settings_of("pose", length="video")
    planned(footage_of(track=track), Fraction(1), still)
    (upper,) = seen
    np.testing.assert_array_equal(upper, track.expression.numpy()[:, ~MODEL.lower_units.numpy()])


SECONDS = np.arange(75) / 25


LEVEL = ActivityConfig(detector="level")


def test_nobody_speaks_where_nothing_is_heard() -> None:
    assert not Hearing().speaking(SECONDS).any()


@pytest.fixture
def words(tmp_path: Path) -> Path:
    """Two seconds of sound, speech from 0.5 s to 1.5 s."""
    sound = np.zeros(32000, np.float32)
    sound[8000:24000] = speech_like(1.0, 16000)
    return make_sound(tmp_path / "words.wav", sound[None], 16000)


def test_speech_is_heard_where_it_is_and_not_after_the_end(words: Path) -> None:
    heard = Hearing(words, LEVEL).speaking(SECONDS)
    assert heard.dtype == bool
    assert heard[16:34].mean() > 0.7
    assert not heard[:9].any()
    assert not heard[42:].any()


def test_a_recording_is_listened_to_once_and_only_when_asked(
    words: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    read_sound = retiming.read_sound
    monkeypatch.setattr(retiming, "read_sound", lambda path: read.append(path) or read_sound(path))
    hearing = Hearing(words, LEVEL)
    assert not read
    first, later = hearing.speaking(SECONDS), hearing.speaking(SECONDS[10:])
    np.testing.assert_array_equal(first[10:], later)
    assert read == [words]


def test_the_way_is_drawn(tmp_path: Path) -> None:
    footage, config = footage_of(), settings_of("speech")
    plan = planned(footage, Fraction(4), config)
    plot_plan(tmp_path / "way.png", footage, plan, Hearing(), config)
    drawn = cv2.imread(str(tmp_path / "way.png"))
    assert drawn is not None
    assert drawn.std() > 5
    loop = settings_of("loop")
    other = planned(footage, Fraction(4), loop)
    plot_plan(tmp_path / "loop.png", footage, other, Hearing(), loop)
    assert not np.array_equal(drawn, cv2.imread(str(tmp_path / "loop.png")))


@pytest.mark.parametrize("span", [(0, 1), (30, 31), (70, 100)])
def test_a_piece_of_the_way_is_drawn_too(tmp_path: Path, span: tuple[int, int]) -> None:
    footage, config = footage_of(), settings_of("speech")
    plan = planned(footage, Fraction(4), config).part(*span)
    plot_plan(tmp_path / "way.png", footage, plan, Hearing(), config)
    assert cv2.imread(str(tmp_path / "way.png")) is not None
