"""Train a prior on many actors' clips, on one processor or on several GPUs.

Windows, voices and dropout of a step follow from the seed, the step and the process alone, so a
training that was killed goes on from its checkpoint as if nothing had been.
"""

from __future__ import annotations

import copy
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from metatalk.a2e.config import A2EConfig
from metatalk.a2e.learner import Checkpoint
from metatalk.a2e.losses import MouthWeights, mouth_loss
from metatalk.a2e.prior import Prior, PriorRecord, restore_prior
from metatalk.a2e.prior_config import PriorConfig
from metatalk.a2e.prior_pupils import Pupil, draw_batch, finish_prior, prepare_prior
from metatalk.a2e.threads import one_thread
from metatalk.a2e.windows import Lesson, Windows
from metatalk.errors import FittingError
from metatalk.fabric import launch, open_fabric

log = logging.getLogger(__name__)

_WARM_UP_STEPS = 50
_LARGEST_GRADIENT = 1.0
_LAST_RATE = 0.05  # of the learning rate
_CHECKPOINTS = 10
_SEED_STEP, _SEED_RANK = 1_000_003, 7_919  # primes: no two steps or processes share their dice


@dataclass(frozen=True)
class PriorJournal:
    """Where training reports and keeps its checkpoints.

    With several processes all of it is pickled, so nothing of it may be a local function.
    """

    progress: Callable[[int, int | None, str], None]
    save: Callable[[Checkpoint], None]
    load: Callable[[], Checkpoint | None]


@dataclass(frozen=True)
class _Order:
    """What every process is told."""

    open_lessons: Callable[[], Sequence[Lesson]]
    record: PriorRecord
    seed: int
    journal: PriorJournal


