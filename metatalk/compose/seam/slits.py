"""Slits between a jaw and its neck, closed in what the network has drawn there.

Below a jaw that was filmed lower lies a strip, one or two pixels wide, that no footage tells of. A
network has hardly learned such strips: it draws light hairlines there, which come and go.
"""

from __future__ import annotations

import cv2
import numpy as np

from metatalk.shapes import check_shape

_WIDEST = 1 / 50  # of the crop's side: what is wider is no slit, and the network has to draw it
_SPREAD = 1 / 128  # of the crop's side: how far the skin on both sides is looked for


def close_slits(picture: np.ndarray, carried: np.ndarray, face: np.ndarray) -> np.ndarray:
    """Draw thin strips of unknown skin along the jaw line as what lies on both their sides.

    Strips elsewhere, such as between lips that are hardly parted, are the network's to draw.

    Args:
        picture: (S, S, 3) float32, what the network has drawn.
        carried: (S, S, 2) float32: where in the filmed crop each pixel's skin lies, crop px; nan
            where there is none.
        face: (S, S) bool: where the new lower face is seen, its mouth included.

    Returns:
        (S, S, 3) float32; the picture itself where there is no slit.

    Raises:
        ShapeError: an argument is not shaped as documented.
    """
    size = check_shape("picture", picture, "S S 3")["S"]
    check_shape("carried", carried, "S S 2", S=size)
    check_shape("face", face, "S S", S=size)
    known = np.isfinite(carried[..., 0])
    slits = _find_slits(known, face)
    if not slits.any():
        return picture
    # What the network has drawn beside a slit is blurred into it.
    spoilt = cv2.dilate(slits, np.ones((3, 3), np.uint8)) > 0
    left, top, width, height = cv2.boundingRect(slits)
    reach = max(_SPREAD * size, 1.0)
    more = int(4 * reach) + 2
    high, wide = (max(first - more, 0) for first in (top, left))
    here = np.s_[high : top + height + more, wide : left + width + more]
    told = (known & ~spoilt)[here].astype(np.float32)
    around = cv2.GaussianBlur(picture[here] * told[..., None], (0, 0), reach)
    share = cv2.GaussianBlur(told, (0, 0), reach)[..., None]
    closed = picture.copy()
    filled = spoilt[here] & (share[..., 0] > 0.05)
    closed[here][filled] = (around / np.maximum(share, 1e-3))[filled]
    return closed


def _find_slits(known: np.ndarray, face: np.ndarray) -> np.ndarray:
    """(S, S) uint8, 1 in strips of unknown skin between known skin that meet the face's outline."""
    side = 2 * max(round(_WIDEST * len(known) / 2), 1) + 1
    kernel = np.ones((side, side), np.uint8)
    shut = cv2.morphologyEx(known.view(np.uint8), cv2.MORPH_CLOSE, kernel)
    thin = (shut > 0) & ~known
    own = face.astype(np.uint8)
    along = cv2.dilate(own, kernel) > cv2.erode(own, kernel)
    found = np.zeros(known.shape, np.uint8)
    if not (thin & along).any():
        return found
    left, top, width, height = cv2.boundingRect(thin.view(np.uint8))
    here = np.s_[top : top + height, left : left + width]
    part = np.ascontiguousarray(thin[here]).view(np.uint8)
    count, labels = cv2.connectedComponents(part, connectivity=8)
    is_slit = np.zeros(count, np.uint8)
    is_slit[labels[thin[here] & along[here]]] = 1
    found[here] = is_slit[labels]
    return found
