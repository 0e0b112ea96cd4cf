"""Other depths and samplings: up and down again is the identity, and nothing drifts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from media_planes import KINDS, block_means, random_picture, reference_rgb, spread

from metatalk.errors import ShapeError
from metatalk.media.colour import ColourTags
from metatalk.media.conversion import convert_picture
from metatalk.media.picture import CHROMA_420, CHROMA_422, CHROMA_444, Picture, Subsampling

SAMPLINGS = (CHROMA_420, CHROMA_422, CHROMA_444)
SIZES = st.tuples(st.integers(1, 9), st.integers(1, 9))


def every_level(bits: int, full_range: bool) -> Picture:
    """A picture that has every level of its depth in every plane."""
    levels = np.arange(1 << bits).astype(np.uint8 if bits == 8 else np.uint16).reshape(16, -1)
    return Picture(
        0, 0, (levels, levels[::-1].copy(), levels), ColourTags(1, 1, 1, full_range), bits
    )


def assert_same(first: Picture, second: Picture) -> None:
    assert (first.bits, first.shift) == (second.bits, second.shift)
    for new, old in zip(first.planes, second.planes, strict=True):
        assert np.array_equal(new, old)


@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize(("bits", "deeper"), [(8, 9), (8, 10), (8, 16), (10, 12), (10, 16)])
def test_every_level_survives_more_bits(bits: int, deeper: int, full_range: bool) -> None:
    picture = every_level(bits, full_range)
    up = convert_picture(picture, deeper, CHROMA_444)
    assert up.bits == deeper
    assert_same(convert_picture(up, bits, CHROMA_444), picture)


@given(
    size=SIZES,
    kind=st.sampled_from(KINDS),
    more=st.integers(0, 8),
    finer=st.sampled_from(SAMPLINGS),
    full_range=st.booleans(),
    dither=st.booleans(),
)
@settings(max_examples=80, deadline=None)
def test_up_and_down_is_the_identity(
    size: tuple[int, int],
    kind: tuple[int, Subsampling],
    more: int,
    finer: Subsampling,
    full_range: bool,
    dither: bool,
) -> None:
    bits, shift = kind
    picture = random_picture(*size, ColourTags(1, 1, 1, full_range), 2, bits, shift)
    finer = min(finer, picture.shift)
    up = convert_picture(picture, min(bits + more, 16), finer)
    # Levels of full range are not whole multiples of one another, so a pattern may show.
    down = convert_picture(up, bits, picture.shift, dither and not full_range)
    assert_same(down, picture)


def test_limited_range_is_shifted() -> None:
    picture = every_level(8, full_range=False)
    up = convert_picture(picture, 10, CHROMA_444)
    for new, old in zip(up.planes, picture.planes, strict=True):
        assert np.array_equal(new, old.astype(int) << 2)


def test_full_range_keeps_black_white_and_grey() -> None:
    grey = np.array([[0, 128, 255]], np.uint8)
    none = np.full((1, 3), 128, np.uint8)
    up = convert_picture(Picture(0, 0, (grey, none, none), ColourTags(1, 1, 1, True)), 10, (0, 0))
    assert up.planes[0].tolist() == [[0, 514, 1023]]
    assert np.all(up.planes[1] == 512)


@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("to_bits", [8, 10, 12, 16])
@pytest.mark.parametrize(("bits", "shift"), KINDS)
def test_the_colours_stay(bits: int, shift: Subsampling, to_bits: int, full_range: bool) -> None:
    picture = random_picture(9, 14, ColourTags(1, 1, 1, full_range), 3, bits, shift)
    made = convert_picture(picture, to_bits, CHROMA_444)
    coarsest = min(bits, to_bits)
    level = 2.9 / (219 << (coarsest - 8))  # rounding in luma and, twice as dear, in chroma
    np.testing.assert_allclose(made.rgb_float(), reference_rgb(picture), atol=0.5 * level)


@pytest.mark.parametrize(("bits", "shift"), KINDS)
@pytest.mark.parametrize("target", SAMPLINGS)
def test_chroma_is_averaged_and_replicated(
    bits: int, shift: Subsampling, target: Subsampling
) -> None:
    picture = random_picture(7, 11, None, 4, bits, shift)
    made = convert_picture(picture, bits, target)
    assert made.shift == target
    assert made.planes[0] is picture.planes[0]
    for new, old in zip(made.planes[1:], picture.planes[1:], strict=True):
        means = block_means(spread(old, picture), target)
        assert np.abs(new - means).max() <= 0.5


def test_averaging_and_fewer_bits_round_once() -> None:
    chroma = np.array([[512, 515]], np.uint16)  # a mean of 513.5, which is 128.375 in 8 bits
    picture = Picture(0, 0, (np.zeros((1, 2), np.uint16), chroma, chroma + 2), ColourTags(), 10)
    made = convert_picture(picture, 8, CHROMA_420)
    assert (made.planes[1].item(), made.planes[2].item()) == (128, 129)


def test_dither_keeps_the_mean_that_rounding_loses() -> None:
    levels = np.full((64, 64), 401, np.uint16)  # 100.25 in 8 bits
    picture = Picture(0, 0, (levels, levels, levels), ColourTags(), 10)
    plain = convert_picture(picture, 8, CHROMA_444).planes[0]
    spread_out = convert_picture(picture, 8, CHROMA_444, dither=True).planes[0]
    assert np.all(plain == 100)
    assert set(np.unique(spread_out)) == {100, 101}
    assert spread_out.mean() == pytest.approx(100.25)


@pytest.mark.parametrize("full_range", [False, True])
def test_nothing_is_dithered_where_nothing_is_lost(full_range: bool) -> None:
    picture = every_level(8, full_range)
    dithered = convert_picture(picture, 10, CHROMA_444, dither=True)
    assert_same(dithered, convert_picture(picture, 10, CHROMA_444))


def test_what_fits_is_given_back() -> None:
    picture = random_picture(8, 8, bits=10)
    assert convert_picture(picture, 10, CHROMA_420) is picture


@pytest.mark.parametrize(("bits", "shift"), [(7, (1, 1)), (17, (1, 1)), (8, (0, 1)), (8, (2, 0))])
def test_other_kinds_are_refused(bits: int, shift: Subsampling) -> None:
    with pytest.raises(ShapeError):
        convert_picture(random_picture(4, 4), bits, shift)
