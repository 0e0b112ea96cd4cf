"""A small film for the eye, made while its pictures go by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from metatalk import __version__
from metatalk.media.colour import ColourTags
from metatalk.media.picture import Picture
from metatalk.media.writer import VideoWriter

LONGER_SIDE_PX = 360


def keep_preview(
    pictures: Iterable[np.ndarray], path: Path, size: tuple[int, int], rate: Fraction, sound: Path
) -> Iterator[np.ndarray]:
    """Hand pictures on and write them into a small video on the way.

    Args:
        pictures: (H, W, 3) uint8 RGB.
        path: the .mp4 to write; it appears once the pictures have ended.
        size: their width and height.
        rate: frames a second.
        sound: the recording to be heard.

    Yields:
        The pictures as they came.
    """
    scale = min(1.0, LONGER_SIDE_PX / max(size))
    width, height = (max(2, 2 * round(side * scale / 2)) for side in size)
    colour = ColourTags()
    tags = {"comment": f"synthetic: the mouth was generated with metatalk {__version__}"}
    writing = VideoWriter(
        path, width, height, rate, 1 / rate, colour, crf=23, audio=sound, metadata=tags
    )
    with writing as writer:
        for number, picture in enumerate(pictures):
            small = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
            writer.write(as_picture(small, number, number, colour), number)
            yield picture


def as_picture(rgb: np.ndarray, index: int, pts: int, colour: ColourTags) -> Picture:
    """Make a picture of RGB, for a film that has no footage behind it.

    Args:
        rgb: (H, W, 3) uint8, both sides even.
        index: the frame's number.
        pts: its time, in the film's time base.
        colour: the film's tags.

    Returns:
        The picture.
    """
    height, width = rgb.shape[:2]
    luma = np.zeros((height, width), np.uint8)
    chroma = np.zeros((height // 2, width // 2), np.uint8)
    blank = Picture(index, pts, (luma, chroma, chroma), colour)
    everywhere = np.ones((height, width), np.float32)
    return blank.with_patch(rgb.astype(np.float32) / 255, everywhere, 0, 0)
