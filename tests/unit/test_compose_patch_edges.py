"""A patch ends in nothing: the new mouth laid over its source is the result, and has no frame.

Where a patch's box ends inside the picture its alpha is zero there. Where the box ends with the
picture it may be cut anywhere.
"""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from eye_toys import face_places, paint_face
from face_toys import CAMERA, toy_model, toy_track
from hypothesis import given, settings
from hypothesis import strategies as st

from metatalk.compose.blend import DrawnFace, Patch, compose_window, find_window, mix_patches
from metatalk.compose.config import DriveConfig
from metatalk.compose.eyes.windows import cut_window, replace_eyes
from metatalk.compose.revoice import Performance, Studio, revoice
from metatalk.compose.seam.config import SeamConfig
from metatalk.media.colour import ColourTags
from metatalk.media.picture import Picture
from metatalk.morphable.coefficients import PersonCoefficients
from metatalk.neural.generator import Generator
from metatalk.render.scene import Scene

SIZE = 128


def edges(patch: Patch, width: int, height: int) -> np.ndarray:
    """Alpha along those sides of a patch's box that lie inside a picture."""
    tall, wide = patch.alpha.shape
    sides = [
        (patch.top > 0, patch.alpha[0]),
        (patch.top + tall < height, patch.alpha[-1]),
        (patch.left > 0, patch.alpha[:, 0]),
        (patch.left + wide < width, patch.alpha[:, -1]),
    ]
    inside = [line for is_inside, line in sides if is_inside]
    return np.concatenate([*inside, np.zeros(0, np.float32)])


def blob(radius: float, x: float, y: float) -> np.ndarray:
    """A round mask; the crop's own side may cut it."""
    rows, columns = np.mgrid[:SIZE, :SIZE] + 0.5
    return (255 * (np.hypot(columns - x, rows - y) < radius)).astype(np.uint8)


@settings(deadline=None, max_examples=40)
@given(
    st.floats(0.25, 3),
    st.floats(-3, 3),
    st.tuples(st.floats(-10, 170), st.floats(-10, 130)),
    st.tuples(st.floats(12, 100), st.floats(0, SIZE), st.floats(0, SIZE)),
    st.sampled_from([1, 2, 4, 6]),
)
def test_a_new_mouth_ends_in_nothing(scale, angle, place, round_mask, levels):
    turn = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    window = find_window(np.column_stack([turn, SIZE / 2 - turn @ np.array(place)]), SIZE, 160, 120)
    if window is None:
        return
    rows, columns = np.mgrid[:SIZE, :SIZE].astype(np.float32) + 0.5
    mask = blob(*round_mask)
    patch = compose_window(
        DrawnFace(np.ones((SIZE, SIZE, 3), np.float32), mask, np.stack([columns, rows], -1)),
        np.zeros((window.height, window.width, 3), np.uint8),
        window,
        DriveConfig(seam=SeamConfig(levels=levels)),
    )
    if patch is not None:
        is_cut = any(line.any() for line in (mask[0], mask[-1], mask[:, 0], mask[:, -1]))
        line = edges(patch, 160, 120)
        # Where the crop itself ends, a mask that it cuts off has a pixel's share of its feather.
        assert (line <= (0.02 if is_cut else 0.0)).all()


@pytest.mark.parametrize("scale", [0.9, 1.0, 1.1])
@pytest.mark.parametrize("shift", [(0.0, 0.0), (30.5, -12.3), (-70.0, 8.0), (55.0, 30.0)])
def test_other_eyes_end_in_nothing(shift: tuple[float, float], scale: float):
    own = cut_window(paint_face(shift, scale), face_places(shift, scale))
    donor = cut_window(paint_face(iris=(0.1, 0.2, 0.6)), face_places())
    assert own is not None
    assert donor is not None
    patch = replace_eyes(own, donor)
    assert patch is not None
    assert patch.alpha.max() > 0.9
    line = edges(patch, 320, 180)
    assert len(line)
    assert not line.any()
    steps = [np.abs(np.diff(patch.alpha, axis=axis)).max() for axis in (0, 1)]
    assert max(steps) < 0.35  # nor does it stop within its box


@pytest.fixture(scope="module")
def driven() -> list[tuple[Picture, Picture, tuple[Patch, ...]]]:
    """Frames before and after, and what was laid over them, a jaw that is followed included."""
    torch.manual_seed(0)
    track, count = toy_track(4), 4
    person = PersonCoefficients(torch.zeros(3), torch.zeros(6))
    scene = Scene(toy_model(), person, CAMERA, 64)
    layout = scene.measure_layout(track, 0.2)
    transforms = scene.transforms(track, layout, 0.0, np.array([[0, count]]))
    chance = np.random.default_rng(2)
    noise = chance.integers(40, 200, (3, CAMERA.height, CAMERA.width), np.uint8)
    y, u, v = (cv2.GaussianBlur(plane, (0, 0), 3) for plane in noise)
    half = np.s_[::2, ::2]
    pictures = [
        Picture(n, n, (np.roll(y, n, 1), u[half].copy(), v[half].copy()), ColourTags(matrix=1))
        for n in range(count)
    ]
    expression = track.expression.clone()
    expression[:, 0] += torch.tensor([-2.0, -1.0, 1.0, 2.0])
    strength = np.ones(count, np.float32)
    performance = Performance(np.arange(count), track, transforms, expression, strength)
    generator = Generator((8, 8, 8, 8)).eval().requires_grad_(False)
    made = revoice(pictures, performance, Studio(scene, generator, DriveConfig(batch=2)))
    return [(p, m.picture, m.patches) for p, m in zip(pictures, made, strict=True)]


def test_a_jaw_that_is_followed_ends_in_nothing(driven):
    for _, picture, patches in driven:
        (patch,) = patches
        assert patch.alpha.max() > 0.9
        line = edges(patch, picture.width, picture.height)
        assert len(line)
        assert line.max() < 1 / 510  # half a level of the brightest difference


def test_beyond_a_patch_every_sample_is_the_footages(driven):
    for before, after, (patch,) in driven:
        tall, wide = patch.alpha.shape
        inside = np.zeros((after.height, after.width), bool)
        inside[patch.top : patch.top + tall, patch.left : patch.left + wide] = patch.alpha > 0
        assert (before.planes[0] != after.planes[0]).sum() > 100
        assert not (before.planes[0] != after.planes[0])[~inside].any()
        blocks = inside.reshape(after.height // 2, 2, after.width // 2, 2).any((1, 3))
        for old, new in zip(before.planes[1:], after.planes[1:], strict=True):
            assert not (old != new)[~blocks].any()


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_mean_of_patches_gives_the_mean_of_what_they_give(share):
    chance = np.random.default_rng(2)
    beneath = chance.random((40, 50, 3)).astype(np.float32)

    def patch(height, width, left, top):
        alpha = chance.random((height, width)).astype(np.float32)
        return Patch(chance.random((height, width, 3)).astype(np.float32), alpha, left, top)

    def lay(one):
        laid, (rows, columns) = beneath.copy(), one.alpha.shape
        here = np.s_[one.top : one.top + rows, one.left : one.left + columns]
        alpha = one.alpha[..., None]
        laid[here] = alpha * one.picture + (1 - alpha) * laid[here]
        return laid

    one, other = patch(20, 10, 5, 3), patch(12, 30, 8, 15)
    mixed = lay(mix_patches(one, other, share))
    np.testing.assert_allclose(mixed, (1 - share) * lay(one) + share * lay(other), atol=1e-6)
    assert mix_patches(None, None, share) is None
