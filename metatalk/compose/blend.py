"""The generated lower face, put back into the frame it came from.

A frame's window is the part of the frame that the crop covers, at the frame's own resolution.
The network gives what is coarse, the footage's own skin, carried by the mesh to where the new
face has it, gives what is fine; the footage's grain is laid where neither brings it. Towards the
mask's edge the picture becomes the footage's own, band by band, so that a narrow alpha does not
show. Nothing outside the mask's own box is worked on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numba import njit

from metatalk.compose.config import DriveConfig
from metatalk.compose.seam.detail import add_detail, trusted_places
from metatalk.compose.seam.grain import FrameGrain
from metatalk.compose.seam.pyramid import blend_bands, count_levels, rim_alpha
from metatalk.compose.seam.stillness import carried_change
from metatalk.render.crops import invert_transforms, to_opencv
from metatalk.shapes import check_shape

# Nothing of a pattern of two pixels passes, three quarters of one of four, all of wide ones.
_NO_COMB = np.array([-1, 4, 10, 4, -1], np.float32) / 16
CROP_PX = 256  # the crop side at which widths in pixels are meant
_LEAST_FEATHER_PX = 0.5  # of the crop


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


@dataclass(frozen=True, eq=False)
class DrawnFace:
    """One crop's new lower face, as it is to be laid over its frame."""

    picture: np.ndarray  # (S, S, 3) float32 RGB in [0, 1], colours matched
    mask: np.ndarray  # (S, S) uint8, 255 where it is new
    # (S, S, 2) float32: where in the filmed crop each pixel's skin lies, crop px; nan for nowhere
    carried: np.ndarray
    # (S, S) float32 weight with which the network has let the carried skin's fine band through;
    # None where it does not say: then the map alone decides
    passed: np.ndarray | None = None


Focus = tuple[tuple[slice, slice], Window]  # rows and columns of the crop; where they lie


def mix_patches(one: Patch | None, other: Patch | None, share: float) -> Patch | None:
    """The patch that gives a mean of what two patches give, whatever they are laid over.

    Args:
        one: a patch, or none.
        other: another.
        share: of the other one, 0 to 1.

    Returns:
        The patch; None where both are none.
    """
    laid = [(patch, part) for patch, part in ((one, 1 - share), (other, share)) if patch and part]
    if not laid:
        return None
    left, top = (min(getattr(patch, side) for patch, _ in laid) for side in ("left", "top"))
    width = max(patch.left + patch.alpha.shape[1] for patch, _ in laid) - left
    height = max(patch.top + patch.alpha.shape[0] for patch, _ in laid) - top
    alpha, picture = np.zeros((height, width), np.float32), np.zeros((height, width, 3), np.float32)
    for patch, part in laid:
        rows, columns = patch.alpha.shape
        here = np.s_[
            patch.top - top : patch.top - top + rows,
            patch.left - left : patch.left - left + columns,
        ]
        alpha[here] += np.float32(part) * patch.alpha
        picture[here] += np.float32(part) * patch.alpha[..., None] * patch.picture
    picture /= np.maximum(alpha, 1e-6)[..., None]
    return Patch(np.clip(picture, 0.0, 1.0), np.minimum(alpha, 1.0), left, top)


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
    inside = _distance_inside(mask)
    ramp = np.clip((inside - 1.0) / np.float32(max(2.0 * feather_px, 1e-3)), 0.0, 1.0)
    smooth = cv2.GaussianBlur(ramp, (0, 0), max(feather_px / 2, 0.3))
    _ease(smooth, inside, np.float32(1.0 / max(feather_px, 1.0)))
    return smooth


def mask_depth(mask: np.ndarray, feather_px: float) -> np.ndarray:
    """Measure how deep in a mask each pixel lies, without the corners of a distance.

    Args:
        mask: (h, w) uint8, 0 or 255.
        feather_px: the unit of the depth, px.

    Returns:
        (h, w) float32 in units of the feather, zero outside the mask and in its outermost pixels.
    """
    inside = np.maximum(_distance_inside(mask) - np.float32(1), 0)
    smooth = cv2.GaussianBlur(inside, (0, 0), max(0.15 * feather_px, 0.3))
    # What a blur brings out at the edge, or beyond, is taken back.
    return np.minimum(smooth, np.float32(1.5) * inside) * np.float32(1 / feather_px)


def _distance_inside(mask: np.ndarray) -> np.ndarray:
    hard = np.pad((mask > 127).astype(np.uint8), 1)  # the crop's own border is an edge, too
    return np.ascontiguousarray(cv2.distanceTransform(hard, cv2.DIST_L2, 3)[1:-1, 1:-1])


@njit(cache=True, nogil=True)
def _ease(smooth: Any, inside: Any, slope: Any) -> None:
    """Round off both ends of a ramp, and hold it to zero where nothing is inside."""
    one, two, three = np.float32(1), np.float32(2), np.float32(3)
    for row in range(smooth.shape[0]):
        for column in range(smooth.shape[1]):
            share = smooth[row, column] * min(inside[row, column] * slope, one)
            smooth[row, column] = share * share * (three - two * share)


