"""Eyes keep their place on the head, whatever its pose."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from face_toys import CAMERA, toy_model, toy_track

from metatalk.errors import ShapeError
from metatalk.landmarks.points import IBUG68
from metatalk.morphable.coefficients import PersonCoefficients, TrackCoefficients
from metatalk.morphable.model import MorphableModel
from metatalk.morphable.pose import transform_points
from metatalk.render.eyes import (
    ALONG,
    DOWN,
    EyePlaces,
    EyeShape,
    carry_eye,
    eye_distance,
    eye_shape,
    place_eyes,
)
from metatalk.render.scene import Scene

SHAPE = EyeShape(
    torch.tensor([[-30.0, -20.0, 10.0], [30.0, -20.0, 10.0]]),
    torch.tensor([[15.0, 0.0, 0.0], [15.0, 0.0, 0.0]]),
    torch.tensor([[0.0, 15.0, 0.0], [0.0, 15.0, 0.0]]),
    (0.8, 0.8),
)


def still(frames: int = 1, rotation: tuple[float, float, float] = (0, 0, 0)) -> TrackCoefficients:
    """A head 700 mm away."""
    return replace(
        toy_track(frames),
        rotation=torch.tensor(rotation).expand(frames, 3).clone(),
        translation=torch.tensor([0.0, 0.0, 700.0]).expand(frames, 3).clone(),
    )


def model_with_eyes() -> MorphableModel:
    """The toy head, its landmarks of eyes and brows on chosen corners of the mesh."""
    model = toy_model()
    wanted = model.mean[torch.zeros(68, dtype=torch.long)].clone()
    for ring, brow, x in (
        (IBUG68.right_eye, IBUG68.right_brow, -30.0),
        (IBUG68.left_eye, IBUG68.left_brow, 30.0),
    ):
        for place, index in enumerate(ring):
            angle = np.pi - place * np.pi / 3
            wanted[index] = torch.tensor([x + 15 * np.cos(angle), -20 - 6 * np.sin(angle), 0])
        for index in brow:
            wanted[index] = torch.tensor([x, -45.0, 0.0])
    triangles = model.triangles[torch.arange(68)]
    mean = model.mean.clone()
    return replace(
        model,
        mean=torch.cat((mean, wanted)),
        identity_basis=torch.zeros(3, 128, 3),
        expression_basis=torch.zeros(4, 128, 3),
        texture_mean=torch.full((128, 3), 0.5),
        texture_basis=torch.zeros(6, 128, 3),
        triangles=torch.cat((triangles, torch.arange(60, 128)[:, None].expand(-1, 3))),
        regions={name: torch.ones(128, dtype=torch.bool) for name in model.regions},
        landmark_triangles=torch.arange(68, 136),
        landmark_weights=torch.full((68, 3), 1 / 3),
    )


def test_eyes_are_read_from_the_models_landmarks():
    person = PersonCoefficients(torch.zeros(3), torch.zeros(6))
    shape = eye_shape(Scene(model_with_eyes(), person, CAMERA, 64))
    assert shape is not None
    torch.testing.assert_close(shape.middle[:, :2], torch.tensor([[-30.0, -20], [30, -20]]))
    torch.testing.assert_close(shape.along, torch.tensor([[15.0, 0, 0]]).expand(2, 3))
    torch.testing.assert_close(shape.down, torch.tensor([[0.0, 15, 0]]).expand(2, 3))
    assert shape.up[0] == pytest.approx(0.66 * 25 / 15)
    blind = Scene(replace(model_with_eyes(), landmark_layout=""), person, CAMERA, 64)
    assert eye_shape(blind) is None


def test_places_are_the_projected_head():
    track = toy_track(5)
    places = place_eyes(SHAPE, CAMERA, track)
    for eye in range(2):
        point = SHAPE.middle[eye].expand(5, 1, 3)
        seen = CAMERA.project(transform_points(point, track.rotation, track.translation))
        np.testing.assert_allclose(places.middle[:, eye], seen[:, 0], rtol=1e-5)
    lost = place_eyes(SHAPE, CAMERA, replace(track, confidence=torch.zeros(5)))
    assert np.isnan(lost.middle).all()
    assert lost.box(0, 320, 240) is None


def test_a_picture_is_carried_to_itself_by_nothing_and_there_and_back():
    places = place_eyes(SHAPE, CAMERA, toy_track(2))
    one, other = places.take([0]), places.take([1])
    for eye in range(2):
        np.testing.assert_allclose(carry_eye(one, one, eye), np.eye(2, 3), atol=1e-9)
        there = np.vstack([carry_eye(one, other, eye), [0, 0, 1]])
        back = np.vstack([carry_eye(other, one, eye), [0, 0, 1]])
        np.testing.assert_allclose(there @ back, np.eye(3), atol=1e-8)
        # What lies near the eye on the head comes to lie where the head's pose puts it.
        near = SHAPE.middle[eye] + 0.4 * SHAPE.along[eye] - 0.3 * SHAPE.down[eye]
        track = toy_track(2)
        seen = CAMERA.project(
            transform_points(near.expand(2, 1, 3), track.rotation, track.translation)
        )[:, 0].numpy()
        carried = there[:2] @ [*seen[0], 1]
        np.testing.assert_allclose(carried, seen[1], atol=0.3)


def test_distance_is_zero_at_the_middle_and_one_on_the_outline():
    places = place_eyes(SHAPE, CAMERA, still(rotation=(0.1, 0.2, 0.3)))
    for eye in range(2):
        for along, down in ((ALONG, 0), (-ALONG, 0), (0, DOWN), (0, -0.8), (0, 0)):
            x, y = places.middle[0, eye] + places.axes[0, eye] @ [along, down]
            left, top = int(np.floor(x)), int(np.floor(y))
            distance = eye_distance(places, 0, eye, (left, top, left + 1, top + 1))
            assert distance[0, 0] == pytest.approx(0 if (along, down) == (0, 0) else 1, abs=0.09)


def test_the_box_holds_both_windows_and_nothing_outside_the_picture():
    places = place_eyes(SHAPE, CAMERA, still(rotation=(0.0, 0.0, 0.4)))
    box = places.box(0, 320, 240)
    assert box is not None
    whole = (0, 0, 320, 240)
    inside = np.zeros((240, 320), bool)
    inside[box[1] : box[3], box[0] : box[2]] = True
    for eye in range(2):
        assert inside[eye_distance(places, 0, eye, whole) < 1].all()
    aside = EyePlaces(places.middle + 1000, places.axes, places.up)
    assert aside.box(0, 320, 240) is None
    corner = EyePlaces(places.middle - places.middle[:, :1], places.axes, places.up)
    cut = corner.box(0, 320, 240)
    assert cut is not None
    assert cut[0] == 0
    assert cut[1] == 0


def test_shapes_are_checked():
    with pytest.raises(ShapeError, match="middle"):
        EyeShape(torch.zeros(3, 3), SHAPE.along, SHAPE.down, (1, 1))
    with pytest.raises(ShapeError, match="axes"):
        EyePlaces(np.zeros((1, 2, 2)), np.zeros((2, 2, 2, 2)), (1, 1))
