"""Pictures as frames that an encoder takes."""

from __future__ import annotations

import numpy as np
from av.video.frame import VideoFrame

from metatalk.errors import MediaError
from metatalk.media.colour import FULL_RANGE, LIMITED_RANGE
from metatalk.media.picture import CHROMA_420, CHROMA_422, CHROMA_444, Picture

_SAMPLING_NAMES = {CHROMA_420: "yuv420p", CHROMA_422: "yuv422p", CHROMA_444: "yuv444p"}
_DEPTH_NAMES = {8: "", 9: "9le", 10: "10le", 12: "12le", 14: "14le", 16: "16le"}


def pixel_format(picture: Picture) -> str:
    """FFmpeg's name for a picture's depth and sampling, such as "yuv422p10le".

    Raises:
        MediaError: there is none for 11, 13 or 15 bits.
    """
    if picture.bits not in _DEPTH_NAMES:
        raise MediaError(
            f"no frame has {picture.bits} bits", f"convert the picture to {picture.bits + 1} first"
        )
    return _SAMPLING_NAMES[picture.shift] + _DEPTH_NAMES[picture.bits]


def picture_to_frame(picture: Picture) -> VideoFrame:
    """Copy a picture into a frame of its own pixel format, with its colour tags.

    To encode it otherwise, convert it first: `convert_picture(picture, 10, CHROMA_422)`.

    Args:
        picture: any picture.

    Returns:
        A frame without a time.

    Raises:
        MediaError: FFmpeg has no such pixel format.
    """
    frame = VideoFrame(picture.width, picture.height, pixel_format(picture))
    for target, samples in zip(frame.planes, picture.planes, strict=True):
        rows = np.frombuffer(memoryview(target), samples.dtype)
        rows = rows.reshape(-1, target.line_size // samples.itemsize)
        rows[: samples.shape[0], : samples.shape[1]] = samples
    colour = picture.colour
    frame.color_primaries, frame.color_trc = colour.primaries, colour.transfer
    frame.colorspace = colour.matrix
    frame.color_range = FULL_RANGE if colour.full_range else LIMITED_RANGE
    return frame
