"""A judge that is believed on one actor, and how it judges others by the actor's own clip.

How confident a judge is depends on the judge, on the face and on how long it may listen. So a
sentence is held against pieces of the actor's own clip that are about as long.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from metatalk.errors import ShapeError
from metatalk.lipsync.config import GateConfig
from metatalk.lipsync.judge import Judge
from metatalk.lipsync.sync_figures import MIN_WINDOWS, SyncFigures, figures_of_rows
from metatalk.lipsync.tracks import RATE

_LONGEST = 4 * RATE  # windows of a piece; of longer ones there would be too few
_MOST = 0.5  # of the actor's pieces: where the judge finds the offset of more, it is asked for it

OUT_OF_SYNC, UNSURE = JUDGE_REASONS = (
    "the judge finds it out of sync",
    "the judge is not confident",
)


@dataclass(frozen=True)
class OwnSync:
    """What a judge says about pieces of the actor's own clip."""

    confidence: float  # the median
    tells_offsets: bool  # it finds the clip's offset in most of them


@dataclass(frozen=True, eq=False)
class TrustedJudge:
    """A judge that knows the actor's own sound."""

    judge: Judge
    lips: tuple[Tensor, ...]  # (T, N) embeddings of every run of the actor's own clip
    sound: tuple[Tensor, ...]  # (T, N)
    offset_frames: int = 0  # of the clip, as measured without the judge; positive: sound leads

    def __post_init__(self) -> None:
        if [each.shape for each in self.lips] != [each.shape for each in self.sound]:
            raise ShapeError("lips and sound of the actor's clip do not pair up")

    def own(self, windows: int, max_offset: int) -> OwnSync:
        """Judge pieces of the actor's own clip.

        Args:
            windows: about as long as this are the pieces, two to four seconds.
            max_offset: frames by which the clip's offset may be missed.

        Returns:
            What it says about them.
        """
        found = list(self._pieces(min(max(windows, MIN_WINDOWS), _LONGEST)))
        near = [abs(each.offset_frames - self.offset_frames) <= max_offset for each in found]
        confidence = float(np.median([each.confidence for each in found]))
        return OwnSync(confidence, float(np.mean(near)) > _MOST)

    def objection(self, figures: SyncFigures, config: GateConfig) -> str:
        """What the judge has against a sentence.

        Args:
            figures: of the sentence.
            config: what is dropped.

        Returns:
            A reason, or "".
        """
        own = self.own(figures.windows, config.max_offset)
        if own.tells_offsets and abs(figures.offset_frames) > config.max_offset:
            return OUT_OF_SYNC
        return UNSURE if figures.confidence < config.min_confidence * own.confidence else ""

    def _pieces(self, windows: int) -> Iterator[SyncFigures]:
        """Figures of pieces of each run; what lies beyond a piece it does not hear."""
        for lips, sound in zip(self.lips, self.sound, strict=True):
            count = max(len(lips) // windows, 1)
            pairs = zip(lips.tensor_split(count), sound.tensor_split(count), strict=True)
            for pair in pairs:
                yield figures_of_rows([self.judge.compare(*pair)])
