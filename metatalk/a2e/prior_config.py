"""Settings of the prior: what many actors' mouths have in common."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from metatalk.a2e.architectures.config import BilstmConfig, EnsembleConfig, LstmConfig, TcnConfig
from metatalk.a2e.config import AugmentConfig, KernelConfig
from metatalk.errors import ConfigError

_REFERENCE_S = 100.0  # seconds of footage that `steps` is meant for


@dataclass(frozen=True)
class PriorConfig:
    """One network for all actors, and how it is trained."""

    components: int = 8  # axes on which every actor's mouth is measured
    steps: int = 150  # for 100 s of footage; more footage bears more
    batch: int = 16
    window_s: float = 2.0
    learning_rate: float = 2e-3
    weight_decay: float = 0.1
    average: float = 0.995  # decay of the weights' moving average
    velocity_weight: float = 1.0
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    tcn: TcnConfig = field(default_factory=lambda: TcnConfig(channels=96, dropout=0.4))
    ensemble: EnsembleConfig = field(default_factory=lambda: EnsembleConfig(members=2))
    lstm: LstmConfig = field(default_factory=LstmConfig)
    bilstm: BilstmConfig = field(default_factory=BilstmConfig)
    # Mixed with the networks: of a few minutes of clips it makes more than they do.
    kernel: KernelConfig = field(default_factory=lambda: KernelConfig(ridge=1.0))
    devices: int = 1  # processes side by side, each with a GPU where there are any
    precision: Literal["auto", "full", "mixed"] = "auto"  # auto: mixed where the GPU has bfloat16

    def __post_init__(self) -> None:
        for name in ("components", "steps", "batch", "devices"):
            if getattr(self, name) < 1:
                raise ConfigError(f"prior.{name} is {getattr(self, name)}", "Give 1 or more.")
        for name in ("window_s", "learning_rate"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"prior.{name} is {getattr(self, name)}", "Give more than 0.")
        for name in ("weight_decay", "velocity_weight"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"prior.{name} is {getattr(self, name)}", "Give 0 or more.")
        if not 0 <= self.average < 1:
            raise ConfigError(f"prior.average is {self.average}", "Give 0 to 0.9999.")
        if self.batch < self.devices:
            raise ConfigError(
                f"prior.batch is {self.batch} for {self.devices} devices",
                "Give at least as many windows as devices.",
            )

    def steps_for(self, footage_s: float) -> int:
        """Count the training steps that footage of a length bears."""
        return max(1, round(self.steps * math.sqrt(max(footage_s, 1.0) / _REFERENCE_S)))
