"""The sound of a video that is being written: copied as it is, or encoded well."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain, repeat
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet

from metatalk.media.audio import SoundBlock, read_blocks
from metatalk.media.decode import audio_stream, decode_audio, open_media

log = logging.getLogger(__name__)
_RATE = 48000  # of sound whose own rate a container or its players do not take
_AAC_RATES = (32000, 44100, 48000)  # kept; telephone's and studio's become 48 kHz
_FRAME = 1024  # samples in a frame of AAC
_EDITORS = ("mov", "matroska", "mxf", "wav")  # containers in which what cannot be copied is PCM
_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1"}
_EVERYWHERE = frozenset({"aac", "mp3", "mp3float", "ac3", "eac3", "alac"})
_MATROSKA = _EVERYWHERE | {"flac", "mp2", "mp2float"}  # not what says by itself where it begins


@dataclass(frozen=True)
class _Coding:
    """How sound is encoded that cannot be copied."""

    codec: str
    samples: str  # FFmpeg's name of the sample format that the encoder takes
    rate: int
    layout: str
    bit_rate: int = 0  # bits a second; 0: what the codec takes


class Soundtrack:
    """Feeds a recording into a container alongside the picture.

    It is copied where the container takes it. What .mov, .mkv and .mxf do not take is written
    as PCM, without loss; for .mp4 it becomes AAC of 256 kb/s or more. Its rate is kept but for
    MXF, which is always of 48 kHz, and for rates of AAC that players do not expect. MXF would end
    the picture with the sound: there silence follows, up to the picture's end.

    Args:
        container: the file being written, before its header.
        path: the recording; its first sample goes to time 0.
        limit_s: where to end the sound, seconds; None for its own end. Encoded sound ends
            at that very sample, copied sound with the packet that reaches it.

    Raises:
        MediaError: the recording cannot be read or has no sound.
    """

    def __init__(
        self, container: OutputContainer, path: Path, limit_s: Fraction | None = None
    ) -> None:
        self._container, self._is_endless = container, container.format.name == "mxf"
        self._files = ExitStack()
        source = self._files.enter_context(open_media(path))
        try:
            stream = audio_stream(source, path)
            if _can_copy(container, stream):
                track = container.add_stream_from_template(stream)
                packets = _copied(source, stream, track, path, limit_s)
            else:
                blocks = read_blocks(source, stream, path)
                first = next(blocks)
                coding = _coding(container.format.name, stream.codec_context.format.name, first)
                track = _add_encoder(container, coding)
                heard = _limited(chain([first], blocks), limit_s)
                if self._is_endless:
                    heard = chain(heard, _silence(first))
                packets = _encoded(heard, track, coding)
        except BaseException:
            self._files.close()
            raise
        self._packets = packets
        self._packets_left = True
        self._next: tuple[Packet | None, Fraction] = None, Fraction(0)

    def feed(self, time_s: Fraction) -> None:
        """Write the sound up to a moment of the picture.

        Args:
            time_s: seconds.
        """
        self._write(lambda begin_s: begin_s <= time_s)

    def finish(self, end_s: Fraction = Fraction(0)) -> None:
        """Write all that is left of the sound; in MXF, as much of it as there is picture.

        Args:
            end_s: where the picture ends, seconds.
        """
        self._write(lambda begin_s: begin_s < end_s or not self._is_endless)

    def _write(self, is_due: Callable[[Fraction], bool]) -> None:
        while self._packets_left and is_due(self._next[1]):
            packet = self._next[0]
            if packet is not None:
                self._container.mux(packet)
            following = next(self._packets, None)
            self._packets_left = following is not None
            self._next = following or self._next

    def close(self) -> None:
        """Close the recording."""
        self._files.close()


Timed = tuple[Packet, Fraction]  # a packet and when it begins, seconds


def _can_copy(output: OutputContainer, stream: AudioStream) -> bool:
    container, codec = output.format.name, stream.codec_context.name
    if container == "mxf":
        return False  # PCM of 48 kHz, in which nothing is lost, and silence to the picture's end
    if codec.startswith("pcm_"):
        return container != "mp4" and codec in output.supported_codecs
    if "matroska" in container:
        return codec in _MATROSKA
    return codec in _EVERYWHERE and container != "wav"


def _silence(like: SoundBlock) -> Iterator[SoundBlock]:
    """Silence without end."""
    second = np.zeros((len(like.samples), like.rate), like.samples.dtype)
    return repeat(replace(like, samples=second))


def _coding(container: str, samples: str, first: SoundBlock) -> _Coding:
    """How sound is encoded of which the decoder's sample format and the beginning are known."""
    rate, channels = first.rate, len(first.samples)
    if any(name in container for name in _EDITORS):
        rate = _RATE if container == "mxf" else rate
        if samples in ("u8", "u8p", "s16", "s16p"):
            return _Coding("pcm_s16le", "s16", rate, first.layout)
        return _Coding("pcm_s24le", "s32", rate, first.layout)
    # 256 kb/s for mono and stereo, as much a channel as that is in stereo up to 5.1.
    bit_rate = max(256_000, 80_000 * min(channels, 6))
    rate = rate if rate in _AAC_RATES else _RATE
    return _Coding("aac", "fltp", rate, _LAYOUTS.get(channels, "5.1"), bit_rate)


