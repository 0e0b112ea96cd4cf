"""How far the footage's own fine texture may be believed where the mesh has carried it."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numba import njit

from metatalk.shapes import check_shape

STEADY = 1.25  # skin stretched or squeezed by no more than this keeps its texture
SPOILT = 1.6  # by this much or more it loses it: halfway, at 1.4, half of it is left
TORN = (2.5, 3.5)  # from here on it is no stretch: lips that were open have met
REACH_PX = 2  # how far apart places are compared, at a crop of 256 px


def trust_carried(carried: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Weigh carried skin: not at the edges of what is known, not where it changed its size.

    Stubble that is pulled out looks like streaks, lips that are pressed together in the footage
    have none of the texture that open ones show. Where skin is merely stretched, what the
    network draws in its place is worth no more: there is less of either. Where the map is torn,
    or knows nothing, the network's own is all there is.

    Args:
        carried: (h, w, 2) float32: where in the filmed crop each pixel's skin lies, crop px;
            nan where there is none.
        size: side of the whole crop, px.

    Returns:
        Trust in the carried texture, and how much of the network's own is to be taken out
        beyond that; both (h, w) float32 in [0, 1], together at most 1, smooth in space.

    Raises:
        ShapeError: the map is not shaped as documented.
    """
    check_shape("carried", carried, "h w 2")
    kept, whole = (_soften(share, size) for share in _shares(carried, size))
    ramp = _inside(carried, size)
    trust = cv2.multiply(ramp, kept)
    return trust, cv2.subtract(cv2.multiply(ramp, whole), trust)


def trust_kept(carried: np.ndarray, size: int) -> np.ndarray:
    """Weigh carried skin where nothing is taken out besides: the first of `trust_carried`.

    Args:
        carried: (h, w, 2) float32, see there.
        size: side of the whole crop, px.

    Returns:
        (h, w) float32 in [0, 1].

    Raises:
        ShapeError: the map is not shaped as documented.
    """
    check_shape("carried", carried, "h w 2")
    return cv2.multiply(_inside(carried, size), _soften(_shares(carried, size)[0], size))


def spread_px(size: int) -> int:
    """How far beyond what is known a map must reach, px, for trust to be as in the whole crop."""
    return math.ceil(2 * _edge(size)) + _reach(size) + 2


def _reach(size: int) -> int:
    return max(1, round(REACH_PX * size / 256))


def _edge(size: int) -> float:
    """Width over which trust rises at the edges of what is known, px."""
    return size / 64.0


def _shares(carried: np.ndarray, size: int) -> np.ndarray:
    """(2, h, w) float32: see `_compare_sizes`."""
    scales = np.ones((2, *carried.shape[:2]), np.float32)
    limits = np.array([STEADY, SPOILT, *TORN])
    _compare_sizes(np.ascontiguousarray(carried), _reach(size), limits, scales)
    return scales


def _soften(share: np.ndarray, size: int) -> np.ndarray:
    return cv2.GaussianBlur(cv2.erode(share, np.ones((3, 3), np.uint8)), (0, 0), _edge(size) / 2)


def _inside(carried: np.ndarray, size: int) -> np.ndarray:
    """(h, w) float32: 0 where nothing is known, rising to 1 within what is."""
    known = np.zeros((carried.shape[0] + 2, carried.shape[1] + 2), np.uint8)
    np.isfinite(carried[..., 0], out=known[1:-1, 1:-1].view(bool))
    inside = cv2.distanceTransform(known, cv2.DIST_L2, 3)[1:-1, 1:-1]
    edge = _edge(size)
    ramp = np.clip((inside - 1.0) / np.float32(edge), 0.0, 1.0)
    return cv2.GaussianBlur(ramp, (0, 0), edge / 3)


@njit(cache=True, nogil=True)
def _compare_sizes(carried: Any, reach: int, limits: Any, out: Any) -> None:
    """Shares of skin that kept its size, and of skin that is whole; 1 where it is unknown.

    Args:
        carried: (h, w, 2) float32.
        reach: how far apart places are compared, px.
        limits: scales from steady to torn.
        out: (2, h, w) float32 ones; written to where a share is less.
    """
    height, width = out.shape[1:]
    steady, spoilt, tearing, torn = np.log(limits)
    most, least = limits[0] ** 2, 1 / limits[0] ** 2
    for row in range(height):
        up, down = max(row - reach, 0), min(row + reach, height - 1)
        for column in range(width):
            left, right = max(column - reach, 0), min(column + reach, width - 1)
            if np.isnan(carried[row, right, 0] + carried[row, left, 0]):
                continue
            across, along = right - left, down - up
            xx = (carried[row, right, 0] - carried[row, left, 0]) / across
            yx = (carried[row, right, 1] - carried[row, left, 1]) / across
            xy = (carried[down, column, 0] - carried[up, column, 0]) / along
            yy = (carried[down, column, 1] - carried[up, column, 1]) / along
            # squared singular values of the map's slope are mean +- spread
            mean = 0.5 * (xx * xx + yx * yx + xy * xy + yy * yy)
            turn = xx * yy - xy * yx
            if not np.isfinite(mean):
                continue
            spread = np.sqrt(max(mean * mean - turn * turn, 0.0))
            if turn > 0.0 and mean + spread <= most and mean - spread >= least:
                continue  # most skin: no logarithms for it
            worst = torn
            if turn > 0.0 and mean > spread:  # else it is folded over
                worst = 0.5 * max(np.log(mean + spread), -np.log(mean - spread))
            out[0, row, column] = min(max((spoilt - worst) / (spoilt - steady), 0.0), 1.0)
            out[1, row, column] = min(max((torn - worst) / (torn - tearing), 0.0), 1.0)
