"""Gradients of pictures against finite differences, and pictures against the rasteriser's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from face_toys import CAMERA, toy_model, toy_track

from metatalk.morphable.coefficients import PersonCoefficients
from metatalk.morphable.lighting import ambient_light
from metatalk.render.differentiable import (
    Pixels,
    draw_appearance,
    pixel_weights,
    seen_pixels,
    spread,
    to_pictures,
)
from metatalk.render.lower_face import project_to_crop
from metatalk.render.rasterize import Fragments, interpolate, rasterize
from metatalk.render.scene import Scene

MODEL, SIZE, FRAMES = toy_model(), 20, 2
PERSON = PersonCoefficients(torch.tensor([0.2, -0.1, 0.1]), torch.zeros(6))
SCENE = Scene(MODEL, PERSON, CAMERA, SIZE)
TRACK = toy_track(FRAMES)
TRACK = replace(TRACK, expression=0.3 * TRACK.expression)
TRIANGLES = MODEL.triangles
CORNERS = TRIANGLES.numpy().astype(np.int32)
# turned crops of other sizes and places, some of the head outside
TRANSFORMS = np.array([[[0.19, 0.05, -24], [-0.05, 0.19, -6]], [[0.15, 0, -12], [0, 0.15, -9.0]]])


def lit() -> torch.Tensor:
    light = ambient_light(0.7).repeat(FRAMES, 1, 1)
    return light + 0.1 * torch.randn(light.shape, generator=torch.Generator().manual_seed(1))


def see() -> tuple[Fragments, torch.Tensor]:
    vertices = SCENE.vertices(TRACK)
    points = project_to_crop(vertices, CAMERA, TRANSFORMS)
    return rasterize(points, CORNERS, SIZE, SIZE, cull_back=True), vertices


@pytest.fixture(scope="module")
def seen() -> tuple[Fragments, torch.Tensor, Pixels]:
    fragments, vertices = see()
    exact = seen_pixels(fragments, TRIANGLES, CAMERA, TRANSFORMS, torch.float64)
    return fragments, vertices.double(), exact


def few(pixels: Pixels, count: int = 12) -> Pixels:
    """Some pixels of every picture: finite differences go through each vertex of each."""
    chosen = torch.linspace(0, len(pixels.where) - 1, count).long()
    rows = {name: getattr(pixels, name)[chosen] for name in ("picture", "where", "rays", "corners")}
    return replace(pixels, **rows)


def test_weights_are_the_rasterisers(seen):
    fragments, vertices, pixels = seen
    weights = to_pictures(pixels, pixel_weights(pixels, vertices))
    np.testing.assert_allclose(weights.numpy(), fragments.weights, atol=2e-3)  # corners snapped
    assert fragments.covered.mean() > 0.2


def test_float32_is_exact_enough(seen):
    _, vertices, pixels = seen
    rough = replace(pixels, rays=pixels.rays.float())
    weights = pixel_weights(rough, vertices.float())
    torch.testing.assert_close(weights.double(), pixel_weights(pixels, vertices), atol=1e-4, rtol=0)


def test_points_lie_on_their_rays_and_depth_is_theirs(seen):
    fragments, vertices, pixels = seen
    place = spread(pixels, pixel_weights(pixels, vertices), vertices)
    torch.testing.assert_close(place[:, :2] / place[:, 2:], pixels.rays, atol=1e-9, rtol=0)
    depth = fragments.depth.reshape(-1)[pixels.where.numpy()]
    np.testing.assert_allclose(place[:, 2].numpy(), depth, rtol=1e-5)


def test_whole_frames_need_no_transform():
    vertices = SCENE.vertices(TRACK)
    still = np.tile(np.eye(2, 3), (FRAMES, 1, 1))
    points = project_to_crop(vertices, CAMERA, still)
    fragments = rasterize(points, CORNERS, CAMERA.height, CAMERA.width)
    frame = seen_pixels(fragments, TRIANGLES, CAMERA)
    crop = seen_pixels(fragments, TRIANGLES, CAMERA, still)
    torch.testing.assert_close(frame.rays, crop.rays)


def test_the_picture_is_the_one_that_is_drawn(seen):
    """Against colours shaded at the vertices and spread by the rasteriser's own weights."""
    fragments, vertices, pixels = seen
    albedo, light = SCENE.albedo.double(), lit().double()
    drawn = draw_appearance(pixels, vertices, albedo, light, TRIANGLES)
    bright = draw_appearance(pixels, vertices, albedo, 2 * light, TRIANGLES)
    torch.testing.assert_close(bright.colour, 2 * drawn.colour)
    flat = ambient_light(1.0).double().repeat(FRAMES, 1, 1)  # no direction: no normals in it
    plain = draw_appearance(pixels, vertices, albedo, flat, TRIANGLES)
    expected = interpolate(fragments, CORNERS, albedo.numpy())
    np.testing.assert_allclose(plain.colour.numpy(), expected, atol=1e-3)
    lengths = drawn.normals.norm(dim=-1)[torch.from_numpy(fragments.covered)]
    torch.testing.assert_close(lengths, torch.ones_like(lengths))
    assert (drawn.colour[~torch.from_numpy(fragments.covered)] == 0).all()


def test_weights_have_the_gradient_of_finite_differences(seen):
    _, vertices, pixels = seen
    some = few(pixels)
    moving = vertices.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda v: pixel_weights(some, v), moving, atol=1e-7)


@pytest.mark.parametrize("what", ["vertices", "albedo", "lighting"])
def test_pictures_have_the_gradient_of_finite_differences(seen, what):
    _, vertices, pixels = seen
    some = few(pixels)
    given = {"vertices": vertices, "albedo": SCENE.albedo.double(), "lighting": lit().double()}

    def draw(value: torch.Tensor) -> torch.Tensor:
        now = {**given, what: value}
        drawn = draw_appearance(some, now["vertices"], now["albedo"], now["lighting"], TRIANGLES)
        picked = (drawn.colour, drawn.normals, drawn.depth[..., None] / 100)
        return torch.cat(picked, -1).reshape(-1, 7)[some.where]

    value = given[what].clone().requires_grad_()
    assert torch.autograd.gradcheck(draw, value, atol=1e-6)
    assert torch.autograd.grad(draw(value).square().sum(), value)[0].abs().sum() > 0


def test_following_the_gradient_finds_the_light_again(seen):
    _, vertices, pixels = seen
    albedo, truth = SCENE.albedo.double(), lit().double()
    target = draw_appearance(pixels, vertices, albedo, truth, TRIANGLES).colour
    light = ambient_light(0.5).double().repeat(FRAMES, 1, 1).requires_grad_()
    search = torch.optim.LBFGS([light], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        search.zero_grad()
        drawn = draw_appearance(pixels, vertices, albedo, light, TRIANGLES).colour
        error = (drawn - target).square().sum()
        error.backward()
        return error

    search.step(loss)
    found = draw_appearance(pixels, vertices, albedo, light, TRIANGLES).colour
    torch.testing.assert_close(found, target, atol=1e-3, rtol=0)
