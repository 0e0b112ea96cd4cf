"""Takes of the toy head."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import torch
from face_toys import CAMERA, UNITS, toy_track

from metatalk.interchange.take import Take, number_shots
from metatalk.morphable.coefficients import PersonCoefficients
from metatalk.timing import FrameIndex

PERSON = PersonCoefficients(torch.tensor([0.5, -1.0, 0.8]), torch.full((6,), 0.4))
NTSC = Fraction(30000, 1001)


def toy_index(frames: int, rate: Fraction = Fraction(25)) -> FrameIndex:
    """Constant frames on the clock that containers use."""
    ticks = 1000 * rate.denominator  # of a clock of 1 / (1000 * numerator) seconds
    return FrameIndex(np.arange(frames) * ticks, Fraction(1, 1000 * rate.numerator), rate)


def toy_take(frames: int = 10, cut: int | None = None, rate: Fraction = Fraction(25)) -> Take:
    """A head that turns and makes faces, in one shot or in two."""
    shots = [(0, frames)] if cut is None else [(0, cut), (cut, frames)]
    numbers = number_shots(shots, frames)
    return Take(UNITS, toy_track(frames), toy_index(frames, rate), numbers, CAMERA)
