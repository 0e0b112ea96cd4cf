"""How well a generated picture matches the real one, inside and outside the lower face."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from metatalk.landmarks.points import MEDIAPIPE478
from metatalk.neural.scoring import measure_sharpness, measure_structure
from metatalk.shapes import check_shape

# fmt: off
# The lower face as the exam sees it: jaw from ear to ear, closed under the nose.
LOWER_FACE = (
    132, 58, 172, 136, 150, 149, 176, 148, 152, 377,
    400, 378, 379, 365, 397, 288, 361, 327, 2, 98,
)
# fmt: on
OUTSIDE_MARGIN = 0.35  # of the face's height: what lies nearer to it may change, too

_ERROR_FLOOR = 1e-3  # squared 8-bit steps; caps the PSNR of equal pictures at 78.1 dB


@dataclass(frozen=True, eq=False)
class FaceRegions:
    """Where to look in one picture, from the landmarks of the real face."""

    box: tuple[slice, slice]  # rows and columns of the face, inside the picture
    lower: np.ndarray  # (h, w) bool inside the box: the lower face
    outside: np.ndarray  # (H, W) bool: what should not have been touched


def face_regions(points: np.ndarray, height: int, width: int) -> FaceRegions:
    """Mark the lower face and what lies well outside the face.

    Args:
        points: (478, 2) landmarks of the real face, pixels.
        height: of the picture.
        width: of the picture.

    Returns:
        The regions; `lower` may be empty where the face is cut off.

    Raises:
        ShapeError: the points have another shape.
    """
    check_shape("points", points, "478 2")
    oval = _hull(points[list(MEDIAPIPE478.oval)])
    left, top, box_width, box_height = cv2.boundingRect(oval)
    box = np.s_[max(0, top) : top + box_height, max(0, left) : left + box_width]
    lower = _filled(_hull(points[list(LOWER_FACE)]), height, width)
    reach_px = int(np.ptp(points[list(MEDIAPIPE478.oval), 1]) * OUTSIDE_MARGIN) | 1
    near = cv2.dilate(_filled(oval, height, width), np.ones((reach_px, reach_px), np.uint8))
    return FaceRegions(box, lower[box] > 0, near == 0)


def psnr(real: np.ndarray, made: np.ndarray, mask: np.ndarray) -> float:
    """Compute the peak signal-to-noise ratio under a mask.

    Args:
        real: (H, W, 3) uint8.
        made: (H, W, 3) uint8.
        mask: (H, W) bool, true somewhere.

    Returns:
        Decibels; at most 78.1.

    Raises:
        ShapeError: the three do not fit together.
    """
    _check_pair(real, made, mask)
    squared = cv2.norm(real, made, cv2.NORM_L2SQR, mask.view(np.uint8))
    error = squared / (3 * np.count_nonzero(mask))
    return float(10 * np.log10(255.0**2 / max(error, _ERROR_FLOOR)))


def ssim(real: np.ndarray, made: np.ndarray, mask: np.ndarray) -> float:
    """Compute the structural similarity of the brightness, averaged under a mask.

    Args:
        real: (H, W, 3) uint8 RGB.
        made: (H, W, 3) uint8 RGB.
        mask: (H, W) bool, true somewhere.

    Returns:
        1 for equal pictures.

    Raises:
        ShapeError: the three do not fit together.

    Source: Wang et al. 2004, eq. 13, with a Gaussian window of 11 pixels and sigma 1.5.
    """
    _check_pair(real, made, mask)
    return measure_structure(made, real, mask)


def sharpness_ratio(real: np.ndarray, made: np.ndarray, mask: np.ndarray) -> float:
    """Compare definition: variance of the brightness's Laplacian under a mask, made / real.

    Args:
        real: (H, W, 3) uint8 RGB.
        made: (H, W, 3) uint8 RGB.
        mask: (H, W) bool, true somewhere.

    Returns:
        1 is perfect, less is blurred, more is noisy.

    Raises:
        ShapeError: the three do not fit together.
    """
    _check_pair(real, made, mask)
    return measure_sharpness(made, mask) / max(measure_sharpness(real, mask), 1e-6)


def _hull(points: np.ndarray) -> np.ndarray:
    return cv2.convexHull(points.astype(np.int32))


def _filled(hull: np.ndarray, height: int, width: int) -> np.ndarray:
    filled = np.zeros((height, width), np.uint8)
    cv2.fillConvexPoly(filled, hull, (1,))
    return filled


def _check_pair(real: np.ndarray, made: np.ndarray, mask: np.ndarray) -> None:
    size = check_shape("real", real, "H W 3")
    check_shape("made", made, "H W 3", **size)
    check_shape("mask", mask, "H W", **size)
