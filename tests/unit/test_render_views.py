"""One pass over the new face gives the pictures that the scene draws one by one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from face_toys import CAMERA, toy_model, toy_track

from metatalk.morphable.coefficients import PersonCoefficients
from metatalk.render.lower_face import box_around, paint
from metatalk.render.rasterize import rasterize
from metatalk.render.scene import Scene
from metatalk.render.views import draw_views
from metatalk.render.warp import trace_back

FRAMES, SIZE = 3, 48


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene(toy_model(), PersonCoefficients(torch.zeros(3), torch.zeros(6)), CAMERA, SIZE)


@pytest.mark.parametrize("opening", [0.0, 0.4, 1.0])
def test_views_are_what_the_scene_draws(scene: Scene, opening: float):
    filmed = toy_track(FRAMES)
    expression = filmed.expression.clone()
    expression[:, 0] = opening
    track = filmed.with_expression(expression)
    layout = scene.measure_layout(filmed, 0.2)
    transforms = scene.transforms(filmed, layout, 0.0, np.array([[0, FRAMES]]))
    views = draw_views(scene, track, filmed, transforms, threads=1)
    np.testing.assert_array_equal(views.synthetic, scene.synthetic(track, transforms))
    np.testing.assert_array_equal(views.mask, scene.mask(filmed, transforms))
    carried = scene.carry(track, filmed, transforms)
    inside = views.mask > 0
    both = views.carried.valid & carried.valid
    np.testing.assert_array_equal(views.carried.source[both], carried.source[both])
    assert not (views.carried.valid & ~carried.valid).any()
    lost = carried.valid & ~views.carried.valid & inside
    skin = len(scene.skin)
    shown = (views.look.seen.triangle >= skin) & (views.look.seen.triangle < len(scene.drawn))
    assert shown[lost].all()  # where the mouth's inside lies before it, nothing is carried
    assert both[inside].mean() > 0.5
    assert views.synthetic[inside].any()


def test_depth_alone_is_the_depth_with_weights():
    chance = np.random.default_rng(1)
    points = np.concatenate(
        [chance.uniform(-10, 60, (2, 40, 2)), chance.uniform(200, 400, (2, 40, 1))], -1
    ).astype(np.float32)
    triangles = chance.integers(0, 40, (60, 3))
    whole = rasterize(points, triangles, 50, 50, shown=40)
    bare = rasterize(points, triangles, 50, 50, shown=40, weighted=False)
    np.testing.assert_array_equal(bare.triangle, whole.triangle)
    np.testing.assert_array_equal(bare.depth, whole.depth)
    assert not bare.weights.any()
    np.testing.assert_allclose(whole.weights.sum(-1), whole.covered, atol=1e-6)


@pytest.mark.parametrize(
    "box", [(5, 8, 30, 41), (-9, -9, 70, 20), (20, 20, 20, 50), (60, 0, 80, 9)]
)
def test_a_box_shows_that_part_of_the_picture(box: tuple[int, int, int, int]):
    chance = np.random.default_rng(3)
    points = np.concatenate(
        [chance.uniform(-10, 60, (2, 40, 2)), chance.uniform(200, 400, (2, 40, 1))], -1
    ).astype(np.float32)
    triangles = chance.integers(0, 40, (60, 3))
    whole = rasterize(points, triangles, 50, 50)
    part = rasterize(points, triangles, 50, 50, box=box, threads=3)
    left, top, right, bottom = box
    inside = np.zeros((50, 50), bool)
    inside[max(top, 0) : bottom, max(left, 0) : right] = True
    assert whole.covered.mean() > 0.5
    np.testing.assert_array_equal(part.triangle, np.where(inside, whole.triangle, -1))
    np.testing.assert_array_equal(part.weights, whole.weights * inside[..., None])
    np.testing.assert_array_equal(part.depth[:, inside], whole.depth[:, inside])
    assert np.isinf(part.depth[:, ~inside]).all()


def test_a_box_around_triangles_holds_every_picture_of_them():
    points = np.array([[[3.2, 9, 1], [7, 4, 1], [99, 99, 1]], [[1, 5, 1], [7.5, 6, 1], [0, 0, 1]]])
    assert box_around(points, np.array([[0, 1, 1]])) == (1, 4, 8, 9)
    points[0, 0, 0] = np.nan
    left, top, right, bottom = box_around(points, np.array([[0, 1, 1]]))
    assert left < top + 1 < -(10**4)
    assert right > 10**4 < bottom


def test_what_lies_behind_the_painted_triangles_stays_black():
    points = np.array([[[0, 0, 300], [0, 40, 300], [40, 0, 300], [40, 40, 300]]], np.float32)
    triangles = np.array([[0, 1, 2], [1, 3, 2]])
    seen = rasterize(points, triangles, 40, 40)
    colour = np.array([[[2.0, 0.4, np.nan]] * 4], np.float32)
    picture = paint(seen, triangles[:1], colour)
    first = seen.triangle[0] == 0
    assert first.any()
    assert (~first).any()
    np.testing.assert_array_equal(picture[0][first], np.tile([255, 102, 0], (first.sum(), 1)))
    assert not picture[0][~first].any()


def test_a_face_that_did_not_move_is_traced_to_where_it_is():
    points = np.array([[[2, 2, 300], [2, 38, 320], [38, 2, 310], [38, 38, 300]]], np.float32)
    triangles = np.array([[0, 1, 2], [1, 3, 2]])
    seen = rasterize(points, triangles, 40, 40, cull_back=True)
    assert seen.covered.any()
    carried = trace_back(seen, triangles, points, seen.depth)
    np.testing.assert_array_equal(carried.valid, seen.covered)
    rows, columns = np.mgrid[:40, :40] + 0.5
    here = np.stack([columns, rows], -1)[None]
    np.testing.assert_allclose(carried.source[carried.valid], here[carried.valid], atol=2e-3)
    nearer = np.full_like(seen.depth, 250.0)
    assert not trace_back(seen, triangles, points, nearer).valid.any()
