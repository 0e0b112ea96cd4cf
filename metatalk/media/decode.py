"""Opening media files and decoding what is in them, over whatever damage there is."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import dropwhile
from os import PathLike
from pathlib import Path

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from metatalk.errors import MediaError

log = logging.getLogger(__name__)
AnyPath = str | PathLike[str]
_MOST_THREADS = 8  # each frame thread holds a picture more


@contextmanager
def open_media(path: AnyPath) -> Iterator[InputContainer]:
    """Open a media file for reading, and close it at the end of the block.

    Args:
        path: file of any container FFmpeg reads.

    Raises:
        MediaError: there is no such file, it is a folder, may not be read or is not media.
    """
    path = Path(path)
    try:
        # An absolute path is never taken for the name of a protocol ("a:b.mp4").
        container = av.open(str(path.absolute()), metadata_errors="replace")
    except (OSError, av.error.FFmpegError) as error:
        raise _explain_open(path, error) from error
    with container:
        yield container


def video_stream(container: InputContainer, path: AnyPath) -> VideoStream:
    """The first moving picture of an open file, set to decode on several threads.

    Raises:
        MediaError: the file has no picture, or only a cover image.
    """
    for stream in container.streams.video:
        cover = stream.disposition & av.stream.Disposition.attached_pic
        if not cover and stream.codec_context is not None:
            stream.thread_type = "AUTO"
            stream.thread_count = min(os.cpu_count() or 1, _MOST_THREADS)
            return stream
    kind = "sound only" if container.streams.audio else "no picture"
    raise MediaError(f"{path}: {kind}, no video stream", "give a file that has a video track")


def audio_stream(container: InputContainer, path: AnyPath) -> AudioStream:
    """The first sound track of an open file.

    Raises:
        MediaError: there is none, or its codec is unknown.
    """
    for stream in container.streams.audio:
        if stream.codec_context is not None and stream.codec_context.sample_rate > 0:
            return stream
    raise MediaError(f"{path}: no sound track", "give a file that has sound in it")


def decode_video(
    container: InputContainer,
    stream: VideoStream,
    path: AnyPath,
    begins: Callable[[Packet], bool] | None = None,
) -> Iterator[VideoFrame]:
    """Decode a picture from where the container stands to its end, stepping over damage.

    Args:
        container: an open file.
        stream: its picture.
        path: the file's name, for the log.
        begins: whether decoding may begin with a packet; those before the first for which
            it is true are passed over. None for the very first.

    Returns:
        Frames in the order of presentation.
    """
    decoded, damaged = 0, 0
    packets = _packets(container, stream)
    if begins is not None:
        packets = dropwhile(lambda each: each[0] is not None and not begins(each[0]), packets)
    for packet, error in packets:
        frames: list[VideoFrame] = []
        if error is None:
            frames, error = _decode(stream, packet)
        if error is not None:
            damaged += 1
            if damaged == 1:
                log.warning("%s: damaged near frame %d (%s)", path, decoded, error.strerror)
        for frame in frames:
            decoded += 1
            yield frame
    if damaged > 1:
        log.warning("%s: %d damaged packets skipped", path, damaged)


def decode_audio(
    container: InputContainer, stream: AudioStream, path: AnyPath
) -> Iterator[AudioFrame]:
    """Decode a sound track from where the container stands to its end, stepping over damage.

    Args:
        container: an open file.
        stream: its sound track.
        path: the file's name, for the log and the error.

    Returns:
        Frames in the stream's own format, rate and layout.

    Raises:
        MediaError: not one sample can be decoded.
    """
    decoded, damaged = 0, False
    for packet, error in _packets(container, stream):
        frames: list[AudioFrame] = []
        if error is None:
            frames, error = _decode(stream, packet)
        if error is not None and not damaged:
            damaged = True
            log.warning("%s: sound damaged near sample %d (%s)", path, decoded, error.strerror)
        for frame in frames:
            decoded += frame.samples
            yield frame
    if not decoded:
        raise MediaError(
            f"{path}: not one sample of the sound track can be decoded",
            "the recording is empty or damaged; export it again",
        )


def first_frame(container: InputContainer, stream: VideoStream, path: AnyPath) -> VideoFrame:
    """The first frame that decodes, without decoding ahead of it.

    Raises:
        MediaError: there is none.
    """
    stream.thread_type = "SLICE"  # frame threads would decode several frames more
    for packet, error in _packets(container, stream):
        frames = [] if error else _decode(stream, packet)[0]
        if frames:
            return frames[0]
    raise no_frame(path)


def no_frame(path: AnyPath) -> MediaError:
    """The error for a file of which not one frame can be decoded."""
    return MediaError(
        f"{path}: not one video frame can be decoded",
        "the file is empty or damaged; play it in a video player, and export it again",
    )


def _packets(container, stream):  # type: ignore[no-untyped-def]
    """Packets and errors in turn; the last packet is empty and flushes the decoder."""
    packets = container.demux(stream)
    try:
        for packet in packets:
            yield packet, None
    except av.error.FFmpegError as error:
        yield None, error
        yield None, None


def _decode(stream, packet):  # type: ignore[no-untyped-def]
    try:
        return stream.decode(packet), None
    except av.error.EOFError:
        return [], None
    except av.error.FFmpegError as error:
        return [], error


def _explain_open(path: Path, error: Exception) -> MediaError:
    if path.is_dir():
        return MediaError(f"{path} is a folder, not a media file", "give one of the files in it")
    if not path.exists():
        return MediaError(f"{path}: no such file", "check the path")
    if isinstance(error, PermissionError):
        return MediaError(f"{path} may not be read", "give yourself read permission (chmod u+r)")
    if path.stat().st_size == 0:
        return MediaError(f"{path} is empty (0 bytes)", "copy or download the file again")
    reason = getattr(error, "strerror", None) or str(error)
    return MediaError(
        f"{path} is not a video or audio file that can be read ({reason})",
        "its content is something else than its name says, or its end is missing (an MP4 keeps"
        " its table there): copy or download it again, or export it anew",
    )
