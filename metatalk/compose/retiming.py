"""Which footage frame stands behind each frame of the result, and when it is shown."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np

from metatalk.errors import MediaError
from metatalk.shapes import check_shape
from metatalk.timing import FrameIndex

# Containers pad or cut sound to their own blocks: a recording this near to the footage's length
# is taken to be exactly as long.
NEARLY_FRAMES = 2


@dataclass(frozen=True, eq=False)
class FramePlan:
    """The result, frame by frame."""

    frames: np.ndarray  # (N,) footage frame numbers
    pts: np.ndarray  # (N,) int64 times in `time_base`, the first is 0
    time_base: Fraction

    def __post_init__(self) -> None:
        count = check_shape("frames", self.frames, "N")
        check_shape("pts", self.pts, "N", **count)

    def __len__(self) -> int:
        return len(self.frames)

    def seconds(self) -> np.ndarray:
        """(N,) float64 time of each frame."""
        return self.pts * float(self.time_base)


def plan_frames(
    index: FrameIndex, sound_s: Fraction, length: Literal["audio", "video"]
) -> FramePlan:
    """Plan a result as long as the recording, or as long as the footage.

    The footage is shown as it is, frame for frame at its own times. Where the recording goes
    on, the footage plays backwards and forwards in turn: neighbours stay neighbours, so the
    picture never jumps where the footage itself does not. A recording within two frames of the
    footage's length gets every frame of the footage.

    Args:
        index: the footage's frames.
        sound_s: length of the recording, seconds.
        length: "audio" ends with the recording, "video" with the footage.

    Returns:
        The plan.

    Raises:
        MediaError: the recording is empty.
    """
    if sound_s <= 0:
        raise MediaError("the recording is empty", "give a recording that lasts")
    alike = abs(sound_s - index.exact_duration) <= NEARLY_FRAMES / index.rate
    if length == "video" or alike:
        return FramePlan(np.arange(len(index)), index.pts.copy(), index.time_base)
    wanted = math.ceil(sound_s / index.time_base)  # ticks
    shown = int(np.searchsorted(index.pts, wanted))  # frames that begin before the sound ends
    if shown < len(index) or index.exact_duration >= sound_s:
        count = max(shown, 1)
        return FramePlan(np.arange(count), index.pts[:count].copy(), index.time_base)
    tick = 1 / (index.rate * index.time_base)  # ticks a frame, exact
    end = index.exact_duration / index.time_base
    extra = math.ceil((Fraction(wanted) - end) / tick)
    later = [round(end + number * tick) for number in range(extra)]
    later = [start for start in later if start < wanted]  # after rounding to the clock, too
    pts = np.concatenate([index.pts, np.array(later, np.int64)])
    return FramePlan(forth_and_back(len(index), len(pts)), pts, index.time_base)


def forth_and_back(length: int, count: int) -> np.ndarray:
    """Walk to and fro over a clip; no turning point is held.

    Args:
        length: frames of the clip.
        count: frames wanted.

    Returns:
        (count,) frame numbers; neighbours differ by one, or by none in a clip of one frame.

    >>> forth_and_back(3, 7).tolist()
    [0, 1, 2, 1, 0, 1, 2]
    """
    if length == 1:
        return np.zeros(count, np.int64)
    period = 2 * (length - 1)
    step = np.arange(count) % period
    return np.minimum(step, period - step)
