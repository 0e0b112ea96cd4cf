"""The law of the renderer: the mouth follows the expression, not the clip.

Toy footage whose surroundings tell every frame from every other, so that its mouths could be
learned by heart; then the synthetic faces change places and the surroundings stay.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from neural_toys import CPU, TINY, bar_mouth

from metatalk.neural.batches import LowerFaceCrops
from metatalk.neural.config import NeuralConfig
from metatalk.neural.infer import prepare_for_rendering, render_crops
from metatalk.neural.pictures import CropPictures
from metatalk.neural.recipe import Moment
from metatalk.neural.samples import Samples
from metatalk.neural.training import SamplePools, build_recipe

FRAMES, SIZE, PERIOD = 40, 32, 8
ROWS = np.arange(FRAMES)
OTHERS = (ROWS + PERIOD // 2) % FRAMES  # each frame gets a mouth four rows taller or smaller
MOUTH = np.s_[:, 16:25, 8:24]  # where mouths differ
QUICK = replace(
    TINY,
    window_px=SIZE,
    batch=4,
    held_out=0.0,
    learning_rate=3e-3,
    adversarial_start=1.0,
    ema_decay=0.9,
    steps=200,
)
CARRIED = replace(QUICK, network="carried")
PIX2PIX = replace(QUICK, network="pix2pix", pix2pix_width=8, steps=400)


@dataclass(frozen=True, eq=False)
class Shown:
    """All frames as filmed, as rendered, and as rendered with another frame's expression."""

    real: np.ndarray
    own: np.ndarray
    moved: np.ndarray
    mask: np.ndarray

    def error(self, made: np.ndarray, rows: np.ndarray = ROWS) -> float:
        """Mean absolute error about the mouth against the footage of some rows."""
        return float(np.abs(made - self.real[rows])[MOUTH].mean())

    def obeys(self) -> bool:
        """Whether the mouth is that of the expression, whatever surrounds it."""
        own, follows = self.error(self.own), self.error(self.moved, OTHERS)
        return max(own, follows) < self.error(self.moved) / 3


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def crops() -> LowerFaceCrops:
    """A mouth in surroundings that have another colour in every frame."""
    bars = bar_mouth(FRAMES, SIZE)
    colours = np.random.default_rng(0).integers(40, 200, (FRAMES, 1, 1, 3), np.uint8)
    real = np.where(bars.mask[..., None] > 0, bars.real, colours)
    return replace(bars, real=real)


def carry(crops: LowerFaceCrops, pairs: np.ndarray, like: bool, seed: int) -> Samples:
    """Texture of frames chosen by chance that have another mouth, or as `like`, the same."""
    chance = np.random.default_rng(seed)
    trusted = crops.mask[pairs][..., None]

    def carried(offset: np.ndarray | int) -> np.ndarray:
        rows = pairs + offset + PERIOD * chance.integers(1, 4, pairs.shape)
        return np.concatenate([crops.real[rows % FRAMES] * (trusted > 0), trusted], -1)

    other = chance.integers(1, PERIOD, (2, *pairs.shape))
    return Samples(
        pairs,
        crops.synthetic[pairs],
        np.zeros((*pairs.shape, SIZE, SIZE, 3), np.uint8),
        carried(other[0]),
        carried(0 if like else other[1]),
    )


def train(
    crops: LowerFaceCrops, config: NeuralConfig, like: bool
) -> tuple[torch.nn.Module, CropPictures]:
    """Learn all frames; the network, and what it sees of them."""
    pairs = np.stack([ROWS, np.append(ROWS[1:], ROWS[-1])], -1)
    learned = carry(crops, np.concatenate([pairs] * PERIOD), like, 1)
    pools = SamplePools(learned, carry(crops, ROWS.reshape(-1, 2), like, 2))
    recipe = build_recipe(crops, ROWS, config, CPU, 0, pools)
    for step in range(config.steps):
        recipe.train_step(recipe.draw(step, recipe.batch), Moment(step, step / config.steps))
    return prepare_for_rendering(recipe.average, CPU), recipe.pictures(ROWS)


def show(crops: LowerFaceCrops, config: NeuralConfig, like: bool = False) -> Shown:
    """Train, and render twice: what the expression determines changes places, nothing else."""
    network, seen = train(crops, config, like)
    stack, match = seen.neighbours, seen.matched
    moved = replace(
        seen,
        synthetic=seen.synthetic[OTHERS],
        neighbours=None if stack is None else stack[OTHERS],
        matched=match[OTHERS] if like and match is not None else match,
    )
    np.testing.assert_array_equal(moved.real, crops.real)  # surroundings are as they were
    np.testing.assert_array_equal(moved.mask, crops.mask)
    pictures = [render_crops(network, given).picture for given in (seen, moved)]
    return Shown(crops.real.astype(np.float32) / 255, *pictures, crops.mask > 0)


@pytest.mark.parametrize(
    ("config", "like"),
    [(CARRIED, False), (CARRIED, True), (replace(CARRIED, carried=False), False), (PIX2PIX, False)],
    ids=["misleading texture", "texture matched", "without texture", "pix2pix"],
)
def test_the_mouth_follows_the_expression(
    crops: LowerFaceCrops, config: NeuralConfig, like: bool
) -> None:
    shown = show(crops, config, like)
    unlike = float(np.abs(shown.real - shown.real[OTHERS])[MOUTH].mean())
    assert shown.obeys()
    assert shown.error(shown.own) < unlike / 3
    assert shown.error(shown.moved) > 0.9 * unlike
    assert shown.error(shown.moved, OTHERS) < unlike / 3
    change = np.abs(shown.moved - shown.own)
    assert change[MOUTH].mean() > 0.7 * unlike
    assert change[~shown.mask].mean() < 0.2 * change[MOUTH].mean()


def test_a_renderer_that_sees_no_expression_breaks_the_law(crops: LowerFaceCrops) -> None:
    """It may learn what it likes by heart: the law is one that can be broken."""
    blank = replace(crops, synthetic=np.full_like(crops.synthetic, 120))
    for config in (CARRIED, PIX2PIX):
        shown = show(blank, config)
        assert not shown.obeys()
        np.testing.assert_array_equal(shown.moved, shown.own)


@pytest.mark.parametrize("config", [CARRIED, PIX2PIX], ids=lambda config: config.network)
def test_the_filmed_mouth_is_not_looked_at(crops: LowerFaceCrops, config: NeuralConfig) -> None:
    """Inside the mask the footage may be anything, but for texture that is carried on purpose."""
    network, seen = train(crops, replace(config, steps=2), like=False)
    inside = crops.mask[..., None] > 0
    noise = np.random.default_rng(5).integers(0, 256, crops.real.shape, np.uint8)
    other = replace(seen, real=np.where(inside, noise, seen.real))
    pictures = [render_crops(network, given).picture for given in (seen, other)]
    np.testing.assert_array_equal(pictures[1][inside[..., 0]], pictures[0][inside[..., 0]])
