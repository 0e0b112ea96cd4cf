"""Settings of the pseudo-video stage: which teacher, which speech, how much of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from metatalk.errors import ConfigError


@dataclass(frozen=True)
class PseudoConfig:
    """The teacher shows the actor speaking in many voices; only its expression is read off.

    Without a checkpoint and a corpus the stage is skipped: the actor then learns from the
    clip's own speech alone.
    """

    checkpoint: str | None = None  # a Wav2Lip generator, official or one of ours
    corpus: str | None = None  # a folder of speech: LRS2, LibriSpeech or any tree of recordings
    max_minutes: float = 30.0  # of speech; more is left out, and said
    min_sentence_s: float = 1.0
    max_sentence_s: float = 20.0
    reference: Literal["closed", "same"] = "closed"  # "closed" hides the mouth asked for
    reference_pool: int = 64  # closed-mouth faces that are kept to choose from
    box_smooth_s: float = 0.2  # standard deviation of the face box's temporal filter
    batch: int = 16  # faces a network call
    face_margin: float = 0.08  # of the face's height, added below the chin
    min_face_share: float = 0.9  # of a sentence's frames; with fewer it is not learned from
    max_error_mm: float = 2.0  # mean landmark error of a sentence; with more it is not either

    def __post_init__(self) -> None:
        for name in ("max_minutes", "min_sentence_s", "batch", "reference_pool"):
            if not getattr(self, name) > 0:
                raise ConfigError(
                    f"pseudo.{name} is {getattr(self, name)}", "give a number above zero"
                )
        if not self.max_sentence_s >= self.min_sentence_s:
            raise ConfigError(
                f"pseudo.max_sentence_s ({self.max_sentence_s}) is below "
                f"pseudo.min_sentence_s ({self.min_sentence_s})",
                "swap them, or set one of them",
            )
        if not (0 < self.min_face_share <= 1 and self.max_error_mm > 0):
            raise ConfigError(
                "pseudo.min_face_share or pseudo.max_error_mm is out of range",
                "give a share above 0 and up to 1, and a distance above 0",
            )
        if not (self.box_smooth_s >= 0 and self.face_margin >= 0):
            raise ConfigError(
                "pseudo.box_smooth_s and pseudo.face_margin cannot be negative", "use 0 for none"
            )
