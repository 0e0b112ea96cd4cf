"""Training windows: pieces of sound with the mouth that belongs to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from metatalk.a2e.architectures.interface import STRIDE
from metatalk.a2e.hearing import Sound
from metatalk.lipsync.mel import COLUMNS_PER_SECOND, SILENCE
from metatalk.shapes import check_shape

_OTHER_VOICES = 0.5  # share of the windows that may be another voice
_LONGEST_STEP_S = 0.25  # between two frames further apart the mouth is not known


@dataclass(frozen=True, eq=False)
class Lesson:
    """Sound and mouth of the footage on one clock, 80 columns a second."""

    takes: tuple[Sound, ...]  # the footage's sound, then the same words in other voices
    targets: np.ndarray  # (M, K) standardised mouth coordinates
    known: np.ndarray  # (M,) bool, columns at which the mouth is known
    speech: np.ndarray | None = None  # (M,) probability that somebody speaks
    opening: np.ndarray | None = None  # (K,) how far each coordinate opens the lips
    own: np.ndarray | None = None  # (M,) bool, columns of the actor's own clip; None: all are

    def __post_init__(self) -> None:
        columns = self.takes[0].columns
        for take in self.takes:
            check_shape("mel", take.mel, "N M", M=columns)
            check_shape("heard", take.heard, "D M", D=len(self.takes[0].heard))
        check_shape("targets", self.targets, "M K", M=columns)
        check_shape("known", self.known, "M", M=columns)
        if self.own is not None:
            check_shape("own", self.own, "M", M=columns)

    @property
    def sound(self) -> Sound:
        """The footage's own sound."""
        return self.takes[0]

    @property
    def mel(self) -> np.ndarray:
        """(80, M) mel units of the footage's own sound."""
        return self.sound.mel

    def own_among(self, columns: np.ndarray) -> np.ndarray:
        """(M,) bool: those of (M,) columns that are the actor's own clip."""
        return columns if self.own is None else columns & self.own

    def known_before(self, second: float) -> np.ndarray:
        """(M,) bool: the known columns that come before a time."""
        return self.known & (np.arange(len(self.known)) < second * COLUMNS_PER_SECOND)


@dataclass(frozen=True, eq=False)
class Windows:
    """A batch of pieces of a lesson."""

    mel: Tensor  # (B, 80, W) mel units
    heard: Tensor  # (B, D, W)
    mouth: Tensor  # (B, K, W / 2)
    known: Tensor  # (B, W / 2), 0 where the mouth is unknown, else 1


def targets_at_columns(
    frame_seconds: np.ndarray,
    targets: np.ndarray,
    valid: np.ndarray,
    shots: Sequence[tuple[int, int]] | np.ndarray,
    columns: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Read the mouth at every mel column, linearly between frames and never across a cut.

    Args:
        frame_seconds: (T,) increasing.
        targets: (T, K).
        valid: (T,) bool, frames with a face.
        shots: (N, 2) frame ranges, first and one past the last.
        columns: M.

    Returns:
        (M, K) float32 values and (M,) bool, where they are known.
    """
    frames = check_shape("targets", targets, "T K")["T"]
    check_shape("frame_seconds", frame_seconds, "T", T=frames)
    check_shape("valid", valid, "T", T=frames)
    times = np.arange(columns) / COLUMNS_PER_SECOND
    after = np.clip(np.searchsorted(frame_seconds, times, side="right"), 1, max(frames - 1, 1))
    before, after = after - 1, np.minimum(after, frames - 1)
    step = frame_seconds[after] - frame_seconds[before]
    weight = (times - frame_seconds[before]) / np.maximum(step, 1e-9)
    shot = np.zeros(frames, np.int64)
    for number, (first, last) in enumerate(shots):
        shot[first:last] = number
    known = valid[before] & valid[after] & (shot[before] == shot[after])
    known &= (weight <= 1) & (step < _LONGEST_STEP_S)
    weight = np.clip(weight, 0, 1)[:, None]
    values = targets[before] * (1 - weight) + targets[after] * weight
    return values.astype(np.float32), known


def draw_windows(
    lesson: Lesson,
    usable: np.ndarray,
    shape: tuple[int, int],
    tempo: float,
    generator: torch.Generator,
    pseudo_share: float = 0.0,
) -> Windows:
    """Draw windows of the lesson at random places, speeds and voices.

    Args:
        lesson: the footage.
        usable: (M,) bool, columns whose mouth may be learned from.
        shape: batch size B and window width W in columns, even.
        tempo: largest relative change of the speed.
        generator: source of the random numbers.
        pseudo_share: of the windows that come from other pieces than the actor's own clip,
            where there are any.

    Returns:
        The windows.
    """
    batch, width = shape
    chosen = _draw_places(lesson, usable, batch, pseudo_share, generator)
    speed = 1 + tempo * (2 * torch.rand(batch, 1, generator=generator) - 1)
    voice = torch.randint(len(lesson.takes), (batch,), generator=generator)
    # Half of the windows are the actor's own voice, however many others there are.
    voice = voice * (torch.rand(batch, generator=generator) < _OTHER_VOICES).long()
    centre = chosen[:, None]
    position = centre + (torch.arange(width) - width // 2) * speed  # (B, W) columns
    takes = [lesson.takes[number] for number in voice.tolist()]
    mel = [_read(take.mel, at[None], SILENCE) for take, at in zip(takes, position, strict=True)]
    heard = [_read(take.heard, at[None], 0.0) for take, at in zip(takes, position, strict=True)]
    at_steps = position[:, ::STRIDE]
    mouth = _read(lesson.targets.T, at_steps, outside=0.0)
    nearest = at_steps.round().long()
    inside = (at_steps >= 0) & (at_steps <= len(usable) - 1)
    known = torch.as_tensor(usable)[nearest.clamp(0, len(usable) - 1)] & inside
    return Windows(torch.cat(mel), torch.cat(heard), mouth, known.float())


def _draw_places(
    lesson: Lesson, usable: np.ndarray, batch: int, share: float, generator: torch.Generator
) -> Tensor:
    """(B,) columns, so many of them of other pieces than the clip."""
    places = torch.as_tensor(np.flatnonzero(usable))
    own = torch.as_tensor(np.flatnonzero(lesson.own_among(usable)))
    if len(own) in (0, len(places)):
        return places[torch.randint(len(places), (batch,), generator=generator)]
    others = torch.as_tensor(np.flatnonzero(usable & ~lesson.own_among(usable)))
    is_other = torch.rand(batch, generator=generator) < share
    part = torch.rand(batch, generator=generator)
    from_own, from_others = (
        source[(part * len(source)).long().clamp(max=len(source) - 1)] for source in (own, others)
    )
    return torch.where(is_other, from_others, from_own)


def _read(values: np.ndarray, position: Tensor, outside: float) -> Tensor:
    """Read (C, M) rows at (B, W) fractional columns, linearly: (B, C, W)."""
    last = values.shape[1] - 1
    inside = (position >= 0) & (position <= last)
    low = position.floor().clamp(0, max(last - 1, 0)).long()
    high = (low + 1).clamp(max=last)
    weight = (position - low).clamp(0, 1).float()
    before, after = (torch.from_numpy(values[:, at.numpy()]) for at in (low, high))  # (C, B, W)
    read = before * (1 - weight) + after * weight
    return read.where(inside, torch.tensor(outside)).transpose(0, 1)
