"""What is to be looked at in a drive's result, told at once and written as markers."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from metatalk.compose.fallback.stretches import Fallback
from metatalk.compose.segments import frames_within
from metatalk.interchange.markers import Reel
from metatalk.interchange.timecode import count_frames
from metatalk.media.audio import count_channels
from metatalk.media.probe import probe_video
from metatalk.stages.drive_preparation import Drive
from metatalk.stages.review import Findings, Review, find_fit_doubts, review_result, write_markers
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
    parts = drive.segments.ranges if drive.segments else []
    segments = [
        (first, end, part.words)
        for part in parts
        for first, end in true_runs(frames_within(plan.seconds(), part.first_s, part.end_s))
    ]
    findings = Findings(
        plan.frames,
        drive.strength,
        fallbacks=[(one.first, one.end, one.words) for one in drive.fallbacks],
        segments=segments,
        doubts=find_fit_doubts(drive.footage.root, drive.studio.scene.model),
        jumps=plan.jumps().tolist(),
        turns=plan.turns().tolist(),
    )
    return review_result(findings, float(drive.footage.index.rate))


def tell_filmed(drive: Drive) -> None:
    """Say where the filmed mouth stays.

    Args:
        drive: the result.
    """
    parts, seconds = _together(drive.fallbacks), drive.plan.seconds()
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


def _together(fallbacks: Sequence[Fallback]) -> list[Fallback]:
    """Stretches that overlap as one, with the reasons of all."""
    merged: list[Fallback] = []
    for one in fallbacks:
        if not merged or one.first >= merged[-1].end:
            merged.append(one)
            continue
        last = merged[-1]
        known = last.words.split("; ")
        words = last.words if one.words in known else f"{last.words}; {one.words}"
        merged[-1] = replace(last, end=max(last.end, one.end), words=words)
    return merged


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
        count_channels(drive.sound) if drive.sound else 0,
        None if even else plan.seconds(),
        info.pixel_aspect,
    )
    for path in paths:
        write_markers(path, review.markers, reel)
