"""Settings of how what lies below the chin follows a new jaw."""

from __future__ import annotations

from dataclasses import dataclass

from metatalk.errors import ConfigError


@dataclass(frozen=True)
class JawConfig:
    """The filmed neck and beard, drawn along by the jaw line; lengths are shares of the crop."""

    strength: float = 1.0  # how far they follow; 0: the network draws them, and nothing moves
    # a jaw line that is off by this hardly moves anything, by twice as much nearly all: predicted
    # jaws are not so exact that the footage should follow every pixel of them
    slack: float = 0.01
    # so far below the jaw line all moves as the line does: the depth of a beard, and of the throat
    # that belongs to the chin
    hold: float = 0.08
    reach: float = 0.05  # beyond that the movement fades, over this length or more

    def __post_init__(self) -> None:
        if not 0 <= self.strength <= 1:
            raise ConfigError(f"drive.jaw.strength is {self.strength}", "give 0 to 1")
        if not 0 <= self.slack <= 0.1:
            raise ConfigError(
                f"drive.jaw.slack is {self.slack}", "give 0 to 0.1 of the crop's side"
            )
        if not 0 <= self.hold <= 0.5:
            raise ConfigError(f"drive.jaw.hold is {self.hold}", "give 0 to 0.5 of the crop's side")
        if not 0.02 <= self.reach <= 0.5:
            raise ConfigError(
                f"drive.jaw.reach is {self.reach}", "give 0.02 to 0.5 of the crop's side"
            )
