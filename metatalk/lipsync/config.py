"""Settings of the pseudo-video stage: which teacher, which speech, how much of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from metatalk.errors import ConfigError

BOX_SMOOTH_S = 0.2  # standard deviation of the face box's temporal filter
FACE_MARGIN = 0.08  # of the face's height, added below the chin


@dataclass(frozen=True)
class GateConfig:
    """Which sentences are not learned from because the mouth does not go with the sound."""

    min_movement: float = 0.35  # of the lips, as a share of what the actor's own clip shows
    min_likeness: float = 0.5  # of lips and sound, as a share of what is usual in the corpus
    max_lag_s: float = 0.08  # by which the lips may lead or follow
    max_advantage: float = 0.08  # of correlation, by which a larger lag may fit better
    max_open_share: float = 0.7  # of a sentence's p, b and m at which the lips stay apart
    min_confidence: float = 0.3  # of the judge, as a share of what it has in the actor's own clip
    max_offset: int = 1  # frames at 25 a second that the judge may find
    max_dropped: float = 0.5  # of the sentences; of a teacher that fails in more none is taken

    def __post_init__(self) -> None:
        for name in ("min_movement", "max_lag_s", "max_advantage", "max_offset"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"pseudo.gate.{name} is {getattr(self, name)}", "give 0 or more")
        for name in ("min_likeness", "max_open_share", "min_confidence", "max_dropped"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(
                    f"pseudo.gate.{name} is {getattr(self, name)}", "give a share from 0 to 1"
                )


@dataclass(frozen=True)
class PseudoConfig:
    """The teacher shows the actor speaking in many voices; only its expression is read off.

    Without a teacher and a corpus the stage is skipped: the actor then learns from the
    clip's own speech alone.
    """

    checkpoint: str | None = None  # a Wav2Lip generator, official or one of ours
    corpus: str | None = None  # a folder of speech: LRS2, LibriSpeech or any tree of recordings
    command: str | None = None  # another teacher: a program with {video}, {audio} and {out}
    command_terms: str | None = None  # under which its pictures may be used
    command_timeout_s: float = 600.0  # for one sentence
    split: str | None = None  # of the corpus: a list in filelists/, or a folder
    max_minutes: float = 30.0  # of speech; more is left out, and said
    min_sentence_s: float = 1.0
    max_sentence_s: float = 20.0
    reference: Literal["closed", "same"] = "closed"  # "closed" hides the mouth asked for
    reference_pool: int = 64  # closed-mouth faces that are kept to choose from
    footage_s: float = 30.0  # of the clip that is shown; more is more poses, and more disk
    min_stretch_s: float = 2.0  # of it without a cut; shorter stretches only if there is no other
    box_smooth_s: float = BOX_SMOOTH_S  # of the face box's temporal filter
    batch: int = 16  # faces a network call
    face_margin: float = FACE_MARGIN  # of the face's height, added below the chin
    min_face_share: float = 0.9  # of a sentence's frames; with fewer it is not learned from
    max_error_mm: float = 2.0  # mean landmark error of a sentence; with more it is not either
    judge: str | None = None  # a SyncNet or lip-sync expert that is asked as well
    gate: GateConfig = field(default_factory=GateConfig)

    def __post_init__(self) -> None:
        for name in ("checkpoint", "corpus", "judge"):  # shells leave the ~ of a=~/FILE as it is
            if (named := getattr(self, name)) is not None:
                object.__setattr__(self, name, str(Path(named).expanduser()))
        for name in _ABOVE_ZERO:
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
        if self.command is not None:
            _check_command(self)


_ABOVE_ZERO = (
    *("max_minutes", "min_sentence_s", "batch", "reference_pool"),
    *("footage_s", "min_stretch_s", "command_timeout_s"),
)
PLACES = ("{video}", "{audio}", "{out}")  # in a command


def _check_command(config: PseudoConfig) -> None:
    absent = [place for place in PLACES if place not in str(config.command)]
    if absent:
        raise ConfigError(
            f"pseudo.command does not say where {' and '.join(absent)} goes",
            'write it like "python my_model.py --video {video} --audio {audio} --out {out}"',
        )
    if config.checkpoint is not None:
        raise ConfigError(
            "pseudo.checkpoint and pseudo.command both name a teacher", "set one of them to null"
        )
