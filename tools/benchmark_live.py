"""Speak to a live actor in real time, and measure when each picture comes out at the other end.

    python tools/benchmark_live.py DIR AUDIO [--seconds 20] [-- words of `metatalk live`]

AUDIO is sent through a pipe in pieces as a sound card would send them; the result is read from
standard output. A moment's latency is the time from when it was spoken to when a player has the
picture of that moment. The first second, in which the reader looks at what it gets, is left out.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import struct
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path
from typing import IO

import av
import numpy as np

from metatalk.media.audio import read_sound

RATE = 16000
COMMAND = [sys.executable, "-c", "from metatalk.cli import main; raise SystemExit(main())"]
LEFT_OUT_S = 1.0


class Speaker:
    """Sends samples through a pipe at the pace at which they are spoken."""

    def __init__(self, pipe: IO[bytes], samples: np.ndarray, piece_s: float) -> None:
        self.spoken_at = 0.0  # the clock when sample 0 was spoken
        self._pipe, self._piece = pipe, max(1, round(piece_s * RATE))
        self._samples = (samples.clip(-1, 1) * 32767).astype("<i2")
        self._thread = threading.Thread(target=self._speak, daemon=True)

    def start(self) -> None:
        """Speak from now on."""
        self._thread.start()

    def _speak(self) -> None:
        with contextlib.suppress(OSError, ValueError):  # nobody listens any more
            self._speak_all()

    def _speak_all(self) -> None:
        self._send(self._samples[:1])
        self._wait_until_read()
        self.spoken_at = time.monotonic()
        for first in range(1, len(self._samples), self._piece):
            end = min(first + self._piece, len(self._samples))
            # A piece is there once its last sample has been spoken.
            time.sleep(max(0.0, self.spoken_at + end / RATE - time.monotonic()))
            self._send(self._samples[first:end])
        self._pipe.close()

    def _send(self, samples: np.ndarray) -> None:
        self._pipe.write(samples.tobytes())
        self._pipe.flush()

    def _wait_until_read(self) -> None:
        """Wait until the actor listens."""
        size = bytearray(4)
        while True:
            fcntl.ioctl(self._pipe.fileno(), termios.FIONREAD, size)
            if struct.unpack("i", size)[0] == 0:
                return
            time.sleep(0.002)


class Outlet:
    """What comes out of a pipe, read as soon as it is there."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._descriptor = pipe.fileno()

    def read(self, count: int) -> bytes:
        """At least one byte; none at the end."""
        return os.read(self._descriptor, count)


def main() -> None:
    """Print the latencies."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("actor", type=Path)
    words.add_argument("audio", type=Path)
    words.add_argument("--seconds", type=float, default=20.0, help="how long to speak")
    words.add_argument("--piece-ms", type=float, default=20.0, help="sound sent at once")
    words.add_argument("more", nargs="*", help="words of `metatalk live`, after --")
    asked = words.parse_args()
    sound = read_sound(asked.audio, RATE).samples
    samples = np.resize(sound, round(asked.seconds * RATE))
    command = [*COMMAND, "live", str(asked.actor), "-", "-o", "-", *asked.more]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        speaker = Speaker(process.stdin, samples, asked.piece_ms / 1000)
        speaker.start()
        try:
            times = _arrivals(process.stdout)
        except av.error.FFmpegError:
            raise SystemExit(process.wait() or 1) from None  # it has said why
    for kind, moments in times.items():
        _tell(kind, np.array(moments).reshape(-1, 2), speaker.spoken_at)


def _arrivals(pipe: IO[bytes]) -> dict[str, list[tuple[float, float]]]:
    """By kind of stream: the time of each packet in the result, and the clock at its arrival."""
    times: dict[str, list[tuple[float, float]]] = {"video": [], "audio": []}
    options = {"probesize": "32768", "analyzeduration": "0"}
    with av.open(Outlet(pipe), "r", options=options, buffer_size=4096) as container:
        for packet in container.demux():
            if packet.pts is not None and packet.size:
                second = float(packet.pts * packet.time_base)
                times[packet.stream.type].append((second, time.monotonic()))
    return times


def _tell(kind: str, moments: np.ndarray, spoken_at: float) -> None:
    late_ms = 1e3 * (moments[:, 1] - spoken_at - moments[:, 0])[moments[:, 0] >= LEFT_OUT_S]
    if not len(late_ms):
        print(f"{kind}: nothing came after the first second")
        return
    p50, p95 = np.percentile(late_ms, [50, 95])
    print(
        f"{kind}: {len(moments)} packets up to second {moments[-1, 0]:.2f}; latency "
        f"p50 {p50:.0f} ms, p95 {p95:.0f} ms, worst {late_ms.max():.0f} ms"
    )


if __name__ == "__main__":
    main()
