"""Faces are linked, chosen, interpolated and filtered as documented; no detector is needed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from metatalk.errors import FittingError, ShapeError
from metatalk.landmarks.config import LandmarksConfig
from metatalk.landmarks.detector import Face
from metatalk.landmarks.filter import smooth_runs, smooth_track
from metatalk.landmarks.track import LandmarkTrack, track_landmarks

_SHAPE = np.random.default_rng(0).uniform(-0.5, 0.5, (68, 3)).astype(np.float32)
_LEFT, _RIGHT = (100.0, 200.0, 60.0), (300.0, 200.0, 90.0)  # centre x, centre y, width


def _face(x: float, y: float, width: float) -> Face:
    return Face(_SHAPE * width + np.array([x, y, 0], np.float32), 1.0)


class _Script:
    """A detector that reads its answers from a list."""

    layout = "ibug68"

    def __init__(self, answers: list[list[Face]]) -> None:
        self._answers = iter(answers)
        self.resets = 0

    def detect(self, picture: np.ndarray) -> list[Face]:
        return sorted(next(self._answers), key=lambda face: face.area, reverse=True)

    def reset(self) -> None:
        self.resets += 1


def _pictures(frames: int, cut: int | None = None) -> Iterator[np.ndarray]:
    """A grey room; another one from frame `cut` on."""
    rooms = np.random.default_rng(1).integers(0, 255, (2, 60, 80, 3)).astype(np.uint8)
    for frame in range(frames):
        yield rooms[int(cut is not None and frame >= cut)]


def _track(answers: list[list[Face]], cut: int | None = None, **settings: object) -> LandmarkTrack:
    config = LandmarksConfig(**settings)
    return track_landmarks(_pictures(len(answers), cut), 25.0, config, detector=_Script(answers))


def _middle(track: LandmarkTrack) -> np.ndarray:
    return track.points[:, :, 0].mean(axis=1)


def test_largest_steady_face_is_followed_not_a_larger_accident():
    answers = [[_face(*_LEFT), _face(*_RIGHT)] for _ in range(50)]
    answers[20] = [*answers[20], _face(200, 100, 400)]
    track = _track(answers)
    assert np.all(track.state == 1)
    np.testing.assert_allclose(_middle(track), _face(*_RIGHT).points[:, 0].mean(), rtol=1e-5)


@pytest.mark.parametrize(("number", "place"), [(0, _LEFT), (1, _RIGHT)])
def test_faces_are_counted_from_the_left(number: int, place: tuple[float, float, float]):
    track = _track([[_face(*_LEFT), _face(*_RIGHT)] for _ in range(30)], face=number)
    np.testing.assert_allclose(_middle(track), _face(*place).points[:, 0].mean(), rtol=1e-5)


def test_a_face_that_is_not_there_is_an_error_that_counts():
    with pytest.raises(FittingError, match="no shot shows 3 faces"):
        _track([[_face(*_LEFT), _face(*_RIGHT)] for _ in range(30)], face=2)


def test_no_face_at_all_is_an_error_with_the_number_of_frames():
    with pytest.raises(FittingError, match="any of 12 frames"):
        _track([[] for _ in range(12)])


def test_no_picture_at_all_is_an_error():
    with pytest.raises(FittingError, match="no picture"):
        _track([])


def test_short_gaps_are_interpolated_and_long_ones_left():
    answers = [[_face(100 + frame, 200, 60)] for frame in range(60)]
    for frame in (*range(10, 15), *range(30, 45)):
        answers[frame] = []
    track = _track(answers)
    assert set(track.state[10:15]) == {2}
    assert set(track.state[30:45]) == {0}
    np.testing.assert_allclose(
        track.points[12], _face(112, 200, 60).points, rtol=0, atol=1e-3
    )  # the face moves evenly, so the line between the gap's ends is the truth
    assert np.all(np.isnan(track.points[30:45]))
    assert np.all(track.confidence[track.has_face] > 0)
    assert track.runs() == [(0, 30), (45, 60)]


def test_gap_at_a_cut_is_not_bridged_and_the_detector_forgets():
    answers = [[_face(*_LEFT)] for _ in range(40)]
    answers[19] = answers[20] = []
    script = _Script(answers)
    track = track_landmarks(_pictures(40, cut=20), 25.0, LandmarksConfig(), detector=script)
    assert track.shots.tolist() == [[0, 20], [20, 40]]
    assert track.state[18:22].tolist() == [1, 0, 0, 1]
    assert script.resets == 1


def test_the_same_face_is_followed_across_a_cut():
    answers = [[_face(*_LEFT)] for _ in range(60)]
    answers += [[_face(110, 205, 62), _face(400, 200, 64)] for _ in range(40)]
    middle = _middle(_track(answers, cut=60))
    np.testing.assert_allclose(middle[60:], _face(110, 205, 62).points[:, 0].mean(), rtol=1e-5)


def test_the_face_is_found_again_after_a_long_absence():
    answers = [[_face(*_LEFT)] for _ in range(60)]
    answers[20:40] = [[] for _ in range(20)]
    track = _track(answers)
    assert track.state.tolist() == [1] * 20 + [0] * 20 + [1] * 20


def test_a_slipped_mesh_loses_confidence():
    answers = [[_face(*_LEFT)] for _ in range(30)]
    squashed = _SHAPE * np.array([60, 15, 60], np.float32) + np.array([100, 200, 0], np.float32)
    answers[11] = [Face(squashed, 1.0)]
    track = _track(answers)
    assert track.confidence[11] < 0.2
    assert track.confidence[10] > 0.95


def test_one_frame_is_enough():
    assert _track([[_face(*_LEFT)]]).state.tolist() == [1]


def test_progress_is_told_every_frame():
    told: list[int] = []
    script = _Script([[_face(*_LEFT)] for _ in range(4)])
    track_landmarks(
        _pictures(4), 25.0, LandmarksConfig(), lambda done, _, __: told.append(done), script
    )
    assert told == [1, 2, 3, 4]


def test_shots_that_leave_frames_out_are_refused():
    with pytest.raises(ShapeError, match="cover the 5 frames"):
        LandmarkTrack(
            np.zeros((5, 68, 3)), np.zeros(5), np.zeros(5), np.array([[0, 2], [3, 5]]), "ibug68"
        )


def test_filter_keeps_parabolas_and_stops_at_run_ends():
    time = np.arange(30.0)
    values = np.stack([time**2, np.where(time < 15, 0.0, 100.0)], axis=1)
    smoothed = smooth_runs(values, [(0, 15), (15, 30)])
    np.testing.assert_allclose(smoothed, values, atol=1e-9)


def test_filter_removes_jitter_and_leaves_missing_frames_missing():
    noise = np.random.default_rng(3)
    answers = [[_face(100 + noise.normal(0, 1), 200, 60)] for _ in range(60)]
    answers[20:40] = [[] for _ in range(20)]
    track = _track(answers)
    smooth = smooth_track(track, window=7)
    assert np.array_equal(np.isnan(smooth.points), np.isnan(track.points))
    assert np.diff(_middle(smooth)[:20]).std() < 0.6 * np.diff(_middle(track)[:20]).std()
    assert smooth.points.dtype == np.float32
