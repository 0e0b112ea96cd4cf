"""Sound as it comes out of a telephone or a low-rate recording: encoded and decoded in memory."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, cast

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler

from metatalk.errors import MissingAssetError
from metatalk.shapes import check_shape


@dataclass(frozen=True)
class LossyCodec:
    """One way of sending speech at a low rate."""

    name: str
    encoder: str
    decoder: str
    rate: int  # samples a second that it carries
    bit_rate: int = 0  # bits a second; 0 where the codec has only one


LOSSY_CODECS = (
    LossyCodec("opus 12k", "libopus", "opus", 16_000, 12_000),
    LossyCodec("opus 24k", "libopus", "opus", 48_000, 24_000),
    LossyCodec("mp3 32k", "libmp3lame", "mp3float", 22_050, 32_000),
    LossyCodec("aac 32k", "aac", "aac", 22_050, 32_000),
    LossyCodec("g722", "g722", "g722", 16_000),
    LossyCodec("g711", "pcm_mulaw", "pcm_mulaw", 8_000),
)

_PROBE_S = 2.0
_SETTLED_S = 0.5  # of the probe's beginning, in which a codec finds its way
_PART = 960  # samples given to a codec that takes any number


def send_through(samples: np.ndarray, rate: int, codec: LossyCodec) -> np.ndarray:
    """Encode and decode sound, with the codec's delay taken back.

    Args:
        samples: (S,) mono sound in [-1, 1].
        rate: samples a second.
        codec: which, of `LOSSY_CODECS`.

    Returns:
        (S,) float32 in [-1, 1], in time with what was given.

    Raises:
        MissingAssetError: this build of PyAV's libraries lacks the codec.
    """
    check_shape("samples", samples, "S")
    if len(samples) == 0:
        return np.zeros(0, np.float32)
    delay = _delay(codec, rate)
    padded = np.pad(samples.astype(np.float32), (0, delay + rate // 10))
    heard = _there_and_back(padded, rate, codec)[delay : delay + len(samples)]
    heard = np.pad(heard, (0, len(samples) - len(heard)))
    return np.clip(np.nan_to_num(heard), -1, 1).astype(np.float32)


@functools.cache
def _delay(codec: LossyCodec, rate: int) -> int:
    """How late the codec is, in samples; the same for every sound, so noise tells it once."""
    probe = np.random.default_rng(0).normal(0, 0.1, int(_PROBE_S * rate))
    # Telephone band: what every codec carries, and slow enough for any phase it adds.
    spectrum = np.fft.rfft(probe)
    hertz = np.fft.rfftfreq(len(probe), 1 / rate)
    probe = np.fft.irfft(spectrum * ((hertz > 300) & (hertz < 3000)), len(probe))
    heard = _there_and_back(np.pad(probe, (0, rate // 4)).astype(np.float32), rate, codec)
    settled = probe[int(_SETTLED_S * rate) :]
    length = len(heard) + len(settled)
    product = np.fft.rfft(heard, length) * np.conj(np.fft.rfft(settled, length))
    alike = np.fft.irfft(product, length)[: len(heard)]
    return max(int(alike.argmax()) - int(_SETTLED_S * rate), 0)


def _there_and_back(samples: np.ndarray, rate: int, codec: LossyCodec) -> np.ndarray:
    try:
        coder = cast(AudioCodecContext, av.CodecContext.create(codec.encoder, "w"))
        decoder = cast(AudioCodecContext, av.CodecContext.create(codec.decoder, "r"))
    except (av.error.FFmpegError, ValueError) as error:  # an unknown codec is a ValueError
        raise MissingAssetError(
            f"the codec {codec.name} is not in this build of PyAV's libraries",
            "install PyAV from its wheel (pip install av), or set a2e.voices.codec=0",
        ) from error
    _open_coder(coder, codec)
    decoder.sample_rate, decoder.layout = codec.rate, "mono"
    decoder.extradata = coder.extradata
    back = AudioResampler("flt", "mono", rate)
    parts = [
        resampled.to_ndarray().reshape(-1)
        for packet in _packets(samples, rate, coder)
        for frame in decoder.decode(packet)
        for resampled in back.resample(_unstamped(frame))
    ]
    parts += [resampled.to_ndarray().reshape(-1) for resampled in back.resample(None)]
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def _open_coder(coder: AudioCodecContext, codec: LossyCodec) -> None:
    formats: Any = coder.codec.audio_formats
    coder.sample_rate, coder.layout = codec.rate, "mono"
    coder.format = formats[0]
    coder.time_base = Fraction(1, codec.rate)
    if codec.bit_rate:
        coder.bit_rate = codec.bit_rate
    coder.open()


def _packets(samples: np.ndarray, rate: int, coder: AudioCodecContext) -> Iterator[Any]:
    forth = AudioResampler(coder.format.name, "mono", coder.sample_rate, coder.frame_size or _PART)
    position = 0
    given = AudioFrame.from_ndarray(np.ascontiguousarray(samples[None]), "flt", "mono")
    given.sample_rate = rate
    for frame in (*forth.resample(given), *forth.resample(None)):
        frame.pts, frame.time_base = position, Fraction(1, coder.sample_rate)
        position += frame.samples
        yield from coder.encode(frame)
    yield from coder.encode(None)
    yield None  # the decoder gives what it holds back


def _unstamped(frame: AudioFrame) -> AudioFrame:
    frame.pts = None  # codecs without a container number their frames as they like
    return frame
