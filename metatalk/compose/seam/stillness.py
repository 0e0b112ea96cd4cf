"""How far the footage shows in its place what the mesh carries there from elsewhere.

Skin that has not moved, and plain skin that has, look the same in both; lips and a jaw line that
moved do not.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numba import njit

from metatalk.render.crops import to_opencv
from metatalk.shapes import check_shape

_UNKNOWN = 1.0  # of the full range: as different as can be


def carried_change(
    carried: np.ndarray, part: tuple[slice, slice], filmed: np.ndarray, to_window: np.ndarray
) -> np.ndarray:
    """Compare the footage's brightness with what is carried to the same place.

    Args:
        carried: (S, S, 2) float32: where in the filmed crop each pixel's skin lies, crop px; nan
            where there is none.
        part: rows and columns of the crop that are asked for.
        filmed: (H, W, 3) float32 in [0, 1], the window.
        to_window: (2, 3) crop px to px of the window.

    Returns:
        (h, w) float32 carried less filmed, of the full range; 1 where nothing is carried.

    Raises:
        ShapeError: an argument is not shaped as documented.
    """
    size = check_shape("carried", carried, "S S 2")["S"]
    check_shape("filmed", filmed, "H W 3")
    crop = cv2.warpAffine(
        cv2.cvtColor(filmed, cv2.COLOR_RGB2GRAY),
        to_opencv(to_window),
        (size, size),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    change = np.empty(carried[part].shape[:2], np.float32)
    _fill_change(crop, carried, part[0].start, part[1].start, change)
    return change


@njit(cache=True, nogil=True)
def _fill_change(crop: Any, carried: Any, top: int, left: int, out: Any) -> None:
    last = len(crop) - 1
    half, zero, edge = np.float32(0.5), np.float32(0), np.float32(last)
    for row in range(out.shape[0]):
        for column in range(out.shape[1]):
            x, y = carried[top + row, left + column, 0], carried[top + row, left + column, 1]
            if not (np.isfinite(x) and np.isfinite(y)):
                out[row, column] = np.float32(_UNKNOWN)
                continue
            x, y = min(max(x - half, zero), edge), min(max(y - half, zero), edge)
            i, j = min(int(x), last - 1), min(int(y), last - 1)
            u, v = x - np.float32(i), y - np.float32(j)
            upper = crop[j, i] + u * (crop[j, i + 1] - crop[j, i])
            lower = crop[j + 1, i] + u * (crop[j + 1, i + 1] - crop[j + 1, i])
            seen = upper + v * (lower - upper)
            out[row, column] = seen - crop[top + row, left + column]
