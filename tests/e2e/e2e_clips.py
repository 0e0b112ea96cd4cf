"""Clips written for the end-to-end tests."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from metatalk.config import load_config
from metatalk.media.audio import Sound, write_wav
from metatalk.media.colour import ColourTags
from metatalk.media.picture import Picture
from metatalk.media.writer import VideoWriter
from metatalk.stages.drive_order import DriveOrder
from metatalk.stages.drive_preparation import Drive, prepare_drive

RATE = 25
FIRST_FRAME = 40  # the presenter says nothing before
CLIP_S = 3


def write_clip(
    path: Path, pictures: Iterable[Picture], sound: Sound | None, rate: Fraction = Fraction(RATE)
) -> Path:
    """Encode pictures, with sound where given."""
    recording = None
    if sound is not None:
        recording = path.with_suffix(".wav")
        write_wav(recording, sound)
    pictures = list(pictures)
    first = pictures[0]
    with VideoWriter(
        path, first.width, first.height, rate, 1 / rate, first.colour, audio=recording
    ) as writer:
        for number, picture in enumerate(pictures):
            writer.write(picture, number)
    return path


def grey_picture(number: int, size: int = 128) -> Picture:
    """A picture that shows nobody."""
    chance = np.random.default_rng(number)
    luma = chance.integers(100, 110, (size, size), dtype=np.uint8)
    chroma = np.full((size // 2, size // 2), 128, np.uint8)
    return Picture(number, number, (luma, chroma, chroma), ColourTags())


def prepare(actor: Path, scratch: Path, audio: Path | None = None, **more: Any) -> Drive:
    """All that `drive` does before the first frame, on the tiny settings."""
    order = DriveOrder(actor, scratch / "result.mp4", audio, **more)
    return prepare_drive(order, load_config("tiny"), scratch)
