"""Video out: with the source's size, times and colour tags, and a recording's sound."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import cast

import av
from av.container import OutputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from metatalk.errors import MediaError
from metatalk.media import frames
from metatalk.media.codecs import (
    CONTAINERS,
    MXF_RATES,
    Encoding,
    encoder_options,
    require_fitting,
    state_matrix,
    stated_colour,
)
from metatalk.media.colour import FULL_RANGE, LIMITED_RANGE, ColourTags
from metatalk.media.conversion import convert_picture
from metatalk.media.decode import AnyPath
from metatalk.media.hdr import HdrTags
from metatalk.media.limited import to_limited_range
from metatalk.media.picture import CHROMA_420, CHROMA_444, Picture
from metatalk.media.soundtrack import Soundtrack

_KEY_FRAMES_S = 2  # editors scrub through the result
_X265_DELAY = 2  # frames by which x265's first decoding time comes before its first frame


class VideoWriter:
    """Writes pictures and a recording into a video file that is whole or absent.

    Use it as a context manager. The file appears under its name when the block ends well;
    until then, and after an exception, there is only a hidden partial file, or none.

    Args:
        path: file to write; its ending must go with the format. The clock of .mkv counts
            milliseconds, that of .mxf frames of a steady rate.
        width: columns. An odd size is written as 4:4:4, so that it stays exact.
        height: rows.
        rate: nominal frames per second.
        time_base: seconds in one tick of the pts that `write` is given.
        colour: colour tags of the pictures; written into the stream. Full range becomes
            limited where the format knows no other.
        crf: constant rate factor of H.264 and H.265; 16 is visually transparent.
        preset: their preset; x264's "veryfast" is made leaner where it costs no quality.
        audio: recording whose sound begins with the first frame, see `Soundtrack`; None for
            a silent film.
        audio_limit_s: where to end the sound, seconds; None for its own end.
        metadata: tags of the file, such as {"comment": ..., "timecode": ...}.
        pixel_aspect: width of a pixel over its height.
        encoding: how the pictures are stored; None: H.264 of 8 bits and 4:2:0, an odd size
            as 4:4:4. Pictures of another depth or sampling are converted.
        hdr: light of an HDR film; H.265 alone takes it along.
        is_steady: whether frames follow each other at `rate`, and the pts that `write` is given
            are off it by the rounding of a clock only: they are written without it.

    Raises:
        MediaError: an ending that does not go with the format, a place that cannot be
            written, a full disk, a recording without sound, pictures of another size, times
            that do not increase.
    """

    def __init__(
        self,
        path: AnyPath,
        width: int,
        height: int,
        rate: Fraction,
        time_base: Fraction,
        colour: ColourTags,
        crf: float = 16,
        preset: str = "veryfast",
        audio: Path | None = None,
        audio_limit_s: Fraction | None = None,
        metadata: Mapping[str, str] | None = None,
        pixel_aspect: Fraction = Fraction(1),
        encoding: Encoding | None = None,
        hdr: HdrTags | None = None,
        is_steady: bool = False,
    ) -> None:
        self.path, self._is_steady = Path(path), is_steady
        self.encoding = encoding or _plain(width, height)
        require_fitting(self.path, self.encoding.format)
        if self.path.suffix.lower() == ".mxf" and rate not in MXF_RATES:
            raise MediaError(
                f"{self.path}: MXF does not know {float(rate):.3f} frames a second",
                "write a .mov",
            )
        self._partial = self.path.with_name(f".{self.path.name}.partial")
        self._rate = Fraction(rate)
        self._time_base = 1 / self._rate if is_steady else Fraction(time_base)
        self._step = max(1, round(1 / (self._rate * self._time_base)))
        self._written = 0
        self._last_pts: int | None = None
        self._first_dts: int | None = None
        self._sound: Soundtrack | None = None
        self._colour = stated_colour(self.encoding, colour, height)
        self._container = _create(self.path, self._partial, metadata or {})
        try:
            self._stream = add_video(
                self._container, width, height, self._rate, self._time_base, self.encoding
            )
            context = self._stream.codec_context
            context.options = encoder_options(self.encoding, crf, preset, hdr)
            tag_colours(context, self._colour)
            if pixel_aspect != 1:
                context.sample_aspect_ratio = pixel_aspect
            if audio is not None:
                self._sound = Soundtrack(self._container, Path(audio), audio_limit_s)
        except BaseException as error:
            self._discard()
            raise explain_write(self.path, error) from error

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None:
            self._discard()
            return
        try:
            self._finish()
        except BaseException as failure:
            self._discard()
            raise explain_write(self.path, failure) from failure

    def write(self, picture: Picture, pts: int) -> None:
        """Append a picture.

        Args:
            picture: of the writer's width and height.
            pts: when it is shown, in the writer's time base; later than the one before.

        Raises:
            MediaError: another size, a time that does not increase or that the container
                cannot hold, or nothing more can be written.
        """
        if self.encoding.is_limited:
            picture = to_limited_range(picture, self.encoding.bits)
        picture = convert_picture(picture, self.encoding.bits, self.encoding.shift)
        self.write_frame(frames.picture_to_frame(picture), pts)

    def write_frame(self, frame: VideoFrame, pts: int) -> None:
        """Append a frame that is laid out as the encoding says; arguments as of `write`."""
        pts = self._written if self._is_steady else pts
        self._check_time(pts)
        context = self._stream.codec_context
        if (frame.width, frame.height) != (context.width, context.height):
            raise MediaError(
                f"a picture of {frame.width}x{frame.height}"
                f" in a video of {context.width}x{context.height}"
            )
        tag_colours(frame, self._colour)
        frame.pts, frame.time_base = pts, self._time_base
        try:
            self._mux(self._stream.encode(frame))
        except (OSError, av.error.FFmpegError) as error:
            raise explain_write(self.path, error) from error
        self._last_pts = pts
        self._written += 1

    def _check_time(self, pts: int) -> None:
        if self._last_pts is not None and pts <= self._last_pts:
            raise MediaError(f"frame time {pts} does not follow {self._last_pts}")
        late = abs(pts * self._time_base * self._rate - self._written)
        if self._container.format.name == "mxf" and late > Fraction(1, 2):
            raise MediaError(
                f"{self.path}: frame {self._written} is {float(late):.2f} frames off its place,"
                " and MXF holds a steady rate only",
                "write a .mov",
            )

    def _mux(self, packets: Sequence[Packet]) -> None:
        for packet in packets:
            state_matrix(packet, self.encoding, self._colour)
            if self._first_dts is None:
                self._first_dts = packet.dts or 0
            if not packet.duration:
                packet.duration = self._step
            if self._sound is not None:
                self._sound.feed((packet.dts or 0) * self._time_base)
            self._container.mux(packet)

    def _finish(self) -> None:
        if self._last_pts is None:
            raise MediaError(f"{self.path}: no frame was written", "drive at least one frame")
        packets = self._stream.encode(None)
        if self.encoding.format == "h265" and self._written <= _X265_DELAY:
            for packet in packets:  # too few to be reordered, and x265 gives them no such times
                packet.dts = packet.pts
        end_s = self._end_at_rate(packets, self._last_pts)
        self._mux(packets)
        if self._sound is not None:
            self._sound.finish(end_s)
            self._sound.close()
        self._container.close()
        self._partial.replace(self.path)

    def _end_at_rate(self, packets: Sequence[Packet], last_pts: int) -> Fraction:
        """Let the last frame last until frames / duration is the rate, as players work it out.

        Returns:
            When that is, seconds.
        """
        end = round(self._written / (self._rate * self._time_base))
        if not self._step <= 4 * (end - last_pts) <= 16 * self._step:
            end = last_pts + self._step  # the times do not go with the rate
        for packet in packets:
            if packet.pts == last_pts:
                packet.duration = end - last_pts
        # MP4 adds up durations in the order of decoding, which begins before time 0.
        if packets and packets[-1].pts != last_pts:
            first = self._first_dts if self._first_dts is not None else packets[0].dts
            packets[-1].duration = max(1, end - ((packets[-1].dts or 0) - (first or 0)))
        return end * self._time_base

    def _discard(self) -> None:
        if self._sound is not None:
            self._sound.close()
        # The file goes anyway; that its end cannot be written is no news.
        with contextlib.suppress(OSError, av.error.FFmpegError, ValueError):
            self._container.close()
        self._partial.unlink(missing_ok=True)


def _plain(width: int, height: int) -> Encoding:
    return Encoding(shift=CHROMA_444 if width % 2 or height % 2 else CHROMA_420)


def _create(path: Path, partial: Path, metadata: Mapping[str, str]) -> OutputContainer:
    container_format = CONTAINERS[path.suffix.lower()]
    options = {"movflags": "+faststart"} if container_format in ("mp4", "mov") else {}
    if container_format == "mxf":
        options["store_user_comments"] = "1"
    try:
        # FFmpeg opens the file with the first packet; a wrong place is better told at once.
        partial.open("wb").close()
        container = av.open(str(partial.absolute()), "w", container_format, options=options)
    except (OSError, av.error.FFmpegError) as error:
        raise explain_write(path, error) from error
    container.metadata.update(metadata)
    if container_format == "mxf" and "comment" in metadata:
        container.metadata["comment_Comment"] = metadata["comment"]  # MXF's own way to say it
    return container


def add_video(
    container: OutputContainer,
    width: int,
    height: int,
    rate: Fraction,
    time_base: Fraction,
    encoding: Encoding | None = None,
) -> VideoStream:
    """Add a picture stream to a file.

    Args:
        container: the file.
        width: columns.
        height: rows.
        rate: frames a second.
        time_base: seconds in one tick of its times.
        encoding: how pictures are stored; None: H.264 of 8 bits and 4:2:0, which cannot hold
            odd sizes: they are 4:4:4.
    """
    encoding = encoding or _plain(width, height)
    made = container.add_stream(
        encoding.encoder, rate, width=width, height=height, time_base=Fraction(time_base)
    )
    stream = cast(VideoStream, made)  # typed only where the encoder's name is written out
    context = stream.codec_context
    context.pix_fmt = encoding.pixel_format
    if not encoding.is_intra:
        context.gop_size = max(1, round(_KEY_FRAMES_S * rate))
    if encoding.format == "h265" and container.format.name in ("mp4", "mov"):
        context.codec_tag = "hvc1"  # QuickTime does not play hev1
    return stream


def tag_colours(target: av.VideoCodecContext | VideoFrame, colour: ColourTags) -> None:
    """Write a clip's colour tags into an encoder or a frame."""
    target.color_primaries = colour.primaries
    target.color_trc = colour.transfer
    target.colorspace = colour.matrix
    target.color_range = FULL_RANGE if colour.full_range else LIMITED_RANGE


def picture_to_frame(picture: Picture, pixel_format: str) -> VideoFrame:
    """Copy a picture into a frame of "yuv420p" or "yuv444p" that an encoder takes."""
    shift = CHROMA_444 if pixel_format == "yuv444p" else CHROMA_420
    return frames.picture_to_frame(convert_picture(picture, 8, shift))


def explain_write(path: Path, error: BaseException) -> BaseException:
    """The error to raise: ours where the user can mend it, else the very same."""
    number = getattr(error, "errno", None)
    if isinstance(error, MediaError) or not isinstance(error, OSError | av.error.FFmpegError):
        return error
    if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return MediaError(f"{path}: no space left to write it", "free some, or write elsewhere")
    if number == errno.ENOENT:
        return MediaError(f"{path.parent} does not exist", "create the folder first")
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return MediaError(f"{path} may not be written", "choose a folder you may write to")
    reason = getattr(error, "strerror", None) or str(error)
    return MediaError(f"{path} cannot be written ({reason})", "choose another place or name")
