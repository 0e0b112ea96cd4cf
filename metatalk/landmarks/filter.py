"""Temporal filter without delay that never runs across a cut or a missing face."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.signal import savgol_filter

from metatalk.landmarks.track import LandmarkTrack

_DEGREE = 2  # of the polynomial; keeps the height of a lip closure where an average would not


def smooth_track(track: LandmarkTrack, window: int = 5) -> LandmarkTrack:
    """Take the detector's jitter out of a track.

    Args:
        track: landmarks of a clip.
        window: frames under the filter, odd; 1 leaves the track as it is.

    Returns:
        The same track, smoother; frames without a face stay without.

    Source: Savitzky & Golay 1964.
    """
    return replace(track, points=smooth_runs(track.points, track.runs(), window))


def smooth_runs(values: np.ndarray, runs: list[tuple[int, int]], window: int = 5) -> np.ndarray:
    """Filter values along time, each run of frames by itself.

    Args:
        values: (T, ...) anything that moves smoothly.
        runs: frame ranges (first, one past the last) that belong together.
        window: frames under the filter, odd; shorter at runs that are shorter than it.

    Returns:
        (T, ...) of the same type; frames outside the runs as they were.
    """
    smoothed = values.copy()
    for first, end in runs:
        fitting = min(window, end - first)
        fitting -= 1 - fitting % 2  # odd
        if fitting > _DEGREE:
            run = values[first:end].astype(np.float64)
            smoothed[first:end] = savgol_filter(run, fitting, _DEGREE, axis=0, mode="interp")
    return smoothed
