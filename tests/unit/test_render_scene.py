"""One actor before one camera, on the toy head."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from face_toys import CAMERA, toy_model, toy_track

from metatalk.morphable.coefficients import PersonCoefficients
from metatalk.morphable.lighting import ambient_light
from metatalk.render.crops import CropLayout, apply_transforms
from metatalk.render.scene import Scene

MODEL, FRAMES, SIZE = toy_model(), 4, 48
SCENE = Scene(
    MODEL, PersonCoefficients(torch.tensor([0.2, -0.1, 0.1]), torch.zeros(6)), CAMERA, SIZE
)
SHOTS = np.array([[0, FRAMES]])
TRACK = toy_track(FRAMES)
TRACK = replace(TRACK, expression=0.4 * TRACK.expression)


@pytest.fixture(scope="module")
def layout() -> CropLayout:
    return SCENE.measure_layout(TRACK, 0.2)


@pytest.fixture(scope="module")
def transforms(layout: CropLayout) -> np.ndarray:
    return SCENE.transforms(TRACK, layout, 0.0, SHOTS)


def test_what_is_drawn_and_what_hides_are_the_whole_head():
    drawn, others = set(SCENE.drawn.tolist()), set(SCENE.occluders.tolist())
    assert not drawn & others
    assert drawn | others == set(range(len(MODEL.triangles)))
    assert set(SCENE.skin.tolist()) <= drawn


def test_anchors_follow_the_head_and_never_the_mouth():
    anchors = SCENE.anchors(TRACK)
    talking = TRACK.with_expression(torch.rand(FRAMES, 4))
    np.testing.assert_array_equal(anchors, SCENE.anchors(talking))
    resting = SCENE.vertices(TRACK.with_expression(torch.zeros(FRAMES, 4)))
    pixels = CAMERA.project(resting)[:, MODEL.regions["lower_face"]].numpy()
    np.testing.assert_allclose(anchors, pixels[:, ::4], atol=1e-3)


def test_frames_without_a_face_have_no_anchors_but_a_crop(layout: CropLayout):
    lost = replace(TRACK, confidence=torch.tensor([1.0, 0.0, 1.0, 1.0]))
    anchors = SCENE.anchors(lost)
    assert np.isnan(anchors).all((1, 2)).tolist() == [False, True, False, False]
    transforms = SCENE.transforms(lost, layout, 0.0, SHOTS)
    assert np.isfinite(transforms).all()


def test_crops_hold_the_resting_lower_face(transforms: np.ndarray):
    placed = apply_transforms(SCENE.anchors(TRACK).astype(np.float64), transforms)
    assert placed.min() > 0
    assert placed.max() < SIZE


def test_crops_do_not_turn_with_a_layout_of_another_size(layout: CropLayout):
    """A larger crop of the same layout shows the same place."""
    small = SCENE.transforms(TRACK, layout, 0.0, SHOTS)
    large = Scene(MODEL, SCENE.person, CAMERA, 2 * SIZE).transforms(TRACK, layout, 0.0, SHOTS)
    np.testing.assert_allclose(large, 2 * small, atol=1e-9)


def test_vertices_and_points_agree(transforms: np.ndarray):
    vertices = SCENE.vertices(TRACK)
    assert vertices.shape == (FRAMES, 60, 3)
    points = SCENE.points(TRACK, transforms)
    np.testing.assert_allclose(points[..., 2], vertices[..., 2], rtol=1e-6)
    pixels = CAMERA.project(vertices).double().numpy()
    np.testing.assert_allclose(points[..., :2], apply_transforms(pixels, transforms), atol=1e-3)


def test_the_mask_never_tells_the_mouth(transforms: np.ndarray):
    mask = SCENE.mask(TRACK, transforms)
    assert mask.shape == (FRAMES, SIZE, SIZE)
    assert set(np.unique(mask)) == {0, 255}
    for expression in (torch.zeros(FRAMES, 4), torch.ones(FRAMES, 4)):
        other = SCENE.mask(TRACK.with_expression(expression), transforms)
        np.testing.assert_array_equal(mask, other)


def test_the_synthetic_face_is_drawn_in_its_light(transforms: np.ndarray):
    picture = SCENE.synthetic(TRACK, transforms)
    assert picture.shape == (FRAMES, SIZE, SIZE, 3)
    dim = replace(TRACK, lighting=ambient_light(0.4).expand(FRAMES, 3, 9))
    darker = SCENE.synthetic(dim, transforms)
    assert np.abs(2.0 * darker - picture).max() <= 2  # half the light, up to rounding
    resting = TRACK.with_expression(torch.zeros(FRAMES, 4))
    drawn = SCENE.synthetic(resting, transforms).any(-1)
    assert drawn.any((1, 2)).all()
    assert (SCENE.mask(TRACK, transforms)[drawn] == 255).all()


def test_other_tracks_of_the_same_pose_give_other_mouths(transforms: np.ndarray):
    open_mouth = torch.zeros(FRAMES, 4)
    open_mouth[:, 0] = 0.6
    one = SCENE.synthetic(TRACK.with_expression(torch.zeros(FRAMES, 4)), transforms)
    other = SCENE.synthetic(TRACK.with_expression(open_mouth), transforms)
    assert (one != other).any()


def test_a_face_that_did_not_move_carries_every_pixel_to_itself(transforms: np.ndarray):
    carried = SCENE.carry(TRACK, TRACK, transforms)
    assert carried.valid.mean() > 0.3
    rows, columns = np.mgrid[:SIZE, :SIZE] + 0.5
    own = np.broadcast_to(np.stack([columns, rows], -1), carried.source.shape)
    np.testing.assert_allclose(carried.source[carried.valid], own[carried.valid], atol=0.02)


def test_skin_is_carried_from_where_it_was_filmed(transforms: np.ndarray):
    spoken = TRACK.expression.clone()
    spoken[:, 1] += 0.3
    new = TRACK.with_expression(spoken)
    carried = SCENE.carry(new, TRACK, transforms)
    now, then = SCENE.points(new, transforms), SCENE.points(TRACK, transforms)
    vertex = 6 * 6 + 3  # in the middle of the lower face
    for frame in range(FRAMES):
        column, row = np.floor(now[frame, vertex, :2]).astype(int)
        shift = carried.source[frame, row, column] - (column + 0.5, row + 0.5)
        expected = then[frame, vertex, :2] - now[frame, vertex, :2]
        np.testing.assert_allclose(shift, expected, atol=0.6)
