"""Sound in: a mono analysis copy of any recording, on the clock of the picture."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import groupby

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.layout import AudioLayout
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer

from metatalk.errors import MediaError
from metatalk.media.decode import (
    AnyPath,
    audio_stream,
    decode_audio,
    first_frame,
    open_media,
    video_stream,
)
from metatalk.shapes import check_shape

log = logging.getLogger(__name__)
_SLIP_S = 0.05  # time stamps wander by less than this; a larger step is a gap or an overlap
_LONGEST_GAP_S = 600  # a longer one is a broken time stamp
# What each channel adds to the mono sum: half of the left and of the right of ITU-R BS.775's
# stereo downmix, so that a voice in the centre comes out as loud as one in both fronts.
_DOWNMIX = {"FL": 0.5, "FR": 0.5, "FC": 0.7071, "LFE": 0.0, "LFE2": 0.0}
_SURROUND = 0.3536
_UNNAMED = {1: "mono", 2: "stereo", 3: "2.1", 4: "quad", 5: "5.0", 6: "5.1", 8: "7.1"}


@dataclass(frozen=True, eq=False)
class Sound:
    """Mono sound.

    Args:
        samples: (S,) float32 in [-1, 1].
        rate: samples a second.

    Raises:
        ShapeError: the samples are not a vector.
    """

    samples: np.ndarray
    rate: int

    def __post_init__(self) -> None:
        check_shape("samples", self.samples, "S")

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.rate


@dataclass(frozen=True, eq=False)
class SoundBlock:
    """A stretch of sound as it was recorded.

    Args:
        samples: (C, S) float32 in [-1, 1].
        rate: samples a second.
        layout: FFmpeg's name of the channels' places, such as "5.1".
    """

    samples: np.ndarray
    rate: int
    layout: str

    @property
    def duration(self) -> Fraction:
        """Exact length in seconds."""
        return Fraction(self.samples.shape[1], self.rate)

    def to_frame(self) -> AudioFrame:
        """The same sound as PyAV takes it: interleaved, for its planes end at eight channels."""
        packed = np.ascontiguousarray(self.samples.T, np.float32).reshape(1, -1)
        frame = AudioFrame.from_ndarray(packed, "flt", self.layout)
        frame.sample_rate = self.rate
        return frame


def read_sound(path: AnyPath, rate: int = 16000, from_first_frame: bool = False) -> Sound:
    """Read the sound of an audio or video file as mono, for analysis.

    Gaps in the recording stay gaps (of silence), so that time is kept.

    Args:
        path: audio or video file.
        rate: samples a second of the result.
        from_first_frame: let sample 0 fall on the first video frame, by cutting the
            sound's beginning or padding it with silence; else sample 0 is the first of
            the sound track.

    Returns:
        (S,) float32 in [-1, 1], S as long as the sound track (from that moment on).

    Raises:
        MediaError: the file cannot be read, has no sound track or no sample of it decodes.
    """
    start = _first_frame_time(path) if from_first_frame else None
    with open_media(path) as container:
        stream = audio_stream(container, path)
        parts = list(_resampled(read_blocks(container, stream, path, start), rate))
    samples = np.concatenate(parts) if parts else np.zeros(0, np.float32)
    if len(samples) == 0:
        raise MediaError(
            f"{path}: the sound track holds no sound"
            + (" after the first video frame" if from_first_frame else ""),
            "give a recording that plays in an audio player",
        )
    return Sound(np.clip(np.nan_to_num(samples), -1, 1), rate)


def count_channels(path: AnyPath) -> int:
    """How many channels a file's sound has.

    Args:
        path: audio or video file.

    Returns:
        Channels; 0: it is silent.

    Raises:
        MediaError: the file cannot be read.
    """
    with open_media(path) as container:
        streams = container.streams.audio
        return streams[0].codec_context.layout.nb_channels if streams else 0


def audio_duration(path: AnyPath) -> Fraction:
    """The exact length of a file's sound, found by decoding it.

    Args:
        path: audio or video file.

    Returns:
        Seconds from the first sample to the end of the last.

    Raises:
        MediaError: the file cannot be read, has no sound track or no sample of it decodes.
    """
    with open_media(path) as container:
        blocks = read_blocks(container, audio_stream(container, path), path)
        return sum((block.duration for block in blocks), Fraction(0))


def write_wav(path: AnyPath, sound: Sound) -> None:
    """Write sound as a 32-bit float WAV file, from which it reads back bit by bit.

    Args:
        path: file to write; an existing one is replaced.
        sound: mono sound.

    Raises:
        MediaError: the file cannot be written.
    """
    try:
        with av.open(str(path), "w", format="wav") as container:
            stream = container.add_stream("pcm_f32le", sound.rate, layout="mono", format="flt")
            for first in range(0, len(sound.samples), sound.rate):
                part = np.ascontiguousarray(sound.samples[first : first + sound.rate], np.float32)
                frame = AudioFrame.from_ndarray(part[None], "flt", "mono")
                frame.sample_rate, frame.pts = sound.rate, first
                frame.time_base = Fraction(1, sound.rate)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    except (OSError, av.error.FFmpegError) as error:
        raise MediaError(
            f"{path} cannot be written ({getattr(error, 'strerror', None) or error})",
            "check that its folder exists, that you may write there and that the disk has room",
        ) from error


def read_blocks(
    container: InputContainer,
    stream: AudioStream,
    path: AnyPath,
    start: Fraction | None = None,
) -> Iterator[SoundBlock]:
    """Decode a sound track as one unbroken run: gaps become silence, overlaps are cut.

    Args:
        container: an open file.
        stream: its sound track.
        path: the file's name, for messages.
        start: moment of the first sample on the file's clock, seconds; None for that of
            the track's own first sample.

    Returns:
        Blocks of a fraction of a second, each beginning where the last one ended.

    Raises:
        MediaError: not one sample can be decoded.
    """
    clock = start
    for block, time in _decoded_blocks(container, stream, path):
        if clock is None:
            clock = time or Fraction(0)
        slip = Fraction(0) if time is None else time - clock
        # At the beginning every sample counts; later, small slips are the container's rounding.
        if clock == start or abs(slip) > _SLIP_S:
            samples = _shifted(block.samples, round(slip * block.rate), block.rate)
            block = replace(block, samples=samples)
        clock += block.duration
        if block.samples.shape[1]:
            yield block


def _decoded_blocks(
    container: InputContainer, stream: AudioStream, path: AnyPath
) -> Iterator[tuple[SoundBlock, Fraction | None]]:
    """Blocks as they come, with their times on the file's clock where it states them."""
    converters: dict[tuple[str, str, int], AudioResampler] = {}
    for frame in decode_audio(container, stream, path):
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        time = None if frame.pts is None else frame.pts * Fraction(frame.time_base or 1)
        converter = converters.setdefault(kind, AudioResampler("flt"))
        packed = [_flat(part) for part in converter.resample(frame)]
        channels = frame.layout.nb_channels
        samples = np.concatenate([np.zeros(0, np.float32), *packed]).reshape(-1, channels).T
        layout = _full_layout(channels, frame.layout.name)
        yield SoundBlock(samples, frame.sample_rate, layout), time


