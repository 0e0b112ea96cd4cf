"""Sound in while it is being spoken: from a pipe, a network address or a file."""

from __future__ import annotations

import os
import queue
import select
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
from av.audio.resampler import AudioResampler

from metatalk.errors import MediaError
from metatalk.media.audio import SoundBlock, read_blocks
from metatalk.media.decode import audio_stream, open_media

STDIN = "-"
RAW_RATE = 16000  # of sound without a header: 16-bit little-endian, one channel

_MAGIC = (b"RIFF", b"RF64", b"OggS", b"fLaC", b"\x1aE\xdf\xa3", b"FLV\x01", b"ID3")
_MAGIC_BYTES = 4
_PIECE = RAW_RATE // 25 * 2  # bytes of raw sound read at once, at most: 40 ms
_POLL_S = 0.1
_OPEN_TIMEOUT_S = 15.0
_WAITING = 512  # blocks heard and not yet used
_LIVE_SHARE = 0.3  # of the sound's length, that must have been waited for it
_LIVE_LEAST_S = 0.2
# Little is looked at before the first sound is handed over. (FFmpeg's "nobuffer" would forget it.)
_PROMPT = {"probesize": "32768", "analyzeduration": "500000"}


class LiveSound(Iterator[SoundBlock]):
    """Blocks of sound as they come, and how long they were waited for.

    Waiting is told from being slow: on a busy machine a block takes its time though it was there.

    Args:
        blocks: the source.
        waited_s: how long it has waited for sound that was not there yet, seconds; None where
            nobody can tell: all the time that the blocks take counts.
    """

    def __init__(
        self, blocks: Iterator[SoundBlock], waited_s: Callable[[], float] | None = None
    ) -> None:
        self._blocks, self._told = blocks, waited_s
        self._taken_s = 0.0

    @property
    def waited_s(self) -> float:
        """Seconds waited for sound until now."""
        return self._taken_s if self._told is None else self._told()

    def __next__(self) -> SoundBlock:
        began = time.monotonic()
        block = next(self._blocks)
        self._taken_s += time.monotonic() - began
        return block


@contextmanager
def open_live_sound(source: str, stop: threading.Event) -> Iterator[LiveSound]:
    """Open a source of sound that may still be speaking.

    Args:
        source: "-" for standard input, a named pipe, a file, or an address that FFmpeg can read.
            Through pipes come raw samples (16 kHz, 16-bit little-endian, mono) or a WAV,
            FLAC, Ogg, Matroska, FLV or MP3 stream, told by its first bytes.
        stop: once it is set, what comes through pipes ends.

    Returns:
        Context with the sound, block after block as it comes. It says how long it was waited
        for: of a file not at all, however slowly it is read.

    Raises:
        MediaError: it cannot be opened, or has no sound.
    """
    if source == STDIN or _is_pipe(source):
        descriptor = _open_pipe(source)
        try:
            pipe = _Pipe(descriptor, stop)
            yield LiveSound(_read_pipe(pipe, source), lambda: pipe.waited_s)
        finally:
            if source != STDIN:
                os.close(descriptor)
    elif "://" in source:
        yield LiveSound(_read_address(source))
    else:
        with open_media(source) as container:
            blocks = read_blocks(container, audio_stream(container, source), source)
            yield LiveSound(blocks, lambda: 0.0)  # all of a file is there


class SoundFeed:
    """Hears a source in a thread of its own, so that none of it is lost while others work.

    Args:
        blocks: the source.
        stop: once it is set, the sound ends.
    """

    def __init__(self, blocks: Iterator[SoundBlock], stop: threading.Event) -> None:
        self._sound = blocks if isinstance(blocks, LiveSound) else LiveSound(blocks)
        self._stop = stop
        self._waiting: queue.Queue[tuple[SoundBlock, float] | BaseException | None]
        self._waiting = queue.Queue(_WAITING)
        self._waited_s = self._heard_s = 0.0
        # Not joined: it may hang in a read that nobody can end.
        threading.Thread(target=self._run, name="live-sound", daemon=True).start()

    @property
    def is_live(self) -> bool:
        """Whether the sound comes as slowly as it is spoken, rather than as fast as it is read."""
        needed = max(_LIVE_SHARE * self._heard_s, _LIVE_LEAST_S)
        return self._waited_s > needed

    def __iter__(self) -> Iterator[tuple[SoundBlock, float]]:
        """Blocks, each with the `time.monotonic()` of its arrival."""
        while not self._stop.is_set():
            try:
                item = self._waiting.get(timeout=_POLL_S)
            except queue.Empty:
                continue
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield item

    def _run(self) -> None:
        before_s = 0.0
        try:
            while not self._stop.is_set():
                block = next(self._sound, None)
                arrived = time.monotonic()
                if block is None:
                    break
                if self._heard_s == 0:  # what came before the first sound says nothing
                    before_s = self._sound.waited_s
                self._waited_s = self._sound.waited_s - before_s
                self._heard_s += float(block.duration)
                self._hand_over((block, arrived))
            self._hand_over(None)
        except BaseException as error:
            self._hand_over(error)

    def _hand_over(self, item: tuple[SoundBlock, float] | BaseException | None) -> None:
        while not self._stop.is_set():
            try:
                self._waiting.put(item, timeout=_POLL_S)
                return
            except queue.Full:
                continue


