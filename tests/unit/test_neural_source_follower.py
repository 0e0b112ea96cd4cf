"""Sources chosen as the result goes on: never far from the best way through all of it."""

from __future__ import annotations

import numpy as np
import pytest

from metatalk.errors import ShapeError
from metatalk.neural.matching import PLAY_ON, SWITCH_COST, Looks, find_steady_sources
from metatalk.neural.source_follower import SourceFollower


def looks(mouth: np.ndarray) -> Looks:
    return Looks(mouth.astype(np.float32), np.zeros((len(mouth), 3), np.float32))


def follow(wanted: Looks, library: Looks, blur: np.ndarray, frames: np.ndarray) -> np.ndarray:
    follower = SourceFollower(library, blur, frames)
    return np.array([follower.follow(wanted.take(np.array([t]))) for t in range(len(wanted))])


def cost_of(rows: np.ndarray, wanted: Looks, library: Looks, frames: np.ndarray) -> float:
    away = np.linalg.norm(library.joined[rows] - wanted.joined, axis=1).sum()
    onward = np.diff(frames[rows])
    return float(away + SWITCH_COST * ((onward < 0) | (onward > PLAY_ON)).sum())


@pytest.mark.parametrize("seed", range(5))
def test_it_costs_little_more_than_knowing_what_comes(seed: int) -> None:
    random = np.random.default_rng(seed)
    walk = np.cumsum(random.normal(0, 0.6, (500, 4)), axis=0) % 8
    library, wanted = looks(walk[:300]), looks(walk[300:])
    frames, blur = np.arange(300), np.zeros(300)
    best = find_steady_sources(wanted, library, blur, frames)
    chosen = follow(wanted, library, blur, frames)
    assert cost_of(chosen, wanted, library, frames) < 1.6 * cost_of(best, wanted, library, frames)


def test_the_first_is_the_nearest_and_little_gain_changes_nothing() -> None:
    library = looks(np.array([[0.0], [10.0], [0.2]]))
    frames = np.array([0, 100, 200])
    wanted = looks(np.array([[9.0], [0.1], [0.1], [0.2], [0.2]]))
    assert follow(wanted, library, np.zeros(3), frames).tolist()[0] == 1
    wanted = looks(np.array([[0.0]] + [[0.2]] * 10))
    assert follow(wanted, library, np.zeros(3), frames).tolist() == [0] * 11
    wanted = looks(np.array([[0.0]] + [[0.2]] * 40))  # 0.2 a frame adds up to a change
    chosen = follow(wanted, library, np.zeros(3), frames)
    assert chosen[int(SWITCH_COST / 0.2) + 3] == 2


def test_it_plays_on_in_a_source_and_never_over_a_gap() -> None:
    library = looks(np.arange(6.0)[:, None])
    wanted = looks(np.arange(6.0)[:, None])
    assert follow(wanted, library, np.zeros(6), np.arange(6)).tolist() == list(range(6))
    apart = np.array([0, 10, 20, 30, 40, 50])
    chosen = follow(wanted, library, np.zeros(6), apart)
    assert len(set(chosen.tolist())) < 6


def test_arguments_must_agree() -> None:
    with pytest.raises(ShapeError):
        SourceFollower(looks(np.zeros((3, 1))), np.zeros(2), np.arange(3))
