"""Decoded frames as planes of their own depth and sampling of chroma."""

from __future__ import annotations

import functools
import logging
import re
from dataclasses import replace

import numpy as np
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane
from av.video.reformatter import Interpolation, VideoReformatter

from metatalk.media.colour import BT601, BT709, FULL_RANGE, LIMITED_RANGE, ColourTags
from metatalk.media.conversion import convert_picture, replicate_chroma
from metatalk.media.picture import CHROMA_420, CHROMA_422, CHROMA_444, Picture
from metatalk.media.probe import colour_tags, orientation
from metatalk.media.ycc import Planes, Subsampling, rgb_to_planes, sample_type

log = logging.getLogger(__name__)
# Planar luma and chroma, with or without alpha behind them; FFmpeg has no 11, 13 and 15 bits.
_PLANAR = re.compile(r"yuv[aj]?4(10|11|20|22|40|44)p(9|10|12|14|16)?(le|be)?")
_PLANAR_RGB = re.compile(r"gbra?p(9|10|12|14|16)?(le|be)?")
_GREY = re.compile(r"gray(9|10|12|14|16)?(le|be)?")
_DEPTHS = (8, 10, 12, 14, 16)
_SCALE = Interpolation.AREA | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INP
_SWSCALE_BT709 = 1  # any: what is repacked or scaled keeps its matrix


def native_picture(
    frame: VideoFrame, index: int, pts: int, size: tuple[int, int], clip: str,
    reformatter: VideoReformatter,
) -> Picture:  # fmt: skip
    """The picture in a decoded frame, upright, at its own depth and sampling of chroma.

    Luma and chroma are kept sample by sample, however they are packed; 4:1:1 is replicated
    to 4:2:2, and 4:4:0, or 4:2:2 that is turned on its side, to 4:4:4, which averaging
    undoes. RGB, and grey without a stated range, become limited range with two bits more,
    so that rounding costs less than half a level. Transparency is dropped.

    Args:
        frame: decoded frame of any pixel format.
        index: its number in the clip.
        pts: its time in the clip's time base.
        size: columns and rows, as stored, that it is scaled to where it has others.
        clip: the clip's name for the log.
        reformatter: keeps its tables from frame to frame.
    """
    if any(component.is_alpha for component in frame.format.components):
        _say_alpha_is_dropped(clip, frame.format.name)
    colour = colour_tags(frame)
    if _is_rgb(frame.format):
        planes, bits = _from_rgb(frame, size, colour, reformatter)
        colour = _colour_of_rgb(colour, planes[0].shape[0])
    elif len([each for each in frame.format.components if not each.is_alpha]) == 1:
        planes, bits = _from_grey(frame, size, colour, reformatter)
    else:
        planes, bits = _from_ycc(frame, size, colour, reformatter)
    planes = _upright(planes, *orientation(frame))
    return Picture(index, pts, planes, colour, bits)


def _is_rgb(stored: VideoFormat) -> bool:
    return stored.is_rgb or stored.has_palette or stored.name.startswith("xyz")


def _colour_of_rgb(colour: ColourTags, lines: int) -> ColourTags:
    """RGB has no matrix and no range of its own to keep; it gets those that players assume."""
    return replace(colour, matrix=BT601 if lines < 720 else BT709, full_range=False)


def _from_ycc(
    frame: VideoFrame, size: tuple[int, int], colour: ColourTags, reformatter: VideoReformatter
) -> tuple[Planes, int]:
    stored = frame.format
    bits = _depth(stored)
    across, down = (
        _halvings(count) for count in (stored.chroma_width(64), stored.chroma_height(64))
    )
    if not _PLANAR.fullmatch(stored.name) or size != (frame.width, frame.height):
        across, down = min(across, 1), min(down, 1)
        sampling = {(1, 1): "20", (1, 0): "22", (0, 1): "40", (0, 0): "44"}[across, down]
        frame = _reformat(frame, size, f"yuv4{sampling}p", bits, colour, reformatter)
    luma, u, v = (_samples(plane, frame.format) for plane in frame.planes[:3])
    target = _coarsest((across, down))
    steps = across - target[0], down - target[1]
    u, v = (replicate_chroma(plane, steps, luma.shape, target) for plane in (u, v))
    return (luma, u, v), bits


