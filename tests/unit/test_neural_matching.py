"""Which frame texture is taken from: the cheapest way through all frames, or by chance."""

from __future__ import annotations

import itertools
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from mouth_toys import facing_track, mouth_model

from metatalk.errors import ShapeError
from metatalk.landmarks.points import point_groups
from metatalk.morphable.model import MorphableModel
from metatalk.neural.matching import (
    BLUR_COST,
    CANDIDATES,
    MOUTH_MM,
    PLAY_ON,
    POSE_DEGREES,
    SWITCH_COST,
    Looks,
    describe_looks,
    draw_donor,
    draw_match,
    find_steady_sources,
    measure_blur,
)


def looks(mouth: list[float] | np.ndarray, pose: list[float] | np.ndarray | None = None) -> Looks:
    """Mouths that differ in one number, and heads that turn about one axis."""
    mouths = np.array(mouth, np.float32)[:, None]
    turned = np.zeros((len(mouths), 3), np.float32)
    if pose is not None:
        turned[:, 1] = pose
    return Looks(mouths, turned)


def price(
    path: tuple[int, ...], wanted: Looks, library: Looks, blur: np.ndarray, frames: np.ndarray
) -> float:
    """What a choice of sources costs, said once more."""
    total = 0.0
    for step, row in enumerate(path):
        mouth = library.mouth[row] - wanted.mouth[step]
        pose = library.pose[row] - wanted.pose[step]
        total += float(np.sqrt((mouth**2).sum() + (pose**2).sum())) + BLUR_COST * float(blur[row])
        if step and frames[row] - frames[path[step - 1]] not in range(PLAY_ON + 1):
            total += SWITCH_COST
    return total


@pytest.mark.parametrize("seed", range(12))
def test_the_way_found_is_the_cheapest_of_all(seed: int) -> None:
    random = np.random.default_rng(seed)
    library = Looks(random.normal(0, 1, (5, 2)).astype(np.float32),
                    random.normal(0, 0.5, (5, 3)).astype(np.float32))  # fmt: skip
    wanted = Looks(random.normal(0, 1, (5, 2)).astype(np.float32),
                   random.normal(0, 0.5, (5, 3)).astype(np.float32))  # fmt: skip
    blur, frames = random.uniform(0, 2, 5), np.cumsum(random.integers(1, 4, 5))
    found = find_steady_sources(wanted, library, blur, frames)
    prices = {
        path: price(path, wanted, library, blur, frames)
        for path in itertools.product(range(5), repeat=5)
    }
    assert prices[tuple(found)] == pytest.approx(min(prices.values()), abs=1e-5)


def test_a_source_is_kept_where_another_would_be_little_better() -> None:
    library, frames = looks([0.0, 0.4]), np.array([0, 100])
    wanted = looks([0.0, 0.4, 0.0, 0.4, 0.0, 0.4, 0.0])
    assert set(find_steady_sources(wanted, library, np.zeros(2), frames)) == {0}
    far = looks([0.0, 4.0])
    steps = find_steady_sources(looks([0, 0, 4, 4]), far, np.zeros(2), frames)
    assert steps.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("step", range(1, PLAY_ON + 1))
def test_a_source_plays_on_with_the_movement_it_shows(step: int) -> None:
    path = np.linspace(0, 30, 60)
    found = find_steady_sources(looks(path[10:40:step]), looks(path), np.zeros(60), np.arange(60))
    assert found.tolist() == list(range(10, 40, step))


def test_playing_on_is_of_frames_and_not_of_rows() -> None:
    """Rows 1 and 2 are neighbours in the library; two seconds lie between them in the clip."""
    library, wanted = looks([0.0, 0.6, 1.2]), looks([0.0, 0.6, 1.2])
    kept = find_steady_sources(wanted, library, np.zeros(3), np.array([0, 1, 2]))
    cut = find_steady_sources(wanted, library, np.zeros(3), np.array([0, 50, 100]))
    back = find_steady_sources(looks([1.2, 0.6, 0.0]), library, np.zeros(3), np.array([0, 1, 2]))
    assert kept.tolist() == [0, 1, 2]
    assert set(cut) == {1}
    assert set(back) == {1}  # nobody speaks backwards


def test_a_blurred_frame_is_worth_a_detour() -> None:
    library, wanted, frames = looks([0.0, 0.3]), looks([0.0]), np.arange(2)
    assert find_steady_sources(wanted, library, np.array([0.5, 0.0]), frames).tolist() == [0]
    assert find_steady_sources(wanted, library, np.array([0.7, 0.0]), frames).tolist() == [1]
    for blur, best in ((0.5, 0), (0.7, 1)):
        assert draw_match(looks([0.0, 0.3, 0.0]), 2, frames, np.array([blur, 0, 0]), None) == best


def test_the_nearest_of_many_are_among_the_candidates() -> None:
    random = np.random.default_rng(1)
    mouths = random.permutation(np.arange(20 * CANDIDATES)).astype(float)
    library, frames = looks(mouths), 10 * np.arange(len(mouths))
    asked = [5.0, 200.0, 333.0]
    found = find_steady_sources(looks(asked), library, np.zeros(len(mouths)), frames)
    assert mouths[found].tolist() == asked


