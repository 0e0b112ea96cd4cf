"""Training the renderer on one actor's crops, within a budget, resumable, watched."""

from __future__ import annotations

import copy
import logging
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from metatalk.errors import FittingError, ShapeError
from metatalk.neural.batches import LowerFaceCrops, split_frames
from metatalk.neural.carried_recipe import CarriedRecipe
from metatalk.neural.config import NeuralConfig
from metatalk.neural.contact import draw_contact_sheet
from metatalk.neural.infer import prepare_for_rendering
from metatalk.neural.pix2pix_recipe import Pix2PixRecipe
from metatalk.neural.prefetch import DrawAhead
from metatalk.neural.recipe import Moment, Recipe
from metatalk.neural.samples import Samples
from metatalk.neural.scoring import RenderScore, score_generator
from metatalk.neural.watching import (
    Meter,
    Unwatched,
    Watcher,
    describe_time_left,
    read_scalars,
)

log = logging.getLogger(__name__)

CHECKS = 10  # over the budget: a score on few frames and a contact sheet
CHECK_FRAMES = 8
SAVING_SHARE = 0.05  # of the time, at most, goes into saving states

TrainingState = dict[str, Any]  # nested dicts of tensors and numbers; loads with weights_only
Save = Callable[[TrainingState], None]


class Progress(Protocol):
    """How a training tells how far it is."""

    def __call__(self, done: int, total: int | None, note: str = "", /) -> None:
        """Take steps done, steps expected in all, and what there is to say."""


@dataclass(frozen=True, eq=False)
class TrainedRenderer:
    """The result of a training."""

    state: dict[str, Tensor]  # weights for `build_network`, averaged over the last steps
    metrics: dict[str, float]
    train_frames: np.ndarray  # (N,) rows of the crops
    held_out_frames: np.ndarray  # (M,) rows that were not learned from


class Trainer:
    """A recipe, the budget spent on it so far, and the best that came of it."""

    def __init__(self, recipe: Recipe, config: NeuralConfig, steps: int) -> None:
        self.recipe, self.config, self.most_steps = recipe, config, steps
        self.step, self.seconds, self.batch = 0, 0.0, recipe.batch
        self.checks, self.stopped = 0, False
        self.best: dict[str, Any] | None = None  # merit, step, spent, weights

    def share_spent(self) -> float:
        """Share of the budget that is used up, 0 to 1."""
        by_clock = self.seconds / (60 * self.config.minutes)
        return min(1.0, max(by_clock, self.step / self.most_steps))

    def has_finished(self) -> bool:
        """Whether the budget is used up or the training was stopped early."""
        return self.stopped or self.share_spent() >= 1

    def is_check_due(self) -> bool:
        """Whether it is time to look at held-out frames."""
        return int(self.share_spent() * CHECKS) > self.checks

    def state(self) -> TrainingState:
        """Everything a later run needs to go on from here."""
        return {"recipe": self.recipe.state(), **{name: getattr(self, name) for name in _COUNTS}}

    def restore(self, state: TrainingState) -> None:
        """Go on from a stored state."""
        self.recipe.restore(state["recipe"])
        for name in _COUNTS:
            setattr(self, name, state[name])

    def judge(self, score: RenderScore | None) -> None:
        """Keep the weights if they are the best so far; stop if none were for too long."""
        spent = self.share_spent()
        self.checks = int(spent * CHECKS)
        if score is None or not self.config.patience:
            return
        merit = score.merit_db()
        if self.best is None or merit > self.best["merit"]:
            weights = {k: v.to("cpu", copy=True) for k, v in self._weights().items()}
            self.best = {"merit": merit, "step": self.step, "spent": spent, "weights": weights}
        elif spent < 1 and spent - self.best["spent"] >= self.config.patience - 1e-9:
            self.stopped = True
            log.info(
                "stopped early at step %d: held-out frames were best at step %d",
                self.step,
                self.best["step"],
            )

    def kept(self) -> tuple[nn.Module, int]:
        """The network that is the result, and the step it is from."""
        if self.best is None:
            return self.recipe.average, self.step
        if self.best["step"] != self.step:
            log.info("the weights of step %d are kept, of %d", self.best["step"], self.step)
        network = copy.deepcopy(self.recipe.average)
        network.load_state_dict(self.best["weights"])
        return network, self.best["step"]

    def _weights(self) -> dict[str, Tensor]:
        weights: dict[str, Tensor] = self.recipe.average.state_dict()
        return weights


_COUNTS = ("step", "seconds", "batch", "checks", "stopped", "best")


