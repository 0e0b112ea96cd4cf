"""Stretches of a clip that can be judged, on the clock of the judges: 25 frames a second."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from metatalk.landmarks.track import LandmarkTrack
from metatalk.lipsync.mel import SAMPLE_RATE
from metatalk.lipsync.sync_figures import (
    JUDGED_SAMPLES,
    MIN_FRAMES,
    MIN_WINDOWS,
    count_windows,
)
from metatalk.lipsync.tracks import RATE, frames_at_rate
from metatalk.shapes import check_shape

_SILENT = 1e-3  # of full scale: no sample of digital silence or of a dead microphone is louder


@dataclass(frozen=True, eq=False)
class SyncRun:
    """A stretch inside one shot with a face throughout, and the sound that belongs to it."""

    shot: int  # number of its shot, from 0
    start_s: float  # on the clip's clock
    frames: np.ndarray  # (T,) int64: for each moment of the judges the clip's nearest frame
    sound: slice  # of the clip's 16 kHz samples

    @property
    def end_s(self) -> float:
        """Where it ends, seconds on the clip's clock."""
        return self.start_s + len(self.frames) / RATE


@dataclass(frozen=True)
class LeftOut:
    """A stretch that is not judged, and why."""

    start_s: float
    end_s: float
    reason: str


def is_silent(samples: np.ndarray) -> bool:
    """Whether nothing at all is heard: a judge may try the faintest speech, see `is_too_quiet`."""
    return len(samples) == 0 or float(np.abs(samples).max()) < _SILENT


def plan_runs(
    track: LandmarkTrack,
    seconds: np.ndarray,
    rate: float,
    samples: np.ndarray,
    from_s: float = 0.0,
) -> tuple[list[SyncRun], list[LeftOut]]:
    """Find the stretches of a clip that can be judged, each inside one shot.

    Args:
        track: where the face is in every frame.
        seconds: (T,) times of the frames.
        rate: frames a second, for the last frame's length.
        samples: (S,) the clip's sound at 16 kHz, sample 0 at the first frame.
        from_s: what comes before is not looked at.

    Returns:
        The runs of two seconds and more in order of time, and the shots' other stretches.

    Raises:
        ShapeError: there are not as many times as frames.
    """
    check_shape("seconds", seconds, "T", T=len(track))
    runs: list[SyncRun] = []
    left_out = list(_faceless(track, seconds, rate, from_s))
    for first, end in track.runs():
        first = max(first, int(np.searchsorted(seconds, from_s)))
        if first >= end:
            continue
        end_s = _end(seconds, end, rate)
        frames = first + frames_at_rate(seconds[first:end], end_s)
        start = round(float(seconds[first]) * SAMPLE_RATE)
        sound = slice(start, start + JUDGED_SAMPLES * len(frames))
        shot = int(np.searchsorted(track.shots[:, 1], first, side="right"))
        run = SyncRun(shot, float(seconds[first]), frames, sound)
        reason = _refuse(run, samples[sound])
        if reason:
            left_out.append(LeftOut(run.start_s, end_s, reason))
        else:
            runs.append(run)
    return runs, sorted(left_out, key=lambda stretch: stretch.start_s)


def first_seconds(runs: Sequence[SyncRun], most_s: float) -> list[SyncRun]:
    """Keep as many runs, in order of time, as make so many seconds; the last may be cut short.

    Args:
        runs: from `plan_runs`.
        most_s: seconds to keep.

    Returns:
        The runs of two seconds and more that are left.
    """
    kept, left = [], most_s * RATE  # frames
    for run in runs:
        frames = run.frames[: int(min(left, len(run.frames)))]
        if len(frames) < MIN_FRAMES:
            continue
        sound = slice(run.sound.start, run.sound.start + JUDGED_SAMPLES * len(frames))
        kept.append(replace(run, frames=frames, sound=sound))
        left -= len(frames)
    return kept


def _refuse(run: SyncRun, heard: np.ndarray) -> str:
    """Why a run cannot be judged; nothing where it can."""
    if len(run.frames) < MIN_FRAMES:
        return "under two seconds"
    if count_windows(len(run.frames), len(heard)) < MIN_WINDOWS:
        return "the sound ends before two seconds are over"
    return "silence" if is_silent(heard) else ""


def _faceless(
    track: LandmarkTrack, seconds: np.ndarray, rate: float, from_s: float
) -> Iterator[LeftOut]:
    for shot in track.shots.tolist():
        lost = np.concatenate([[False], ~track.has_face[slice(*shot)], [False]])
        edges = shot[0] + np.flatnonzero(np.diff(lost.astype(np.int8)))
        for first, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
            end_s = _end(seconds, end, rate)
            if end_s > from_s:
                yield LeftOut(max(float(seconds[first]), from_s), end_s, "no face")


def _end(seconds: np.ndarray, end: int, rate: float) -> float:
    return float(seconds[end]) if end < len(seconds) else float(seconds[-1]) + 1 / rate
