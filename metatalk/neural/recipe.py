"""What a training needs to know of the networks it trains: one recipe each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from metatalk.neural.pictures import CropPictures

RecipeState = dict[str, Any]  # nested dicts of tensors and numbers; loads with weights_only
Scalars = Mapping[str, Tensor | float]  # losses of one step, by name


@dataclass(frozen=True)
class Moment:
    """Where in its budget a training is."""

    step: int  # steps done before
    spent: float  # share of the budget used up, 0 to 1


class Recipe(Protocol):
    """Networks, optimisers and losses; `training` has the loop, the clock and the checkpoints.

    A recipe is built from (crops, rows to learn from, settings, device, seed). The same seed
    and step give the same batch and the same chance in the step, so that a resumed training
    goes on as the killed one would have.
    """

    batch: int  # what a step is drawn with, until memory runs out

    @property
    def average(self) -> nn.Module:
        """The network that is kept: weights averaged over the last steps, float32."""

    def draw(self, step: int, batch: int) -> Any:
        """Draw the batch of a step on the CPU; runs in a thread of its own, ahead of the steps."""

    def train_step(self, batch: Any, moment: Moment) -> Scalars:
        """Improve the networks by one batch.

        Returns:
            The step's figures by name, detached; among them `l1`, the mean absolute error
            inside the mask, RGB in [0, 1], and `learning_rate`.
        """

    def pictures(self, rows: np.ndarray) -> CropPictures:
        """What the network looks at to render some rows of the crops."""

    def state(self) -> RecipeState:
        """Everything a later run needs to go on from here."""

    def restore(self, state: RecipeState) -> None:
        """Go on from a stored state."""


def collect_state(recipe: object, parts: Iterable[str]) -> RecipeState:
    """The states of a recipe's networks and optimisers, by the names of its attributes."""
    return {name: getattr(recipe, name).state_dict() for name in parts}


def restore_state(recipe: object, parts: Iterable[str], state: RecipeState) -> None:
    """Undo `collect_state`."""
    for name in parts:
        getattr(recipe, name).load_state_dict(state[name])


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Change an optimiser's learning rate."""
    for group in optimiser.param_groups:
        group["lr"] = rate
