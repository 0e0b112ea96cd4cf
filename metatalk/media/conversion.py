"""Pictures of another depth or another sampling of chroma.

Up and down again is the identity: chroma is replicated on the way up and averaged on the
way down, levels are spread on the way up and rounded on the way down.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
from numba import njit

from metatalk.errors import ShapeError
from metatalk.media.colour import ycc_scales
from metatalk.media.picture import Picture
from metatalk.media.ycc import (
    CHROMA_420,
    CHROMA_422,
    CHROMA_444,
    Subsampling,
    sample_type,
    to_level,
)

_NO_DITHER = np.zeros((8, 8))


def convert_picture(
    picture: Picture, bits: int, subsampling: Subsampling, dither: bool = False
) -> Picture:
    """The same picture at another depth, with its chroma sampled otherwise.

    Args:
        picture: any picture.
        bits: bits of a sample of the result, 8 to 16. In limited range 8 bits become 10 by
            a shift (black is 16, then 64); in full range the highest level stays the highest.
        subsampling: `CHROMA_420`, `CHROMA_422` or `CHROMA_444`. To fewer samples chroma is
            averaged over the block, to more it is replicated.
        dither: spread what rounding to fewer bits loses over an ordered 8x8 pattern, which
            is the same in every frame; else it is lost.

    Returns:
        The picture itself where it is such already; its planes are shared where they stay.

    Raises:
        ShapeError: no such depth or sampling.
    """
    if subsampling not in (CHROMA_420, CHROMA_422, CHROMA_444):
        raise ShapeError(f"a picture's chroma is not sampled {subsampling}")
    if not 8 <= bits <= 16:
        raise ShapeError(f"a picture has 8 to 16 bits, not {bits}")
    if (picture.bits, picture.shift) == (bits, subsampling):
        return picture
    full, pattern = picture.colour.full_range, _bayer() if dither else _NO_DITHER
    luma, *chroma = picture.planes
    made = [_convert_levels(luma, picture.bits, bits, full, False, (0, 0), pattern)]
    coarser = _steps(picture.shift, subsampling)
    finer = _steps(subsampling, picture.shift)
    for plane in chroma:
        levels = _convert_levels(plane, picture.bits, bits, full, True, coarser, pattern)
        made.append(replicate_chroma(levels, finer, luma.shape, subsampling))
    return replace(picture, planes=(made[0], made[1], made[2]), bits=bits)


def replicate_chroma(
    plane: np.ndarray, steps: Subsampling, size: tuple[int, ...], subsampling: Subsampling
) -> np.ndarray:
    """Replicate chroma samples to a finer sampling.

    Args:
        plane: (h, w) samples.
        steps: log2 of how often each is repeated across and down.
        size: rows and columns of the picture.
        subsampling: of the result.

    Returns:
        (h', w') samples, cut to the picture's own edge; the plane itself for no steps.
    """
    across, down = steps
    if across:
        plane = plane.repeat(1 << across, axis=1)
    if down:
        plane = plane.repeat(1 << down, axis=0)
    rows, columns = -(-size[0] >> subsampling[1]), -(-size[1] >> subsampling[0])
    return np.ascontiguousarray(plane[:rows, :columns])


def _steps(fine: Subsampling, coarse: Subsampling) -> Subsampling:
    """How many times chroma is halved from one sampling to another, across and down."""
    return max(coarse[0] - fine[0], 0), max(coarse[1] - fine[1], 0)


def _convert_levels(
    plane: np.ndarray, bits: int, to_bits: int, full_range: bool, is_chroma: bool,
    coarser: Subsampling, pattern: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """Average blocks, spread or round levels; both at once, so that it is rounded once."""
    if coarser == (0, 0) and bits == to_bits:
        return plane
    if to_bits >= bits:
        pattern = _NO_DITHER  # nothing is lost
    across, down = coarser
    out = np.empty((-(-plane.shape[0] >> down), -(-plane.shape[1] >> across)), sample_type(to_bits))
    if coarser == (0, 0) and pattern is _NO_DITHER:
        _look_up(plane, _table(bits, to_bits, full_range, is_chroma), out)
        return out
    levels = _levels(bits, to_bits, full_range, is_chroma)
    _average(plane, across, down, *levels, pattern, float((1 << to_bits) - 1), out)
    return out


def _levels(
    bits: int, to_bits: int, full_range: bool, is_chroma: bool
) -> tuple[float, float, float]:
    """A level that stays the same colour, before and after, and the scale around it."""
    black, span, _ = ycc_scales(full_range, bits)
    to_black, to_span, _ = ycc_scales(full_range, to_bits)
    if is_chroma:
        black, to_black = float(1 << (bits - 1)), float(1 << (to_bits - 1))
    return black, to_black, to_span / span


@cache
def _table(bits: int, to_bits: int, full_range: bool, is_chroma: bool) -> np.ndarray:
    """(2**bits,) the level of the result for every level."""
    levels = np.arange(1 << bits).astype(sample_type(bits))[None]
    out = np.empty(levels.shape, sample_type(to_bits))
    scales = _levels(bits, to_bits, full_range, is_chroma)
    _average(levels, 0, 0, *scales, _NO_DITHER, float((1 << to_bits) - 1), out)
    return out[0]


@cache
def _bayer() -> np.ndarray:
    """(8, 8) the ordered pattern, between -0.5 and 0.5 level."""
    pattern = np.zeros((1, 1))
    for _ in range(3):
        pattern = np.block([[4 * pattern, 4 * pattern + 2], [4 * pattern + 3, 4 * pattern + 1]])
    return (pattern + 0.5) / 64 - 0.5


@njit(cache=True, nogil=True)
def _look_up(plane, table, out):  # type: ignore[no-untyped-def]
    for row in range(plane.shape[0]):
        for column in range(plane.shape[1]):
            out[row, column] = table[plane[row, column]]


@njit(cache=True, nogil=True)
def _average(plane, across, down, black, to_black, scale, pattern, most, out):  # type: ignore[no-untyped-def]
    # Blocks have one or two rows and columns; at the picture's edge the first is both.
    last_row, last_column = plane.shape[0] - 1, plane.shape[1] - 1
    quarter, start = scale / 4, to_black - black * scale
    for row in range(out.shape[0]):
        upper = plane[row << down]
        lower = plane[min((row << down) + down, last_row)]
        offsets = pattern[row & 7]
        for column in range(out.shape[1]):
            first = column << across
            second = min(first + across, last_column)
            total = np.int64(upper[first]) + upper[second] + lower[first] + lower[second]
            out[row, column] = to_level(total * quarter + start + offsets[column & 7], most)
