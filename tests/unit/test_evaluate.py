"""Metrics of a dub: known answers, and agreement with the standard exam on real footage."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from metatalk.errors import FittingError, MediaError, ShapeError
from metatalk.evaluate import mouth, picture
from metatalk.evaluate.dub import evaluate_dub, score_pictures
from metatalk.evaluate.report import MEASURES, findings, to_json, to_markdown
from metatalk.landmarks.points import MEDIAPIPE478
from metatalk.media.video import read_pictures

FRAMES = 40
GOOD = {
    "mouth_open_r": 0.9, "mouth_width_r": 0.8, "lag_frames": 0, "lmd": 0.02, "closure_rate": None,
    "psnr_mouth": 30.0, "ssim_mouth": 0.9, "sharpness_ratio": 0.9, "psnr_outside": 45.0,
    "jitter_ratio": 1.0, "detected": 1.0, "frames": 9, "frames_real": 9, "frames_generated": 9,
}  # fmt: skip


def toy_track(gap: np.ndarray, width: float = 40.0) -> np.ndarray:
    """(T, 478, 2): eyes 100 px apart, the inner lips `gap` inter-ocular distances apart."""
    track = np.zeros((len(gap), 478, 2))
    right, left = MEDIAPIPE478.eye_corners
    track[:, right, 0], track[:, left, 0] = -50, 50
    for lips, side in zip(MEDIAPIPE478.mouth_corners, (-1, 1), strict=True):
        track[:, lips] = side * width / 2, 60
    upper, lower = MEDIAPIPE478.lip_gap
    track[:, upper] = (0, 60)
    track[:, lower, 1] = 60 + 100 * gap
    return track


def open_and_close(frames: int = 60) -> np.ndarray:
    return 0.1 * (1 - np.cos(np.arange(frames) / 4))


def test_gap_and_width_count_inter_ocular_distances() -> None:
    gap = open_and_close()
    track = toy_track(gap)
    unit = mouth.eye_distance(track)
    np.testing.assert_allclose(mouth.lip_gap(track, unit), gap, atol=1e-9)
    np.testing.assert_allclose(mouth.mouth_width(track, unit), 0.4)
    np.testing.assert_allclose(mouth.lip_gap(3 * track, 3 * unit), gap, atol=1e-9)


@pytest.mark.parametrize("late", [-4, 0, 1, 7])
def test_lag_counts_the_frames_by_which_lips_come_late(late: int) -> None:
    rng = np.random.default_rng(0)
    speech = rng.normal(size=120)
    assert mouth.lag(speech[20:80], speech[20 - late : 80 - late]) == late


def test_correlation_ignores_scale_and_survives_a_frozen_mouth() -> None:
    gap = open_and_close()
    assert mouth.correlation(gap, 5 * gap + 2) == pytest.approx(1)
    assert mouth.correlation(gap, -gap) == pytest.approx(-1)
    assert mouth.correlation(gap, np.full_like(gap, 0.1)) == pytest.approx(0)


def test_closures_that_are_missed_are_counted() -> None:
    real = np.array([0.0, 0.02, 0.2, 0.01, 0.02])
    made = np.array([0.0, 0.04, 0.0, 0.06, 0.30])
    assert mouth.closure_rate(real, made) == 0.5
    assert mouth.closure_rate(real + 1, made) is None


def test_lip_distance_and_jitter_of_known_motion() -> None:
    real = toy_track(open_and_close())
    moved = real + np.array([3, 4])
    assert mouth.lip_distance(real, moved) == pytest.approx(0.05)
    assert mouth.jitter_ratio(real, moved) == pytest.approx(1)
    frozen = np.broadcast_to(real[:1], real.shape)
    assert mouth.jitter_ratio(real, frozen) == 0
    doubled = real[:1] + 2 * (real - real[:1])
    assert mouth.jitter_ratio(real, doubled) == pytest.approx(4)


def test_tracks_that_do_not_pair_up_are_refused() -> None:
    with pytest.raises(ShapeError, match="made"):
        mouth.lip_distance(toy_track(np.zeros(3)), toy_track(np.zeros(4)))


def textured(seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 255, (90, 80, 3), np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 1.2)


def test_picture_measures_agree_with_scikit_image() -> None:
    real = textured()
    made = cv2.GaussianBlur(real, (0, 0), 0.7)
    whole = np.ones(real.shape[:2], bool)
    assert picture.psnr(real, made, whole) == pytest.approx(peak_signal_noise_ratio(real, made))
    grey = [cv2.cvtColor(one, cv2.COLOR_RGB2GRAY) for one in (real, made)]
    expected = structural_similarity(
        *grey, gaussian_weights=True, use_sample_covariance=False, data_range=255, full=True
    )[1]
    inner = np.zeros_like(whole)
    inner[8:-8, 8:-8] = True
    assert picture.ssim(real, made, inner) == pytest.approx(expected[inner].mean(), abs=2e-3)


def test_equal_pictures_are_perfect() -> None:
    real, whole = textured(), np.ones((90, 80), bool)
    assert picture.psnr(real, real, whole) == pytest.approx(78.13, abs=0.01)
    assert picture.ssim(real, real, whole) == pytest.approx(1)
    assert picture.sharpness_ratio(real, real, whole) == pytest.approx(1)


def test_measures_look_only_under_the_mask() -> None:
    real, mask = textured(), np.zeros((90, 80), bool)
    mask[20:60, 20:60] = True
    made = real.copy()
    made[70:] = 0
    assert picture.psnr(real, made, mask) == picture.psnr(real, real, mask)
    assert picture.sharpness_ratio(real, made, mask) == pytest.approx(1)


def test_blur_lowers_sharpness_and_noise_raises_it() -> None:
    real, whole = textured(), np.ones((90, 80), bool)
    noisy = np.clip(real + np.random.default_rng(1).normal(0, 20, real.shape), 0, 255)
    assert picture.sharpness_ratio(real, cv2.GaussianBlur(real, (0, 0), 1), whole) < 0.7
    assert picture.sharpness_ratio(real, noisy.astype(np.uint8), whole) > 1.3


def test_regions_lie_where_the_face_is() -> None:
    angle = np.linspace(0, 2 * np.pi, 478, endpoint=False)
    points = np.stack([150 + 60 * np.sin(angle), 200 - 80 * np.cos(angle)], axis=1)
    regions = picture.face_regions(points, 400, 300)
    assert regions.lower.shape == (regions.box[0].stop - regions.box[0].start,
                                   regions.box[1].stop - regions.box[1].start)  # fmt: skip
    assert regions.lower.any()
    assert regions.outside[0, 0]
    assert not regions.outside[200, 150]
    assert not regions.outside[200, 150 + 70]  # near the face may change, too


def test_report_says_what_is_wrong() -> None:
    assert findings(GOOD) == []
    assert "Every figure is acceptable" in to_markdown(GOOD)
    bad = {**GOOD, "lag_frames": -3, "psnr_outside": 31.0, "frames_generated": 8}
    text = to_markdown(bad)
    assert len(findings(bad)) == 3
    for line in findings(bad):
        assert line in text
    assert json.loads(to_json(bad)) == bad
    assert {measure.name for measure in MEASURES} | {
        "frames", "frames_real", "frames_generated"} == GOOD.keys()  # fmt: skip


def test_pictures_of_two_sizes_are_refused() -> None:
    with pytest.raises(MediaError, match=r"frame 0: .* 80x90, .* 60x50"):
        score_pictures([textured()], [np.zeros((50, 60, 3), np.uint8)])


def test_pictures_without_a_face_are_refused() -> None:
    blank = [np.zeros((90, 80, 3), np.uint8)] * 12
    with pytest.raises(FittingError, match="0 of 12 frames"):
        score_pictures(blank, blank)


def a_bad_dub(real: list[np.ndarray]) -> list[np.ndarray]:
    """Lower halves two frames early and blurred."""
    made = [one.copy() for one in real]
    for number, one in enumerate(made):
        half = one.shape[0] // 2
        early = real[min(number + 2, len(real) - 1)]
        one[half:] = cv2.GaussianBlur(early[half:], (0, 0), 1)
    return made


@pytest.fixture(scope="module")
def footage(shared_clips: Path) -> list[np.ndarray]:
    clip = read_pictures(shared_clips / "senator.mp4")
    return [one.rgb() for one in islice(clip, FRAMES)]


@pytest.fixture(scope="module")
def exam(shared_clips: Path) -> ModuleType:
    path = shared_clips.parent / "tools" / "score_dub.py"
    if not path.is_file():
        pytest.skip("the standard exam's script is not on this machine")
    spec = importlib.util.spec_from_file_location("score_dub", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_scores_are_those_of_the_standard_exam(footage, exam, monkeypatch) -> None:
    """Given the same pictures; decoders differ by a rounding, which is not the subject here."""
    streams = {"real": footage[:-1], "made": a_bad_dub(footage)}

    def frames_of(name: str) -> Iterator[np.ndarray]:
        return (one[..., ::-1] for one in streams[name])

    monkeypatch.setattr(exam, "frames_of", frames_of)
    expected = exam.score("real", "made")
    scores = score_pictures(streams["real"], streams["made"]).as_dict()
    assert list(scores) == list(expected)
    for name, value in expected.items():
        assert scores[name] == (None if value is None else pytest.approx(value, abs=1e-3)), name
    assert scores["lag_frames"] == -2
    assert scores["frames_generated"] == scores["frames_real"] + 1


@pytest.mark.slow
def test_a_frame_that_is_missing_is_noticed(footage) -> None:
    scores = score_pictures(footage, footage[:-1])
    assert (scores.frames, scores.frames_real, scores.frames_generated) == (39, 40, 39)
    assert len(findings(scores.as_dict())) == 1


@pytest.mark.slow
def test_a_clip_against_itself_is_perfect(footage) -> None:
    scores = score_pictures(footage, footage).as_dict()
    assert findings(scores) == []
    assert scores["mouth_open_r"] == pytest.approx(1, abs=1e-5)
    assert scores["psnr_mouth"] == pytest.approx(78.13, abs=0.01)
    assert scores["lmd"] == 0


@pytest.mark.slow
def test_video_files_are_scored(shared_clips: Path) -> None:
    seen: list[int] = []
    clip = shared_clips / "grid_voices" / "brbk7n.mpg"
    scores = evaluate_dub(clip, clip, lambda done, total: seen.append(done))
    assert scores["frames"] == scores["frames_generated"] == seen[-1] == 75
    assert findings(scores) == []
