"""Colour conversion against the standard's own equations, and patches that leave no trace."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metatalk.errors import MediaError, ShapeError
from metatalk.media.colour import ColourTags, luma_weights
from metatalk.media.picture import Picture

BT601, BT709, BT2020 = 6, 1, 9
UNTAGGED = ColourTags()


def random_picture(
    height: int, width: int, colour: ColourTags = UNTAGGED, seed: int = 0
) -> Picture:
    """A picture of muted colours: every Y'CbCr triple of it is an RGB colour."""
    generator = np.random.default_rng(seed)
    half = (height + 1) // 2, (width + 1) // 2
    planes = (
        generator.integers(90, 160, (height, width), dtype=np.uint8),
        generator.integers(110, 146, half, dtype=np.uint8),
        generator.integers(110, 146, half, dtype=np.uint8),
    )
    return Picture(3, 77, planes, colour)


def reference_rgb(picture: Picture) -> np.ndarray:
    """The readable twin of `Picture.rgb`: ITU-T H.273, eq. 38-40 solved for RGB, in float64."""
    kr, kb = luma_weights(picture.colour, picture.height)
    y, u, v = (plane.astype(np.float64) for plane in picture.planes)
    u, v = (c.repeat(2, 0).repeat(2, 1)[: picture.height, : picture.width] for c in (u, v))
    if picture.colour.full_range:
        y, u, v = y / 255, (u - 128) / 255, (v - 128) / 255
    else:
        y, u, v = (y - 16) / 219, (u - 128) / 224, (v - 128) / 224
    red = y + 2 * (1 - kr) * v
    blue = y + 2 * (1 - kb) * u
    green = (y - kr * red - kb * blue) / (1 - kr - kb)
    return np.clip(np.stack([red, green, blue], -1), 0, 1) * 255


@pytest.mark.parametrize("matrix", [BT601, BT709, BT2020, 4, 7, 2])
@pytest.mark.parametrize("full_range", [False, True])
def test_rgb_follows_the_standard(matrix: int, full_range: bool) -> None:
    picture = random_picture(38, 51, ColourTags(2, 2, matrix, full_range))
    wild = np.random.default_rng(1).integers(0, 256, (38, 51), dtype=np.uint8)
    for case in (picture, Picture(0, 0, (wild, *picture.planes[1:]), picture.colour)):
        assert np.abs(case.rgb() - reference_rgb(case)).max() <= 0.51  # rounding, and no more


def test_known_colours() -> None:
    white = Picture(
        0, 0, tuple(np.full((1, 1), c, np.uint8) for c in (235, 128, 128)), ColourTags()
    )
    assert white.rgb().tolist() == [[[255, 255, 255]]]
    red = Picture(
        0, 0, tuple(np.full((1, 1), c, np.uint8) for c in (63, 102, 240)), ColourTags(1, 1, BT709)
    )
    np.testing.assert_allclose(red.rgb()[0, 0], [255, 0, 0], atol=1)


def test_untagged_matrix_depends_on_the_lines_as_in_players() -> None:
    assert luma_weights(ColourTags(), 576) == luma_weights(ColourTags(matrix=BT601), 576)
    assert luma_weights(ColourTags(), 720) == luma_weights(ColourTags(matrix=BT709), 720)


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_a_box_is_a_part_of_the_whole(data: st.DataObject) -> None:
    picture = random_picture(23, 31)
    left, top = data.draw(st.integers(0, 30)), data.draw(st.integers(0, 22))
    right, bottom = data.draw(st.integers(left + 1, 31)), data.draw(st.integers(top + 1, 23))
    part = picture.rgb((left, top, right, bottom))
    np.testing.assert_array_equal(part, picture.rgb()[top:bottom, left:right])


@pytest.mark.parametrize("box", [(0, 0, 0, 5), (-1, 0, 3, 3), (0, 0, 32, 23), (5, 5, 4, 6)])
def test_a_box_outside_is_refused(box: tuple[int, int, int, int]) -> None:
    with pytest.raises(MediaError, match="31x23"):
        random_picture(23, 31).rgb(box)


