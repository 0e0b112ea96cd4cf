"""Settings of the speech detector and of the gate it opens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from metatalk.errors import ConfigError


@dataclass(frozen=True)
class ActivityConfig:
    """When the mouth follows the sound, and how it comes out of its rest and back."""

    detector: Literal["auto", "silero", "level"] = "auto"  # auto: silero where it is installed
    threshold: float = 0.4  # probability of speech that opens the gate
    hold: float = 0.2  # probability below which it closes
    shortest_s: float = 0.08  # speech shorter than this is a smack or a click
    lead_s: float = 0.6  # a mouth opens this long before its sound is told for speech,
    trail_s: float = 0.25  # and goes on this long after
    attack_s: float = 0.3  # from rest to full movement
    release_s: float = 0.3  # from full movement to rest

    def __post_init__(self) -> None:
        if not 0 < self.hold <= self.threshold < 1:
            raise ConfigError(
                f"a2e.activity.hold is {self.hold} and .threshold {self.threshold}",
                "Give 0 < hold <= threshold < 1.",
            )
        for name in ("shortest_s", "lead_s", "trail_s", "attack_s", "release_s"):
            if not 0 <= getattr(self, name) <= 2:
                raise ConfigError(
                    f"a2e.activity.{name} is {getattr(self, name)}", "Give 0 to 2 seconds."
                )
