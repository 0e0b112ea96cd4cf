from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metatalk.errors import ShapeError
from metatalk.shapes import check_shape


@given(st.lists(st.integers(0, 5), min_size=0, max_size=4))
def test_every_shape_matches_its_own_letters(shape: list[int]) -> None:
    letters = [f"n{axis}" for axis in range(len(shape))]
    sizes = check_shape("array", np.zeros(shape), " ".join(letters))
    assert sizes == dict(zip(letters, shape, strict=True))


def test_same_letter_same_size() -> None:
    assert check_shape("square", np.zeros((3, 3)), "N N") == {"N": 3}
    with pytest.raises(ShapeError, match=r"square has shape \(3, 4\), not \(N N\)"):
        check_shape("square", np.zeros((3, 4)), "N N")


def test_known_sizes_are_required() -> None:
    with pytest.raises(ShapeError, match="T=5"):
        check_shape("points", np.zeros((4, 3)), "T 3", T=5)


@pytest.mark.parametrize("shape", [(3,), (2, 3), (7, 2, 3)])
def test_ellipsis_takes_any_leading_axes(shape: tuple[int, ...]) -> None:
    assert check_shape("normals", np.zeros(shape), "... 3") == {}


@pytest.mark.parametrize(("shape", "pattern"), [((), "... 3"), ((4,), "... 3"), ((2, 3), "3")])
def test_mismatches_are_refused(shape: tuple[int, ...], pattern: str) -> None:
    with pytest.raises(ShapeError):
        check_shape("normals", np.zeros(shape), pattern)
