"""The sound of each container: copied, else without loss, else AAC."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from media_clips import make_sound, speech_like

from metatalk.media.audio import read_sound
from metatalk.media.codecs import choose_encoding
from metatalk.media.colour import ColourTags
from metatalk.media.picture import Picture
from metatalk.media.writer import VideoWriter

SIZE = WIDTH, HEIGHT = 256, 144
RATE = Fraction(30000, 1001)
BT709 = ColourTags(1, 1, 1)


def grey() -> Picture:
    sizes = (HEIGHT, WIDTH), (HEIGHT // 2, WIDTH // 2), (HEIGHT // 2, WIDTH // 2)
    return Picture(0, 0, tuple(np.full(size, 128, np.uint8) for size in sizes), BT709)


@pytest.mark.parametrize(
    ("name", "codec", "rate", "target", "carried", "kept_rate"),
    [
        ("s.flac", "flac", 44100, "a.mov", "pcm_s16le", 44100),
        ("s.opus", "libopus", 48000, "a.mov", "pcm_s24le", 48000),
        ("s.m4a", "aac", 44100, "a.mov", "aac", 44100),
        ("s.wav", "pcm_s16le", 16000, "a.mov", "pcm_s16le", 16000),
        ("s.wav", "pcm_s16le", 44100, "a.mxf", "pcm_s16le", 48000),
        ("s.wav", "pcm_f32le", 48000, "a.mxf", "pcm_s24le", 48000),
        ("s.wv", "wavpack", 96000, "a.mkv", "pcm_s16le", 96000),
        ("s.opus", "libopus", 48000, "a.mkv", "pcm_s24le", 48000),
        ("s.wav", "pcm_alaw", 8000, "a.mkv", "pcm_s16le", 8000),
        ("s.wav", "pcm_alaw", 8000, "a.mov", "pcm_alaw", 8000),
        ("s.wav", "pcm_s16le", 44100, "a.mp4", "aac", 44100),
        ("s.wav", "pcm_s16le", 96000, "a.mp4", "aac", 48000),
    ],
)
def test_sound_is_lossless_and_unresampled_where_it_can_be(
    tmp_path: Path, name: str, codec: str, rate: int, target: str, carried: str, kept_rate: int
) -> None:
    source = make_sound(tmp_path / name, speech_like(1, rate)[None], rate, codec=codec)
    form = "h264" if target.endswith(("mp4", "mkv")) else "prores422hq"
    path, encoding = tmp_path / target, choose_encoding(form, None, None, 8, *SIZE)
    with VideoWriter(path, *SIZE, RATE, 1 / RATE, BT709, audio=source, encoding=encoding) as writer:
        for number in range(30):
            writer.write(grey(), number)
    with av.open(str(path)) as container:
        context = container.streams.audio[0].codec_context
        assert (context.name, context.sample_rate) == (carried, kept_rate)
    if carried.startswith("pcm") and kept_rate == rate:
        given, kept = read_sound(source, rate).samples, read_sound(path, rate).samples
        count = min(len(given), len(kept))
        assert count > 0.95 * rate
        np.testing.assert_allclose(given[:count], kept[:count], atol=2**-23)


@pytest.mark.parametrize(("name", "codec"), [("s.wav", "pcm_s16le"), ("s.flac", "flac")])
def test_a_short_recording_does_not_end_the_picture(tmp_path: Path, name: str, codec: str) -> None:
    """MXF takes no picture without sound: silence follows, and every frame is there."""
    source = make_sound(tmp_path / name, speech_like(0.4, 48000)[None], 48000, codec=codec)
    encoding = choose_encoding("prores422hq", None, None, 8, *SIZE)
    for limit_s in (None, 30 / RATE, Fraction(1, 2), Fraction(1, 5)):
        path = tmp_path / "a.mxf"
        with VideoWriter(
            path, *SIZE, RATE, 1 / RATE, BT709, audio=source, audio_limit_s=limit_s,
            encoding=encoding,
        ) as writer:  # fmt: skip
            for number in range(30):
                writer.write(grey(), number)
        with av.open(str(path)) as container:
            assert sum(1 for _ in container.decode(video=0)) == 30
        given, kept = read_sound(source, 48000).samples, read_sound(path, 48000).samples
        given = given[: None if limit_s is None else round(limit_s * 48000)]
        assert abs(len(kept) - 30 / RATE * 48000) <= 1
        np.testing.assert_array_equal(kept[: len(given)], given)
        assert not kept[len(given) :].any()
