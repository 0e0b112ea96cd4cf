"""Which parts of a result get a new mouth, and which part is made at all."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from metatalk.compose.retiming.plan import NEARLY_FRAMES, FramePlan
from metatalk.compose.segments import SegmentRamps, segment_ramps
from metatalk.config import Config
from metatalk.errors import ConfigError, MediaError
from metatalk.interchange.ranges import TimeRange, as_array, clock_word, read_moment
from metatalk.interchange.timecode import FrameCount, count_frames
from metatalk.media.probe import probe_video
from metatalk.media.sequence import sequence_length
from metatalk.stages.drive_order import PREVIEW_S, DriveOrder
from metatalk.stages.footage import Footage
from metatalk.stages.segments import changed_segments, named_segments

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Segments:
    """The parts of a result that are new."""

    ranges: list[TimeRange]
    ramps: SegmentRamps

    def part(self, first: int, end: int, start_s: float, end_s: float) -> Segments:
        """Those of frames `first` up to, not with, `end`, which are shown from `start_s` on."""
        inside = [
            replace(
                one,
                first_s=max(one.first_s, start_s) - start_s,
                end_s=min(one.end_s, end_s) - start_s,
            )
            for one in self.ranges
            if one.first_s < end_s and one.end_s > start_s
        ]
        ramps = SegmentRamps(self.ramps.picture[first:end], self.ramps.mouth[first:end])
        return Segments(inside, ramps)


def check_parts(order: DriveOrder, config: Config, clip: Path) -> None:
    """Check what can be checked of the parts before any work.

    Args:
        order: `segments`, `changed_from`, `preview`.
        config: `drive.retime`.
        clip: the film.

    Raises:
        ConfigError: parts of a film that is re-timed; times that cannot be read.
        MediaError: a file that cannot be read.
    """
    if order.is_partial and config.drive.retime in ("speech", "pose"):
        raise ConfigError(
            f"drive.retime={config.drive.retime} shows other frames than the film does, and only "
            "parts of the film are to change",
            "leave --retime out, or --segments and --changed-from",
        )
    if order.segments is None and order.preview is None:
        return
    info = probe_video(clip)
    if order.subtitles is not None:
        if not order.subtitles.is_file():
            raise MediaError(f"{order.subtitles}: no such file", "check --segments")
    elif order.segments is not None:
        named = order.segments, info.rate, info.timecode
        parts = named_segments(*named, math.inf)
        # What ends beyond the film is told when its frames are known, and not twice.
        if info.duration_s and all(part.first_s >= info.duration_s for part in parts):
            named_segments(*named, info.duration_s)
    if order.preview is not None:
        _preview_moment(order.preview, count_frames(info.rate, info.timecode))


def require_no_whole_result(output: Path, option: str) -> None:
    """Refuse to put a preview in the place of a longer film.

    Args:
        output: where the preview is to be written.
        option: what names it on a command line.

    Raises:
        MediaError: a film that lasts longer than a preview is there already.
    """
    if output.is_dir():
        length_s = sequence_length(output)
    elif output.is_file():
        try:
            length_s = probe_video(output).duration_s
        except MediaError:  # no film, and no work of hours
            return
    else:
        return
    if length_s > PREVIEW_S + 0.5:  # headers round
        raise MediaError(
            f"{output} holds {clock_word(length_s)} already, and a preview would replace it",
            f"give {option} another name",
        )


def choose_segments(
    order: DriveOrder, footage: Footage, plan: FramePlan, heard_s: float, config: Config
) -> Segments | None:
    """Find the parts that get a new mouth.

    Args:
        order: `segments`, `changed_from` and the recording.
        footage: the film.
        plan: of the result, which shows the film in its order.
        heard_s: how long the recording is.
        config: `drive.segments`.

    Returns:
        The parts; None where all of the film is re-voiced.

    Raises:
        ConfigError: parts that cannot be read, or after the recording's end; nothing is new.
        MediaError: a file that cannot be read.
    """
    if not order.is_partial:
        return None
    seconds, rate = plan.seconds(), footage.index.rate
    duration_s = float(seconds[-1] + 1 / rate)
    if order.segments is not None:
        timecode = probe_video(footage.clip).timecode
        ranges = named_segments(order.segments, rate, timecode, duration_s)
        _require_sound(ranges, heard_s, duration_s, float(rate))
    else:
        assert order.changed_from is not None
        assert order.audio is not None  # which an order has to compare with
        margin_s = config.drive.segments.margin_s
        ranges = changed_segments(order.changed_from, order.audio, duration_s, margin_s)
    if heard_s > duration_s + NEARLY_FRAMES / rate:
        LOG.warning(
            "the recording lasts %s and the film %s: what follows the film's end is not heard",
            clock_word(heard_s), clock_word(duration_s),
        )  # fmt: skip
    cuts = plan.cuts(footage.landmarks.shots)
    ramps = segment_ramps(seconds, as_array(ranges), config.drive.segments, cuts)
    for part in ranges:
        LOG.info("new from %s to %s", clock_word(part.first_s), clock_word(part.end_s))
    return Segments(ranges, ramps)


def preview_frames(preview: str, footage: Footage, plan: FramePlan) -> tuple[int, int]:
    """Find the frames of a preview.

    Args:
        preview: when it begins.
        footage: the film, by whose time code it may be named.
        plan: of the whole result.

    Returns:
        The first frame of the result, and one past the last.

    Raises:
        ConfigError: no time, or one outside the result.
    """
    rate = footage.index.rate
    start_s = _preview_moment(preview, count_frames(rate, probe_video(footage.clip).timecode))
    seconds = plan.seconds()
    end_s = float(seconds[-1] + 1 / rate)
    if not 0 <= start_s < end_s:
        raise ConfigError(
            f"a preview from {preview}, and the result lasts {clock_word(end_s)}",
            "give a moment within it, such as --preview 0:01",
        )
    first = max(int(np.searchsorted(seconds, start_s + 1e-6, side="right")) - 1, 0)
    end = int(np.searchsorted(seconds, seconds[first] + PREVIEW_S - 1e-6))
    return first, max(end, first + 1)


def _preview_moment(preview: str, count: FrameCount) -> float:
    try:
        return read_moment(preview, count)
    except ConfigError as error:
        raise ConfigError(error.problem, "give one moment, such as --preview 0:01:10") from error


def _require_sound(ranges: list[TimeRange], heard_s: float, duration_s: float, rate: float) -> None:
    """The recording is the film's whole new sound, and not the new words alone."""
    remedy = "give the film's whole new sound, from its first frame on"
    for part in ranges:
        if part.first_s >= heard_s:
            raise ConfigError(
                f"the recording lasts {clock_word(heard_s)}, and the segment from "
                f"{clock_word(part.first_s)} begins later",
                remedy,
            )
    if heard_s < duration_s - NEARLY_FRAMES / rate:
        LOG.warning(
            "the recording lasts %s and the film %s, whose end is silent: %s",
            clock_word(heard_s), clock_word(duration_s), remedy,
        )  # fmt: skip
