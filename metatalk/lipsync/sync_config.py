"""Settings of the judge of lip sync: which network, and how sure it must be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from metatalk.errors import ConfigError


@dataclass(frozen=True)
class SyncConfig:
    """A judge is used on a clip only where it tells the clip's own sound from shuffled sound."""

    judge: str | None = None  # SyncNet v2 or a lip-sync expert, official or one of ours
    batch: int = 16  # windows a network call
    precision: Literal["full", "mixed"] = "full"  # mixed: bfloat16, faster, not exact
    shuffles: int = 99  # of the clip's own sound, that the real one is held against
    max_p: float = 0.05  # chance that shuffled sound does as well; above it there is no verdict

    def __post_init__(self) -> None:
        if not self.batch >= 1:
            raise ConfigError(f"sync.batch is {self.batch}", "give 1 or more")
        if not 0 < self.max_p < 1:
            raise ConfigError(f"sync.max_p is {self.max_p}", "give a chance between 0 and 1")
        if (self.shuffles + 1) * self.max_p < 1:
            raise ConfigError(
                f"{self.shuffles} shuffles cannot show a chance of {self.max_p}",
                f"set sync.shuffles to {round(1 / self.max_p) - 1} or more, or raise sync.max_p",
            )
