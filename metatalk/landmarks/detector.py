"""What a face detector is, and how the configured one is opened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from metatalk.landmarks.config import LandmarksConfig
from metatalk.shapes import check_shape


@dataclass(frozen=True, eq=False)
class Face:
    """One face in one picture."""

    points: np.ndarray  # (L, 3) float32: x, y in pixels, z in about pixels, smaller is nearer
    score: float  # 0..1, the detector's own opinion

    def __post_init__(self) -> None:
        check_shape("points", self.points, "L 3")

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of the landmarks, pixels."""
        left, top = self.points[:, :2].min(axis=0)
        right, bottom = self.points[:, :2].max(axis=0)
        return float(left), float(top), float(right), float(bottom)

    @property
    def area(self) -> float:
        """Area of the box, square pixels."""
        left, top, right, bottom = self.box
        return (right - left) * (bottom - top)


class Detector(Protocol):
    """Finds faces in the pictures of one clip, given in order."""

    layout: str  # name of the point layout, see points.py

    def detect(self, picture: np.ndarray) -> list[Face]:
        """Find the faces in an RGB picture, (H, W, 3) uint8; the largest comes first."""
        ...

    def reset(self) -> None:
        """Forget what earlier pictures showed: the next one is from elsewhere."""
        ...


def open_detector(config: LandmarksConfig) -> Detector:
    """Open the detector that a configuration names.

    Args:
        config: landmark settings.

    Returns:
        A detector that remembers the picture before; use one per clip.

    Raises:
        MissingAssetError: the detector's package or weights are not there.
    """
    if config.detector == "face-alignment":
        from metatalk.landmarks.alignment_detector import AlignmentDetector

        return AlignmentDetector(config)
    from metatalk.landmarks.mediapipe_detector import MediapipeDetector

    return MediapipeDetector(config)
