"""What stands apart from a jaw: collars, clothes and backgrounds, told by their colour."""

from __future__ import annotations

import cv2
import numpy as np

from metatalk.shapes import check_shape

SIDE_PX = 128  # of the picture on which colours are compared
BLUR_PX = 1.0  # of that picture: compression leaves false colours along edges
CHIN = (0.14, 0.01)  # of the crop's side: so far within the outline lies what colours belong to it
FEWEST = 50  # pixels of it
DARK = 0.25  # added to a sum of colours: of what is dark no hue is to be told
OFF = (2.0, 3.0)  # deviations of a hue from the chin's: some, and surely another thing's
LEAST_OFF = 0.015  # deviation of hue that a chin has at least
BRIGHTER = (0.08, 0.16)  # than nearly all of the chin: so is no neck that lies in its shade
MOST = 95.0  # percent that are nearly all
SPOT = 0.01  # of the picture: what is smaller is a shadow's tint, and no collar


def find_apart(filmed: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """Find what has another colour than the chin, or is much brighter.

    A dark beard and a neck in the shade have the chin's hue, a white collar, a blue jacket and a
    window have not. What is dark and without a hue may be either and does not stand apart.

    Args:
        filmed: (S, S, 3) uint8, the crop.
        distance: (S, S) px from the filmed outline, negative inside, see
            `silhouette.signed_distance`.

    Returns:
        (s, s) float32, 1 where something stands apart, s at most 128; of a face too small to tell
        all 0.

    Raises:
        ShapeError: an argument is not shaped as documented.
    """
    size = check_shape("filmed", filmed, "S S 3")["S"]
    check_shape("distance", distance, "S S", S=size)
    side = min(SIDE_PX, size)
    shrunk = cv2.resize(filmed, (side, side), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(shrunk.astype(np.float32) / 255, (0, 0), BLUR_PX)
    away = cv2.resize(distance, (side, side), interpolation=cv2.INTER_AREA) / size
    chin = (away > -CHIN[0]) & (away < -CHIN[1])
    if chin.sum() < FEWEST:
        return np.zeros((side, side), np.float32)
    red, green, blue = (small[..., channel] for channel in range(3))
    total = red + green + blue
    off = np.maximum(*(_deviations(one, total, chin) for one in (red - green, green - blue)))
    bright = total / 3 - np.percentile(total[chin] / 3, MOST)
    return _without_spots(np.maximum(_rise(off, *OFF), _rise(bright, *BRIGHTER)))


def _without_spots(apart: np.ndarray) -> np.ndarray:
    _, parts, sizes, _ = cv2.connectedComponentsWithStats((apart > 0).astype(np.uint8))
    large = sizes[:, cv2.CC_STAT_AREA] >= SPOT * apart.size
    whole: np.ndarray = apart * large[parts]  # part 0, where nothing stands apart, is 0 anyway
    return whole


def _deviations(difference: np.ndarray, total: np.ndarray, chin: np.ndarray) -> np.ndarray:
    """How far a difference of two colours is off the chin's, in its usual deviations.

    Lips and teeth are few among the chin's pixels, and do not count.
    """
    hue = difference / np.maximum(total, 1e-3)
    usual = np.median(hue[chin])
    deviation = 1.4826 * np.median(np.abs(hue[chin] - usual)) + LEAST_OFF
    off: np.ndarray = np.abs(difference - usual * total) / (deviation * (total + DARK))
    return off


def _rise(value: np.ndarray, low: float, high: float) -> np.ndarray:
    share: np.ndarray = np.clip((value - low) / (high - low), 0.0, 1.0).astype(np.float32)
    return share
