"""Rotations, rigid motion and the camera."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from metatalk.errors import ShapeError
from metatalk.morphable.camera import NEAR_MM, Camera, project
from metatalk.morphable.pose import euler_to_matrix, matrix_to_euler, transform_points

ANGLES = st.tuples(st.floats(-3, 3), st.floats(-1.5, 1.5), st.floats(-3, 3))


def random_angles(count: int = 50) -> torch.Tensor:
    chance = torch.Generator().manual_seed(0)
    limit = torch.tensor([math.pi, math.pi / 2, math.pi], dtype=torch.float64)
    return (2 * torch.rand(count, 3, generator=chance, dtype=torch.float64) - 1) * limit * 0.99


def test_matrices_are_those_of_scipy():
    angles = random_angles()
    expected = Rotation.from_euler("xyz", angles.numpy()).as_matrix()  # lower case: fixed axes
    torch.testing.assert_close(euler_to_matrix(angles), torch.from_numpy(expected))


def test_matrices_are_rotations():
    matrices = euler_to_matrix(random_angles())
    eye = torch.eye(3, dtype=torch.float64).expand_as(matrices)
    torch.testing.assert_close(matrices @ matrices.mT, eye)
    torch.testing.assert_close(torch.linalg.det(matrices), torch.ones(50, dtype=torch.float64))


@given(ANGLES)
def test_angles_come_back(angles: tuple[float, float, float]):
    given_angles = torch.tensor(angles, dtype=torch.float64)
    back = matrix_to_euler(euler_to_matrix(given_angles))
    torch.testing.assert_close(back, given_angles, atol=1e-7, rtol=0)


def test_looking_straight_to_the_side_has_finite_angles():
    side = euler_to_matrix(torch.tensor([0.3, math.pi / 2, 0.1]))
    back = matrix_to_euler(side)
    assert back.isfinite().all()
    assert back[1] == pytest.approx(math.pi / 2, abs=1e-3)


def test_rotation_has_a_gradient():
    angles = random_angles(3).requires_grad_()
    assert torch.autograd.gradcheck(euler_to_matrix, angles)


def test_points_turn_then_move():
    points = torch.tensor([[1.0, 0, 0], [0, 1, 0]])
    quarter = torch.tensor([0.0, 0.0, math.pi / 2])  # x towards y
    moved = transform_points(points, quarter, torch.tensor([10.0, 20.0, 30.0]))
    expected = torch.tensor([[10.0, 21, 30], [9, 20, 30]])
    torch.testing.assert_close(moved, expected, atol=1e-5, rtol=0)


def test_a_batch_moves_as_each_alone():
    points, angles, places = torch.randn(4, 7, 3), torch.randn(4, 3), torch.randn(4, 3)
    batch = transform_points(points, angles, places)
    torch.testing.assert_close(batch[2], transform_points(points[2], angles[2], places[2]))
    shared = transform_points(points[0], angles, places)  # one shape, many poses
    torch.testing.assert_close(shared[3], transform_points(points[0], angles[3], places[3]))


@pytest.mark.parametrize("wrong", [torch.zeros(2), torch.zeros(3, 4), torch.tensor(1.0)])
def test_wrong_shapes_are_named(wrong: torch.Tensor):
    with pytest.raises(ShapeError, match="angles"):
        euler_to_matrix(wrong)
    with pytest.raises(ShapeError, match="matrix"):
        matrix_to_euler(wrong)


def test_projection_is_a_pinholes():
    camera = Camera(800.0, 640, 480)
    pixels = camera.project(torch.tensor([[0.0, 0, 500], [50, -25, 500], [50, -25, 1000]]))
    torch.testing.assert_close(pixels, torch.tensor([[320.0, 240], [400, 200], [360, 220]]))


def test_points_behind_the_camera_stay_finite():
    pixels = Camera(800.0, 640, 480).project(torch.tensor([[1.0, 2.0, 0.0], [1.0, 2.0, -5.0]]))
    torch.testing.assert_close(pixels[0], torch.tensor([320.0 + 800, 240 + 1600]) / NEAR_MM)
    assert pixels.isfinite().all()


def test_projection_has_a_gradient():
    points = torch.tensor([[3.0, -4.0, 500.0]], dtype=torch.float64, requires_grad=True)
    focal = torch.tensor(700.0, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda p, f: project(p, f, 640, 480), (points, focal))


@pytest.mark.parametrize(
    "lens", [(0.0, 64, 48), (-1.0, 64, 48), (math.nan, 64, 48), (math.inf, 64, 48), (50.0, 0, 48)]
)
def test_impossible_cameras_are_refused(lens: tuple[float, int, int]):
    with pytest.raises(ShapeError):
        Camera(*lens)
