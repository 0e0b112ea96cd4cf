"""Settings of how footage in other colours than the actor's is met."""

from __future__ import annotations

from dataclasses import dataclass

from metatalk.errors import ConfigError


@dataclass(frozen=True)
class GradeConfig:
    """When a shot's skin differs from the skin that the actor was learned from.

    Within these limits it is drawn as it is, and only the seam is matched.
    """

    enabled: bool = True  # bring such footage to the actor's colours, and the mouth back
    contrast: float = 1.3  # factor up to which contrast may differ, either way
    saturation: float = 1.4  # the same of colourfulness
    offset: float = 0.1  # how far brightness, or a colour, of the skin may lie off; full range 1

    def __post_init__(self) -> None:
        for name in ("contrast", "saturation"):
            if not 1 <= getattr(self, name) <= 10:
                raise ConfigError(f"drive.grade.{name} is {getattr(self, name)}", "give 1 to 10")
        if not 0 <= self.offset <= 1:
            raise ConfigError(f"drive.grade.offset is {self.offset}", "give 0 to 1")
