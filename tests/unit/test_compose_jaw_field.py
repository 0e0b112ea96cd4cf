"""How a jaw's movement spreads: as far as it carries, and no farther than to what stands apart."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metatalk.compose.blend import DrawnFace
from metatalk.compose.jaw import Followed, JawLines, follow_jaw
from metatalk.compose.jaw_apart import find_apart
from metatalk.compose.jaw_config import JawConfig
from metatalk.compose.jaw_field import JawMovement, jaw_movement, read_at
from metatalk.errors import ShapeError
from metatalk.render.silhouette import signed_distance

SIZE = 192
MIDDLE = 70  # the row from which the lower faces hang
COLUMN = SIZE // 2
SKIN, BEARD, NECK = (200, 150, 120), (60, 45, 36), (150, 112, 90)  # of one hue
DEEP = 11  # rows of beard below the mesh's chin
FILMED_CHIN = 48


def face(depth: int, half: int = 44, shift: int = 0) -> np.ndarray:
    """(S, S) uint8: half an ellipse whose chin lies `depth` rows below the middle."""
    mask = np.zeros((SIZE, SIZE), np.uint8)
    middle = COLUMN + shift
    cv2.ellipse(mask, (middle, MIDDLE), (half, depth), 0, 0, 180, 255, -1)
    cv2.rectangle(mask, (middle - half, MIDDLE - 30), (middle + half, MIDDLE), 255, -1)
    return mask


def all_round(solid: np.ndarray) -> np.ndarray:
    around = np.ones((3, 3), np.uint8)
    return (cv2.dilate(solid, around) != cv2.erode(solid, around)).astype(np.float32)


def still() -> np.ndarray:
    above = np.zeros((SIZE, SIZE), bool)
    above[: MIDDLE - 30, 40:152] = True
    return above


def footage(depth: int, beard: int = DEEP) -> np.ndarray:
    """(S, S, 3) uint8: a neck, a chin, and a beard about the jaw line."""
    picture = np.full((SIZE, SIZE, 3), NECK, np.uint8)
    picture[face(depth + beard) > 0] = BEARD
    picture[face(depth - 6) > 0] = SKIN
    return picture


def move(
    new: np.ndarray,
    old: np.ndarray,
    filmed: np.ndarray | None = None,
    edge: np.ndarray | None = None,
    config: JawConfig | None = None,
) -> JawMovement:
    seen = footage(FILMED_CHIN) if filmed is None else filmed
    line = all_round(new) if edge is None else edge
    return jaw_movement(new, old, still(), line, seen, config or JawConfig())


@settings(max_examples=20, deadline=None)
@given(new=st.integers(42, 60), lower=st.integers(-16, 16))
def test_what_lies_outside_the_new_jaw_was_filmed_outside_the_old_one(new: int, lower: int):
    """Else a filmed chin would be seen below the new one."""
    old = new - lower
    moved = move(face(new), face(old), footage(old), config=JawConfig(slack=0.0))
    middle = np.arange(SIZE, dtype=np.float32) + 0.5
    places = np.stack(np.meshgrid(middle, middle), -1) + moved.movement
    from_old = read_at(signed_distance(face(old)), places)
    outside = (moved.distance > 1.0) & (moved.trust > 0.99)
    outside[: MIDDLE - 20] = False
    assert outside.sum() > 500
    # the side of a face that gets narrower is only as deep as a few pixels
    assert from_old[outside].min() > -2.0
    below = outside & (np.abs(np.arange(SIZE) - COLUMN) < 15)[None]
    assert from_old[below].min() > -1.2


@settings(max_examples=20, deadline=None)
@given(new=st.integers(40, 62), old=st.integers(40, 62))
def test_nothing_is_drawn_out_to_streaks(new: int, old: int):
    moved = move(face(new), face(old), footage(old))
    rows = np.arange(SIZE) + moved.movement[:, COLUMN, 1]
    below = slice(MIDDLE + new + 2, round(0.92 * SIZE))  # nearer to the border there is no room
    assert np.diff(rows[below]).min() > 0.3


@pytest.mark.parametrize(("new", "old"), [(54, 48), (42, 48)])
def test_a_beard_as_deep_as_hold_moves_as_a_whole(new: int, old: int):
    moved = move(face(new), face(old), config=JawConfig(slack=0.0)).movement
    depth = round(0.07 * SIZE)
    line = moved[MIDDLE + new + 2, COLUMN, 1]
    assert line == pytest.approx(old - new, abs=0.7)
    assert moved[MIDDLE + new + depth, COLUMN, 1] == pytest.approx(line, abs=0.5)
    assert abs(moved[MIDDLE + new + round(0.17 * SIZE), COLUMN, 1]) < 0.1 * abs(line)


def test_beside_a_face_less_is_moved_than_below_it():
    wider = move(face(48, half=50), face(48, half=44), config=JawConfig(slack=0.0))
    lower = move(face(54), face(48), config=JawConfig(slack=0.0))
    beside = np.abs(wider.movement[MIDDLE - 5, COLUMN + 51 :, 0])
    below = np.abs(lower.movement[MIDDLE + 55 :, COLUMN, 1])
    assert beside[0] > 4
    assert (beside > 1).sum() < 0.75 * (below > 1).sum()
    far = round(0.12 * SIZE)
    assert beside[far] < 0.2 < below[far]


def collared(filmed: np.ndarray, top: int) -> np.ndarray:
    picture = filmed.copy()
    picture[top:] = (235, 235, 240)
    return picture


@pytest.mark.parametrize(("new", "old", "below"), [(56, 48, 26), (40, 48, 18)])
def test_a_collar_stays_where_it_was_filmed(new: int, old: int, below: int):
    top = MIDDLE + old + below
    bare = move(face(new), face(old)).movement
    moved = move(face(new), face(old), collared(footage(old), top)).movement
    assert np.abs(moved[top:]).max() < 0.2
    assert np.abs(bare[top : top + 3, COLUMN]).max() > 0.4
    below = MIDDLE + new + 2  # the jaw line itself moves as it would without one
    np.testing.assert_allclose(moved[below, COLUMN], bare[below, COLUMN], atol=0.8)
    rows = np.arange(SIZE) + moved[:, COLUMN, 1]
    assert np.diff(rows[below:]).min() > 0.2


def test_another_colour_along_the_jaw_line_itself_does_not_stop_it():
    filmed = footage(48)
    filmed[(face(51) > 0) & (face(48) == 0)] = (235, 235, 240)
    bare, moved = (move(face(54), face(48), seen).movement for seen in (footage(48), filmed))
    below = MIDDLE + 54 + 1
    assert abs(moved[below, COLUMN, 1]) > 0.8 * abs(bare[below, COLUMN, 1])


def test_a_collar_that_a_chin_nearly_touches_stays():
    filmed = collared(footage(48), MIDDLE + 54)
    moved = move(face(46), face(48), filmed, config=JawConfig(slack=0.0)).movement
    assert np.abs(moved[MIDDLE + 54 :]).max() < 0.2


def test_a_short_piece_of_edge_amid_skin_moves_nothing():
    new = face(54)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    piece = np.hypot(rows - MIDDLE - 48, columns - COLUMN - 20) < 6
    alone = move(new, face(48), edge=all_round(new) * piece)
    whole = move(new, face(48))
    assert np.abs(whole.movement).max() > 4
    assert np.abs(alone.movement).max() < 1.0
    assert alone.trust.max() < 0.3


def follow(new: int, old: int, filmed: np.ndarray, drawn: np.ndarray) -> Followed:
    shown = face(new)
    picture = DrawnFace(
        drawn.astype(np.float32) / 255,
        cv2.dilate(face(70), np.ones((5, 5), np.uint8)),
        np.full((SIZE, SIZE, 2), np.nan, np.float32),
        np.zeros((SIZE, SIZE), np.float32),
    )
    lines = JawLines(shown, face(old), still(), all_round(shown))
    return follow_jaw(picture, filmed, lines, 0.04 * SIZE, JawConfig())


def test_fine_texture_comes_from_the_place_whose_picture_is_shown():
    """Else the beard's filmed rim would be drawn finely over the network's coarse chin."""
    new = face(56)
    edge = all_round(new)
    edge[:, :COLUMN] = 0  # an edge on one side only: between the two, both are mixed
    drawn = DrawnFace(
        footage(56).astype(np.float32) / 255,
        cv2.dilate(face(70), np.ones((5, 5), np.uint8)),
        np.full((SIZE, SIZE, 2), 7.0, np.float32),
        np.ones((SIZE, SIZE), np.float32),
    )
    lines = JawLines(new, face(FILMED_CHIN), still(), edge)
    made = follow_jaw(drawn, footage(FILMED_CHIN), lines, 0.04 * SIZE, JawConfig())
    assert made.face.passed is not None
    mixed = (made.drawn > 0.05) & (made.drawn < 0.95)
    assert mixed.sum() > 100
    is_the_meshs = made.face.carried[..., 0] == 7.0
    assert is_the_meshs[made.drawn > 0.51].all()
    assert not is_the_meshs[made.drawn < 0.49].any()
    shown = np.where(is_the_meshs, made.drawn, 1.0 - made.drawn)
    np.testing.assert_allclose(made.face.passed, shown, atol=1e-5)


def rims(picture: np.ndarray, chin: int) -> int:
    """How many times the middle column turns bright below the chin."""
    bright = picture[MIDDLE + chin - 3 : MIDDLE + chin + 45, COLUMN, 1] > 0.3
    return int((np.diff(bright.astype(int)) > 0).sum())


@pytest.mark.parametrize("deeper", [0, 3])
def test_a_beard_filmed_wide_open_and_shown_closed_has_one_rim(deeper: int):
    """The filmed one may hang deeper: there the network's own is shown."""
    new, old = 44, 58
    filmed = footage(old, DEEP + deeper)
    filmed[face(old + 4) > 0] = SKIN  # drawn down, only its lowest part is dark
    made = follow(new, old, filmed, footage(new))
    assert rims(made.face.picture, new) == 1
    assert made.drawn[MIDDLE + new + 5, COLUMN] > 0.95
    assert made.drawn[MIDDLE + new + 30, COLUMN] < 0.05


