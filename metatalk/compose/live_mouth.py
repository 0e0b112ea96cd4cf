"""The mouth's movement as an animator wants it, while the words are still being spoken."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from metatalk.compose.mouth import QUICK_S, tune_mouth
from metatalk.compose.mouth_config import MouthConfig
from metatalk.shapes import check_shape

AHEAD = 1.5  # deviations of the filters that are waited for; what lies beyond is cut off
_TRUNCATE = 4.0  # deviations, as far as `tune_mouth`'s filters reach


class LiveMouth:
    """Changes how a mouth moves as `tune_mouth` does, frame by frame.

    The amplitude is `tune_mouth`'s own. The filters over time are its own, too, but are not waited
    for to their end: `delay` frames after one it is decided, from all that came up to then. What
    is kept does not grow.

    Args:
        rate: frames a second.
        rest: (E,) the actor's face at rest.
        lower: (E,) bool, the units that are changed.
        config: what is turned, and how far.

    Raises:
        ShapeError: an argument is not shaped as documented.
    """

    def __init__(
        self, rate: float, rest: np.ndarray, lower: np.ndarray, config: MouthConfig
    ) -> None:
        sizes = check_shape("rest", rest, "E")
        check_shape("lower", lower, "E", **sizes)
        self._rest, self._lower = rest, lower
        self._stretch = replace(config, smoothing_s=0.0, consonants=0.0)
        self._weights, self.delay = _filter_weights(config, rate)
        self._kept = np.zeros((0, len(rest)))  # frames that the next one needs
        self._begun = False

    def push(self, expression: np.ndarray) -> np.ndarray:
        """Take the next frames of a mouth.

        Args:
            expression: (N, E), any number of frames.

        Returns:
            (M, E) float32: the frames that are now decided, after those given before.
        """
        check_shape("expression", expression, "N E", E=len(self._rest))
        if len(expression) and not self._begun:  # before the first frame it is as in the first
            before = len(self._weights) - 1 - self.delay
            self._kept = np.repeat(expression[:1].astype(np.float64), before, axis=0)
            self._begun = True
        self._kept = np.concatenate([self._kept, expression])
        return self._decide()

    def flush(self) -> np.ndarray:
        """End the stream.

        Returns:
            (M, E) float32: the frames that were still waiting for others.
        """
        self._kept = np.concatenate([self._kept, np.repeat(self._kept[-1:], self.delay, axis=0)])
        return self._decide()

    def _decide(self) -> np.ndarray:
        count = max(len(self._kept) - len(self._weights) + 1, 0)
        parts = [weight * self._kept[k : k + count] for k, weight in enumerate(self._weights)]
        before = len(self._weights) - 1 - self.delay
        own = self._kept[before : before + count]
        calmed = np.where(self._lower, np.sum(parts, axis=0), own).astype(np.float32)
        self._kept = self._kept[count:]
        times = np.arange(count, dtype=np.float64)  # an amplitude does not depend on them
        return tune_mouth(calmed, times, self._rest, self._lower, self._stretch)


def _filter_weights(config: MouthConfig, rate: float) -> tuple[np.ndarray, int]:
    """Both filters over time in one.

    Returns:
        (P + 1 + F,) weights of the frames before, of the frame itself, and of F after it, which
        sum to 1; and F.
    """
    calm = _gaussian(config.smoothing_s * rate)
    weights, spread_s = calm, config.smoothing_s
    if config.consonants > 0:
        slow = np.convolve(calm, _gaussian(QUICK_S * rate))
        around = (len(slow) - len(calm)) // 2
        weights = (1 + config.consonants) * np.pad(calm, around) - config.consonants * slow
        spread_s = math.hypot(config.smoothing_s, QUICK_S)
    reach = len(weights) // 2
    ahead = min(math.ceil(AHEAD * spread_s * rate), reach)
    kept = weights[: reach + 1 + ahead]
    return kept / kept.sum(), ahead


def _gaussian(deviation_frames: float) -> np.ndarray:
    """(2R + 1,) the weights of scipy's Gaussian filter."""
    reach = int(_TRUNCATE * deviation_frames + 0.5)
    if reach == 0:
        return np.ones(1)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / deviation_frames) ** 2)
    whole: np.ndarray = weights / weights.sum()
    return whole
