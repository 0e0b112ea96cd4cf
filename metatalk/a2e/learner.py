"""One network in training: weights, their moving average, the optimiser and the dice."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from metatalk.a2e.architectures.choice import is_adversarial
from metatalk.a2e.architectures.critic import build_critic, critic_loss, fooling_loss
from metatalk.a2e.architectures.interface import STRIDE
from metatalk.a2e.augment import augment_mel, drop_mel, mask_features
from metatalk.a2e.config import A2EConfig
from metatalk.a2e.features import LIMIT, measure_stats
from metatalk.a2e.hearing import Sound
from metatalk.a2e.losses import MouthWeights, mouth_loss
from metatalk.a2e.model import MouthModel
from metatalk.a2e.threads import one_thread
from metatalk.a2e.windows import Lesson, Windows, draw_windows
from metatalk.lipsync.mel import COLUMNS_PER_SECOND

Checkpoint = dict[str, Any]

_WARM_UP_STEPS = 50
_LARGEST_GRADIENT = 1.0


class Learner:
    """Trains a model's networks on a lesson, step by step; can be put away and taken up again.

    Args:
        lesson: the footage.
        usable: (M,) bool, columns that may be learned from.
        weights: what an error of the mouth counts.
        model: whose norms the features are brought to; its networks are where training begins.
        config: of training.
        seed: of windows, voices and dropout.
    """

    def __init__(
        self,
        lesson: Lesson,
        usable: np.ndarray,
        weights: MouthWeights,
        model: MouthModel,
        config: A2EConfig,
        seed: int,
    ) -> None:
        self.usable, self.weights, self.config = usable, weights, config
        self.model, self.lesson = model, foretold(lesson, usable, model)
        self.network = copy.deepcopy(model.networks).train()
        self.average = copy.deepcopy(model.networks).eval()
        self.optimiser = self._optimiser(self.network, config.learning_rate)
        self.generator = torch.Generator().manual_seed(seed)
        self.dropout_state = torch.Generator().manual_seed(seed + 1).get_state()
        self.step = 0
        self.most = config.steps_for(float(lesson.known.sum()) / COLUMNS_PER_SECOND)
        self.critic = None
        if is_adversarial(config.network, config):
            inputs, components = self.network.inputs, self.network.components
            self.critic = build_critic(inputs, components, config.critic, seed)
            self.critic_optimiser = self._optimiser(self.critic, config.critic.learning_rate)

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
        kept = {
            "step": self.step,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "generator": self.generator.get_state(),
            "dropout_state": self.dropout_state,
        }
        if self.critic is not None:
            kept["critic"] = self.critic.state_dict()
            kept["critic_optimiser"] = self.critic_optimiser.state_dict()
        return kept

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
        if self.critic is not None:
            self.critic.load_state_dict(checkpoint["critic"])
            self.critic_optimiser.load_state_dict(checkpoint["critic_optimiser"])

    def _learn_once(self) -> None:
        config = self.config
        shape = (config.batch, int(config.window_s * COLUMNS_PER_SECOND) // STRIDE * STRIDE)
        windows = draw_windows(
            *(self.lesson, self.usable, shape, config.augment.tempo, self.generator),
            config.pseudo.share_at(self.step / self.most),
        )
        features = self._features(windows)
        made = self.network.each(features)  # (N, B, K, W / 2)
        # Each member learns as if alone: the sum over members, not the mean.
        loss = mouth_loss(made, windows, self.weights, config) * len(made)
        if self.critic is not None and self.step >= config.critic.begin:
            for answer in made:
                fooled = fooling_loss(self.critic, answer, features, windows.known)
                loss = loss + config.critic.weight * fooled
        warmth = min(1.0, (self.step + 1) / _WARM_UP_STEPS)
        _descend(self.optimiser, loss, self.network.members, config.learning_rate * warmth)
        if self.critic is not None:
            answer = made[self.step % len(made)]
            judged = critic_loss(self.critic, windows.mouth, answer, features, windows.known)
            _descend(self.critic_optimiser, judged, [self.critic], config.critic.learning_rate)
        self.step += 1
        self._update_average()

    def _features(self, windows: Windows) -> Tensor:
        """(B, C, W) what the networks are given of a batch, in other voices and rooms."""
        config, model = self.config.augment, self.model
        mel = augment_mel(windows.mel, config, self.generator)
        mel = (mel - model.speech_mean[:, None]) / model.speech_deviation[:, None]
        mel = mask_features(mel.clamp(-LIMIT, LIMIT), config, self.generator)
        if windows.heard.shape[1]:
            mel = drop_mel(mel, config.drop_mel, self.generator)
        streams = len(model.heard_mean)  # what the prior makes of them is normalised already
        heard = windows.heard[:, :streams] - model.heard_mean[:, None]
        heard = heard / model.heard_deviation[:, None]
        return torch.cat([mel, heard, windows.heard[:, streams:]], dim=1)[:, model.rows]

    def _optimiser(self, network: nn.Module, rate: float) -> torch.optim.AdamW:
        return torch.optim.AdamW(
            network.parameters(), lr=rate, weight_decay=self.config.weight_decay, betas=(0.9, 0.98)
        )

    @torch.no_grad()
    def _update_average(self) -> None:
        # A young average forgets its random beginning faster.
        keep = min(self.config.average, (1 + self.step) / (10 + self.step))
        for mean, new in zip(self.average.parameters(), self.network.parameters(), strict=True):
            mean.lerp_(new, 1 - keep)


def foretold(lesson: Lesson, usable: np.ndarray, model: MouthModel) -> Lesson:
    """Put what the model's prior says of a lesson below what is heard in it.

    Args:
        lesson: the footage.
        usable: (M,) bool, columns that may be learned from.
        model: of the actor.

    Returns:
        The lesson with U more rows heard; as it is where there is no prior.
    """
    if model.prior is None:
        return lesson
    takes = []
    for take in lesson.takes:
        features = model.normalise(take, measure_stats(take.mel[:, usable]))
        rows = features[len(features) - model.prior.components :].numpy()
        takes.append(Sound(take.mel, np.concatenate([take.heard, rows])))
    return replace(lesson, takes=tuple(takes))


def _descend(
    optimiser: torch.optim.Optimizer, loss: Tensor, parts: Iterable[nn.Module], rate: float
) -> None:
    for group in optimiser.param_groups:
        group["lr"] = rate
    optimiser.zero_grad()
    loss.backward()
    for part in parts:
        nn.utils.clip_grad_norm_(part.parameters(), _LARGEST_GRADIENT)
    optimiser.step()
