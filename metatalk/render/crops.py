"""Square crops of the lower face that follow the head and never the mouth.

A crop is placed by anchor points of the neutral face in the fitted pose, so that an opening jaw
moves within the crop and cannot be read from where the crop lies.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d

from metatalk.errors import ShapeError
from metatalk.shapes import check_shape

MOST_SAMPLES = 8  # a side; footage shrunk more than this many times is sampled sparsely


@dataclass(frozen=True)
class CropLayout:
    """Where an actor's crop lies about the anchors, in units of their mean distance.

    Measured once on the training clip and kept with the actor: on any other clip the face then
    has the size and place in the crop that the renderer has learnt.
    """

    centre_x: float  # from the anchors' centroid to the crop's middle, along the head's x
    centre_y: float  # the same, along the head's y
    half_side: float  # half of the crop's side

    def __post_init__(self) -> None:
        if not (np.isfinite([self.centre_x, self.centre_y]).all() and self.half_side > 0):
            raise ShapeError(f"not a crop layout: {self}")


def measure_layout(
    anchor_points: np.ndarray, margin: float, roll_rad: np.ndarray | None = None
) -> CropLayout:
    """Find the square that holds the anchors of every frame, with a margin.

    Args:
        anchor_points: (T, A, 2) px, neutral lower-face points; NaN in frames without a face.
        margin: reach beyond the outermost anchor, as a share of the half side.
        roll_rad: (T,) the head's turn in the picture plane, radians; None means upright crops.

    Returns:
        The layout.

    Raises:
        ShapeError: an argument is not shaped as documented, or no frame has a face.
    """
    centre, scale, roll = _place_heads(anchor_points, roll_rad)
    seen = np.isfinite(scale)
    if not seen.any():
        raise ShapeError("anchor_points: no frame has finite points")
    offset = anchor_points[seen] - centre[seen, None]
    turned = np.einsum("tij,taj->tai", _rotations(-roll[seen]), offset)
    unit = turned / scale[seen, None, None]
    low, high = np.median(unit.min(1), 0), np.median(unit.max(1), 0)
    middle = (low + high) / 2
    reach = np.percentile(np.abs(unit - middle).max((1, 2)), 98)
    return CropLayout(float(middle[0]), float(middle[1]), float(reach * (1 + margin)))


def crop_transforms(
    anchor_points: np.ndarray,
    size: int,
    margin: float = 0.15,
    steady_frames: float = 4.0,
    shots: np.ndarray | None = None,
    roll_rad: np.ndarray | None = None,
    layout: CropLayout | None = None,
) -> np.ndarray:
    """Place one crop a frame, steady in time.

    Args:
        anchor_points: (T, A, 2) px, the projected neutral lower-face points; NaN in frames
            without a face.
        size: the crop's side in crop pixels.
        margin: see `measure_layout`; unused where a layout is given.
        steady_frames: standard deviation of the smoothing over time, frames; 0 = none.
        shots: (K, 2) first frame and end of each shot; smoothing stops there. None = one shot.
        roll_rad: (T,) the head's turn in the picture plane, radians, which the crop undoes;
            the fitted rotation's z angle serves. None means upright crops.
        layout: the actor's layout; None measures one on these frames.

    Returns:
        (T, 2, 3) float64 similarities: crop px = transform @ [x px, y px, 1]. Frames without a
        face lie between their neighbours in the shot; NaN where the whole shot has no face.

    Raises:
        ShapeError: an argument is not shaped as documented, or no frame has a face.
    """
    layout = layout or measure_layout(anchor_points, margin, roll_rad)
    centre, scale, roll = _place_heads(anchor_points, roll_rad)
    track = np.column_stack([centre, np.log(scale), roll])  # (T, 4)
    for first, end in _check_shots(shots, len(track)):
        track[first:end] = _steady(track[first:end], steady_frames)
    side = 2 * layout.half_side * np.exp(track[:, 2])  # (T,) frame px
    to_crop = _rotations(-track[:, 3]) * (size / side)[:, None, None]
    middle = np.array([layout.centre_x, layout.centre_y]) * size / (2 * layout.half_side)
    shift = size / 2 - middle - np.einsum("tij,tj->ti", to_crop, track[:, :2])
    return np.concatenate([to_crop, shift[..., None]], axis=-1)


def crop_sides(transforms: np.ndarray, size: int) -> np.ndarray:
    """Measure how many frame pixels a crop's side spans.

    Args:
        transforms: (..., 2, 3) frame px to crop px.
        size: the crop's side in crop pixels.

    Returns:
        (...,) float64 frame px.
    """
    check_shape("transforms", transforms, "... 2 3")
    return size / np.sqrt(np.abs(np.linalg.det(transforms[..., :2])))


def apply_transforms(points: np.ndarray, transforms: np.ndarray) -> np.ndarray:
    """Take points through affine transforms.

    Args:
        points: (..., N, 2) px.
        transforms: (..., 2, 3).

    Returns:
        (..., N, 2) px.
    """
    check_shape("points", points, "... N 2")
    check_shape("transforms", transforms, "... 2 3")
    return points @ np.swapaxes(transforms[..., :2], -1, -2) + transforms[..., None, :, 2]


def invert_transforms(transforms: np.ndarray) -> np.ndarray:
    """Turn frame-to-crop transforms into crop-to-frame ones, and back.

    Args:
        transforms: (..., 2, 3); NaN stays NaN.

    Returns:
        (..., 2, 3) float64.
    """
    check_shape("transforms", transforms, "... 2 3")
    # Written out: LAPACK would wake a thread for each core, which then waits busily.
    a, b, c, d = np.moveaxis(transforms[..., :2].astype(np.float64).reshape(-1, 4), -1, 0)
    turned = np.stack([d, -b, -c, a], axis=-1) / (a * d - b * c)[:, None]
    inverse = turned.reshape(*transforms.shape[:-1], 2)
    return np.concatenate([inverse, -inverse @ transforms[..., 2:]], axis=-1)


def warp_to_crop(rgb: np.ndarray, transform: np.ndarray, size: int) -> np.ndarray:
    """Cut one crop out of a picture, without aliasing where it shrinks.

    Args:
        rgb: (H, W, 3) uint8, or (H, W) for a mask.
        transform: (2, 3) frame px to crop px, pixel centres at half integers.
        size: the crop's side, px.

    Returns:
        (size, size, 3) uint8, or (size, size); beyond the picture its edge is repeated.

    Raises:
        ShapeError: the transform is not shaped as documented or not finite.
    """
    check_shape("transform", transform, "2 3")
    if not np.isfinite(transform).all():
        raise ShapeError("transform is not finite: the frame's shot has no face")
    side = float(crop_sides(transform, size))
    samples = int(np.clip(np.ceil(side / size - 0.1), 1, MOST_SAMPLES))
    wide = size * samples
    crop = cv2.warpAffine(
        rgb,
        to_opencv(transform * samples),
        (wide, wide),
        flags=cv2.INTER_CUBIC if samples == 1 else cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return crop if samples == 1 else cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA)


def to_opencv(transform: np.ndarray) -> np.ndarray:
    """Restate a transform for OpenCV, whose pixel centres lie at whole numbers.

    Args:
        transform: (2, 3) between coordinates with pixel centres at half integers.

    Returns:
        (2, 3) float64 for cv2.warpAffine.
    """
    moved = np.array(transform, dtype=np.float64)
    moved[:, 2] += moved[:, :2].sum(axis=1) * 0.5 - 0.5
    return moved


def _place_heads(
    anchor_points: np.ndarray, roll_rad: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centroid (T, 2), mean distance from it (T,) and roll (T,); NaN without a face."""
    frames = check_shape("anchor_points", anchor_points, "T A 2")["T"]
    points = np.asarray(anchor_points, dtype=np.float64)
    seen = np.isfinite(points).all((1, 2))
    points = np.where(seen[:, None, None], points, np.nan)
    centre = points.mean(1)
    scale = np.linalg.norm(points - centre[:, None], axis=-1).mean(1)
    if roll_rad is None:
        return centre, scale, np.where(seen, 0.0, np.nan)
    check_shape("roll_rad", roll_rad, "T", T=frames)
    roll = np.where(seen, np.asarray(roll_rad, dtype=np.float64), np.nan)
    return centre, scale, roll


def _check_shots(shots: np.ndarray | None, frames: int) -> list[tuple[int, int]]:
    if shots is None:
        return [(0, frames)]
    check_shape("shots", shots, "K 2")
    return [(int(first), int(end)) for first, end in shots]


def _steady(track: np.ndarray, steady_frames: float) -> np.ndarray:
    """Fill the gaps of one shot's (T, N) track linearly, then smooth it over time."""
    seen = np.isfinite(track).all(1)
    if not seen.any():
        return track
    times, known = np.arange(len(track)), np.flatnonzero(seen)
    filled = np.column_stack([np.interp(times, known, column[known]) for column in track.T])
    filled[:, 3] = np.interp(times, known, np.unwrap(track[known, 3]))
    if steady_frames <= 0:
        return filled
    return gaussian_filter1d(filled, steady_frames, axis=0, mode="nearest")


def _rotations(angle_rad: np.ndarray) -> np.ndarray:
    """(T,) angles to (T, 2, 2) rotations, x towards y."""
    cosine, sine = np.cos(angle_rad), np.sin(angle_rad)
    return np.stack([np.stack([cosine, -sine], -1), np.stack([sine, cosine], -1)], -2)
