"""Settings of the footage's sound in other voices."""

from __future__ import annotations

from dataclasses import dataclass

from metatalk.errors import ConfigError


@dataclass(frozen=True)
class VoiceConfig:
    """How far copies of the footage's sound go from it; 0 switches a variation off.

    `pitch` and `tract` are the largest factors of change less one; room, noise, babble, clipping
    and codec are the shares of the copies that have them.
    """

    copies: int = 2  # of the footage's sound in other voices
    pitch: float = 0.5
    tract: float = 0.18
    equaliser_db: float = 4.0  # standard deviation of a smooth curve over the frequencies
    level_db: float = 5.0  # standard deviation
    room: float = 0.4
    noise: float = 0.4
    babble: float = 0.15
    clipping: float = 0.1
    codec: float = 0.3

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value >= 0:
                raise ConfigError(f"a2e.voices.{name} is {value}", "It must be 0 or more.")
        for name in ("room", "noise", "babble", "clipping", "codec"):
            if getattr(self, name) > 1:
                raise ConfigError(f"a2e.voices.{name} is a share above 1", "Give 0 to 1.")
        for name in ("pitch", "tract"):
            if getattr(self, name) > 0.9:
                raise ConfigError(f"a2e.voices.{name} is above 0.9", "0.5 is a strong value.")