class AnalysisSound:
    """Blocks of any kind as mono samples for analysis, as they come."""

    def __init__(self, rate: int = 16000) -> None:
        self._rate = rate
        self._kind: tuple[int, str] | None = None
        self._resampler = self._new_resampler()

    def push(self, block: SoundBlock) -> np.ndarray:
        """(S,) float32, what a block adds."""
        kind, parts = (block.rate, block.layout), []
        if self._kind not in (None, kind):
            parts = self._resampler.resample(None)
            self._resampler = self._new_resampler()
        self._kind = kind
        parts += self._resampler.resample(block.to_frame())
        return _joined(parts)

    def finish(self) -> np.ndarray:
        """(S,) float32, what the filter still held."""
        return _joined(self._resampler.resample(None) if self._kind else [])

    def _new_resampler(self) -> AudioResampler:
        return AudioResampler("flt", "mono", self._rate)


class _Pipe:
    """Reads what there is, and does not wait for more; the end comes with `stop`, too."""

    def __init__(self, descriptor: int, stop: threading.Event) -> None:
        self._descriptor, self._stop = descriptor, stop
        self._ahead = b""
        self.waited_s = 0.0  # for bytes that were not there when they were asked for

    def peek(self, count: int) -> bytes:
        """The first bytes, or fewer where it ends; they are read again afterwards."""
        while len(self._ahead) < count and (more := self._read(count - len(self._ahead))):
            self._ahead += more
        return self._ahead

    def read(self, count: int = -1) -> bytes:
        """At least one byte and at most `count`; none at the end."""
        if self._ahead:
            taken, self._ahead = self._ahead, b""
            return taken
        return self._read(count if count > 0 else _PIECE)

    def _read(self, count: int) -> bytes:
        if not select.select([self._descriptor], [], [], 0)[0]:
            self._wait()
        return b"" if self._stop.is_set() else os.read(self._descriptor, count)

    def _wait(self) -> None:
        began = time.monotonic()
        while not self._stop.is_set():
            if select.select([self._descriptor], [], [], _POLL_S)[0]:
                break
        self.waited_s += time.monotonic() - began


def _is_pipe(source: str) -> bool:
    if "://" in source or not Path(source).exists():
        return False
    mode = Path(source).stat().st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)


def _open_pipe(source: str) -> int:
    try:
        # Opening a named pipe waits for somebody who writes into it.
        return sys.stdin.fileno() if source == STDIN else os.open(source, os.O_RDONLY)
    except (OSError, ValueError) as error:
        raise MediaError(f"{source} cannot be read ({error})", "check who may read it") from error


def _read_pipe(pipe: _Pipe, source: str) -> Iterator[SoundBlock]:
    if pipe.peek(_MAGIC_BYTES).startswith(_MAGIC):
        yield from _read_container(pipe, source)
    else:
        yield from _read_raw(pipe)


def _read_raw(pipe: _Pipe) -> Iterator[SoundBlock]:
    left = b""
    while piece := pipe.read(_PIECE):
        left += piece
        whole = len(left) - len(left) % 2
        samples = np.frombuffer(left[:whole], "<i2").astype(np.float32) / 32768
        left = left[whole:]
        if len(samples):
            yield SoundBlock(samples[None], RAW_RATE, "mono")


def _read_container(pipe: _Pipe, source: str) -> Iterator[SoundBlock]:
    name = "standard input" if source == STDIN else source
    # WAV comes in packets as small as FFmpeg makes them.
    options = {**_PROMPT, "max_size": "1024"} if pipe.peek(1)[:1] == b"R" else _PROMPT
    try:
        with av.open(pipe, "r", options=options, buffer_size=4096) as container:
            yield from read_blocks(container, audio_stream(container, name), name)
    except av.error.FFmpegError as error:
        raise MediaError(
            f"{name}: its sound cannot be read ({error.strerror})",
            "send WAV, or raw samples: 16 kHz, 16-bit little-endian, mono",
        ) from error


def _read_address(source: str) -> Iterator[SoundBlock]:
    try:
        with av.open(source, "r", options=_PROMPT, timeout=(_OPEN_TIMEOUT_S, None)) as container:
            yield from read_blocks(container, audio_stream(container, source), source)
    except (OSError, av.error.FFmpegError) as error:
        raise MediaError(
            f"{source}: nothing can be heard there ({getattr(error, 'strerror', None) or error})",
            "check the address, and that somebody sends to it",
        ) from error


def _joined(parts: list[av.AudioFrame]) -> np.ndarray:
    samples = [part.to_ndarray().reshape(-1) for part in parts]
    return np.concatenate([np.zeros(0, np.float32), *samples]).astype(np.float32)
