"""Faces as SyncNet sees them: a steadied square around the face, more of it below the chin."""

from __future__ import annotations

import cv2
import numpy as np
from scipy.ndimage import median_filter

from metatalk.shapes import check_shape

SYNCNET_PX = 224

_CROP_SCALE = 0.40  # of the half size: added on the left and right, and twice below
_STEADY_FRAMES = 13
_OUTSIDE = 110  # grey level beyond the picture


def syncnet_places(boxes: np.ndarray) -> np.ndarray:
    """Place SyncNet's square in every frame of a run.

    Args:
        boxes: (T, 4) left, top, right, bottom of the face at 25 a second, pixels; neither
            smoothed nor with a margin.

    Returns:
        (T, 3) float64 centre x and y and half size of the face, pixels.

    Source: Chung & Zisserman 2016, as in the pipeline around `syncnet_v2.model`.
    Departs: there the box is that of the S3FD detector, here it is drawn from landmarks: as wide
        as the face, from the hairline to the resting chin. At the ends of a run the median is
        of the frames there are, in place of noughts beyond them.
    """
    check_shape("boxes", boxes, "T 4")
    left, top, right, bottom = boxes.astype(np.float64).T
    half = np.maximum(right - left, bottom - top) / 2
    places = np.stack([(left + right) / 2, (top + bottom) / 2, half], axis=1)
    return np.asarray(median_filter(places, size=(_STEADY_FRAMES, 1), mode="nearest"))


def crop_for_syncnet(picture: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Cut a face out of a picture as SyncNet takes it.

    Args:
        picture: (H, W, 3) uint8.
        place: (3,) centre x and y and half size, pixels; beyond the picture all is grey.

    Returns:
        (224, 224, 3) uint8 in the picture's channel order.

    Raises:
        ShapeError: the picture has another shape.
    """
    size = check_shape("picture", picture, "H W 3")
    x, y, half = (float(value) for value in place)
    reach = int(half * (1 + 2 * _CROP_SCALE))  # the evaluation cuts from a padded picture
    top, bottom = int(y + reach - half), int(y + reach + half * (1 + 2 * _CROP_SCALE))
    left = int(x + reach - half * (1 + _CROP_SCALE))
    right = int(x + reach + half * (1 + _CROP_SCALE))
    rows = slice(top - reach, max(bottom, top + 1) - reach)
    columns = slice(left - reach, max(right, left + 1) - reach)
    cut = np.full((rows.stop - rows.start, columns.stop - columns.start, 3), _OUTSIDE, np.uint8)
    inside_rows = slice(max(rows.start, 0), min(rows.stop, size["H"]))
    inside_columns = slice(max(columns.start, 0), min(columns.stop, size["W"]))
    if inside_rows.start < inside_rows.stop and inside_columns.start < inside_columns.stop:
        cut[
            inside_rows.start - rows.start : inside_rows.stop - rows.start,
            inside_columns.start - columns.start : inside_columns.stop - columns.start,
        ] = picture[inside_rows, inside_columns]
    return cv2.resize(cut, (SYNCNET_PX, SYNCNET_PX))
