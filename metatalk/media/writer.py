"""Video out: H.264 with the source's size, times and colour tags, and a recording's sound."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np
from av.container import OutputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from metatalk.errors import MediaError
from metatalk.media.colour import FULL_RANGE, LIMITED_RANGE, ColourTags
from metatalk.media.decode import AnyPath
from metatalk.media.picture import Picture
from metatalk.media.soundtrack import Soundtrack

_FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
_KEY_FRAMES_S = 2  # editors scrub through the result
# Without motion searched for parts of a macroblock, and with one B frame in place of up to three:
# three fifths of the time, the same signal-to-noise ratio, a file larger by a twentieth.
_LEANER = {"veryfast": {"x264-params": "partitions=i8x8,i4x4:bframes=1"}}


class VideoWriter:
    """Writes pictures and a recording into a video file that is whole or absent.

    Use it as a context manager. The file appears under its name when the block ends well;
    until then, and after an exception, there is only a hidden partial file, or none.

    Args:
        path: file to write: .mp4, .m4v, .mov or .mkv (whose clock counts milliseconds).
        width: columns. An odd size is written as 4:4:4, so that it stays exact.
        height: rows.
        rate: nominal frames per second.
        time_base: seconds in one tick of the pts that `write` is given.
        colour: colour tags of the pictures; written into the stream.
        crf: x264's constant rate factor; 16 is visually transparent.
        preset: x264's preset; "veryfast" is made leaner where it costs no quality.
        audio: recording whose sound begins with the first frame: copied where the
            container takes it, else 48 kHz AAC at 256 kb/s or more. None for a silent film.
        audio_limit_s: where to end the sound, seconds; None for its own end.
        metadata: tags of the file, such as {"comment": ..., "timecode": ...}.
        pixel_aspect: width of a pixel over its height.

    Raises:
        MediaError: an unknown kind of file, a place that cannot be written, a full disk, a
            recording without sound, pictures of another size, times that do not increase.
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
    ) -> None:
        self.path = Path(path)
        self._partial = self.path.with_name(f".{self.path.name}.partial")
        self._time_base, self._rate = Fraction(time_base), Fraction(rate)
        self._step = max(1, round(1 / (self._rate * self._time_base)))
        self._written = 0
        self._last_pts: int | None = None
        self._first_dts: int | None = None
        self._sound: Soundtrack | None = None
        self._container = _create(self.path, self._partial, metadata or {})
        try:
            self._stream = add_video(self._container, width, height, Fraction(rate), time_base)
            context = self._stream.codec_context
            context.options = {"crf": str(crf), "preset": preset, **_LEANER.get(preset, {})}
            tag_colours(context, colour)
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
            MediaError: another size, a time that does not increase, or nothing more can be
                written.
        """
        if self._last_pts is not None and pts <= self._last_pts:
            raise MediaError(f"frame time {pts} does not follow {self._last_pts}")
        context = self._stream.codec_context
        if (picture.width, picture.height) != (context.width, context.height):
            raise MediaError(
                f"a picture of {picture.width}x{picture.height}"
                f" in a video of {context.width}x{context.height}"
            )
        frame = picture_to_frame(picture, context.pix_fmt or "yuv420p")
        frame.pts, frame.time_base = pts, self._time_base
        try:
            self._mux(self._stream.encode(frame))
        except (OSError, av.error.FFmpegError) as error:
            raise explain_write(self.path, error) from error
        self._last_pts = pts
        self._written += 1

    def _mux(self, packets: Sequence[Packet]) -> None:
        for packet in packets:
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
        self._end_at_rate(packets, self._last_pts)
        self._mux(packets)
        if self._sound is not None:
            self._sound.feed(None)
            self._sound.close()
        self._container.close()
        self._partial.replace(self.path)

    def _end_at_rate(self, packets: Sequence[Packet], last_pts: int) -> None:
        """Let the last frame last until frames / duration is the rate, as players work it out."""
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

    def _discard(self) -> None:
        if self._sound is not None:
            self._sound.close()
        # The file goes anyway; that its end cannot be written is no news.
        with contextlib.suppress(OSError, av.error.FFmpegError, ValueError):
            self._container.close()
        self._partial.unlink(missing_ok=True)


def _create(path: Path, partial: Path, metadata: Mapping[str, str]) -> OutputContainer:
    container_format = _FORMATS.get(path.suffix.lower())
    if container_format is None:
        raise MediaError(
            f"{path}: no video can be written as {path.suffix or 'a file without suffix'!r}",
            f"name it with one of {', '.join(_FORMATS)}",
        )
    options = {} if container_format == "matroska" else {"movflags": "+faststart"}
    try:
        # FFmpeg opens the file with the first packet; a wrong place is better told at once.
        partial.open("wb").close()
        container = av.open(str(partial.absolute()), "w", container_format, options=options)
    except (OSError, av.error.FFmpegError) as error:
        raise explain_write(path, error) from error
    container.metadata.update(metadata)
    return container


def add_video(
    container: OutputContainer, width: int, height: int, rate: Fraction, time_base: Fraction
) -> VideoStream:
    """Add an H.264 stream to a file; odd sizes, which 4:2:0 cannot hold, are 4:4:4."""
    stream = container.add_stream(
        "libx264", rate, width=width, height=height, time_base=Fraction(time_base)
    )
    stream.codec_context.pix_fmt = "yuv444p" if width % 2 or height % 2 else "yuv420p"
    stream.codec_context.gop_size = max(1, round(_KEY_FRAMES_S * rate))
    return stream


def tag_colours(context: av.VideoCodecContext, colour: ColourTags) -> None:
    """Write a clip's colour tags into an encoder."""
    context.color_primaries = colour.primaries
    context.color_trc = colour.transfer
    context.colorspace = colour.matrix
    context.color_range = FULL_RANGE if colour.full_range else LIMITED_RANGE


def picture_to_frame(picture: Picture, pixel_format: str) -> VideoFrame:
    """Copy a picture into a frame of "yuv420p" or "yuv444p" that an encoder takes."""
    frame = VideoFrame(picture.width, picture.height, pixel_format)
    planes = list(picture.planes)
    if pixel_format == "yuv444p":
        planes[1:] = [_replicate(plane, picture.height, picture.width) for plane in planes[1:]]
    for target, samples in zip(frame.planes, planes, strict=True):
        rows = np.frombuffer(memoryview(target), np.uint8).reshape(-1, target.line_size)
        rows[: samples.shape[0], : samples.shape[1]] = samples
    return frame


def _replicate(chroma: np.ndarray, height: int, width: int) -> np.ndarray:
    return chroma.repeat(2, axis=0).repeat(2, axis=1)[:height, :width]


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
