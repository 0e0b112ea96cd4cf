"""What is to be looked at in a drive's result, told at once and written as markers."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import numpy as np

from metatalk.compose.retiming.plan import FramePlan
from metatalk.compose.segments import frames_within
from metatalk.interchange.markers import Reel
from metatalk.interchange.timecode import count_frames
from metatalk.media.probe import probe_video
from metatalk.stages.drive_preparation import Drive
from metatalk.stages.review import Review, find_fit_doubts, review_result, write_markers
from metatalk.timing import true_runs

LOG = logging.getLogger(__name__)
_TOLD = 12  # of the places that are said one by one


def review_drive(drive: Drive) -> Review:
    """Gather what to look at.

    Args:
        drive: the result.

    Returns:
        Where the filmed mouth stays and why, where the footage jumps or turns, where its fit is
        doubtful, and where a segment begins.
    """
    plan = drive.plan
    rate = float(drive.footage.index.rate)
    parts = drive.segments.ranges if drive.segments else []
    segments = [
        (first, end, part.words)
        for part in parts
        for first, end in true_runs(frames_within(plan.seconds(), part.first_s, part.end_s))
    ]
    return review_result(
        plan.frames,
        rate,
        drive.strength,
        fallbacks=[(one.first, one.end, one.words) for one in drive.fallbacks],
        segments=segments,
        doubts=find_fit_doubts(drive.footage.root, drive.studio.scene.model),
        jumps=_jumps(plan),
        turns=_turns(plan),
    )


def tell_filmed(drive: Drive) -> None:
    """Say where the filmed mouth stays."""
    parts, seconds = drive.fallbacks, drive.plan.seconds()
    step_s = 1 / float(drive.footage.index.rate)
    for one in parts[:_TOLD]:
        first_s, end_s = seconds[one.first], seconds[one.end - 1] + step_s
        LOG.warning("the filmed mouth stays from %.2f to %.2f s: %s", first_s, end_s, one.words)
    if not (drive.strength > 0).any():
        reason = "see the reasons above, and drive.fallback.*"
        if drive.segments is not None and not parts:
            reason = "no part that is to be new lies in these frames"
        LOG.warning("no frame of this result has a new mouth: %s", reason)
    if len(parts) > _TOLD:
        LOG.warning("and in %d more places; --markers FILE.csv lists them", len(parts) - _TOLD)


def write_review(paths: Iterable[Path], review: Review, drive: Drive, output: Path) -> None:
    """Write lists of what to look at.

    Args:
        paths: the files to be.
        review: what.
        drive: the result.
        output: its file.

    Raises:
        MediaError: the disk refuses.
    """
    info, rate, plan = probe_video(drive.footage.clip), drive.footage.index.rate, drive.plan
    timecode = None
    if info.timecode:
        timecode = count_frames(rate, info.timecode).word(drive.first)
    even = np.allclose(np.diff(plan.seconds()), 1 / float(rate), atol=1e-3)
    reel = Reel(
        output,
        len(plan),
        rate,
        timecode,
        info.width,
        info.height,
        2 if drive.sound else 0,
        None if even else plan.seconds(),
    )
    for path in paths:
        write_markers(path, review.markers, reel)


def _jumps(plan: FramePlan) -> list[int]:
    """Frames of the result that the footage does not lead to."""
    steps = np.abs(np.diff(plan.frames))
    return [int(place) + 1 for place in np.flatnonzero(steps > 1)]


def _turns(plan: FramePlan) -> list[int]:
    """Frames of the result from which on the footage runs the other way."""
    steps = np.diff(plan.frames)
    going = [(place, int(step)) for place, step in enumerate(steps) if abs(step) == 1]
    return [place for (_, before), (place, step) in pairwise(going) if step != before]
