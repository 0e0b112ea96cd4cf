"""Scores of generated lower faces against the footage, as trainings report them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass

import cv2
import numpy as np
from torch import nn

from metatalk.neural.infer import render_crops
from metatalk.neural.pictures import CropPictures
from metatalk.shapes import check_shape

DEFINITION_DB = 1.5  # what half, or twice, the footage's definition counts against a picture
AT_A_TIME = 8  # frames in memory

_SSIM_WINDOW, _SSIM_SIGMA = (11, 11), 1.5
_SSIM_C1, _SSIM_C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2

Reader = Callable[[np.ndarray], CropPictures]  # rows of the crops to what the network looks at


@dataclass(frozen=True)
class RenderScore:
    """Means over frames, inside the mask."""

    psnr_db: float
    l1: float  # mean absolute error, RGB in [0, 1]
    ssim: float
    sharpness_ratio: float  # median over frames; 1 is the footage's own

    def merit_db(self) -> float:
        """One number to choose weights by: likeness, less what definition is off.

        The PSNR alone would choose the blurred pictures from before the discriminator joined.
        """
        return self.psnr_db - DEFINITION_DB * abs(math.log2(max(self.sharpness_ratio, 1e-3)))

    def as_metrics(self, prefix: str) -> dict[str, float]:
        """The same numbers by name, for a manifest."""
        return {f"{prefix}_{name}": value for name, value in asdict(self).items()}


def measure_sharpness(picture: np.ndarray, mask: np.ndarray) -> float:
    """Measure definition as the variance of the Laplacian.

    Args:
        picture: (H, W, 3) uint8 RGB.
        mask: (H, W) bool.

    Returns:
        The variance over the mask's pixels, in squared grey levels; 0 for an empty mask.
    """
    detail = cv2.Laplacian(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.CV_32F)[mask]
    return float(detail.var()) if detail.size else 0.0


def measure_structure(made: np.ndarray, real: np.ndarray, mask: np.ndarray) -> float:
    """Measure the structural similarity of the brightness, averaged under a mask.

    Args:
        made: (H, W, 3) uint8 RGB.
        real: (H, W, 3) uint8 RGB.
        mask: (H, W) bool, true somewhere.

    Returns:
        1 for equal pictures.

    Source: Wang et al. 2004, eq. 13, with a Gaussian window of 11 pixels and sigma 1.5.
    """
    x, y = (cv2.cvtColor(part, cv2.COLOR_RGB2GRAY).astype(np.float32) for part in (real, made))
    mean_x, mean_y = _smooth(x), _smooth(y)
    variances = _smooth(x * x) - mean_x**2 + _smooth(y * y) - mean_y**2
    covariance = _smooth(x * y) - mean_x * mean_y
    above = (2 * mean_x * mean_y + _SSIM_C1) * (2 * covariance + _SSIM_C2)
    below = (mean_x**2 + mean_y**2 + _SSIM_C1) * (variances + _SSIM_C2)
    return float((above / below)[mask].mean())


def _smooth(values: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(values, _SSIM_WINDOW, _SSIM_SIGMA)


def score_pictures(made: np.ndarray, real: np.ndarray, mask: np.ndarray) -> RenderScore:
    """Score generated pictures.

    Args:
        made: (B, H, W, 3) float32 RGB in [0, 1].
        real: (B, H, W, 3) uint8 RGB.
        mask: (B, H, W) uint8, 255 where the lower face was generated.

    Returns:
        The scores; frames with an empty mask do not count.
    """
    sizes = check_shape("made", made, "B H W 3")
    check_shape("real", real, "B H W 3", **sizes)
    check_shape("mask", mask, "B H W", **sizes)
    return _summarise(_score_frames(made, real, mask))


def _score_frames(
    made: np.ndarray, real: np.ndarray, mask: np.ndarray
) -> list[tuple[float, float, float, float]]:
    """PSNR, L1, SSIM and sharpness ratio of each frame whose mask is not empty."""
    scores = []
    for picture, truth, inside in zip(made, np.ascontiguousarray(real), mask > 127, strict=True):
        if not inside.any():
            continue
        error = (picture - truth.astype(np.float32) / 255)[inside]
        psnr = -10 * np.log10(max(float(np.square(error).mean()), 1e-10))
        stored = np.round(picture * 255).clip(0, 255).astype(np.uint8)
        sharp = measure_sharpness(stored, inside) / max(measure_sharpness(truth, inside), 1e-6)
        alike = measure_structure(stored, truth, inside)
        scores.append((float(psnr), float(np.abs(error).mean()), alike, sharp))
    return scores


def _summarise(scores: list[tuple[float, float, float, float]]) -> RenderScore:
    if not scores:
        return RenderScore(0.0, 0.0, 0.0, 0.0)
    psnr, l1, alike, sharpness = (np.array(part) for part in zip(*scores, strict=True))
    means = [float(part.mean()) for part in (psnr, l1, alike)]
    return RenderScore(means[0], means[1], means[2], float(np.median(sharpness)))


def score_generator(
    generator: nn.Module, read: Reader, rows: np.ndarray, most: int = 64
) -> RenderScore:
    """Render some frames and score them.

    Args:
        generator: see `prepare_for_rendering`.
        read: gives what the network looks at, such as `Recipe.pictures`.
        rows: (N,) rows of the crops.
        most: at most so many of them are rendered, evenly spread.

    Returns:
        The scores.
    """
    chosen, scores = spread_frames(rows, most), []
    for start in range(0, len(chosen), AT_A_TIME):
        pictures = read(chosen[start : start + AT_A_TIME])
        made = render_crops(generator, pictures, AT_A_TIME).picture
        scores += _score_frames(made, pictures.real, pictures.mask)
    return _summarise(scores)


def spread_frames(frames: np.ndarray, most: int) -> np.ndarray:
    """Choose at most `most` of the frames, evenly spread, first and last among them."""
    if len(frames) <= most:
        return frames
    return frames[np.linspace(0, len(frames) - 1, most).round().astype(int)]
