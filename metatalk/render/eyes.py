"""Where a head's eyes lie in a picture, and how much of the picture around them is theirs.

An eye is told by its middle and two half axes on the resting head: along the corners of the
lids, and down. Carried by the head's pose they give each picture a frame of its own for each
eye, in which every picture of this head shows the same skin at the same place: so a pixel is
carried from one picture to another by going through the eye's frame. Lids are not followed: it
is their movement that is carried.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from metatalk.landmarks.points import point_groups
from metatalk.morphable.camera import Camera
from metatalk.morphable.coefficients import TrackCoefficients
from metatalk.morphable.pose import transform_points
from metatalk.render.rasterize import Box
from metatalk.render.scene import Scene
from metatalk.shapes import check_shape

# Half an eye's window: along the corners, in half widths of the eye, and up and down. Up, it goes
# as far as this share of the way to the brow's upper edge: the brow itself stays.
ALONG, TO_BROW, DOWN = 1.55, 0.66, 0.85
ROUND = 2.6  # the outline's exponent: 2 is an ellipse, more is squarer
CORNERED = 1.25  # how far such an outline reaches beyond an ellipse, at most


@dataclass(frozen=True, eq=False)
class EyeShape:
    """A person's eyes on their resting head, mm in the model's frame; the right eye first."""

    middle: Tensor  # (2, 3)
    along: Tensor  # (2, 3) from the middle to the corner on the picture's right
    down: Tensor  # (2, 3) as long as `along`, in the plane of the eye
    up: tuple[float, float]  # how far up the window goes, in lengths of `down`

    def __post_init__(self) -> None:
        for name in ("middle", "along", "down"):
            check_shape(name, getattr(self, name), "N 3", N=2)


@dataclass(frozen=True, eq=False)
class EyePlaces:
    """The eyes in B pictures."""

    middle: np.ndarray  # (B, 2, 2) px of the picture
    axes: np.ndarray  # (B, 2, 2, 2) px: columns are the half axis along, and the one down
    up: tuple[float, float]  # see `EyeShape`

    def __post_init__(self) -> None:
        batch = check_shape("middle", self.middle, "B N M", N=2, M=2)["B"]
        check_shape("axes", self.axes, "B N M K", B=batch, N=2, M=2, K=2)

    def __len__(self) -> int:
        return len(self.middle)

    def take(self, rows: np.ndarray | slice | list[int]) -> EyePlaces:
        """Some of the pictures."""
        return EyePlaces(self.middle[rows], self.axes[rows], self.up)

    def box(self, row: int, width: int, height: int, wider: float = 1.0) -> Box | None:
        """Find what holds both eyes' windows in a picture.

        Args:
            row: which picture.
            width: of the picture, px.
            height: of the picture, px.
            wider: how much wider than the windows.

        Returns:
            left, top, right, bottom in px; None where none of it lies in the picture, or a
            place is not known.
        """
        angles = np.linspace(0, 2 * np.pi, 16, endpoint=False)
        rim = np.stack([np.cos(angles) * ALONG, np.sin(angles)]) * wider * CORNERED
        places = []
        for eye in range(2):
            high = rim[1] * np.where(rim[1] < 0, self.up[eye], DOWN)
            shape = self.axes[row, eye] @ np.stack([rim[0], high])
            places.append(self.middle[row, eye][:, None] + shape)
        seen = np.concatenate(places, 1)
        if not np.isfinite(seen).all():
            return None
        low, high = np.floor(seen.min(1)), np.ceil(seen.max(1))
        left, top = (int(max(value, 0)) for value in low)
        right, bottom = int(min(high[0], width)), int(min(high[1], height))
        return (left, top, right, bottom) if left < right and top < bottom else None


def eye_shape(scene: Scene) -> EyeShape | None:
    """Find the eyes of an actor's resting head.

    Args:
        scene: the actor.

    Returns:
        The eyes; None where the face model does not know its landmarks.
    """
    model = scene.model
    if not model.landmark_layout:
        return None
    groups = point_groups(model.landmark_layout)
    corners = model.triangles[model.landmark_triangles]
    points = (scene.neutral[corners] * model.landmark_weights[..., None]).sum(1)  # (L, 3)
    middle, along, down, up = [], [], [], []
    for ring, brow in (
        (groups.right_eye, groups.right_brow),
        (groups.left_eye, groups.left_brow),
    ):
        first, second = points[ring[0]], points[ring[len(ring) // 2]]
        side = (second - first) / 2
        centre = points[list(ring)].mean(0)
        centre = first + side + _across(centre - first - side, side)
        towards = _across(points[list(brow)].mean(0) - centre, side)
        distance = float(towards.norm())
        middle.append(centre)
        along.append(side)
        down.append(-towards / distance * side.norm())
        up.append(TO_BROW * distance / float(side.norm()))
    return EyeShape(torch.stack(middle), torch.stack(along), torch.stack(down), (up[0], up[1]))


def place_eyes(shape: EyeShape, camera: Camera, track: TrackCoefficients) -> EyePlaces:
    """Find the eyes in pictures.

    Args:
        shape: the person's eyes.
        camera: that filmed them.
        track: (B) their head.

    Returns:
        The places, NaN in pictures without a face.
    """
    tips = torch.stack([shape.middle, shape.middle + shape.along, shape.middle + shape.down], 1)
    tips = tips.reshape(1, 6, 3).expand(len(track), -1, -1)
    seen = camera.project(transform_points(tips, track.rotation, track.translation))
    seen[~track.has_face] = torch.nan
    points = seen.numpy().astype(np.float64).reshape(-1, 2, 3, 2)
    axes = np.stack([points[:, :, 1] - points[:, :, 0], points[:, :, 2] - points[:, :, 0]], -1)
    return EyePlaces(points[:, :, 0], axes, shape.up)


def carry_eye(new: EyePlaces, old: EyePlaces, eye: int) -> np.ndarray:
    """Find where in an old picture a new one's pixels around an eye lie.

    Args:
        new: (1) the eyes in the new picture.
        old: (1) the eyes in the old one.
        eye: 0 for the person's right eye, 1 for the left.

    Returns:
        (2, 3) float64: old px = affine @ [x, y, 1] of the new, pixel centres at half integers.
    """
    linear = old.axes[0, eye] @ _inverse(new.axes[0, eye])
    return np.column_stack([linear, old.middle[0, eye] - linear @ new.middle[0, eye]])


def eye_distance(places: EyePlaces, row: int, eye: int, box: Box) -> np.ndarray:
    """Measure how far pixels are from an eye, in its own terms.

    Args:
        places: the eyes.
        row: which picture.
        eye: 0 for the person's right eye, 1 for the left.
        box: the pixels: left, top, right, bottom.

    Returns:
        (h, w) float32: 0 at the eye's middle, 1 on its window's outline.
    """
    left, top, right, bottom = box
    inverse = _inverse(places.axes[row, eye])
    x = np.arange(left, right) + 0.5 - places.middle[row, eye, 0]
    y = np.arange(top, bottom)[:, None] + 0.5 - places.middle[row, eye, 1]
    along = (inverse[0, 0] * x + inverse[0, 1] * y) / ALONG
    down = inverse[1, 0] * x + inverse[1, 1] * y
    down = down / np.where(down < 0, places.up[eye], DOWN)
    distance = (np.abs(along) ** ROUND + np.abs(down) ** ROUND) ** (1 / ROUND)
    return distance.astype(np.float32)


def _across(vector: Tensor, axis: Tensor) -> Tensor:
    """The part of a vector that is square to an axis."""
    return vector - (vector @ axis) / (axis @ axis) * axis


def _inverse(matrix: np.ndarray) -> np.ndarray:
    """(2, 2) written out: LAPACK would wake a thread for each core."""
    (a, b), (c, d) = matrix
    inverse: np.ndarray = np.array([[d, -b], [-c, a]]) / (a * d - b * c)
    return inverse
