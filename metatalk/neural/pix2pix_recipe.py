"""pix2pix as published: the reference that every improvement is measured against."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from metatalk.neural.batches import LowerFaceCrops
from metatalk.neural.config import NeuralConfig
from metatalk.neural.generator import order_channels_last
from metatalk.neural.losses import weighted_l1
from metatalk.neural.pictures import CropPictures, read_pictures
from metatalk.neural.pix2pix import (
    REACH,
    Pix2PixDiscriminator,
    Pix2PixGenerator,
    count_halvings,
    stack_window,
)
from metatalk.neural.recipe import (
    Moment,
    RecipeState,
    Scalars,
    collect_state,
    restore_state,
    set_rate,
)
from metatalk.precision import choose_precision

LEARNING_RATE = 2e-4
BETAS = (0.5, 0.999)
L1_WEIGHT = 100.0  # of the error in [-1, 1], whole crop

_PARTS = ("generator", "discriminator", "optimiser", "opposition")


@dataclass(frozen=True, eq=False)
class _Contest:
    made: Tensor  # (1, 3, S, S) in [-1, 1]
    real: Tensor  # (1, 3, S, S) in [-1, 1]
    seen: Tensor  # (1, 25, S, S)


class Pix2PixRecipe:
    """The published networks, losses and schedule, under our budget.

    Source: Isola et al. 2017, sections 3 and 6.2; Wen et al. 2020, section 3.5. Departs: the
    schedule's two halves are halves of the budget; whole crops as they are, neither jittered nor
    mirrored, as the crops are stabilised, enlarged footage would teach its blur and no face is
    its own mirror image; bfloat16 where the device is faster in it.
    """

    def __init__(
        self,
        crops: LowerFaceCrops,
        rows: np.ndarray,
        config: NeuralConfig,
        device: torch.device,
        seed: int,
    ) -> None:
        width = config.pix2pix_width
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            generator = Pix2PixGenerator(count_halvings(crops.size), width)
            opponent = Pix2PixDiscriminator(width)
        self.generator = order_channels_last(generator.to(device))
        self.discriminator = order_channels_last(opponent.to(device))
        self.crops, self.rows, self.batch = crops, rows, 1
        self.device, self.seed, self.precision = device, seed, choose_precision(device)
        adam = partial(torch.optim.Adam, lr=LEARNING_RATE, betas=BETAS, fused=True)
        self.optimiser = adam(self.generator.parameters())
        self.opposition = adam(self.discriminator.parameters())

    @property
    def average(self) -> nn.Module:
        """See `Recipe`; the published recipe keeps the last weights, not an average."""
        return self.generator

    def pictures(self, rows: np.ndarray) -> CropPictures:
        """See `Recipe`."""
        return read_pictures(self.crops, rows, REACH)

    def state(self) -> RecipeState:
        """See `Recipe`."""
        return collect_state(self, _PARTS)

    def restore(self, state: RecipeState) -> None:
        """See `Recipe`."""
        restore_state(self, _PARTS, state)

    def draw(self, step: int, batch: int) -> CropPictures:
        """See `Recipe`; every frame is drawn once before any is drawn again."""
        places = np.arange(step * batch, (step + 1) * batch)
        passes = places // len(self.rows)
        orders = {n: _shuffled(self.rows, self.seed, n) for n in np.unique(passes).tolist()}
        chosen = [
            orders[n][place % len(self.rows)] for n, place in zip(passes, places, strict=True)
        ]
        return self.pictures(np.array(chosen))

    def train_step(self, batch: CropPictures, moment: Moment) -> Scalars:
        """See `Recipe`."""
        rate = LEARNING_RATE * min(1.0, 2 * (1 - moment.spent))
        set_rate(self.optimiser, rate)
        set_rate(self.opposition, rate)
        pictures = batch.to(self.device)
        seen, real = stack_window(pictures), pictures.real * 2 - 1
        layout = torch.channels_last
        seen, real = (part.contiguous(memory_format=layout) for part in (seen, real))
        with (
            torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []),
            torch.autocast(
                self.device.type, self.precision, enabled=self.precision is not torch.float32
            ),
        ):
            torch.manual_seed(_dropout_seed(self.seed, moment.step))
            contest = _Contest(self.generator(seen), real, seen)
            figures = self._improve_discriminator(contest) | self._improve_generator(contest)
        with torch.no_grad():
            figures["l1"] = weighted_l1(contest.made, contest.real, pictures.mask) / 2
        detached = {name: figure.detach() for name, figure in figures.items()}
        return {**detached, "learning_rate": rate}

    def _improve_discriminator(self, contest: _Contest) -> dict[str, Tensor]:
        """Half the loss, so that it learns slowly against the generator."""
        on_real = self.discriminator(contest.real, contest.seen)
        on_made = self.discriminator(contest.made.detach(), contest.seen)
        loss = (judge_loss(on_real, True) + judge_loss(on_made, False)) / 2
        self.opposition.zero_grad(set_to_none=True)
        loss.backward()
        self.opposition.step()
        return {"discriminator": loss}

    def _improve_generator(self, contest: _Contest) -> dict[str, Tensor]:
        self.discriminator.requires_grad_(False)
        adversarial = judge_loss(self.discriminator(contest.made, contest.seen), True)
        self.discriminator.requires_grad_(True)
        likeness = functional.l1_loss(contest.made, contest.real)
        self.optimiser.zero_grad(set_to_none=True)
        (adversarial + L1_WEIGHT * likeness).backward()
        self.optimiser.step()
        return {"adversarial": adversarial, "likeness": likeness}


def judge_loss(logits: Tensor, is_footage: bool) -> Tensor:
    """Cross entropy of the discriminator's judgement.

    Args:
        logits: of any shape, above zero for footage.
        is_footage: what should have been said.

    Returns:
        The mean over the patches.

    Source: Goodfellow et al. 2014, eq. 1, the generator's in the form that does not saturate.
    """
    return functional.binary_cross_entropy_with_logits(
        logits, torch.full_like(logits, float(is_footage))
    )


def _shuffled(rows: np.ndarray, seed: int, number: int) -> np.ndarray:
    return np.random.default_rng((seed, number)).permutation(rows)


def _dropout_seed(seed: int, step: int) -> int:
    return int(np.random.default_rng((seed, step, 1)).integers(1 << 62))
