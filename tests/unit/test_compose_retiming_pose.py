"""Footage chosen by its own mouth, put together where it looks alike."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from face_toys import toy_model

from metatalk.compose.retiming.by_pose import (
    Mouths,
    bridge_jumps,
    find_looks,
    mouth_features,
    plan_by_pose,
)
from metatalk.compose.retiming.by_speech import Source
from metatalk.compose.retiming.config import RetimingConfig
from metatalk.compose.retiming.head_motion import HeadMotion
from metatalk.compose.retiming.jumps import find_jumps
from metatalk.compose.retiming.plan import FramePlan
from metatalk.errors import ShapeError

CONFIG = RetimingConfig(run_s=0.2, start=0, blink=0, still=0)


def source_of(places: np.ndarray, shots: list[list[int]]) -> Source:
    count = len(places)
    motion = HeadMotion(places, np.full(count, 0.3), np.zeros(count))
    return Source(motion, np.ones(count, bool), np.array(shots), 25.0)


def clock(count: int) -> FramePlan:
    return FramePlan(np.zeros(count, np.int64), np.arange(count), Fraction(1, 25))


def test_the_filmed_mouths_follow_the_wanted_ones_by_a_jump():
    """Two halves look alike; the mouth is shut in one and open in the other."""
    sway = np.tile(np.sin(np.arange(50) / 8) / 10, 2)
    places = np.stack([sway, 0 * sway], 1)
    filmed = np.repeat([[0.0], [1.0]], 50, axis=0)
    wanted = np.repeat([[0.0], [1.0]], 40, axis=0)
    source, looks = source_of(places, [[0, 100]]), places / 0.02
    heard = np.ones(80, bool)
    plan = plan_by_pose(clock(80), heard, source, Mouths(wanted, filmed), looks, CONFIG, None, 0)
    steps = np.abs(np.diff(plan.frames))
    assert np.flatnonzero(steps > 1).tolist() == [39]
    assert filmed[plan.frames][:, 0].tolist() == wanted[:, 0].tolist()
    landed, left = plan.frames[40], plan.frames[39]
    assert abs(sway[landed] - sway[left]) < 0.03
    dear = RetimingConfig(run_s=0.2, start=0, blink=0, still=0, jump=1e6)
    walked = plan_by_pose(clock(80), heard, source, Mouths(wanted, filmed), looks, dear, None, 0)
    assert (np.abs(np.diff(walked.frames)) <= 1).all()


def test_no_jump_leaves_a_shot():
    rng = np.random.default_rng(0)
    places = np.repeat(rng.random((1, 2)), 60, axis=0)  # everything looks alike
    shots = [[0, 25], [25, 60]]
    source = source_of(places, shots)
    mouths = Mouths(rng.random((150, 3)), rng.random((60, 3)))
    plan = plan_by_pose(clock(150), np.ones(150, bool), source, mouths, places, CONFIG)
    assert len(set(plan.frames >= 25)) == 1
    assert (np.abs(np.diff(plan.frames)) > 1).any()
    assert plan.towards is not None
    assert len(set(plan.towards >= 25)) == 1


def test_jumps_come_from_the_likest_frames_that_are_far_in_time():
    looks = np.array([[0.0], [0.1], [0.2], [5.0], [0.05], [9.0], [0.3]])
    config = RetimingConfig(candidates=2, jump=3, picture=2)
    sources, costs = find_jumps(looks, np.array([[0, 6], [6, 7]]), 2, config)
    assert sources[0].tolist() == [4, 3]
    assert costs[0].tolist() == pytest.approx([3 + 2 * 0.05**2, 3 + 2 * 25.0])
    assert sources[4].tolist() == [0, 1]
    assert sources[6].tolist() == [-1, -1]  # alone in its shot
    assert find_jumps(looks, np.array([[0, 7]]), 2, RetimingConfig(candidates=0))[0].shape == (7, 0)


def test_a_jump_is_found_between_the_moments_that_are_compared():
    """A second strand shows what the first did, 101 frames later: no multiple of four."""
    rng = np.random.default_rng(4)
    strand = np.cumsum(rng.normal(0, 0.3, (101, 6)), axis=0)
    looks = np.concatenate([strand, strand])
    config = RetimingConfig(candidates=3, jump=2)
    sources, costs = find_jumps(looks, np.array([[0, 202]]), 13, config)
    assert sources.shape[1] <= 3
    there = np.arange(202) + np.where(np.arange(202) < 101, 101, -101)
    alike = sources == there[:, None]
    assert costs[alike] == pytest.approx(2)
    found = np.flatnonzero(alike.any(1))
    assert np.diff(found).max() <= 8  # about every fourth frame has it
    given = sources >= 0
    apart = looks[np.nonzero(given)[0]] - looks[sources[given]]
    assert costs[given] == pytest.approx(2 + (apart**2).sum(1), rel=1e-4)
    assert (np.abs(np.nonzero(given)[0] - sources[given]) > 13).all()
    assert (np.where(given, costs, np.inf)[:, 1:] >= costs[:, :-1])[given[:, :-1]].all()


def test_a_jump_is_spread_over_both_strands():
    frames = np.array([10, 11, 12, 13, 40, 39, 38, 37])
    towards, share = bridge_jumps(frames, np.array([[0, 42]]), 5)
    assert np.flatnonzero(share).tolist() == [1, 2, 3, 4, 5]
    assert towards[1:6].tolist() == [41, 41, 41, 14, 15]  # the shot ends at 41
    whole = np.where(np.arange(8) < 4, share, 1 - share)[1:6]  # of the way to the new strand
    assert (np.diff(whole) > 0).all()
    assert whole + whole[::-1] == pytest.approx(1)
    assert share.max() <= 0.5
    backwards = bridge_jumps(np.array([20, 19, 18, 5, 6, 7]), np.array([[0, 42]]), 3)[0]
    assert backwards[1:4].tolist() == [3, 4, 17]
    plain = bridge_jumps(frames, np.array([[0, 42]]), 0)
    assert not plain[1].any()
    ends = bridge_jumps(np.array([3, 9]), np.array([[0, 12]]), 5)
    assert (ends[1] > 0).all()


def test_looks_count_what_one_sees():
    still = np.zeros((2, 16))
    moved = still.copy()
    moved[1, ::2] = 0.04  # every point by as much as one just sees
    looks = find_looks(moved, np.zeros(2), np.zeros((2, 4)))
    assert np.linalg.norm(looks[1] - looks[0]) == pytest.approx(1)
    blinked = find_looks(still, np.array([0, 1.0]), np.zeros((2, 4)))
    assert np.linalg.norm(blinked[1] - blinked[0]) > 1
    scene = np.array([[10] * 9, [18] * 9], np.uint8)
    changed = find_looks(still, np.zeros(2), np.zeros((2, 4)), scene)
    assert np.linalg.norm(changed[1] - changed[0]) == pytest.approx(1)


def test_mouth_distances_are_the_lower_faces():
    model = toy_model()
    rng = np.random.default_rng(1)
    expression = rng.random((5, len(model.expression_names))).astype(np.float32)
    lower = model.lower_units.numpy()
    expression[:, ~lower] = 0
    features = mouth_features(model, expression)
    skin = model.regions["lower_face"]
    shapes = torch.tensordot(torch.from_numpy(expression), model.expression_basis, dims=1)[:, skin]
    for one in range(5):
        for other in range(one):
            apart = (shapes[one] - shapes[other]).norm(dim=-1).square().mean().sqrt()
            measured = np.linalg.norm(features[one] - features[other])
            assert measured == pytest.approx(float(apart), rel=1e-3, abs=1e-4)


def test_a_still_and_wrong_shapes():
    source = source_of(np.zeros((1, 2)), [[0, 1]])
    mouths = Mouths(np.zeros((6, 1)), np.zeros((1, 1)))
    plan = plan_by_pose(clock(6), np.ones(6, bool), source, mouths, np.zeros((1, 1)), CONFIG)
    assert plan.frames.tolist() == [0] * 6
    with pytest.raises(ShapeError, match="wanted"):
        plan_by_pose(clock(5), np.ones(5, bool), source, mouths, np.zeros((1, 1)), CONFIG)
    with pytest.raises(ShapeError, match="filmed"):
        Mouths(np.zeros((6, 1)), np.zeros((1, 2)))
