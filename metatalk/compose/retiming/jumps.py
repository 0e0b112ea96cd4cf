"""Where footage may jump: pairs of moments that look alike."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from scipy.spatial import cKDTree

from metatalk.compose.retiming.config import RetimingConfig
from metatalk.compose.retiming.walk import no_jumps

_TREE_AXES = 16  # a search tree is no use in more dimensions
_SPREAD = 3  # moments are looked for at this share of the time that is too near for a jump
_TOGETHER = 4096  # pairs whose features are compared at once


def find_jumps(
    looks: np.ndarray,
    shots: np.ndarray,
    apart: int,
    config: RetimingConfig,
    ends: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Find for frames those of their shot that they may stand in for.

    Neighbours in time look alike, and so do theirs: a jump a frame sooner or later is the same
    jump again. So moments are compared some frames apart, and each pair that is found is moved to
    the frames near it that look most alike.

    Args:
        looks: (T, F).
        shots: (K, 2) first frame and one past the last.
        apart: frames that are as near as this in time are no jump but another speed.
        config: how many, and what they cost.
        ends: (T,) what a jump costs besides for each of the two frames.

    Returns:
        (T, J) int64 frames, -1 for none, and (T, J) what each jump costs, the cheapest first.
    """
    count, wanted = len(looks), config.candidates
    if wanted == 0:
        return no_jumps(count)
    reduced, pairs = _main_axes(looks, _TREE_AXES), []
    for first, end in shots.tolist():
        pairs.append(first + _find_pairs(reduced[first:end], apart, wanted))
    target, source = np.unique(np.concatenate(pairs), axis=0).T
    costs = config.jump + config.picture * _squares(looks, target, source)
    if ends is not None:
        costs += ends[target] + ends[source]
    return _in_rows(count, wanted, target, source, costs)


def _find_pairs(looks: np.ndarray, apart: int, wanted: int) -> np.ndarray:
    """(M, 2) int64 frames of a shot that look alike, more than `apart` from each other."""
    stride = max(1, apart // _SPREAD)
    some = np.arange(0, len(looks), stride)
    asked = min(wanted + 2 * (apart // stride) + 1, len(some))
    _, found = cKDTree(looks[some]).query(looks[some], k=range(1, asked + 1))
    far = np.abs(some[found] - some[:, None]) > apart
    order = np.argsort(~far, axis=1, kind="stable")[:, :wanted]  # those far away, nearest first
    chosen, is_far = (np.take_along_axis(values, order, axis=1) for values in (found, far))
    pairs = np.stack([np.broadcast_to(some[:, None], chosen.shape)[is_far], some[chosen[is_far]]])
    pairs = np.ascontiguousarray(pairs.T, np.int64)
    if stride > 1:
        _move_pairs(np.ascontiguousarray(looks), pairs, apart, stride // 2)
    return pairs


@njit(cache=True, nogil=True)
def _move_pairs(looks: Any, pairs: Any, apart: int, reach: int) -> None:
    """Move each pair, in place, to the likest one within `reach` frames of both its frames."""
    last = len(looks) - 1
    for m in range(len(pairs)):
        one, other, least = pairs[m, 0], pairs[m, 1], np.inf
        for t in range(max(one - reach, 0), min(one + reach, last) + 1):
            for s in range(max(other - reach, 0), min(other + reach, last) + 1):
                square = 0.0
                for axis in range(looks.shape[1]):
                    square += (looks[t, axis] - looks[s, axis]) ** 2
                if abs(t - s) > apart and square < least:
                    least, pairs[m, 0], pairs[m, 1] = square, t, s


def _squares(looks: np.ndarray, target: np.ndarray, source: np.ndarray) -> np.ndarray:
    """(M,) squared distances."""
    plain, squares = looks.astype(np.float32), np.empty(len(target))
    for first in range(0, len(target), _TOGETHER):
        some = slice(first, first + _TOGETHER)
        difference = plain[target[some]] - plain[source[some]]
        squares[some] = np.einsum("tf,tf->t", difference, difference)
    return squares


def _in_rows(
    count: int, wanted: int, target: np.ndarray, source: np.ndarray, costs: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """A row for each target with its cheapest sources."""
    order = np.lexsort((source, costs, target))
    target, source, costs = target[order], source[order], costs[order]
    column = np.arange(len(target)) - np.searchsorted(target, target)
    kept = column < wanted
    width = int(column[kept].max(initial=-1)) + 1
    sources, paid = np.full((count, width), -1, np.int64), np.zeros((count, width))
    sources[target[kept], column[kept]] = source[kept]
    paid[target[kept], column[kept]] = costs[kept]
    return sources, paid


def _main_axes(looks: np.ndarray, most: int) -> np.ndarray:
    """(T, at most `most`) the features turned so that these columns hold most of what differs."""
    centred = (looks - looks.mean(0)).astype(np.float32)
    if centred.shape[1] <= most:
        return np.asarray(centred)
    _, axes = np.linalg.eigh(centred.T @ centred)
    turned: np.ndarray = centred @ axes[:, -most:]
    return turned
