"""The loop that all lip-sync trainings share: resumable, watched, on one device or several."""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metatalk.fabric import launch, open_fabric
from metatalk.lipsync.learning.config import ExpertConfig, TeacherConfig

log = logging.getLogger(__name__)

State = dict[str, Any]  # nested dicts and lists of tensors and numbers
Figures = dict[str, float]
SAVING_SHARE = 0.05  # of the time, at most, goes into saving states
_LEAST_SAVING_S = 20.0
_SMOOTHING = 0.98  # of the losses that are shown


def _nothing() -> None:
    """There is nothing to close."""


def _forget(name: str, state: dict[str, Tensor], /) -> None:
    """What else was trained is not wanted."""


@dataclass(frozen=True)
class Journal:
    """Where a training reports and keeps its state.

    With several processes all of it is pickled, so nothing of it may be a local function.
    """

    progress: Callable[[int, int | None, str], None]
    save: Callable[[State], None]
    load: Callable[[], State | None]
    show_figures: Callable[[int, Mapping[str, float]], None]
    show_sheet: Callable[[int, np.ndarray], None]
    close: Callable[[], None] = _nothing
    keep: Callable[[str, dict[str, Tensor]], None] = _forget  # what else was trained, by name


class Course(ABC):
    """What is taught: networks, what a step does, and how it is examined."""

    config: ExpertConfig | TeacherConfig
    section: str  # of the configuration

    @abstractmethod
    def begin(self, fabric: Any) -> None:
        """Build the networks and their optimisers, and hand them to Fabric."""

    @abstractmethod
    def batches(self, steps: range) -> Iterator[Any]:
        """Draw the batches of steps for this process."""

    @abstractmethod
    def learn(self, batch: Any, share: float) -> Figures:
        """Take one step; `share` of the training is over, 0 to 1. Gives losses."""

    @abstractmethod
    def check(self) -> Figures:
        """Measure on what is held out."""

    @abstractmethod
    def state(self) -> State:
        """Everything that a later run needs to go on."""

    @abstractmethod
    def restore(self, state: State) -> None:
        """Go on from a state."""

    @abstractmethod
    def result(self) -> dict[str, Tensor]:
        """The weights that are kept, on the CPU."""

    def extras(self) -> dict[str, dict[str, Tensor]]:
        """Weights beside the result that another training could go on from, by name."""
        return {}

    def sheet(self) -> np.ndarray | None:
        """A picture of how far it is, (H, W, 3) uint8 RGB, or None."""
        return None


def run_course(
    course: Course, seed: int, journal: Journal, accelerator: str = "cpu"
) -> tuple[dict[str, Tensor], Figures]:
    """Teach a course to its end, or go on where an earlier run was killed.

    Args:
        course: what to teach; with several devices it is pickled, so it has not begun yet.
        seed: the same seed gives the same training on the same number of processes.
        journal: progress, states, curves.
        accelerator: "cpu" or "cuda".

    Returns:
        The weights on the CPU, and the figures of the last check with `steps` and `seconds`.

    Raises:
        MissingAssetError: Lightning Fabric is not installed, or there are too few GPUs.
    """
    config = course.config
    fabric = open_fabric(course.section, config.devices, config.precision, accelerator)
    found = journal.load()
    if found is None or "result" not in found:
        found = launch(fabric, partial(_teach, course, seed, journal)) or journal.load()
    assert found is not None
    return found["result"], found["figures"]


def _teach(course: Course, seed: int, journal: Journal, fabric: Any) -> State | None:
    """What each process does; one of several leaves its answer with the states."""
    torch.manual_seed(seed)
    course.begin(fabric)
    ledger = _Ledger(course, journal, fabric.is_global_zero)
    if (kept := journal.load()) is not None:
        course.restore(kept["course"])
        ledger.restore(kept)
    try:
        return _go_through(course, seed, ledger, fabric)
    finally:
        journal.close()


def _go_through(course: Course, seed: int, ledger: _Ledger, fabric: Any) -> State | None:
    steps = course.config.steps
    check_every = -(-steps // course.config.checks)
    for batch in course.batches(range(ledger.step, steps)):
        torch.manual_seed((seed * 1_000_003 + ledger.step) % (1 << 63))
        ledger.note(course.learn(batch, ledger.step / steps))
        if ledger.step % check_every == 0 or ledger.step == steps:
            ledger.examine()
        ledger.keep(fabric)
    if not fabric.is_global_zero:
        return None
    figures = {**ledger.figures, "steps": float(steps), "seconds": ledger.seconds}
    for name, weights in course.extras().items():
        ledger.journal.keep(name, weights)
    found = {"result": course.result(), "figures": figures}
    if fabric.world_size > 1:
        ledger.journal.save(found)  # what processes can tell each other has to fit into a pipe
        return None
    return found


class _Ledger:
    """How far a training is, what it cost, and what was last measured."""

    def __init__(self, course: Course, journal: Journal, speaks: bool) -> None:
        self.course, self.journal, self.speaks = course, journal, speaks
        self.step, self.seconds = 0, 0.0
        self.figures: Figures = {}
        self._losses: Figures = {}
        self._mark = self._saved = time.monotonic()
        self._saving_s = 0.0

    def restore(self, state: State) -> None:
        """Go on from a state."""
        self.step, self.seconds, self.figures = state["step"], state["seconds"], state["figures"]

    def note(self, losses: Figures) -> None:
        """Count a step and say how it went."""
        self.step += 1
        now = time.monotonic()
        self.seconds, self._mark = self.seconds + now - self._mark, now
        for name, value in losses.items():
            before = self._losses.get(name, value)
            self._losses[name] = _SMOOTHING * before + (1 - _SMOOTHING) * value
        if self.speaks:
            words = ", ".join(f"{name} {value:.3f}" for name, value in self._losses.items())
            self.journal.progress(self.step, self.course.config.steps, words)
            if self.step % 10 == 0:
                self.journal.show_figures(self.step, self._losses)

    def examine(self) -> None:
        """Measure on what is held out. Every process does, so that none waits in vain."""
        self.figures = self.course.check()
        if not self.speaks:
            return
        words = ", ".join(f"{name} {value:.3f}" for name, value in self.figures.items())
        log.info("%s, step %d, held out: %s", self.course.section, self.step, words)
        held = {f"held out/{name}": value for name, value in self.figures.items()}
        self.journal.show_figures(self.step, held)
        if (sheet := self.course.sheet()) is not None:
            self.journal.show_sheet(self.step, sheet)

    def keep(self, fabric: Any) -> None:
        """Save the state now and then, more rarely the longer it takes."""
        now = time.monotonic()
        wait = max(_LEAST_SAVING_S, self._saving_s / SAVING_SHARE)
        if self.step == self.course.config.steps or now - self._saved < wait:
            return
        if fabric.is_global_zero:
            self.journal.save({
                "course": self.course.state(), "step": self.step,
                "seconds": self.seconds, "figures": self.figures,
            })  # fmt: skip
        self._saved = time.monotonic()
        self._saving_s = self._saved - now
