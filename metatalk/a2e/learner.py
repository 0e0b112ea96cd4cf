"""One network in training: weights, their moving average, the optimiser and the dice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metatalk.a2e.augment import augment_mel, mask_features
from metatalk.a2e.config import A2EConfig
from metatalk.a2e.features import LIMIT, measure_stats
from metatalk.a2e.networks import STRIDE, build_network
from metatalk.a2e.windows import Lesson, draw_windows
from metatalk.lipsync.mel import COLUMNS_PER_SECOND

Checkpoint = dict[str, Any]

_WARM_UP_STEPS = 50
_LARGEST_GRADIENT = 1.0


class Learner:
    """Trains an ensemble on a lesson, step by step, and can be put away and taken up again."""

    def __init__(
        self, lesson: Lesson, usable: np.ndarray, weight: Tensor, config: A2EConfig, seed: int
    ) -> None:
        components = lesson.targets.shape[1]
        self.lesson, self.usable, self.weight, self.config = lesson, usable, weight, config
        self.network = build_network(components, config.network, seed)
        self.average = build_network(components, config.network, seed).eval()
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(),
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
            betas=(0.9, 0.98),
        )
        self.generator = torch.Generator().manual_seed(seed)
        self.dropout_state = torch.Generator().manual_seed(seed + 1).get_state()
        self.step = 0
        stats = measure_stats(lesson.mel[:, usable])
        self.mean = torch.from_numpy(stats.mean)[:, None]
        self.deviation = torch.from_numpy(stats.deviation)[:, None]

    def run(self, steps: int, every: int) -> Iterator[int]:
        """Train up to a number of steps, handing back the step number after every few."""
        while self.step < steps:
            # Dropout draws from torch's global generator: lend it our state, give it back after.
            with torch.random.fork_rng(devices=[]), one_thread():
                torch.set_rng_state(self.dropout_state)
                for _ in range(min(every, steps - self.step)):
                    self._learn_once()
                self.dropout_state = torch.get_rng_state()
            yield self.step

    def checkpoint(self) -> Checkpoint:
        """Collect what `resume` needs; everything loads with `weights_only=True`."""
        return {
            "step": self.step,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "generator": self.generator.get_state(),
            "dropout_state": self.dropout_state,
        }

    def resume(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint; one without weights changes nothing."""
        if "network" not in checkpoint:
            return
        self.step = checkpoint["step"]
        self.network.load_state_dict(checkpoint["network"])
        self.average.load_state_dict(checkpoint["average"])
        self.optimiser.load_state_dict(checkpoint["optimiser"])
        self.generator.set_state(checkpoint["generator"])
        self.dropout_state = checkpoint["dropout_state"]

    def _learn_once(self) -> None:
        config = self.config
        shape = (config.batch, int(config.window_s * COLUMNS_PER_SECOND) // STRIDE * STRIDE)
        mel, mouth, known = draw_windows(
            self.lesson, self.usable, shape, config.augment.tempo, self.generator
        )
        mel = augment_mel(mel, config.augment, self.generator)
        features = ((mel - self.mean) / self.deviation).clamp(-LIMIT, LIMIT)
        features = mask_features(features, config.augment, self.generator)
        error = self.network.each(features) - mouth  # (N, B, K, W / 2)
        # Each member learns as if alone: the sum over members, not the mean.
        loss = mouth_loss(error, known, self.weight, config.velocity_weight) * len(error)
        for group in self.optimiser.param_groups:
            group["lr"] = config.learning_rate * min(1.0, (self.step + 1) / _WARM_UP_STEPS)
        self.optimiser.zero_grad()
        loss.backward()
        for member in self.network.members:
            torch.nn.utils.clip_grad_norm_(member.parameters(), _LARGEST_GRADIENT)
        self.optimiser.step()
        self.step += 1
        self._update_average()

    @torch.no_grad()
    def _update_average(self) -> None:
        # A young average forgets its random beginning faster.
        keep = min(self.config.average, (1 + self.step) / (10 + self.step))
        for mean, new in zip(self.average.parameters(), self.network.parameters(), strict=True):
            mean.lerp_(new, 1 - keep)


@contextmanager
def one_thread() -> Iterator[None]:
    """Hold torch to one thread: networks this small gain nothing from more, and sums that are
    split over threads would make the result depend on the machine's number of cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def mouth_loss(error: Tensor, known: Tensor, weight: Tensor, velocity_weight: float) -> Tensor:
    """Weigh squared errors of position and of velocity.

    Args:
        error: (N, B, K, W) prediction minus truth, standard deviations.
        known: (B, W) 1 where the truth is known, else 0.
        weight: (K,) of each coordinate, mean 1.
        velocity_weight: of the error's change from step to step.

    Returns:
        The mean over members, known steps and coordinates.
    """
    per_step = weight[:, None] * known[:, None]  # (B, K, W)
    total = (error**2 * per_step).sum()
    change = error[..., 1:] - error[..., :-1]
    total = total + velocity_weight * (change**2 * per_step[..., 1:] * known[:, None, :-1]).sum()
    return total / (known.sum().clamp(min=1) * len(error) * len(weight))
