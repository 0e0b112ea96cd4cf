"""What lies around the jaw is pulled to the new jaw line, and nothing else is touched."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metatalk.compose.blend import DrawnFace, soft_mask
from metatalk.compose.jaw import Followed, JawLines, follow_jaw
from metatalk.compose.jaw_config import JawConfig
from metatalk.compose.jaw_field import JawMovement, jaw_movement
from metatalk.errors import ConfigError, ShapeError

SIZE = 128
MIDDLE = 50  # the row from which the lower faces hang
FEATHER = 0.04 * SIZE


def face(depth: int) -> np.ndarray:
    """(S, S) uint8: half an ellipse whose chin lies `depth` rows below the middle."""
    mask = np.zeros((SIZE, SIZE), np.uint8)
    cv2.ellipse(mask, (SIZE // 2, MIDDLE), (36, depth), 0, 0, 180, 255, -1)
    cv2.rectangle(mask, (SIZE // 2 - 36, MIDDLE - 20), (SIZE // 2 + 36, MIDDLE), 255, -1)
    return mask


def all_round(solid: np.ndarray) -> np.ndarray:
    """An outline that is an edge everywhere."""
    around = np.ones((3, 3), np.uint8)
    return (cv2.dilate(solid, around) != cv2.erode(solid, around)).astype(np.float32)


def still() -> np.ndarray:
    above = np.zeros((SIZE, SIZE), bool)
    above[: MIDDLE - 20, 28:100] = True
    return above


def footage(depth: int) -> np.ndarray:
    """(S, S, 3) uint8: a bright neck with a darker beard, 4 rows of it below the face's chin."""
    picture = np.full((SIZE, SIZE, 3), 180, np.uint8)
    picture[face(depth + 4) > 0] = 150
    return picture


def guess(depth: int) -> np.ndarray:
    """(S, S, 3) float32: what a network makes of that: paler, and the beard ends at the chin."""
    picture = np.full((SIZE, SIZE, 3), 0.66, np.float32)
    picture[face(depth) > 0] = 0.5
    return picture


def follow(new: int, old: int, config: JawConfig | None = None, **other: object) -> Followed:
    shown, filmed = face(new), face(old)
    given: dict[str, object] = {
        "picture": guess(new),
        "mask": cv2.dilate(face(52), np.ones((5, 5), np.uint8)),
        "carried": np.full((SIZE, SIZE, 2), np.nan, np.float32),
        "passed": np.zeros((SIZE, SIZE), np.float32),
        "filmed": footage(old),
        "edge": all_round(shown),
    } | other
    drawn = DrawnFace(*(given.pop(name) for name in ("picture", "mask", "carried", "passed")))  # type: ignore[arg-type]
    seen, edge = given.pop("filmed"), given.pop("edge")
    lines = JawLines(**({"shown": shown, "filmed": filmed, "still": still(), "edge": edge} | given))  # type: ignore[arg-type]
    return follow_jaw(drawn, seen, lines, FEATHER, config or JawConfig())  # type: ignore[arg-type]


def move(
    new: int, old: int, config: JawConfig | None = None, filmed: np.ndarray | None = None
) -> JawMovement:
    shown = face(new)
    seen = footage(old) if filmed is None else filmed
    return jaw_movement(shown, face(old), still(), all_round(shown), seen, config or JawConfig())