@dataclass(frozen=True, eq=False)
class SamplePools:
    """Frames with texture carried to them."""

    learned: Samples  # of training frames, from training frames
    trial: Samples  # of frames that score; matched texture is from training frames only


@dataclass(frozen=True, eq=False)
class _Audience:
    """Everyone who is told, and the frames they are shown."""

    progress: Progress | None
    watcher: Watcher
    save: Save | None
    rows: np.ndarray  # of the crops: those that score while the training runs
    held_out: bool  # whether these are not learned from
    device: torch.device


def train_renderer(
    crops: LowerFaceCrops,
    config: NeuralConfig,
    device: torch.device,
    seed: int,
    progress: Progress | None = None,
    save: Save | None = None,
    load: Callable[[], TrainingState | None] | None = None,
    watcher: Watcher | None = None,
    samples: SamplePools | None = None,
) -> TrainedRenderer:
    """Learn one actor's lower face.

    Args:
        crops: stabilised crops of the clip; at least 2 frames with a face.
        config: recipe, budget, sizes and weights.
        device: where to train.
        seed: makes runs repeatable, up to the number of steps that fit into `minutes`.
        progress: told after every step.
        save: stores a training state; called about every `checkpoint_seconds` and at the end.
        load: gives the last stored state, or None where there is none.
        watcher: shown losses, scores and contact sheets on the way, and the result's last.
        samples: frames with texture carried to them; needed unless `network` is pix2pix.

    Returns:
        The weights and their scores on training frames (`train_...`) and on held-out frames
        (`held_out_...`), the latter only where the clip is long enough to spare some. With
        `patience` they are the best of the checks, else the last.

    Raises:
        FittingError: no usable frame, or a loss that is not a number.
        ShapeError: crops of the wrong shape.
    """
    train, held_out = split_frames(crops.usable(), config)
    recipe = build_recipe(crops, train, config, device, seed, samples)
    trainer = Trainer(recipe, config, plan_steps(config, len(train), recipe.batch))
    state = load() if load else None
    if state is not None:
        trainer.restore(state)
        log.info("resuming the renderer's training at step %d", trainer.step)
    watcher = watcher or Unwatched()
    watcher.begin(trainer.step)
    shown = held_out if len(held_out) else train
    _spend_budget(trainer, _Audience(progress, watcher, save, shown, len(held_out) > 0, device))
    network, best_step = trainer.kept()
    metrics = _measure(trainer, network, device, train, held_out) | {"best_step": float(best_step)}
    fast = prepare_for_rendering(network, device)
    watcher.show_sheet(trainer.step, draw_contact_sheet(fast, recipe.pictures, shown))
    weights = {name: value.cpu() for name, value in network.state_dict().items()}
    return TrainedRenderer(weights, metrics, train, held_out)


def build_recipe(
    crops: LowerFaceCrops,
    rows: np.ndarray,
    config: NeuralConfig,
    device: torch.device,
    seed: int,
    samples: SamplePools | None = None,
) -> Recipe:
    """Make the recipe that `config.network` names.

    Args:
        crops: the clip.
        rows: (N,) rows to learn from.
        config: its settings.
        device: where to train.
        seed: of weights and batches.
        samples: frames with texture carried to them; our own recipe needs them.

    Returns:
        The recipe, untrained.

    Raises:
        ShapeError: our own recipe is asked for and there are no samples.
    """
    if config.network == "pix2pix":
        return Pix2PixRecipe(crops, rows, config, device, seed)
    if samples is None:
        raise ShapeError(
            "neural.network=carried learns from samples, and none are given",
            "carry texture first, see stages.samples.prepare_samples, or use pix2pix",
        )
    return CarriedRecipe(crops, rows, config, device, seed, samples.learned, samples.trial)


def plan_steps(config: NeuralConfig, frames: int, batch: int) -> int:
    """How many steps a training may have: the less footage, the fewer, where passes are limited.

    Args:
        config: gives `steps` and `passes`.
        frames: number of frames to learn from.
        batch: frames drawn a step.

    Returns:
        The most steps, at least 1.

    >>> plan_steps(NeuralConfig(steps=6000, passes=40), frames=250, batch=4)
    2500
    """
    if not config.passes:
        return config.steps
    return max(1, min(config.steps, math.ceil(config.passes * frames / batch)))


