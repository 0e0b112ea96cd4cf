"""The video that a result is written to: it keeps what its footage says about itself."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from metatalk import __version__
from metatalk.compose.config import DriveConfig
from metatalk.compose.retiming import FramePlan
from metatalk.media.probe import probe_video
from metatalk.media.writer import VideoWriter


def open_result(
    output: Path,
    clip: Path,
    rate: Fraction,
    plan: FramePlan,
    audio: Path | None,
    config: DriveConfig,
) -> VideoWriter:
    """Open a result for writing, marked as synthetic.

    Args:
        output: the video.
        clip: the footage, whose size, colour tags, timecode and pixel shape are kept.
        rate: of the footage, frames a second.
        plan: the result, frame by frame.
        audio: what is heard; None: nothing.
        config: encoding, and which of sound and picture ends the result.

    Returns:
        The writer.

    Raises:
        MediaError: the footage or the recording cannot be read.
    """
    info = probe_video(clip)
    whole = Fraction(int(plan.pts[-1])) * plan.time_base + 1 / rate
    tags = {"comment": f"synthetic: the mouth was generated with metatalk {__version__}"}
    if info.timecode:
        tags["timecode"] = info.timecode
    return VideoWriter(
        output,
        info.width,
        info.height,
        rate,
        plan.time_base,
        info.colour,
        crf=config.crf,
        preset=config.encoder_preset,
        audio=audio,
        audio_limit_s=whole if config.length == "video" else None,
        metadata=tags,
        pixel_aspect=info.pixel_aspect,
    )
