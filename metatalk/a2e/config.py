"""Settings of the way from sound to the actor's mouth."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from metatalk.a2e.activity_config import ActivityConfig
from metatalk.a2e.architectures.config import (
    BilstmConfig,
    CriticConfig,
    EnsembleConfig,
    LstmConfig,
    NetworkName,
    TcnConfig,
)
from metatalk.a2e.encoder_config import EncoderConfig
from metatalk.a2e.voice_config import VoiceConfig
from metatalk.errors import ConfigError

_REFERENCE_S = 16.0  # seconds of footage that `steps` is meant for
STREAMS = ("speech", "phones", "mfcc")  # what may be heard beside the mel spectrogram


@dataclass(frozen=True)
class FeatureConfig:
    """What is heard: log mel bands at 80 columns a second, and streams beside them."""

    streams: tuple[str, ...] | None = None  # of STREAMS; none given: what the network wants
    prior_s: float = 8.0  # seconds of speech that the footage's statistics count for

    def __post_init__(self) -> None:
        if not self.prior_s >= 0:
            raise ConfigError(f"a2e.features.prior_s is {self.prior_s}", "Give 0 or more.")
        for name in self.streams or ():
            if name not in STREAMS:
                raise ConfigError(
                    f"a2e.features.streams names {name!r}", f"Choose of {', '.join(STREAMS)}."
                )


@dataclass(frozen=True)
class AugmentConfig:
    """How the training sound is varied; 0 switches a variation off."""

    share: float = 0.7  # of the windows that sound like another voice or microphone
    gain_db: float = 3.0  # standard deviation of the level
    equaliser_db: float = 3.0  # standard deviation of a smooth curve over the bands
    warp: float = 0.08  # largest relative change of the vocal tract's length
    tempo: float = 0.1  # largest relative change of the speed, sound and mouth alike
    noise: float = 0.3  # share of windows with added noise
    drop_mel: float = 0.5  # share of windows without mel bands, where other streams are heard
    mask_bands: int = 0  # widest run of bands that is blanked
    mask_columns: int = 0  # longest run of columns that is blanked

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value >= 0:
                raise ConfigError(f"a2e.augment.{name} is {value}", "It must be 0 or more.")
        for name in ("share", "noise", "drop_mel"):
            if getattr(self, name) > 1:
                raise ConfigError(f"a2e.augment.{name} is a share above 1", "Give 0 to 1.")
        for name in ("warp", "tempo"):
            if getattr(self, name) >= 0.5:
                raise ConfigError(f"a2e.augment.{name} is 0.5 or more", "0.1 is a strong value.")


@dataclass(frozen=True)
class KernelConfig:
    """The kernel regression that is mixed with the networks."""

    share: float = 0.7  # of the prediction; 0 leaves the networks alone
    foreign: float | None = None  # of it from the streams that know no speaker; none: as the
    # driving voice is unlike the actor's
    context_s: float = 0.06  # the mel columns compared reach twice as far to either side
    coefficients: int = 24  # cepstral coefficients
    heard_s: float = 0.3  # the streams compared reach so far to either side
    axes: int = 96  # principal axes of the streams
    width: float = 1.5  # of the kernel, in median squared distances
    ridge: float = 0.1
    centres: int = 3000  # moments of the footage remembered, at most

    def __post_init__(self) -> None:
        for name in ("share", "foreign"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ConfigError(f"a2e.kernel.{name} is {value}", "Give 0 to 1.")
        if not all(size > 0 for size in (self.context_s, self.heard_s, self.width, self.ridge)):
            raise ConfigError("a2e.kernel has a size of 0 or less", "Give positive numbers.")
        if not 1 <= self.coefficients <= 80 or self.centres < 2 or self.axes < 1:
            raise ConfigError(
                "a2e.kernel.coefficients, .axes or .centres is out of range",
                "Give 1 to 80 coefficients, at least 1 axis and at least 2 centres.",
            )


@dataclass(frozen=True)
class PseudoMixConfig:
    """How much is learned from pseudo video, where there is some, beside the actor's own clip."""

    begin: float = 0.8  # share of the training windows at first: many voices,
    end: float = 0.2  # and at last: the actor's own way
    kernel: float = 0.0  # weight of a pseudo moment in the kernel regression; 0: not remembered

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 <= value <= 1:
                raise ConfigError(f"a2e.pseudo.{name} is {value}", "Give 0 to 1.")

    def share_at(self, done: float) -> float:
        """Share of the windows when a part of the training, 0 to 1, is done."""
        return self.begin + (self.end - self.begin) * min(max(done, 0.0), 1.0)