def _measure(
    trainer: Trainer,
    network: nn.Module,
    device: torch.device,
    train: np.ndarray,
    held_out: np.ndarray,
) -> dict[str, float]:
    fast, read = prepare_for_rendering(network, device), trainer.recipe.pictures
    metrics = score_generator(fast, read, train, most=32).as_metrics("train")
    if len(held_out):
        metrics |= score_generator(fast, read, held_out).as_metrics("held_out")
    return metrics | {
        "steps": float(trainer.step),
        "stopped_early": float(trainer.stopped),
        "batch": float(trainer.batch),
        "seconds": round(trainer.seconds, 1),
        "train_frames": float(len(train)),
        "held_out_frames": float(len(held_out)),
    }


def _spend_budget(trainer: Trainer, audience: _Audience) -> None:
    meter, smooth = Meter(), math.nan
    save_due, began = trainer.seconds + trainer.config.checkpoint_seconds, time.perf_counter()
    with _Batches(trainer) as batches:
        while not trainer.has_finished():
            figures = _train_once(trainer, batches)
            if not all(math.isfinite(value) for value in figures.values()):
                raise FittingError(
                    f"the renderer's training diverged at step {trainer.step}",
                    "lower neural.learning_rate, or train with another seed",
                )
            began = _charge(trainer, began)
            error = figures["l1"]
            smooth = error if math.isnan(smooth) else 0.98 * smooth + 0.02 * error
            _tell(trainer, audience, meter, figures, smooth)
            if trainer.is_check_due():
                _check(trainer, audience)
            if audience.save and (trainer.has_finished() or trainer.seconds >= save_due):
                save_due = _save(trainer, audience.save)


def _charge(trainer: Trainer, began: float) -> float:
    """Charge what has passed since `began`; all of the wall clock counts, checks included."""
    now = time.perf_counter()
    trainer.seconds += now - began
    return now


def _tell(
    trainer: Trainer,
    audience: _Audience,
    meter: Meter,
    figures: dict[str, float],
    smooth: float,
) -> None:
    spent = trainer.share_spent()
    meter.note(figures)
    shown = meter.report(spent)
    if shown:
        audience.watcher.show_figures(trainer.step, shown)
    if audience.progress:
        left = describe_time_left(trainer.seconds, spent)
        audience.progress(trainer.step, round(trainer.step / spent), f"L1 {smooth:.4f}, {left}")


def _check(trainer: Trainer, audience: _Audience) -> None:
    """Score a few frames and draw a sheet; only frames not learned from can end a training."""
    network, read = trainer.recipe.average, trainer.recipe.pictures
    fast = prepare_for_rendering(network, audience.device)
    score = score_generator(fast, read, audience.rows, CHECK_FRAMES)
    figures = {**asdict(score), "merit_db": score.merit_db()}
    label = "held_out" if audience.held_out else "learned"
    named = {f"{label}/{name}": value for name, value in figures.items()}
    audience.watcher.show_figures(trainer.step, named)
    audience.watcher.show_sheet(trainer.step, draw_contact_sheet(fast, read, audience.rows))
    trainer.judge(score if audience.held_out else None)


def _save(trainer: Trainer, save: Save) -> float:
    """Returns the second at which the next state is due: large ones are saved less often."""
    began = time.perf_counter()
    save(trainer.state())
    took, apart = time.perf_counter() - began, trainer.config.checkpoint_seconds
    return trainer.seconds + (max(apart, took / SAVING_SHARE) if apart else 0.0)


class _Batches:
    """The batches of the coming steps, of the size that still fits into memory."""

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self._ahead = self._start()

    def __enter__(self) -> _Batches:
        return self

    def __exit__(self, *_: object) -> None:
        self._ahead.close()

    def take(self) -> Any:
        return self._ahead.take()

    def halve(self) -> None:
        """Draw this step's batch, and those after it, anew at half the size."""
        self._ahead.close()
        self._trainer.batch //= 2
        self._ahead = self._start()

    def _start(self) -> DrawAhead[Any]:
        draw = partial(self._trainer.recipe.draw, batch=self._trainer.batch)
        return DrawAhead(draw, self._trainer.step)


def _train_once(trainer: Trainer, batches: _Batches) -> dict[str, float]:
    """One step; where memory runs out it is tried again with half the batch."""
    while True:
        moment = Moment(trainer.step, trainer.share_spent())
        try:
            figures = read_scalars(trainer.recipe.train_step(batches.take(), moment))
            trainer.step += 1
            return figures
        except RuntimeError as error:
            if not _is_out_of_memory(error) or trainer.batch == 1:
                raise
        batches.halve()
        log.warning("out of memory: going on with batches of %d", trainer.batch)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _is_out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error)
