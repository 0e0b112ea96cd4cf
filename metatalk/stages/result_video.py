"""The file that a result is written to: it keeps what its footage says about itself."""

from __future__ import annotations

import logging
from fractions import Fraction
from pathlib import Path

import numpy as np

from metatalk import __version__
from metatalk.compose.config import DriveConfig
from metatalk.compose.delivery_config import DeliveryConfig
from metatalk.compose.retiming.plan import FramePlan
from metatalk.errors import MediaError
from metatalk.interchange.timecode import (
    FrameCount,
    is_standard_rate,
    standard_rate,
    timecode_frame,
)
from metatalk.media.codecs import CONTAINERS, SEQUENCES, choose_encoding, require_fitting
from metatalk.media.layer_writer import LayerWriter
from metatalk.media.picture import CHROMA_420
from metatalk.media.planes import say_if_reduced
from metatalk.media.probe import VideoInfo, probe_video
from metatalk.media.sequence import Film, SequenceWriter
from metatalk.media.writer import VideoWriter

LOG = logging.getLogger(__name__)
_MARK = f"synthetic: the mouth was generated with metatalk {__version__}"
_LAYER_MARK = f"synthetic: a mouth generated with metatalk {__version__}, to be laid over footage"
ResultWriter = VideoWriter | SequenceWriter
_ROUNDED = 1.01  # ticks by which the rounding of a clock moves a time against another
_COARSEST = Fraction(1, 4)  # of a frame: by a tick as long anything would be steady


def open_result(
    output: Path,
    clip: Path,
    rate: Fraction,
    plan: FramePlan,
    audio: Path | None,
    config: DriveConfig,
    first_frame: int = 0,
) -> ResultWriter:
    """Open a result for writing, marked as synthetic.

    Args:
        output: the video, or the folder of numbered pictures.
        clip: the footage, whose size, colour tags, time code and pixel shape are kept.
        rate: of the footage, frames a second.
        plan: the result, frame by frame.
        audio: what is heard; None: nothing.
        config: encoding, and which of sound and picture ends the result.
        first_frame: how many frames after the footage's beginning the result begins; its time
            code, and numbers that follow it, begin that much later.

    Returns:
        The writer.

    Raises:
        MediaError: the footage or the recording cannot be read, or the format cannot hold them.
    """
    delivery, info = config.delivery, probe_video(clip)
    require_fitting(output, delivery.format)
    _tell_of_losses(info, output, delivery)
    steady = _steady_rate(plan, rate)
    rate = steady or rate
    count = _frame_count(info, rate)
    film = _film(info, rate, plan, count, first_frame, _MARK, steady is not None)
    whole = len(plan) / steady if steady else int(plan.pts[-1]) * plan.time_base + 1 / rate
    limit_s = whole if config.length == "video" else None
    if delivery.format in SEQUENCES:
        return SequenceWriter(
            output,
            film,
            delivery.format,
            bits=delivery.bits,
            first_number=_first_number(delivery, count, first_frame),
            audio=audio,
            audio_limit_s=limit_s,
        )
    size = info.width, info.height
    encoding = choose_encoding(delivery.format, delivery.bits, delivery.chroma, info.bits, *size)
    if encoding.shift == CHROMA_420:
        say_if_reduced(info)
    if (encoding.format, encoding.bits, delivery.bits) == ("h264", 10, None):
        LOG.warning(
            "%s has %d bits, and the result 10: many players refuse such H.264; --bits 8 or"
            " --format h265 is played",
            info.path,
            info.bits,
        )
    return VideoWriter(
        output,
        *size,
        rate,
        plan.time_base,
        info.colour,
        crf=config.crf,
        preset=config.encoder_preset,
        audio=audio,
        audio_limit_s=limit_s,
        metadata=film.metadata,
        pixel_aspect=info.pixel_aspect,
        encoding=encoding,
        hdr=info.hdr,
        is_steady=film.is_steady,
    )


