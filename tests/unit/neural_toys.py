"""Crops of a mouth that opens and closes, settings that train in a moment, and a place to look."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from metatalk.neural.batches import LowerFaceCrops, split_frames
from metatalk.neural.config import NeuralConfig
from metatalk.neural.recipe import Recipe
from metatalk.neural.samples import Samples
from metatalk.neural.training import SamplePools, TrainedRenderer, build_recipe, train_renderer

CPU = torch.device("cpu")
TINY = NeuralConfig(
    steps=12,
    batch=2,
    window_px=16,
    widths=(8, 8, 8, 8),
    discriminator_width=4,
    pix2pix_width=4,
    minutes=60,
)


def bar_mouth(frames: int = 40, size: int = 32) -> LowerFaceCrops:
    """A mouth, a dark bar on skin, that opens and closes; footage is its darker twin."""
    synthetic = np.full((frames, size, size, 3), 180, np.uint8)
    for frame in range(frames):
        synthetic[frame, 16 : 18 + frame % 8, 8:24] = 60
    mask = np.zeros((frames, size, size), np.uint8)
    mask[:, 8:28, 4:28] = 255
    return LowerFaceCrops((synthetic * 0.7).astype(np.uint8), synthetic, mask)


def bar_samples(crops: LowerFaceCrops, pairs: np.ndarray) -> Samples:
    """Texture for (M, 2) rows: filmed of the other frames' mouths, matched of the same mouth.

    The bars repeat after 8 frames: 3 frames on is another mouth, 8 frames on the same.
    """
    frames = len(crops.real)
    trusted = crops.mask[pairs][..., None]
    carried = lambda rows: np.concatenate(  # noqa: E731
        [crops.real[rows] * (trusted > 0), trusted], -1
    )
    rows = np.arange(crops.size, dtype=np.uint8)[:, None, None]
    geometry = np.broadcast_to(4 * rows, (*pairs.shape, crops.size, crops.size, 3))
    filmed, matched = carried((pairs + 3) % frames), carried((pairs + 8) % frames)
    return Samples(pairs, crops.synthetic[pairs], geometry, filmed, matched)


def bar_pools(crops: LowerFaceCrops, config: NeuralConfig) -> SamplePools:
    """Samples of all training frames with their next ones, and of all frames for trial."""
    rows = crops.usable()
    train, _ = split_frames(rows, config)
    learned = np.stack([train, np.append(train[1:], train[-1])], -1)
    trial = np.append(rows, rows[-1:])[: len(rows) + len(rows) % 2].reshape(-1, 2)
    return SamplePools(bar_samples(crops, learned), bar_samples(crops, trial))


def train_bars(
    crops: LowerFaceCrops, config: NeuralConfig, seed: int = 0, **how: Any
) -> TrainedRenderer:
    """Train on the processor, with samples."""
    return train_renderer(crops, config, CPU, seed, samples=bar_pools(crops, config), **how)


def bar_recipe(crops: LowerFaceCrops, config: NeuralConfig, seed: int = 0) -> Recipe:
    """The recipe that `config.network` names, with samples."""
    pools = bar_pools(crops, config)
    return build_recipe(crops, crops.usable(), config, CPU, seed, pools)


def through_a_file(state: dict[str, Any]) -> dict[str, Any]:
    """What is left of a training state after it was stored."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    loaded: dict[str, Any] = torch.load(buffer, weights_only=True)
    return loaded


class Audience:
    """Keeps what it is shown."""

    def __init__(self) -> None:
        self.began: list[int] = []
        self.figures: dict[str, list[tuple[int, float]]] = {}
        self.sheets: list[tuple[int, np.ndarray]] = []

    def begin(self, step: int, /) -> None:
        self.began.append(step)

    def show_figures(self, step: int, figures: Mapping[str, float], /) -> None:
        for name, value in figures.items():
            self.figures.setdefault(name, []).append((step, value))

    def show_sheet(self, step: int, sheet: np.ndarray, /) -> None:
        self.sheets.append((step, sheet))
