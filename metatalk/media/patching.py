"""Blending RGB over planes of luma and chroma, at their own depth and sampling."""

from __future__ import annotations

import numpy as np
from numba import njit

from metatalk.media.ycc import to_level


@njit(cache=True, nogil=True)
def blend_patch(luma, u, v, across, down, patch, alpha, left, top, factors, most):  # type: ignore[no-untyped-def]
    """Blend a patch over planes in place; compiled.

    Args:
        luma: (H, W) uint8 or uint16; changes where alpha > 0.
        u: (h, w) of the same type; changes in blocks where alpha > 0 somewhere.
        v: likewise.
        across: log2 of the columns of a chroma block.
        down: log2 of its rows.
        patch: (h, w, 3) float32 RGB in [0, 1].
        alpha: (h, w) float32 in [0, 1].
        left: column of the patch's first pixel, may be negative.
        top: row of the patch's first pixel, may be negative.
        factors: (3, 4) float32 of `ycc_factors`.
        most: float32 highest level of a sample.
    """
    height, width = luma.shape
    first_row, last_row = max(top, 0), min(top + patch.shape[0], height)
    first_column, last_column = max(left, 0), min(left + patch.shape[1], width)
    if first_row >= last_row or first_column >= last_column:
        return
    f = factors
    for block_row in range(first_row >> down, ((last_row - 1) >> down) + 1):
        rows = range(block_row << down, min((block_row + 1) << down, height))
        for block_column in range(first_column >> across, ((last_column - 1) >> across) + 1):
            columns = range(block_column << across, min((block_column + 1) << across, width))
            # Chroma of the block: the mean of its pixels' own blends.
            cover, sum_u, sum_v, pixels = np.float32(0), np.float32(0), np.float32(0), 0
            for row in rows:
                for column in columns:
                    pixels += 1
                    if not (first_row <= row < last_row and first_column <= column < last_column):
                        continue
                    weight = _unit(alpha[row - top, column - left])
                    if weight <= 0:
                        continue
                    red = _unit(patch[row - top, column - left, 0])
                    green = _unit(patch[row - top, column - left, 1])
                    blue = _unit(patch[row - top, column - left, 2])
                    y = f[0, 0] * red + f[0, 1] * green + f[0, 2] * blue + f[0, 3]
                    old = np.float32(luma[row, column])
                    luma[row, column] = to_level(old + weight * (y - old), most)
                    cover += weight
                    sum_u += weight * (f[1, 0] * red + f[1, 1] * green + f[1, 2] * blue + f[1, 3])
                    sum_v += weight * (f[2, 0] * red + f[2, 1] * green + f[2, 2] * blue + f[2, 3])
            if cover > 0:
                old_u = np.float32(u[block_row, block_column])
                old_v = np.float32(v[block_row, block_column])
                u[block_row, block_column] = to_level(
                    old_u + (sum_u - cover * old_u) / pixels, most
                )
                v[block_row, block_column] = to_level(
                    old_v + (sum_v - cover * old_v) / pixels, most
                )


@njit(cache=True, nogil=True)
def _unit(value):  # type: ignore[no-untyped-def]
    # Written so that a NaN becomes 0 rather than an undefined level.
    return min(value, np.float32(1)) if value > 0 else np.float32(0)
