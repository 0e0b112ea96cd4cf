"""Settings of a result in which only some parts get a new mouth."""

from __future__ import annotations

from dataclasses import dataclass

from metatalk.errors import ConfigError


@dataclass(frozen=True)
class SegmentsConfig:
    """How the filmed mouth becomes the new one beside a segment."""

    ramp_s: float = 0.2  # how long it takes, before the segment and after it
    fade: float = 0.35  # share of that, farthest from the segment, in which the picture changes
    margin_s: float = 0.08  # with --changed-from: the mouth moves before and after its sound

    def __post_init__(self) -> None:
        if not 0 <= self.ramp_s <= 5:
            raise ConfigError(f"drive.segments.ramp_s is {self.ramp_s}", "give 0 to 5 seconds")
        if not 0 < self.fade <= 1:
            raise ConfigError(
                f"drive.segments.fade is {self.fade}", "give a share above 0, up to 1"
            )
        if not 0 <= self.margin_s <= 1:
            raise ConfigError(f"drive.segments.margin_s is {self.margin_s}", "give 0 to 1 second")
