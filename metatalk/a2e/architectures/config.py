"""Sizes of the audio-to-expression networks, and their names."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

from metatalk.errors import ConfigError

BodyName = Literal["time_delayed_lstm", "bilstm", "tcn", "adversarial", "audiodvp"]
NetworkName = Literal["ours", "time_delayed_lstm", "bilstm", "tcn", "adversarial", "audiodvp"]


@dataclass(frozen=True)
class TcnConfig:
    """A temporal convolutional network; the receptive field follows from it."""

    channels: int = 48
    kernel: int = 3
    dilations: tuple[int, ...] = (1, 2, 4)  # a quarter of a second to either side
    dropout: float = 0.3

    def __post_init__(self) -> None:
        if not self.dilations or min(self.channels, *self.dilations) < 1:
            raise ConfigError("a2e.tcn has a size below 1", "Give positive whole numbers.")
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise ConfigError(f"a2e.tcn.kernel is {self.kernel}", "Give an odd number from 1.")
        _check_dropout("a2e.tcn.dropout", self.dropout)


@dataclass(frozen=True)
class LstmConfig:
    """The time-delayed LSTM: it answers late, when it has heard what comes after."""

    units: int = 60
    delay_s: float = 0.2

    def __post_init__(self) -> None:
        if self.units < 1:
            raise ConfigError(f"a2e.lstm.units is {self.units}", "Give 1 or more.")
        if not 0 <= self.delay_s <= 2:
            raise ConfigError(f"a2e.lstm.delay_s is {self.delay_s}", "Give 0 to 2 seconds.")


@dataclass(frozen=True)
class BilstmConfig:
    """The bidirectional LSTM."""

    units: int = 64  # in each direction
    layers: int = 2
    dropout: float = 0.3  # between the layers and before the output

    def __post_init__(self) -> None:
        if min(self.units, self.layers) < 1:
            raise ConfigError("a2e.bilstm has a size below 1", "Give positive whole numbers.")
        _check_dropout("a2e.bilstm.dropout", self.dropout)


@dataclass(frozen=True)
class CriticConfig:
    """The critic of the adversarial network, and how much its word counts."""

    channels: int = 48
    weight: float = 0.1  # of the critic's word beside the squared error
    learning_rate: float = 1e-3
    begin: int = 100  # steps that it learns before it is listened to

    def __post_init__(self) -> None:
        if self.channels < 1:
            raise ConfigError(f"a2e.critic.channels is {self.channels}", "Give 1 or more.")
        if not self.weight >= 0:
            raise ConfigError(f"a2e.critic.weight is {self.weight}", "Give 0 or more.")
        if not self.learning_rate > 0:
            raise ConfigError(
                f"a2e.critic.learning_rate is {self.learning_rate}", "Give more than 0."
            )
        if self.begin < 0:
            raise ConfigError(f"a2e.critic.begin is {self.begin}", "Give 0 or more steps.")


@dataclass(frozen=True)
class EnsembleConfig:
    """Our network: several of one kind whose mean is the prediction."""

    members: int = 3
    body: BodyName = "tcn"

    def __post_init__(self) -> None:
        if self.members < 1:
            raise ConfigError(f"a2e.ensemble.members is {self.members}", "Give 1 or more.")


class Sizes(Protocol):
    """What a network is built by: any section of settings that holds these."""

    @property
    def tcn(self) -> TcnConfig: ...
    @property
    def lstm(self) -> LstmConfig: ...
    @property
    def bilstm(self) -> BilstmConfig: ...
    @property
    def ensemble(self) -> EnsembleConfig: ...


@dataclass(frozen=True)
class NetworkSizes:
    """The sizes alone, for whoever builds networks without the rest of the settings."""

    tcn: TcnConfig = field(default_factory=TcnConfig)
    lstm: LstmConfig = field(default_factory=LstmConfig)
    bilstm: BilstmConfig = field(default_factory=BilstmConfig)
    ensemble: EnsembleConfig = field(default_factory=EnsembleConfig)


def _check_dropout(name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise ConfigError(f"{name} is {value}", "Give 0 to 0.9.")
