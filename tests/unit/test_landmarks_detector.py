"""The detectors on real pictures, where there are some."""

from __future__ import annotations

import logging
import sys
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from metatalk.errors import MissingAssetError
from metatalk.landmarks.alignment_detector import AlignmentDetector
from metatalk.landmarks.config import LandmarksConfig
from metatalk.landmarks.detector import Detector, open_detector
from metatalk.landmarks.mediapipe_detector import native_messages_to_log
from metatalk.landmarks.points import MEDIAPIPE478
from metatalk.landmarks.track import track_landmarks
from metatalk.media.video import read_pictures


def _load(clip: Path, frames: int) -> list[np.ndarray]:
    return [picture.rgb() for picture in islice(read_pictures(clip), frames)]


@pytest.fixture(scope="module")
def detector() -> Detector:
    return open_detector(LandmarksConfig())


@pytest.fixture
def portrait(shared_clips: Path) -> np.ndarray:
    return _load(shared_clips / "senator.mp4", 1)[0]  # (256, 256, 3), the face 163 px wide


def test_points_sit_where_their_groups_say(detector: Detector, portrait: np.ndarray):
    detector.reset()
    (face,) = detector.detect(portrait)
    middle = {
        name: face.points[list(getattr(MEDIAPIPE478, name)), :2].mean(axis=0)
        for name in ("right_eye", "left_eye", "right_iris", "left_iris", "lips", "nose", "brows")
    }
    assert middle["right_eye"][0] < middle["nose"][0] < middle["left_eye"][0]
    assert np.linalg.norm(middle["right_eye"] - middle["right_iris"]) < 6
    assert np.linalg.norm(middle["left_eye"] - middle["left_iris"]) < 6
    assert middle["brows"][1] < middle["right_eye"][1] < middle["nose"][1] < middle["lips"][1]
    assert face.points[MEDIAPIPE478.chin, 1] > face.points[list(MEDIAPIPE478.lips), 1].max()
    tip, ears = face.points[4, 2], face.points[[234, 454], 2]
    assert tip < ears.min(), "z grows away from the camera"


def test_two_faces_are_both_found_largest_first(detector: Detector, portrait: np.ndarray):
    half = cv2.resize(portrait, (192, 192), interpolation=cv2.INTER_AREA)
    wide = np.zeros((256, 448, 3), np.uint8)
    wide[:192, :192], wide[:, 192:] = half, portrait
    detector.reset()
    large, small = detector.detect(wide)
    assert small.box[2] < 192 < large.box[0]


@pytest.mark.parametrize("side", [128, 64])
def test_a_small_face_is_found_and_kept(detector: Detector, portrait: np.ndarray, side: int):
    small = cv2.resize(portrait, (side, side), interpolation=cv2.INTER_AREA)
    room = np.full((1080, 1920, 3), 110, np.uint8)
    room[500 : 500 + side, 1300 : 1300 + side] = small
    detector.reset()
    for _ in range(30):  # long enough for another look at the whole picture
        (face,) = detector.detect(room)
        left, top, right, bottom = face.box
        assert 1300 <= left < right <= 1300 + side
        assert 500 <= top < bottom <= 500 + side


@pytest.mark.parametrize("size", [(64, 64), (240, 1000), (1000, 240)])
def test_a_picture_without_a_face_has_none(detector: Detector, size: tuple[int, int]):
    detector.reset()
    noise = np.random.default_rng(0).integers(0, 255, (*size, 3)).astype(np.uint8)
    assert detector.detect(noise) == []


def test_native_noise_goes_to_the_log(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, portrait: np.ndarray
):
    caplog.set_level(logging.DEBUG, "metatalk.landmarks")
    fresh = open_detector(LandmarksConfig())
    for _ in range(3):
        fresh.detect(portrait)
        fresh.reset()
    assert capfd.readouterr().err == ""
    with native_messages_to_log():
        print("heard", file=sys.__stderr__, flush=True)
    assert "native: heard" in caplog.text


def test_real_jump_cuts_are_found(shared_clips: Path):
    pictures = _load(shared_clips / "coach_jumpcuts.mp4", 280)
    track = track_landmarks(pictures, 30.0, LandmarksConfig())
    assert np.all(track.state == 1)
    assert track.shots[1:, 0].tolist() == [74, 150, 258]  # seen by eye


def test_real_dropped_frames_are_no_cuts(shared_clips: Path):
    track = track_landmarks(_load(shared_clips / "address.mp4", 200), 25.0, LandmarksConfig())
    assert len(track.shots) == 1
    assert np.all(track.state == 1)
    assert track.confidence.min() > 0.8


def test_missing_weights_name_the_remedy(monkeypatch: pytest.MonkeyPatch):
    package = pytest.importorskip("face_alignment")

    def refuse(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(package, "FaceAlignment", refuse)
    with pytest.raises(MissingAssetError, match="detector=mediapipe"):
        open_detector(LandmarksConfig(detector="face-alignment"))


def test_face_alignment_answers_become_faces(monkeypatch: pytest.MonkeyPatch):
    package = pytest.importorskip("face_alignment")
    points = np.random.default_rng(0).uniform(0, 50, (68, 2))

    class Network:
        def __init__(self, *_: object, **__: object) -> None:
            self.answers = iter([([points, 2 * points], [np.ones(68)] * 2, _BOXES), (None,) * 3])

        def get_landmarks_from_image(self, *_: object, **__: object) -> tuple[object, ...]:
            return next(self.answers)

    monkeypatch.setattr(package, "FaceAlignment", Network)
    detector = AlignmentDetector(LandmarksConfig(detector="face-alignment"))
    large, small = detector.detect(np.zeros((100, 100, 3), np.uint8))
    np.testing.assert_allclose(large.points[:, :2], 2 * points, rtol=1e-6)
    assert (large.score, small.score) == (0.5, pytest.approx(0.9))
    assert detector.detect(np.zeros((100, 100, 3), np.uint8)) == []


_BOXES = [np.array([0, 0, 50, 50, 0.9]), np.array([0, 0, 100, 100, 0.5])]
