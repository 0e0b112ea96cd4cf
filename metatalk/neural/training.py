"""Training the renderer on one actor's crops, within a budget, resumable."""

from __future__ import annotations

import copy
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from metatalk.errors import FittingError
from metatalk.neural.batches import (
    Batch,
    LowerFaceCrops,
    TrainingFrames,
    augment,
    draw_windows,
    prepare_frames,
    split_frames,
)
from metatalk.neural.config import GRID_PX, NeuralConfig
from metatalk.neural.discriminator import PatchDiscriminator
from metatalk.neural.generator import build_generator, order_channels_last, stack_inputs
from metatalk.neural.infer import choose_precision, prepare_for_rendering
from metatalk.neural.losses import (
    discriminator_hinge,
    feature_matching,
    generator_hinge,
    pyramid_loss,
    weighted_l1,
)
from metatalk.neural.scoring import score_generator

log = logging.getLogger(__name__)

TrainingState = dict[str, Any]  # nested dicts of tensors and numbers; loads with weights_only


class Progress(Protocol):
    """How a training tells how far it is."""

    def __call__(self, done: int, total: int | None, note: str = "", /) -> None:
        """Take steps done, steps expected in all, and what there is to say."""


@dataclass(frozen=True, eq=False)
class TrainedRenderer:
    """The result of a training."""

    state: dict[str, Tensor]  # weights for `build_generator`, averaged over the last steps
    metrics: dict[str, float]
    train_frames: np.ndarray  # (N,) frame numbers
    held_out_frames: np.ndarray  # (M,) frame numbers that were not learned from


class Trainer:
    """The networks, their optimisers and the budget spent so far."""

    def __init__(self, config: NeuralConfig, device: torch.device, seed: int) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.generator = build_generator(config).to(device)
            opponent = PatchDiscriminator(config.discriminator_width)
        self.discriminator = order_channels_last(opponent).to(device)
        self.average = copy.deepcopy(self.generator).requires_grad_(False)
        self.config, self.device, self.seed = config, device, seed
        self.precision = choose_precision(device)
        self.optimiser = torch.optim.Adam(
            self.generator.parameters(), config.learning_rate, betas=(0.5, 0.99)
        )
        self.opposition = torch.optim.Adam(
            self.discriminator.parameters(), config.discriminator_rate, betas=(0.5, 0.99)
        )
        self.step, self.seconds, self.batch = 0, 0.0, config.batch

    def share_spent(self) -> float:
        """Share of the budget that is used up, 0 to 1."""
        by_clock = self.seconds / (60 * self.config.minutes)
        return min(1.0, max(by_clock, self.step / self.config.steps))

    def state(self) -> TrainingState:
        """Everything a later run needs to go on from here."""
        parts = {name: getattr(self, name).state_dict() for name in _PARTS}
        return parts | {"step": self.step, "seconds": self.seconds, "batch": self.batch}

    def restore(self, state: TrainingState) -> None:
        """Go on from a stored state."""
        for name in _PARTS:
            getattr(self, name).load_state_dict(state[name])
        self.step, self.seconds = int(state["step"]), float(state["seconds"])
        self.batch = int(state["batch"])

    def chance(self) -> np.random.Generator:
        """The source of chance of the coming step; a resumed run draws what it would have."""
        return np.random.default_rng((self.seed, self.step))

    def train_step(self, batch: Batch) -> float:
        """Improve both networks by one batch.

        Returns:
            The L1 error inside the mask, RGB in [0, 1].
        """
        spent = self.share_spent()
        _set_rate(self.optimiser, self.config.learning_rate * _decay(spent))
        _set_rate(self.opposition, self.config.discriminator_rate * _decay(spent))
        with torch.autocast(
            self.device.type, self.precision, enabled=self.precision is not torch.float32
        ):
            inputs = stack_inputs(batch.synthetic, batch.real, batch.mask)
            made = self.generator(inputs, batch.places)
            error = weighted_l1(made, batch.real, batch.mask)
            loss = self._likeness(batch, made)
            if spent >= self.config.adversarial_start:
                loss = loss + self._contest(batch.real, made, inputs)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.generator.parameters(), 1.0)
        self.optimiser.step()
        self._update_average()
        self.step += 1
        return float(error.detach())

    def _likeness(self, batch: Batch, made: Tensor) -> Tensor:
        config = self.config
        inside = batch.mask * batch.attention
        near = weighted_l1(made, batch.real, inside + config.surroundings_weight * (1 - batch.mask))
        detail = pyramid_loss(made, batch.real, inside)
        return config.l1_weight * near + config.pyramid_weight * detail

    def _contest(self, real: Tensor, made: Tensor, inputs: Tensor) -> Tensor:
        """The discriminator looks at another pixel raster than the generator's own.

        Were both rasters aligned, every stride would leave its pattern in the skin.
        """
        down, right = np.random.default_rng((self.seed, self.step, 1)).integers(0, GRID_PX, 2)
        height, width = real.shape[2] - GRID_PX, real.shape[3] - GRID_PX
        if min(height, width) >= 2 * GRID_PX:
            view = np.s_[..., down : down + height, right : right + width]
            real, made, inputs = real[view], made[view], inputs[view]
        composed = torch.lerp(real, made, inputs[:, -1:])
        wanted = self._improve_discriminator(real, composed.detach(), inputs)
        return self._persuasion(composed, inputs, wanted)

    def _improve_discriminator(
        self, real: Tensor, composed: Tensor, inputs: Tensor
    ) -> list[Tensor]:
        """Returns the features of the footage, which the generator is to match."""
        on_real, wanted = self.discriminator(real, inputs)
        on_made, _ = self.discriminator(composed, inputs)
        loss = discriminator_hinge(on_real, on_made)
        self.opposition.zero_grad(set_to_none=True)
        loss.backward()
        self.opposition.step()
        return [features.detach() for features in wanted]

    def _persuasion(self, composed: Tensor, inputs: Tensor, wanted: list[Tensor]) -> Tensor:
        self.discriminator.requires_grad_(False)
        score, seen = self.discriminator(composed, inputs)
        self.discriminator.requires_grad_(True)
        config = self.config
        return config.adversarial_weight * generator_hinge(
            score
        ) + config.matching_weight * feature_matching(seen, wanted)

    @torch.no_grad()
    def _update_average(self) -> None:
        decay = min(self.config.ema_decay, (1 + self.step) / (10 + self.step))
        for slow, fast in zip(self.average.parameters(), self.generator.parameters(), strict=True):
            slow.lerp_(fast, 1 - decay)


