"""The generated lower face, put back into the frame it came from.

All pictures here are a frame's window: the part of the frame that the crop covers, at the
frame's own resolution. The network gives what is coarse, the footage's own skin, carried by
the mesh to where the new face has it, gives what is fine.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from metatalk.compose.config import DriveConfig
from metatalk.render.crops import invert_transforms, to_opencv
from metatalk.shapes import check_shape

CROP_PX = 256  # the crop side at which widths in pixels are meant


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
    inside = cv2.distanceTransform(hard, cv2.DIST_L2, 3)[1:-1, 1:-1]
    ramp = np.clip((inside - 1.0) / max(2.0 * feather_px, 1e-3), 0.0, 1.0)
    still_zero = np.clip(inside / max(feather_px, 1.0), 0.0, 1.0)  # outside
    smooth = cv2.GaussianBlur(ramp, (0, 0), max(feather_px / 2, 0.3)) * still_zero
    eased: np.ndarray = smooth * smooth * (3.0 - 2.0 * smooth)
    return eased.astype(np.float32)


def match_colours(
    generated: np.ndarray, filmed: np.ndarray, mask: np.ndarray, strength: float
) -> np.ndarray:
    """Spread the colour difference seen around the mask smoothly over its inside.

    Args:
        generated: (S, S, 3) float32 in [0, 1]; outside the mask it repeats the footage.
        filmed: (S, S, 3) float32 footage.
        mask: (S, S) uint8, 255 inside.
        strength: 0 leaves the colours, 1 makes them meet the footage at the edge.

    Returns:
        (S, S, 3) float32.
    """
    if strength == 0:
        return generated
    size = generated.shape[0]
    small = max(32, size // 4)
    shrink = lambda array: cv2.resize(array, (small, small), interpolation=cv2.INTER_AREA)  # noqa: E731
    ring = _ring(mask, max(3, size // 24))
    difference = shrink((filmed - generated) * ring[..., None])
    width = small / 6.0
    weight = cv2.GaussianBlur(shrink(ring), (0, 0), width) + 1e-3
    offset = cv2.GaussianBlur(difference, (0, 0), width) / weight[..., None]
    return generated + strength * cv2.resize(offset, (size, size), interpolation=cv2.INTER_LINEAR)


def _ring(mask: np.ndarray, width_px: int) -> np.ndarray:
    """(S, S) float32: 1 in a band just outside the mask."""
    side = 2 * width_px + 1
    grown = cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
    return ((grown > 127) & (mask <= 127)).astype(np.float32)


def compose_window(
    generated: np.ndarray,
    mask: np.ndarray,
    carried: np.ndarray,
    filmed: np.ndarray,
    window: Window,
    config: DriveConfig,
) -> tuple[np.ndarray, np.ndarray]:
    """Compose one frame's window: coarse from the network, fine from the footage.

    Args:
        generated: (S, S, 3) float32 in [0, 1], colours matched.
        mask: (S, S) uint8, 255 where the lower face is new.
        carried: (S, S, 2) float32: where in the filmed crop each pixel's skin lies, crop px;
            nan where there is none.
        filmed: (H, W, 3) uint8, the footage in the window.
        window: where the window lies.
        config: widths and strengths.

    Returns:
        (H, W, 3) float32 picture in [0, 1] and (H, W) float32 alpha, zero outside the mask.
    """
    size = generated.shape[0]
    alpha = _to_window(soft_mask(mask, config.feather * size), window)
    picture = _to_window(generated, window, cv2.INTER_CUBIC)
    if config.detail > 0:
        width = config.detail_px * size / CROP_PX * window.scale
        picture += config.detail * _detail(picture, carried, filmed, window, width)
    return np.clip(picture, 0.0, 1.0), alpha


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


def _detail(
    picture: np.ndarray, carried: np.ndarray, filmed: np.ndarray, window: Window, width_px: float
) -> np.ndarray:
    """(H, W, 3): what is to be added so that the fine band is the footage's."""
    valid = np.isfinite(carried[..., 0])
    trust = _to_window(_trust(valid), window)
    place = np.where(valid[..., None], carried, 0.0) @ window.to_window[:, :2].T
    place = (place + window.to_window[:, 2]).astype(np.float32)
    place = _to_window(_fill(place, valid), window) - 0.5  # OpenCV's centres are at integers
    source = filmed.astype(np.float32) / 255.0
    skin = cv2.remap(
        source, place[..., 0], place[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    fine = skin - cv2.GaussianBlur(skin, (0, 0), width_px)
    own = picture - cv2.GaussianBlur(picture, (0, 0), width_px)
    return (fine - own) * trust[..., None]


def _trust(valid: np.ndarray) -> np.ndarray:
    """(S, S) float32: how far the carried skin is to be believed; fades at its edges."""
    size = len(valid)
    inside = cv2.distanceTransform(np.pad(valid.astype(np.uint8), 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
    edge = size / 64.0
    trust: np.ndarray = np.clip((inside - 1.0) / edge, 0.0, 1.0).astype(np.float32)
    return cv2.GaussianBlur(trust, (0, 0), edge / 3)


def _fill(place: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Give unmapped pixels a place near their mapped neighbours', so that warping can blend."""
    weight = valid.astype(np.float32)
    spread = cv2.GaussianBlur(place * weight[..., None], (0, 0), 3.0)
    mass = cv2.GaussianBlur(weight, (0, 0), 3.0)
    return np.where(valid[..., None], place, spread / (mass[..., None] + 1e-6))
