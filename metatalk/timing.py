"""When a clip's frames are shown, exactly, and which of them belong together."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from metatalk.errors import MediaError, ShapeError


@dataclass(frozen=True, eq=False)
class FrameIndex:
    """When each frame of a clip is shown, as the container states it, without rounding.

    Args:
        pts: (T,) int64 presentation times in `time_base`; the first is 0, each is later
            than the one before.
        time_base: seconds in one tick.
        rate: nominal (for a variable rate: average) frames per second, such as 30000/1001.

    Raises:
        ShapeError: `pts` is not a vector.
        MediaError: `pts` is empty, does not begin at 0 or does not increase.

    >>> index = FrameIndex(np.array([0, 512, 1024]), Fraction(1, 12800), Fraction(25))
    >>> index.time(2), index.duration, index.is_variable
    (Fraction(2, 25), 0.12, False)
    """

    pts: np.ndarray
    time_base: Fraction
    rate: Fraction

    def __post_init__(self) -> None:
        if self.pts.ndim != 1:
            raise ShapeError(f"pts has shape {self.pts.shape}, not (T)")
        if len(self.pts) == 0:
            raise MediaError("a frame index without frames", "use footage that has a picture")
        if self.pts[0] != 0 or np.any(np.diff(self.pts) <= 0):
            raise MediaError("frame times do not begin at 0 or do not increase")
        if self.time_base <= 0 or self.rate <= 0:
            raise MediaError(f"time base {self.time_base} and rate {self.rate} must be above 0")

    def __len__(self) -> int:
        return len(self.pts)

    def seconds(self) -> np.ndarray:
        """The time of every frame.

        Returns:
            (T,) float64 seconds, the first frame at 0.
        """
        ticks = self.pts.astype(np.float64)
        return ticks * self.time_base.numerator / self.time_base.denominator

    def time(self, t: int) -> Fraction:
        """The exact time of frame `t` in seconds."""
        return int(self.pts[t]) * self.time_base

    @property
    def exact_duration(self) -> Fraction:
        """Seconds from the first frame's start to the last one's end, which lasts 1 / rate."""
        return self.time(-1) + 1 / self.rate

    @property
    def duration(self) -> float:
        """`exact_duration` as a float, seconds."""
        return float(self.exact_duration)

    @property
    def is_variable(self) -> bool:
        """Whether the frames' durations differ by more than the rounding of the clock."""
        durations = np.diff(self.pts)
        if len(durations) == 0:
            return False
        spread = int(durations.max() - durations.min())
        return spread > 1 or spread > float(np.median(durations)) / 4


def true_runs(flags: np.ndarray) -> list[tuple[int, int]]:
    """Find the stretches of frames for which something holds.

    Args:
        flags: (T,) bool, or numbers of which 0 is false.

    Returns:
        First frame and one past the last of each, in order; none touches another.

    >>> true_runs(np.array([True, False, True, True]))
    [(0, 1), (2, 4)]
    """
    edges = np.flatnonzero(np.diff(np.r_[False, np.asarray(flags, bool), False]))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