class _Members(nn.Module):
    """The networks, each by itself, behind `forward`: gradients are only then exchanged."""

    def __init__(self, prior: Prior) -> None:
        super().__init__()
        self.networks = prior.networks

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, W) -> (N, B, U, W / 2)."""
        made: Tensor = self.networks.each(features)
        return made


def train_prior(
    open_lessons: Callable[[], Sequence[Lesson]],
    record: PriorRecord,
    seed: int,
    journal: PriorJournal,
    accelerator: str = "cpu",
) -> tuple[Prior, dict[str, float]]:
    """Learn what many actors' mouths have in common.

    Args:
        open_lessons: gives each actor's sound and universal mouth; called in every process.
        record: what goes into the prior, and its settings.
        seed: the same seed gives the same prior on the same number of processes.
        journal: progress and checkpoints.
        accelerator: "cpu" or "cuda".

    Returns:
        The prior, on the CPU, and its metrics: `steps`, `seconds`, `footage_s`, `loss` and
        `error` on what was learned from (relative to showing the mean).

    Raises:
        MissingAssetError: Lightning Fabric is not installed, or there are too few GPUs.
        FittingError: no clip is left.
    """
    fabric = _open_fabric(record.config, accelerator)
    started = time.monotonic()
    order = _Order(open_lessons, record, seed, journal)
    found = journal.load()
    if found is None or "prior" not in found:
        found = launch(fabric, partial(_train, order)) or journal.load()
    assert found is not None
    prior = restore_prior(found["prior"], record)
    return prior, {**found["metrics"], "seconds": time.monotonic() - started}


def _open_fabric(config: PriorConfig, accelerator: str) -> Any:
    # Not on a processor: its small matrices gain nothing from bfloat16.
    auto = accelerator == "cpu" and config.precision == "auto"
    return open_fabric("prior", config.devices, "full" if auto else config.precision, accelerator)


def _train(order: _Order, fabric: Any) -> Checkpoint | None:
    """What each process does; one of several leaves its answer with the checkpoints."""
    pupils = [Pupil.of(lesson) for lesson in order.open_lessons() if lesson.known.any()]
    if not pupils:
        raise FittingError("no clip shows a speaking face", "Give clips of people who speak.")
    config, record = order.record.config, order.record
    with one_thread():
        prior = prepare_prior(pupils, record, order.seed)
        members = _Members(prior).train()
        optimiser = torch.optim.AdamW(
            members.parameters(),
            config.learning_rate,
            (0.9, 0.98),
            weight_decay=config.weight_decay,
        )
        members, optimiser = fabric.setup(members, optimiser)
        loss = _learn(fabric, (members, optimiser), prior, pupils, order)
        prior = prior.cpu().eval()
        if not fabric.is_global_zero:
            return None
        order.journal.progress(1, 1, "solving the kernel regression")
        error = finish_prior(prior, pupils)
    seconds = sum(pupil.seconds for pupil in pupils)
    steps = _steps(config, seconds)
    metrics = {"steps": steps, "footage_s": seconds, "loss": loss, "error": error}
    found = {"prior": prior.state_dict(), "metrics": metrics}
    if fabric.world_size == 1:
        return found
    order.journal.save(found)  # what processes can tell each other has to fit into a pipe
    return None


def _learn(
    fabric: Any, taught: tuple[Any, Any], prior: Prior, pupils: Sequence[Pupil], order: _Order
) -> float:
    """Train the networks to the end, leaving their moving average in the prior; the last loss."""
    config, journal, optimiser = order.record.config, order.journal, taught[1]
    seconds = sum(pupil.seconds for pupil in pupils)
    steps, loss = _steps(config, seconds), 0.0
    average = copy.deepcopy(prior.networks).eval()
    first = 0
    if (kept := journal.load()) is not None:
        first, loss = kept["step"], kept["loss"]
        prior.networks.load_state_dict(kept["network"])
        average.load_state_dict(kept["average"])
        optimiser.load_state_dict(kept["optimiser"])
    every = max(1, steps // _CHECKPOINTS)
    dice = _Dice(order.seed, fabric.global_rank, fabric.world_size)
    with torch.random.fork_rng(devices=None if fabric.device.type == "cuda" else []):
        for step in range(first, steps):
            generator = dice.throw(step)
            features, windows = draw_batch(pupils, prior, config, generator, dice.share(config))
            loss = _descend(fabric, taught, (features, windows), config, (step, steps))
            _follow(average, prior.networks, min(config.average, (1 + step) / (10 + step)))
            if (step + 1) % every == 0 and fabric.is_global_zero:
                state = {"network": prior.networks.state_dict(), "average": average.state_dict()}
                state = {name: _on_cpu(value) for name, value in state.items()}
                journal.save({
                    **state, "optimiser": optimiser.state_dict(), "step": step + 1, "loss": loss
                })  # fmt: skip
            if fabric.is_global_zero:
                journal.progress(step + 1, steps, f"loss {loss:.2f}")
    prior.networks.load_state_dict(average.state_dict())
    return loss


def _steps(config: PriorConfig, footage_s: float) -> int:
    """None where the kernel answers alone."""
    return config.steps_for(footage_s) if config.kernel.share < 1 else 0


@dataclass(frozen=True)
class _Dice:
    """Random numbers that follow from the seed, the step and the process."""

    seed: int
    rank: int
    processes: int

    def throw(self, step: int) -> torch.Generator:
        """A generator for windows and voices; dropout's, the global one, is set as well."""
        number = (self.seed * _SEED_STEP + step) * _SEED_RANK + self.rank
        torch.manual_seed(number % (1 << 63))
        return torch.Generator().manual_seed((number + 1) % (1 << 63))

    def share(self, config: PriorConfig) -> int:
        """Windows of this process."""
        return max(1, config.batch // self.processes)


def _descend(
    fabric: Any,
    taught: tuple[Any, Any],
    batch: tuple[Tensor, Windows],
    config: PriorConfig,
    place: tuple[int, int],
) -> float:
    """One step of all members; the mean loss of a member."""
    (members, optimiser), (step, steps) = taught, place
    features, windows = batch[0].to(fabric.device), batch[1]
    windows = Windows(*(part.to(fabric.device) for part in vars(windows).values()))
    made = members(features).float()
    even = MouthWeights(torch.ones(config.components, device=fabric.device))
    settings = A2EConfig(velocity_weight=config.velocity_weight)
    # Each member learns as if alone: the sum over members, not the mean.
    loss = mouth_loss(made, windows, even, settings) * len(made)
    decay = _LAST_RATE + (1 - _LAST_RATE) * (1 + math.cos(math.pi * step / steps)) / 2
    for group in optimiser.param_groups:
        group["lr"] = config.learning_rate * min(1.0, (step + 1) / _WARM_UP_STEPS) * decay
    optimiser.zero_grad()
    fabric.backward(loss)
    for member in members.module.networks.members:
        nn.utils.clip_grad_norm_(member.parameters(), _LARGEST_GRADIENT)
    optimiser.step()
    return float(loss.detach()) / len(made)


@torch.no_grad()
def _follow(average: nn.Module, network: nn.Module, keep: float) -> None:
    for mean, new in zip(average.parameters(), network.parameters(), strict=True):
        mean.lerp_(new, 1 - keep)


def _on_cpu(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.cpu() for name, value in state.items()}
