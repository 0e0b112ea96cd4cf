"""The temporal convolutional network, non-causal or with a bounded look-ahead."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from metatalk.a2e.architectures.config import TcnConfig
from metatalk.a2e.architectures.interface import STRIDE, MouthBody, Reach

_STEM_KERNEL = 5
_STEM_AHEAD = _STEM_KERNEL // 2  # columns


class ResidualBlock(nn.Module):
    """One dilated convolution around a step, added to what came in."""

    def __init__(
        self, channels: int, kernel: int, dilation: int, dropout: float, ahead: int
    ) -> None:
        super().__init__()
        # Steps that it sees before and after: what it may not see ahead it sees further back.
        self.padding = (dilation * (kernel - 1) - ahead, ahead)
        self.wide = nn.Conv1d(channels, channels, kernel, dilation=dilation)
        self.mix = nn.Conv1d(channels, channels, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: Tensor) -> Tensor:
        change = functional.gelu(self.wide(functional.pad(hidden, self.padding)))
        return hidden + self.mix(self.dropout(change))


class TemporalConvolution(MouthBody):
    """A TCN over feature columns.

    Source: Bai et al. 2018 (temporal convolutional networks); Zheng et al. 2020 (news anchors)
        for its use without causality. Departs: the first convolution halves the rate, and a
        look-ahead may be bounded: from there on the convolutions are causal.
    """

    def __init__(
        self, inputs: int, components: int, config: TcnConfig, lookahead: int | None = None
    ) -> None:
        halves = [dilation * (config.kernel - 1) // 2 for dilation in config.dilations]
        stem_ahead = _STEM_AHEAD if lookahead is None else min(_STEM_AHEAD, lookahead)
        steps = sum(halves) if lookahead is None else (lookahead - stem_ahead) // STRIDE
        aheads = _spend(steps, halves)
        ahead = stem_ahead + STRIDE * sum(aheads)
        back = _STEM_KERNEL - 1 + STRIDE * 2 * sum(halves) - ahead
        super().__init__(inputs, components, Reach(back, ahead))
        self.padding = (_STEM_KERNEL - 1 - stem_ahead, stem_ahead)
        self.stem = nn.Conv1d(inputs, config.channels, _STEM_KERNEL, stride=STRIDE)
        self.blocks = nn.Sequential(
            *(
                ResidualBlock(config.channels, config.kernel, dilation, config.dropout, ahead)
                for dilation, ahead in zip(config.dilations, aheads, strict=True)
            )
        )
        self.drop_in = nn.Dropout(config.dropout / 2)
        self.drop_out = nn.Dropout(config.dropout)
        self.head = nn.Conv1d(config.channels, components, 1)

    def forward(self, features: Tensor) -> Tensor:
        self.check_features(features)
        heard = functional.pad(self.drop_in(features), self.padding)
        hidden = functional.gelu(self.stem(heard))
        out: Tensor = self.head(self.drop_out(self.blocks(hidden)))
        return out


def _spend(steps: int, halves: Sequence[int]) -> list[int]:
    """Part a look-ahead among the blocks, the first served first: they see the finest detail."""
    aheads = []
    for half in halves:
        aheads.append(min(half, steps))
        steps -= aheads[-1]
    return aheads
