"""The generated lower face, put back into the frame it came from.

A frame's window is the part of the frame that the crop covers, at the frame's own resolution.
The network gives what is coarse, the footage's own skin, carried by the mesh to where the new
face has it, gives what is fine. Nothing outside the mask's own box is worked on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numba import njit

from metatalk.compose.config import DriveConfig
from metatalk.render.crops import invert_transforms, to_opencv
from metatalk.render.trust import trust_carried
from metatalk.shapes import check_shape

CROP_PX = 256  # the crop side at which widths in pixels are meant
SEEN = 0.02  # weights below this change nothing that a byte would show


@dataclass(frozen=True, eq=False)
class Window:
    """Where a crop lies in its frame."""

    left: int
    top: int
    width: int
    height: int
    to_window: np.ndarray  # (2, 3) crop px to window px

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right, bottom in frame pixels."""
        return self.left, self.top, self.left + self.width, self.top + self.height

    @property
    def scale(self) -> float:
        """Frame pixels a crop pixel."""
        return float(np.sqrt(abs(np.linalg.det(self.to_window[:, :2]))))


@dataclass(frozen=True, eq=False)
class Patch:
    """What is to be laid over a frame."""

    picture: np.ndarray  # (h, w, 3) float32 RGB in [0, 1]
    alpha: np.ndarray  # (h, w) float32 in [0, 1], zero outside the mask
    left: int  # column of the frame at which it lies
    top: int  # row


