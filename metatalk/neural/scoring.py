"""Scores of generated lower faces against the footage, as trainings report them."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import cv2
import numpy as np

from metatalk.neural.batches import LowerFaceCrops
from metatalk.neural.generator import Generator
from metatalk.neural.infer import render_lower
from metatalk.shapes import check_shape


@dataclass(frozen=True)
class RenderScore:
    """Means over frames, inside the mask."""

    psnr_db: float
    l1: float  # mean absolute error, RGB in [0, 1]
    sharpness_ratio: float  # median over frames; 1 is the footage's own

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
    psnr, l1, sharpness = [], [], []
    for picture, truth, inside in zip(made, real, mask > 127, strict=True):
        if not inside.any():
            continue
        error = (picture - truth.astype(np.float32) / 255)[inside]
        psnr.append(-10 * np.log10(max(float(np.square(error).mean()), 1e-10)))
        l1.append(float(np.abs(error).mean()))
        stored = np.round(picture * 255).clip(0, 255).astype(np.uint8)
        sharp = max(measure_sharpness(np.ascontiguousarray(truth), inside), 1e-6)
        sharpness.append(measure_sharpness(stored, inside) / sharp)
    if not psnr:
        return RenderScore(0.0, 0.0, 0.0)
    return RenderScore(float(np.mean(psnr)), float(np.mean(l1)), float(np.median(sharpness)))


def score_generator(
    generator: Generator, crops: LowerFaceCrops, frames: np.ndarray, most: int = 64
) -> RenderScore:
    """Render some frames and score them.

    Args:
        generator: see `prepare_for_rendering`.
        crops: the clip.
        frames: (N,) frame numbers.
        most: at most so many of them are rendered, evenly spread.

    Returns:
        The scores.
    """
    chosen = spread_frames(frames, most)
    real, mask = crops.real[chosen], crops.mask[chosen]
    return score_pictures(render_lower(generator, crops.synthetic[chosen], real, mask), real, mask)


def spread_frames(frames: np.ndarray, most: int) -> np.ndarray:
    """Choose at most `most` of the frames, evenly spread, first and last among them."""
    if len(frames) <= most:
        return frames
    return frames[np.linspace(0, len(frames) - 1, most).round().astype(int)]
