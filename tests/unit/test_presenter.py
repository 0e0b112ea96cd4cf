"""The built-in synthetic presenter: complete, small, and true to its own truth."""

from __future__ import annotations

import csv
import json
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from metatalk.landmarks.config import LandmarksConfig
from metatalk.landmarks.points import MEDIAPIPE478
from metatalk.morphable.coefficients import load_coefficients
from metatalk.morphable.model import MorphableModel
from metatalk.morphable.pose import transform_points
from metatalk.presenter.files import PresenterFiles, presenter_files

LARGEST_BYTES = 4_000_000
RATE = 25
SHUT_MM = 0.5  # lips nearer than this touch
VISEMES = {"sil", "PP", "FF", "TH", "DD", "kk", "CH", "SS", "RR", "aa", "AO", "ah", "E", "ih",
           "@", "ou"}  # fmt: skip
Row = tuple[float, float, str, str]


@pytest.fixture(scope="module")
def files() -> PresenterFiles:
    return presenter_files()


@pytest.fixture(scope="module")
def model() -> MorphableModel:
    from metatalk.stages.face_model import open_face_model

    return open_face_model("anny", LandmarksConfig())


def read_phones(path: Path) -> list[Row]:
    with path.open(newline="") as file:
        return [
            (float(row["start_s"]), float(row["end_s"]), row["phone"], row["viseme"])
            for row in csv.DictReader(file)
        ]


def truth_landmarks(model: MorphableModel, coefficients: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """(T, L, 3) model frame and (T, L, 2) pixels."""
    person, track, camera = load_coefficients(coefficients)
    mean, identity, expression = model.landmark_basis()
    neutral = mean + torch.tensordot(person.identity, identity, dims=1)
    points = neutral + torch.tensordot(track.expression, expression, dims=1)
    return points, camera.project(transform_points(points, track.rotation, track.translation))


def lip_gap_mm(model: MorphableModel, coefficients: Path) -> np.ndarray:
    upper, lower = MEDIAPIPE478.lip_gap
    points, _ = truth_landmarks(model, coefficients)
    return (points[:, lower, 1] - points[:, upper, 1]).numpy()


def test_all_files_are_there_and_small(files: PresenterFiles) -> None:
    assert all(path.is_file() for path in vars(files).values())
    assert sum(path.stat().st_size for path in files.video.parent.glob("*.*")) < LARGEST_BYTES


def test_it_is_called_synthetic(files: PresenterFiles) -> None:
    assert "synthetic" in json.loads(files.consent.read_text())["actor"]
    assert "does not exist" in (files.video.parent / "README.md").read_text()


def test_truth_belongs_to_the_film(files: PresenterFiles, model: MorphableModel) -> None:
    from metatalk.media.video import index_frames, probe_video

    person, track, camera = load_coefficients(files.coefficients)
    info = probe_video(files.video)
    assert len(index_frames(files.video)) == len(track)
    assert (info.width, info.height, info.rate) == (camera.width, camera.height, RATE)
    assert len(person.identity) == len(model.identity_basis)
    assert len(person.texture) == len(model.texture_basis)
    assert track.expression.shape[1] == len(model.expression_names)
    assert -0.01 <= float(track.expression.min()) <= float(track.expression.max()) <= 1.1
    assert bool(track.has_face.all())


def test_sound_is_as_long_as_picture_and_phones(files: PresenterFiles) -> None:
    from metatalk.media.audio import read_sound

    _, track, _ = load_coefficients(files.coefficients)
    for sound, phones in ((files.video, files.phones), (files.driving, files.driving_phones)):
        duration_s = read_sound(sound).duration_s
        assert read_phones(phones)[-1][1] == pytest.approx(duration_s, abs=0.1)
    assert len(track) / RATE == pytest.approx(read_sound(files.video).duration_s, abs=0.1)
    assert 5 < read_sound(files.driving).duration_s < 8


def test_film_begins_and_ends_in_silence_and_speaks_between(files: PresenterFiles) -> None:
    from metatalk.media.audio import read_sound

    sound = read_sound(files.video, from_first_frame=True)
    loud = np.abs(sound.samples) > 0.01
    first, last = np.nonzero(loud)[0][[0, -1]] / sound.rate
    assert 0.9 < first < 1.1
    assert 0.9 < sound.duration_s - last < 1.3
    assert last - first > 20
    assert 0.03 < np.sqrt(np.mean(sound.samples**2)) < 0.3


@pytest.mark.parametrize("which", ["phones", "driving_phones"])
def test_phones_follow_each_other(files: PresenterFiles, which: str) -> None:
    rows = read_phones(getattr(files, which))
    assert rows[0][0] == 0.0
    assert all(start < end for start, end, _, _ in rows)
    assert all(one[1] == two[0] for one, two in pairwise(rows))
    assert {row[3] for row in rows} <= VISEMES


def test_lips_meet_in_p_b_m_and_silence(files: PresenterFiles, model: MorphableModel) -> None:
    gap = lip_gap_mm(model, files.coefficients)
    rows = read_phones(files.phones)
    closures = [(start, end) for start, end, _, viseme in rows if viseme == "PP"]
    assert len(closures) > 20
    for start, end in closures:
        frames = slice(int(start * RATE), int(np.ceil(end * RATE)) + 1)
        assert gap[frames].min() < SHUT_MM, f"{start:.2f} s: the lips stay open"
    assert gap[: int(0.8 * RATE)].max() < SHUT_MM
    assert gap[-int(0.5 * RATE) :].max() < SHUT_MM
    assert gap.min() > -1.0  # and never pass through each other
    assert gap.max() > 8.0


def test_detected_landmarks_lie_where_the_truth_says(
    files: PresenterFiles, model: MorphableModel
) -> None:
    from metatalk.landmarks.detector import open_detector
    from metatalk.media.video import read_pictures

    _, truth = truth_landmarks(model, files.coefficients)
    detector = open_detector(LandmarksConfig())
    for picture in islice(read_pictures(files.video), 0, 200, 40):
        detector.reset()
        (face,) = detector.detect(picture.rgb())
        expected = truth[picture.index].numpy()
        height_px = np.linalg.norm(expected[10] - expected[MEDIAPIPE478.chin])
        errors = np.linalg.norm(face.points[:, :2] - expected, axis=-1)
        assert errors.mean() / height_px < 0.02
