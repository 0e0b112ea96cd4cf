"""Whether a judge can be believed: it must know real footage from footage that was tampered with.

Two questions. `tell_from_shuffled` asks on the very clip that is to be judged: does its own sound
fit better than the same sound with its pieces exchanged? `rank_versions` asks whether a judge puts
the real clip, the clip with its sound displaced, with its sound in another order and with a mouth
that stands still in the right order. Both are decided by confidence, the median less the mean
distance: distances of one person's windows and another's cannot be compared, their differences
can.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from metatalk.errors import ShapeError
from metatalk.lipsync.mel import SAMPLE_RATE
from metatalk.lipsync.sync_figures import SyncFigures, figures_of_rows
from metatalk.lipsync.tracks import RATE

Compare = Callable[[Tensor, Tensor], Tensor]

REAL, EARLIER, LATER = "real", "sound 200 ms earlier", "sound 200 ms later"
SHUFFLED, FROZEN = "sound shuffled", "mouth frozen"
DISPLACED_FRAMES = 5  # 200 ms

_BLOCK_WINDOWS = 12  # about half a second of sound stays together
_LEAST_BLOCKS = 6  # fewer have too few orders for chance to be told
_BLOCK_SAMPLES = SAMPLE_RATE // 2
_MOST_WINDOWS = 7500  # five minutes are enough to tell
_TOLERANCE_FRAMES = 1


@dataclass(frozen=True)
class Telling:
    """How a clip's own sound fares against the same sound with its pieces exchanged."""

    confidence: float  # with the real sound
    as_good: int  # of the shuffles: those with as much confidence
    shuffles: int
    shuffled_confidence: float  # their mean

    @property
    def p_value(self) -> float:
        """The chance that a judge that hears nothing does as well."""
        return (1 + self.as_good) / (1 + self.shuffles)


@dataclass(frozen=True)
class Ranking:
    """Whether a judge puts real and tampered footage in the right order, and where it does not."""

    faults: tuple[str, ...]

    @property
    def is_right(self) -> bool:
        """Whether there is no fault."""
        return not self.faults


def tell_from_shuffled(
    compare: Compare,
    lips: Sequence[Tensor],
    sound: Sequence[Tensor],
    shuffles: int,
    rng: np.random.Generator,
) -> Telling | None:
    """Ask whether a judge can tell a clip's own sound from shuffled sound: a permutation test.

    The embedded windows of sound are exchanged in blocks of half a second, over all stretches, so
    that no seam can be heard that the real sound does not have. Every order is given its own best
    shift, as the real one is.

    Args:
        compare: the judge's, from lips and sound to distances.
        lips: (T, N) embeddings of each stretch.
        sound: (T, N) embeddings of each stretch.
        shuffles: orders to try.
        rng: decides them.

    Returns:
        What was found; None where the clip is too short to be put in many orders.

    Raises:
        ShapeError: the embeddings do not pair up.
    """
    lengths = _lengths(lips, sound)
    heard = torch.cat(list(sound))[: sum(lengths)]
    blocks = list(torch.split(torch.arange(len(heard)), _BLOCK_WINDOWS))
    if len(blocks) < _LEAST_BLOCKS:
        return None

    def confidence(order: Tensor) -> float:
        pieces = torch.split(heard[order], lengths)
        pairs = zip(lips, pieces, strict=False)  # of a long clip only the beginning
        rows = [compare(seen[: len(piece)], piece) for seen, piece in pairs]
        return figures_of_rows(rows, min_windows=1).confidence

    real = confidence(torch.arange(len(heard)))
    others = [
        confidence(torch.cat([blocks[place] for place in _no_fixed_point(len(blocks), rng)]))
        for _ in range(shuffles)
    ]
    as_good = sum(other >= real for other in others)
    return Telling(real, as_good, shuffles, float(np.mean(others)))


def rank_versions(versions: Mapping[str, SyncFigures]) -> Ranking:
    """Ask whether a judge puts the versions of a clip in the right order.

    Args:
        versions: figures of all five versions by their names.

    Returns:
        The ranking. Displaced sound must be found five frames away, give or take one, and fit
        worse than the real at the real's own shift; shuffled sound and a frozen mouth must
        fit worse than the real there, and worse than real and displaced sound at their own
        best shift.
    """
    real = versions[REAL]
    faults: list[str] = []
    for name, moved in ((EARLIER, DISPLACED_FRAMES), (LATER, -DISPLACED_FRAMES)):
        found = versions[name].offset_frames - real.offset_frames
        if abs(found - moved) > _TOLERANCE_FRAMES:
            faults.append(f"{name}: the offset moves by {found} frames, not {moved}")
    for name in (EARLIER, LATER, SHUFFLED, FROZEN):
        if versions[name].confidence_at(real.offset_frames) >= real.confidence:
            faults.append(f"{name}: fits as well as the real at the real's offset")
    for name in (SHUFFLED, FROZEN):
        for better in (REAL, EARLIER, LATER):
            if versions[name].confidence >= versions[better].confidence:
                faults.append(f"{name}: has as much confidence as {better}")
    return Ranking(tuple(faults))


def sound_versions(samples: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Tamper with sound in every way that is tried.

    Args:
        samples: (S,) at 16 kHz.
        rng: decides the shuffled order.

    Returns:
        The real sound, and those displaced by 200 ms and shuffled in pieces of half a second, by
        name, all (S,). What a displacement moves in is silence.
    """
    by = DISPLACED_FRAMES * SAMPLE_RATE // RATE
    pieces = np.split(samples, range(_BLOCK_SAMPLES, len(samples), _BLOCK_SAMPLES))
    order = _no_fixed_point(len(pieces), rng)
    return {
        REAL: samples,
        EARLIER: np.pad(samples, (0, by))[by:],
        LATER: np.pad(samples, (by, 0))[: len(samples)],
        SHUFFLED: np.concatenate([pieces[place] for place in order]),
    }


def freeze_mouth(faces: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Give every face the lower half of the first.

    Args:
        faces: (px, px, 3) uint8 each.

    Returns:
        The same faces with a mouth that stands still; not one of them is held but the first.
    """
    still: np.ndarray | None = None
    for face in faces:
        still = face if still is None else still
        middle = len(face) // 2
        yield np.concatenate([face[:middle], still[middle:]])


def _lengths(lips: Sequence[Tensor], sound: Sequence[Tensor]) -> list[int]:
    """Windows of every stretch that are used, the first five minutes."""
    lengths: list[int] = []
    for seen, heard in zip(lips, sound, strict=True):
        if seen.shape != heard.shape:
            raise ShapeError(f"{tuple(seen.shape)} lips do not pair up with {tuple(heard.shape)}")
        lengths.append(min(len(seen), _MOST_WINDOWS - sum(lengths)))
    return [length for length in lengths if length]


def _no_fixed_point(count: int, rng: np.random.Generator) -> list[int]:
    """An order in which nothing stays where it is; of one thing there is none."""
    while True:
        order = rng.permutation(count)
        if count < 2 or not np.any(order == np.arange(count)):
            return [int(place) for place in order]
