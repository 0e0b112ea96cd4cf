"""Errors of the fit: nothing where there is none, and the right amount where one was put in."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from face_toys import CAMERA, UNITS, toy_model
from torch import Tensor

from metatalk.errors import ShapeError
from metatalk.evaluate.fit_errors import FitErrors, in_picture, measure_fit, mesh_landmarks
from metatalk.evaluate.fit_errors_alignment import (
    align,
    rotation_between,
    second_difference,
    series_correlation,
)
from metatalk.evaluate.fit_errors_footage import FootageErrors, measure_footage
from metatalk.evaluate.fit_errors_table import ROWS, errors_table, footage_table, units_table
from metatalk.evaluate.truth import Truth
from metatalk.fitting.reconstruct import Reconstruction
from metatalk.fitting.trust import Trust
from metatalk.landmarks.track import LandmarkTrack
from metatalk.morphable.camera import Camera
from metatalk.morphable.coefficients import PersonCoefficients, TrackCoefficients
from metatalk.morphable.lighting import ambient_light
from metatalk.morphable.pose import euler_to_matrix, matrix_to_euler

FRAMES = 24
MODEL = toy_model()
JAW = UNITS.index("jawOpen")


def toy_truth() -> Truth:
    """Six frames of talk, twelve of a turning, neutral face, six of talk with a still head."""
    chance = torch.Generator().manual_seed(1)
    time = torch.arange(FRAMES) / FRAMES
    neutral = (time >= 0.25) & (time < 0.75)
    expression = torch.rand(FRAMES, len(UNITS), generator=chance) * (~neutral)[:, None]
    still = time >= 0.75
    yaw = 0.5 * torch.sin(2 * math.pi * time) * ~still
    rotation = torch.stack((0.3 * yaw, yaw, 0.2 * yaw), -1)
    translation = torch.tensor([5.0, -3.0, 800.0]).expand(FRAMES, 3).clone()
    light = ambient_light(0.8).expand(FRAMES, 3, 9).clone()
    light[:, :, 3] = 0.3
    person = PersonCoefficients(torch.tensor([0.5, -1.0, 0.3]), 0.5 * torch.ones(6))
    track = TrackCoefficients(expression, rotation, translation, light, torch.ones(FRAMES))
    albedo = MODEL.albedo(person.texture)
    return Truth(person, track, CAMERA, albedo, still.numpy(), neutral.numpy())


def perfect(truth: Truth) -> Reconstruction:
    ones = np.ones(FRAMES, np.float32)
    trust = Trust(ones, np.zeros(FRAMES, np.float32), ones)
    return Reconstruction(truth.person, truth.track, truth.camera, np.zeros(FRAMES), trust)


def with_track(truth: Truth, **changes: Tensor) -> Reconstruction:
    return dataclasses.replace(perfect(truth), track=dataclasses.replace(truth.track, **changes))


def seen_landmarks(truth: Truth) -> LandmarkTrack:
    pixels = in_picture(truth, mesh_landmarks(MODEL, truth))
    points = np.concatenate([pixels, np.zeros((FRAMES, 68, 1))], -1).astype(np.float32)
    states = np.ones(FRAMES, np.uint8)
    return LandmarkTrack(
        points, np.ones(FRAMES, np.float32), states, np.array([[0, FRAMES]]), "ibug68"
    )


def measured(found: Reconstruction, truth: Truth | None = None) -> FitErrors:
    truth = truth or toy_truth()
    return measure_fit(MODEL, truth, found, seen_landmarks(truth))


def test_the_truth_itself_has_no_error() -> None:
    errors = measured(perfect(toy_truth()))
    for row in ROWS:
        value = getattr(errors, row.field)
        if row.field in ("shape_average_mm", "jaw_by_yaw_r", "detector_gap_r", "lip_gap_mm"):
            continue
        assert value == pytest.approx(row.best, abs=1e-3), row.field
    assert errors.units_r == pytest.approx(dict.fromkeys(UNITS, 1.0))
    assert errors.shape_average_mm > 1
    assert errors.jaw_by_yaw_r == 0  # the jaw does not move at all


def test_landmarks_without_error_are_the_detectors() -> None:
    truth = toy_truth()
    off = seen_landmarks(truth)
    off.points[..., 0] += 3.0
    errors = measure_fit(MODEL, truth, perfect(truth), off)
    assert errors.landmark_pct == pytest.approx(0, abs=1e-4)
    assert errors.detector_pct == pytest.approx(errors.detected_pct, rel=1e-5)
    points = mesh_landmarks(MODEL, truth)
    tall_mm = float((points[:, 27] - points[:, 8]).norm(dim=-1).median())
    assert errors.detector_pct == pytest.approx(300 / (tall_mm * 480 / 800), rel=1e-3)


def test_a_shared_turn_is_the_constant_part() -> None:
    truth = toy_truth()
    own = euler_to_matrix(torch.tensor([0.0, math.radians(2.0), 0.0]))
    turned = matrix_to_euler(euler_to_matrix(truth.track.rotation) @ own)
    errors = measured(with_track(truth, rotation=turned))
    assert errors.yaw_deg == pytest.approx(2.0, abs=1e-3)
    assert errors.yaw_offset_deg == pytest.approx(2.0, abs=1e-3)
    assert errors.yaw_varying_deg == pytest.approx(0, abs=1e-3)
    assert errors.pitch_deg == pytest.approx(0, abs=1e-3)


def test_a_turn_that_comes_and_goes_is_the_varying_part() -> None:
    truth = toy_truth()
    angle = torch.zeros(FRAMES, 3)
    angle[::2, 0] = math.radians(3.0)
    turned = matrix_to_euler(euler_to_matrix(truth.track.rotation) @ euler_to_matrix(angle))
    errors = measured(with_track(truth, rotation=turned))
    assert errors.pitch_varying_deg == pytest.approx(1.5, abs=1e-3)
    assert errors.yaw_deg == pytest.approx(0, abs=1e-3)


def test_a_jaw_that_follows_the_head_leaks() -> None:
    truth = toy_truth()
    leaking = truth.track.expression.clone()
    leaking[:, JAW] += 0.2 + 0.1 * truth.track.rotation[:, 1]
    errors = measured(with_track(truth, expression=leaking))
    # toy units of the lower face: the jaw and a smile
    assert errors.leak == pytest.approx(0.1, abs=0.01)
    assert errors.leaks["jawOpen"] == pytest.approx(0.2, abs=0.02)
    assert errors.jaw_by_yaw_r == pytest.approx(1.0, abs=1e-5)
    assert errors.jaw_spread > 0.01


def test_a_longer_lens_is_told_and_is_no_error_of_the_shape() -> None:
    truth = toy_truth()
    longer = Camera(1.2 * CAMERA.focal_px, CAMERA.width, CAMERA.height)
    nearer = dataclasses.replace(perfect(truth), camera=longer)
    assert measured(nearer).focal == pytest.approx(1.2)
    assert measured(nearer).shape_rigid_mm == pytest.approx(0, abs=1e-4)


def test_one_gain_between_albedo_and_light_is_forgiven() -> None:
    truth = toy_truth()
    gain = torch.tensor([0.8, 0.9, 0.7])
    darker = dataclasses.replace(truth, albedo=truth.albedo * gain)
    brighter = truth.track.lighting / gain[:, None]
    track = dataclasses.replace(truth.track, lighting=brighter)
    errors = measured(perfect(truth), dataclasses.replace(darker, track=track))
    assert errors.albedo == pytest.approx(0, abs=1e-5)
    assert errors.light == pytest.approx(0, abs=1e-5)


def test_another_light_is_told() -> None:
    truth = toy_truth()
    dimmed = truth.track.lighting.clone()
    dimmed[: FRAMES // 2] *= 0.5
    assert measured(with_track(truth, lighting=dimmed)).light == pytest.approx(0.25, abs=0.06)


def test_a_trembling_head_is_told_only_where_it_is_still() -> None:
    truth = toy_truth()
    shake = truth.track.translation.clone()
    shake[::2, 0] += 0.5
    across = measured(with_track(truth, translation=shake))
    assert across.jitter_mm == pytest.approx(1.0 / math.sqrt(2), rel=1e-3)  # +-1 mm in x, 0 in y
    assert across.jitter_depth_mm == pytest.approx(0, abs=1e-4)
    moved = truth.track.translation.clone()
    moved[: FRAMES // 2 : 2, 2] += 0.5
    assert measured(with_track(truth, translation=moved)).jitter_depth_mm < 1e-4


def test_alignment_undoes_any_similarity() -> None:
    points = torch.randn(40, 3, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    turn = euler_to_matrix(torch.tensor([0.4, -1.0, 2.0], dtype=torch.float64))
    moved = 1.7 * points @ turn.T + torch.tensor([3.0, -2.0, 9.0])
    back, factor = align(moved, points, scaled=True)
    torch.testing.assert_close(back, points)
    assert factor == pytest.approx(1 / 1.7)
    mirrored, _ = align(points * torch.tensor([1.0, 1.0, -1.0]), points, scaled=True)
    assert (mirrored - points).norm(dim=-1).median() > 0.1  # a reflection is no movement


@pytest.mark.parametrize("angle", [0.0, 1e-7, 0.3, 3.0])
def test_rotation_between_is_the_turn_about_the_models_axes(angle: float) -> None:
    axis = torch.tensor([0.0, 0.6, 0.8], dtype=torch.float64)
    cross = torch.tensor([[0, -0.8, 0.6], [0.8, 0, 0], [-0.6, 0, 0]], dtype=torch.float64)
    turn = torch.linalg.matrix_exp(angle * cross)
    first = euler_to_matrix(torch.tensor([0.4, -1.0, 2.0], dtype=torch.float64))
    found = rotation_between(first[None], (first @ turn)[None])[0]
    torch.testing.assert_close(found, angle * axis, atol=1e-9, rtol=1e-6)


def test_series_that_say_nothing_have_no_correlation() -> None:
    assert math.isnan(series_correlation(np.ones(9), np.arange(9.0)))
    assert series_correlation(np.arange(9.0), np.ones(9)) == 0
    assert series_correlation(np.arange(9.0), 3 - np.arange(9.0)) == pytest.approx(-1)


def test_second_difference_counts_frames_with_both_neighbours() -> None:
    track = np.array([0.0, 0, 1, 0, 0, 5])
    kept = np.array([True, True, True, True, True, False])
    np.testing.assert_array_equal(second_difference(track, kept), [1, -2, 1])
    with pytest.raises(ShapeError):
        second_difference(track, kept[:-1])


def test_footage_that_is_followed_exactly() -> None:
    truth = toy_truth()
    errors = measure_footage(MODEL, perfect(truth), seen_landmarks(truth))
    assert errors.landmark_pct == pytest.approx(0, abs=1e-4)
    assert errors.lip_gap_r == pytest.approx(1, abs=1e-4)
    assert errors.jitter == pytest.approx(1, abs=1e-3)
    assert errors.frames == FRAMES


def test_footage_names_the_frame_that_is_off_and_leaves_out_what_has_no_face() -> None:
    truth = toy_truth()
    shifted = truth.track.translation.clone()
    shifted[7, 0] += 8.0
    landmarks = seen_landmarks(truth)
    landmarks.points[3] = np.nan
    landmarks.state[3] = 0
    errors = measure_footage(MODEL, with_track(truth, translation=shifted), landmarks)
    assert int(np.nanargmax(errors.frame_pct)) == 7
    assert np.isnan(errors.frame_pct[3])
    assert errors.frames == FRAMES - 1
    assert errors.jitter > 1.01
    assert np.isfinite(errors.landmark_pct)


def test_tables_tell_median_and_worst() -> None:
    good = measured(perfect(toy_truth()))
    bad = dataclasses.replace(good, yaw_deg=4.0, lip_gap_r=0.5, scale=0.9, units_r={"jawOpen": 0.2})
    table = errors_table({"200 px": [good, bad], "one": [good]}).splitlines()
    assert "| yaw, degrees | < 1 | 2.00 (4.00) | 0.00 |" in table
    assert "| lip gap r | > 0.98 | 0.750 (0.500) | 1.000 |" in table
    assert "| size of the face by the true one's |  | 0.950 (0.900) | 1.000 |" in table
    assert "| jawOpen | 0.60 (0.20) | 1.00 |" in units_table({"a": [good, bad], "b": [good]})
    told = {row.field for row in ROWS}
    assert told <= {field.name for field in dataclasses.fields(FitErrors)} | {"unit_r"}


def test_the_footage_table_has_a_row_a_clip() -> None:
    truth = toy_truth()
    errors = measure_footage(MODEL, perfect(truth), seen_landmarks(truth))
    lines = footage_table({"clip": (errors, 30.0, 60.0)}).splitlines()
    assert lines[-1].startswith("| clip | 24 | 0.00 |")
    assert len({line.count("|") for line in lines}) == 1
    assert set(errors.as_dict()) == {f.name for f in dataclasses.fields(FootageErrors)} - {
        "frame_pct"
    }


def test_truth_is_checked() -> None:
    truth = toy_truth()
    with pytest.raises(ShapeError):
        dataclasses.replace(truth, still=np.zeros(3, bool))
