"""Sync in figures: how far lips and sound lie apart at every shift of one against the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.signal import medfilt
from torch import Tensor
from torch.nn import functional

from metatalk.errors import MediaError
from metatalk.lipsync.syncnet import WINDOW_FRAMES
from metatalk.lipsync.tracks import RATE
from metatalk.shapes import check_shape

JUDGED_SAMPLES = 640  # samples of sound a frame, at 16 kHz
MAX_SHIFT = 15  # frames either way that are tried
MIN_FRAMES = 2 * RATE  # two seconds: below it the zero padding decides
MIN_WINDOWS = MIN_FRAMES - WINDOW_FRAMES

_STEADY_WINDOWS = 9  # of the median that steadies confidence over time
_BLOCK_WINDOWS = 256  # bounds the memory of the differences


@dataclass(frozen=True, eq=False)
class SyncFigures:
    """How well lips and sound fit, as the field reports it."""

    distance: float  # LSE-D: mean distance at the best shift; lower is better
    confidence: float  # LSE-C: median less minimum over the shifts; higher is better
    offset_frames: int  # positive when the sound leads the picture
    curve: np.ndarray  # (31,) mean distance at each shift, the sound 15 frames early first
    frame_confidence: np.ndarray  # (T,) of every window at the best shift, steadied

    @property
    def windows(self) -> int:
        """How many windows of five frames were judged."""
        return len(self.frame_confidence)

    @property
    def offset_ms(self) -> int:
        """The offset in milliseconds, positive when the sound leads the picture."""
        return self.offset_frames * 1000 // RATE

    def confidence_at(self, offset_frames: int) -> float:
        """How far the distance at an offset lies below the median; below 0 it lies above."""
        return float(np.median(self.curve) - self.curve[MAX_SHIFT - offset_frames])


def count_windows(frames: int, samples: int) -> int:
    """Count the windows that SyncNet's evaluation compares.

    Args:
        frames: video frames at 25 a second.
        samples: samples of sound at 16 kHz, the first at the time of the first frame.

    Returns:
        Windows that begin at frames 0, 1, ...; the last one that the pictures would allow is
        left out, for the coefficients of its sound end a column short.

    >>> count_windows(50, 32_000)
    45
    """
    return max(min(frames, samples // JUDGED_SAMPLES) - WINDOW_FRAMES, 0)


def distance_rows(lips: Tensor, sound: Tensor, padded: bool = True) -> Tensor:
    """Measure every window of lips against the sound around it.

    Args:
        lips: (T, N) embeddings of the windows that start at frames 0, 1, ...
        sound: (T, N) embeddings of the sound at the same times.
        padded: let zero vectors stand beyond the ends of the sound; else there is nothing there.

    Returns:
        (T, 31) Euclidean distances; column s is the sound of s - 15 windows later. NaN where
        there is nothing.

    Raises:
        ShapeError: the embeddings do not pair up.

    Source: Chung & Zisserman 2016, as in the evaluation of `syncnet_v2.model`.
    """
    size = check_shape("lips", lips, "T N")
    check_shape("sound", sound, "T N", **size)
    if not size["T"]:
        return torch.empty(0, 2 * MAX_SHIFT + 1)
    around = functional.pad(sound, (0, 0, MAX_SHIFT, MAX_SHIFT)).unfold(0, 2 * MAX_SHIFT + 1, 1)
    blocks = range(0, size["T"], _BLOCK_WINDOWS)
    rows = torch.empty(size["T"], 2 * MAX_SHIFT + 1)
    for block in (slice(first, first + _BLOCK_WINDOWS) for first in blocks):
        apart = lips[block, :, None] - around[block]  # (_BLOCK_WINDOWS, N, 31)
        rows[block] = torch.linalg.vector_norm(apart, dim=1)
    if not padded:
        place = torch.arange(size["T"])[:, None] + torch.arange(-MAX_SHIFT, MAX_SHIFT + 1)
        rows[(place < 0) | (place >= size["T"])] = torch.nan
    return rows


def figures_of_rows(rows: Sequence[Tensor], min_windows: int = MIN_WINDOWS) -> SyncFigures:
    """Compute one verdict over stretches of footage that do not belong to one another in time.

    Args:
        rows: (T, 31) distances of each stretch, from `distance_rows`.
        min_windows: fewest windows in all for a verdict.

    Returns:
        The figures of the mean over all windows, so that long stretches count for more. Where
        a window has no distance at the best shift, its confidence is 0.

    Raises:
        MediaError: there are too few windows for a verdict.
    """
    windows = sum(map(len, rows))
    if windows < max(min_windows, 1):
        raise MediaError(
            f"{windows} windows of {WINDOW_FRAMES} frames are too few to judge sync",
            f"give at least {max(min_windows, 1) + WINDOW_FRAMES} frames at {RATE} a second"
            " (two seconds) of speech",
        )
    curve = torch.cat(list(rows)).nanmean(dim=0).double().numpy()
    best, middle = int(np.argmin(curve)), float(np.median(curve))
    over_time = [np.nan_to_num(middle - each[:, best].numpy()) for each in rows]
    steadied = [medfilt(each, _STEADY_WINDOWS) for each in over_time]
    return SyncFigures(
        distance=float(curve[best]),
        confidence=middle - float(curve[best]),
        offset_frames=MAX_SHIFT - best,
        curve=curve,
        frame_confidence=np.concatenate(steadied).astype(np.float32),
    )


def sync_figures(lips: Tensor, sound: Tensor, min_windows: int = MIN_WINDOWS) -> SyncFigures:
    """Compute LSE-D, LSE-C and the offset from embeddings.

    Args:
        lips: (T, N) embeddings of the windows that start at frames 0, 1, ...
        sound: (T, N) embeddings of the sound at the same times (every fourth MFCC column).
        min_windows: fewest windows for a verdict.

    Returns:
        The figures.

    Raises:
        ShapeError: the embeddings do not pair up.
        MediaError: the clip is too short for a verdict.

    Source: Chung & Zisserman 2016, as in the evaluation of `syncnet_v2.model`.
    """
    return figures_of_rows([distance_rows(lips, sound)], min_windows)


def explain_offset(offset_frames: int) -> str:
    """Say an offset in words.

    Args:
        offset_frames: at 25 frames a second, positive when the sound leads the picture.

    >>> explain_offset(2), explain_offset(-1), explain_offset(0)
    ('the sound leads by 80 ms', 'the sound lags by 40 ms', 'the sound is in sync')
    """
    if offset_frames == 0:
        return "the sound is in sync"
    verb = "leads" if offset_frames > 0 else "lags"
    return f"the sound {verb} by {abs(offset_frames) * 1000 // RATE} ms"
