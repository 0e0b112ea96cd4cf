"""Segments: the frames that get a new mouth, and how the filmed one becomes it.

The words of a segment must be new from the first to the last, so the ramps lie outside of it, over
the filmed words beside it. A ramp has two parts, one after the other. In the outer one the picture
fades from the filmed frame to a drawn one that still makes the filmed expression: both show the
same mouth, so nothing is seen double. In the inner one the drawn mouth moves from the filmed
expression to the new one, as a mouth does. A plain cross-fade from mouth to mouth would show two
pairs of lips.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metatalk.compose.segments_config import SegmentsConfig
from metatalk.shapes import check_shape

_ROUNDING_S = 1e-4  # by which a frame's time and a segment's may differ and be the same


@dataclass(frozen=True, eq=False)
class SegmentRamps:
    """What the frames of a result show of the new face."""

    picture: np.ndarray  # (N,) float32: 1 the drawn picture, 0 the filmed one
    mouth: np.ndarray  # (N,) float32: 1 the new expression, 0 the filmed one

    def __post_init__(self) -> None:
        count = check_shape("picture", self.picture, "N")
        check_shape("mouth", self.mouth, "N", **count)


def segment_ramps(
    seconds: np.ndarray,
    ranges: np.ndarray,
    config: SegmentsConfig,
    cuts: np.ndarray | None = None,
) -> SegmentRamps:
    """Say which frames belong to segments, and how far those beside them do.

    Args:
        seconds: (N,) when each frame is shown.
        ranges: (R, 2) beginnings and ends of the segments, seconds.
        config: of the ramps.
        cuts: (K,) frames that begin a new shot; a ramp ends there, for a cut hides the change.

    Returns:
        The ramps: all 1 inside segments, all 0 farther than a ramp from them.
    """
    frames = check_shape("seconds", seconds, "N")["N"]
    check_shape("ranges", ranges, "R 2")
    shot = np.zeros(frames, np.int64)
    if cuts is not None:
        shot = np.searchsorted(np.sort(cuts), np.arange(frames), side="right")
    nearness = np.zeros(frames)
    for first_s, end_s in ranges:
        nearness = np.maximum(nearness, _nearness(seconds, first_s, end_s, config.ramp_s, shot))
    picture = _ease(nearness / config.fade)
    rest = max(1.0 - config.fade, 1e-9)
    mouth = _ease((nearness - config.fade) / rest) if config.fade < 1 else _ease(nearness)
    return SegmentRamps(picture.astype(np.float32), mouth.astype(np.float32))


def blend_expression(filmed: np.ndarray, new: np.ndarray, mouth: np.ndarray) -> np.ndarray:
    """Let the mouth move from the filmed expression to the new one.

    Args:
        filmed: (N, E) the expression that each frame of the result was filmed with.
        new: (N, E) the new one.
        mouth: (N,) from `segment_ramps`: share of the new one.

    Returns:
        (N, E) float32.
    """
    size = check_shape("filmed", filmed, "N E")
    check_shape("new", new, "N E", **size)
    check_shape("mouth", mouth, "N", N=size["N"])
    share = mouth[:, None].astype(np.float32)
    blended: np.ndarray = filmed * (1 - share) + new * share
    return blended.astype(np.float32)


def frames_within(seconds: np.ndarray, first_s: float, end_s: float) -> np.ndarray:
    """Tell which frames belong to a part: those of which any moment does.

    Args:
        seconds: (N,) when each frame is shown; it lasts until the next, the last one for ever.
        first_s: where the part begins.
        end_s: where it is over.

    Returns:
        (N,) bool.
    """
    ends = np.append(seconds[1:], np.inf)
    inside: np.ndarray = (ends > first_s + _ROUNDING_S) & (seconds < end_s - _ROUNDING_S)
    return inside


def _nearness(
    seconds: np.ndarray, first_s: float, end_s: float, ramp_s: float, shot: np.ndarray
) -> np.ndarray:
    """(N,) 1 in a segment, falling to 0 a ramp away in the shot that it begins or ends in.

    A frame belongs to the segment when any moment of it does.
    """
    lasts = float(np.median(np.diff(seconds))) if len(seconds) > 1 else np.inf
    ends = np.append(seconds[1:], seconds[-1:] + lasts)  # of the frames
    inside = (ends > first_s + _ROUNDING_S) & (seconds < end_s - _ROUNDING_S)
    frames = np.flatnonzero(inside)
    if not len(frames) or not ramp_s:
        return inside.astype(float)
    early, late = seconds[frames[0]] - seconds, seconds - seconds[frames[-1]]
    away = np.maximum(early, late).clip(0)
    near = (1.0 - away / max(ramp_s, 1e-6)).clip(0.0, 1.0)
    near[near < 1e-6] = 0.0
    same = np.where(early > 0, shot == shot[frames[0]], shot == shot[frames[-1]])
    nearness: np.ndarray = np.where(inside, 1.0, np.where(same, near, 0.0))
    return nearness


def _ease(share: np.ndarray) -> np.ndarray:
    """Start and stop gently."""
    share = share.clip(0.0, 1.0)
    eased: np.ndarray = share * share * (3 - 2 * share)
    return eased
