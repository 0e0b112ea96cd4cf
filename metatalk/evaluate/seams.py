"""Whether the edge of what was laid over a picture can be seen.

Everything is measured along the mask's own edge, in the picture with the patch and in the one
without: what the footage itself shows there, a collar or a jaw, is no seam.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from metatalk.evaluate.colour_difference import delta_e, rgb_to_lab
from metatalk.shapes import check_shape

SEGMENTS = 24  # pieces of the edge; within one, noise averages out and a seam does not
NEAR_PX = 1.0  # this near to the edge a seam would lie,
BESIDE_PX = 4.0  # and this far to both sides there is none
BAND = 0.25  # how deep the rim is that is looked at, as a share of the mask's half width
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
MARGIN_PX = 12  # around the mask that is looked at, at least
_FEWEST = 4  # pixels
_FLOOR = 2e-4  # of the full range, a pixel: less gradient than any picture's noise leaves


@dataclass(frozen=True)
class SeamScores:
    """What a seam looks like, averaged over frames."""

    # how much steeper brightness is at the edge than beside it: the footage's own steps and what
    # the patch adds, against the footage's own; 1: nothing added
    jump_ratio: float
    step: float  # how far brightness inside the rim is off, of the full range; 0: none
    delta_e: float  # CIEDE2000 of the rim's smoothed colours, with and without the patch
    definition_ratio: float  # fine contrast in the rim, with / without; less: two pictures mixed
    frames: int


@dataclass(frozen=True, eq=False)
class _Rim:
    """The rim of one mask, and which piece of it each of its pixels belongs to."""

    signed: np.ndarray  # (h, w) float32 distance from the edge, px, positive inside
    piece: np.ndarray  # (h, w) int, 0 to SEGMENTS - 1
    normal: np.ndarray  # (h, w, 2) float32 unit vectors x, y into the mask
    depth_px: float


class SeamMeter:
    """Compares pictures along the edge of what was laid over them, one after another."""

    def __init__(self) -> None:
        self._rows: list[tuple[float, ...]] = []

    def add(self, source: np.ndarray, made: np.ndarray, mask: np.ndarray) -> None:
        """Take in one picture; without a mask it does not count.

        Args:
            source: (H, W, 3) uint8 RGB, or float32 in [0, 1]: without the patch.
            made: the same picture with it.
            mask: (H, W) alpha of the patch, float in [0, 1] or bool; 0 outside.

        Raises:
            ShapeError: pictures and mask do not fit together.
        """
        if np.any(mask):
            self._rows.append(_measure(*_around(source, made, mask)))

    def scores(self) -> SeamScores:
        """Average what was taken in."""
        if not self._rows:
            return SeamScores(1.0, 0.0, 0.0, 1.0, 0)
        table = np.array(self._rows)
        added, own = table[:, 0].mean(), table[:, 1].mean() + _FLOOR
        fine_with, fine_without = table[:, 4].mean(), table[:, 5].mean()
        return SeamScores(
            jump_ratio=float(np.hypot(own, added) / own),
            step=float(table[:, 2].mean()),
            delta_e=float(table[:, 3].mean()),
            definition_ratio=float(np.sqrt((fine_with + _FLOOR**2) / (fine_without + _FLOOR**2))),
            frames=len(table),
        )


def measure_seams(
    source: Iterable[np.ndarray], made: Iterable[np.ndarray], masks: Iterable[np.ndarray]
) -> SeamScores:
    """Compare pictures along the edge of what was laid over them, see `SeamMeter`.

    Args:
        source: (H, W, 3) each, without the patch.
        made: the same pictures with it.
        masks: (H, W) alpha of the patch.

    Returns:
        The scores; pictures without a mask do not count.

    Raises:
        ShapeError: pictures and masks do not fit together.
    """
    meter = SeamMeter()
    for frame in zip(source, made, masks, strict=True):
        meter.add(*frame)
    return meter.scores()


def _around(
    source: np.ndarray, made: np.ndarray, mask: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The part of all three that holds the mask and what is compared with it."""
    size = check_shape("mask", mask, "H W")
    check_shape("source", source, "H W 3", **size)
    check_shape("made", made, "H W 3", **size)
    left, top, width, height = cv2.boundingRect((mask > 0).astype(np.uint8))
    more = MARGIN_PX + min(width, height) // 4
    part = np.s_[max(top - more, 0) : top + height + more,
                 max(left - more, 0) : left + width + more]  # fmt: skip
    return _unit(source[part]), _unit(made[part]), mask[part]


