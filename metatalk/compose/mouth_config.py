"""Settings of how large, how calm and how crisp the new mouth moves."""

from __future__ import annotations

from dataclasses import dataclass

from metatalk.errors import ConfigError

MOST_AMPLITUDE = 3.0
LONGEST_SMOOTHING_S = 1.0


@dataclass(frozen=True)
class MouthConfig:
    """What an animator turns; the defaults change nothing."""

    amplitude: float = 1.0  # stretch of the movement about the face at rest
    smoothing_s: float = 0.0  # standard deviation of a filter over time that calms it
    consonants: float = 0.0  # how much the quick part of the movement is raised

    def __post_init__(self) -> None:
        if not 0 <= self.amplitude <= MOST_AMPLITUDE:
            raise ConfigError(
                f"drive.mouth.amplitude is {self.amplitude}", f"give 0 to {MOST_AMPLITUDE:g}"
            )
        if not 0 <= self.smoothing_s <= LONGEST_SMOOTHING_S:
            raise ConfigError(
                f"drive.mouth.smoothing_s is {self.smoothing_s}",
                f"give seconds, 0 to {LONGEST_SMOOTHING_S:g}",
            )
        if not 0 <= self.consonants <= 2:
            raise ConfigError(f"drive.mouth.consonants is {self.consonants}", "give 0 to 2")
