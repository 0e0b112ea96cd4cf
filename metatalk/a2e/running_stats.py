"""Where a live stream's speech lies in every mel band, as far as it has been heard."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from metatalk.a2e.features import FeatureStats
from metatalk.lipsync.mel import BANDS, COLUMNS_PER_SECOND
from metatalk.shapes import check_shape

_MEMORY_S = 60.0  # of speech; what was heard before counts less and less
_LEVEL_COLUMNS = 8.0  # of speech, after which half of a difference in level is believed
_LEAST_DEVIATION = 0.25  # mel units; keeps an empty band from being blown up


class Statistics(Protocol):
    """What a stream's columns are normalised by, frame after frame."""

    @property
    def now(self) -> FeatureStats:
        """The statistics of this moment."""
        ...

    def update(self, mel: np.ndarray, is_speech: np.ndarray) -> None:
        """Take in columns that have been heard."""
        ...


class FixedStatistics:
    """Statistics known beforehand, such as those of a whole recording."""

    def __init__(self, stats: FeatureStats) -> None:
        self.now = stats

    def update(self, mel: np.ndarray, is_speech: np.ndarray) -> None:
        """What is heard changes nothing."""


class RunningStatistics:
    """The actor's own statistics at first, leaning on the stream's as speech is heard.

    Args:
        prior: of the footage.
        prior_s: seconds of speech that the prior counts for.

    Departs: `features.blend_stats` weighs a whole recording, this what came before each frame.
        The two agree once some `prior_s` of speech has been heard; in the first words the
        stream is taken to have the colour of the footage's microphone, and its level after a
        tenth of a second. Speech more than a minute old is forgotten by and by.
    """

    def __init__(self, prior: FeatureStats, prior_s: float) -> None:
        self._prior, self._prior_columns = prior, prior_s * COLUMNS_PER_SECOND
        self._count = 0.0
        self._sum, self._squares = np.zeros(BANDS), np.zeros(BANDS)

    @property
    def now(self) -> FeatureStats:
        """The statistics to normalise this moment by; the prior before any speech."""
        if self._count == 0:
            return self._prior
        mean = self._sum / self._count
        spread = np.sqrt(np.maximum(self._squares / self._count - mean**2, 0.0))
        weight = self._count / (self._count + self._prior_columns)
        believed = self._count / (self._count + _LEVEL_COLUMNS)
        levelled = self._prior.mean + believed * (mean.mean() - self._prior.mean.mean())
        deviation = weight * np.maximum(spread, _LEAST_DEVIATION)
        deviation = deviation + (1 - weight) * self._prior.deviation
        mean = weight * mean + (1 - weight) * levelled
        return FeatureStats(mean.astype(np.float32), deviation.astype(np.float32))

    def update(self, mel: np.ndarray, is_speech: np.ndarray) -> None:
        """Take in columns that have been heard.

        Args:
            mel: (80, N) mel units.
            is_speech: (N,) bool; the others leave no trace.
        """
        columns = check_shape("mel", mel, f"{BANDS} N")["N"]
        check_shape("is_speech", is_speech, "N", N=columns)
        heard = mel[:, is_speech].astype(np.float64)
        self._count += heard.shape[1]
        self._sum += heard.sum(axis=1)
        self._squares += (heard**2).sum(axis=1)
        kept = _MEMORY_S * COLUMNS_PER_SECOND / max(self._count, 1.0)
        if kept < 1:
            self._count, self._sum = self._count * kept, self._sum * kept
            self._squares = self._squares * kept
