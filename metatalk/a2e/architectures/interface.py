"""What every network from sound to mouth has in common: its clock and how far it hears."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from metatalk.lipsync.mel import COLUMNS_PER_SECOND
from metatalk.shapes import check_shape

STRIDE = 2  # feature columns per step of a network: it thinks at 40 steps a second
STEPS_PER_SECOND = COLUMNS_PER_SECOND // STRIDE
RUN_UP = 2 * COLUMNS_PER_SECOND  # columns after which a recurrent network's memory counts as gone


class Reach(NamedTuple):
    """How many feature columns a prediction depends on, beside the column at its own time."""

    back: int | None  # None: all that came before
    ahead: int | None  # None: all that is still to come

    def columns_around(self, run_up: int = RUN_UP) -> tuple[int, int]:
        """Say how much sound a piece of a recording must be given on either side.

        Args:
            run_up: columns for a network that hears without limit.

        Returns:
            Columns before and after, both whole steps.

        >>> Reach(None, 17).columns_around(160)
        (160, 18)
        """
        back, ahead = (run_up if side is None else side for side in self)
        return -(-back // STRIDE) * STRIDE, -(-ahead // STRIDE) * STRIDE


class MouthBody(nn.Module):
    """One network from feature columns to mouth coordinates.

    Attributes:
        inputs: C, the rows of the features.
        components: K, size of the mouth space.
        reach: how far it hears.
    """

    def __init__(self, inputs: int, components: int, reach: Reach) -> None:
        super().__init__()
        self.inputs, self.components, self.reach = inputs, components, reach

    def forward(self, features: Tensor) -> Tensor:
        """Predict the mouth at 40 steps a second.

        Args:
            features: (B, C, M) normalised, 80 columns a second.

        Returns:
            (B, K, ceil(M / 2)) standardised mouth coordinates; step n is at second n / 40.

        Raises:
            ShapeError: the features have another number of rows.
        """
        raise NotImplementedError

    def check_features(self, features: Tensor) -> None:
        """Raise a ShapeError unless the features are (B, C, M)."""
        check_shape("features", features, f"B {self.inputs} M")
