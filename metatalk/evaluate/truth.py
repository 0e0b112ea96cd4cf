"""What is true in a synthetic clip, to hold a reconstruction against."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from metatalk.morphable.camera import Camera
from metatalk.morphable.coefficients import PersonCoefficients, TrackCoefficients
from metatalk.shapes import check_shape


@dataclass(frozen=True, eq=False)
class Truth:
    """What a clip was drawn from; row t belongs to video frame t."""

    person: PersonCoefficients
    track: TrackCoefficients
    camera: Camera
    albedo: Tensor  # (V, 3) RGB in [0, 1] as it was painted; nan where it is not told
    still: np.ndarray  # (T,) bool: the head does not move
    neutral: np.ndarray  # (T,) bool: no unit of the lower face is active

    def __post_init__(self) -> None:
        check_shape("albedo", self.albedo, "V 3")
        check_shape("still", self.still, "T", T=len(self.track))
        check_shape("neutral", self.neutral, "T", T=len(self.track))
