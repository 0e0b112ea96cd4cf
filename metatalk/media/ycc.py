"""Planes of luma and chroma to RGB and back, at any depth and any sampling of chroma.

Chroma is replicated to the pixels of its block, and no finer filter is used.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from metatalk.media.colour import ColourTags, luma_weights, ycc_scales

Planes = tuple[np.ndarray, np.ndarray, np.ndarray]
Subsampling = tuple[int, int]  # log2 of the pixels that share a chroma sample: across, down
CHROMA_420: Subsampling = (1, 1)
CHROMA_422: Subsampling = (1, 0)
CHROMA_444: Subsampling = (0, 0)


def planes_to_bytes(
    planes: Planes, bits: int, subsampling: Subsampling, origin: tuple[int, int],
    colour: ColourTags, lines: int, out: np.ndarray,
) -> None:  # fmt: skip
    """Fill `out` (h, w, 3) uint8 with RGB from the planes; see `planes_to_floats`."""
    # As many fractional bits as 32-bit products hold; 8 bits need no more than 16.
    fixed = 16 if bits == 8 else 20
    factors = np.rint(_rgb_factors(colour, lines, bits) * 255 * (1 << fixed))
    black, _, _ = ycc_scales(colour.full_range, bits)
    integers = np.concatenate([[black, 1 << (bits - 1)], factors]).astype(np.int32)
    _planes_to_bytes(*planes, *origin, *subsampling, integers, fixed, out)


def planes_to_floats(
    planes: Planes, bits: int, subsampling: Subsampling, origin: tuple[int, int],
    colour: ColourTags, lines: int, out: np.ndarray,
) -> None:  # fmt: skip
    """Fill an array with RGB from the planes.

    Args:
        planes: y (H, W), u and v, uint8 or uint16.
        bits: bits of a sample.
        subsampling: of u and v.
        origin: column and row of the pixel that `out` begins with.
        colour: tags that say matrix and range.
        lines: lines of the whole picture, which decide on an untagged matrix.
        out: (h, w, 3) float32, filled with values in [0, 1].

    Source: ITU-T H.273, eq. 38-40 solved for RGB.
    """
    black, _, _ = ycc_scales(colour.full_range, bits)
    factors = np.concatenate([[black, 1 << (bits - 1)], _rgb_factors(colour, lines, bits)])
    _planes_to_floats(*planes, *origin, *subsampling, factors.astype(np.float32), out)


def rgb_to_planes(
    red: np.ndarray, green: np.ndarray, blue: np.ndarray, source_bits: int,
    colour: ColourTags, bits: int,
) -> Planes:  # fmt: skip
    """RGB planes as luma and chroma of every pixel.

    Args:
        red: (H, W) uint8 or uint16, all levels of `source_bits` used.
        green: likewise.
        blue: likewise.
        source_bits: bits of an RGB sample.
        colour: tags that say matrix and range of the result.
        bits: bits of a sample of the result.

    Returns:
        y, u and v, all (H, W), uint8 or uint16.
    """
    factors = ycc_factors(colour, red.shape[0], bits)
    factors[:, :3] /= (1 << source_bits) - 1
    planes = np.empty((3, *red.shape), sample_type(bits))
    _rgb_to_planes(red, green, blue, factors, np.float32((1 << bits) - 1), planes)
    return planes[0], planes[1], planes[2]


def sample_type(bits: int) -> type[np.uint8] | type[np.uint16]:
    """The type that samples of so many bits are kept in."""
    return np.uint8 if bits == 8 else np.uint16


def ycc_factors(colour: ColourTags, lines: int, bits: int) -> np.ndarray:
    """(3, 4) float32: rows Y, Cb, Cr of an affine map from RGB in [0, 1] to sample levels."""
    kr, kb = luma_weights(colour, lines)
    black, luma_span, chroma_span = ycc_scales(colour.full_range, bits)
    middle = 1 << (bits - 1)
    luma = np.array([kr, 1 - kr - kb, kb])
    blue = (np.array([0, 0, 1]) - luma) / (2 * (1 - kb))
    red = (np.array([1, 0, 0]) - luma) / (2 * (1 - kr))
    rows = np.stack([luma * luma_span, blue * chroma_span, red * chroma_span])
    return np.column_stack([rows, [black, middle, middle]]).astype(np.float32)


def _rgb_factors(colour: ColourTags, lines: int, bits: int) -> np.ndarray:
    """(5,) luma, Cr->R, Cb->G, Cr->G, Cb->B factors to RGB in [0, 1]."""
    kr, kb = luma_weights(colour, lines)
    kg = 1 - kr - kb
    _, luma_span, chroma_span = ycc_scales(colour.full_range, bits)
    return np.array(
        [
            1 / luma_span,
            2 * (1 - kr) / chroma_span,
            -2 * (1 - kb) * kb / kg / chroma_span,
            -2 * (1 - kr) * kr / kg / chroma_span,
            2 * (1 - kb) / chroma_span,
        ]
    )


@njit(cache=True, nogil=True)
def _planes_to_bytes(luma, u, v, left, top, across, down, factors, fixed, out):  # type: ignore[no-untyped-def]
    black, luma_factor = factors[0], factors[2]
    half, shift = np.int32(1 << (fixed - 1)), np.int32(fixed)
    low, high = np.int32(0), np.int32(255)
    height, width = out.shape[:2]
    first = left >> across
    samples = ((left + width - 1) >> across) - first + 1
    chroma = np.empty((3, samples << across), np.int32)  # what R, G, B add to luma
    chroma_row, odd = -1, left - (first << across)
    red, green, blue = chroma[0, odd:], chroma[1, odd:], chroma[2, odd:]
    for row in range(height):
        if (top + row) >> down != chroma_row:
            chroma_row = (top + row) >> down
            _chroma_terms(
                u[chroma_row, first:], v[chroma_row, first:], across, factors, half, chroma
            )
        luma_row, out_row = luma[top + row, left:], out[row]
        for column in range(width):
            base = (np.int32(luma_row[column]) - black) * luma_factor
            out_row[column, 0] = min(max((base + red[column]) >> shift, low), high)
            out_row[column, 1] = min(max((base + green[column]) >> shift, low), high)
            out_row[column, 2] = min(max((base + blue[column]) >> shift, low), high)


@njit(cache=True, nogil=True)
def _planes_to_floats(luma, u, v, left, top, across, down, factors, out):  # type: ignore[no-untyped-def]
    black, luma_factor = factors[0], factors[2]
    low, high = np.float32(0), np.float32(1)
    height, width = out.shape[:2]
    first = left >> across
    samples = ((left + width - 1) >> across) - first + 1
    chroma = np.empty((3, samples << across), np.float32)
    chroma_row, odd = -1, left - (first << across)
    red, green, blue = chroma[0, odd:], chroma[1, odd:], chroma[2, odd:]
    for row in range(height):
        if (top + row) >> down != chroma_row:
            chroma_row = (top + row) >> down
            _chroma_terms(
                u[chroma_row, first:], v[chroma_row, first:], across, factors, low, chroma
            )
        luma_row, out_row = luma[top + row, left:], out[row]
        for column in range(width):
            base = (np.float32(luma_row[column]) - black) * luma_factor
            out_row[column, 0] = min(max(base + red[column], low), high)
            out_row[column, 1] = min(max(base + green[column], low), high)
            out_row[column, 2] = min(max(base + blue[column], low), high)


@njit(cache=True, nogil=True)
def _chroma_terms(u_row, v_row, across, factors, half, out):  # type: ignore[no-untyped-def]
    if across:
        for pair in range(out.shape[1] // 2):
            terms = _chroma_term(u_row[pair], v_row[pair], factors, half)
            for column in (2 * pair, 2 * pair + 1):
                out[0, column], out[1, column], out[2, column] = terms
    else:
        for column in range(out.shape[1]):
            terms = _chroma_term(u_row[column], v_row[column], factors, half)
            out[0, column], out[1, column], out[2, column] = terms


@njit(cache=True, nogil=True)
def _chroma_term(u, v, factors, half):  # type: ignore[no-untyped-def]
    cb, cr = u - factors[1], v - factors[1]
    green = cb * factors[4] + cr * factors[5]
    return cr * factors[3] + half, green + half, cb * factors[6] + half


@njit(cache=True, nogil=True)
def _rgb_to_planes(red, green, blue, factors, most, planes):  # type: ignore[no-untyped-def]
    for row in range(red.shape[0]):
        for column in range(red.shape[1]):
            r, g, b = (
                np.float32(red[row, column]),
                np.float32(green[row, column]),
                np.float32(blue[row, column]),
            )
            for plane in range(3):
                f = factors[plane]
                planes[plane, row, column] = to_level(f[0] * r + f[1] * g + f[2] * b + f[3], most)


@njit(cache=True, nogil=True)
def to_level(value, most):  # type: ignore[no-untyped-def]
    """The whole number nearest to a value, within 0 and `most`; for compiled code."""
    return min(max(np.floor(value + np.float32(0.5)), np.float32(0)), most)
