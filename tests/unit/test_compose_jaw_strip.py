"""What a raised jaw leaves behind is filled from beside the filmed jaw."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metatalk.compose.blend import DrawnFace
from metatalk.compose.jaw import Followed, JawLines, follow_jaw
from metatalk.compose.jaw_config import JawConfig
from metatalk.compose.jaw_field import JawMovement, jaw_movement, read_at
from metatalk.compose.jaw_strip import MARGIN, ROOM, Strip, find_strip, hold_to_surroundings
from metatalk.errors import ShapeError
from metatalk.render.silhouette import signed_distance

SIZE = 192
MIDDLE, COLUMN = 70, SIZE // 2
CHIN, NECK, WHITE = (200, 150, 120), (120, 90, 72), (240, 240, 240)
OLD, NEW = 58, 48


def face(depth: int) -> np.ndarray:
    """(S, S) uint8: half an ellipse whose chin lies `depth` rows below the middle."""
    mask = np.zeros((SIZE, SIZE), np.uint8)
    cv2.ellipse(mask, (COLUMN, MIDDLE), (44, depth), 0, 0, 180, 255, -1)
    cv2.rectangle(mask, (COLUMN - 44, MIDDLE - 30), (COLUMN + 44, MIDDLE), 255, -1)
    return mask


def lines(new: int, old: int) -> JawLines:
    around, shown = np.ones((3, 3), np.uint8), face(new)
    edge = (cv2.dilate(shown, around) != cv2.erode(shown, around)).astype(np.float32)
    still = np.zeros((SIZE, SIZE), bool)
    still[: MIDDLE - 30, 40:152] = True
    return JawLines(shown, face(old), still, edge)


def footage(old: int = OLD) -> np.ndarray:
    picture = np.full((SIZE, SIZE, 3), NECK, np.uint8)
    picture[face(old) > 0] = CHIN
    return picture


def strip_of(
    new: int, old: int, filmed: np.ndarray, config: JawConfig
) -> tuple[JawMovement, Strip]:
    jaw = lines(new, old)
    moved = jaw_movement(jaw.shown, jaw.filmed, jaw.still, jaw.edge, filmed, config)
    return moved, find_strip(moved, moved.movement, np.full((SIZE, SIZE), 255, np.uint8))


def follow(level: float) -> Followed:
    """A jaw is raised; a network draws a line of this brightness below it."""
    drawn = footage(NEW).astype(np.float32) / 255
    drawn[MIDDLE + NEW + 3 : MIDDLE + NEW + 5, COLUMN - 15 : COLUMN + 15] = level
    mask = cv2.dilate(face(70), np.ones((5, 5), np.uint8))
    nowhere = np.full((SIZE, SIZE, 2), np.nan, np.float32)
    drawn_face = DrawnFace(drawn, mask, nowhere, np.zeros((SIZE, SIZE), np.float32))
    return follow_jaw(drawn_face, footage(), lines(NEW, OLD), 0.04 * SIZE, JawConfig())


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_no_line_is_left_along_a_raised_chin(level: float):
    strip = follow(level).face.picture[MIDDLE + NEW + 2 : MIDDLE + NEW + 6, COLUMN]
    neck = np.array(NECK) / 255
    assert np.abs(strip - neck).max() < ROOM + 0.03  # of 0.3 and more


def test_the_strips_fine_texture_was_filmed_outside_the_jaw():
    made = follow(1.0).face
    below = np.s_[MIDDLE + NEW + 3 : MIDDLE + NEW + 8, COLUMN - 10 : COLUMN + 10]
    assert made.passed is not None
    assert made.passed[below].min() > 0.95
    away = read_at(signed_distance(face(OLD)), made.carried[below])
    assert away.min() > 0


@settings(max_examples=20, deadline=None)
@given(new=st.integers(40, 62), old=st.integers(40, 62), slack=st.floats(0.0, 0.1))
def test_only_a_raised_jaw_leaves_a_strip_and_it_shows_nothing_of_the_filmed_chin(
    new: int, old: int, slack: float
):
    moved, strip = strip_of(new, old, footage(old), JawConfig(slack=slack))
    whole = strip.share[MIDDLE + 20 :] > 0.9
    assert whole.any() == (new < old)
    assert strip.share[moved.distance < -1.5].max(initial=0.0) == 0
    away = read_at(moved.from_filmed, strip.places)[MIDDLE + 20 :]
    assert away[whole].min(initial=SIZE) > MARGIN * SIZE - 0.7


@pytest.mark.parametrize("place", [(MIDDLE + NEW + 4, COLUMN), (MIDDLE + 5, COLUMN + 43)])
def test_a_strip_may_be_a_single_pixel(place: tuple[int, int]):
    jaw, mask = lines(NEW, OLD), np.zeros((SIZE, SIZE), np.uint8)
    mask[place] = 255
    moved = jaw_movement(jaw.shown, jaw.filmed, jaw.still, jaw.edge, footage(), JawConfig())
    strip = find_strip(moved, moved.movement, mask)
    assert 0 < (strip.share > 0).sum() <= 1
    picture = np.ones((SIZE, SIZE, 3), np.float32)
    hold_to_surroundings(picture, footage(), moved.from_filmed, strip)
    assert (picture != 1).any(-1).sum() == 1


def test_a_collar_below_the_jaw_is_not_drawn_in_and_a_background_beside_it_is():
    filmed = footage()
    outside = (face(OLD) == 0) & (np.arange(SIZE)[:, None] > MIDDLE - 30)
    filmed[outside] = WHITE
    _, strip = strip_of(NEW, OLD, filmed, JawConfig())
    bare = strip_of(NEW, OLD, footage(), JawConfig())[1]
    assert bare.share[MIDDLE + NEW + 4, COLUMN] > 0.95
    assert strip.share[MIDDLE + NEW + 4, COLUMN] < 0.05
    beside = bare.share[MIDDLE + 3 : MIDDLE + 12] > 0.3
    assert beside.any()
    ratio = (
        strip.share[MIDDLE + 3 : MIDDLE + 12][beside] / bare.share[MIDDLE + 3 : MIDDLE + 12][beside]
    )
    assert ratio.min() > 0.9


def test_a_line_that_reaches_into_the_chin_is_held_to_what_is_seen_around():
    moved, strip = strip_of(NEW, OLD, footage(), JawConfig())
    row = MIDDLE + NEW - 1
    assert strip.share[row, COLUMN] < 0.5 < strip.rim[row, COLUMN]
    drawn = footage(NEW).astype(np.float32) / 255
    drawn[row - 1 : row + 2] = 1.0
    hold_to_surroundings(drawn, footage(), moved.from_filmed, strip)
    assert drawn[row, COLUMN].max() < CHIN[0] / 255 + 2 * ROOM + 0.03


def test_outside_the_strip_nothing_is_held_and_nothing_by_what_was_not_seen():
    moved, strip = strip_of(NEW, OLD, footage(), JawConfig())
    before = np.random.default_rng(0).random((SIZE, SIZE, 3)).astype(np.float32)
    drawn = before.copy()
    hold_to_surroundings(drawn, footage(), moved.from_filmed, strip)
    assert (drawn != before).any()
    np.testing.assert_array_equal(drawn[strip.rim == 0], before[strip.rim == 0])
    all_inside, held = np.full((SIZE, SIZE), -9.0, np.float32), before.copy()
    hold_to_surroundings(held, footage(), all_inside, strip)
    low, high = np.array(NECK) / 255, np.array(CHIN) / 255
    inner = strip.share > 0.99  # held by both colours, where the other bound is unknown
    assert (held[inner] < high + 0.04).all()
    assert (held[inner] > low - 0.04).all()
    assert (held[inner] > high - 0.1).any()


def test_shapes_are_checked():
    with pytest.raises(ShapeError):
        Strip(*np.zeros((2, 4, 4), np.float32), np.zeros((4, 4, 3), np.float32))
    with pytest.raises(ShapeError):
        JawLines(face(40), face(40)[1:], face(40) > 0, face(40).astype(np.float32))
