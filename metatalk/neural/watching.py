"""How a training is watched while it runs: figures, pictures, time left."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

POINTS = 400  # of each curve over the whole budget: a curve, not a log of every step


class Watcher(Protocol):
    """Who is shown what a training does."""

    def begin(self, step: int, /) -> None:
        """Take the step a run starts at; what an earlier run showed from there on is void."""

    def show_figures(self, step: int, figures: Mapping[str, float], /) -> None:
        """Take figures by name, such as `train/l1`."""

    def show_sheet(self, step: int, sheet: np.ndarray, /) -> None:
        """Take a contact sheet, (H, W, 3) uint8 RGB."""


class Unwatched:
    """A watcher that looks away."""

    def begin(self, step: int, /) -> None:
        """See `Watcher`."""

    def show_figures(self, step: int, figures: Mapping[str, float], /) -> None:
        """See `Watcher`."""

    def show_sheet(self, step: int, sheet: np.ndarray, /) -> None:
        """See `Watcher`."""


class Meter:
    """Means of a training's figures between two points of its curves."""

    def __init__(self) -> None:
        self._sums: dict[str, list[float]] = {}
        self._point = -1
        self._steps, self._since = 0, time.perf_counter()

    def note(self, figures: Mapping[str, float]) -> None:
        """Take the figures of one step."""
        self._steps += 1
        for name, value in figures.items():
            self._sums.setdefault(name, []).append(value)

    def report(self, spent: float) -> dict[str, float]:
        """The means since the last report, under `train/`, and the steps a second.

        Args:
            spent: share of the budget used up, 0 to 1.

        Returns:
            Figures by name; none while the curves' next point is not reached.
        """
        point = int(spent * POINTS)
        if point == self._point or not self._steps:
            return {}
        elapsed = max(time.perf_counter() - self._since, 1e-9)
        means = {f"train/{name}": float(np.mean(part)) for name, part in self._sums.items()}
        means["train/steps_per_second"] = self._steps / elapsed
        self._sums, self._point = {}, point
        self._steps, self._since = 0, time.perf_counter()
        return means


def read_scalars(scalars: Mapping[str, Tensor | float]) -> dict[str, float]:
    """Bring a step's figures to the CPU, all at once: each one alone would make a GPU wait."""
    tensors = {name: value for name, value in scalars.items() if isinstance(value, Tensor)}
    values = {name: float(v) for name, v in scalars.items() if not isinstance(v, Tensor)}
    if tensors:
        read = torch.stack([value.float().reshape(()) for value in tensors.values()]).tolist()
        values |= dict(zip(tensors, read, strict=True))
    return values


def describe_time_left(seconds: float, spent: float) -> str:
    """Say how long a training will go on.

    Args:
        seconds: it has taken so far.
        spent: share of the budget used up, above 0 to 1.

    Returns:
        Minutes and seconds, or hours and minutes.

    >>> describe_time_left(60, 0.25), describe_time_left(3600, 0.1)
    ('3:00 left', '9 h 00 left')
    """
    left = round(seconds / spent * (1 - spent))
    if left >= 3600:
        return f"{left // 3600} h {left % 3600 // 60:02d} left"
    return f"{left // 60}:{left % 60:02d} left"
