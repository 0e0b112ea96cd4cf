"""What the footage shows in its place, compared with what is carried there."""

from __future__ import annotations

import numpy as np
import pytest

from metatalk.compose.seam.stillness import carried_change
from metatalk.errors import ShapeError

SIZE = 48
ALL = np.s_[0:SIZE, 0:SIZE]


def places(x: float = 0.0, y: float = 0.0) -> np.ndarray:
    """(S, S, 2) the map of skin that was filmed further right and down by so many pixels."""
    rows, columns = np.mgrid[:SIZE, :SIZE].astype(np.float32) + 0.5
    return np.stack([columns + x, rows + y], -1).astype(np.float32)


def slope(scale: float, across: float, down: float) -> tuple[np.ndarray, np.ndarray]:
    """A window whose brightness rises by so much a crop pixel, and where the crop lies in it."""
    side = int(SIZE * scale)
    rows, columns = (np.mgrid[:side, :side].astype(np.float32) + 0.5) / scale
    grey = 0.3 + across * columns + down * rows
    return np.repeat(grey[..., None], 3, 2).astype(np.float32), np.array(
        [[scale, 0.0, 0.0], [0.0, scale, 0.0]]
    )


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.7])
def test_what_did_not_move_is_no_change(scale):
    filmed = np.random.default_rng(0).random((int(SIZE * scale), int(SIZE * scale), 3))
    to_window = np.array([[scale, 0.0, 0.0], [0.0, scale, 0.0]])
    change = carried_change(places(), ALL, filmed.astype(np.float32), to_window)
    np.testing.assert_allclose(change, 0, atol=1e-6)


@pytest.mark.parametrize("scale", [1.0, 3.0])
@pytest.mark.parametrize(("x", "y"), [(3.0, 0.0), (0.0, -2.5), (1.25, 2.0)])
def test_the_change_is_what_lies_between_the_two_places(scale, x, y):
    filmed, to_window = slope(scale, 0.004, 0.006)
    change = carried_change(places(x, y), ALL, filmed, to_window)
    inner = change[6:-6, 6:-6]
    np.testing.assert_allclose(inner, 0.004 * x + 0.006 * y, atol=2e-4)


def test_plain_skin_that_moved_is_no_change():
    filmed = np.full((SIZE, SIZE, 3), 0.6, np.float32)
    change = carried_change(places(9.0, -4.0), ALL, filmed, np.eye(3)[:2])
    np.testing.assert_allclose(change, 0, atol=1e-6)


def test_what_is_not_carried_is_another_thing_and_a_part_is_a_part():
    filmed, to_window = slope(1.0, 0.004, 0.0)
    carried = places(2.0)
    carried[20:30, 10:20] = np.nan
    change = carried_change(carried, ALL, filmed, to_window)
    assert (change[20:30, 10:20] == 1).all()
    assert change[:20].max() < 0.1
    part = np.s_[15:33, 5:40]
    np.testing.assert_array_equal(carried_change(carried, part, filmed, to_window), change[part])


def test_arguments_are_checked():
    filmed, to_window = slope(1.0, 0.0, 0.0)
    with pytest.raises(ShapeError):
        carried_change(places()[:-1], ALL, filmed, to_window)
    with pytest.raises(ShapeError):
        carried_change(places(), ALL, filmed[..., 0], to_window)
