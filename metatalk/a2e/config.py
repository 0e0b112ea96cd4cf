"""Settings of the audio-to-expression network."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from metatalk.errors import ConfigError

_REFERENCE_S = 16.0  # seconds of footage that `steps` is meant for


@dataclass(frozen=True)
class FeatureConfig:
    """What the network hears: log mel bands at 80 columns a second."""

    prior_s: float = 8.0  # seconds of speech that the footage's statistics count for

    def __post_init__(self) -> None:
        if not self.prior_s >= 0:
            raise ConfigError(f"a2e.features.prior_s is {self.prior_s}", "Give 0 or more.")


@dataclass(frozen=True)
class AugmentConfig:
    """How the training sound is varied; 0 switches a variation off."""

    share: float = 0.7  # of the windows that sound like another voice or microphone
    gain_db: float = 3.0  # standard deviation of the level
    equaliser_db: float = 3.0  # standard deviation of a smooth curve over the bands
    warp: float = 0.08  # largest relative change of the vocal tract's length
    tempo: float = 0.1  # largest relative change of the speed, sound and mouth alike
    noise: float = 0.3  # share of windows with added noise
    mask_bands: int = 0  # widest run of bands that is blanked
    mask_columns: int = 0  # longest run of columns that is blanked

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value >= 0:
                raise ConfigError(f"a2e.augment.{name} is {value}", "It must be 0 or more.")
        if max(self.share, self.noise) > 1:
            raise ConfigError("a2e.augment.share or .noise is above 1", "Give 0 to 1.")
        for name in ("warp", "tempo"):
            if getattr(self, name) >= 0.5:
                raise ConfigError(f"a2e.augment.{name} is 0.5 or more", "0.1 is a strong value.")


@dataclass(frozen=True)
class NetworkConfig:
    """The shape of one temporal convolutional network; the receptive field follows from it."""

    channels: int = 48
    kernel: int = 3
    dilations: tuple[int, ...] = (1, 2, 4)  # a quarter of a second to either side
    dropout: float = 0.3
    members: int = 3  # networks whose mean is the prediction

    def __post_init__(self) -> None:
        if min(self.channels, self.members, len(self.dilations), *self.dilations) < 1:
            raise ConfigError("a2e.network has a size below 1", "Give positive whole numbers.")
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise ConfigError(f"a2e.network.kernel is {self.kernel}", "Give an odd number from 1.")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"a2e.network.dropout is {self.dropout}", "Give 0 to 0.9.")


@dataclass(frozen=True)
class KernelConfig:
    """The kernel regression that is mixed with the networks."""

    share: float = 0.5  # of the prediction; 0 leaves the networks alone
    context_s: float = 0.06  # the sound that is compared reaches twice as far to either side
    coefficients: int = 24  # cepstral coefficients
    width: float = 0.7  # of the kernel, in median squared distances
    ridge: float = 0.3
    centres: int = 4000  # moments of the footage remembered, at most

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ConfigError(f"a2e.kernel.share is {self.share}", "Give 0 to 1.")
        if not all(size > 0 for size in (self.context_s, self.width, self.ridge)):
            raise ConfigError("a2e.kernel has a size of 0 or less", "Give positive numbers.")
        if not 1 <= self.coefficients <= 80 or self.centres < 2:
            raise ConfigError(
                "a2e.kernel.coefficients or .centres is out of range",
                "Give 1 to 80 coefficients and at least 2 centres.",
            )


@dataclass(frozen=True)
class A2EConfig:
    """From speech to the actor's mouth."""

    components: int = 8  # size of the actor's mouth space
    features: FeatureConfig = field(default_factory=FeatureConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    kernel: KernelConfig = field(default_factory=KernelConfig)
    steps: int = 400  # for 16 s of footage, at most; more footage bears more
    batch: int = 8
    window_s: float = 2.0
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    average: float = 0.995  # decay of the weights' moving average
    velocity_weight: float = 1.0
    held_out: float = 0.15  # share of the footage, at its end, that measures the training
    smooth_s: float = 0.0  # standard deviation of the filter over the prediction
    amplitude: float = 1.0  # stretch of the mouth's movement about its rest
    liveliness: float = 0.5  # how much of the movement lost to averaging is given back, 0 to 1

    def __post_init__(self) -> None:
        for name in ("components", "steps", "batch"):
            if getattr(self, name) < 1:
                raise ConfigError(f"a2e.{name} is {getattr(self, name)}", "Give 1 or more.")
        for name in ("window_s", "learning_rate"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"a2e.{name} is {getattr(self, name)}", "Give more than 0.")
        for name in ("weight_decay", "velocity_weight", "smooth_s", "amplitude"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"a2e.{name} is {getattr(self, name)}", "Give 0 or more.")
        if not 0 <= self.liveliness <= 1:
            raise ConfigError(f"a2e.liveliness is {self.liveliness}", "Give 0 to 1.")
        if not 0 < self.held_out < 0.5:
            raise ConfigError(f"a2e.held_out is {self.held_out}", "Give a share below 0.5.")
        if not 0 <= self.average < 1:
            raise ConfigError(f"a2e.average is {self.average}", "Give 0 to 0.9999.")

    def steps_for(self, footage_s: float) -> int:
        """Count the training steps that footage of a length bears, at most."""
        return max(1, round(self.steps * math.sqrt(max(footage_s, 1.0) / _REFERENCE_S)))