@given(
    left=st.integers(-9, 33),
    top=st.integers(-9, 25),
    width=st.integers(1, 20),
    height=st.integers(1, 20),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_only_covered_pixels_change(
    left: int, top: int, width: int, height: int, seed: int
) -> None:
    picture = random_picture(23, 31, seed=seed)
    generator = np.random.default_rng(seed)
    patch = generator.random((height, width, 3), np.float32)
    alpha = generator.random((height, width), np.float32) * (
        generator.random((height, width)) > 0.7
    )
    result = picture.with_patch(patch, alpha, left, top)

    covered = np.zeros((80, 100), bool)
    covered[top + 20 : top + 20 + height, left + 20 : left + 20 + width] = alpha > 0
    covered = covered[20:43, 20:51]
    blocks = np.pad(covered, ((0, 1), (0, 1))).reshape(12, 2, 16, 2).any(axis=(1, 3))
    assert np.array_equal(result.planes[0][~covered], picture.planes[0][~covered])
    for new, old in zip(result.planes[1:], picture.planes[1:], strict=True):
        assert np.array_equal(new[~blocks], old[~blocks])
    assert (result.index, result.pts, result.colour) == (3, 77, picture.colour)


@pytest.mark.parametrize("matrix", [BT601, BT709, BT2020])
@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("offset", [(0, 0), (3, 5), (4, 1)])
def test_cut_out_and_put_back_leaves_no_trace(
    matrix: int, full_range: bool, offset: tuple[int, int]
) -> None:
    picture = random_picture(40, 52, ColourTags(2, 2, matrix, full_range))
    left, top = offset
    patch = picture.rgb((left, top, left + 30, top + 20)).astype(np.float32) / 255
    result = picture.with_patch(patch, np.ones((20, 30), np.float32), left, top)
    for new, old in zip(result.planes, picture.planes, strict=True):
        assert np.abs(new.astype(int) - old.astype(int)).max() <= 1


def test_full_alpha_gives_the_patch() -> None:
    picture = random_picture(40, 40, ColourTags(1, 1, BT709))
    patch = np.full((20, 20, 3), [0.8, 0.5, 0.3], np.float32)
    result = picture.with_patch(patch, np.ones((20, 20), np.float32), 10, 10)
    np.testing.assert_allclose(result.rgb((10, 10, 30, 30)) / 255, patch, atol=1.5 / 255)


def test_half_alpha_is_half_way() -> None:
    grey = Picture(
        0, 0, tuple(np.full(s, 128, np.uint8) for s in ((8, 8), (4, 4), (4, 4))), ColourTags()
    )
    patch, alpha = np.ones((8, 8, 3), np.float32), np.full((8, 8), 0.5, np.float32)
    result = grey.with_patch(patch, alpha, 0, 0)
    assert np.all(result.planes[0] == round((128 + 235) / 2 + 0.01))
    assert np.all(result.planes[1] == 128)


def test_the_original_is_not_written_into() -> None:
    picture = random_picture(20, 20)
    before = [plane.copy() for plane in picture.planes]
    picture.with_patch(np.ones((9, 9, 3), np.float32), np.ones((9, 9), np.float32), 4, 4)
    for plane, old in zip(picture.planes, before, strict=True):
        assert np.array_equal(plane, old)


def test_values_out_of_range_are_clipped_and_nan_changes_nothing() -> None:
    picture = random_picture(8, 8)
    patch, alpha = np.full((8, 8, 3), 7.0, np.float32), np.full((8, 8), 3.0, np.float32)
    assert np.all(picture.with_patch(patch, alpha, 0, 0).rgb() == 255)
    same = picture.with_patch(patch, np.full((8, 8), np.nan, np.float32), 0, 0)
    assert np.array_equal(same.planes[0], picture.planes[0])


def test_shapes_are_checked() -> None:
    picture = random_picture(8, 8)
    with pytest.raises(ShapeError):
        picture.with_patch(np.ones((4, 5, 3), np.float32), np.ones((4, 4), np.float32), 0, 0)
    with pytest.raises(ShapeError):
        Picture(0, 0, (picture.planes[0],) * 3, ColourTags())
