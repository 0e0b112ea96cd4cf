"""What the network hears: mel columns, normalised by the recording's own speech."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metatalk.lipsync.mel import BANDS, COLUMNS_PER_SECOND, DB_PER_UNIT, SILENCE
from metatalk.shapes import check_shape

LIMIT = 3.0  # normalised values are held inside plus and minus this many deviations

_SPEECH_RANGE_DB = 35.0  # columns this far below the loud ones are not speech
_LOUD_PERCENTILE = 95
_INAUDIBLE_DB = 6.0  # a recording whose loud columns stay this close to silence holds no speech
_LEAST_DEVIATION = 0.25  # mel units; keeps an empty band from being blown up


@dataclass(frozen=True, eq=False)
class FeatureStats:
    """Where a recording's speech lies in every mel band."""

    mean: np.ndarray  # (80,) float32 mel units
    deviation: np.ndarray  # (80,) float32 mel units, positive

    def __post_init__(self) -> None:
        check_shape("mean", self.mean, f"{BANDS}")
        check_shape("deviation", self.deviation, f"{BANDS}")


def column_level_db(mel: np.ndarray) -> np.ndarray:
    """Measure how loud every mel column is.

    Args:
        mel: (80, M) mel units, as `wav2lip_mel` gives them.

    Returns:
        (M,) float32 decibels above digital silence, averaged over the bands.
    """
    check_shape("mel", mel, f"{BANDS} M")
    return (mel.mean(axis=0) - SILENCE) * DB_PER_UNIT


def speech_columns(mel: np.ndarray) -> np.ndarray:
    """Tell the columns that may be speech from the pauses, by level alone.

    Args:
        mel: (80, M) mel units.

    Returns:
        (M,) bool; all false where the whole recording is silent.
    """
    level = column_level_db(mel)
    loud = np.percentile(level, _LOUD_PERCENTILE) if len(level) else 0.0
    floor = max(np.percentile(level, 5), 0.0) if len(level) else 0.0
    # Half-way between the pauses and the loud parts where the room is noisy, a fixed range below
    # the loud parts where it is quiet.
    threshold = max(loud - _SPEECH_RANGE_DB, floor + 0.25 * (loud - floor), _INAUDIBLE_DB)
    return level > threshold


def measure_stats(mel: np.ndarray) -> FeatureStats:
    """Measure mean and deviation of every band over a recording's speech.

    Args:
        mel: (80, M) mel units.

    Returns:
        The statistics; of all columns where none is speech.
    """
    speech = speech_columns(mel)
    chosen = mel[:, speech] if speech.sum() > 1 else mel
    deviation = np.maximum(chosen.std(axis=1), _LEAST_DEVIATION)
    return FeatureStats(chosen.mean(axis=1).astype(np.float32), deviation.astype(np.float32))


def normalise_mel(mel: np.ndarray, stats: FeatureStats) -> np.ndarray:
    """Express mel values in deviations from the speech's mean.

    Args:
        mel: (80, M) mel units.
        stats: from `measure_stats`.

    Returns:
        (80, M) float32 within plus and minus `LIMIT`.
    """
    check_shape("mel", mel, f"{BANDS} M")
    values = (mel - stats.mean[:, None]) / stats.deviation[:, None]
    return np.clip(values, -LIMIT, LIMIT).astype(np.float32)


def blend_stats(mel: np.ndarray, prior: FeatureStats, prior_s: float) -> FeatureStats:
    """Measure a recording's statistics, leaning on the footage's where it is short.

    The prior is first brought to the recording's level, so only its colour is borrowed.

    Args:
        mel: (80, M) mel units of the recording.
        prior: of the footage.
        prior_s: seconds of speech that the prior counts for.

    Returns:
        The statistics to normalise the recording by; the prior where it holds no speech.
    """
    speech_s = float(speech_columns(mel).sum()) / COLUMNS_PER_SECOND
    if speech_s == 0:
        return prior
    own, weight = measure_stats(mel), speech_s / (speech_s + prior_s)
    levelled = prior.mean + (own.mean.mean() - prior.mean.mean())
    mean = weight * own.mean + (1 - weight) * levelled
    deviation = weight * own.deviation + (1 - weight) * prior.deviation
    return FeatureStats(mean.astype(np.float32), deviation.astype(np.float32))
