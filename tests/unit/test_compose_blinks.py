"""Blinks are told from eyes that look down, are narrowed, or stay shut."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from eye_toys import RATE, blinking, eye_track
from hypothesis import given, settings
from hypothesis import strategies as st

from metatalk.compose.eyes.blinks import (
    Blink,
    eye_opening,
    find_blinks,
    gaze,
    in_blink,
    long_shut,
    relative_opening,
)
from metatalk.landmarks.config import LandmarksConfig
from metatalk.landmarks.track import track_landmarks
from metatalk.media.video import read_pictures


@pytest.mark.parametrize("layout", ["mediapipe478", "ibug68"])
def test_the_opening_is_the_gap_over_the_width(layout: str):
    opening = eye_opening(eye_track(np.array([0.3, 0.1, 0.0]), layout))
    reached = 1.0 if layout == "mediapipe478" else opening[0, 0] / 0.3
    np.testing.assert_allclose(opening[:, 0], np.array([0.3, 0.1, 0.0]) * reached, atol=2e-3)
    np.testing.assert_allclose(opening[:, 0], opening[:, 1], atol=1e-6)
    assert opening[0, 0] > 0.25


def test_gaze_is_told_in_eye_widths():
    seen = gaze(eye_track(np.full(3, 0.3), look=(0.1, -0.05)))
    np.testing.assert_allclose(seen, np.tile([0.1, -0.05], (3, 1)), atol=1e-4)
    assert not gaze(eye_track(np.full(3, 0.3), "ibug68")).any()


@pytest.mark.parametrize("layout", ["mediapipe478", "ibug68"])
def test_a_blink_is_found_from_its_first_frame_to_its_last(layout: str):
    track = eye_track(blinking(100, [30, 70]), layout)
    assert find_blinks(track, RATE) == [Blink(30, 31, 35), Blink(70, 71, 75)]
    numbers = in_blink(find_blinks(track, RATE), 100)
    assert np.flatnonzero(numbers == 1).tolist() == [70, 71, 72, 73, 74]
    assert relative_opening(track, RATE)[32] == pytest.approx(0.1, abs=0.01)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(10, 40), min_size=1, max_size=6),
    st.floats(0.12, 0.4),
    st.sampled_from([25.0, 30.0, 50.0]),
)
def test_blinks_of_any_face_at_any_rate_are_counted(gaps: list[int], open_to: float, rate: float):
    firsts = np.cumsum([gap + round(0.5 * rate) for gap in gaps]).tolist()
    track = eye_track(blinking(firsts[-1] + 60, firsts, open_to))
    assert [blink.first for blink in find_blinks(track, rate)] == firsts


def test_eyes_that_look_down_or_stay_shut_do_not_blink():
    down = np.full(120, 0.3)
    down[40:90] = 0.14  # two seconds of reading
    assert find_blinks(eye_track(down), RATE) == []
    shut = np.full(120, 0.3)
    shut[40:80] = 0.03
    shut[60] = 0.05  # noise among shut eyes is no opening
    track = eye_track(shut)
    assert find_blinks(track, RATE) == []
    assert long_shut(track, []).tolist() == [40 <= frame < 80 for frame in range(120)]
    narrowed = blinking(120, [60], open_to=0.1)  # narrow eyes blink, too
    assert len(find_blinks(eye_track(narrowed), RATE)) == 1


def test_a_nod_narrows_the_eyes_without_a_blink():
    nod = np.full(100, 0.3)
    nod[45:55] = 0.3 * (1 - 0.4 * np.sin(np.linspace(0, np.pi, 10)))
    assert find_blinks(eye_track(nod), RATE) == []


def test_cuts_and_lost_faces_end_what_is_looked_at():
    opening = np.concatenate([np.full(50, 0.3), np.full(50, 0.1)])
    assert find_blinks(eye_track(opening, shots=[(0, 50), (50, 100)]), RATE) == []
    at_cut = eye_track(blinking(100, [50]), shots=[(0, 50), (50, 100)])
    assert [blink.is_whole for blink in find_blinks(at_cut, RATE)] == [False]
    seen = np.ones(100, bool)
    seen[40:60] = False
    lost = eye_track(blinking(100, [20, 48, 80]), has_face=seen)
    assert [blink.first for blink in find_blinks(lost, RATE)] == [20, 80]
    assert np.isnan(relative_opening(lost, RATE)[45])
    assert long_shut(lost, [])[40:60].all()
    nobody = eye_track(np.full(9, 0.3), has_face=np.zeros(9, bool))
    assert find_blinks(nobody, RATE) == []
    assert long_shut(nobody, []).all()


def test_a_real_actors_blinks_are_found_and_nothing_else(shared_clips: Path):
    """Looked up in the pictures: the eyes are shut in frames 158-161 and 305-310."""
    pictures = (p.rgb() for p in islice(read_pictures(shared_clips / "senator.mp4"), 130, 330))
    found = find_blinks(track_landmarks(pictures, RATE, LandmarksConfig()), RATE)
    assert [(blink.first + 130, blink.is_whole) for blink in found] == [(158, True), (305, True)]
    assert 161 < found[0].end + 130 <= 165
    assert 310 <= found[1].end + 130 <= 315