_PARTS = ("generator", "discriminator", "average", "optimiser", "opposition")


def train_renderer(
    crops: LowerFaceCrops,
    config: NeuralConfig,
    device: torch.device,
    seed: int,
    progress: Progress | None = None,
    save: Callable[[TrainingState], None] | None = None,
    load: Callable[[], TrainingState | None] | None = None,
) -> TrainedRenderer:
    """Learn one actor's lower face.

    Args:
        crops: stabilised crops of the clip; at least 2 frames with a face.
        config: budget, sizes and weights.
        device: where to train.
        seed: makes runs repeatable, up to the number of steps that fit into `minutes`.
        progress: told after every step.
        save: stores a training state; called about every `checkpoint_seconds` and at the end.
        load: gives the last stored state, or None where there is none.

    Returns:
        The weights and their scores on training frames (`train_...`) and on held-out frames
        (`held_out_...`), the latter only where the clip is long enough to spare some.

    Raises:
        FittingError: no usable frame, or a loss that is not a number.
        ShapeError: crops of the wrong shape.

    Source: Isola et al. 2017. Departs: see `Generator`, `PatchDiscriminator` and `losses`.
    """
    train, held_out = split_frames(crops.usable(), config)
    trainer = Trainer(config, device, seed)
    state = load() if load else None
    if state is not None:
        trainer.restore(state)
        log.info("resuming the renderer's training at step %d", trainer.step)
    _spend_budget(trainer, prepare_frames(crops, train, config), progress, save)
    weights = {name: value.cpu() for name, value in trainer.average.state_dict().items()}
    return TrainedRenderer(weights, _measure(trainer, crops, train, held_out), train, held_out)


def _measure(
    trainer: Trainer, crops: LowerFaceCrops, train: np.ndarray, held_out: np.ndarray
) -> dict[str, float]:
    fast = prepare_for_rendering(trainer.average, trainer.device)
    metrics = score_generator(fast, crops, train, most=32).as_metrics("train")
    if len(held_out):
        metrics |= score_generator(fast, crops, held_out).as_metrics("held_out")
    return metrics | {
        "steps": float(trainer.step),
        "seconds": round(trainer.seconds, 1),
        "train_frames": float(len(train)),
        "held_out_frames": float(len(held_out)),
    }


def _spend_budget(
    trainer: Trainer,
    frames: TrainingFrames,
    progress: Progress | None,
    save: Callable[[TrainingState], None] | None,
) -> None:
    saved_at, smooth = trainer.seconds, math.nan
    while trainer.share_spent() < 1:
        began = time.perf_counter()
        error = _train_once(trainer, frames)
        trainer.seconds += time.perf_counter() - began
        if not math.isfinite(error):
            raise FittingError(
                f"the renderer's training diverged at step {trainer.step}",
                "lower neural.learning_rate, or train with another seed",
            )
        smooth = error if math.isnan(smooth) else 0.98 * smooth + 0.02 * error
        if progress:
            expected = round(trainer.step / trainer.share_spent())
            progress(trainer.step, expected, f"L1 {smooth:.4f}")
        finished = trainer.share_spent() >= 1
        if save and (finished or trainer.seconds - saved_at >= trainer.config.checkpoint_seconds):
            save(trainer.state())
            saved_at = trainer.seconds


def _train_once(trainer: Trainer, frames: TrainingFrames) -> float:
    """One step; where memory runs out it is tried again with half the batch."""
    while True:
        config, random = replace(trainer.config, batch=trainer.batch), trainer.chance()
        try:
            windows = draw_windows(frames, config, random)
            return trainer.train_step(augment(windows, config, random, trainer.device))
        except RuntimeError as error:
            if not _is_out_of_memory(error) or trainer.batch == 1:
                raise
        trainer.batch //= 2
        log.warning("out of memory: going on with batches of %d", trainer.batch)
        if trainer.device.type == "cuda":
            torch.cuda.empty_cache()


def _is_out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error)


def _decay(spent: float) -> float:
    """Half a cosine from 1 to 0.05 over the budget."""
    return 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * spent))


def _set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = rate
