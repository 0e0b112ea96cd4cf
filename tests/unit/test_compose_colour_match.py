"""Colours of the generated face matched to the filmed skin."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from metatalk.compose.seam.colour_match import match_colours
from metatalk.errors import ShapeError

SIZE = 128
LEVEL = 0.4


def disc(radius: float = 45.0) -> np.ndarray:
    rows, columns = np.mgrid[:SIZE, :SIZE] + 0.5
    inside = (columns - SIZE / 2) ** 2 + (rows - SIZE / 2) ** 2 < radius**2
    return (255 * inside).astype(np.uint8)


def skin(spread: float = 8.0, seed: int = 0) -> np.ndarray:
    """(S, S, 3) uint8: one colour, a little uneven."""
    noise = np.random.default_rng(seed).normal(size=(SIZE, SIZE, 3)).astype(np.float32)
    uneven = cv2.GaussianBlur(noise, (0, 0), 3.0)
    return np.rint(255 * LEVEL + spread * uneven / uneven.std()).astype(np.uint8)


def unit(picture: np.ndarray) -> np.ndarray:
    return picture.astype(np.float32) / 255


def own_place() -> np.ndarray:
    rows, columns = np.mgrid[:SIZE, :SIZE].astype(np.float32) + 0.5
    return np.stack([columns, rows], -1)


@pytest.mark.parametrize("carried", [None, own_place()], ids=["here", "carried"])
@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_pictures_that_match_are_left_alone(strength, carried):
    filmed = skin()
    matched = match_colours(unit(filmed), filmed, disc(), strength, carried)
    np.testing.assert_allclose(matched, unit(filmed), atol=1e-3)


@pytest.mark.parametrize("carried", [None, own_place()], ids=["here", "carried"])
def test_another_light_is_taken_out(carried):
    filmed = skin()
    tint = np.array([0.06, -0.05, 0.02], np.float32)
    generated = unit(filmed) + tint
    inside = disc(38) > 0
    matched = match_colours(generated, filmed, disc(), 1.0, carried)
    assert np.abs((matched - unit(filmed))[inside]).max() < 0.006
    half = match_colours(generated, filmed, disc(), 0.5, carried)
    np.testing.assert_allclose(
        (half - unit(filmed))[inside], np.broadcast_to(tint / 2, (inside.sum(), 3)), atol=0.006
    )


def test_what_lies_around_the_mask_says_nothing():
    filmed = skin()
    generated = unit(filmed)
    generated[disc(50) == 0] = 0.9
    matched = match_colours(generated, filmed, disc(), 1.0)
    np.testing.assert_allclose(matched[disc(40) > 0], generated[disc(40) > 0], atol=2e-3)


def test_skin_that_moved_is_compared_with_itself():
    """A chin that comes down lies where the neck, which is darker, was filmed."""
    filmed = skin(0.0)
    filmed[70:] = 60
    generated = unit(skin(0.0)) + 0.03
    generated[82:] = 60 / 255 + 0.03  # the chin has moved by 12 pixels
    carried = own_place() - np.array([0, 12], np.float32)
    matched = match_colours(generated, filmed, disc(), 1.0, carried)
    inside = disc(38) > 0
    assert np.abs((matched - generated + 0.03)[inside]).max() < 0.004
    here = match_colours(generated, filmed, disc(), 1.0)
    assert (
        np.abs((here - generated + 0.03)[72:80, 54:74]).max()
        > np.abs((matched - generated + 0.03)[72:80, 54:74]).max()
    )


@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 0, 0), (20, 200, 40)])
def test_a_microphone_before_the_chin_does_not_tint_the_face(colour):
    filmed = skin()
    generated = unit(filmed) + np.float32(0.02)
    filmed[88:, 50:78] = colour
    matched = match_colours(generated, filmed, disc(), 1.0, own_place())
    beside = np.s_[60:84, 40:88]
    np.testing.assert_allclose((matched - generated)[beside], -0.02, atol=0.008)


def test_trembling_colours_are_held_still():
    chance, filmed = np.random.default_rng(1), skin()
    inside = disc(38) > 0
    means = [
        match_colours(unit(filmed) + np.float32(offset), filmed, disc(), 1.0, own_place())[
            inside
        ].mean()
        for offset in chance.normal(scale=0.01, size=12)
    ]
    assert np.std(means) < 0.001


def test_a_mouth_without_known_skin_keeps_its_colours():
    filmed = skin()
    generated = np.zeros((SIZE, SIZE, 3), np.float32)
    unknown = np.full((SIZE, SIZE, 2), np.nan, np.float32)
    np.testing.assert_array_equal(match_colours(generated, filmed, disc(), 1.0, unknown), generated)
    nothing = np.zeros((SIZE, SIZE), np.uint8)
    np.testing.assert_array_equal(match_colours(generated, filmed, nothing, 1.0), generated)


def test_arguments_are_checked():
    filmed = skin()
    with pytest.raises(ShapeError):
        match_colours(unit(filmed), filmed[:-1], disc(), 1.0)
    with pytest.raises(ShapeError):
        match_colours(unit(filmed), filmed, disc(), 1.0, own_place()[:-1])
