"""Our renderer's training: windows of the crops, bands of detail, a discriminator that joins."""

from __future__ import annotations

import copy
import math

import numpy as np
import torch
from torch import Tensor, nn

from metatalk.neural.batches import Batch, LowerFaceCrops, augment, draw_windows, prepare_frames
from metatalk.neural.config import GRID_PX, NeuralConfig
from metatalk.neural.discriminator import PatchDiscriminator
from metatalk.neural.generator import MASK_CHANNEL, build_generator, order_channels_last
from metatalk.neural.losses import (
    change_loss,
    discriminator_hinge,
    feature_matching,
    generator_hinge,
    pyramid_loss,
    texture_loss,
    weighted_l1,
)
from metatalk.neural.pictures import CropPictures, trial_pictures
from metatalk.neural.recipe import (
    Moment,
    RecipeState,
    Scalars,
    collect_state,
    restore_state,
    set_rate,
)
from metatalk.neural.samples import Samples
from metatalk.precision import choose_precision

_PARTS = ("generator", "discriminator", "average", "optimiser", "opposition")


class CarriedRecipe:
    """The networks of `Generator` and `PatchDiscriminator`, and how they learn.

    Source: Isola et al. 2017. Departs: see `Generator`, `PatchDiscriminator` and `losses`.
    """

    def __init__(
        self,
        crops: LowerFaceCrops,
        rows: np.ndarray,
        config: NeuralConfig,
        device: torch.device,
        seed: int,
        samples: Samples,
        trial: Samples,
    ) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.generator = build_generator(config).to(device)
            opponent = PatchDiscriminator(config.discriminator_width)
        self.discriminator = order_channels_last(opponent).to(device)
        self.average: nn.Module = copy.deepcopy(self.generator).requires_grad_(False)
        self.crops, self.trial = crops, trial
        self.frames = prepare_frames(crops, samples, rows, config)
        self.config, self.device, self.seed = config, device, seed
        self.batch, self.precision = config.batch, choose_precision(device)
        self.optimiser = torch.optim.Adam(
            self.generator.parameters(), config.learning_rate, betas=(0.5, 0.99)
        )
        self.opposition = torch.optim.Adam(
            self.discriminator.parameters(), config.discriminator_rate, betas=(0.5, 0.99)
        )

    def pictures(self, rows: np.ndarray) -> CropPictures:
        """See `Recipe`; of the frames in the trial, those nearest to the rows."""
        return trial_pictures(self.crops, self.trial, rows)

    def state(self) -> RecipeState:
        """See `Recipe`."""
        return collect_state(self, _PARTS)

    def restore(self, state: RecipeState) -> None:
        """See `Recipe`."""
        restore_state(self, _PARTS, state)

    def draw(self, step: int, batch: int) -> Batch:
        """See `Recipe`."""
        random = np.random.default_rng((self.seed, step))
        return augment(draw_windows(self.frames, self.config, batch, random), self.config, random)

    def train_step(self, batch: Batch, moment: Moment) -> Scalars:
        """See `Recipe`."""
        batch, rate = batch.to(self.device), _decay(moment.spent)
        set_rate(self.optimiser, self.config.learning_rate * rate)
        set_rate(self.opposition, self.config.discriminator_rate * rate)
        with torch.autocast(
            self.device.type, self.precision, enabled=self.precision is not torch.float32
        ):
            inputs = self.generator.gather(batch)
            made, coarse, _ = self.generator(inputs, batch.places)
            figures = {"l1": weighted_l1(made, batch.real, batch.mask)}
            figures |= self._likeness(batch, made, coarse)
            loss = torch.stack(
                [figures[name] * weight for name, weight in self._weights.items()]
            ).sum()
            if moment.spent >= self.config.adversarial_start and self.config.adversarial_weight:
                figures |= self._contest(batch.real, made, inputs, moment.step)
                loss = loss + self.config.adversarial_weight * figures["adversarial"]
                loss = loss + self.config.matching_weight * figures["matching"]
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.generator.parameters(), 1.0)
        self.optimiser.step()
        self._update_average(moment.step)
        detached = {name: figure.detach() for name, figure in figures.items()}
        return {**detached, "learning_rate": self.config.learning_rate * rate}

    @property
    def _weights(self) -> dict[str, float]:
        config = self.config
        return {
            "coarse": config.l1_weight,
            "detail": config.pyramid_weight,
            "fine": config.fine_weight,
            "texture": config.texture_weight,
            "change": config.change_weight,
        }

    def _likeness(self, batch: Batch, made: Tensor, coarse: Tensor) -> dict[str, Tensor]:
        """What is coarse is to be right, what is fine is to be there."""
        inside, around = batch.mask * batch.attention, 1 - batch.mask
        near = inside + self.config.surroundings_weight * around
        losses = {
            "coarse": weighted_l1(coarse, batch.real, near),
            "detail": pyramid_loss(coarse, batch.real, inside),
            "fine": weighted_l1(made, batch.real, near) + pyramid_loss(made, batch.real, inside),
            "texture": texture_loss(made, batch.real, batch.mask),
        }
        if len(made) % 2 == 0:
            losses["change"] = change_loss(made, batch.real, batch.mask)
        else:
            losses["change"] = made.new_zeros(())
        return losses

    def _contest(self, real: Tensor, made: Tensor, inputs: Tensor, step: int) -> dict[str, Tensor]:
        """The discriminator looks at another pixel raster than the generator's own.

        Were both rasters aligned, every stride would leave its pattern in the skin.
        """
        down, right = np.random.default_rng((self.seed, step, 1)).integers(0, GRID_PX, 2)
        height, width = real.shape[2] - GRID_PX, real.shape[3] - GRID_PX
        if min(height, width) >= 2 * GRID_PX:
            view = np.s_[..., down : down + height, right : right + width]
            real, made, inputs = real[view], made[view], inputs[view]
        composed = torch.lerp(real, made, inputs[:, MASK_CHANNEL : MASK_CHANNEL + 1])
        opposed, wanted = self._improve_discriminator(real, composed.detach(), inputs)
        self.discriminator.requires_grad_(False)
        score, seen = self.discriminator(composed, inputs)
        self.discriminator.requires_grad_(True)
        return {
            "discriminator": opposed,
            "adversarial": generator_hinge(score),
            "matching": feature_matching(seen, wanted),
        }

    def _improve_discriminator(
        self, real: Tensor, composed: Tensor, inputs: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """Returns its loss, and the features of the footage, which the generator is to match."""
        on_real, wanted = self.discriminator(real, inputs)
        on_made, _ = self.discriminator(composed, inputs)
        loss = discriminator_hinge(on_real, on_made)
        self.opposition.zero_grad(set_to_none=True)
        loss.backward()
        self.opposition.step()
        return loss, [features.detach() for features in wanted]

    @torch.no_grad()
    def _update_average(self, step: int) -> None:
        decay = min(self.config.ema_decay, (1 + step) / (10 + step))
        for slow, fast in zip(self.average.parameters(), self.generator.parameters(), strict=True):
            slow.lerp_(fast, 1 - decay)


def _decay(spent: float) -> float:
    """Half a cosine from 1 to 0.05 over the budget."""
    return 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * spent))
