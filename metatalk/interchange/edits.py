"""Curves that come back from another program, and how they are put over a face."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from metatalk.interchange.take import Take, mix_rotations, mix_rows
from metatalk.shapes import check_shape

HOLD_S = 0.2  # how long the last pose is kept after curves that end too soon,
FADE_S = 0.3  # and how long the way from there to rest takes
_ROUNDING_S = 1e-6  # by which a written time may be late and still be the time it was


@dataclass(frozen=True, eq=False)
class Edits:
    """Some of a face's curves, at times of their own."""

    seconds: np.ndarray  # (N,) float64, ascending; 0 is the first frame of the clip
    names: tuple[str, ...]  # C of the face model's expression names
    values: np.ndarray  # (N, C) float64, in the face model's units
    rotation: np.ndarray | None = None  # (N, 3) Euler angles XYZ, radians
    translation: np.ndarray | None = None  # (N, 3) millimetres, camera frame
    shots: np.ndarray | None = None  # (N,) shot numbers; None: one shot

    def __post_init__(self) -> None:
        count = check_shape("seconds", self.seconds, "N")["N"]
        check_shape("values", self.values, "N C", N=count, C=len(self.names))
        for name in ("rotation", "translation"):
            if getattr(self, name) is not None:
                check_shape(name, getattr(self, name), "N 3", N=count)
        if self.shots is not None:
            check_shape("shots", self.shots, "N", N=count)

    def sample(self, seconds: np.ndarray, shots: np.ndarray | None = None) -> Edits:
        """Read the curves at other times: linearly, and not across a cut; the ends are held.

        Args:
            seconds: (M,) times.
            shots: (M,) the shot each time lies in, where that is known: between two rows of
                different shots the row of this shot is taken, else the earlier one.

        Returns:
            (M) the curves at these times.
        """
        check_shape("seconds", seconds, "M")
        earlier, later, weight = self._place(seconds, shots)
        mix = lambda rows: mix_rows(rows, earlier, later, weight)  # noqa: E731
        rotation, translation = self.rotation, self.translation
        if rotation is not None:
            rotation = mix_rotations(rotation, earlier, later, weight)
        return Edits(
            seconds,
            self.names,
            mix(self.values),
            rotation,
            mix(translation) if translation is not None else None,
            self.shots[earlier] if self.shots is not None else None,
        )

    def _place(
        self, seconds: np.ndarray, shots: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(M,) the rows before and after each time, and the share of the latter."""
        last = len(self.seconds) - 1
        after = np.searchsorted(self.seconds, seconds + _ROUNDING_S, side="right")
        earlier = (after - 1).clip(0, last)
        later = np.minimum(earlier + 1, last)
        length = np.maximum(self.seconds[later] - self.seconds[earlier], 1e-12)
        weight = ((seconds - self.seconds[earlier]) / length).clip(0.0, 1.0)
        if self.shots is not None:
            cut = self.shots[earlier] != self.shots[later]
            ahead = np.zeros(len(seconds), bool)
            if shots is not None:
                ahead = (self.shots[later] == shots) & (self.shots[earlier] != shots)
            weight = np.where(cut, ahead.astype(np.float64), weight)
        return earlier, later, weight


def apply_edits(take: Take, edits: Edits) -> Take:
    """Put edited curves over a take; what the edits do not hold stays as it was fitted.

    Args:
        take: (T) as fitted, at the times that are wanted.
        edits: its names are among the take's.

    Returns:
        (T) the take with the edited curves in place of its own.
    """
    sampled = edits.sample(take.index.seconds(), take.shots)
    expression = replace_columns(
        take.track.expression.numpy(), take.names, sampled.names, sampled.values
    )
    changed = {"expression": expression}
    if sampled.rotation is not None:
        changed["rotation"] = sampled.rotation
    if sampled.translation is not None:
        changed["translation"] = sampled.translation
    tensors = {
        name: torch.from_numpy(np.asarray(rows, np.float32)) for name, rows in changed.items()
    }
    return replace(take, track=replace(take.track, **tensors))


def replace_columns(
    expression: np.ndarray, names: tuple[str, ...], given: tuple[str, ...], values: np.ndarray
) -> np.ndarray:
    """Exchange some columns of an expression.

    Args:
        expression: (T, E).
        names: E names of its columns.
        given: C of these names.
        values: (T, C) what the named columns become.

    Returns:
        (T, E) float32.
    """
    check_shape("expression", expression, "T E", T=len(values), E=len(names))
    changed = np.array(expression, np.float32)
    changed[:, [names.index(name) for name in given]] = values
    return changed


def remaining_share(edits: Edits, seconds: np.ndarray) -> np.ndarray:
    """How much of the curves is left at a time: they end, are held a moment, and fade to rest.

    Args:
        edits: the curves.
        seconds: (M,) times.

    Returns:
        (M,) 1 up to `HOLD_S` after the last row, 0 from `FADE_S` later on.
    """
    over = seconds - (edits.seconds[-1] + HOLD_S)
    share: np.ndarray = 1.0 - (over / FADE_S).clip(0.0, 1.0)
    return share