def _first_sample_time(path: Path) -> Fraction:
    """When the first sample that is heard begins; encoders' padding before it is not."""
    with open_media(path) as container:
        for frame in decode_audio(container, audio_stream(container, path), path):
            return (frame.pts or 0) * Fraction(frame.time_base or 1)
    return Fraction(0)


def _copied(
    source: InputContainer,
    stream: AudioStream,
    track: AudioStream,
    path: Path,
    limit_s: Fraction | None,
) -> Iterator[Timed]:
    time_base = Fraction(stream.time_base or 1)
    shift = round(_first_sample_time(path) / time_base)
    limit = None if limit_s is None else round(limit_s / time_base)
    expected: int | None = None
    last_dts: int | None = None
    try:
        for packet in source.demux(stream):
            if packet.size == 0:
                continue
            pts = expected if packet.pts is None else packet.pts - shift
            pts = 0 if pts is None else pts
            if last_dts is not None and pts <= last_dts:
                continue  # overlapping time stamps: no container takes them
            if limit is not None and pts >= limit:
                return
            packet.pts = packet.dts = last_dts = pts
            expected = pts + (packet.duration or 1)
            if limit is not None and expected > limit:
                packet.duration = limit - pts
            packet.stream = track
            yield packet, pts * time_base
    except av.error.FFmpegError as error:
        log.warning("%s: the sound cannot be read to its end (%s)", path, error.strerror)


def _add_encoder(container: OutputContainer, coding: _Coding) -> AudioStream:
    rate: dict[str, Any] = {"bit_rate": coding.bit_rate} if coding.bit_rate else {}
    stream = container.add_stream(coding.codec, coding.rate, layout=coding.layout, **rate)
    return cast(AudioStream, stream)  # typed only where the encoder's name is written out


def _encoded(blocks: Iterator[SoundBlock], track: AudioStream, coding: _Coding) -> Iterator[Timed]:
    tick = Fraction(1, coding.rate)
    for frame in _frames(blocks, coding):
        for packet in track.encode(frame):
            yield packet, (packet.pts or 0) * Fraction(packet.time_base or tick)
    for packet in track.encode(None):
        yield packet, (packet.pts or 0) * Fraction(packet.time_base or tick)


def _limited(blocks: Iterator[SoundBlock], limit_s: Fraction | None) -> Iterator[SoundBlock]:
    clock = Fraction(0)
    for block in blocks:
        if limit_s is not None and clock + block.duration > limit_s:
            keep = round((limit_s - clock) * block.rate)
            if keep > 0:
                yield replace(block, samples=block.samples[:, :keep])
            return
        clock += block.duration
        yield block


def _frames(blocks: Iterator[SoundBlock], coding: _Coding) -> Iterator[AudioFrame]:
    """Blocks of any rate and layout as the encoder takes them, numbered from 0."""
    target = coding.samples, coding.layout, coding.rate, _FRAME
    position = 0
    kind, resampler = None, AudioResampler(*target)
    for block in blocks:
        pending: list[AudioFrame] = []
        if kind not in (None, (block.rate, block.layout)):
            pending = resampler.resample(None)
            resampler = AudioResampler(*target)
        kind = block.rate, block.layout
        for part in [*pending, *resampler.resample(block.to_frame())]:
            position = _number(part, position, coding.rate)
            yield part
    for part in resampler.resample(None) if kind else []:
        position = _number(part, position, coding.rate)
        yield part


def _number(frame: AudioFrame, position: int, rate: int) -> int:
    frame.pts, frame.time_base = position, Fraction(1, rate)
    return position + frame.samples