@dataclass(frozen=True)
class A2EConfig:
    """From speech to the actor's mouth."""

    components: int = 8  # size of the actor's mouth space
    network: NetworkName = "ours"
    features: FeatureConfig = field(default_factory=FeatureConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    voices: VoiceConfig = field(default_factory=VoiceConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    tcn: TcnConfig = field(default_factory=TcnConfig)
    lstm: LstmConfig = field(default_factory=LstmConfig)
    bilstm: BilstmConfig = field(default_factory=BilstmConfig)
    critic: CriticConfig = field(default_factory=CriticConfig)
    ensemble: EnsembleConfig = field(default_factory=EnsembleConfig)
    kernel: KernelConfig = field(default_factory=KernelConfig)
    pseudo: PseudoMixConfig = field(default_factory=PseudoMixConfig)
    activity: ActivityConfig = field(default_factory=ActivityConfig)
    prior: str | None = None  # a file of `metatalk prior train` to start from
    offset_s: float | None = None  # how late the footage's sound comes; none: it is measured
    lookahead_ms: float | None = None  # of the sound to come that is listened to; none: all of it
    steps: int = 250  # for 16 s of footage, at most; more footage bears more
    batch: int = 8
    window_s: float = 2.0
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    average: float = 0.995  # decay of the weights' moving average
    velocity_weight: float = 1.0
    lips_weight: float = 0.5  # of gap, width and protrusion of the lips
    closed_weight: float = 1.0  # how much more the lips' gap counts where they are closed
    held_out: float = 0.15  # share of the footage, at its end, that measures the training
    smooth_s: float = 0.0  # standard deviation of the filter over the prediction
    amplitude: float = 1.0  # stretch of the mouth's movement about its rest
    liveliness: float = 0.5  # how much of the movement lost to averaging is given back, 0 to 1
    seen: float = 0.0  # how far the prediction is drawn to what the actor was seen to do, 0 to 1
    neighbours: int = 8  # frames of the footage that this is judged by

    def __post_init__(self) -> None:
        for name in ("components", "steps", "batch", "neighbours"):
            if getattr(self, name) < 1:
                raise ConfigError(f"a2e.{name} is {getattr(self, name)}", "Give 1 or more.")
        for name in ("window_s", "learning_rate"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"a2e.{name} is {getattr(self, name)}", "Give more than 0.")
        for name in _NOT_NEGATIVE:
            if not getattr(self, name) >= 0:
                raise ConfigError(f"a2e.{name} is {getattr(self, name)}", "Give 0 or more.")
        for name in ("liveliness", "seen"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"a2e.{name} is {getattr(self, name)}", "Give 0 to 1.")
        if not 0 < self.held_out < 0.5:
            raise ConfigError(f"a2e.held_out is {self.held_out}", "Give a share below 0.5.")
        if not 0 <= self.average < 1:
            raise ConfigError(f"a2e.average is {self.average}", "Give 0 to 0.9999.")
        if self.offset_s is not None and not abs(self.offset_s) <= _LARGEST_OFFSET_S:
            raise ConfigError(
                f"a2e.offset_s is {self.offset_s}", f"Give seconds within {_LARGEST_OFFSET_S:g}."
            )
        if self.lookahead_ms is not None and not 0 <= self.lookahead_ms <= 2000:
            raise ConfigError(f"a2e.lookahead_ms is {self.lookahead_ms}", "Give 0 to 2000.")

    def steps_for(self, footage_s: float) -> int:
        """Count the training steps that footage of a length bears, at most."""
        return max(1, round(self.steps * math.sqrt(max(footage_s, 1.0) / _REFERENCE_S)))


_LARGEST_OFFSET_S = 2.0
_NOT_NEGATIVE = (
    "weight_decay",
    "velocity_weight",
    "lips_weight",
    "closed_weight",
    "smooth_s",
    "amplitude",
)
