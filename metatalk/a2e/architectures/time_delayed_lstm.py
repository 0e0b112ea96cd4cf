"""The time-delayed LSTM of Synthesizing Obama."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from metatalk.a2e.architectures.config import LstmConfig
from metatalk.a2e.architectures.interface import STRIDE, MouthBody, Reach
from metatalk.lipsync.mel import COLUMNS_PER_SECOND


class TimeDelayedLstm(MouthBody):
    """One layer that reads the sound forwards and says late what the mouth did.

    Source: Suwajanakorn et al. 2017 (Synthesizing Obama): 60 units, output delayed by 200 ms.
        Departs: 80 columns a second in place of 100, so the delay is 16 columns in place of 20.
    """

    def __init__(
        self, inputs: int, components: int, config: LstmConfig, lookahead: int | None = None
    ) -> None:
        delay = round(config.delay_s * COLUMNS_PER_SECOND)
        delay = delay if lookahead is None else min(delay, lookahead)
        super().__init__(inputs, components, Reach(None, delay))
        self.delay = delay  # columns
        self.memory = nn.LSTM(inputs, config.units, batch_first=True)
        self.head = nn.Linear(config.units, components)

    def forward(self, features: Tensor) -> Tensor:
        self.check_features(features)
        heard = functional.pad(features, (0, self.delay)).transpose(1, 2)  # (B, M + delay, C)
        hidden, _ = self.memory(heard)
        out: Tensor = self.head(hidden[:, self.delay :: STRIDE])
        return out.transpose(1, 2)
