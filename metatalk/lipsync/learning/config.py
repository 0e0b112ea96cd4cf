"""Settings with which the lip-sync expert and the Wav2Lip generator are trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from metatalk.errors import ConfigError

Precision = Literal["auto", "full", "mixed"]  # auto: mixed where the processor has bfloat16


@dataclass(frozen=True)
class JitterConfig:
    """How windows are varied, so that a few minutes of faces go further."""

    shift_px: float = 5.0  # of the box, in the generator's 96 pixels
    zoom: float = 0.08  # of the box's size, either way
    mirror: bool = True
    contrast: float = 0.3
    brightness: float = 0.15  # of each colour
    loudness: float = 0.6  # of the mel, in its units of 12.5 dB
    equaliser: float = 0.5  # slow ripples over the bands, in the same units

    def __post_init__(self) -> None:
        if not 0 <= self.shift_px <= 8:
            raise ConfigError(
                f"jitter.shift_px is {self.shift_px}",
                "give 0 to 8: prepared faces have no more around them",
            )
        if not (0 <= self.zoom <= 0.15 and 0 <= self.contrast < 1):
            raise ConfigError(
                "jitter.zoom or jitter.contrast is out of range",
                "give a zoom of 0 to 0.15 and a contrast of 0 to 0.99",
            )
        if min(self.brightness, self.loudness, self.equaliser) < 0:
            raise ConfigError("a jitter is negative", "use 0 for none")


@dataclass(frozen=True)
class ExpertConfig:
    """The lip-sync expert: told whether lips and sound belong together."""

    steps: int = 4000
    batch: int = 32
    learning_rate: float = 3e-4
    contrast_weight: float = 1.0  # of telling a window's sound from all others of the batch
    cosine_weight: float = 1.0  # of the cosine's cross-entropy, Wav2Lip's own loss
    group: int = 8  # windows of one track in a batch: the hard ones to tell apart
    least_shift: int = 3  # frames between a window and sound that is called out of sync
    evenness: float = 0.5  # 0: every window of the corpus is as likely; 1: every source is
    held_out: float = 0.2  # of the sources where there are many, else of each track's end
    checks: int = 10  # times that held-out accuracy is measured
    jitter: JitterConfig = JitterConfig()
    workers: int = 2  # processes that read windows
    devices: int = 1
    precision: Precision = "auto"

    def __post_init__(self) -> None:
        _require_counts(self, "expert", ("steps", "batch", "group", "least_shift", "checks"))
        _require_training(self, "expert")
        if not (self.contrast_weight >= 0 and self.cosine_weight >= 0):
            raise ConfigError("a weight of expert is negative", "use 0 for none")
        if self.contrast_weight + self.cosine_weight == 0:
            raise ConfigError(
                "expert.contrast_weight and expert.cosine_weight are both 0", "set one of them"
            )
        if self.batch < 2 * self.devices:
            raise ConfigError(
                f"expert.batch is {self.batch} on {self.devices} devices",
                "give 2 or more for each: a window is told from others",
            )
        if self.batch % self.devices or (self.batch // self.devices) % self.group:
            raise ConfigError(
                f"expert.batch is {self.batch} for groups of {self.group} on "
                f"{self.devices} devices",
                "give a multiple of expert.group times expert.devices",
            )


@dataclass(frozen=True)
class TeacherConfig:
    """Wav2Lip's generator, taught by an expert that is not trained any more."""

    steps: int = 20000
    batch: int = 4  # windows of five frames
    learning_rate: float = 1e-4
    sync_weight: float = 0.03  # once the expert is content enough; 0 until then
    sync_from: float = 0.75  # the expert's loss on generated held-out frames that opens it
    adversary_weight: float = 0.07  # of the quality discriminator; 0: none is trained
    adversary_after: float = 0.3  # of the steps; before, the faces are blurs to any critic
    mouth_weight: float = 2.0  # of the lower half's pixels against the upper's 1
    average: float = 0.998  # decay of the weights' moving average, which is what is kept
    reference_apart: int = 5  # frames between a window and its reference, at least
    evenness: float = 0.5  # as the expert's
    held_out: float = 0.1
    checks: int = 10
    jitter: JitterConfig = JitterConfig()
    workers: int = 2
    devices: int = 1
    precision: Precision = "auto"

    def __post_init__(self) -> None:
        _require_counts(self, "teacher", ("steps", "batch", "reference_apart", "checks"))
        _require_training(self, "teacher")
        for name in ("sync_weight", "adversary_weight"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"teacher.{name} is {getattr(self, name)}", "give 0 to 0.99")
        if self.sync_weight + self.adversary_weight >= 1:
            raise ConfigError(
                "teacher.sync_weight and teacher.adversary_weight leave nothing for the picture",
                "give weights that add up to less than 1",
            )
        if not (0 <= self.average < 1 and 0 <= self.adversary_after <= 1):
            raise ConfigError(
                "teacher.average or teacher.adversary_after is out of range", "give 0 to 1"
            )
        if not (self.mouth_weight > 0 and self.sync_from >= 0):
            raise ConfigError(
                "teacher.mouth_weight or teacher.sync_from is out of range",
                "give a mouth_weight above 0 and a sync_from of 0 or more",
            )
        if self.batch % self.devices:
            raise ConfigError(
                f"teacher.batch is {self.batch} for {self.devices} devices",
                "give a multiple of teacher.devices",
            )


def _require_counts(config: object, section: str, names: tuple[str, ...]) -> None:
    for name in names:
        if getattr(config, name) < 1:
            raise ConfigError(f"{section}.{name} is {getattr(config, name)}", "give 1 or more")


def _require_training(config: ExpertConfig | TeacherConfig, section: str) -> None:
    if not config.learning_rate > 0:
        raise ConfigError(f"{section}.learning_rate is {config.learning_rate}", "give more than 0")
    if not 0 < config.held_out < 1:
        raise ConfigError(
            f"{section}.held_out is {config.held_out}", "give a share between 0 and 1"
        )
    if not 0 <= config.evenness <= 1:
        raise ConfigError(f"{section}.evenness is {config.evenness}", "give 0 to 1")
    if config.workers < 0 or config.devices < 1:
        raise ConfigError(
            f"{section}.workers or {section}.devices is out of range",
            "give 0 or more workers and 1 or more devices",
        )
