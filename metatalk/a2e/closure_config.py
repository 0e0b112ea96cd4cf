"""Settings of the closing of lips."""

from __future__ import annotations

import math
from dataclasses import dataclass

from metatalk.errors import ConfigError


@dataclass(frozen=True)
class ClosureConfig:
    """How lips are closed."""

    strength: float = 1.0  # 0 leaves the lips alone, 1 closes them, more presses them
    ramp_s: float = 0.07  # of the way in, and of the way out
    speed_mm_s: float = 250.0  # lips are not moved faster: larger gaps take longer ramps
    teeth_gap_mm: float = 2.5  # of lips on f and v, the lower one at the teeth
    least_odds: float = -1.0  # log-odds from which a phone is believed that was only heard

    def __post_init__(self) -> None:
        for name in ("strength", "teeth_gap_mm"):
            if not getattr(self, name) >= 0:
                raise ConfigError(
                    f"drive.closure.{name} is {getattr(self, name)}", "Give 0 or more."
                )
        for name in ("ramp_s", "speed_mm_s"):
            if not getattr(self, name) > 0:
                raise ConfigError(
                    f"drive.closure.{name} is {getattr(self, name)}", "Give more than 0."
                )
        if not math.isfinite(self.least_odds):
            raise ConfigError(f"drive.closure.least_odds is {self.least_odds}", "Give a number.")