def beard_below(picture: np.ndarray, chin: int) -> int:
    """How many rows of the middle column, from the chin down, are dark."""
    column = picture[MIDDLE + chin + 3 :, SIZE // 2, 1]
    return int((column < 0.63).argmin())


@pytest.mark.parametrize(("new", "old"), [(44, 34), (40, 44), (38, 36), (36, 38)])
def test_the_filmed_jaw_line_comes_to_lie_on_the_new_one(new: int, old: int):
    moved = move(new, old)
    movement, trust = moved.movement, moved.trust
    below = MIDDLE + new + 1
    assert movement[below, SIZE // 2, 1] == pytest.approx(old - new, abs=1.0)
    assert movement[below, SIZE // 2, 0] == pytest.approx(0, abs=0.5)
    assert trust[below, SIZE // 2] == pytest.approx(1, abs=0.05)


@settings(max_examples=25, deadline=None)
@given(new=st.integers(26, 48), old=st.integers(26, 48))
def test_nothing_is_folded_and_the_crops_border_stays(new: int, old: int):
    movement = move(new, old).movement
    rows = np.arange(SIZE)[:, None] + movement[..., 1]
    assert (np.diff(rows[MIDDLE + new :], axis=0) > 0).all()  # what lay above stays above
    border = np.concatenate([movement[0], movement[-1], movement[:, 0], movement[:, -1]])
    assert np.abs(border).max() < 0.3
    assert np.abs(movement[: MIDDLE - 20, 32:96]).max() < 0.3  # the still face


def test_the_beards_rim_follows_a_lowered_jaw_and_no_second_chin_is_left():
    new = 44
    made = follow(new, 34)
    assert beard_below(made.face.picture, new) in (1, 2, 3)
    below = np.s_[MIDDLE + new + 7 :, SIZE // 2 - 8 : SIZE // 2 + 8]
    laid_over = made.face.picture[below][made.face.mask[below] > 0]
    assert len(laid_over) > 100
    assert laid_over.min() > 0.69  # nothing but filmed neck


def test_a_raised_jaw_leaves_no_filmed_chin_below_it():
    """What the network has drawn around it is seen, however dark the filmed chin was there."""
    new = 40
    made = follow(new, 46)
    below = np.s_[MIDDLE + new + 2 : MIDDLE + new + 7, SIZE // 2 - 8 : SIZE // 2 + 8]
    np.testing.assert_allclose(made.face.picture[below], guess(new)[below], atol=0.02)
    assert made.drawn[below].min() > 0.95


def test_a_jaw_that_stays_leaves_all_as_it_came():
    flat = np.full((SIZE, SIZE, 3), 0.5, np.float32)
    made = follow(40, 40, picture=flat)
    assert made.face.picture is flat
    assert made.share == 0


def test_a_jaw_that_begins_to_move_changes_nothing_at_once():
    """What is laid over the frame grows with the movement, whose share goes up in small steps."""
    filmed, before = footage(40).astype(np.float32) / 255, None
    mask = cv2.dilate(face(52), np.ones((5, 5), np.uint8))
    first = soft_mask(mask, 8.0)[..., None]
    plain = first * guess(42) + (1 - first) * filmed
    shares = set()
    for strength in np.linspace(0.02, 1.0, 50):
        made = follow(42, 40, JawConfig(strength=float(strength), slack=0.0))
        alpha = soft_mask(made.face.mask, 8.0)[..., None]
        laid = alpha * made.face.picture + (1 - alpha) * filmed
        laid = made.share * laid + (1 - made.share) * plain
        if before is not None:
            assert np.abs(laid - before).max() < 0.08
        before, shares = laid, shares | {made.share}
    assert min(shares) == 0
    assert max(shares) == 1
    assert len(shares) > 5


def test_a_jaw_that_moves_leaves_the_footage_itself_around_it():
    flat = np.full((SIZE, SIZE, 3), 0.5, np.float32)
    made = follow(40, 46, picture=flat)
    assert (made.drawn == 0).sum() > 500
    inside = cv2.erode(face(30), np.ones((7, 7), np.uint8)) > 0
    np.testing.assert_allclose(made.face.picture[inside & (made.drawn == 1)], 0.5, atol=1e-3)
    assert (made.drawn[inside] == 1).mean() > 0.95


def test_small_errors_of_a_jaw_hardly_move_anything_and_large_movements_are_made():
    def made(new: int, slack: float) -> float:
        return float(move(new, 40, JawConfig(slack=slack)).movement[MIDDLE + new + 1, SIZE // 2, 1])

    slack = 2 / SIZE  # two pixels
    small, large = made(41, slack) / made(41, 0.0), made(50, slack) / made(50, 0.0)
    assert small < 0.35
    assert large > 0.9


def test_the_map_says_where_the_pulled_footage_was():
    made = follow(44, 40)
    row, column = MIDDLE + 44 + 4, SIZE // 2
    x, y = made.face.carried[row, column]
    assert x == pytest.approx(column + 0.5, abs=0.5)
    assert y == pytest.approx(row + 0.5 - 4, abs=1.0)
    assert made.face.passed is not None
    assert made.face.passed[row, column] == pytest.approx(1)


def test_what_moves_is_laid_over_and_the_still_face_is_not():
    made = follow(46, 30)
    mask = cv2.dilate(face(52), np.ones((5, 5), np.uint8))
    assert (made.face.mask[mask > 0] == 255).all()
    movement = move(46, 30).movement
    moved = (np.abs(movement).max(-1) > 1.0) & ~still()
    moved[: MIDDLE - 20] = False
    assert (made.face.mask[moved] == 255).all()
    assert not made.face.mask[still() & (mask == 0)].any()
    assert not made.face.mask[: int(mask.any(1).argmax())].any()


def test_outside_the_mask_nothing_that_the_network_drew_is_seen():
    mask = cv2.dilate(face(40), np.ones((5, 5), np.uint8))
    edge = np.zeros((SIZE, SIZE), np.float32)
    edge[:, SIZE // 2 :] = all_round(face(36))[:, SIZE // 2 :]  # an edge on one side only
    made = follow(36, 44, mask=mask, edge=edge)
    added = (made.face.mask > 0) & (mask == 0)
    assert added.sum() > 100
    assert made.drawn[added].max() < 0.02


def test_where_the_outline_is_no_edge_all_stays_with_the_network():
    nowhere = np.zeros((SIZE, SIZE), np.float32)
    made = follow(34, 44, edge=nowhere)
    np.testing.assert_array_equal(made.face.picture, guess(34))
    assert np.isnan(made.face.carried).all()


def test_a_jaw_that_is_raised_by_very_much_is_left_to_the_network():
    made = follow(26, 46)
    below = np.s_[MIDDLE + 28 : MIDDLE + 40, SIZE // 2 - 6 : SIZE // 2 + 6]
    assert made.drawn[below].min() > 0.9
    back = follow(46, 26)  # lowered by as much: the neck is covered, nothing is stretched
    assert back.drawn[MIDDLE + 46 + 5, SIZE // 2] < 0.05


def test_no_collar_is_drawn_over_the_neck():
    filmed = footage(44)
    filmed[MIDDLE + 46 :] = 255  # it touches the filmed chin
    filmed[face(44) > 0] = 60
    picture = np.full((SIZE, SIZE, 3), 0.55, np.float32)
    made = follow(38, 44, filmed=filmed, picture=picture)
    strip = made.face.picture[MIDDLE + 40 : MIDDLE + 44, SIZE // 2 - 6 : SIZE // 2 + 6]
    assert strip.max() < 0.7
    beside = follow(44, 41)  # a neck in another shade is covered all the same
    assert beside.drawn[MIDDLE + 48, SIZE // 2] < 0.05


def test_strength_nought_gives_all_back_as_it_came():
    chance = np.random.default_rng(0)
    picture = chance.random((SIZE, SIZE, 3)).astype(np.float32)
    carried = chance.random((SIZE, SIZE, 2)).astype(np.float32)
    made = follow(34, 44, JawConfig(strength=0), picture=picture, carried=carried)
    assert made.face.picture is picture
    assert made.face.carried is carried
    assert (made.drawn == 1).all()


def test_half_the_strength_is_half_the_way():
    whole, half = (move(40, 44, JawConfig(strength=share)).movement for share in (1.0, 0.5))
    np.testing.assert_allclose(half, whole / 2, atol=1e-5)


def test_arguments_are_left_as_they_were():
    picture = np.full((SIZE, SIZE, 3), 0.5, np.float32)
    carried = np.full((SIZE, SIZE, 2), np.nan, np.float32)
    passed = np.zeros((SIZE, SIZE), np.float32)
    made = follow(44, 34, picture=picture, carried=carried, passed=passed)
    assert not np.shares_memory(made.face.picture, picture)
    assert (picture == 0.5).all()
    assert np.isnan(carried).all()
    assert not passed.any()


def test_a_network_that_says_nothing_of_texture_is_served_too():
    assert follow(34, 44, passed=None).face.passed is None


def test_no_face_nothing_to_follow():
    made = follow(34, 44, shown=np.zeros((SIZE, SIZE), np.uint8))
    np.testing.assert_array_equal(made.face.picture, guess(34))


def test_shapes_are_checked():
    with pytest.raises(ShapeError):
        follow(34, 44, filmed=np.zeros((SIZE, SIZE), np.uint8))


@pytest.mark.parametrize("wrong", [{"strength": 1.5}, {"hold": -0.1}, {"reach": 0.0}])
def test_settings_are_checked(wrong: dict[str, float]):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        JawConfig(**wrong)


def _centres() -> np.ndarray:
    middle = np.arange(SIZE, dtype=np.float32) + 0.5
    return np.stack(np.meshgrid(middle, middle), -1)
