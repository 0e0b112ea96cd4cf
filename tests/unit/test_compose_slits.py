"""Strips below a jaw that no footage tells of."""

from __future__ import annotations

import numpy as np
import pytest

from metatalk.compose.seam.slits import close_slits
from metatalk.errors import ShapeError

SIZE = 128
ROWS, COLUMNS = np.mgrid[:SIZE, :SIZE] + 0.5
JAW = 90  # the row below which the face ends


def drawn() -> np.ndarray:
    """(S, S, 3): a bright chin above a dark neck."""
    level = np.where(ROWS < JAW, 0.7, 0.3).astype(np.float32)
    return np.repeat(level[..., None], 3, 2) + np.linspace(0, 0.1, SIZE, dtype=np.float32)[:, None]


def carried(*missing: tuple[slice, slice]) -> np.ndarray:
    """(S, S, 2): everything in its place but what is missing."""
    places = np.stack([COLUMNS, ROWS], -1).astype(np.float32)
    for hole in missing:
        places[hole] = np.nan
    return places


FACE = ROWS < JAW
SLIT = np.s_[JAW : JAW + 2, 20:110]


def test_a_hairline_along_the_jaw_is_closed_by_what_lies_beside_it() -> None:
    picture, places = drawn(), carried(SLIT)
    picture[SLIT] = (0.9, 1.0, 0.9)
    before = picture.copy()
    closed = close_slits(picture, places, FACE)
    assert closed[SLIT].max() < 0.8
    assert closed[SLIT].min() > 0.3
    away = np.ones((SIZE, SIZE), bool)
    away[JAW - 1 : JAW + 3, 19:111] = False
    np.testing.assert_array_equal(closed[away], picture[away])
    np.testing.assert_array_equal(picture, before)


@pytest.mark.parametrize(
    "hole",
    [
        np.s_[60:62, 40:90],  # lips that are hardly parted
        np.s_[JAW : JAW + 20, 20:110],  # far too wide for a slit
        np.s_[JAW + 20 : JAW + 22, 20:110],  # away from the jaw
    ],
)
def test_whatever_else_is_unknown_is_left_to_the_network(hole: tuple[slice, slice]) -> None:
    picture = drawn()
    assert close_slits(picture, carried(hole), FACE) is picture


def test_lips_stay_parted_while_a_slit_is_closed() -> None:
    picture, lips = drawn(), np.s_[60:62, 40:90]
    picture[lips] = 0.05
    closed = close_slits(picture, carried(SLIT, lips), FACE)
    np.testing.assert_array_equal(closed[lips], picture[lips])


def test_a_face_that_is_not_carried_at_all_stays() -> None:
    picture = drawn()
    assert close_slits(picture, carried(np.s_[:, :]), FACE) is picture


def test_arrays_must_fit_together() -> None:
    with pytest.raises(ShapeError, match="face"):
        close_slits(drawn(), carried(), FACE[1:])
