"""Normals and spherical-harmonic light."""

from __future__ import annotations

import math

import pytest
import torch

from metatalk.errors import ShapeError
from metatalk.morphable.lighting import ambient_light, sh_basis, shade
from metatalk.morphable.normals import vertex_normals
from metatalk.morphable.pose import euler_to_matrix


def fibonacci_sphere(count: int) -> torch.Tensor:
    index = torch.arange(count, dtype=torch.float64) + 0.5
    height, turn = 1 - 2 * index / count, index * math.pi * (3 - math.sqrt(5))
    radius = (1 - height**2).sqrt()
    return torch.stack((radius * turn.cos(), radius * turn.sin(), height), -1)


def octahedron() -> tuple[torch.Tensor, torch.Tensor]:
    """Six corners on the axes; counter-clockwise seen from outside."""
    corners = torch.cat((torch.eye(3), -torch.eye(3))).double()
    faces = [(0, 1, 2), (1, 3, 2), (3, 4, 2), (4, 0, 2), (1, 0, 5), (3, 1, 5), (4, 3, 5), (0, 4, 5)]
    return corners, torch.tensor(faces)


def test_sh_basis_is_orthonormal():
    values = sh_basis(fibonacci_sphere(20_000))  # (N, 9) float64
    gram = 4 * math.pi * values.T @ values / len(values)
    torch.testing.assert_close(gram, torch.eye(9, dtype=torch.float64), atol=1e-3, rtol=0)


def test_ambient_light_shows_the_albedo():
    normals, albedo = fibonacci_sphere(50).float(), torch.rand(50, 3)
    torch.testing.assert_close(shade(albedo, normals, ambient_light()), albedo)
    torch.testing.assert_close(shade(albedo, normals, ambient_light(0.5)), albedo / 2)


def test_light_from_the_camera_falls_on_what_faces_it():
    light = torch.zeros(3, 9)
    light[1, 2] = -1.0  # green, towards -z
    colour = shade(torch.ones(2, 3), torch.tensor([[0.0, 0, -1], [0, 0, 1]]), light)
    assert colour[0, 1] > 0 > colour[1, 1]
    assert not colour[:, [0, 2]].any()


def test_shade_broadcasts_over_frames():
    albedo, normals, lighting = torch.rand(7, 3), torch.randn(4, 7, 3), torch.randn(4, 3, 9)
    batch = shade(albedo, normals, lighting)
    torch.testing.assert_close(batch[2], shade(albedo, normals[2], lighting[2]))


def test_normals_of_a_round_body_point_outwards():
    corners, faces = octahedron()
    torch.testing.assert_close(vertex_normals(corners, faces), corners)


def test_normals_turn_with_the_body_and_ignore_its_size():
    corners, faces = octahedron()
    bent = corners + 0.2 * torch.rand(6, 3, generator=torch.manual_seed(0)).double()
    turn = euler_to_matrix(torch.tensor([0.3, -0.8, 0.2]).double())
    moved = torch.stack((bent, 50 * bent @ turn.T + 600))  # (2, V, 3)
    still, turned = vertex_normals(moved, faces)
    torch.testing.assert_close(turned, still @ turn.T)


def test_a_lonely_vertex_has_no_normal():
    corners, faces = octahedron()
    lonely = torch.cat((corners, torch.ones(1, 3).double()))
    assert vertex_normals(lonely, faces)[-1].abs().max() == 0


def test_gradients_are_right():
    corners, faces = octahedron()
    corners = (corners * torch.linspace(0.8, 1.3, 6).double()[:, None]).requires_grad_()
    lighting = torch.linspace(-1, 1, 27).double().reshape(3, 9).requires_grad_()
    picture = lambda c, light: shade(c.abs(), vertex_normals(c, faces), light)  # noqa: E731
    corners = (corners.detach() + 0.1).requires_grad_()
    assert torch.autograd.gradcheck(picture, (corners, lighting))


def test_refuses_flat_normals():
    with pytest.raises(ShapeError, match="normals"):
        sh_basis(torch.zeros(4, 2))
