"""Which filmed frame to take texture from while the result is still being spoken."""

from __future__ import annotations

import numpy as np

from metatalk.neural.matching import BLUR_COST, PLAY_ON, SWITCH_COST, Looks
from metatalk.shapes import check_shape


class SourceFollower:
    """Chooses a source for one frame after another, without knowing the next.

    It stays with a source, or plays on in it, until what better ones would have saved adds up to
    what a change costs: the rule of who hires skis until the hire has cost as much as a pair.

    Args:
        library: (N) frames that there are.
        blur: (N,) from `matching.measure_blur`.
        frames: (N,) their frame numbers, ascending: neighbours may play on.

    Departs: `matching.find_steady_sources` finds the cheapest way through all frames at once.
    """

    def __init__(self, library: Looks, blur: np.ndarray, frames: np.ndarray) -> None:
        check_shape("blur", blur, "N", N=len(library))
        check_shape("frames", frames, "N", N=len(library))
        self._joined, self._extra, self._frames = library.joined, BLUR_COST * blur, frames
        self._row: int | None = None
        self._missed = 0.0

    def follow(self, wanted: Looks) -> int:
        """Choose the source of the next frame.

        Args:
            wanted: (1) its look.

        Returns:
            A row of the library.
        """
        cost = np.linalg.norm(self._joined - wanted.joined[0], axis=1) + self._extra
        best = int(cost.argmin())
        if self._row is not None:
            onward = self._frames[self._row : self._row + PLAY_ON + 1] - self._frames[self._row]
            near = self._row + np.flatnonzero(onward <= PLAY_ON)
            stay = int(near[cost[near].argmin()])
            self._missed += float(cost[stay] - cost[best])
            if self._missed <= SWITCH_COST:
                self._row = stay
                return stay
        self._row, self._missed = best, 0.0
        return best
