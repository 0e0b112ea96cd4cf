"""The fitted face over its footage, on the toy head."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from face_toys import CAMERA, toy_model, toy_track

from metatalk.errors import ShapeError
from metatalk.landmarks.points import IBUG68
from metatalk.morphable.coefficients import PersonCoefficients, TrackCoefficients
from metatalk.morphable.lighting import ambient_light
from metatalk.morphable.pose import transform_points
from metatalk.render.overlay import (
    GRID_MM,
    PAPER,
    WARNING,
    FacePainter,
    Patch,
    Window,
    draw_label,
)

MODEL = toy_model()
PERSON = PersonCoefficients(torch.tensor([0.2, -0.1, 0.1]), torch.zeros(6))
PAINTER = FacePainter(MODEL, PERSON, CAMERA)


def frontal(yaw_deg: float = 0.0, x_mm: float = 0.0) -> TrackCoefficients:
    """One frame of the resting face."""
    row = toy_track(1)
    return replace(
        row,
        expression=torch.zeros(1, 4),
        rotation=torch.tensor([[0.0, math.radians(yaw_deg), 0.0]]),
        translation=torch.tensor([[x_mm, 0.0, 700.0]]),
    )


def mesh_px(row: TrackCoefficients) -> np.ndarray:
    """(V, 2) px in the frame."""
    shape = MODEL.shape(PERSON.identity, row.expression[0])
    return CAMERA.project(transform_points(shape, row.rotation[0], row.translation[0])).numpy()


def near(mask: np.ndarray, points: np.ndarray, reach: int) -> np.ndarray:
    """Whether a mask is set within `reach` px of each (N, 2) point."""
    found = []
    for x, y in points.astype(int):
        box = mask[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1]
        found.append(bool(box.any()))
    return np.array(found)


@pytest.mark.parametrize("scale", [1.0, 2.0, 1.37])
def test_a_window_places_its_own_corners(scale: float) -> None:
    window = Window(10, 20, 110, 70, scale)
    corners = window.place(np.array([[10.0, 20.0], [110.0, 70.0]], np.float32))
    np.testing.assert_allclose(corners[0], 0)
    np.testing.assert_allclose(corners[1], (100 * scale, 50 * scale), rtol=1e-6)
    assert (window.width, window.height) == (round(100 * scale), round(50 * scale))


def test_the_window_holds_the_face_and_begins_evenly() -> None:
    window, points = PAINTER.window(frontal()), mesh_px(frontal())
    assert window.left <= points[:, 0].min()
    assert window.right >= points[:, 0].max()
    assert window.top <= points[:, 1].min()
    assert window.bottom >= points[:, 1].max()
    assert window.left % 2 == window.top % 2 == 0


@pytest.mark.parametrize("x_mm", [-5000.0, 5000.0])
def test_a_face_outside_the_picture_has_no_window(x_mm: float) -> None:
    assert PAINTER.window(frontal(x_mm=x_mm)).is_empty


def test_a_face_behind_the_camera_has_no_window() -> None:
    row = replace(frontal(), translation=torch.tensor([[0.0, 0.0, -700.0]]))
    assert PAINTER.window(row).is_empty


def test_the_landmarks_are_the_projected_ones() -> None:
    row = toy_track(1, seed=5)
    window = PAINTER.window(row, 2.0)
    mean, shapes, faces = MODEL.landmark_basis()
    points = mean + torch.tensordot(PERSON.identity, shapes, 1)
    points = points + torch.tensordot(row.expression[0], faces, 1)
    placed = transform_points(points, row.rotation[0], row.translation[0])
    expected = window.place(CAMERA.project(placed).numpy())
    np.testing.assert_allclose(PAINTER.look(row, window).landmarks, expected, atol=1e-2)


def test_marks_lie_on_the_face_and_nowhere_else() -> None:
    window = PAINTER.window(frontal(), 2.0, margin=0.5)
    patch = PAINTER.draw_marks(PAINTER.look(frontal(), window))
    points = window.place(mesh_px(frontal()))
    marked = patch.alpha > 0
    rows, columns = np.nonzero(marked)
    assert columns.min() > points[:, 0].min() - 6
    assert columns.max() < points[:, 0].max() + 6
    assert rows.min() > points[:, 1].min() - 6
    assert rows.max() < points[:, 1].max() + 6
    assert (patch.left, patch.top) == (2 * window.left, 2 * window.top)


def test_contours_run_through_the_fit_and_dots_through_the_detected() -> None:
    window = PAINTER.window(frontal(), 2.0)
    sight = PAINTER.look(frontal(), window)
    lips = list(IBUG68.lips)
    seen = mesh_px(frontal())[:1] + np.zeros((68, 1), np.float32)  # all at one corner of the mesh
    patch = PAINTER.draw_marks(sight, seen)
    warmth = patch.rgb[..., 0] - patch.rgb[..., 2]  # a thin line is mixed with its dark rim
    fit, dots = warmth > 0.3, warmth < -0.3
    assert near(fit, sight.landmarks[lips], 2).all()
    assert near(dots, window.place(seen[:1]), 1).all()
    ys, xs = np.nonzero(dots)
    assert np.hypot(xs - window.place(seen)[0, 0], ys - window.place(seen)[0, 1]).max() < 6


def test_landmarks_without_a_place_are_not_drawn() -> None:
    sight = PAINTER.look(frontal(), PAINTER.window(frontal()))
    nowhere = np.full((68, 2), np.nan, np.float32)
    np.testing.assert_array_equal(
        PAINTER.draw_marks(sight, nowhere).alpha, PAINTER.draw_marks(sight).alpha
    )


@pytest.mark.parametrize("yaw", [0.0, 25.0])
def test_the_grid_lies_where_the_mean_face_has_whole_centimetres(yaw: float) -> None:
    row, chance = frontal(yaw), np.random.default_rng(0)
    window = PAINTER.window(row, 4.0)
    alpha = PAINTER.draw_marks(PAINTER.look(row, window)).alpha
    corners = MODEL.triangles.numpy()
    mean, placed = MODEL.mean.numpy(), window.place(mesh_px(row))
    on_line, between = [], []
    while len(on_line) < 40 or len(between) < 40:
        triangle = corners[chance.integers(len(corners))]
        weights = chance.dirichlet(np.ones(3))
        place = weights @ mean[triangle][:, :2] / GRID_MM
        away = np.abs(place - np.rint(place)).min()
        x, y = (weights @ placed[triangle]).astype(int)
        if 0 <= y < alpha.shape[0] and 0 <= x < alpha.shape[1]:
            if away < 0.005:
                on_line.append(alpha[y, x] > 0)
            elif away > 0.3:
                between.append(0 < alpha[y, x] < 0.3)
    assert np.mean(on_line) > 0.9
    assert np.mean(between) < 0.1


def test_features_on_the_far_side_are_left_out() -> None:
    turned = PAINTER.look(frontal(75.0), PAINTER.window(frontal(75.0)))
    assert PAINTER.look(frontal(), PAINTER.window(frontal())).facing.all()
    assert not turned.facing.all()


def test_the_shaded_face_has_its_albedo_under_even_light() -> None:
    sight = PAINTER.look(frontal(), PAINTER.window(frontal(), margin=0.3))
    shaded = PAINTER.draw_shaded(sight, ambient_light(1.0))
    covered = sight.fragments.covered[0]
    albedo = np.rint(255 * MODEL.albedo(PERSON.texture)[0].numpy())
    assert np.abs(shaded[covered].astype(float) - albedo).max() <= 1
    assert np.abs(shaded[~covered].astype(float) - 255 * PAPER).max() <= 1


def test_skin_that_looks_at_us_is_blue() -> None:
    sight = PAINTER.look(frontal(), PAINTER.window(frontal()))
    flattest = int(sight.normals[:, 2].argmin())
    x, y = sight.window.place(mesh_px(frontal()))[flattest].astype(int)
    red, green, blue = PAINTER.draw_normals(sight)[y, x].astype(int)
    assert blue > 250
    assert max(abs(red - 128), abs(green - 128)) < 40


def test_a_patch_covers_as_far_as_its_alpha_says() -> None:
    below = np.full((2, 2, 3), 100, np.uint8)
    alpha = np.array([[0.0, 1.0], [0.5, 0.0]], np.float32)
    blended = Patch(np.ones((2, 2, 3), np.float32), alpha, 0, 0).over(below)
    np.testing.assert_array_equal(blended[..., 0], [[100, 255], [178, 100]])
    with pytest.raises(ShapeError):
        Patch(np.ones((2, 3, 3), np.float32), alpha, 0, 0)


def test_a_label_grows_with_its_lines_and_warns_in_colour() -> None:
    one, two = draw_label(["frame 7"], 0.6), draw_label(["frame 7", "no face"], 0.6, warning=True)
    assert two.alpha.shape[0] > one.alpha.shape[0]
    warned = np.abs(255 * two.rgb - WARNING).max(-1) < 1
    assert warned[:, 0].all()
    assert not (np.abs(255 * one.rgb - WARNING).max(-1) < 1).any()
