"""No nod over and over: what opened an utterance is dear at the utterances beside it."""

from __future__ import annotations

import numpy as np

from metatalk.compose.retiming.walk import Review

_REMEMBERED = 4  # utterances after which a nod may come back as if it were new
_FADE = 0.5  # of a start's length: frames so near to a nod still belong to it


def spread_starts(starts: list[tuple[int, int]], count: int, weight: float) -> Review | None:
    """Make a walk open its utterances with different footage.

    The walk is settled from its end on. Where an utterance begins, footage costs more that opens
    one of the next few.

    Args:
        starts: (first, end) frames of the result in which utterances begin.
        count: T, frames of the footage.
        weight: cost of a frame, for each of them that it opens.

    Returns:
        What `find_walk` is to look at again; None: nothing.
    """
    if weight == 0 or len(starts) < 2:
        return None
    begins = np.array([first for first, _ in starts])

    def charge(first: int, end: int, settled: int, later: np.ndarray) -> np.ndarray | None:
        # A piece begins with an utterance, or goes on with the one before.
        number = int(np.searchsorted(begins, first, side="right")) - 1
        if number < 0 or starts[number][1] <= first:
            return None
        price = np.zeros(count, np.float32)
        for begun, over in starts[number + 1 :][:_REMEMBERED]:
            shown = later[begun - settled : over - settled]
            price += weight * _nearness(shown, count, _FADE * len(shown))
        costs = np.zeros((end - first, count), np.float32)
        costs[: starts[number][1] - first] = price
        return costs

    return Review(begins[1:], charge)


def _nearness(shown: np.ndarray, count: int, fade: float) -> np.ndarray:
    """(T,) 1 for footage from the first to the last frame of a nod, fading to 0 beside it."""
    frames = np.arange(count)
    away = np.maximum(int(shown.min()) - frames, frames - int(shown.max()))
    return np.asarray((1 - away / (fade + 1)).clip(0, 1))
