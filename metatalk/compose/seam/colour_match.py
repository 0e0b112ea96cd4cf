"""Colour and exposure of the generated face, matched to the skin that was filmed."""

from __future__ import annotations

import cv2
import numpy as np

from metatalk.shapes import check_shape

_COARSER = 4  # times smaller is the picture on which colours are compared
_REACH = 5 / 64  # how far colours spread, as a share of the crop's side
_ALIKE = 0.04  # of the full range: colours that differ by more are not of one thing
_ROUNDS = 2


def match_colours(
    generated: np.ndarray,
    filmed: np.ndarray,
    mask: np.ndarray,
    strength: float,
    carried: np.ndarray | None = None,
) -> np.ndarray:
    """Take the usual colour difference between generated and filmed skin out, smoothly.

    Each generated pixel is compared with the filmed skin that the mesh carries to it, so that a
    mouth that moved is no difference in colour. What differs more than skin in another light,
    a microphone or a collar, does not count. The filmed skin holds the result still: how
    much the generated colours tremble from frame to frame is taken out as well.

    Args:
        generated: (S, S, 3) float32 in [0, 1].
        filmed: (S, S, 3) uint8 footage.
        mask: (S, S) uint8, 255 inside.
        strength: 0 leaves the colours, 1 matches them wholly.
        carried: (S, S, 2) float32: where in the filmed crop each pixel's skin lies, crop px; nan
            where there is none. None: where the pixel itself is.

    Returns:
        (S, S, 3) float32.

    Raises:
        ShapeError: an argument is not shaped as documented.
    """
    size = check_shape("generated", generated, "S S 3")["S"]
    check_shape("filmed", filmed, "S S 3", S=size)
    check_shape("mask", mask, "S S", S=size)
    if carried is not None:
        check_shape("carried", carried, "S S 2", S=size)
    if strength == 0:
        return generated
    small = max(16, size // _COARSER)
    weight = _core(_shrink((mask > 127).astype(np.float32), small))
    skin = _shrink(filmed, small).astype(np.float32) / 255
    if carried is not None:
        skin, is_known = _carry(skin, carried)
        weight *= _core(is_known)
    offset = _usual(skin - _shrink(generated, small), weight, _REACH * small)
    if offset is None:
        return generated
    offset *= np.float32(strength)
    return cv2.add(generated, cv2.resize(offset, (size, size), interpolation=cv2.INTER_LINEAR))


def _usual(difference: np.ndarray, weight: np.ndarray, reach: float) -> np.ndarray | None:
    """(s, s, 3) the difference that most of the skin nearby shows; None: there is no skin."""
    seen = difference[weight > 0.5]
    if not len(seen):
        return None
    usual = np.broadcast_to(np.median(seen, axis=0), difference.shape)
    for _ in range(_ROUNDS):
        apart = np.abs(difference - usual).max(axis=2)
        alike = weight / (1 + (apart / np.float32(_ALIKE)) ** 2) ** 2
        total = _spread(alike, reach)[..., None] + np.float32(2e-3)
        usual = _spread(difference * alike[..., None], reach) / total
    return usual


def _spread(values: np.ndarray, reach: float) -> np.ndarray:
    return cv2.GaussianBlur(values, (0, 0), reach, borderType=cv2.BORDER_REFLECT)


def _shrink(picture: np.ndarray, small: int) -> np.ndarray:
    return cv2.resize(picture, (small, small), interpolation=cv2.INTER_AREA)


def _core(share: np.ndarray) -> np.ndarray:
    """Only what lies well inside."""
    return cv2.erode(share, np.ones((3, 3), np.uint8), borderType=cv2.BORDER_REPLICATE)


def _carry(skin: np.ndarray, carried: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The small picture as the map carries it, and where it does: (s, s, 3), (s, s) 0 or 1."""
    small, size = len(skin), len(carried)
    middle = (np.arange(small) + 0.5) * (size / small)
    sampled = middle.astype(int)
    places = carried[np.ix_(sampled, sampled)].copy()
    places[..., 0] += (middle - sampled - 0.5).astype(np.float32)
    places[..., 1] += (middle - sampled - 0.5).astype(np.float32)[:, None]
    is_known = np.isfinite(places[..., 0])
    places = np.where(is_known[..., None], places, 0) * np.float32(small / size) - np.float32(0.5)
    moved = cv2.remap(
        skin, places[..., 0], places[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return moved, is_known.astype(np.float32)
