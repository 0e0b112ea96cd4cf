"""A redrawn face and its film made one: the mask's shape, the seam's colours, the fine texture.

All of it is worked out on the small face, where it costs little, and enlarged to the film.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from metatalk.landmarks.points import point_groups
from metatalk.lipsync.faces import whole_pixels
from metatalk.lipsync.wav2lip import FACE_PX, FIRST_DRAWN
from metatalk.lipsync.wav2lip_config import Wav2LipConfig
from metatalk.shapes import check_shape

MASK_TOP = 0.43  # of the box's height: the redrawn part begins below
_MASK_PX = 2 * FACE_PX  # side of the square on which the mask is drawn
_SUBPIXEL = 4  # binary digits after the point that OpenCV's polygons understand
_COLOUR_PX = 16.0  # of the small face: how far the seam's colours reach inwards
_COARSER = 3  # times smaller is the picture on which they are spread
_ALIKE = 15.0  # grey levels by which colours of one thing may differ
_AGREES = 9.0  # grey levels by which the drawing may differ where fine texture is kept


@dataclass(frozen=True, eq=False)
class FacePatch:
    """What is to be laid over a picture."""

    picture: np.ndarray  # (h, w, 3) float32 RGB in [0, 1]
    alpha: np.ndarray  # (h, w) float32 in [0, 1], zero outside the mask
    left: int  # column of the picture at which it lies, may be negative
    top: int  # row


def lower_outlines(points: np.ndarray, layout: str, reach: float) -> np.ndarray:
    """Outline the part of the face that speech moves, from ear to ear by way of the chin.

    Args:
        points: (N, L, 2 or 3) landmarks, pixels.
        layout: name of the landmark layout.
        reach: how far below the filmed chin, as a share of its distance from the nose: a mouth
            that opens wider than the filmed one takes the chin down with it.

    Returns:
        (N, J, 2) float32 pixels, a line.
    """
    groups = point_groups(layout)
    check_shape("points", points, f"N {groups.count} D")
    nose = points[:, None, list(groups.nose_base), :2].mean(axis=2)  # (N, 1, 2)
    away = points[:, list(groups.jaw), :2] - nose
    chin = points[:, None, groups.chin, :2] - nose
    length = np.maximum((chin**2).sum(axis=2), 1.0)
    down = np.clip((away * chin).sum(axis=2) / length, 0, 1)  # (N, J) 0 at the ears, 1 at the chin
    return np.asarray(nose + (1 + reach * down[..., None]) * away, np.float32)


def blend_face(
    filmed: np.ndarray,
    target: np.ndarray,
    drawn: np.ndarray,
    outline: np.ndarray,
    box: np.ndarray,
    config: Wav2LipConfig,
) -> FacePatch:
    """Make a patch of a redrawn face that meets its film without a seam.

    Args:
        filmed: (h, w, 3) uint8 RGB of the film in the box, as `cut_box` cuts it.
        target: (96, 96, 3) uint8 RGB, the same, shrunk to what the generator saw.
        drawn: (96, 96, 3) uint8 RGB from the generator.
        outline: (J, 2) of the lower face, pixels of the picture.
        box: left, top, right, bottom, pixels of the picture.
        config: widths and strengths.

    Returns:
        The lower part of the box, where the mask can be.

    Raises:
        ShapeError: the faces are not of the generator's size.
    """
    for name, face in (("target", target), ("drawn", drawn)):
        check_shape(name, face, f"{FACE_PX} {FACE_PX} 3")
    left, top, right, bottom = whole_pixels(box)
    size = (right - left, bottom - top)
    check_shape("filmed", filmed, "h w 3", h=size[1], w=size[0])
    mask = lower_face_mask((outline - (left, top)) / size, config.feather)
    change = drawn.astype(np.float32) - target  # (96, 96, 3) grey levels
    change += config.colour_match * _seam_colours(change, mask)
    lost = 1 - config.detail * _agreement(change)
    first = int(MASK_TOP * size[1])
    large = [_enlarge(part, size)[first:] for part in (change, lost, mask)]
    filmed = filmed[first:].astype(np.float32)
    if lost.max() > 0:
        fine = filmed - _enlarge(target.astype(np.float32), size)[first:]
        large[0] -= large[1][..., None] * fine
    picture = np.clip((filmed + large[0]) / 255, 0, 1)
    return FacePatch(picture, np.clip(large[2], 0, 1), left, top + first)


def lower_face_mask(outline: np.ndarray, feather: float) -> np.ndarray:
    """Draw the soft mask of the lower face.

    Args:
        outline: (J, 2) line from ear to ear by way of the chin; 0 to 1 over the box.
        feather: width of the soft edge, as a share of the box; it lies inside the outline.

    Returns:
        (96, 96) float32 in [0, 1]; 0 beyond the outline, above the lower half and at the edges.
    """
    hard = np.zeros((_MASK_PX, _MASK_PX), np.uint8)
    corners = np.rint((outline * _MASK_PX - 0.5) * (1 << _SUBPIXEL)).astype(np.int32)
    cv2.fillPoly(hard, [corners], (1,), shift=_SUBPIXEL)
    hard[: int(MASK_TOP * _MASK_PX)] = 0
    hard[[0, -1]] = hard[:, [0, -1]] = 0
    inside = cv2.distanceTransform(hard, cv2.DIST_L2, 5) - 1
    ramp = np.clip(inside / (feather * _MASK_PX), 0, 1)
    ramp = np.minimum(cv2.GaussianBlur(ramp, (0, 0), feather * _MASK_PX / 4), 2 * ramp)
    ramp = ramp * ramp * (3 - 2 * ramp)
    return cv2.resize(ramp, (FACE_PX, FACE_PX), interpolation=cv2.INTER_AREA)


def _seam_colours(change: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(96, 96, 3): what takes away the usual change along the mask's edge, spread smoothly."""
    rim = 4 * mask * (1 - mask)
    rim[:FIRST_DRAWN] = 0
    small = (FACE_PX // _COARSER, FACE_PX // _COARSER)
    change, rim = (cv2.resize(p, small, interpolation=cv2.INTER_AREA) for p in (change, rim))
    seen = change[rim > 0]
    usual = np.broadcast_to(np.median(seen, axis=0) if len(seen) else np.float32(0), change.shape)
    for _ in range(2):
        # Where the two show different things, an ear or the wall behind, colours say nothing.
        apart = np.abs(change - usual).max(axis=2)
        weight = rim / (1 + (apart / _ALIKE) ** 2) ** 2
        usual = _spread(change * weight[..., None]) / (_spread(weight) + 1e-4)[..., None]
    return -_enlarge(usual, (FACE_PX, FACE_PX))


def _spread(values: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(values, (0, 0), _COLOUR_PX / _COARSER)


def _agreement(change: np.ndarray) -> np.ndarray:
    """(96, 96) in [0, 1]: how far the drawing shows what the film shows, so its texture fits."""
    size = cv2.GaussianBlur(np.abs(change).max(axis=2), (0, 0), 1.5)
    size = cv2.GaussianBlur(cv2.dilate(size, np.ones((5, 5), np.uint8)), (0, 0), 1.5)
    return np.exp(-((size / _AGREES) ** 2))


def _enlarge(face: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return cv2.resize(face, size, interpolation=cv2.INTER_CUBIC)