def open_layer(
    path: Path,
    clip: Path,
    rate: Fraction,
    plan: FramePlan,
    config: DriveConfig,
    first_frame: int = 0,
) -> LayerWriter:
    """Open the layer of the new mouth alone; arguments and errors as of `open_result`.

    Args:
        path: a film (.mov, .mkv or .mxf, which is ProRes 4444 unless the configuration says
            otherwise), or a folder for numbered pictures.
    """
    delivery, info = config.delivery, probe_video(clip)
    steady = _steady_rate(plan, rate)
    rate = steady or rate
    count = _frame_count(info, rate)
    return LayerWriter(
        path,
        _film(info, rate, plan, count, first_frame, _LAYER_MARK, steady is not None),
        layer_format(path, delivery),
        first_number=_first_number(delivery, count, first_frame),
    )


def layer_format(path: Path, delivery: DeliveryConfig) -> str:
    """The format of a layer: a film's is ProRes 4444, a folder's what is asked for, else PNG.

    Raises:
        MediaError: the name does not go with what is asked for.
    """
    chosen: str = delivery.patch
    if chosen == "auto":
        chosen = "prores4444" if path.suffix.lower() in CONTAINERS else "png"
    require_fitting(path, chosen, "drive.delivery.patch")
    return chosen


def _film(
    info: VideoInfo,
    rate: Fraction,
    plan: FramePlan,
    count: FrameCount | None,
    first_frame: int,
    mark: str,
    is_steady: bool,
) -> Film:
    tags = {"comment": mark}
    if count is not None:
        tags["timecode"] = count.word(first_frame)
    return Film(
        info.width,
        info.height,
        rate,
        plan.time_base,
        info.colour,
        info.pixel_aspect,
        tags,
        is_steady=is_steady,
        timecode_of=None if count is None else lambda frame: count.word(first_frame + frame),
    )


def _steady_rate(plan: FramePlan, rate: Fraction) -> Fraction | None:
    """The rate at which a result's frames follow each other; None where each has its own time.

    Matroska counts milliseconds and MPEG a clock of 90 kHz, neither of which has 23.976 frames a
    second: their times and the rate worked out from them are rounded, which an editing program
    takes for a variable rate.
    """
    tick_frames = plan.time_base * rate
    if tick_frames > _COARSEST:
        return None
    for known in (standard_rate(rate), rate) if is_standard_rate(rate) else (rate,):
        tick = float(1 / (known * plan.time_base))
        away = plan.pts - np.arange(len(plan)) * tick
        # Rounding moves no frame against its neighbour by more than against the first one.
        if (np.abs(away) <= _ROUNDED).all() and (np.abs(np.diff(away)) <= _ROUNDED).all():
            return known
    return None


def _frame_count(info: VideoInfo, rate: Fraction) -> FrameCount | None:
    """How the footage numbers its frames; None where it does not, or not in a way that holds."""
    if not info.timecode:
        return None
    try:
        drop = ";" in info.timecode
        return FrameCount(rate, timecode_frame(info.timecode, rate, drop), drop)
    except MediaError as error:
        LOG.warning("%s: its time code is left out: %s", info.path, error.problem)
        return None


def _first_number(delivery: DeliveryConfig, count: FrameCount | None, first_frame: int) -> int:
    if delivery.first_number is not None:
        return delivery.first_number
    return (count.start if count else 0) + first_frame


def _tell_of_losses(info: VideoInfo, output: Path, delivery: DeliveryConfig) -> None:
    if info.interlaced:
        LOG.warning(
            "%s is interlaced (%s): the result is of whole frames, each with both fields as they"
            " were decoded, and is marked as progressive",
            info.path,
            info.field_order,
        )
    is_mxf = output.suffix.lower() == ".mxf"
    if is_mxf and delivery.format.startswith("dnxhr") and info.pixel_aspect != 1:
        LOG.warning(
            "%s: its pixels are %s times as wide as high, which DNxHR in MXF cannot say: set it"
            " where it is opened, or write a .mov",
            info.path,
            f"{float(info.pixel_aspect):.3g}",
        )
    if info.hdr is not None and delivery.format != "h265":
        LOG.warning(
            "%s: its HDR mastering data cannot be written as %s and is left out; primaries,"
            " transfer and matrix are kept",
            info.path,
            delivery.format,
        )
