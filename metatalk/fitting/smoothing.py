"""Filters along time that stay inside each stretch of frames that belong together."""

from __future__ import annotations

import numpy as np
import scipy.ndimage
import torch
from torch import Tensor

Runs = list[tuple[int, int]]  # first frame, one past the last


def smooth(values: Tensor, runs: Runs, width: float, twice: bool = False) -> Tensor:
    """Filter along time inside each run of frames by a Gaussian; zero phase.

    Args:
        values: (T, C).
        runs: first and end frame of each stretch that belongs together.
        width: standard deviation in frames.
        twice: add what the first pass took away, smoothed in its turn: a movement that
            accelerates evenly then passes unchanged.

    Returns:
        (T, C), unchanged outside the runs.

    Source: Tukey 1977 for the second pass ("twicing").
    """
    out = values.numpy().copy()
    if width > 0.1:
        for first, end in runs:
            part = out[first:end].copy()
            soft = _gaussian(part, width)
            out[first:end] = soft + _gaussian(part - soft, width) if twice else soft
    return torch.from_numpy(out)


def _gaussian(values: np.ndarray, width: float) -> np.ndarray:
    return scipy.ndimage.gaussian_filter1d(values, width, axis=0, mode="nearest")


def unwrap(angles: Tensor, runs: Runs) -> Tensor:
    """(T, 3) angles without jumps of a whole turn inside the runs."""
    unwrapped = angles.numpy().copy()
    for first, end in runs:
        unwrapped[first:end] = np.unwrap(unwrapped[first:end], axis=0)
    return torch.from_numpy(unwrapped)


def filled(values: Tensor, frames: np.ndarray, total: int) -> Tensor:
    """Give every frame a value: its own, or that of the nearest frame which has one.

    Args:
        values: (N, C).
        frames: (N,) ascending numbers of the frames that they belong to.
        total: T.

    Returns:
        (T, C).
    """
    after = np.searchsorted(frames, np.arange(total)).clip(0, len(frames) - 1)
    before = (after - 1).clip(0)
    nearer = np.abs(frames[before] - np.arange(total)) < np.abs(frames[after] - np.arange(total))
    return values[torch.from_numpy(np.where(nearer, before, after))]


def spread(measured: np.ndarray, frames: np.ndarray, shots: np.ndarray, total: int) -> np.ndarray:
    """Interpolate between the frames in which something was measured, never across a cut.

    Args:
        measured: (N, C).
        frames: (N,) ascending frame numbers.
        shots: (S, 2) first and end frame of each shot.
        total: T.

    Returns:
        (T, C) float32; in a shot without a measurement, that of the nearest frame.
    """
    out = np.empty((total, measured.shape[1]), np.float32)
    for first, end in shots:
        inside = (frames >= first) & (frames < end)
        if not inside.any():
            inside = np.zeros(len(frames), bool)
            inside[np.abs(frames - first).argmin()] = True
        times = np.arange(first, end)
        out[first:end] = np.stack(
            [np.interp(times, frames[inside], column) for column in measured[inside].T], 1
        )
    return out
