"""Small soft pictures of the face, cut out of the keyframes: all the joint pass looks at."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from metatalk.shapes import check_shape

SIDE_PX = 224
MARGIN = 1.25  # side of a window over that of the box around the landmarks
SOFT_PX = 1.5  # standard deviation of the blur: gradients then reach as far as misfits do


@dataclass(frozen=True, eq=False)
class FaceWindows:
    """Windows of N keyframes."""

    pictures: Tensor  # (N, 3, S, S) RGB in [0, 1]
    transforms: Tensor  # (N, 2, 3) frame px to window px

    def __post_init__(self) -> None:
        count = check_shape("pictures", self.pictures, "N 3 S S")["N"]
        check_shape("transforms", self.transforms, "N 2 3", N=count)

    def to(self, device: torch.device | str) -> FaceWindows:
        """The same on another device."""
        return FaceWindows(self.pictures.to(device), self.transforms.to(device))

    def place(self, pixels: Tensor) -> Tensor:
        """(N, K, 2) frame px to window px."""
        return pixels @ self.transforms[:, :, :2].mT + self.transforms[:, None, :, 2]

    def slopes(self) -> Tensor:
        """(N, 6, S, S) change of R, G and B by x, then by y, per window px."""
        down, across = torch.gradient(self.pictures, dim=(2, 3))
        return torch.cat((across, down), 1)


def cut_window(picture: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cut the face out of a frame, upright and at one size.

    Args:
        picture: (H, W, 3) uint8 RGB.
        points: (L, 2) landmarks, frame px.

    Returns:
        (3, S, S) float32 RGB in [0, 1], and the (2, 3) float32 transform frame px to window px.
    """
    low, high = points.min(0), points.max(0)
    scale = SIDE_PX / (MARGIN * float((high - low).max()))
    offset = SIDE_PX / 2 - scale * (low + high) / 2
    transform = np.concatenate((scale * np.eye(2), offset[:, None]), 1)
    by_centres = transform.copy()  # OpenCV has pixel centres at whole numbers
    by_centres[:, 2] += 0.5 * scale - 0.5
    window = _part(picture, low, high)
    by_centres[:, 2] += scale * window[1]
    fine = cv2.GaussianBlur(window[0], (0, 0), 0.5 / scale) if scale < 0.7 else window[0]
    cut = cv2.warpAffine(
        fine, by_centres, (SIDE_PX, SIDE_PX), flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    soft = cv2.GaussianBlur(cut.astype(np.float32) / 255.0, (0, 0), SOFT_PX)
    return soft.transpose(2, 0, 1), transform.astype(np.float32)


def _part(picture: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows and columns that a window can reach, and the (2,) pixel at their corner."""
    reach = float((high - low).max()) * MARGIN
    middle = (low + high) / 2
    size = np.array(picture.shape[1::-1])
    first = np.clip(np.floor(middle - reach), 0, size - 1).astype(int)
    end = np.clip(np.ceil(middle + reach), first + 1, size).astype(int)
    return picture[first[1] : end[1], first[0] : end[0]], first


def read_pixels(pictures: Tensor, pixels: Tensor) -> Tensor:
    """Read pictures between their pixels, bilinearly; the border goes on outside.

    Args:
        pictures: (N, C, H, W).
        pixels: (N, K, 2) x and y, pixel centres at half integers.

    Returns:
        (N, K, C).
    """
    height, width = pictures.shape[-2:]
    grid = 2.0 * pixels / pixels.new_tensor([width, height]) - 1.0
    read = torch.nn.functional.grid_sample(
        pictures, grid.unsqueeze(1), padding_mode="border", align_corners=False
    )
    return read.squeeze(2).mT
