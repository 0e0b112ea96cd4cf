"""The pinhole camera."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from metatalk.errors import ShapeError
from metatalk.shapes import check_shape

NEAR_MM = 1.0  # points nearer than this are projected as if they lay at it


@dataclass(frozen=True)
class Camera:
    """A pinhole whose axis meets the middle of the picture."""

    focal_px: float
    width: int
    height: int

    def __post_init__(self) -> None:
        if not (math.isfinite(self.focal_px) and self.focal_px > 0):
            raise ShapeError(f"focal_px is {self.focal_px}, not a positive number")
        if self.width < 1 or self.height < 1:
            raise ShapeError(f"a picture of {self.width}x{self.height} has no pixels")

    def project(self, points: Tensor) -> Tensor:
        """Project camera-frame points into the picture.

        Args:
            points: (..., 3) millimetres, camera frame.

        Returns:
            (..., 2) pixels, continuous, pixel centres at half integers.

        Raises:
            ShapeError: the last axis is not 3.

        >>> Camera(100.0, 64, 48).project(torch.tensor([0.0, 0.0, 500.0]))
        tensor([32., 24.])
        """
        return project(points, torch.as_tensor(self.focal_px), self.width, self.height)


def project(points: Tensor, focal_px: Tensor, width: int, height: int) -> Tensor:
    """Project with a focal length that may carry a gradient; see `Camera.project`.

    Args:
        points: (..., 3) millimetres, camera frame.
        focal_px: () pixels.
        width: of the picture, pixels.
        height: of the picture, pixels.

    Returns:
        (..., 2) pixels.

    Raises:
        ShapeError: the last axis is not 3.
    """
    check_shape("points", points, "... 3")
    centre = points.new_tensor([width / 2, height / 2])
    return focal_px * points[..., :2] / points[..., 2:].clamp_min(NEAR_MM) + centre
