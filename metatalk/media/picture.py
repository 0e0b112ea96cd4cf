"""One video frame, kept as planes so that pixels nobody touches stay bit-exact.

Chroma is replicated to its 2x2 pixels on the way to RGB and averaged over them on the
way back. These two undo each other exactly, which smoother filters do not, so a patch
that is cut out and put back leaves no trace.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numba import njit

from metatalk.errors import MediaError
from metatalk.media.colour import ColourTags, luma_weights, ycc_scales
from metatalk.shapes import check_shape

Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels; right, bottom excluded
Planes = tuple[np.ndarray, np.ndarray, np.ndarray]
_FIXED = 16  # fractional bits of the integer arithmetic


@dataclass(frozen=True, eq=False)
class Picture:
    """One upright 8-bit 4:2:0 frame.

    Args:
        index: number of the frame in its clip, from 0.
        pts: presentation time in the clip's time base, frame 0 at 0.
        planes: y (H, W), u and v (ceil(H/2), ceil(W/2)), uint8, C-contiguous; not to be
            written into.
        colour: the clip's colour tags.

    Raises:
        ShapeError: the chroma planes do not belong to the luma plane.
    """

    index: int
    pts: int
    planes: Planes
    colour: ColourTags

    def __post_init__(self) -> None:
        luma, *chroma = self.planes
        sizes = check_shape("luma", luma, "H W")
        for plane in chroma:
            check_shape("chroma", plane, "h w", h=(sizes["H"] + 1) // 2, w=(sizes["W"] + 1) // 2)

    @property
    def height(self) -> int:
        """Rows of the picture."""
        return int(self.planes[0].shape[0])

    @property
    def width(self) -> int:
        """Columns of the picture."""
        return int(self.planes[0].shape[1])

    @property
    def nbytes(self) -> int:
        """Bytes the three planes take."""
        return sum(plane.nbytes for plane in self.planes)

    def rgb(self, box: Box | None = None) -> np.ndarray:
        """The picture, or a part of it, as RGB.

        Args:
            box: (left, top, right, bottom) in pixels, inside the picture; None for all.

        Returns:
            (h, w, 3) uint8 RGB, gamma-encoded as the clip is.

        Raises:
            MediaError: the box is empty or leaves the picture.
        """
        left, top, right, bottom = box or (0, 0, self.width, self.height)
        if not (0 <= left < right <= self.width and 0 <= top < bottom <= self.height):
            raise MediaError(
                f"box {box} is empty or leaves the {self.width}x{self.height} picture",
                "clip the box to the picture first",
            )
        out = np.empty((bottom - top, right - left, 3), np.uint8)
        _planes_to_rgb(*self.planes, left, top, _to_rgb_factors(self.colour, self.height), out)
        return out

    def with_patch(self, patch: np.ndarray, alpha: np.ndarray, left: int, top: int) -> Picture:
        """This picture with a patch blended over it; everything else keeps its bits.

        Luma changes only where alpha > 0, chroma only in 2x2 blocks where alpha > 0
        somewhere. Parts of the patch that lie outside the picture are dropped.

        Args:
            patch: (h, w, 3) float32 RGB in [0, 1], gamma-encoded as `rgb` returns it.
            alpha: (h, w) float32 in [0, 1]; 0 keeps this picture, 1 takes the patch.
            left: column of the patch's first pixel, may be negative.
            top: row of the patch's first pixel, may be negative.

        Returns:
            A new picture of the same frame number, time and colour.

        Raises:
            ShapeError: patch and alpha do not match.
        """
        sizes = check_shape("alpha", alpha, "h w")
        check_shape("patch", patch, "h w 3", **sizes)
        luma, u, v = (plane.copy() for plane in self.planes)
        patch = np.ascontiguousarray(patch, np.float32)
        alpha = np.ascontiguousarray(alpha, np.float32)
        factors = _to_ycc_factors(self.colour, self.height)
        _blend_patch(luma, u, v, patch, alpha, int(left), int(top), factors)
        return replace(self, planes=(luma, u, v))


def _to_rgb_factors(colour: ColourTags, height: int) -> np.ndarray:
    """(6,) int32: black, then fixed-point luma, Cr->R, Cb->G, Cr->G, Cb->B factors."""
    kr, kb = luma_weights(colour, height)
    kg = 1 - kr - kb
    black, luma_span, chroma_span = ycc_scales(colour.full_range)
    chroma = 255 / chroma_span
    factors = np.array(
        [
            255 / luma_span,
            2 * (1 - kr) * chroma,
            -2 * (1 - kb) * kb / kg * chroma,
            -2 * (1 - kr) * kr / kg * chroma,
            2 * (1 - kb) * chroma,
        ]
    )
    fixed = np.rint(factors * (1 << _FIXED))
    return np.concatenate([[black], fixed]).astype(np.int32)


def _to_ycc_factors(colour: ColourTags, height: int) -> np.ndarray:
    """(3, 4) float32: rows Y, Cb, Cr of an affine map from RGB in [0, 1] to 8-bit Y'CbCr."""
    kr, kb = luma_weights(colour, height)
    black, luma_span, chroma_span = ycc_scales(colour.full_range)
    luma = np.array([kr, 1 - kr - kb, kb])
    blue = (np.array([0, 0, 1]) - luma) / (2 * (1 - kb))
    red = (np.array([1, 0, 0]) - luma) / (2 * (1 - kr))
    rows = np.stack([luma * luma_span, blue * chroma_span, red * chroma_span])
    return np.column_stack([rows, [black, 128, 128]]).astype(np.float32)


