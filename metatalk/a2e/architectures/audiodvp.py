"""AudioDVP's small convolution over seven frames."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import torch
from torch import Tensor, nn
from torch.nn import functional

from metatalk.a2e.architectures.interface import STRIDE, MouthBody, Reach
from metatalk.errors import ConfigError
from metatalk.lipsync.mel import COLUMNS_PER_SECOND

_SPACING = Fraction(COLUMNS_PER_SECOND, 25)  # columns between two of the paper's frames
_CHANNELS = (7, 5, 3, 1)  # the window's frames, folded into one
_KERNEL = 3
_FOLDED = (_KERNEL - 1) * (len(_CHANNELS) - 1)  # rows that the convolutions eat


class AudioDvpConvolution(MouthBody):
    """Seven frames as channels, convolved along the feature axis, then a linear layer.

    Source: Wen et al. 2020 (AudioDVP): frames -3 to 3 at 25 frames a second of 256 features.
        Departs: it answers 40 times a second, and the seven frames lie 40 ms (3.2 columns) apart
        around each answer, read linearly between columns; a bounded look-ahead moves all seven
        back together.
    """

    def __init__(self, inputs: int, components: int, lookahead: int | None = None) -> None:
        if inputs <= _FOLDED:
            raise ConfigError(
                f"network audiodvp is given {inputs} rows of features",
                f"It needs more than {_FOLDED}; choose other features or another a2e.network.",
            )
        half = _CHANNELS[0] // 2
        last = half * _SPACING if lookahead is None else min(half * _SPACING, Fraction(lookahead))
        offsets = [last - place * _SPACING for place in reversed(range(_CHANNELS[0]))]
        super().__init__(inputs, components, Reach(-math.floor(offsets[0]), math.ceil(last)))
        self.offsets = offsets  # columns from the answer's own
        pairs = itertools.pairwise(_CHANNELS)
        self.fold = nn.Sequential(*(nn.Conv1d(many, few, _KERNEL) for many, few in pairs))
        self.head = nn.Linear(inputs - _FOLDED, components)

    def forward(self, features: Tensor) -> Tensor:
        self.check_features(features)
        window = self._read_window(features)  # (B, N, 7, C)
        folded = self.fold(window.flatten(0, 1)).squeeze(1)  # (B * N, C - 6)
        out: Tensor = self.head(folded)
        return out.unflatten(0, window.shape[:2]).transpose(1, 2)

    def _read_window(self, features: Tensor) -> Tensor:
        """(B, C, M) -> (B, ceil(M / 2), 7, C), the frames around every step."""
        back, ahead = self.reach.columns_around()
        columns = features.shape[2]
        padded = functional.pad(features, (back, ahead + 1))
        frames = []
        for offset in self.offsets:
            low = math.floor(offset)
            before = padded[:, :, back + low : back + low + columns : STRIDE]
            after = padded[:, :, back + low + 1 : back + low + 1 + columns : STRIDE]
            share = float(offset - low)
            # Between two columns both are read; on a column nothing past it may be touched.
            frames.append(torch.lerp(before, after, share) if share else before)
        return torch.stack(frames, dim=1).permute(0, 3, 1, 2)
