"""The sound of a video that is being written: copied as it is, or encoded well."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet

from metatalk.media.audio import SoundBlock, read_blocks
from metatalk.media.decode import audio_stream, decode_audio, open_media

log = logging.getLogger(__name__)
_RATE = 48000
_FRAME = 1024  # samples in a frame of AAC
_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1"}
_EVERYWHERE = frozenset({"aac", "mp3", "mp3float", "ac3", "eac3", "alac"})
_MATROSKA = _EVERYWHERE | {"flac", "opus", "libopus", "vorbis", "libvorbis", "mp2", "mp2float"}


class Soundtrack:
    """Feeds a recording into a container alongside the picture.

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
        self._container = container
        self._files = ExitStack()
        source = self._files.enter_context(open_media(path))
        try:
            stream = audio_stream(source, path)
            if _can_copy(container.format.name, stream.codec_context.name):
                track = container.add_stream_from_template(stream)
                packets = _copied(source, stream, track, path, limit_s)
            else:
                track = _add_encoder(container, stream.codec_context.layout.nb_channels)
                packets = _encoded(read_blocks(source, stream, path), track, limit_s)
        except BaseException:
            self._files.close()
            raise
        self._packets = packets
        self._next: tuple[Packet | None, Fraction] = None, Fraction(0)

    def feed(self, time_s: Fraction | None) -> None:
        """Write the sound up to a moment of the picture, or all that is left of it.

        Args:
            time_s: seconds; None for the rest.
        """
        while time_s is None or self._next[1] <= time_s:
            packet = self._next[0]
            if packet is not None:
                self._container.mux(packet)
            following = next(self._packets, None)
            if following is None:
                self._next = None, Fraction(1 << 62)
                return
            self._next = following

    def close(self) -> None:
        """Close the recording."""
        self._files.close()


Timed = tuple[Packet, Fraction]  # a packet and when it begins, seconds


def _can_copy(container: str, codec: str) -> bool:
    if "matroska" in container:
        return codec in _MATROSKA or codec.startswith("pcm_")
    if container == "mov" and codec.startswith("pcm_"):
        return True
    return codec in _EVERYWHERE


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


def _add_encoder(container: OutputContainer, channels: int) -> AudioStream:
    layout = _LAYOUTS.get(channels, "5.1")
    # 256 kb/s for mono and stereo, as much a channel as that is in stereo up to 5.1.
    bit_rate = max(256_000, 80_000 * min(channels, 6))
    return container.add_stream("aac", _RATE, layout=layout, bit_rate=bit_rate)


def _encoded(
    blocks: Iterator[SoundBlock], track: AudioStream, limit_s: Fraction | None
) -> Iterator[Timed]:
    tick = Fraction(1, _RATE)
    for frame in _frames(_limited(blocks, limit_s), track.codec_context.layout.name):
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


def _frames(blocks: Iterator[SoundBlock], layout: str) -> Iterator[AudioFrame]:
    """Blocks of any rate and layout as 48 kHz frames of AAC's size, numbered from 0."""
    position = 0
    kind, resampler = None, AudioResampler("fltp", layout, _RATE, _FRAME)
    for block in blocks:
        pending: list[AudioFrame] = []
        if kind not in (None, (block.rate, block.layout)):
            pending = resampler.resample(None)
            resampler = AudioResampler("fltp", layout, _RATE, _FRAME)
        kind = block.rate, block.layout
        for part in [*pending, *resampler.resample(block.to_frame())]:
            position = _number(part, position)
            yield part
    for part in resampler.resample(None) if kind else []:
        position = _number(part, position)
        yield part


def _number(frame: AudioFrame, position: int) -> int:
    frame.pts, frame.time_base = position, Fraction(1, _RATE)
    return position + frame.samples