def _full_layout(channels: int, name: str) -> str:
    """The name of a channel layout; for an unnamed one the usual layout of that many."""
    return _UNNAMED.get(channels, name) if "channels" in name else name


def _downmix(block: SoundBlock) -> np.ndarray:
    """(C, S) channels to (S,) mono."""
    planar = block.samples
    if len(planar) == 1:
        return planar[0]
    try:
        names = [channel.name for channel in AudioLayout(block.layout).channels]
    except ValueError:
        names = []
    if len(names) != len(planar):
        return planar.mean(axis=0)
    weights = np.array([_DOWNMIX.get(name, _SURROUND) for name in names], np.float32)
    return weights @ planar


def _shifted(samples: np.ndarray, gap: int, rate: int) -> np.ndarray:
    """(C, S) samples behind `gap` samples of silence, or without their first -gap."""
    if gap > _LONGEST_GAP_S * rate:
        log.warning("a gap of %.0f s in the sound is taken for a wrong time stamp", gap / rate)
        return samples
    if gap >= 0:
        return np.concatenate([np.zeros((len(samples), gap), np.float32), samples], axis=1)
    return samples[:, -gap:]


def _resampled(blocks: Iterator[SoundBlock], rate: int) -> Iterator[np.ndarray]:
    # A recording may change its rate midway; a resampler may not.
    for _, run in groupby(blocks, key=lambda block: block.rate):
        resampler = AudioResampler("flt", "mono", rate)
        for block in run:
            mono = SoundBlock(_downmix(block)[None], block.rate, "mono")
            yield from map(_flat, resampler.resample(mono.to_frame()))
        yield from map(_flat, resampler.resample(None))


def _flat(frame: AudioFrame) -> np.ndarray:
    return frame.to_ndarray().reshape(-1).astype(np.float32)


def _first_frame_time(path: AnyPath) -> Fraction:
    """When the first video frame is shown, on the file's own clock."""
    with open_media(path) as container:
        frame = first_frame(container, video_stream(container, path), path)
        return (frame.pts or 0) * Fraction(frame.time_base or 1)
