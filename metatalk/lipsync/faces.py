"""Faces as Wav2Lip sees them: boxes from landmarks, 96x96 crops, and the way back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d

from metatalk.landmarks.points import point_groups
from metatalk.landmarks.track import LandmarkTrack
from metatalk.lipsync.config import BOX_SMOOTH_S, FACE_MARGIN
from metatalk.lipsync.wav2lip import FACE_PX
from metatalk.shapes import check_shape

Box: TypeAlias = Sequence[float] | np.ndarray  # left, top, right, bottom, pixels
_FOREHEAD = 1.15  # eyes to the box's top, in eye-to-nose distances: about the hairline
_EDGE_FADE = 0.12  # of the crop: how wide a redrawn face fades out at its edges
_LOWER_HALF = (0.42, 0.52)  # of the crop's height: where the redrawn half fades in


def face_boxes(
    track: LandmarkTrack, smooth_frames: float = 25 * BOX_SMOOTH_S, margin: float = FACE_MARGIN
) -> np.ndarray:
    """Box the face in every frame without looking at the mouth.

    The upper edge and the lower one hang on the eyes and the nose; the chin only says, by its
    median over the clip, how far down the lower edge lies. So an opening jaw does not move it.

    Args:
        track: landmarks of the clip.
        smooth_frames: standard deviation of the temporal filter, frames; it runs neither
            across cuts nor across missing faces.
        margin: added below the chin, as a share of the face's height.

    Returns:
        (T, 4) float32 left, top, right, bottom in pixels; NaN where there is no face.
    """
    boxes = np.full((len(track), 4), np.nan, np.float32)
    if track.has_face.any():
        boxes[track.has_face] = _raw_boxes(track, margin)
    for first, end in track.runs() if smooth_frames > 0 else ():
        boxes[first:end] = gaussian_filter1d(boxes[first:end], smooth_frames, axis=0)
    return boxes


def crop_face(picture: np.ndarray, box: Box) -> np.ndarray:
    """Cut a face out of a picture at the generator's size.

    Args:
        picture: (H, W, 3) uint8.
        box: left, top, right, bottom, pixels; where it leaves the picture, the edge is repeated.

    Returns:
        (96, 96, 3) uint8 in the picture's channel order.
    """
    return shrink_face(cut_box(picture, box))


def cut_box(picture: np.ndarray, box: Box) -> np.ndarray:
    """Cut a box out of a picture as it is.

    Args:
        picture: (H, W, 3) uint8.
        box: left, top, right, bottom, pixels; where it leaves the picture, the edge is repeated.

    Returns:
        (h, w, 3) uint8, as large as `whole_pixels` says; a view where the box lies inside.
    """
    left, top, right, bottom = whole_pixels(box)
    rows = np.clip(np.arange(top, bottom), 0, picture.shape[0] - 1)
    columns = np.clip(np.arange(left, right), 0, picture.shape[1] - 1)
    cut = picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    if cut.shape[:2] != (len(rows), len(columns)):
        cut = picture[rows[:, None], columns]
    return cut


def shrink_face(cut: np.ndarray) -> np.ndarray:
    """Bring a face of any size, as `cut_box` cuts it, to the generator's (96, 96, 3)."""
    shrinks = max(cut.shape[:2]) > FACE_PX
    return cv2.resize(cut, (FACE_PX, FACE_PX), interpolation=_interpolation(shrinks))


def paste_face(picture: np.ndarray, face: np.ndarray, box: Box) -> np.ndarray:
    """Blend a redrawn face into its picture: the lower half, fading out at the edges.

    Args:
        picture: (H, W, 3) uint8.
        face: (96, 96, 3) uint8 in the picture's channel order.
        box: where `crop_face` took it, pixels.

    Returns:
        (H, W, 3) uint8, a new picture; outside the box it is unchanged.
    """
    check_shape("face", face, f"{FACE_PX} {FACE_PX} 3")
    left, top, right, bottom = whole_pixels(box)
    size = (right - left, bottom - top)
    drawn = cv2.resize(face, size, interpolation=_interpolation(shrinks=max(size) < FACE_PX))
    alpha = cv2.resize(_blend_mask(), size, interpolation=cv2.INTER_LINEAR)[..., None]
    y0, x0 = max(top, 0), max(left, 0)
    y1, x1 = min(bottom, picture.shape[0]), min(right, picture.shape[1])
    out = picture.copy()
    if y0 >= y1 or x0 >= x1:
        return out
    inside = np.s_[y0 - top : y1 - top, x0 - left : x1 - left]
    under = picture[y0:y1, x0:x1].astype(np.float32)
    blended = under + alpha[inside] * (drawn[inside] - under)
    out[y0:y1, x0:x1] = np.rint(blended).astype(np.uint8)
    return out


def whole_pixels(box: Box) -> tuple[int, int, int, int]:
    """Round a box to whole pixels, at least one wide and high."""
    left, top = round(float(box[0])), round(float(box[1]))
    right, bottom = round(float(box[2])), round(float(box[3]))
    return left, top, max(right, left + 1), max(bottom, top + 1)


def _raw_boxes(track: LandmarkTrack, margin: float) -> np.ndarray:
    groups, points = point_groups(track.layout), track.points[track.has_face]
    eyes_y = points[:, list(groups.eyes), 1].mean(axis=1)
    nose_y = points[:, list(groups.nose_base), 1].mean(axis=1)
    unit = np.maximum(nose_y - eyes_y, 1.0)  # of head turn and distance, not of speech
    chin_units = np.median((points[:, groups.chin, 1] - eyes_y) / unit)
    top = eyes_y - _FOREHEAD * unit
    bottom = eyes_y + chin_units * unit
    bottom += margin * (bottom - top)
    outline_x = points[:, list(groups.oval), 0]
    return np.stack([outline_x.min(axis=1), top, outline_x.max(axis=1), bottom], axis=1)


def _interpolation(shrinks: bool) -> int:
    return cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC


def _blend_mask() -> np.ndarray:
    """(96, 96) float32: 1 in the lower half's middle, 0 above it and along the edges."""
    place = (np.arange(FACE_PX, dtype=np.float32) + 0.5) / FACE_PX
    edge = np.clip(np.minimum(place, 1 - place) / _EDGE_FADE, 0, 1)
    start, full = _LOWER_HALF
    down = np.clip((place - start) / (full - start), 0, 1) * np.clip((1 - place) / _EDGE_FADE, 0, 1)
    return _eased(down)[:, None] * _eased(edge)[None, :]


def _eased(ramp: np.ndarray) -> np.ndarray:
    return ramp * ramp * (3 - 2 * ramp)
