"""Poses between Deep3D's crops and the clip's own camera: exact where that is possible."""

from __future__ import annotations

import math
from dataclasses import replace

import deep3d_formulas as published
import numpy as np
import pytest
import torch

from metatalk.errors import ShapeError
from metatalk.morphable.camera import Camera
from metatalk.morphable.coefficients import PersonCoefficients, TrackCoefficients
from metatalk.morphable.deep3d import coefficients_to_deep3d, read_deep3d
from metatalk.morphable.deep3d_crop import (
    CROP_CAMERA,
    STANDARD_POINTS_DM,
    apply_similarities,
    crop_to_frame,
    frame_to_crop,
    guess_pose,
    invert_similarities,
    model_crops,
    standard_crops,
)
from metatalk.morphable.model import MorphableModel
from metatalk.morphable.pose import transform_points

FRAMES = 5
HD = Camera(focal_px=2100.0, width=1920, height=1080)


@pytest.fixture(scope="module", params=(0, 1, 2))
def model(request: pytest.FixtureRequest) -> MorphableModel:
    return published.face_model(published.model_file(request.param))


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    return published.random_vectors(FRAMES)


def posed(
    model: MorphableModel, person: PersonCoefficients, track: TrackCoefficients
) -> torch.Tensor:
    """(T, V, 3) mm, our camera frame."""
    shape = model.shape(person.identity, track.expression)
    return transform_points(shape, track.rotation, track.translation)


def read(
    model: MorphableModel, vectors: np.ndarray
) -> tuple[PersonCoefficients, TrackCoefficients, Camera]:
    return read_deep3d(torch.from_numpy(vectors), model)


def test_the_standard_face_is_where_the_scale_says() -> None:
    """102 px a decimetre, its origin in the middle of the crop, wherever the frame had it."""
    axes = torch.tensor([1.0, -1.0], dtype=torch.float64)
    standard = torch.tensor(STANDARD_POINTS_DM, dtype=torch.float64)[:, :2] * axes
    frame = torch.stack((standard * 37.0 + torch.tensor([900.0, 333.0]), standard * 250.0 + 20.0))
    crops = standard_crops(frame)
    expected = (102.0 * standard + 112).expand(2, -1, -1)
    torch.testing.assert_close(apply_similarities(frame, crops), expected)


def test_points_in_one_place_are_refused() -> None:
    with pytest.raises(ShapeError):
        standard_crops(torch.full((1, 5, 2), 7.0))
    with pytest.raises(ShapeError):
        standard_crops(torch.full((1, 5, 2), float("nan")))


def test_a_similarity_and_its_inverse_leave_points_alone() -> None:
    turned = torch.tensor([[[0.6, -0.8, 5.0], [0.8, 0.6, -2.0]]])
    points = torch.randn(1, 9, 2, dtype=torch.float64)
    there = apply_similarities(points, turned)
    torch.testing.assert_close(apply_similarities(there, invert_similarities(turned)), points)


def centred_crop(camera: Camera, frames: int) -> torch.Tensor:
    """(T, 2, 3): the crop in the frame's middle whose focal length is the frame's own."""
    scale = CROP_CAMERA.focal_px / camera.focal_px
    middle = torch.tensor([camera.width / 2, camera.height / 2])
    shift = 112 - scale * middle
    return torch.cat((scale * torch.eye(2), shift[:, None]), 1).expand(frames, 2, 3)


def test_a_centred_crop_of_the_right_scale_keeps_the_pose(
    model: MorphableModel, vectors: np.ndarray
) -> None:
    person, track, _ = read(model, vectors)
    moved, error_px = crop_to_frame(model, person, track, centred_crop(HD, FRAMES), HD)
    torch.testing.assert_close(moved.rotation, track.rotation, atol=1e-5, rtol=0)
    torch.testing.assert_close(moved.translation, track.translation, atol=1e-2, rtol=0)
    assert error_px.max() < 1e-4