def without_comb(generated: np.ndarray, scale: float) -> np.ndarray:
    """Take out what a network draws from one pixel to the next, which enlarged shows as a weave.

    Its last layer lays pixels out in twos; of what a crop shows little has so fine a pattern.

    Args:
        generated: (S, S, 3) float32.
        scale: frame px in one of the crop's; up to 1 nothing is done, from 2 on all of it.

    Returns:
        (S, S, 3) float32.
    """
    share = np.float32(min(max(scale - 1.0, 0.0), 1.0))
    if share == 0:
        return generated
    smooth = cv2.sepFilter2D(generated, -1, _NO_COMB, _NO_COMB, borderType=cv2.BORDER_REPLICATE)
    mixed: np.ndarray = generated + share * (smooth - generated)
    return mixed


def compose_window(
    face: DrawnFace,
    filmed: np.ndarray,
    window: Window,
    config: DriveConfig,
    grain: FrameGrain | None = None,
) -> Patch | None:
    """Compose one frame's window: coarse from the network, fine from the footage.

    Laid over the footage by its alpha, the patch is the result, exactly.

    Args:
        face: the new lower face.
        filmed: (H, W, 3) uint8, or float32 in [0, 1]: the footage in the window. Footage deeper
            than 8 bits keeps its depth in the mask's rim only where it comes as float32.
        window: where the window lies.
        config: widths and strengths.
        grain: the footage's, of this frame; None where it has none.

    Returns:
        The patch, as large as the mask asks for; None where the mask lies beside the frame.
    """
    focus = _focus(window, face.mask)
    if focus is None:
        return None
    part, inner = focus
    seam = config.seam
    footage = _unit(filmed)
    picture, share, where = _draw_fine(face, footage, focus, window, config)
    feather_px = max(config.feather * len(face.picture), _LEAST_FEATHER_PX)
    scale = window.scale * len(face.picture) / CROP_PX
    levels = count_levels(seam.levels, scale, *picture.shape[:2]) if seam.levels > 1 else 1.0
    if levels > 1:
        depth = _to_window(mask_depth(face.mask[part], feather_px), inner)
        alpha = rim_alpha(depth)
    if levels < 2:  # a face so small, or on its way there, that one wide rim has to do
        plain = _to_window(soft_mask(face.mask[part], config.feather * len(face.picture)), inner)
        part_of = np.float32(levels - 1)
        alpha = plain if part_of == 0 else part_of * alpha + (1 - part_of) * plain
    if grain is not None and seam.grain > 0:
        first = inner.left - window.left, inner.top - window.top
        missing = grain.missing(share, where, first, alpha)
        grain.lay(picture, np.float32(seam.grain) * missing, inner.left, inner.top)
    if levels > 1:
        beneath = footage[_inside(inner, window)]
        change = None
        if seam.still > seam.reach:
            change = _to_window(
                carried_change(face.carried, part, footage, window.to_window), inner
            )
        picture = blend_bands(beneath, picture, depth, levels, seam.reach, change, seam.still)
    np.clip(picture, 0.0, 1.0, out=picture)
    return Patch(picture, alpha, inner.left, inner.top)


def _draw_fine(
    face: DrawnFace,
    footage: np.ndarray,
    focus: Focus,
    window: Window,
    config: DriveConfig,
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """The face at the frame's definition; how much of it was carried, and from where.

    The latter two as `FrameGrain.missing` takes them.
    """
    (part, inner), size = focus, len(face.picture)
    calm = without_comb(face.picture, window.scale)
    picture = _to_window(calm, _whole(inner, part), cv2.INTER_CUBIC)
    if config.detail == 0 or not config.filmed:
        return picture, np.zeros(picture.shape[:2], np.float32), None
    places = _to_window(trusted_places(face.carried, part, size, face.passed), inner)
    width = config.detail_px * size / CROP_PX * window.scale
    where = add_detail(picture, places, footage, window.to_window, width, config.detail)
    return picture, np.float32(config.detail) * places[..., 2], where


def _unit(filmed: np.ndarray) -> np.ndarray:
    """(H, W, 3) float32 in [0, 1]."""
    if filmed.dtype == np.uint8:
        return np.multiply(filmed, np.float32(1 / 255), dtype=np.float32)
    return np.asarray(filmed, np.float32)


def _inside(inner: Window, window: Window) -> tuple[slice, slice]:
    """Rows and columns of the whole window in which a part of it lies."""
    top, left = inner.top - window.top, inner.left - window.left
    return slice(top, top + inner.height), slice(left, left + inner.width)


def _focus(window: Window, mask: np.ndarray) -> Focus | None:
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


def _whole(inner: Window, part: tuple[slice, slice]) -> Window:
    """Where the whole crop lies in a part's window: what surrounds the part is mixed in, too."""
    to_window = inner.to_window.copy()
    to_window[:, 2] -= to_window[:, :2] @ (part[1].start, part[0].start)
    return replace(inner, to_window=to_window)


def _to_window(
    picture: np.ndarray,
    window: Window,
    interpolation: int = cv2.INTER_LINEAR,
) -> np.ndarray:
    warped: np.ndarray = cv2.warpAffine(
        picture,
        to_opencv(window.to_window),
        (window.width, window.height),
        flags=interpolation,
        borderMode=cv2.BORDER_CONSTANT,
    )
    return warped
