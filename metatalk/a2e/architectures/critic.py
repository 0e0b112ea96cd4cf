"""The critic of the adversarial network: does this movement belong to this sound?"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from metatalk.a2e.architectures.config import CriticConfig
from metatalk.a2e.architectures.interface import STRIDE
from metatalk.shapes import check_shape

_KERNEL = 5
_DILATIONS = (1, 2, 4)  # together 14 steps, a third of a second, to either side
_SLOPE = 0.2


class MouthCritic(nn.Module):
    """A temporal convolutional critic of mouth movement, given the sound.

    Source: Zheng et al. 2020 (news anchors), the adversarial non-causal TCN. Departs: its layers
        are our choice; spectral normalisation (Miyato et al. 2018) keeps it from running away
        on little footage.
    """

    def __init__(self, inputs: int, components: int, config: CriticConfig) -> None:
        super().__init__()
        self.inputs, self.components = inputs, components
        wide = config.channels
        self.hear = _normed(inputs, wide, kernel=5, stride=STRIDE)
        self.see = _normed(components, wide, _KERNEL)
        self.judge = nn.ModuleList(_normed(wide, wide, _KERNEL, step) for step in _DILATIONS)
        self.head = _normed(wide, 1, kernel=1)

    def forward(self, mouth: Tensor, features: Tensor) -> Tensor:
        """Judge every step of a window.

        Args:
            mouth: (B, K, N) standardised mouth coordinates, 40 steps a second.
            features: (B, C, M) the sound, 80 columns a second, N = ceil(M / 2).

        Returns:
            (B, N) towards 1 for a filmed mouth, towards 0 for one that was made up.
        """
        batch = check_shape("mouth", mouth, f"B {self.components} N")["B"]
        check_shape("features", features, f"B {self.inputs} M", B=batch)
        hidden = self.hear(features) + self.see(mouth)
        for layer in self.judge:
            hidden = hidden + layer(functional.leaky_relu(hidden, _SLOPE))
        scores: Tensor = self.head(functional.leaky_relu(hidden, _SLOPE))
        return scores.squeeze(1)


def build_critic(inputs: int, components: int, config: CriticConfig, seed: int = 0) -> MouthCritic:
    """Build an untrained critic; the same seed gives the same weights.

    Args:
        inputs: C, the rows of the features.
        components: K, size of the mouth space.
        config: the critic's size.
        seed: of the initial weights.

    Returns:
        The critic, in training mode.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MouthCritic(inputs, components, config)


def critic_loss(
    critic: MouthCritic, real: Tensor, made: Tensor, features: Tensor, known: Tensor
) -> Tensor:
    """What the critic learns by: to tell filmed movement from made-up movement.

    Args:
        critic: the critic.
        real: (B, K, N) the filmed mouth.
        made: (B, K, N) the network's prediction; no gradient reaches it.
        features: (B, C, M) the sound of both.
        known: (B, N) 1 where the filmed mouth is known, else 0.

    Returns:
        The mean over the known steps.

    Source: Mao et al. 2017 (LSGAN), eq. 9 with a = 0, b = 1.
    """
    check_shape("known", known, "B N", B=len(real), N=real.shape[2])
    made = made.detach()
    # Where nothing was filmed both are the prediction: a hole must not give the real one away.
    filmed = torch.where(known[:, None] > 0, real, made)
    error = (critic(filmed, features) - 1) ** 2 + critic(made, features) ** 2
    return 0.5 * (error * known).sum() / known.sum().clamp(min=1)


def fooling_loss(critic: MouthCritic, made: Tensor, features: Tensor, known: Tensor) -> Tensor:
    """What the network learns by beside its error: to be taken for filmed.

    It leaves gradients in the critic, too; the critic's optimiser clears them before its own step.

    Args:
        critic: the critic.
        made: (B, K, N) the network's prediction.
        features: (B, C, M) its sound.
        known: (B, N) 1 where it is judged, else 0.

    Returns:
        The mean over the known steps.

    Source: Mao et al. 2017 (LSGAN), eq. 9 with c = 1.
    """
    error = (critic(made, features) - 1) ** 2
    return 0.5 * (error * known).sum() / known.sum().clamp(min=1)


def _normed(before: int, after: int, kernel: int, dilation: int = 1, stride: int = 1) -> nn.Module:
    padding = dilation * (kernel - 1) // 2
    return spectral_norm(nn.Conv1d(before, after, kernel, stride, padding, dilation))
