"""Settings of a live result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from metatalk.errors import ConfigError

X264_PRESETS = (
    "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow",
    "placebo",
)  # fmt: skip


@dataclass(frozen=True)
class LiveConfig:
    """What a live result does when pictures are made more slowly than they are shown."""

    late: Literal["drop", "wait"] = "drop"  # drop: the last picture stays; wait: falls behind
    slack_s: float = 0.16  # frames of so long may be under way before one is too late
    encoder_preset: str = "superfast"  # x264's; a live picture has no time for "veryfast"

    def __post_init__(self) -> None:
        if self.late not in ("drop", "wait"):
            raise ConfigError(f"drive.live.late is {self.late!r}", "give drop or wait")
        if self.encoder_preset not in X264_PRESETS:
            raise ConfigError(
                f"drive.live.encoder_preset is {self.encoder_preset!r}",
                f"x264 knows {', '.join(X264_PRESETS)}",
            )
        if not 0 <= self.slack_s <= 10:
            raise ConfigError(f"drive.live.slack_s is {self.slack_s}", "give 0 to 10 seconds")
