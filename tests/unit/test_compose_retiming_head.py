"""How a filmed head moves, when its eyes are shut, and the sheet that shows what became of it."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from face_toys import CAMERA, toy_track

from metatalk.compose.retiming.head_motion import (
    FACE_MM,
    head_places,
    measure_lids,
    place_speed,
    watch_head,
)
from metatalk.compose.retiming.plan import FramePlan
from metatalk.errors import ShapeError
from metatalk.evaluate.retiming_plot import RetimingTrace, draw_retiming
from metatalk.landmarks.config import LandmarksConfig
from metatalk.landmarks.points import point_groups
from metatalk.landmarks.track import LandmarkTrack, track_landmarks
from metatalk.media.video import read_pictures


def still_landmarks(frames: int, layout: str, opening: np.ndarray) -> LandmarkTrack:
    """Two eyes of width 1 whose lids are `opening` apart; all else at the origin."""
    groups = point_groups(layout)
    points = np.zeros((frames, groups.count, 3), np.float32)
    for ring in (groups.right_eye, groups.left_eye):
        half = len(ring) // 2
        for place in range(len(ring)):
            along = place / half if place <= half else 2 - place / half
            points[:, ring[place], 0] = along
            if place not in (0, half):
                points[:, ring[place], 1] = np.where(place < half, 0.0, opening)
    ones = np.ones(frames, np.float32)
    shots = np.array([[0, frames]])
    return LandmarkTrack(points, ones, ones.astype(np.uint8), shots, layout)


@pytest.mark.parametrize("layout", ["mediapipe478", "ibug68"])
def test_a_blink_is_told_by_the_usual_opening(layout):
    opening = np.array([0.3, 0.3, 0.32, 0.1, 0.3, 0.18, 0.28])
    blink = measure_lids(still_landmarks(7, layout, opening))
    assert blink[[0, 1, 2, 4, 6]].tolist() == [0] * 5
    assert blink[3] == 1
    assert blink[5] == pytest.approx(0.5, abs=0.01)


def test_no_face_does_not_blink():
    track = still_landmarks(4, "ibug68", np.array([0.3, 0.3, 0.3, 0.05]))
    points, state = track.points.copy(), track.state.copy()
    points[3], state[3] = np.nan, 0
    assert measure_lids(replace(track, points=points, state=state)).tolist() == [0] * 4
    assert measure_lids(replace(track, state=np.zeros(4, np.uint8))).tolist() == [0] * 4


def test_speed_is_measured_within_a_shot():
    along = np.array([0, 1, 2, 50, 50, 53.0])
    places = np.stack([along, np.zeros(6), along + 7, np.ones(6)], axis=1)
    seen, shots = np.ones(6, bool), np.array([[0, 3], [3, 6]])
    speed = place_speed(places, seen, shots, 10.0)
    assert speed == pytest.approx([10, 10, 10, 0, 15, 30])
    seen[4] = False
    assert place_speed(places, seen, shots, 10.0) == pytest.approx([10, 10, 10, 0, 0, 0])
    assert place_speed(places[:1], seen[:1], np.array([[0, 1]]), 10.0).tolist() == [0]


def test_the_unit_is_the_faces_width():
    track = toy_track(5)
    still = replace(
        track,
        rotation=torch.zeros(5, 3),
        translation=torch.tensor([[0.0, 0, 600]]).repeat(5, 1),
    )
    moved = still.translation.clone()
    moved[:, 0] = FACE_MM * torch.arange(5)
    places = head_places(replace(still, translation=moved), CAMERA)
    assert np.diff(places[:, ::2], axis=0).mean() == pytest.approx(1.0, rel=0.02)
    assert np.abs(np.diff(places[:, 1::2], axis=0)).max() < 1e-5
    landmarks = still_landmarks(5, "ibug68", np.full(5, 0.3))
    assert watch_head(still, CAMERA, landmarks, 25.0).speed.tolist() == [0] * 5
    nodding = still.rotation.clone()
    nodding[:, 0] = 0.1 * torch.arange(5)
    assert (watch_head(replace(still, rotation=nodding), CAMERA, landmarks, 25.0).speed > 0.5).all()
    with pytest.raises(ShapeError, match="track"):
        watch_head(toy_track(4), CAMERA, landmarks, 25.0)


def test_a_real_actors_blinks(shared_clips: Path):
    """The senator shuts his eyes three times; looked up in the pictures."""
    pictures = (p.rgb() for p in islice(read_pictures(shared_clips / "senator.mp4"), 120, 375))
    track = track_landmarks(pictures, 25.0, LandmarksConfig())
    shut = 120 + np.flatnonzero(measure_lids(track) > 0.5)
    blinks = [159, 307, 345]
    assert all(np.abs(shut - frame).min() <= 1 for frame in blinks)
    assert all(np.abs(np.array(blinks) - frame).min() <= 5 for frame in shut)


def trace(frames: np.ndarray) -> RetimingTrace:
    count = len(frames)
    seconds = np.arange(count) / 25
    plan = FramePlan(frames, np.arange(count), Fraction(1, 25))
    return RetimingTrace(
        seconds,
        frames,
        is_filmed=np.ones(count, bool),
        speaking=seconds % 2 > 1,
        speed=np.ones(count),
        speed_before=np.full(count, 2.0),
        blink=np.zeros(count),
        shots=np.array([[0, 30], [30, 200]]),
        jumps=plan.jumps(),
        turns=plan.turns(),
        repeats=plan.repeats(),
    )


def test_the_sheet_is_drawn():
    plain = trace(np.arange(100))
    picture = draw_retiming(plain, "a walk")
    assert picture.dtype == np.uint8
    assert picture.ndim == 3
    turned = draw_retiming(trace(np.minimum(np.arange(100), 120 - np.arange(100))), "a walk")
    assert turned.shape == picture.shape
    assert not np.array_equal(turned, picture)
    assert draw_retiming(trace(np.array([3])), "one frame").shape == picture.shape
    with pytest.raises(ShapeError, match="blink"):
        replace(plain, blink=np.zeros(3))
    with pytest.raises(ShapeError, match="turns"):
        replace(plain, turns=np.zeros((2, 2)))


@pytest.mark.parametrize("name", ["jumps", "turns", "repeats"])
def test_what_is_remarkable_about_a_walk_is_drawn(name: str):
    plain = trace(np.arange(100))
    marked = draw_retiming(replace(plain, **{name: np.array([40, 60])}), "a walk")
    assert not np.array_equal(marked, draw_retiming(plain, "a walk"))
