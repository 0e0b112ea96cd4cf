"""The networks by name, and the ensemble that all of them come in."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from metatalk.a2e.architectures.audiodvp import AudioDvpConvolution
from metatalk.a2e.architectures.bilstm import BidirectionalLstm
from metatalk.a2e.architectures.config import Sizes
from metatalk.a2e.architectures.interface import MouthBody, Reach
from metatalk.a2e.architectures.tcn import TemporalConvolution
from metatalk.a2e.architectures.time_delayed_lstm import TimeDelayedLstm
from metatalk.errors import ConfigError


class MouthEnsemble(nn.Module):
    """Networks whose mean is the prediction: little footage leaves each one unsure."""

    def __init__(self, members: Iterable[MouthBody]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, M) -> (B, K, ceil(M / 2)), the mean of the members."""
        return self.each(features).mean(dim=0)

    def each(self, features: Tensor) -> Tensor:
        """(B, C, M) -> (N, B, K, ceil(M / 2)), every member's own answer."""
        return torch.stack([member(features) for member in self.members])

    @property
    def reach(self) -> Reach:
        """How far the member hears that hears furthest."""
        sides = zip(*(member.reach for member in self.members), strict=True)
        return Reach(*(None if None in side else max(side) for side in sides))

    @property
    def components(self) -> int:
        """K, size of the mouth space."""
        return self._first().components

    @property
    def inputs(self) -> int:
        """C, the rows of the features."""
        return self._first().inputs

    def _first(self) -> MouthBody:
        first = self.members[0]
        assert isinstance(first, MouthBody)
        return first


@dataclass(frozen=True)
class Architecture:
    """One way to build a network, and what has to be known before it is built."""

    build: Callable[[int, int, Sizes, int | None], MouthBody]  # (C, K, sizes, look-ahead)
    wants: tuple[str, ...]  # the feature streams that it is defined on
    adversarial: bool = False  # learns under a critic
    several: bool = False  # as many members as `ensemble` says


def build_network(
    name: str,
    inputs: int,
    components: int,
    sizes: Sizes,
    seed: int = 0,
    lookahead: int | None = None,
) -> MouthEnsemble:
    """Build an untrained network; the same seed gives the same weights.

    Args:
        name: one of `NETWORKS`.
        inputs: C, the rows of the features.
        components: K, size of the mouth space.
        sizes: of the networks.
        seed: of the initial weights.
        lookahead: feature columns after a step that the step may depend on; None: no bound.

    Returns:
        The network, in training mode; all but ours have one member.

    Raises:
        ConfigError: the name is unknown, the look-ahead negative, or the network cannot be built
            on these features or within this look-ahead.
    """
    if lookahead is not None and lookahead < 0:
        raise ConfigError(f"the look-ahead is {lookahead} columns", "Give 0 or more.")
    chosen = find_architecture(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        members = sizes.ensemble.members if chosen.several else 1
        return MouthEnsemble(
            chosen.build(inputs, components, sizes, lookahead) for _ in range(members)
        )


def find_architecture(name: str) -> Architecture:
    """Look a network up by its name.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in NETWORKS:
        raise ConfigError(f"there is no network {name!r}", f"Choose one of {', '.join(NETWORKS)}.")
    return NETWORKS[name]


def is_adversarial(name: str, sizes: Sizes) -> bool:
    """Tell whether a network, or what ours is made of, learns under a critic."""
    chosen = find_architecture(name)
    return find_architecture(sizes.ensemble.body if chosen.several else name).adversarial


def _build_lstm(inputs: int, components: int, sizes: Sizes, lookahead: int | None) -> MouthBody:
    return TimeDelayedLstm(inputs, components, sizes.lstm, lookahead)


def _build_bilstm(inputs: int, components: int, sizes: Sizes, lookahead: int | None) -> MouthBody:
    return BidirectionalLstm(inputs, components, sizes.bilstm, lookahead)


def _build_tcn(inputs: int, components: int, sizes: Sizes, lookahead: int | None) -> MouthBody:
    return TemporalConvolution(inputs, components, sizes.tcn, lookahead)


def _build_audiodvp(inputs: int, components: int, sizes: Sizes, lookahead: int | None) -> MouthBody:
    return AudioDvpConvolution(inputs, components, lookahead)


def _build_member(inputs: int, components: int, sizes: Sizes, lookahead: int | None) -> MouthBody:
    body = find_architecture(sizes.ensemble.body)
    if body.several:
        raise ConfigError(
            f"a2e.ensemble.body is {sizes.ensemble.body}", "Choose a network with one member."
        )
    return body.build(inputs, components, sizes, lookahead)


NETWORKS = {
    "ours": Architecture(_build_member, wants=("mel", "speech"), several=True),
    "time_delayed_lstm": Architecture(_build_lstm, wants=("mfcc",)),
    "bilstm": Architecture(_build_bilstm, wants=("mel",)),
    "tcn": Architecture(_build_tcn, wants=("mel",)),
    "adversarial": Architecture(_build_tcn, wants=("mel",), adversarial=True),
    "audiodvp": Architecture(_build_audiodvp, wants=("speech",)),
}