def test_a_crop_anywhere_projects_almost_as_the_crop_does(
    model: MorphableModel, vectors: np.ndarray
) -> None:
    person, track, _ = read(model, vectors)
    turned = 0.5 * torch.tensor([[math.cos(0.1), -math.sin(0.1)], [math.sin(0.1), math.cos(0.1)]])
    middle = torch.tensor([1200.0, 400.0])
    crop = torch.cat((turned, (112 - turned @ middle)[:, None]), 1).expand(FRAMES, 2, 3)
    moved, error_px = crop_to_frame(model, person, track, crop, HD)
    wanted = apply_similarities(
        CROP_CAMERA.project(posed(model, person, track)), invert_similarities(crop)
    )

    def distance(track: TrackCoefficients) -> torch.Tensor:
        away = HD.project(posed(model, person, track)) - wanted
        return away.square().sum(-1).mean(-1).sqrt()

    torch.testing.assert_close(distance(moved), error_px, atol=1e-2, rtol=1e-3)
    assert error_px.min() > 0.01
    assert error_px.max() < 2.0  # on heads of about 300 px
    for name, size in (("rotation", 0.003), ("translation", 1.0)):
        for axis in range(3):
            for step in (-size, size):
                shifted = getattr(moved, name).clone()
                shifted[:, axis] += step
                assert (distance(replace(moved, **{name: shifted})) > error_px).all()


def test_the_refit_begins_close_to_where_it_ends(
    model: MorphableModel, vectors: np.ndarray
) -> None:
    """Heads 17 degrees off the axis: turned towards the camera, and as far away as they look."""
    person, track, _ = read(model, vectors)
    crop = torch.tensor([[0.5, 0.0, -670.0], [0.0, 0.5, -58.0]]).expand(FRAMES, 2, 3)
    to_frame = invert_similarities(crop)
    rotation, translation = guess_pose(track.rotation, track.translation, CROP_CAMERA, HD, to_frame)
    moved, _ = crop_to_frame(model, person, track, crop, HD)
    assert (rotation - moved.rotation).abs().max() < math.radians(2.0)
    distance = moved.translation.norm(dim=1, keepdim=True)
    assert ((translation - moved.translation) / distance).abs().max() < 0.05


def test_frame_to_crop_undoes_crop_to_frame(model: MorphableModel, vectors: np.ndarray) -> None:
    person, track, _ = read(model, vectors)
    crop = torch.tensor([[0.45, 0.0, -400.0], [0.0, 0.45, -100.0]]).expand(FRAMES, 2, 3)
    moved, error_px = crop_to_frame(model, person, track, crop, HD)
    back, _ = frame_to_crop(model, person, moved, crop, HD)
    # Each way is the best compromise, so the round trip is as good as the errors say.
    assert error_px.max() < 2.0
    assert (back.rotation - track.rotation).abs().max() < math.radians(1.5)
    assert (back.translation - track.translation).abs().max() < 40.0


def test_a_full_frame_reconstruction_goes_out_through_the_standard_crop(
    model: MorphableModel,
) -> None:
    """The vector's own camera, seen through the crop, shows the head where the frame does."""
    chance = torch.Generator().manual_seed(8)
    person = PersonCoefficients(torch.zeros(80), torch.zeros(80))
    track = TrackCoefficients(
        expression=torch.randn(3, 64, generator=chance),
        rotation=torch.tensor([[0.1, -0.3, 0.05], [0.0, 0.4, -0.1], [-0.2, 0.1, 0.2]]),
        translation=torch.tensor([[0.0, 0, 800], [150, -60, 1200], [-120, 40, 900.0]]),
        lighting=torch.zeros(3, 3, 9),
        confidence=torch.ones(3),
    )
    vectors = coefficients_to_deep3d(model, person, track, HD)
    _, found, _ = read_deep3d(vectors, model)
    crops = model_crops(model, person, track, HD)
    wanted = apply_similarities(HD.project(posed(model, person, track)), crops)
    seen = CROP_CAMERA.project(posed(model, person, found))
    assert (wanted - 112).abs().max() < 140  # the face is in the crop
    assert (seen - wanted).norm(dim=-1).square().mean(-1).sqrt().max() < 1.0
    torch.testing.assert_close(found.expression, track.expression)