def _from_grey(
    frame: VideoFrame, size: tuple[int, int], colour: ColourTags, reformatter: VideoReformatter
) -> tuple[Planes, int]:
    bits = _depth(frame.format)
    # FFmpeg, and so whoever plays it, takes grey that states no range for full range.
    stated = frame.color_range in (FULL_RANGE, LIMITED_RANGE)
    if not _GREY.fullmatch(frame.format.name) or size != (frame.width, frame.height):
        full = replace(colour, full_range=True)
        frame = _reformat(frame, size, "gray", bits, colour if stated else full, reformatter)
    luma = _samples(frame.planes[0], frame.format)
    if stated:
        middle = np.full(tuple(-(-side // 2) for side in luma.shape), 1 << (bits - 1), luma.dtype)
        return (luma, middle, middle), bits
    deeper = _deeper(bits)
    rgb = rgb_to_planes(luma, luma, luma, bits, replace(colour, full_range=False), deeper)
    return convert_picture(Picture(0, 0, rgb, colour, deeper), deeper, CHROMA_420).planes, deeper


def _from_rgb(
    frame: VideoFrame, size: tuple[int, int], colour: ColourTags, reformatter: VideoReformatter
) -> tuple[Planes, int]:
    bits = _depth(frame.format)
    if not _PLANAR_RGB.fullmatch(frame.format.name) or size != (frame.width, frame.height):
        full = replace(colour, full_range=True)
        frame = _reformat(frame, size, "gbrp", bits, full, reformatter)
    green, blue, red = (_samples(plane, frame.format) for plane in frame.planes[:3])
    tags, deeper = _colour_of_rgb(colour, frame.height), _deeper(bits)
    return rgb_to_planes(red, green, blue, bits, tags, deeper), deeper


def _depth(stored: VideoFormat) -> int:
    """Bits that hold a format's samples; floating point becomes 16."""
    bits = max(component.bits for component in stored.components)
    return bits if bits == 9 else next(depth for depth in _DEPTHS if depth >= min(bits, 16))


def _deeper(bits: int) -> int:
    """Two bits more, for rounding luma and chroma to err by less than half a level of RGB."""
    return next(depth for depth in _DEPTHS if depth >= min(bits + 2, 16))


def _halvings(samples: int) -> int:
    """Log2 of the columns that share a chroma sample, from the samples that 64 columns have."""
    return (64 // samples).bit_length() - 1


def _coarsest(stored: Subsampling) -> Subsampling:
    """The coarsest sampling of a picture that loses nothing of a stored one."""
    return next(
        kept
        for kept in (CHROMA_420, CHROMA_422, CHROMA_444)
        if kept[0] <= stored[0] and kept[1] <= stored[1]
    )


def _reformat(
    frame: VideoFrame, size: tuple[int, int], family: str, bits: int, colour: ColourTags,
    reformatter: VideoReformatter,
) -> VideoFrame:  # fmt: skip
    """Repack a frame into planes, and scale it where its size is another; levels stay."""
    name = family if bits == 8 else f"{family}{bits}le"
    if (frame.format.name, (frame.width, frame.height)) == (name, size):
        return frame
    matrix = None if _is_rgb(frame.format) else _SWSCALE_BT709
    extent = FULL_RANGE if colour.full_range else LIMITED_RANGE
    return reformatter.reformat(
        frame,
        *size,
        format=name,
        src_colorspace=matrix,
        dst_colorspace=matrix,
        src_color_range=extent,
        dst_color_range=extent,
        interpolation=_SCALE,
        threads=1,
    )


def _samples(plane: VideoPlane, stored: VideoFormat) -> np.ndarray:
    """(h, w) samples of one plane, in this machine's order of bytes."""
    bits = stored.components[0].bits
    kind = np.dtype("u1" if bits == 8 else ">u2" if stored.is_big_endian else "<u2")
    rows = np.frombuffer(memoryview(plane), kind).reshape(-1, plane.line_size // kind.itemsize)
    return rows[: plane.height, : plane.width].astype(sample_type(bits), copy=False)


def _upright(planes: Planes, turns: int, mirrored: bool) -> Planes:
    """Turn planes; chroma that is halved across only, and would be down only, is replicated."""
    luma, u, v = planes
    if turns % 2 and u.shape[0] == luma.shape[0] and u.shape[1] < luma.shape[1]:
        u, v = (replicate_chroma(plane, (1, 0), luma.shape, CHROMA_444) for plane in (u, v))
    luma, u, v = (turn_upright(plane, turns, mirrored) for plane in (luma, u, v))
    return luma, u, v


def turn_upright(samples: np.ndarray, turns: int, mirrored: bool) -> np.ndarray:
    """A copy of a plane, mirrored left-right and then turned clockwise by quarters."""
    if mirrored:
        samples = samples[:, ::-1]
    # The copy frees the decoder's buffer, and what follows wants contiguous rows.
    return np.rot90(samples, -turns).copy(order="C")


@functools.cache  # a clip is read several times in a run; once is enough
def _say_alpha_is_dropped(clip: str, pixel_format: str) -> None:
    log.warning("%s: its transparency (%s) is dropped, the result is opaque", clip, pixel_format)
