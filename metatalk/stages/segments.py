"""The parts of a film that get a new mouth: named, or found by comparing two recordings."""

from __future__ import annotations

import logging
from fractions import Fraction
from pathlib import Path

import numpy as np

from metatalk.errors import ConfigError, MediaError
from metatalk.interchange.ranges import TimeRange, clock_word, read_ranges, tidy_ranges
from metatalk.interchange.timecode import count_frames
from metatalk.lipsync.changes import SAMPLE_RATE, Comparison, compare_recordings
from metatalk.media.audio import read_sound
from metatalk.media.probe import probe_video

LOG = logging.getLogger(__name__)


def named_segments(
    words: str, rate: Fraction, timecode: str | None, duration_s: float
) -> list[TimeRange]:
    """Read the segments that somebody names.

    Args:
        words: times with commas, or a file of subtitles, as in `read_ranges`.
        rate: of the film, frames a second.
        timecode: of its first frame; None: 00:00:00:00.
        duration_s: how long it is.

    Returns:
        The segments, in order and apart.

    Raises:
        MetatalkError: no times, or none in the film.
    """
    return read_ranges(words, count_frames(rate, timecode), duration_s)


def changed_segments(
    original: Path, audio: Path, duration_s: float, margin_s: float
) -> list[TimeRange]:
    """Find the segments in which one recording differs from another.

    Args:
        original: the recording as it was, or the film with it.
        audio: the new one.
        duration_s: how long the film is.
        margin_s: added to both ends of each segment.

    Returns:
        The segments, in order and apart.

    Raises:
        ConfigError: there is no difference.
        MediaError: one of the files has no sound.
    """
    old, new = _from_first_frame(original), _from_first_frame(audio)
    found = compare_recordings(old, new, margin_s)
    _tell(found, original, audio)
    if found.unrelated:
        return [TimeRange(0.0, duration_s)]
    if not len(found.ranges):
        raise ConfigError(
            f"{audio} sounds like {original} from beginning to end: there is nothing to change",
            "give the changed recording, or leave --changed-from out",
        )
    changed = [TimeRange(first_s, end_s) for first_s, end_s in found.ranges.tolist()]
    return tidy_ranges(changed, duration_s)


def _from_first_frame(path: Path) -> np.ndarray:
    """(S,) the sound as it is heard with the picture, where there is one."""
    return read_sound(path, SAMPLE_RATE, from_first_frame=_has_picture(path)).samples


def _has_picture(path: Path) -> bool:
    # A name does not tell: .mp4 and .webm hold sound alone as well.
    try:
        probe_video(path)
    except MediaError:
        return False
    return True


def _tell(found: Comparison, original: Path, audio: Path) -> None:
    """Say what an editor should know before the frames are made."""
    if found.unrelated:
        LOG.warning("%s and %s have nothing in common: all of it gets a new mouth", original, audio)
        return
    LOG.info("%d changes; the level of the rest: %+.1f dB", len(found.ranges), found.level_db)
    late_s = found.out_of_step_s
    if late_s is None:
        return
    by_s = found.delays[-1][1]
    remedy = "make the new words as long as the old ones"
    if len(found.delays) == 1:  # also of first words that are new and of another length
        shift = "cut that off its beginning" if by_s > 0 else "put that much silence before it"
        remedy += f"; where it is the same but begins at another moment, {shift}"
    LOG.warning(
        "from %s on %s runs %.2f s %s than %s: the filmed mouth no longer fits, and all that "
        "follows gets a new one. To keep it, %s",
        clock_word(late_s), audio, abs(by_s), "later" if by_s > 0 else "earlier", original, remedy,
    )  # fmt: skip
