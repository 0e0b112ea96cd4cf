"""Settings of the seam between the new lower face and its footage."""

from __future__ import annotations

from dataclasses import dataclass

from metatalk.errors import ConfigError

MOST_LEVELS = 8


@dataclass(frozen=True)
class SeamConfig:
    """How a new lower face is made one with its picture."""

    levels: int = 4  # of the pyramid in whose bands the two are mixed; 1: all bands alike
    reach: float = 2.0  # how deep the coarsest band is mixed, in widths of `drive.feather`
    still: float = 6.0  # the same where the footage shows what the new face does; 0: as elsewhere
    grain: float = 1.0  # how much of the source's grain is laid where it is missing, 0 to 1

    def __post_init__(self) -> None:
        if not 1 <= self.levels <= MOST_LEVELS:
            raise ConfigError(f"drive.seam.levels is {self.levels}", f"give 1 to {MOST_LEVELS}")
        if not 1 <= self.reach <= 10:
            raise ConfigError(f"drive.seam.reach is {self.reach}", "give 1 to 10")
        if not 0 <= self.still <= 10:
            raise ConfigError(f"drive.seam.still is {self.still}", "give 0 to 10")
        if not 0 <= self.grain <= 1:
            raise ConfigError(f"drive.seam.grain is {self.grain}", "give 0 to 1")
