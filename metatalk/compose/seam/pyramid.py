"""Two pictures mixed band by band: what is coarse over a wide rim, what is fine over a narrow one.

A mix of two fine textures is neither: it is pale where they differ and shows every edge twice.
A narrow mix of two brightnesses is a line. So each band gets a rim as wide as what it shows.
Where the footage shows in its place what the new face shows there, its own colours reach further
in: they are the truth, as calm as it is, and no filmed mouth comes with them.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numba import njit

from metatalk.shapes import check_shape

# Where alpha rises, in widths of the feather from the mask's edge: the generated picture is
# poorest at the very edge, and the finest band is mixed by alpha alone.
FINE_RIM = (0.5, 1.0)
# A band's footage is what the new face shows where it differs from what is carried there by less
# than the first of these, of the full range; by more than the second it is something else.
ALIKE = (0.008, 0.03)
COARSE = 2  # levels below show fine structure, which must not be mixed with its like: half as much
SPREAD_PX = 1.5  # of a level's own pixels: how far a change is looked for
_LEAST_PX = 4  # side of the smallest picture of a pyramid


def rim_alpha(depth: np.ndarray) -> np.ndarray:
    """Rise from 0 near the mask's edge to 1, narrowly.

    Args:
        depth: (h, w) float32 distance from outside the mask, in widths of the feather.

    Returns:
        (h, w) float32 in [0, 1].
    """
    check_shape("depth", depth, "h w")
    alpha = np.empty(depth.shape, np.float32)
    _fill_rise(depth, np.float32(FINE_RIM[0]), np.float32(FINE_RIM[1]), alpha)
    return alpha


def count_levels(levels: int, scale: float, height: int, width: int) -> float:
    """Add levels where the face is filmed larger, drop some where it is smaller.

    So the coarsest band is as coarse a part of the face everywhere. A head that comes nearer
    passes through all sizes: the last level comes and goes by shares.

    Args:
        levels: wanted where a pixel of the picture is one of a crop of 256.
        scale: pixels of the picture to one of such a crop.
        height: of the picture, px.
        width: of the picture, px.

    Returns:
        Levels, at least 1; 4.3 are four and three tenths of a fifth.

    >>> count_levels(4, 1.0, 200, 300), count_levels(4, 4.0, 800, 1000), count_levels(4, 1.0, 8, 9)
    (4.0, 6.0, 2.0)
    """
    wanted = levels + math.log2(scale)
    possible = 1 + math.log2(max(min(height, width) / _LEAST_PX, 1.0))
    return max(1.0, min(wanted, possible))


def blend_bands(
    filmed: np.ndarray,
    picture: np.ndarray,
    depth: np.ndarray,
    levels: float,
    reach: float,
    change: np.ndarray | None = None,
    still: float = 0.0,
) -> np.ndarray:
    """Let a picture's coarse bands become the footage's towards the mask's edge.

    The difference of the two is parted into a Laplacian pyramid, and each band of it fades out
    towards the edge over its own width. The finest does not: `rim_alpha` mixes that when the
    result is laid over the footage, and nothing is divided by it.

    Args:
        filmed: (h, w, 3) float32, the footage in [0, 1].
        picture: (h, w, 3) float32, what is to be laid over it.
        depth: (h, w) float32 distance from outside the mask, in widths of the feather.
        levels: of the pyramid, see `count_levels`; 1 leaves the picture as it is.
        reach: depth at which the coarsest band is the picture's own.
        change: (h, w) float32, what is carried to each pixel less what was filmed there, of the
            full range; None: nothing is alike.
        still: depth at which all bands but the finest are the picture's own where that is little,
            see `ALIKE`; not above a band's own depth: it makes no difference.

    Returns:
        (h, w, 3) float32; the picture itself where the depth exceeds `reach` and `still` by a few
        pixels.

    Raises:
        ShapeError: an argument is not shaped as documented.

    Source: Burt & Adelson 1983, sections 2 and 3, on the difference of the two pictures.
    Departs: weights come from the depth at each level, not from one blurred mask.
    """
    size = check_shape("filmed", filmed, "h w 3")
    check_shape("picture", picture, "h w 3", **size)
    check_shape("depth", depth, "h w", **size)
    if change is not None:
        check_shape("change", change, "h w", **size)
    if levels <= 1:
        return picture
    coarsest = math.ceil(levels) - 1
    bands, depths = [cv2.subtract(picture, filmed)], [depth]
    for _ in range(coarsest):
        bands.append(cv2.pyrDown(bands[-1]))
        depths.append(cv2.pyrDown(depths[-1]))  # as the bands are: a resized one lies elsewhere
    # What is not taken out of the next finer band fades with that: a level just begun does nothing.
    bands[-1] = np.multiply(bands[-1], np.float32(levels - coarsest))
    own = [_own_width(level, levels, reach) for level in range(coarsest + 1)]
    widths = _widths(change, own, still)
    less = np.zeros_like(bands[-1])
    for level in range(coarsest, 0, -1):
        above = less if level == coarsest else cv2.pyrUp(less, dstsize=_size(bands[level]))
        less = np.empty_like(bands[level])
        coarser = (
            np.zeros_like(bands[level])
            if level == coarsest
            else cv2.pyrUp(bands[level + 1], dstsize=_size(bands[level]))
        )
        _fade_band(bands[level], coarser, above, depths[level], widths[level], less)
    return cv2.add(picture, cv2.pyrUp(less, dstsize=_size(picture)))


def _own_width(level: int, levels: float, reach: float) -> float:
    """The depth over which a band fades out wherever it is, in widths of the feather."""
    return FINE_RIM[1] + (reach - FINE_RIM[1]) * min(level / (levels - 1), 1.0)


def _widths(change: np.ndarray | None, own: list[float], still: float) -> list[np.ndarray]:
    """For each level the depths over which its band fades: (h, w) float32, or (1, 1): one for all.

    That of level 0, whose band does not fade, is its own.
    """
    widths = [np.full((1, 1), width, np.float32) for width in own]
    if change is None:
        return widths
    for level in range(1, len(own)):
        change = cv2.pyrDown(change)
        if still > own[level]:
            # Where a change passes through zero it is no smaller than beside that.
            apart = cv2.GaussianBlur(np.abs(change), (0, 0), SPREAD_PX)
            widths[level] = np.empty_like(apart)
            low, high = (np.float32(limit * min(level / COARSE, 1.0)) for limit in ALIKE)
            _fill_rise(apart, low, high, widths[level])
            widths[level] *= np.float32(own[level] - still)
            widths[level] += np.float32(still)
    return widths


def _size(picture: np.ndarray) -> tuple[int, int]:
    return picture.shape[1], picture.shape[0]


@njit(cache=True, nogil=True)
def _rise(value: Any) -> Any:
    share = min(max(value, np.float32(0)), np.float32(1))
    return share * share * (np.float32(3) - np.float32(2) * share)


@njit(cache=True, nogil=True)
def _fill_rise(depth: Any, low: Any, high: Any, out: Any) -> None:
    for row in range(depth.shape[0]):
        for column in range(depth.shape[1]):
            out[row, column] = _rise((depth[row, column] - low) / (high - low))


@njit(cache=True, nogil=True)
def _fade_band(band: Any, coarser: Any, above: Any, depth: Any, widths: Any, out: Any) -> None:
    """What a level's fading changes, added to what the coarser levels' has changed."""
    is_map = widths.size > 1
    width = widths[0, 0]
    for row in range(depth.shape[0]):
        for column in range(depth.shape[1]):
            if is_map:
                width = widths[row, column]
            lost = _rise(depth[row, column] / width) - np.float32(1)
            for channel in range(3):
                own = band[row, column, channel] - coarser[row, column, channel]
                out[row, column, channel] = above[row, column, channel] + lost * own
