"""Small clips and recordings that the tests of `media` make for themselves."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from metatalk.media.picture import Picture

BITS = 8  # of the frame number that is drawn into every picture


def numbered_picture(number: int, height: int = 64, width: int = 96) -> np.ndarray:
    """(H, W, 3) uint8: a drifting gradient with the frame number as dark and light bars on top."""
    rows, columns = np.mgrid[0:height, 0:width]
    picture = np.stack(
        [
            128 + 80 * np.sin((columns + 3 * number) / 9),
            128 + 80 * np.cos((rows - 2 * number) / 7),
            np.full(rows.shape, 60 + number % 60),
        ],
        axis=-1,
    )
    bars = columns[0] * BITS // width
    bright = (number >> bars) & 1
    picture[: height // 4] = np.where(bright, 220, 30)[None, :, None]
    return picture.astype(np.uint8)


def read_number(picture: Picture) -> int:
    """The frame number that `numbered_picture` drew."""
    band = picture.planes[0][: picture.height // 4]
    centres = (np.arange(BITS) * 2 + 1) * picture.width // (2 * BITS)
    rows = slice(len(band) // 4, -len(band) // 4)
    bright = [band[rows, c - 1 : c + 2].mean() > 128 for c in centres]
    return sum(1 << bit for bit in range(BITS) if bright[bit])


def make_clip(
    path: Path,
    frames: int = 30,
    *,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    size: tuple[int, int] = (96, 64),
    rate: Fraction = Fraction(25),
    time_base: Fraction | None = None,
    pts: Sequence[int] | None = None,
    display: tuple[int, int, int, int] | None = None,
    tags: tuple[int, int, int, int] | None = None,
    sound_start_s: Fraction | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    """Encode numbered pictures.

    `display` is the (a, b, c, d) of the display matrix: the stored point (x, y) is shown at
    (a x + c y, b x + d y). `tags` are primaries, transfer, matrix and range. With
    `sound_start_s` the clip has a sound track of silence with a click at that moment.
    """
    time_base = time_base or 1 / Fraction(rate)
    width, height = size
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate, width=width, height=height, time_base=time_base)
        stream.codec_context.pix_fmt = pixel_format
        stream.codec_context.options = options or {}
        if tags:
            context = stream.codec_context
            context.color_primaries, context.color_trc, context.colorspace = tags[:3]
            context.color_range = tags[3]
        if display:
            a, b, c, d = (value << 16 for value in display)
            stream.set_display_matrix([a, b, 0, c, d, 0, 0, 0, 1 << 30])
        if sound_start_s is not None:
            _add_click(container, sound_start_s, frames / rate)
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(numbered_picture(number, height, width), "rgb24")
            frame = frame.reformat(format=pixel_format)
            frame.pts = number if pts is None else pts[number]
            frame.time_base = time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def make_sound(
    path: Path,
    planar: np.ndarray,
    rate: int,
    *,
    codec: str = "pcm_s16le",
    layout: str = "mono",
    bit_rate: int = 128_000,
) -> Path:
    """Encode (C, S) float samples into a file of the kind that its suffix names."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate, layout=layout, bit_rate=bit_rate)
        _encode_sound(container, stream, planar, rate, layout)
    return path


def speech_like(seconds: float, rate: int, seed: int = 0) -> np.ndarray:
    """(S,) float32 bursts of noise below 3 kHz: sound whose delay can be measured."""
    generator = np.random.default_rng(seed)
    count = int(seconds * rate)
    spectrum = np.fft.rfft(generator.standard_normal(count))
    spectrum[np.fft.rfftfreq(count, 1 / rate) > 3000] = 0
    noise = np.fft.irfft(spectrum, count)
    bursts = 0.5 + 0.5 * np.sin(2 * np.pi * 3 * np.arange(count) / rate)
    return (0.4 * noise * bursts / np.abs(noise).max()).astype(np.float32)


def lag_samples(reference: np.ndarray, other: np.ndarray, most: int = 2000) -> int:
    """By how many samples `other` comes later than `reference`."""
    count = min(len(reference), len(other))
    size = 1 << (2 * count - 1).bit_length()
    spectrum = np.fft.rfft(other[:count], size) * np.conj(np.fft.rfft(reference[:count], size))
    correlation = np.fft.irfft(spectrum, size)
    correlation = np.concatenate([correlation[-most:], correlation[: most + 1]])
    return int(np.argmax(correlation)) - most


def checksum(picture: Picture) -> tuple[int, ...]:
    """A number for each plane that changes with any of its bits."""
    return tuple(zlib.crc32(plane) for plane in picture.planes)


def _add_click(container, start_s: Fraction, seconds: Fraction) -> None:
    rate = 48000
    samples = np.zeros((1, int(seconds * rate)), np.float32)
    samples[0, int(start_s * rate) :][:48] = 0.9
    stream = container.add_stream("aac", rate, layout="mono")
    container.start_encoding()
    _encode_sound(container, stream, samples, rate, "mono")


def _encode_sound(container, stream, planar: np.ndarray, rate: int, layout: str) -> None:
    resampler = av.AudioResampler(stream.codec_context.format.name, layout, rate)
    for first in range(0, planar.shape[1], 1000):
        part = np.ascontiguousarray(planar[:, first : first + 1000], np.float32)
        packed = np.ascontiguousarray(part.T).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(packed, "flt", layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, first, Fraction(1, rate)
        for converted in resampler.resample(frame):
            container.mux(stream.encode(converted))
    container.mux(stream.encode(None))
