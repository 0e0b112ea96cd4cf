"""The footage's own fine texture, carried by the mesh and laid over what the network has drawn."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numba import njit

from metatalk.render.trust import trust_carried

SEEN = 0.02  # weights below this change nothing that a byte would show


def trusted_places(
    carried: np.ndarray, part: tuple[slice, slice], size: int, passed: np.ndarray | None
) -> np.ndarray:
    """Say where each pixel's skin was filmed, and how far its fine texture is to be believed.

    A network that lets texture through has done at the crop's definition what is done here at
    the frame's: its weights are kept to, and nothing of its own is taken out.

    Args:
        carried: (S, S, 2) float32: where in the filmed crop each pixel's skin lies, crop px; nan
            where there is none.
        part: rows and columns of the crop that are asked for.
        size: S.
        passed: (S, S) float32 weight with which the network has let the carried skin's fine band
            through; None where it does not say: then the map alone decides.

    Returns:
        (h, w, 4) float32: x and y in the crop, px; the two weights of `trust_carried`.
    """
    places = np.empty((*carried[part].shape[:2], 4), np.float32)
    if passed is None:
        places[..., 2], places[..., 3] = trust_carried(carried[part], size)
    else:
        places[..., 2], places[..., 3] = passed[part], 0.0
    rows, columns = part
    _fill_places(carried, rows.start, columns.start, places)
    return places


@njit(cache=True, nogil=True)
def _fill_places(carried: Any, top: int, left: int, places: Any) -> None:
    """Give unmapped pixels the mean place of mapped neighbours, so that warping can blend."""
    height, width = carried.shape[:2]
    half = np.float32(0.5)
    for row in range(places.shape[0]):
        for column in range(places.shape[1]):
            x, y = carried[top + row, left + column, 0], carried[top + row, left + column, 1]
            if not np.isfinite(x):
                x, y, count = np.float32(0), np.float32(0), 0
                for j in range(max(top + row - 2, 0), min(top + row + 3, height)):
                    for i in range(max(left + column - 2, 0), min(left + column + 3, width)):
                        if np.isfinite(carried[j, i, 0]):
                            x += carried[j, i, 0] + np.float32(left + column - i)
                            y += carried[j, i, 1] + np.float32(top + row - j)
                            count += 1
                if count:
                    x, y = x / np.float32(count), y / np.float32(count)
                else:
                    x, y = np.float32(left + column) + half, np.float32(top + row) + half
            places[row, column, 0], places[row, column, 1] = x, y


def add_detail(
    picture: np.ndarray,
    places: np.ndarray,
    filmed: np.ndarray,
    to_window: np.ndarray,
    width_px: float,
    strength: float,
) -> np.ndarray:
    """Put the footage's fine band in place of the picture's own, where it is trusted.

    Args:
        picture: (h, w, 3) float32 in [0, 1]; changed in place.
        places: (h, w, 4) float32, from `trusted_places`.
        filmed: (H, W, 3) float32 in [0, 1], the whole window.
        to_window: (2, 3) crop px to px of the whole window.
        width_px: of the blur that parts fine from coarse, frame px.
        strength: 1 exchanges the band wholly.

    Returns:
        (2, h, w) float32: column and row of the window that each pixel's was read from, as OpenCV
        counts.
    """
    where = np.empty((2, *places.shape[:2]), np.float32)
    _places_in_window(places, to_window, where)
    # In floats: OpenCV's cubic is faster on them than on bytes, and rounds nothing.
    skin = cv2.remap(filmed, where[0], where[1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    difference = cv2.subtract(skin, picture)
    # The fine bands' difference is the fine band of the difference: one blur serves both.
    coarse = _blur(difference, width_px)
    own = _blur(picture, width_px) if places[..., 3].max() > SEEN else picture
    _add_fine(picture, own, difference, coarse, places, np.float32(strength))
    return where


def _blur(picture: np.ndarray, width_px: float) -> np.ndarray:
    """Blur, a wide one on a smaller picture: what it leaves is too smooth to need a large one."""
    shrink = min(int(width_px / 1.2), 4)
    if shrink < 2:
        return cv2.GaussianBlur(picture, (0, 0), width_px)
    height, width = picture.shape[:2]
    size = (-(-width // shrink), -(-height // shrink))
    # The shrinking and enlarging blur a little themselves.
    own = ((shrink**2 - 1) / 12 + shrink**2 / 6) ** 0.5
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    left = max(width_px**2 - own**2, 0.25) ** 0.5 / shrink
    small = cv2.GaussianBlur(small, (0, 0), left)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


@njit(cache=True, nogil=True)
def _places_in_window(places: Any, to_window: Any, where: Any) -> None:
    half = 0.5  # OpenCV's pixel centres are at whole numbers
    for row in range(where.shape[1]):
        for column in range(where.shape[2]):
            x, y = places[row, column, 0], places[row, column, 1]
            for axis in range(2):
                along = to_window[axis, 0] * x + to_window[axis, 1] * y
                where[axis, row, column] = along + to_window[axis, 2] - half


@njit(cache=True, nogil=True)
def _add_fine(
    picture: Any, own: Any, difference: Any, coarse: Any, places: Any, strength: Any
) -> None:
    for row in range(picture.shape[0]):
        for column in range(picture.shape[1]):
            share = strength * places[row, column, 2]
            less = strength * places[row, column, 3]
            for channel in range(3):
                fine = difference[row, column, channel] - coarse[row, column, channel]
                seen = picture[row, column, channel]
                spoilt = less * (seen - own[row, column, channel])
                picture[row, column, channel] = seen + share * fine - spoilt
