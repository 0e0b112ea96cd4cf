"""What a video file says about its picture."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.sidedata.sidedata import Type as SideDataType
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from metatalk.media.colour import BT601, BT709, FULL_RANGE, ColourTags
from metatalk.media.decode import AnyPath, first_frame, open_media, video_stream
from metatalk.media.hdr import HdrTags, hdr_tags

_PROGRESSIVE = (0, 1)  # AVFieldOrder: unknown, progressive
_FIELDS = {2: "top first", 4: "top first", 3: "bottom first", 5: "bottom first"}


@dataclass(frozen=True)
class VideoInfo:
    """What a video file says about itself; sizes are those of the upright picture.

    Args:
        path: the file.
        width: columns after the display rotation.
        height: rows after the display rotation.
        rotation: degrees clockwise by which the stored picture is turned: 0, 90, 180, 270.
        rate: nominal frames per second.
        time_base: seconds in one tick of the stream's clock.
        duration_s: length as the header states it, seconds; 0 where it does not.
        codec: decoder's name, such as "hevc".
        pixel_format: stored pixel format, such as "yuv420p10le".
        bits: bits of one stored component.
        colour: colour tags.
        timecode: SMPTE time code of the first frame, where there is one.
        has_audio: whether there is a sound track.
        interlaced: whether the stream says that it is interlaced.
        pixel_aspect: width of a pixel over its height, of the upright picture.
        field_order: "progressive", or of an interlaced stream "top first", "bottom first" or
            "unknown".
        hdr: light of an HDR film, as its first frame states it.
    """

    path: Path
    width: int
    height: int
    rotation: int
    rate: Fraction
    time_base: Fraction
    duration_s: float
    codec: str
    pixel_format: str
    bits: int
    colour: ColourTags
    timecode: str | None
    has_audio: bool
    interlaced: bool
    pixel_aspect: Fraction = Fraction(1)
    field_order: str = "progressive"
    hdr: HdrTags | None = None


def probe_video(path: AnyPath) -> VideoInfo:
    """Read what a video file says about itself; one frame is decoded to learn its rotation.

    Args:
        path: video file.

    Raises:
        MediaError: missing, unreadable, not a video, or no frame of it can be decoded.
    """
    with open_media(path) as container:
        stream = video_stream(container, path)
        frame = first_frame(container, stream, path)
        turns, _ = orientation(frame)
        width, height, aspect = frame.width, frame.height, stream.sample_aspect_ratio
        aspect = Fraction(aspect) if aspect else Fraction(1)
        if turns % 2:
            width, height, aspect = height, width, 1 / aspect
        return VideoInfo(
            path=Path(path),
            width=width,
            height=height,
            rotation=90 * turns,
            rate=nominal_rate(stream),
            time_base=Fraction(frame.time_base or stream.time_base or Fraction(1, 90000)),
            duration_s=_stated_duration(container, stream),
            codec=stream.codec_context.name,
            pixel_format=frame.format.name,
            bits=max(component.bits for component in frame.format.components),
            colour=colour_tags(frame),
            timecode=_timecode(container),
            has_audio=bool(container.streams.audio),
            interlaced=_is_interlaced(stream, frame),
            pixel_aspect=aspect,
            field_order=_field_order(stream, frame),
            hdr=hdr_tags(frame),
        )


def orientation(frame: VideoFrame) -> tuple[int, bool]:
    """How a stored frame is turned to stand upright.

    Returns:
        Quarter turns clockwise, 0 to 3, and whether the picture is mirrored left-right
        before it is turned.

    Source: ISO/IEC 14496-12, 8.3.2: (x, y) becomes (a x + c y, b x + d y) by a matrix
    whose rows are (a, b, u), (c, d, v), (x, y, w).
    """
    side_data = frame.side_data.get(SideDataType.DISPLAYMATRIX)  # type: ignore[call-overload]
    if side_data is None:
        return 0, False
    a, b, _, c, d = np.frombuffer(bytes(side_data), np.int32)[:5] / 65536.0
    mirrored = a * d - b * c < 0
    if mirrored:
        a, b = -a, -b
    if a == b == 0:
        return 0, False
    return round(np.degrees(np.arctan2(b, a)) / 90) % 4, bool(mirrored)


def colour_tags(frame: VideoFrame) -> ColourTags:
    """Colour tags of the luma and chroma of a decoded frame; RGB's are those it is given here."""
    if frame.format.is_rgb or frame.format.has_palette:
        matrix = BT601 if frame.height < 720 else BT709
        return ColourTags(int(frame.color_primaries), int(frame.color_trc), matrix, False)
    full = frame.color_range == FULL_RANGE or frame.format.name.startswith("yuvj")
    return ColourTags(
        primaries=int(frame.color_primaries),
        transfer=int(frame.color_trc),
        matrix=int(frame.colorspace),
        full_range=full,
    )


def nominal_rate(stream: VideoStream) -> Fraction:
    """Frames per second as the header states them; 25 where it is silent."""
    for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate):
        if rate:
            return Fraction(rate)
    return Fraction(25)


def _stated_duration(container: InputContainer, stream: VideoStream) -> float:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration else 0.0


def _timecode(container: InputContainer) -> str | None:
    streams = [*container.streams.video, *container.streams.data]
    for metadata in [*(stream.metadata for stream in streams), container.metadata]:
        for key, value in metadata.items():
            if key.lower() == "timecode" and value:  # Matroska writes it in capitals
                return value
    return None


def _is_interlaced(stream: VideoStream, frame: VideoFrame) -> bool:
    order = getattr(stream.codec_context, "field_order", 0)
    return bool(frame.interlaced_frame) or order not in _PROGRESSIVE


def _field_order(stream: VideoStream, frame: VideoFrame) -> str:
    if not _is_interlaced(stream, frame):
        return "progressive"
    return _FIELDS.get(int(getattr(stream.codec_context, "field_order", 0)), "unknown")
