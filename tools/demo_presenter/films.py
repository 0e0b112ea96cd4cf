"""Sound files, and pictures as the film's writer takes them."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np

from demo_presenter.speech import Speech
from metatalk.media.colour import ColourTags
from metatalk.media.picture import Picture

AAC_BITS_PER_S, AAC_RATE = 96_000, 48_000


def sound_file(path: Path, speech: Speech, codec: str) -> None:
    """Write speech: FLAC with 16 bits at its own rate, AAC at 48 kHz.

    Args:
        path: the file; its ending is the container.
        speech: what was said.
        codec: "flac" or "aac".
    """
    with av.open(str(path), "w") as container:
        rate = AAC_RATE if codec == "aac" else speech.rate
        stream = container.add_stream(codec, rate=rate, layout="mono")
        if codec == "aac":
            stream.bit_rate = AAC_BITS_PER_S
        samples = (speech.samples.clip(-1, 1) * 32767).round().astype(np.int16)
        frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        frame.sample_rate = speech.rate
        frame.pts = 0
        size = stream.codec_context.frame_size or 4096
        resampler = av.AudioResampler(
            format=stream.codec_context.format, layout="mono", rate=rate, frame_size=size
        )
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))


def presenter_picture(rgb: np.ndarray, number: int, colour: ColourTags) -> Picture:
    """(H, W, 3) uint8 RGB to a frame of the film."""
    height, width, _ = rgb.shape
    blank = np.zeros((height, width), np.uint8)
    chroma = np.full((height // 2, width // 2), 128, np.uint8)
    empty = Picture(number, number, (blank, chroma, chroma), colour)
    full = np.ones((height, width), np.float32)
    return empty.with_patch(rgb.astype(np.float32) / 255.0, full, 0, 0)
