"""Colour conversion against the standard's own equations, and patches that leave no trace."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from media_planes import KINDS, random_picture, reference_patched, reference_rgb

from metatalk.errors import MediaError, ShapeError
from metatalk.media.colour import ColourTags, luma_weights
from metatalk.media.picture import Picture, Subsampling

BT601, BT709, BT2020 = 6, 1, 9
EVERY_KIND = pytest.mark.parametrize(("bits", "shift"), KINDS)


@pytest.mark.parametrize("matrix", [BT601, BT709, BT2020, 4, 7, 2])
@pytest.mark.parametrize("full_range", [False, True])
def test_rgb_follows_the_standard(matrix: int, full_range: bool) -> None:
    picture = random_picture(38, 51, ColourTags(2, 2, matrix, full_range))
    wild = np.random.default_rng(1).integers(0, 256, (38, 51), dtype=np.uint8)
    for case in (picture, Picture(0, 0, (wild, *picture.planes[1:]), picture.colour)):
        assert np.abs(case.rgb() - 255 * reference_rgb(case)).max() <= 0.51  # rounding, no more


@EVERY_KIND
@pytest.mark.parametrize("full_range", [False, True])
def test_rgb_follows_the_standard_at_every_depth(
    bits: int, shift: Subsampling, full_range: bool
) -> None:
    muted = random_picture(17, 23, ColourTags(9, 16, BT2020, full_range), 1, bits, shift)
    wild = np.random.default_rng(1).integers(0, 1 << bits, (17, 23)).astype(muted.planes[0].dtype)
    for case in (muted, Picture(0, 0, (wild, *muted.planes[1:]), muted.colour, bits)):
        expected = reference_rgb(case)
        np.testing.assert_allclose(case.rgb_float(), expected, atol=5e-7)
        assert np.abs(case.rgb() - 255 * expected).max() <= (0.51 if bits <= 12 else 0.6)


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
@settings(max_examples=60, deadline=None)
def test_a_box_is_a_part_of_the_whole(data: st.DataObject) -> None:
    bits, shift = data.draw(st.sampled_from(KINDS))
    picture = random_picture(23, 31, bits=bits, shift=shift)
    left, top = data.draw(st.integers(0, 30)), data.draw(st.integers(0, 22))
    right, bottom = data.draw(st.integers(left + 1, 31)), data.draw(st.integers(top + 1, 23))
    for read in (picture.rgb, picture.rgb_float):
        part = read((left, top, right, bottom))
        np.testing.assert_array_equal(part, read()[top:bottom, left:right])


@pytest.mark.parametrize("box", [(0, 0, 0, 5), (-1, 0, 3, 3), (0, 0, 32, 23), (5, 5, 4, 6)])
def test_a_box_outside_is_refused(box: tuple[int, int, int, int]) -> None:
    for read in (random_picture(23, 31).rgb, random_picture(23, 31).rgb_float):
        with pytest.raises(MediaError, match="31x23"):
            read(box)


@given(
    kind=st.sampled_from(KINDS),
    place=st.tuples(st.integers(-9, 33), st.integers(-9, 25)),
    extent=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    size=st.sampled_from([(23, 31), (24, 32), (1, 5), (6, 1), (1, 1)]),
    full_range=st.booleans(),
    seed=st.integers(0, 99),
)
@settings(max_examples=80, deadline=None)
def test_a_patch_is_blended_as_the_readable_twin_does(
    kind: tuple[int, Subsampling],
    place: tuple[int, int],
    extent: tuple[int, int],
    size: tuple[int, int],
    full_range: bool,
    seed: int,
) -> None:
    (bits, shift), colour = kind, ColourTags(2, 2, BT709, full_range)
    picture = random_picture(*size, colour, seed, bits, shift)
    generator = np.random.default_rng(seed)
    patch = generator.random((*extent, 3), np.float32)
    alpha = generator.random(extent, np.float32) * (generator.random(extent) > 0.7)
    result = picture.with_patch(patch, alpha, *place)
    assert (result.index, result.pts, result.colour) == (3, 77, picture.colour)
    assert (result.bits, result.shift) == (picture.bits, picture.shift)
    expected = reference_patched(picture, patch, alpha, *place)
    slack = 0.5 + 2e-6 * (1 << bits)  # rounding, and what float32 cannot tell apart
    for new, value in zip(result.planes, expected, strict=True):
        assert np.abs(new - value).max() <= slack


@given(
    kind=st.sampled_from(KINDS),
    left=st.integers(-9, 33),
    top=st.integers(-9, 25),
    width=st.integers(1, 20),
    height=st.integers(1, 20),
    seed=st.integers(0, 99),
)
@settings(max_examples=80, deadline=None)
def test_only_covered_pixels_change(
    kind: tuple[int, Subsampling], left: int, top: int, width: int, height: int, seed: int
) -> None:
    bits, (across, down) = kind
    picture = random_picture(23, 31, None, seed, bits, (across, down))
    generator = np.random.default_rng(seed)
    patch = generator.random((height, width, 3), np.float32)
    alpha = generator.random((height, width), np.float32) * (
        generator.random((height, width)) > 0.7
    )
    result = picture.with_patch(patch, alpha, left, top)

    covered = np.zeros((80, 100), bool)
    covered[top + 20 : top + 20 + height, left + 20 : left + 20 + width] = alpha > 0
    covered = covered[20:43, 20:51]
    blocks = np.pad(covered, ((0, 1), (0, 1))).reshape(24 >> down, 1 << down, 32 >> across, -1)
    blocks = blocks.any(axis=(1, 3))[: result.planes[1].shape[0], : result.planes[1].shape[1]]
    assert np.array_equal(result.planes[0][~covered], picture.planes[0][~covered])
    for new, old in zip(result.planes[1:], picture.planes[1:], strict=True):
        assert np.array_equal(new[~blocks], old[~blocks])


@pytest.mark.parametrize("matrix", [BT601, BT709, BT2020])
@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("offset", [(0, 0), (3, 5), (4, 1)])
def test_bytes_cut_out_and_put_back_leave_no_trace(
    matrix: int, full_range: bool, offset: tuple[int, int]
) -> None:
    picture = random_picture(40, 52, ColourTags(2, 2, matrix, full_range))
    left, top = offset
    patch = picture.rgb((left, top, left + 30, top + 20)).astype(np.float32) / 255
    result = picture.with_patch(patch, np.ones((20, 30), np.float32), left, top)
    for new, old in zip(result.planes, picture.planes, strict=True):
        assert np.abs(new.astype(int) - old.astype(int)).max() <= 1


@pytest.mark.parametrize(
    ("full_range", "expected"),
    [
        (False, (3445511344, 3949515038, 1547637083, 2413331779)),
        (True, (1447947072, 1849772807, 3169203052, 3857002890)),
    ],
)
def test_8_bit_results_keep_their_bits(full_range: bool, expected: tuple[int, ...]) -> None:
    # Checksums of the arithmetic that knew 8-bit 4:2:0 only: results must not move by a bit.
    generator = np.random.default_rng(7)
    sizes = (537, 751), (269, 376), (269, 376)
    y, u, v = (generator.integers(0, 256, size, dtype=np.uint8) for size in sizes)
    picture = Picture(0, 0, (y, u, v), ColourTags(1, 1, BT709, full_range))
    patch = generator.random((230, 340, 3), np.float32)
    alpha = generator.random((230, 340), np.float32) * (generator.random((230, 340)) > 0.4)
    result = picture.with_patch(patch, alpha.astype(np.float32), -3, 5)
    sums = (zlib.crc32(plane) for plane in (picture.rgb(), *result.planes))
    assert tuple(sums) == expected


@EVERY_KIND
@pytest.mark.parametrize("matrix", [BT601, BT709, BT2020])
@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("offset", [(0, 0), (3, 5)])
def test_what_is_cut_out_and_put_back_is_the_very_picture(
    bits: int, shift: Subsampling, matrix: int, full_range: bool, offset: tuple[int, int]
) -> None:
    picture = random_picture(37, 51, ColourTags(2, 2, matrix, full_range), 5, bits, shift)
    left, top = offset
    patch = picture.rgb_float((left, top, left + 30, top + 20))
    alpha = np.random.default_rng(0).random((20, 30), np.float32)
    for cover in (np.ones_like(alpha), alpha):
        result = picture.with_patch(patch, cover, left, top)
        for new, old in zip(result.planes, picture.planes, strict=True):
            assert np.array_equal(new, old)


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
    luma, u, v = picture.planes
    for planes in ((luma, u, luma), (luma, u[:3], v[:3]), (luma, luma[:4], luma[:4]), (u[0], u, v)):
        with pytest.raises(ShapeError):
            Picture(0, 0, planes, ColourTags())


def test_depth_and_samples_must_agree() -> None:
    deep = random_picture(8, 8, bits=10)
    for bits in (7, 8, 17):
        with pytest.raises(ShapeError, match=f"{bits} bits|not {bits}"):
            Picture(0, 0, deep.planes, ColourTags(), bits)
    with pytest.raises(ShapeError, match="uint8 samples in a picture of 10 bits"):
        Picture(0, 0, random_picture(8, 8).planes, ColourTags(), 10)


@EVERY_KIND
def test_a_picture_knows_its_sampling(bits: int, shift: Subsampling) -> None:
    for size in ((8, 8), (7, 9), (2, 2), (2, 3)):
        picture = random_picture(*size, bits=bits, shift=shift)
        assert (picture.bits, picture.shift) == (bits, shift)
        assert picture.nbytes == sum(plane.nbytes for plane in picture.planes)