def test_nothing_is_chosen_for_nothing_and_one_frame_serves_all() -> None:
    library = looks([0.0, 1.0])
    assert find_steady_sources(looks([]), library, np.zeros(2), np.arange(2)).shape == (0,)
    one = find_steady_sources(looks([0.0, 9.0, -9.0]), looks([1.0]), np.zeros(1), np.arange(1))
    assert one.tolist() == [0, 0, 0]


def test_arguments_must_agree() -> None:
    with pytest.raises(ShapeError, match="blur"):
        find_steady_sources(looks([0.0]), looks([0.0, 1.0]), np.zeros(3), np.arange(2))
    with pytest.raises(ShapeError, match="frames"):
        find_steady_sources(looks([0.0]), looks([0.0, 1.0]), np.zeros(2), np.arange(3))
    with pytest.raises(ShapeError, match="pose"):
        Looks(np.zeros((2, 4), np.float32), np.zeros((3, 3), np.float32))


@pytest.mark.parametrize("layout", ["", "ibug68", "mediapipe478"])
def test_a_mouth_is_told_in_its_unit_and_a_pose_in_its_own(layout: str) -> None:
    model = mouth_model(layout)
    track = facing_track(torch.tensor([0.0, 0.5, 0.5]), torch.tensor([0.0, 0.0, POSE_DEGREES]))
    found = describe_looks(model, track)
    assert len(found) == 3
    moved = 0.5 * model.expression_basis[0, mouth_points(model)]
    apart = float(moved.square().sum(-1).mean().sqrt()) / MOUTH_MM
    np.testing.assert_allclose(np.linalg.norm(found.mouth[1] - found.mouth[0]), apart, rtol=1e-4)
    np.testing.assert_array_equal(found.mouth[2], found.mouth[1])  # however the head turns
    np.testing.assert_allclose(found.pose[2] - found.pose[1], [0, 1, 0], atol=1e-5)
    away = replace(track, translation=track.translation + 50.0)
    np.testing.assert_array_equal(describe_looks(model, away).joined, found.joined)
    np.testing.assert_array_equal(found.take(np.array([2])).joined, found.joined[2:])


def mouth_points(model: MorphableModel) -> list[int]:
    """Vertices that move as the toy's mouth landmarks do; without landmarks, all of its lips."""
    if not model.landmark_layout:
        return model.regions["lips"].nonzero().flatten().tolist()
    inner = list(range(len(point_groups(model.landmark_layout).lips_inner)))
    still = len(point_groups(model.landmark_layout).lips_outer) + 1
    return inner + [0] * still  # vertex 0, the corner of the mouth, does not open


def test_blur_is_told_against_the_usual_frame() -> None:
    random = np.random.default_rng(0)
    crops = np.repeat(random.integers(0, 256, (1, 32, 32, 1), np.uint8), 3, axis=3).repeat(5, 0)
    crops[3] = cv2.GaussianBlur(crops[3], (0, 0), 2.0)
    crops[4] = crops[4] // 2
    mask = np.zeros((5, 32, 32), np.uint8)
    mask[:, 6:26, 6:26] = 255
    blur = measure_blur(crops, mask)
    assert blur.dtype == np.float32
    np.testing.assert_array_equal(blur[:3], 0)
    assert blur[3] > 2
    assert blur[4] == pytest.approx(np.log(2), abs=0.02)
    outside = crops.copy()
    outside[4, :3] = 0
    np.testing.assert_array_equal(measure_blur(outside, mask), blur)
    sharper = crops.copy()
    sharper[:4] //= 2
    assert measure_blur(sharper, mask)[4] == 0
    assert len(measure_blur(crops[:0], mask[:0])) == 0
    assert np.isfinite(measure_blur(crops, np.zeros_like(mask))).all()


def test_a_match_is_one_of_the_best_of_those_allowed() -> None:
    found, allowed = looks([0.0, 0.1, 0.2, 0.3, 5.0, 6.0]), np.array([1, 2, 3, 4, 5])
    assert draw_match(found, 0, allowed, np.zeros(6), None) == 1
    random = np.random.default_rng(0)
    drawn = {draw_match(found, 0, allowed, np.zeros(6), random) for _ in range(60)}
    assert drawn == {1, 2, 3}
    assert draw_match(found, 0, np.array([5]), np.zeros(6), random) == 5


def test_a_donor_has_the_pose_and_another_mouth() -> None:
    found = looks([0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 0.0, 2.0])
    assert draw_donor(found, 0, np.array([1, 2, 3]), None) == 2
    assert draw_donor(found, 0, np.array([1, 3]), None) == 1  # the pose counts more
    random = np.random.default_rng(0)
    drawn = [draw_donor(found, 0, np.array([1, 2, 3]), random) for _ in range(200)]
    assert drawn.count(2) > drawn.count(1) > 0
    assert draw_donor(found, 0, np.array([3]), random) == 3