def test_a_lowered_beard_is_the_filmed_one():
    made = follow(49, 45, footage(45), footage(49))
    assert made.drawn[MIDDLE + 49 + 6, COLUMN] < 0.05
    assert rims(made.face.picture, 49) == 1


def test_what_shares_the_chins_hue_does_not_stand_apart():
    filmed = footage(48)
    filmed[: MIDDLE - 30] = (40, 80, 200)
    filmed[MIDDLE + 90 :] = (240, 240, 240)
    apart = cv2.resize(find_apart(filmed, signed_distance(face(48))), (SIZE, SIZE))
    assert apart[MIDDLE : MIDDLE + 85].max() < 0.05  # skin, beard and a neck in the shade
    assert apart[MIDDLE + 95 :].min() > 0.95
    assert apart[: MIDDLE - 35].min() > 0.95


def test_a_dark_thing_without_a_hue_may_be_a_beard():
    filmed = footage(48)
    filmed[MIDDLE + 80 :] = 8
    assert find_apart(filmed, signed_distance(face(48))).max() < 0.05


def test_a_collar_in_the_shade_stands_apart():
    """As bright as the chin, whose own hue is not the same everywhere, and of no hue."""
    filmed = footage(48)
    filmed[np.arange(SIZE) // 16 % 2 == 0, :, 0] += 6
    filmed[np.arange(SIZE) // 16 % 2 == 1, :, 0] -= 6
    filmed[MIDDLE + 80 :] = 140
    apart = cv2.resize(find_apart(filmed, signed_distance(face(48))), (SIZE, SIZE))
    assert apart[MIDDLE + 85 :].min() > 0.5
    assert apart[MIDDLE : MIDDLE + 75].max() == 0


def test_a_shadows_tint_is_no_collar():
    filmed = footage(48)
    filmed[MIDDLE + 70 : MIDDLE + 78, COLUMN - 10 : COLUMN + 10] = (90, 90, 120)
    assert not find_apart(filmed, signed_distance(face(48))).any()
    filmed[MIDDLE + 70 : MIDDLE + 90, COLUMN - 40 : COLUMN + 40] = (90, 90, 120)
    assert find_apart(filmed, signed_distance(face(48))).max() == 1


def test_a_face_too_small_tells_nothing():
    filmed = np.full((SIZE, SIZE, 3), 255, np.uint8)
    tiny = np.zeros((SIZE, SIZE), np.uint8)
    tiny[90:94, 90:94] = 255
    assert not find_apart(filmed, signed_distance(tiny)).any()


def test_shapes_are_checked():
    with pytest.raises(ShapeError):
        find_apart(np.zeros((8, 8), np.uint8), np.zeros((8, 8), np.float32))
    with pytest.raises(ShapeError):
        move(face(48), face(48), filmed=np.zeros((SIZE, SIZE), np.uint8))
