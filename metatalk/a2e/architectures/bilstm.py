"""The bidirectional LSTM that news anchors were compared with."""

from __future__ import annotations

from torch import Tensor, nn

from metatalk.a2e.architectures.config import BilstmConfig
from metatalk.a2e.architectures.interface import STRIDE, MouthBody, Reach
from metatalk.errors import ConfigError


class BidirectionalLstm(MouthBody):
    """Two readers, one from each end of the recording.

    Source: Zheng et al. 2020 (news anchors), the network that times and errors are related to.
        Departs: its layers and units are our choice, since the paper's are not known to us.
    """

    def __init__(
        self, inputs: int, components: int, config: BilstmConfig, lookahead: int | None = None
    ) -> None:
        if lookahead is not None:
            raise ConfigError(
                "network bilstm hears a recording to its end, so its look-ahead has no bound",
                "Choose another a2e.network, or leave the look-ahead unbounded.",
            )
        super().__init__(inputs, components, Reach(None, None))
        between = config.dropout if config.layers > 1 else 0.0
        self.memory = nn.LSTM(
            inputs,
            config.units,
            config.layers,
            batch_first=True,
            dropout=between,
            bidirectional=True,
        )
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(2 * config.units, components)

    def forward(self, features: Tensor) -> Tensor:
        self.check_features(features)
        hidden, _ = self.memory(features.transpose(1, 2))  # (B, M, 2 * units)
        out: Tensor = self.head(self.dropout(hidden[:, ::STRIDE]))
        return out.transpose(1, 2)
