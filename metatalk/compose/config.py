"""Settings of what happens when an actor is driven."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from metatalk.a2e.closure_config import ClosureConfig
from metatalk.compose.delivery_config import DeliveryConfig
from metatalk.compose.eyes.config import EyesConfig
from metatalk.compose.fallback.config import FallbackConfig
from metatalk.compose.grade_config import GradeConfig
from metatalk.compose.jaw_config import JawConfig
from metatalk.compose.live_config import X264_PRESETS, LiveConfig
from metatalk.compose.mouth_config import MouthConfig
from metatalk.compose.retiming.config import RetimingConfig
from metatalk.compose.seam.config import SeamConfig
from metatalk.compose.segments_config import SegmentsConfig
from metatalk.errors import ConfigError


@dataclass(frozen=True)
class DriveConfig:
    """How a recording becomes a video."""

    length: Literal["audio", "video"] = "audio"  # which of the two ends the result
    crf: int = 16  # H.264 quality, lower is better
    encoder_preset: str = "veryfast"  # x264's trade of time for size
    batch: int = 4  # frames at once; more only cost memory
    filmed: bool = True  # let the renderer see the filmed lower face under the new mouth
    detail: float = 1.0  # how much of the footage's own fine texture is carried over, 0 to 1
    detail_px: float = 2.0  # width of the blur that parts fine from coarse, at a crop of 256 px
    feather: float = 0.04  # width of the mask's soft edge, as a share of the crop's side
    colour_match: float = 1.0  # how fully the seam's colours are matched to the footage, 0 to 1
    fade_frames: int = 4  # frames over which the filmed mouth takes over where the face is lost
    retime: Literal["off", "loop", "speech", "pose"] = "loop"  # which frame stands behind which
    retiming: RetimingConfig = RetimingConfig()
    segments: SegmentsConfig = SegmentsConfig()
    mouth: MouthConfig = MouthConfig()
    eyes: EyesConfig = EyesConfig()
    jaw: JawConfig = JawConfig()
    seam: SeamConfig = SeamConfig()
    grade: GradeConfig = GradeConfig()
    fallback: FallbackConfig = FallbackConfig()
    delivery: DeliveryConfig = DeliveryConfig()
    closure: ClosureConfig = field(default_factory=ClosureConfig)
    live: LiveConfig = field(default_factory=LiveConfig)

    def __post_init__(self) -> None:
        if not 0 <= self.crf <= 51:
            raise ConfigError(f"drive.crf is {self.crf}", "give 0 (lossless) to 51")
        if self.encoder_preset not in X264_PRESETS:
            raise ConfigError(
                f"drive.encoder_preset is {self.encoder_preset!r}",
                f"x264 knows {', '.join(X264_PRESETS)}",
            )
        if self.batch < 1:
            raise ConfigError(f"drive.batch is {self.batch}", "give a whole number from 1")
        if self.fade_frames < 0:
            raise ConfigError(f"drive.fade_frames is {self.fade_frames}", "give 0 or more")
        for name in ("detail", "colour_match", "feather"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"drive.{name} is {getattr(self, name)}", "give 0 to 1")
        if not self.detail_px > 0:
            raise ConfigError(f"drive.detail_px is {self.detail_px}", "give a number above zero")
