"""Decoded frames to upright pictures: 8-bit 4:2:0, or of their own depth and sampling."""

from __future__ import annotations

import functools
import logging
from dataclasses import replace

import numpy as np
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane
from av.video.reformatter import Interpolation, VideoReformatter

from metatalk.media.colour import BT601, BT709, FULL_RANGE, LIMITED_RANGE, ColourTags
from metatalk.media.conversion import convert_picture
from metatalk.media.decode import AnyPath
from metatalk.media.native import native_picture, turn_upright
from metatalk.media.picture import Picture, Subsampling
from metatalk.media.probe import VideoInfo, colour_tags, orientation

log = logging.getLogger(__name__)
_REDUCE = Interpolation.AREA | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INP
_RGB_MATRIX = 0
# swscale's numbers of the matrices, by their number in H.273
_SWSCALE_MATRIX = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}


class PictureMaker:
    """Makes a clip's decoded frames into pictures of one size, depth and sampling of chroma.

    8-bit 4:2:0 is passed through bit by bit (turning moves samples, it does not change
    them); anything else is reduced to it, in the same matrix and range, or with `native`
    kept as it is (see `native_picture`). RGB becomes BT.601 below 720 lines and BT.709 from
    there on, limited range. A frame of another size than the first (a stream may change its
    size midway) is scaled to that.

    Args:
        clip: the clip's name for the log.
        native: keep depth and sampling, for a result; 8-bit 4:2:0 is what analysis sees.
    """

    def __init__(self, clip: AnyPath, native: bool = False) -> None:
        self._clip, self._native = str(clip), native
        self._reformatter = VideoReformatter()
        self._size: tuple[int, int] | None = None
        self._kind: tuple[int, Subsampling] | None = None

    def make(self, frame: VideoFrame, index: int, pts: int) -> Picture:
        """The picture in a decoded frame, upright.

        Args:
            frame: decoded frame of any pixel format.
            index: its number in the clip.
            pts: its time in the clip's time base.
        """
        size = self._settle_size(frame, index)
        if self._native:
            made = native_picture(frame, index, pts, size, self._clip, self._reformatter)
            self._kind = self._kind or (made.bits, made.shift)
            return convert_picture(made, *self._kind)
        colour = colour_tags(frame)
        turned = orientation(frame)
        if frame.format.name not in ("yuv420p", "yuvj420p") or size != (frame.width, frame.height):
            frame, colour = self._reduce(frame, colour, size)
        y, u, v = (turn_upright(_samples(plane), *turned) for plane in frame.planes[:3])
        return Picture(index, pts, (y, u, v), colour)

    def _settle_size(self, frame: VideoFrame, index: int) -> tuple[int, int]:
        size = frame.width, frame.height
        if self._size is None:
            self._size = size
        elif self._size != size:
            log.debug("frame %d: %dx%d is scaled to the first frame's size", index, *size)
        return self._size

    def _reduce(
        self, frame: VideoFrame, colour: ColourTags, size: tuple[int, int]
    ) -> tuple[VideoFrame, ColourTags]:
        fallback = BT601 if frame.height < 720 else BT709
        is_rgb = frame.format.is_rgb or colour.matrix == _RGB_MATRIX
        if is_rgb:  # it has no matrix of its own to keep
            colour = replace(colour, matrix=fallback, full_range=False)
        matrix = _SWSCALE_MATRIX.get(colour.matrix, _SWSCALE_MATRIX[fallback])
        colour_range = FULL_RANGE if colour.full_range else LIMITED_RANGE
        reduced = self._reformatter.reformat(
            frame,
            *size,
            format="yuv420p",
            src_colorspace=None if is_rgb else matrix,
            dst_colorspace=matrix,
            src_color_range=FULL_RANGE if is_rgb else colour_range,
            dst_color_range=colour_range,
            interpolation=_REDUCE,
            threads=1,
        )
        return reduced, colour


def say_if_reduced(info: VideoInfo) -> None:
    """Warn, once, that a result keeps less colour than its clip has.

    For a result made of 8-bit 4:2:0 pictures; with `native` nothing is reduced.

    Args:
        info: the clip.
    """
    stored = VideoFormat(info.pixel_format)
    if _has_finer_chroma(stored, info.width, info.height):
        _say_chroma_is_reduced(str(info.path), info.pixel_format)


def _has_finer_chroma(stored: VideoFormat, width: int, height: int) -> bool:
    """Whether there are more colour samples than one to every two by two pixels."""
    if stored.is_rgb or stored.has_palette:
        return True
    if len(stored.components) < 3:  # grey, with or without alpha
        return False
    finer_across = stored.chroma_width(width) > (width + 1) // 2
    return finer_across or stored.chroma_height(height) > (height + 1) // 2


@functools.cache  # a clip is read several times in a run; once is enough
def _say_chroma_is_reduced(clip: str, pixel_format: str) -> None:
    log.warning(
        "%s: its colour (%s) is finer than 4:2:0 and is reduced to it, outside the mask too",
        clip,
        pixel_format,
    )


def _samples(plane: VideoPlane) -> np.ndarray:
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    return rows[: plane.height, : plane.width]
