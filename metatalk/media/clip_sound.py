"""A clip's own sound as a recording that begins with the clip's first picture."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import chain, groupby
from pathlib import Path

import av
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler

from metatalk.errors import MediaError
from metatalk.media.audio import SoundBlock, audio_duration, read_blocks
from metatalk.media.decode import audio_stream, decode_audio, first_frame, open_media, video_stream

LOG = logging.getLogger(__name__)
_TOGETHER_S = Fraction(5, 1000)  # nobody hears or sees that sound is this early or late
_FRAME = 4096  # samples in a frame of FLAC
_LONGER_S = Fraction(1, 10)  # containers pad sound to their own blocks


def align_sound(clip: Path, duration_s: Fraction, copy: Path) -> Path | None:
    """Find a recording of a clip's sound whose first sample falls on the first picture.

    Args:
        clip: a video.
        duration_s: how long its picture is.
        copy: where a copy (FLAC) may be written, if the clip's own sound track begins at
            another moment than its picture or goes on after it.

    Returns:
        The clip itself, or the copy; None where the clip has no sound that can be used.
    """
    try:
        early_s = _picture_start(clip) - _sound_start(clip)
        if abs(early_s) <= _TOGETHER_S and audio_duration(clip) <= duration_s + _LONGER_S:
            return clip
        return copy if _write_copy(clip, duration_s, copy) else None
    except MediaError as error:
        LOG.warning("%s: the result is silent", error.problem)
        return None


def cut_sound(path: Path, start_s: Fraction, duration_s: Fraction, copy: Path) -> bool:
    """Write a part of a recording.

    Args:
        path: the recording.
        start_s: where the part begins, seconds from the recording's first sample.
        duration_s: how long it is.
        copy: the file to be, FLAC.

    Returns:
        Whether there is anything: not where the recording ends before.

    Raises:
        MediaError: the recording cannot be read.
    """
    with open_media(path) as source:
        stream = audio_stream(source, path)
        blocks = _within(_after(read_blocks(source, stream, path), start_s), duration_s)
        return _write_blocks(blocks, copy)


def _picture_start(clip: Path) -> Fraction:
    with open_media(clip) as container:
        frame = first_frame(container, video_stream(container, clip), clip)
        return (frame.pts or 0) * Fraction(frame.time_base or 1)


def _sound_start(clip: Path) -> Fraction:
    with open_media(clip) as container:
        for frame in decode_audio(container, audio_stream(container, clip), clip):
            return (frame.pts or 0) * Fraction(frame.time_base or 1)
    return Fraction(0)


def _write_copy(clip: Path, duration_s: Fraction, path: Path) -> bool:
    """Write the sound that is heard with the picture; False where there is none."""
    start = _picture_start(clip)
    with open_media(clip) as source:
        blocks = read_blocks(source, audio_stream(source, clip), clip, start)
        return _write_blocks(_within(blocks, duration_s), path)


def _write_blocks(blocks: Iterator[SoundBlock], path: Path) -> bool:
    """Write sound as FLAC; False, and no file, where there is none."""
    first = next(blocks, None)
    if first is None:
        return False
    with av.open(str(path), "w", format="flac") as container:
        stream = container.add_stream("flac", first.rate, layout=first.layout, format="s32")
        for frame in _frames(chain([first], blocks), first.rate, first.layout):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return True


def _frames(blocks: Iterable[SoundBlock], rate: int, layout: str) -> Iterator[AudioFrame]:
    """Blocks as frames of one rate and layout, numbered from 0."""
    position = 0
    # A recording may change its rate midway; a resampler may not.
    for _, run in groupby(blocks, key=lambda block: (block.rate, block.layout)):
        resampler = AudioResampler("s32", layout, rate, _FRAME)
        pieces = chain((block.to_frame() for block in run), [None])
        for frame in chain.from_iterable(map(resampler.resample, pieces)):
            frame.pts, frame.time_base = position, Fraction(1, rate)
            position += frame.samples
            yield frame


def _after(blocks: Iterable[SoundBlock], start_s: Fraction) -> Iterator[SoundBlock]:
    """The blocks from a moment on; the first one begins there."""
    clock = Fraction(0)
    for block in blocks:
        skip = max(round((start_s - clock) * block.rate), 0)
        clock += block.duration
        if skip < block.samples.shape[1]:
            yield SoundBlock(block.samples[:, skip:], block.rate, block.layout)


def _within(blocks: Iterator[SoundBlock], duration_s: Fraction) -> Iterator[SoundBlock]:
    """The blocks up to a moment; the last one is cut there."""
    clock = Fraction(0)
    for block in blocks:
        left = round((duration_s - clock) * block.rate)
        if left <= 0:
            return
        clock += block.duration
        yield SoundBlock(block.samples[:, :left], block.rate, block.layout)
