"""Pictures and frames of every depth and sampling that the tests of `media` make."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from metatalk.media.colour import ColourTags, luma_weights
from metatalk.media.picture import Picture, Subsampling

KINDS: list[tuple[int, Subsampling]] = [
    (8, (1, 1)), (8, (1, 0)), (8, (0, 0)), (9, (1, 1)), (10, (1, 1)), (10, (1, 0)), (10, (0, 0)),
    (12, (1, 0)), (14, (0, 0)), (16, (1, 1)), (16, (1, 0)), (16, (0, 0)),
]  # fmt: skip


def random_picture(
    height: int,
    width: int,
    colour: ColourTags | None = None,
    seed: int = 0,
    bits: int = 8,
    shift: Subsampling = (1, 1),
) -> Picture:
    """A picture of muted colours: every Y'CbCr triple of it is an RGB colour."""
    generator = np.random.default_rng(seed)
    across, down = shift
    part = -(-height >> down), -(-width >> across)
    scale, kind = 1 << (bits - 8), np.uint8 if bits == 8 else np.uint16
    planes = (
        generator.integers(90 * scale, 160 * scale, (height, width), dtype=kind),
        generator.integers(110 * scale, 146 * scale, part, dtype=kind),
        generator.integers(110 * scale, 146 * scale, part, dtype=kind),
    )
    return Picture(3, 77, planes, colour or ColourTags(), bits)


def spread(plane: np.ndarray, picture: Picture) -> np.ndarray:
    """(H, W) float64: a chroma plane with a value for every pixel."""
    across, down = picture.shift
    full = plane.astype(np.float64).repeat(1 << down, 0).repeat(1 << across, 1)
    return full[: picture.height, : picture.width]


def reference_rgb(picture: Picture) -> np.ndarray:
    """The readable twin of `Picture.rgb_float`: ITU-T H.273, eq. 38-40 for RGB, in float64."""
    kr, kb = luma_weights(picture.colour, picture.height)
    y, u, v = (
        picture.planes[0].astype(np.float64),
        *(spread(c, picture) for c in picture.planes[1:]),
    )
    middle, scale = 1 << (picture.bits - 1), 1 << (picture.bits - 8)
    if picture.colour.full_range:
        most = (1 << picture.bits) - 1
        y, u, v = y / most, (u - middle) / most, (v - middle) / most
    else:
        y = (y - 16 * scale) / (219 * scale)
        u, v = (u - middle) / (224 * scale), (v - middle) / (224 * scale)
    red = y + 2 * (1 - kr) * v
    blue = y + 2 * (1 - kb) * u
    green = (y - kr * red - kb * blue) / (1 - kr - kb)
    return np.clip(np.stack([red, green, blue], -1), 0, 1)


def reference_patched(
    picture: Picture, patch: np.ndarray, alpha: np.ndarray, left: int, top: int
) -> list[np.ndarray]:
    """The readable twin of `Picture.with_patch`: levels in float64, not yet rounded."""
    height, width = picture.height, picture.width
    weight, rgb = np.zeros((height, width)), np.zeros((height, width, 3))
    rows = [r for r in range(alpha.shape[0]) if 0 <= top + r < height]
    columns = [c for c in range(alpha.shape[1]) if 0 <= left + c < width]
    for r in rows:
        for c in columns:
            weight[top + r, left + c] = np.clip(alpha[r, c], 0, 1)
            rgb[top + r, left + c] = np.clip(patch[r, c], 0, 1)
    kr, kb = luma_weights(picture.colour, height)
    luma = rgb @ [kr, 1 - kr - kb, kb]
    blue, red = (rgb[..., 2] - luma) / (2 - 2 * kb), (rgb[..., 0] - luma) / (2 - 2 * kr)
    scale, middle = 1 << (picture.bits - 8), 1 << (picture.bits - 1)
    black, luma_span, chroma_span = 16 * scale, 219 * scale, 224 * scale
    if picture.colour.full_range:
        black, luma_span = 0, (1 << picture.bits) - 1
        chroma_span = luma_span
    old = picture.planes[0].astype(np.float64)
    out = [old + weight * (black + luma_span * luma - old)]
    for plane, value in zip(picture.planes[1:], (blue, red), strict=True):
        each = spread(plane, picture)
        out.append(
            block_means(each + weight * (middle + chroma_span * value - each), picture.shift)
        )
    return out


def block_means(values: np.ndarray, shift: Subsampling) -> np.ndarray:
    """Means of the blocks that share a chroma sample, of as many pixels as each has."""
    across, down = 1 << shift[0], 1 << shift[1]
    return np.array(
        [
            [values[r : r + down, c : c + across].mean() for c in range(0, values.shape[1], across)]
            for r in range(0, values.shape[0], down)
        ]
    )


def fill_frame(name: str, width: int, height: int, planes: Sequence[np.ndarray]) -> av.VideoFrame:
    """A frame of a pixel format, its planes filled with (h, w) samples as they are stored."""
    frame = av.VideoFrame(width, height, name)
    for target, samples in zip(frame.planes, planes, strict=True):
        rows = np.frombuffer(memoryview(target), samples.dtype)
        rows = rows.reshape(-1, target.line_size // samples.itemsize)
        rows[: samples.shape[0], : samples.shape[1]] = samples
    return frame


def write_frames(
    path: Path, codec: str, frames: Sequence[av.VideoFrame], display: Sequence[int] = (),
    tags: tuple[int, int, int, int] | None = None, options: dict[str, str] | None = None,
) -> Path:  # fmt: skip
    """Encode frames; `display` and `tags` as in `make_clip`."""
    rate, first = Fraction(25), frames[0]
    with av.open(str(path), "w") as container:
        width, height = first.width, first.height
        stream = container.add_stream(codec, rate, width=width, height=height, time_base=1 / rate)
        context = stream.codec_context
        context.pix_fmt, context.options = first.format.name, options or {}
        if tags:
            context.color_primaries, context.color_trc, context.colorspace = tags[:3]
            context.color_range = tags[3]
        if display:
            a, b, c, d = (value << 16 for value in display)
            stream.set_display_matrix([a, b, 0, c, d, 0, 0, 0, 1 << 30])
        for number, frame in enumerate(frames):
            frame.pts, frame.time_base = number, 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