@njit(cache=True, nogil=True)
def _planes_to_rgb(luma, u, v, left, top, factors, out):  # type: ignore[no-untyped-def]
    black, luma_factor, half = factors[0], factors[1], np.int32(1 << (_FIXED - 1))
    shift, low, high = np.int32(_FIXED), np.int32(0), np.int32(255)
    height, width = out.shape[:2]
    first, odd = left >> 1, left & 1
    pairs = ((left + width - 1) >> 1) - first + 1
    chroma, chroma_row = np.empty((3, 2 * pairs), np.int32), -1  # what R, G, B add to luma
    red, green, blue = chroma[0, odd:], chroma[1, odd:], chroma[2, odd:]
    for row in range(height):
        if (top + row) >> 1 != chroma_row:
            chroma_row = (top + row) >> 1
            _chroma_terms(u[chroma_row, first:], v[chroma_row, first:], factors, half, chroma)
        luma_row, out_row = luma[top + row, left:], out[row]
        for column in range(width):
            base = (np.int32(luma_row[column]) - black) * luma_factor
            out_row[column, 0] = min(max((base + red[column]) >> shift, low), high)
            out_row[column, 1] = min(max((base + green[column]) >> shift, low), high)
            out_row[column, 2] = min(max((base + blue[column]) >> shift, low), high)


@njit(cache=True, nogil=True)
def _chroma_terms(u_row, v_row, factors, half, out):  # type: ignore[no-untyped-def]
    for pair in range(out.shape[1] // 2):
        cb = np.int32(u_row[pair]) - np.int32(128)
        cr = np.int32(v_row[pair]) - np.int32(128)
        red = cr * factors[2] + half
        green = cb * factors[3] + cr * factors[4] + half
        blue = cb * factors[5] + half
        for column in (2 * pair, 2 * pair + 1):
            out[0, column], out[1, column], out[2, column] = red, green, blue


@njit(cache=True, nogil=True)
def _to_byte(value):  # type: ignore[no-untyped-def]
    return np.uint8(min(max(np.floor(value + np.float32(0.5)), np.float32(0)), np.float32(255)))


@njit(cache=True, nogil=True)
def _unit(value):  # type: ignore[no-untyped-def]
    # Written so that a NaN becomes 0 rather than an undefined byte.
    return min(value, np.float32(1)) if value > 0 else np.float32(0)


@njit(cache=True, nogil=True)
def _blend_patch(luma, u, v, patch, alpha, left, top, factors):  # type: ignore[no-untyped-def]
    height, width = luma.shape
    first_row, last_row = max(top, 0), min(top + patch.shape[0], height)
    first_column, last_column = max(left, 0), min(left + patch.shape[1], width)
    if first_row >= last_row or first_column >= last_column:
        return
    for block_row in range(first_row >> 1, (last_row + 1) >> 1):
        for block_column in range(first_column >> 1, (last_column + 1) >> 1):
            # Chroma of the block: the mean of its pixels' own blends.
            cover, sum_u, sum_v, pixels = np.float32(0), np.float32(0), np.float32(0), 0
            for row in range(2 * block_row, min(2 * block_row + 2, height)):
                for column in range(2 * block_column, min(2 * block_column + 2, width)):
                    pixels += 1
                    if not (first_row <= row < last_row and first_column <= column < last_column):
                        continue
                    weight = _unit(alpha[row - top, column - left])
                    if weight <= 0:
                        continue
                    red = _unit(patch[row - top, column - left, 0])
                    green = _unit(patch[row - top, column - left, 1])
                    blue = _unit(patch[row - top, column - left, 2])
                    f = factors
                    y = f[0, 0] * red + f[0, 1] * green + f[0, 2] * blue + f[0, 3]
                    old = np.float32(luma[row, column])
                    luma[row, column] = _to_byte(old + weight * (y - old))
                    cover += weight
                    sum_u += weight * (f[1, 0] * red + f[1, 1] * green + f[1, 2] * blue + f[1, 3])
                    sum_v += weight * (f[2, 0] * red + f[2, 1] * green + f[2, 2] * blue + f[2, 3])
            if cover > 0:
                old_u = np.float32(u[block_row, block_column])
                old_v = np.float32(v[block_row, block_column])
                u[block_row, block_column] = _to_byte(old_u + (sum_u - cover * old_u) / pixels)
                v[block_row, block_column] = _to_byte(old_v + (sum_v - cover * old_v) / pixels)
