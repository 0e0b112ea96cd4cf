"""Footage chosen by its own mouth, put together where it looks alike."""

from __future__ import annotations

from fractions import Fraction

import cv2
import numpy as np
import pytest
import torch
from face_toys import toy_model

from metatalk.compose.retiming.by_pose import (
    Mouths,
    find_looks,
    jump_costs,
    mouth_features,
    plan_by_pose,
    watch_scene,
)
from metatalk.compose.retiming.by_speech import Source
from metatalk.compose.retiming.config import RetimingConfig
from metatalk.compose.retiming.head_motion import HeadMotion
from metatalk.compose.retiming.jumps import find_jumps
from metatalk.compose.retiming.plan import FramePlan
from metatalk.errors import ShapeError
from metatalk.landmarks.shots import make_thumbnail
from metatalk.media.colour import BT709, ColourTags
from metatalk.media.picture import Picture

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


def test_a_jump_costs_besides_what_its_ends_do():
    looks, ends = np.array([[0.0], [0.1], [0.2], [5.0], [0.05]]), np.array([1.0, 0, 0, 0, 7])
    config = RetimingConfig(candidates=2, jump=3)
    sources, costs = find_jumps(looks, np.array([[0, 5]]), 2, config, ends)
    assert sources[0].tolist() == [4, 3]
    assert costs[0].tolist() == pytest.approx([3 + 0.05**2 + 1 + 7, 3 + 25.0 + 1])


def test_no_blink_is_morphed_and_no_fast_head():
    """Both halves of the footage look alike all along; where one may jump is told by the eyes."""
    places = np.zeros((100, 2))
    blink, speed = np.zeros(100), np.full(100, 0.3)
    blink[[*range(28, 42), *range(78, 92)]] = 1
    speed[[*range(10, 24), *range(60, 74)]] = 3
    motion = HeadMotion(places, speed, blink)
    source = Source(motion, np.ones(100, bool), np.array([[0, 100]]), 25.0)
    costs = jump_costs(source, RetimingConfig())
    free = costs < np.median(costs)
    assert blink[free].max() == 0
    assert not free[25:45].any()  # under the bridge no eye begins to shut, nor is still opening
    assert not free[10:24].any()
    assert free[45:60].all()
    filmed, wanted = np.repeat([[0.0], [1.0]], 50, axis=0), np.repeat([[0.0], [1.0]], 40, axis=0)
    heard, mouths = np.ones(80, bool), Mouths(wanted, filmed)
    config = RetimingConfig(run_s=0.2, start=0, blink=0, still=0)
    plan = plan_by_pose(clock(80), heard, source, mouths, places, config, None, 0)
    jumps = plan.jumps()
    assert len(jumps) > 0
    assert not blink[plan.frames[np.concatenate([jumps - 1, jumps])]].any()
    assert not blink[plan.towards[plan.share > 0]].any()
    assert speed[plan.frames[jumps]].max() < 3


def test_a_blink_before_a_cut_forbids_no_jump_after_it():
    blink = np.zeros(20)
    blink[8:10] = 1
    motion = HeadMotion(np.zeros((20, 2)), np.full(20, 0.3), blink)
    source = Source(motion, np.ones(20, bool), np.array([[0, 10], [10, 20]]), 25.0)
    costs = jump_costs(source, RetimingConfig())
    assert (costs[10:] < costs[9]).all()
    assert np.ptp(costs[10:]) == 0


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


@pytest.mark.parametrize("bits", [8, 10])
@pytest.mark.parametrize("is_full", [False, True], ids=["limited", "full"])
def test_a_scene_is_the_grey_of_its_pictures_without_their_colours(
    monkeypatch: pytest.MonkeyPatch, bits: int, is_full: bool
) -> None:
    sample = np.uint8 if bits == 8 else np.uint16
    unit = 1 << (bits - 8)
    slope = np.linspace(20, 230, 320)[None] * np.linspace(0.5, 1, 200)[:, None]
    planes = slope * unit, np.full((100, 160), 118.0 * unit), np.full((100, 160), 140.0 * unit)
    colour = ColourTags(BT709, BT709, BT709, is_full)
    y, u, v = (np.rint(plane).astype(sample) for plane in planes)
    picture = Picture(0, 0, (y, u, v), colour, bits)
    grey = cv2.resize(make_thumbnail(picture.rgb()), (16, 16), interpolation=cv2.INTER_AREA)
    monkeypatch.delattr(Picture, "rgb")  # which costs as much as decoding
    (seen,) = watch_scene([picture])
    assert seen.dtype == np.uint8
    assert np.abs(seen.astype(int) - grey.ravel()).max() <= 6  # of its hue, the same everywhere
    assert (seen.astype(float) - grey.ravel()).std() < 1
