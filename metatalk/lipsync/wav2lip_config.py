"""Settings of `metatalk wav2lip`: how a film is redrawn by a Wav2Lip generator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from metatalk.errors import ConfigError
from metatalk.lipsync.config import BOX_SMOOTH_S, FACE_MARGIN


@dataclass(frozen=True)
class Wav2LipConfig:
    """Which weights draw, what they see of the face, and how the drawing meets the film."""

    checkpoint: str | None = None  # a Wav2Lip generator, official or one of ours
    reference: Literal["same", "closed", "far"] = "same"  # the face shown to it besides the frame's
    reference_pool: int = 64  # faces that "closed" and "far" choose from
    reference_apart_s: float = 1.0  # how far in time "far" keeps from the frame
    precision: Literal["auto", "full", "mixed"] = "auto"  # auto: bfloat16 where hardware has it
    batch: int = 8  # faces a network call; more only cost memory
    box_smooth_s: float = BOX_SMOOTH_S  # of the face box's temporal filter
    face_margin: float = FACE_MARGIN  # of the face's height, added below the chin
    feather: float = 0.06  # width of the mask's soft edge, as a share of the box
    chin_reach: float = 0.12  # how far the mask reaches below the filmed chin, from the nose
    colour_match: float = 1.0  # how fully the seam's colours are matched to the film, 0 to 1
    detail: float = 1.0  # of the film's fine texture, kept where the drawing agrees, 0 to 1

    def __post_init__(self) -> None:
        for name in ("reference_pool", "batch"):
            if getattr(self, name) < 1:
                raise ConfigError(
                    f"wav2lip.{name} is {getattr(self, name)}", "give a whole number from 1"
                )
        for name in ("reference_apart_s", "box_smooth_s", "face_margin", "chin_reach"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"wav2lip.{name} is {getattr(self, name)}", "give 0 or more")
        for name in ("colour_match", "detail"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"wav2lip.{name} is {getattr(self, name)}", "give 0 to 1")
        if not 0 < self.feather <= 0.25:
            raise ConfigError(
                f"wav2lip.feather is {self.feather}", "give a number above 0 and up to 0.25"
            )
