"""Windows of five frames and their sound, drawn from prepared tracks.

What a step draws follows from the seed, the step and the process alone: a training that was
killed goes on with the windows it would have seen, and as many processes may read as there are.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from metatalk.errors import FittingError
from metatalk.lipsync.learning.config import JitterConfig
from metatalk.lipsync.learning.jitter import jitter_faces, jitter_mels, plain_faces
from metatalk.lipsync.mel import CHUNK_COLUMNS, COLUMNS_PER_SECOND, mel_chunks
from metatalk.lipsync.syncnet import WINDOW_FRAMES
from metatalk.lipsync.tracks import RATE, Track

MANY_SOURCES = 20  # from which on whole sources are held out, not the end of each
_HELD_SPLITS = frozenset({"val", "valid", "test"})


@dataclass(frozen=True, eq=False)
class Span:
    """A part of a track: frames `first` to `end`, which every window stays within."""

    track: Track
    number: int  # of the track among all
    first: int
    end: int

    @property
    def windows(self) -> int:
        """How many windows begin in it."""
        return max(0, self.end - self.first - WINDOW_FRAMES + 1)

    def mels(self, starts: np.ndarray) -> np.ndarray:
        """(N, 80, 16): the sound of the windows that begin at frames `starts`."""
        mel = self.track.mel
        last = max(mel.shape[1] - CHUNK_COLUMNS, 0)
        return mel_chunks(mel, np.minimum(starts * COLUMNS_PER_SECOND // RATE, last))


def split_spans(tracks: Sequence[Track], held_out: float) -> tuple[list[Span], list[Span]]:
    """Divide tracks into what is learned from and what is held out.

    A split that the corpus itself names counts; else whole sources are held out where there are
    many, and the last part of each source where there are few.

    Args:
        tracks: of a prepared corpus.
        held_out: share of the frames.

    Returns:
        The spans that are learned from and the ones held out, each long enough for a window and
        for sound apart from it.

    Raises:
        FittingError: either would be empty.
    """
    wholes = [Span(track, at, 0, _sounding_frames(track)) for at, track in enumerate(tracks)]
    if any(span.track.split in _HELD_SPLITS for span in wholes):
        held = [span for span in wholes if span.track.split in _HELD_SPLITS]
        learned = [span for span in wholes if span.track.split not in _HELD_SPLITS]
    else:
        sources = _by_their_source(wholes)
        divide = _by_source if len(sources) >= MANY_SOURCES else _by_time
        learned, held = divide(sources, held_out)
    learned, held = _long_enough(learned), _long_enough(held)
    if not (learned and held):
        raise FittingError(
            "the prepared footage is too short to learn from one part and to test on another",
            "prepare more clips, or hold out a larger share: each part takes 15 frames of a track",
        )
    return learned, held


@dataclass(frozen=True, eq=False)
class ExpertBatch:
    """Windows with their sound, in groups of one track each."""

    faces: Tensor  # (B, 5, 96, 96, 3) uint8 RGB
    mels: Tensor  # (B, 80, 16) float32
    track: Tensor  # (B,) int64 number of the track
    frame: Tensor  # (B,) int64 first frame

    def to(self, device: torch.device) -> ExpertBatch:
        """The same on another device."""
        return ExpertBatch(*(part.to(device, non_blocking=True) for part in vars(self).values()))

    def pin_memory(self) -> ExpertBatch:
        """The same where a GPU fetches it from; the loader asks for it by this name."""
        return ExpertBatch(*(part.pin_memory() for part in vars(self).values()))


@dataclass(frozen=True, eq=False)
class TeacherBatch:
    """Windows to be drawn, the references to draw from, and the sound to be said."""

    faces: Tensor  # (B, 5, 96, 96, 3) uint8 RGB, as filmed
    references: Tensor  # (B, 5, 96, 96, 3) uint8 RGB of the same person at other times
    mels: Tensor  # (B, 80, 16) float32 of the window, for the expert
    chunks: Tensor  # (B, 5, 80, 16) float32 of each frame, for the generator

    def to(self, device: torch.device) -> TeacherBatch:
        """The same on another device."""
        return TeacherBatch(*(part.to(device, non_blocking=True) for part in vars(self).values()))

    def pin_memory(self) -> TeacherBatch:
        """The same where a GPU fetches it from; the loader asks for it by this name."""
        return TeacherBatch(*(part.pin_memory() for part in vars(self).values()))


@dataclass(frozen=True, eq=False)
class Draw:
    """How batches are drawn: of what, how large, how varied."""

    spans: Sequence[Span]
    batch: int
    group: int = 1  # windows of one track
    apart: int = 5  # frames between two windows of a group, or window and reference
    jitter: JitterConfig | None = None  # None: faces and sound as they are
    evenness: float = 0.0  # 0: every window is as likely; 1: every source is

    def expert_batch(self, dice: np.random.Generator) -> ExpertBatch:
        """Draw windows that are all in sync."""
        faces, mels, tracks, frames = [], [], [], []
        for span in self._choose(dice, self.batch // self.group):
            starts = _spread_starts(span, self.group, self.apart, dice)
            faces += [self._faces(span, [start], dice)[0] for start in starts]
            mels.append(self._mels(span.mels(starts), dice))
            tracks.append(np.full(len(starts), span.number))
            frames.append(starts)
        return ExpertBatch(
            torch.from_numpy(np.stack(faces)),
            torch.from_numpy(np.concatenate(mels)),
            torch.from_numpy(np.concatenate(tracks)),
            torch.from_numpy(np.concatenate(frames)),
        )

    def teacher_batch(self, dice: np.random.Generator) -> TeacherBatch:
        """Draw windows with references: faces of a pair are varied alike, as one camera would."""
        rows: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        for span in self._choose(dice, self.batch):
            start = int(dice.integers(span.first, span.first + span.windows))
            both = [start, _start_apart(span, start, self.apart, dice)]
            filmed, reference = self._faces(span, both, dice)
            frames = np.arange(start, start + WINDOW_FRAMES)
            sound = np.concatenate([span.mels(np.array([start])), span.mels(frames)])
            rows.append((filmed, reference, self._mels(sound, dice)))
        faces, references, sound = (np.stack(part) for part in zip(*rows, strict=True))
        return TeacherBatch(
            torch.from_numpy(faces),
            torch.from_numpy(references),
            torch.from_numpy(sound[:, 0]),
            torch.from_numpy(sound[:, 1:]),
        )

    def _choose(self, dice: np.random.Generator, count: int) -> list[Span]:
        places = dice.choice(len(self._likely), count, p=self._likely)
        return [self.spans[place] for place in places]

    @functools.cached_property
    def _likely(self) -> np.ndarray:
        return span_weights(self.spans, self.evenness)

    def _faces(self, span: Span, starts: list[int], dice: np.random.Generator) -> list[np.ndarray]:
        windows = [np.asarray(span.track.faces[at : at + WINDOW_FRAMES]) for at in starts]
        if self.jitter is None:
            return [plain_faces(window) for window in windows]
        return jitter_faces(windows, self.jitter, dice)

    def _mels(self, mels: np.ndarray, dice: np.random.Generator) -> np.ndarray:
        return mels if self.jitter is None else jitter_mels(mels, self.jitter, dice)


def span_weights(spans: Sequence[Span], evenness: float) -> np.ndarray:
    """Say how likely a window is taken from each span.

    Args:
        spans: to draw from.
        evenness: 0 makes every window as likely, 1 every source, however long it is.

    Returns:
        (N,) float64 that adds up to 1.
    """
    windows = np.array([span.windows for span in spans], float)
    _, source = np.unique([span.track.source for span in spans], return_inverse=True)
    weights = windows * np.bincount(source, windows)[source] ** -evenness
    return np.asarray(weights / weights.sum())


class _Steps(Dataset[Any]):
    """Item `step` is the batch of that step."""

    def __init__(self, draw: Callable[[np.random.Generator], Any], seed: int, rank: int) -> None:
        self.draw, self.seed, self.rank = draw, seed, rank

    def __getitem__(self, step: int) -> Any:
        return self.draw(np.random.default_rng([self.seed, self.rank, step]))


def batches(
    draw: Callable[[np.random.Generator], Any],
    steps: range,
    seed: int,
    rank: int = 0,
    workers: int = 0,
    pinned: bool = False,
) -> Iterator[Any]:
    """Draw the batches of steps, ahead of their use where there are processes to do so.

    Args:
        draw: a method of `Draw`.
        steps: which.
        seed: of the training.
        rank: of this process among those that train.
        workers: processes that draw; 0: this one does.
        pinned: whether batches lie where a GPU fetches them from.

    Yields:
        A batch a step.
    """
    # One thread: a reader only copies. Spawned, not forked: the parent has threads of its own.
    loader = DataLoader(
        _Steps(draw, seed, rank),
        batch_size=None,
        sampler=steps,
        num_workers=workers,
        pin_memory=pinned,
        multiprocessing_context="spawn" if workers else None,
        prefetch_factor=4 if workers else None,
    )
    yield from loader


def _sounding_frames(track: Track) -> int:
    """Frames that have 200 ms of sound after their beginning."""
    columns = track.mel.shape[1] - CHUNK_COLUMNS
    return min(len(track.faces), columns * RATE // COLUMNS_PER_SECOND + 1) if columns > 0 else 0


def _long_enough(spans: list[Span]) -> list[Span]:
    return [span for span in spans if span.windows > 2 * WINDOW_FRAMES]


def _by_their_source(spans: Sequence[Span]) -> list[list[Span]]:
    sources: dict[str, list[Span]] = {}
    for span in spans:
        sources.setdefault(span.track.source, []).append(span)
    return list(sources.values())


def _by_source(sources: list[list[Span]], held_out: float) -> tuple[list[Span], list[Span]]:
    """Whole sources are held out, evenly over all of them, and at least one."""
    share = max(held_out, 1 / len(sources))
    parts: tuple[list[Span], list[Span]] = ([], [])
    for place, spans in enumerate(sources):
        parts[int((place + 1) * share + 1e-9) > int(place * share + 1e-9)].extend(spans)
    return parts


def _by_time(sources: list[list[Span]], held_out: float) -> tuple[list[Span], list[Span]]:
    """The last part of each source is held out; no window shares a frame with what is learned."""
    learned, held = [], []
    for spans in sources:
        left = int((1 - held_out) * sum(span.end for span in spans))
        for span in spans:
            until = min(left, span.end)
            left -= until
            learned.append(Span(span.track, span.number, 0, until))
            if until < span.end:
                first = until + WINDOW_FRAMES if until else 0
                held.append(Span(span.track, span.number, first, span.end))
    return learned, held


def _spread_starts(span: Span, count: int, apart: int, dice: np.random.Generator) -> np.ndarray:
    """(count,) window starts, no two closer than `apart` where the span is long enough."""
    grid = np.arange(span.first + int(dice.integers(apart)), span.first + span.windows, apart)
    if len(grid) == 0:
        grid = np.array([span.first])
    return np.sort(dice.choice(grid, count, replace=len(grid) < count))


def _start_apart(span: Span, start: int, apart: int, dice: np.random.Generator) -> int:
    """A window start at least `apart` from another; the farthest one where there is none."""
    starts = np.arange(span.first, span.first + span.windows)
    far = starts[np.abs(starts - start) >= apart]
    return int(dice.choice(far) if len(far) else starts[np.abs(starts - start).argmax()])
