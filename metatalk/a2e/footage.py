"""What is learned from: an actor's sound and mouth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from metatalk.a2e.losses import MouthWeights
from metatalk.shapes import check_shape


@dataclass(frozen=True, eq=False)
class Footage:
    """The actor's sound and mouth, frame by frame."""

    samples: np.ndarray  # (S,) speech at 16 kHz; sample 0 is at the time of frame 0
    frame_seconds: np.ndarray  # (T,) increasing
    mouth: np.ndarray  # (T, K) standardised mouth coordinates
    has_face: np.ndarray  # (T,) bool
    shots: Sequence[tuple[int, int]] | np.ndarray  # (N, 2) first frame and one past the last
    scale: np.ndarray | None = None  # (K,) weight of each coordinate, such as its millimetres
    lips: np.ndarray | None = None  # (3, K) mm of gap, width, protrusion per coordinate
    gap_mm: float = 0.0  # of the lips at the mouth space's mean; 0 where they touch
    begins_s: tuple[float, ...] = ()  # of several pieces on one clock, the actor's own clip last

    def __post_init__(self) -> None:
        check_shape("samples", self.samples, "S")
        sizes = check_shape("mouth", self.mouth, "T K")
        check_shape("frame_seconds", self.frame_seconds, "T", **sizes)
        check_shape("has_face", self.has_face, "T", **sizes)
        if self.scale is not None:
            check_shape("scale", self.scale, "K", **sizes)
        if self.lips is not None:
            check_shape("lips", self.lips, "3 K", **sizes)

    def weights(self) -> MouthWeights:
        """How visible an error of one deviation is in each coordinate, and at the lips."""
        scale = np.ones(self.mouth.shape[1]) if self.scale is None else self.scale
        coordinates = torch.tensor(scale / scale.mean(), dtype=torch.float32)
        lips = None if self.lips is None else torch.tensor(self.lips, dtype=torch.float32)
        return MouthWeights(coordinates, lips, self.gap_mm)