def _unit(picture: np.ndarray) -> np.ndarray:
    if picture.dtype == np.uint8:
        return picture.astype(np.float32) / 255
    return picture.astype(np.float32)


def _measure(
    source: np.ndarray, made: np.ndarray, mask: np.ndarray
) -> tuple[float, float, float, float, float, float]:
    """Jumps added and own, step, colour difference, fine power with and without."""
    rim = _find_rim(mask)
    jumps = [_jumps(picture @ _LUMA, rim) for picture in (made, source)]
    zone = (rim.signed > 0) & (rim.signed <= rim.depth_px)
    smooth = max(rim.depth_px / 3, 1.0)
    low = [cv2.GaussianBlur(picture, (0, 0), smooth) for picture in (made, source)]
    off = _by_piece((low[0] - low[1]) @ _LUMA, zone, rim.piece)
    step = float(np.nanmedian(np.abs(off))) if np.isfinite(off).any() else 0.0
    colour = delta_e(*(rgb_to_lab(picture)[zone].astype(np.float64) for picture in low))
    fine = [picture - cv2.GaussianBlur(picture, (0, 0), 1.5) for picture in (made, source)]
    power = [float((band[zone] ** 2).mean()) for band in fine]
    added, own = _calm(np.abs(jumps[0] - jumps[1])), _calm(np.abs(jumps[1]))
    return added, own, step, float(np.median(colour)), power[0], power[1]


def _find_rim(mask: np.ndarray) -> _Rim:
    support = (mask > 0).astype(np.uint8)
    padded = np.pad(support, 1)
    inside = cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1]
    outside = cv2.distanceTransform(1 - padded, cv2.DIST_L2, 5)[1:-1, 1:-1]
    depth = max(BAND * float(inside.max()), 2.0)
    signed = np.where(support > 0, inside - 0.5, 0.5 - outside)
    smooth = cv2.GaussianBlur(signed, (0, 0), max(depth / 4, 1.0))
    normal = np.stack([cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)], 2)
    length = np.linalg.norm(normal, axis=2, keepdims=True)
    rows, columns = np.nonzero(support)
    y, x = np.mgrid[: mask.shape[0], : mask.shape[1]]
    angle = np.arctan2(y - rows.mean(), x - columns.mean())
    piece = np.floor((angle / (2 * np.pi) + 0.5) * SEGMENTS).astype(int) % SEGMENTS
    return _Rim(signed, piece, normal / np.maximum(length, 1e-6), depth)


def _jumps(luma: np.ndarray, rim: _Rim) -> np.ndarray:
    """(SEGMENTS,) how much steeper brightness is at the edge than to both its sides."""
    soft = cv2.GaussianBlur(luma, (0, 0), 0.8)
    slope = cv2.Sobel(soft, cv2.CV_32F, 1, 0, scale=1 / 8) * rim.normal[..., 0]
    slope += cv2.Sobel(soft, cv2.CV_32F, 0, 1, scale=1 / 8) * rim.normal[..., 1]
    at_edge = _by_piece(slope, np.abs(rim.signed) <= NEAR_PX, rim.piece)
    beside = [
        _by_piece(slope, np.abs(rim.signed - side) <= NEAR_PX, rim.piece)
        for side in (-BESIDE_PX, BESIDE_PX)
    ]
    return at_edge - (beside[0] + beside[1]) / 2


def _calm(jumps: np.ndarray) -> float:
    """Average the calmer pieces: a seam runs all along, a collar crosses here and there."""
    seen = np.sort(jumps[np.isfinite(jumps)])
    return float(seen[: -(-len(seen) * 6 // 10)].mean()) if len(seen) else 0.0


def _by_piece(values: np.ndarray, zone: np.ndarray, piece: np.ndarray) -> np.ndarray:
    """(SEGMENTS,) means over the pieces of the rim; nan where one has hardly a pixel."""
    count = np.bincount(piece[zone], minlength=SEGMENTS)
    total = np.bincount(piece[zone], values[zone], minlength=SEGMENTS)
    means: np.ndarray = np.where(count >= _FEWEST, total / np.maximum(count, 1), np.nan)
    return means
