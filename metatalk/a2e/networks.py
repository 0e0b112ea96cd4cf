"""The non-causal temporal convolutional network that turns sound into mouth."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from metatalk.a2e.config import NetworkConfig
from metatalk.lipsync.mel import BANDS, COLUMNS_PER_SECOND
from metatalk.shapes import check_shape

STRIDE = 2  # mel columns per step of the network: it thinks at 40 steps a second
STEPS_PER_SECOND = COLUMNS_PER_SECOND // STRIDE
_STEM_KERNEL = 5


class ResidualBlock(nn.Module):
    """One dilated convolution that sees past and future alike, added to what came in."""

    def __init__(self, channels: int, kernel: int, dilation: int, dropout: float) -> None:
        super().__init__()
        reach = dilation * (kernel - 1) // 2
        self.wide = nn.Conv1d(channels, channels, kernel, padding=reach, dilation=dilation)
        self.mix = nn.Conv1d(channels, channels, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: Tensor) -> Tensor:
        change = nn.functional.gelu(self.wide(hidden))
        return hidden + self.mix(self.dropout(change))


class MouthNetwork(nn.Module):
    """A non-causal TCN over mel columns.

    Source: Bai et al. 2018 (temporal convolutional networks). Departs: not causal, and the
        first convolution halves the rate.
    """

    def __init__(self, components: int, config: NetworkConfig) -> None:
        super().__init__()
        self.stem = nn.Conv1d(
            BANDS, config.channels, _STEM_KERNEL, stride=STRIDE, padding=_STEM_KERNEL // 2
        )
        self.blocks = nn.Sequential(
            *(
                ResidualBlock(config.channels, config.kernel, dilation, config.dropout)
                for dilation in config.dilations
            )
        )
        self.drop_in = nn.Dropout(config.dropout / 2)
        self.drop_out = nn.Dropout(config.dropout)
        self.head = nn.Conv1d(config.channels, components, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Predict the mouth at 40 steps a second.

        Args:
            features: (B, 80, M) normalised mel columns.

        Returns:
            (B, K, ceil(M / 2)) standardised mouth coordinates; step n is at second n / 40.
        """
        check_shape("features", features, f"B {BANDS} M")
        hidden = nn.functional.gelu(self.stem(self.drop_in(features)))
        out: Tensor = self.head(self.drop_out(self.blocks(hidden)))
        return out


class MouthEnsemble(nn.Module):
    """Several networks whose mean is the prediction: little footage leaves each one unsure."""

    def __init__(self, components: int, config: NetworkConfig) -> None:
        super().__init__()
        self.components = components
        self.members = nn.ModuleList(
            MouthNetwork(components, config) for _ in range(config.members)
        )

    def forward(self, features: Tensor) -> Tensor:
        """(B, 80, M) -> (B, K, ceil(M / 2)), the mean of the members."""
        return self.each(features).mean(dim=0)

    def each(self, features: Tensor) -> Tensor:
        """(B, 80, M) -> (N, B, K, ceil(M / 2)), every member's own answer."""
        return torch.stack([member(features) for member in self.members])


def build_network(components: int, config: NetworkConfig, seed: int = 0) -> MouthEnsemble:
    """Build an untrained network; the same seed gives the same weights.

    Args:
        components: K, size of the mouth space.
        config: the network's shape.
        seed: of the initial weights.

    Returns:
        The network, in training mode.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MouthEnsemble(components, config)


def reach_columns(config: NetworkConfig) -> int:
    """Count the mel columns that one prediction depends on to either side."""
    blocks = sum((config.kernel - 1) // 2 * dilation for dilation in config.dilations)
    return _STEM_KERNEL // 2 + STRIDE * blocks


def sample_steps(values: Tensor, seconds: Tensor) -> Tensor:
    """Read a prediction at exact times, linearly between its steps.

    Args:
        values: (K, N) at `STEPS_PER_SECOND`, the first at second 0.
        seconds: (T,) times in seconds; outside the prediction its ends are held.

    Returns:
        (T, K).
    """
    check_shape("values", values, "K N")
    position = (seconds * STEPS_PER_SECOND).clamp(0, values.shape[1] - 1)
    low = position.floor().long().clamp(max=max(values.shape[1] - 2, 0))
    high = (low + 1).clamp(max=values.shape[1] - 1)
    weight = (position - low).to(values.dtype)
    return (values[:, low] * (1 - weight) + values[:, high] * weight).T
