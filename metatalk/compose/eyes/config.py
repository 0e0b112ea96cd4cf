"""Settings of the eyes in a result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from metatalk.errors import ConfigError

Blinks = Literal["keep", "replace", "remove"]


@dataclass(frozen=True)
class EyesConfig:
    """What happens to filmed blinks.

    Footage that is shown again, backwards or at another pace blinks at the wrong moments. Blinks
    are taken out by showing the same person's open eyes instead, and put in by showing one of
    their own filmed blinks.
    """

    blinks: Blinks = "keep"  # replace: filmed ones out, others in where the recording pauses
    per_minute: float = 0.0  # blinks that `replace` aims at; 0: as many as the footage shows
    least_gap_s: float = 1.5  # from the end of one blink to the start of the next one put in
    # How unlike the two pictures may be around an eye for one to be laid over the other, as a
    # share of the contrast there; above it a blink stays as filmed.
    rim_limit: float = 0.7

    def __post_init__(self) -> None:
        if self.blinks not in get_args(Blinks):
            raise ConfigError(
                f"drive.eyes.blinks is {self.blinks!r}", f"give {', '.join(get_args(Blinks))}"
            )
        if not 0 <= self.per_minute <= 60:
            raise ConfigError(
                f"drive.eyes.per_minute is {self.per_minute}",
                "give 0 (as many as the footage shows) to 60",
            )
        if not 0.2 <= self.least_gap_s <= 60:
            raise ConfigError(
                f"drive.eyes.least_gap_s is {self.least_gap_s}", "give 0.2 to 60 seconds"
            )
        if not self.rim_limit > 0:
            raise ConfigError(
                f"drive.eyes.rim_limit is {self.rim_limit}", "give a number above zero, such as 0.7"
            )