def find_window(transform: np.ndarray, size: int, width: int, height: int) -> Window | None:
    """Find the part of a frame that a crop covers.

    Args:
        transform: (2, 3) frame px to crop px.
        size: the crop's side, px.
        width: of the frame, px.
        height: of the frame, px.

    Returns:
        The window, even-sided so that chroma fits; None where the crop misses the frame.
    """
    check_shape("transform", transform, "2 3")
    to_frame = invert_transforms(transform)
    corners = np.array([[0, 0], [size, 0], [0, size], [size, size]]) @ to_frame[:, :2].T
    corners = corners + to_frame[:, 2]
    low = np.floor(corners.min(0)).astype(int) // 2 * 2
    high = -(-np.ceil(corners.max(0)).astype(int) // 2) * 2
    left, top = np.maximum(low, 0)
    right, bottom = min(int(high[0]), width), min(int(high[1]), height)
    if right <= left or bottom <= top:
        return None
    to_window = to_frame.copy()
    to_window[:, 2] -= (left, top)
    return Window(int(left), int(top), int(right - left), int(bottom - top), to_window)


def soft_mask(mask: np.ndarray, feather_px: float) -> np.ndarray:
    """Turn a hard mask into one that falls to zero inside its own edge.

    Args:
        mask: (S, S) uint8, 0 or 255.
        feather_px: width of the soft edge.

    Returns:
        (S, S) float32 in [0, 1], zero outside the mask; smooth, without corners.
    """
    hard = np.pad((mask > 127).astype(np.uint8), 1)  # the crop's own border is an edge, too
    inside = np.ascontiguousarray(cv2.distanceTransform(hard, cv2.DIST_L2, 3)[1:-1, 1:-1])
    ramp = np.clip((inside - 1.0) / np.float32(max(2.0 * feather_px, 1e-3)), 0.0, 1.0)
    smooth = cv2.GaussianBlur(ramp, (0, 0), max(feather_px / 2, 0.3))
    _ease(smooth, inside, np.float32(1.0 / max(feather_px, 1.0)))
    return smooth


@njit(cache=True, nogil=True)
def _ease(smooth: Any, inside: Any, slope: Any) -> None:
    """Round off both ends of a ramp, and hold it to zero where nothing is inside."""
    one, two, three = np.float32(1), np.float32(2), np.float32(3)
    for row in range(smooth.shape[0]):
        for column in range(smooth.shape[1]):
            share = smooth[row, column] * min(inside[row, column] * slope, one)
            smooth[row, column] = share * share * (three - two * share)


def match_colours(
    generated: np.ndarray, filmed: np.ndarray, mask: np.ndarray, strength: float
) -> np.ndarray:
    """Spread the colour difference seen around the mask smoothly over its inside.

    Args:
        generated: (S, S, 3) float32 in [0, 1]; outside the mask it repeats the footage.
        filmed: (S, S, 3) uint8 footage.
        mask: (S, S) uint8, 255 inside.
        strength: 0 leaves the colours, 1 makes them meet the footage at the edge.

    Returns:
        (S, S, 3) float32.

    Raises:
        ShapeError: an argument is not shaped as documented.
    """
    sizes = check_shape("generated", generated, "S S 3")
    check_shape("filmed", filmed, "S S 3", **sizes)
    check_shape("mask", mask, "S S", **sizes)
    if strength == 0:
        return generated
    size = sizes["S"]
    small = max(32, size // 4)
    difference, ring = _seen_around(generated, filmed, mask, max(3, size // 24))
    shrink = lambda array: cv2.resize(array, (small, small), interpolation=cv2.INTER_AREA)  # noqa: E731
    width = small / 6.0
    weight = cv2.GaussianBlur(shrink(ring), (0, 0), width) + np.float32(1e-3)
    blurred = cv2.GaussianBlur(shrink(difference), (0, 0), width)
    offset = blurred * (np.float32(strength) / weight)[..., None]
    return cv2.add(generated, cv2.resize(offset, (size, size), interpolation=cv2.INTER_LINEAR))


def _seen_around(
    generated: np.ndarray, filmed: np.ndarray, mask: np.ndarray, width_px: int
) -> tuple[np.ndarray, np.ndarray]:
    """Footage less generated picture in a band just outside the mask, and where that band is."""
    outside = (mask <= 127).view(np.uint8)
    away = cv2.distanceTransform(outside, cv2.DIST_L2, 3)
    difference = np.zeros(generated.shape, np.float32)
    ring = np.zeros(mask.shape, np.float32)
    if mask.any():
        _difference_in_ring(generated, filmed, away, np.float32(width_px + 0.5), difference, ring)
    return difference, ring


@njit(cache=True, nogil=True)
def _difference_in_ring(
    generated: Any, filmed: Any, away: Any, width: Any, difference: Any, ring: Any
) -> None:
    level = np.float32(255)
    for row in range(away.shape[0]):
        for column in range(away.shape[1]):
            if 0 < away[row, column] <= width:
                ring[row, column] = 1
                for channel in range(3):
                    seen = np.float32(filmed[row, column, channel]) / level
                    difference[row, column, channel] = seen - generated[row, column, channel]


def compose_window(
    generated: np.ndarray,
    mask: np.ndarray,
    carried: np.ndarray,
    filmed: np.ndarray,
    window: Window,
    config: DriveConfig,
    passed: np.ndarray | None = None,
) -> Patch | None:
    """Compose one frame's window: coarse from the network, fine from the footage.

    Args:
        generated: (S, S, 3) float32 in [0, 1], colours matched.
        mask: (S, S) uint8, 255 where the lower face is new.
        carried: (S, S, 2) float32: where in the filmed crop each pixel's skin lies, crop px;
            nan where there is none.
        filmed: (H, W, 3) uint8, the footage in the window.
        window: where the window lies.
        config: widths and strengths.
        passed: (S, S) float32 weight with which the network has let the carried skin's fine
            band through; None where it does not say: then the map alone decides.

    Returns:
        The patch, as large as the mask asks for; None where the mask lies beside the frame.
    """
    focus = _focus(window, mask)
    if focus is None:
        return None
    part, inner = focus
    size = generated.shape[0]
    alpha = _to_window(soft_mask(mask[part], config.feather * size), inner)
    picture = _to_window(generated[part], inner, cv2.INTER_CUBIC)
    if config.detail > 0 and config.filmed:
        width = config.detail_px * size / CROP_PX * window.scale
        sources = _trusted_places(carried, part, size, passed)
        _add_detail(picture, _to_window(sources, inner), filmed, window, width, config.detail)
    np.clip(picture, 0.0, 1.0, out=picture)
    return Patch(picture, alpha, inner.left, inner.top)


def _focus(window: Window, mask: np.ndarray) -> tuple[tuple[slice, slice], Window] | None:
    """The part of the crop that holds the mask, and of the window that shows that part."""
    left, top, width, height = cv2.boundingRect(mask)
    if not width:
        return None
    size = len(mask)
    first = np.maximum([left - 2, top - 2], 0)  # what lies around the mask is blended in, too
    end = np.minimum([left + width + 2, top + height + 2], size)
    corners = np.array([[first[0], first[1]], [end[0], first[1]], [first[0], end[1]], end])
    seen = corners @ window.to_window[:, :2].T + window.to_window[:, 2]
    low = np.maximum(np.floor(seen.min(0)).astype(int), 0)
    high = np.minimum(np.ceil(seen.max(0)).astype(int), [window.width, window.height])
    if (high <= low).any():
        return None
    to_window = window.to_window.copy()
    to_window[:, 2] += to_window[:, :2] @ first - low
    x, y = (int(value) for value in low)
    wide, tall = (int(value) for value in high - low)
    part = slice(int(first[1]), int(end[1])), slice(int(first[0]), int(end[0]))
    return part, Window(window.left + x, window.top + y, wide, tall, to_window)


def _to_window(
    picture: np.ndarray, window: Window, interpolation: int = cv2.INTER_LINEAR
) -> np.ndarray:
    warped: np.ndarray = cv2.warpAffine(
        picture,
        to_opencv(window.to_window),
        (window.width, window.height),
        flags=interpolation,
        borderMode=cv2.BORDER_CONSTANT,
    )
    return warped


def _trusted_places(
    carried: np.ndarray, part: tuple[slice, slice], size: int, passed: np.ndarray | None
) -> np.ndarray:
    """(h, w, 4) float32: where each pixel's skin lies in the crop, x and y; `trust_carried`.

    A network that lets texture through has done at the crop's definition what is done here at
    the frame's: its weights are kept to, and nothing of its own is taken out.
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


def _add_detail(
    picture: np.ndarray,
    places: np.ndarray,
    filmed: np.ndarray,
    window: Window,
    width_px: float,
    strength: float,
) -> None:
    """Put the footage's fine band in place of the picture's own, where it is trusted.

    Args:
        picture: (h, w, 3) float32 in [0, 1]; changed in place.
        places: (h, w, 4) float32, from `_trusted_places`.
        filmed: (H, W, 3) uint8, the whole window.
        window: where the whole window lies.
        width_px: of the blur that parts fine from coarse, frame px.
        strength: 1 exchanges the band wholly.
    """
    where = np.empty((2, *places.shape[:2]), np.float32)
    _places_in_window(places, window.to_window, where)
    # In floats: OpenCV's cubic is faster on them than on bytes, and rounds nothing.
    source = filmed.astype(np.float32)
    skin = cv2.remap(source, where[0], where[1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    difference = np.empty_like(picture)
    _subtract(skin, picture, difference)
    # The fine bands' difference is the fine band of the difference: one blur serves both.
    coarse = _blur(difference, width_px)
    own = _blur(picture, width_px) if places[..., 3].max() > SEEN else picture
    _add_fine(picture, own, difference, coarse, places, np.float32(strength))


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
def _subtract(skin: Any, picture: Any, difference: Any) -> None:
    level = np.float32(1.0 / 255.0)
    for row in range(picture.shape[0]):
        for column in range(picture.shape[1]):
            for channel in range(3):
                seen = skin[row, column, channel] * level
                difference[row, column, channel] = seen - picture[row, column, channel]


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
