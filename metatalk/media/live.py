"""Video out while it is being made: into a growing file, a pipe or a network address."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet

from metatalk.errors import MediaError
from metatalk.media.audio import SoundBlock
from metatalk.media.colour import ColourTags
from metatalk.media.picture import Picture
from metatalk.media.writer import add_video, explain_write, picture_to_frame, tag_colours

STDOUT = "-"
LIVE_FORMATS = {"mkv": "matroska", "ts": "mpegts", "mp4": "mp4"}

_BY_ENDING = {
    ".mkv": "mkv", ".ts": "ts", ".m2ts": "ts", ".mts": "ts", ".mp4": "mp4", ".m4v": "mp4",
    ".mov": "mp4",
}  # fmt: skip
# Nothing is held back to fill a block: each packet goes out as it comes. Only MP4 has to gather
# fragments, of a tenth of a second here; with a fragment for every frame some were seen to be lost.
_OPTIONS = {
    "matroska": {"cluster_time_limit": "0"},
    "mpegts": {"pes_payload_size": "0"},
    "mp4": {"movflags": "delay_moov+default_base_moof", "frag_duration": "100000"},
    "flv": {"flvflags": "no_duration_filesize"},
}
_KEY_FRAMES_S = 1  # whoever joins later sees a picture this soon
_SOUND_RATE, _SOUND_FRAME = 48000, 1024
_BIT_RATE = {"mono": 128_000, "stereo": 192_000}
_GONE = (errno.EPIPE, errno.ECONNRESET, errno.ECONNABORTED, errno.ENOTCONN)


class ReaderGoneError(MediaError):
    """Whoever read the stream has left."""


@dataclass(frozen=True)
class LiveSettings:
    """What a stream looks like, whatever it is written into."""

    width: int
    height: int
    rate: Fraction  # frames a second; every frame lasts as long
    colour: ColourTags
    crf: float = 20
    preset: str = "veryfast"
    channels: int = 1  # of the sound; more than two become two
    pixel_aspect: Fraction = Fraction(1)


def is_place_on_disk(output: str) -> bool:
    """Whether an output is a file that stays: no pipe, no device, no address, not "-"."""
    if output == STDOUT or "://" in output:
        return False
    path = Path(output)
    return not path.exists() or path.is_file() or path.is_dir()


def choose_format(output: str, asked: str | None = None) -> str:
    """Choose the container of a stream.

    Args:
        output: file, pipe, address or "-".
        asked: a key of `LIVE_FORMATS`; None: by the name's ending. Pipes get Matroska, which
            players understand from its first bytes on, addresses get MPEG-TS, and those of RTMP
            what they must have.

    Returns:
        FFmpeg's name of it.

    Raises:
        MediaError: a file whose name says nothing.
    """
    if asked is not None:
        return LIVE_FORMATS[asked]
    if "://" in output:
        return "flv" if output.startswith("rtmp") else "mpegts"
    ending = _BY_ENDING.get(Path(output).suffix.lower())
    if ending is None and is_place_on_disk(output):
        raise MediaError(
            f"{output}: no container of streams is known by this ending",
            f"name it with one of {', '.join(_BY_ENDING)}, or say --format",
        )
    return LIVE_FORMATS[ending or "mkv"]


class LiveWriter:
    """Writes pictures and sound as they come; what is written can be played at once.

    Use it as a context manager. Leaving the block ends the stream properly, after an exception
    too; should the process be killed, what was written until then still plays.

    Args:
        output: file, named pipe, address that FFmpeg can write to, or "-" for standard output.
        settings: what the stream looks like.
        container: FFmpeg's name, from `choose_format`.
        metadata: tags of the file.

    Raises:
        MediaError: a place that cannot be written, a full disk, pictures of another size.
        ReaderGoneError: the other end of a pipe or connection was closed.
    """

    def __init__(
        self,
        output: str,
        settings: LiveSettings,
        container: str,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        self._output, self._path = output, Path(output)
        self._next = 0  # number of the frame that comes next
        self._descriptor: int | None = None
        try:
            self._container = self._open(container, metadata or {})
            self._video = add_video(
                self._container,
                settings.width,
                settings.height,
                settings.rate,
                1 / settings.rate,
            )
            context = self._video.codec_context
            context.gop_size = max(1, round(_KEY_FRAMES_S * settings.rate))
            context.options = {
                "crf": str(settings.crf), "preset": settings.preset, "tune": "zerolatency"
            }  # fmt: skip
            tag_colours(context, settings.colour)
            if settings.pixel_aspect != 1:
                context.sample_aspect_ratio = settings.pixel_aspect
            self._sound = _SoundEncoder(self._container, settings.channels)
            self._container.start_encoding()
        except (OSError, av.error.FFmpegError) as error:
            self._close_descriptor()
            raise self._explained(error) from error
        self._tick = 1 / settings.rate

    def __enter__(self) -> LiveWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._finish()
        except (OSError, av.error.FFmpegError) as failure:
            if error is None:
                raise self._explained(failure) from failure
        finally:
            self._close_descriptor()

    def write(self, picture: Picture, sound: Sequence[SoundBlock] = ()) -> None:
        """Append a frame, and the sound that has been heard since the one before.

        Args:
            picture: of the stream's width and height.
            sound: blocks that follow those given before; sample 0 of all begins with frame 0.

        Raises:
            MediaError: another size, or nothing more can be written.
            ReaderGoneError: nobody reads any more.
        """
        context = self._video.codec_context
        if (picture.width, picture.height) != (context.width, context.height):
            raise MediaError(
                f"a picture of {picture.width}x{picture.height}"
                f" in a stream of {context.width}x{context.height}"
            )
        self.hear(sound)
        frame = picture_to_frame(picture, context.pix_fmt or "yuv420p")
        frame.pts, frame.time_base = self._next, self._tick
        try:
            packets = self._video.encode(frame)
            for packet in packets:
                packet.duration = packet.duration or 1  # the last one of MP4 has no next
            self._mux(packets)
        except (OSError, av.error.FFmpegError) as error:
            raise self._explained(error) from error
        self._next += 1

    def hold(self, sound: Sequence[SoundBlock] = ()) -> None:
        """Let the last picture stay for another frame; arguments and errors as in `write`."""
        self.hear(sound)
        self._next += 1

    def hear(self, sound: Sequence[SoundBlock]) -> None:
        """Append sound alone; arguments and errors as in `write`."""
        try:
            for block in sound:
                self._mux(self._sound.encode(block))
        except (OSError, av.error.FFmpegError) as error:
            raise self._explained(error) from error

    def _open(self, container: str, metadata: Mapping[str, str]) -> OutputContainer:
        options = {"flush_packets": "1", **_OPTIONS.get(container, {})}
        opened = av.open(self._place(), "w", container, options=options)
        opened.metadata.update(metadata)
        if "comment" in metadata:  # MPEG-TS has no other place for it
            opened.metadata.update(service_name=metadata["comment"], service_provider="metatalk")
        return opened

    def _place(self) -> str:
        """What FFmpeg is to open."""
        if "://" in self._output:
            return self._output
        if self._output == STDOUT:
            # Of its own, so that what anybody prints by mistake does not get into the stream.
            self._descriptor = os.dup(1)
        elif self._path.exists() and stat.S_ISFIFO(self._path.stat().st_mode):
            self._descriptor = os.open(self._path, os.O_WRONLY)  # waits for a reader
        else:
            self._path.open("wb").close()  # a wrong place is better told at once
            return str(self._path.absolute())
        return f"pipe:{self._descriptor}"

    def _mux(self, packets: Sequence[Packet]) -> None:
        for packet in packets:
            self._container.mux(packet)

    def _finish(self) -> None:
        try:
            if self._next:
                self._mux(self._video.encode(None))
            self._mux(self._sound.finish())
        finally:
            self._container.close()

    def _close_descriptor(self) -> None:
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = None

    def _explained(self, error: BaseException) -> BaseException:
        if getattr(error, "errno", None) in _GONE:
            name = "standard output" if self._output == STDOUT else self._output
            return ReaderGoneError(f"{name}: nobody reads it any more", "start the reader again")
        return explain_write(self._path, error)


class _SoundEncoder:
    """Sound blocks of any kind, one after another, as AAC."""

    def __init__(self, container: OutputContainer, channels: int) -> None:
        self._layout = "mono" if channels == 1 else "stereo"
        rate = _BIT_RATE[self._layout]
        self._track: AudioStream = container.add_stream(
            "aac", _SOUND_RATE, layout=self._layout, bit_rate=rate
        )
        self._kind: tuple[int, str] | None = None
        self._resampler = self._new_resampler()
        self._position = 0

    def encode(self, block: SoundBlock) -> list[Packet]:
        """The packets that a block completes."""
        kind, packets = (block.rate, block.layout), []
        if self._kind not in (None, kind):
            packets = self._encode(self._resampler.resample(None))
            self._resampler = self._new_resampler()
        self._kind = kind
        return packets + self._encode(self._resampler.resample(block.to_frame()))

    def finish(self) -> list[Packet]:
        """The packets that were still waiting for sound."""
        rest = self._resampler.resample(None) if self._kind else []
        return self._encode(rest) + (self._track.encode(None) if self._kind else [])

    def _encode(self, frames: Sequence[AudioFrame]) -> list[Packet]:
        packets: list[Packet] = []
        for frame in frames:
            frame.pts, frame.time_base = self._position, Fraction(1, _SOUND_RATE)
            self._position += frame.samples
            packets += self._track.encode(frame)
        return packets

    def _new_resampler(self) -> AudioResampler:
        return AudioResampler("fltp", self._layout, _SOUND_RATE, _SOUND_FRAME)
