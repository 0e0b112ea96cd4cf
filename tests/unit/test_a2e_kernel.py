"""The kernel regression: what it remembers, how it compares, and how far it hears."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from metatalk.a2e.architectures.interface import STRIDE
from metatalk.a2e.config import KernelConfig
from metatalk.a2e.kernel import (
    KernelRegression,
    describe_heard,
    describe_mel,
    find_axes,
    fit_kernel,
    gaussian_kernel,
    kernel_reach_columns,
    mel_offsets,
)
from metatalk.errors import ShapeError
from metatalk.lipsync.mel import BANDS

HEARD = 5


def features(columns: int, heard: int = 0, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, BANDS + heard, columns, generator=generator)


def mouths(moments: int, seed: int = 9) -> Tensor:
    return torch.randn(moments, 2, generator=torch.Generator().manual_seed(seed))


def fitted(
    sound: Tensor, targets: Tensor, config: KernelConfig, lookahead: int | None = None
) -> KernelRegression:
    heard = sound.shape[1] - BANDS
    regression = KernelRegression(2, config, heard, lookahead=lookahead)
    regression.axes = find_axes(sound[0, BANDS:], config.axes)
    fit_kernel(regression, regression.describe(sound)[0], targets)
    return regression


def touched(regression: KernelRegression, columns: int, step: int) -> tuple[int, int]:
    """The first and the last column that the answer at a step depends on."""
    sound = features(columns, regression.axes.shape[0], seed=4).requires_grad_()
    regression.describe(sound)[0, step].square().sum().backward()
    assert sound.grad is not None
    places = sound.grad[0].abs().sum(dim=0).nonzero().flatten()
    return int(places.min()), int(places.max())


@pytest.mark.parametrize("heard", [0, HEARD])
@pytest.mark.parametrize("lookahead", [None, 0, 3, 8, 40])
def test_it_hears_as_far_as_it_says(heard: int, lookahead: int | None) -> None:
    config = KernelConfig()
    regression = fitted(features(80, heard), mouths(40), config, lookahead)
    back, ahead = kernel_reach_columns(config, heard > 0, lookahead)
    assert touched(regression, 200, 50) == (100 - back, 100 + ahead)
    assert ahead <= (math.inf if lookahead is None else lookahead)


@pytest.mark.parametrize("lookahead", [0, 2, 7, 13, 30])
def test_a_bound_moves_the_mel_back_and_drops_none_of_it(lookahead: int) -> None:
    free, bounded = mel_offsets(KernelConfig()), mel_offsets(KernelConfig(), lookahead)
    assert len(bounded) == len(free)
    assert torch.equal(bounded.diff(), free.diff())
    assert bounded.max() <= free.max()


def test_kernel_is_the_gaussian_of_distance() -> None:
    points, centres = features(5)[0, :4].T.double(), features(7, seed=1)[0, :4].T.double()
    expected = torch.exp(-(torch.cdist(points, centres) ** 2) / 2.5)
    torch.testing.assert_close(gaussian_kernel(points, centres, torch.tensor(2.5)), expected)


@pytest.mark.parametrize("heard", [0, HEARD])
def test_without_ridge_it_repeats_the_lesson(heard: int) -> None:
    sound, targets = features(80, heard), mouths(40)
    regression = fitted(sound, targets, KernelConfig(ridge=1e-6))
    torch.testing.assert_close(regression(sound)[0].T, targets, atol=1e-3, rtol=0)


def test_the_answer_minimises_the_ridge_regressions_own_loss() -> None:
    # The dual's condition: what is left of the targets is the ridge times the weights.
    sound, targets = features(80), mouths(40)
    regression = fitted(sound, targets, KernelConfig(ridge=0.3))
    left = targets - regression(sound)[0].T
    torch.testing.assert_close(left, 0.3 * regression.weights[0], atol=1e-4, rtol=1e-3)


def test_it_shrinks_to_the_mean_far_from_all_it_heard() -> None:
    targets = mouths(40)
    regression = fitted(features(80, HEARD), targets, KernelConfig())
    for foreign in (0.0, 1.0):
        far = regression(features(80, HEARD) * 50, foreign)[0].mean(dim=1)
        torch.testing.assert_close(far, targets.mean(dim=0), atol=1e-4, rtol=0)


def test_it_remembers_no_more_than_it_may() -> None:
    regression = fitted(features(200), mouths(100), KernelConfig(centres=16))
    assert regression.centres.shape[0] == 16
    assert regression.weights.shape == (2, 16, 2)


@pytest.mark.parametrize("heard", [0, HEARD])
def test_a_subset_that_holds_every_moment_is_the_whole(heard: int) -> None:
    # Every moment heard twice counts as heard once under half the ridge: of each pair one is a
    # centre, so the subset of regressors spans all that the whole does.
    sound, targets = features(80, heard), mouths(40)
    whole = fitted(sound, targets, KernelConfig(ridge=0.1))
    config = KernelConfig(ridge=0.2, centres=40)
    subset = KernelRegression(2, config, heard)
    subset.axes = whole.axes
    twice = subset.describe(sound)[0].repeat_interleave(2, dim=0)
    fit_kernel(subset, twice, targets.repeat_interleave(2, dim=0))
    torch.testing.assert_close(subset.centres, whole.centres)
    whole.width = subset.width
    unheard = features(60, heard, seed=3)
    for foreign in (0.0, 0.6, 1.0):
        torch.testing.assert_close(
            subset(unheard, foreign), whole(unheard, foreign), atol=0.02, rtol=0
        )


def test_a_subset_beats_the_same_centres_alone() -> None:
    # It is fitted to all moments, not to those it remembers.
    sound = features(800)
    targets = 3 * describe_mel(sound, KernelConfig())[0, :, 96:98]
    some = fitted(sound, targets, KernelConfig(centres=50))
    places = torch.linspace(0, 399, 50).round().long()
    alone = KernelRegression(2, KernelConfig())
    fit_kernel(alone, alone.describe(sound)[0][places], targets[places])
    errors = [(kernel(sound)[0].T - targets).square().mean() for kernel in (some, alone)]
    assert errors[0] < errors[1]


def test_the_width_follows_the_spread_of_the_sounds() -> None:
    # So louder features with wider distances are the same regression.
    sound, wide = features(80), 3 * features(80)
    narrow, far = (fitted(each, mouths(40), KernelConfig()) for each in (sound, wide))
    torch.testing.assert_close(far.width, 9 * narrow.width)
    torch.testing.assert_close(far(3 * features(60, seed=2)), narrow(features(60, seed=2)))


def test_a_foreign_voice_is_answered_by_the_streams_alone() -> None:
    regression = fitted(features(80, HEARD), mouths(40), KernelConfig())
    sound = features(60, HEARD, seed=2)
    other = torch.cat([features(60, seed=7), sound[:, BANDS:]], dim=1)
    own, half, foreign = (regression(sound, share) for share in (0.0, 0.5, 1.0))
    torch.testing.assert_close(regression(other, 1.0), foreign)
    assert not torch.allclose(regression(other, 0.0), own, atol=1e-2)
    torch.testing.assert_close(half, (own + foreign) / 2)


def test_where_the_mel_is_all_there_is_no_voice_is_foreign() -> None:
    regression, sound = fitted(features(80), mouths(40), KernelConfig()), features(60, seed=2)
    torch.testing.assert_close(regression(sound, 1.0), regression(sound, 0.0))


def test_axes_are_orthogonal_sorted_and_of_unit_length() -> None:
    spread = torch.tensor([3.0, 0.1, 2.0, 1.0, 0.5])[:, None]
    heard = features(4000, HEARD)[0, BANDS:] * spread
    axes = find_axes(heard, 3)
    assert axes.shape == (HEARD, 3)
    gram = axes.T @ axes
    torch.testing.assert_close(gram, gram[0, 0] * torch.eye(3), atol=1e-5, rtol=0)
    turned = axes.T @ heard
    assert turned.square().sum(dim=0).mean().item() == pytest.approx(1.0, abs=1e-4)
    power = turned.square().mean(dim=1)
    assert (power.diff() < 0).all()
    assert axes.abs().argmax(dim=0).tolist() == [0, 2, 3]


@pytest.mark.parametrize("heard", [torch.zeros(0, 50), torch.zeros(4, 50)])
def test_nothing_heard_has_axes_without_harm(heard: Tensor) -> None:
    assert find_axes(heard, 3).isfinite().all()


def test_steady_streams_of_unit_length_are_described_by_unit_length() -> None:
    turned = torch.full((1, 4, 50), 0.5)
    described = describe_heard(turned, KernelConfig())
    torch.testing.assert_close(described.square().sum(dim=2), torch.ones(1, 25))


def test_sounds_like_those_remembered_are_near() -> None:
    own = features(80, HEARD)
    regression = fitted(own, mouths(40), KernelConfig())
    every = torch.ones(40, dtype=torch.bool)
    assert regression.distance(own[0], every) == pytest.approx(0.0, abs=1e-2)
    near = regression.distance(own[0] + 0.1 * features(80, HEARD, 5)[0], every)
    far = regression.distance(features(80, HEARD, 5)[0], every)
    assert 0 < near < far
    first = torch.arange(40) < 20
    half = torch.cat([own[:, :, :40], features(40, HEARD, 6)], dim=2)
    kept = torch.arange(40) < 12  # those whose surroundings lie in the first half, too
    assert regression.distance(half[0], kept) == pytest.approx(0.0, abs=1e-2)
    assert regression.distance(half[0], ~first) > 0.1


def test_nothing_asked_and_nothing_remembered_are_infinitely_far() -> None:
    regression = fitted(features(80), mouths(40), KernelConfig())
    assert regression.distance(features(80)[0], torch.zeros(40, dtype=torch.bool)) == math.inf
    empty = KernelRegression(2, KernelConfig())
    assert empty.distance(features(80)[0], torch.ones(40, dtype=torch.bool)) == math.inf


@pytest.mark.parametrize("columns", [1, 2, 3, 9])
def test_a_moment_of_steady_sound_is_answered(columns: int) -> None:
    regression = fitted(features(80, HEARD), mouths(40), KernelConfig())
    answer = regression(torch.zeros(1, BANDS + HEARD, columns), 0.5)
    assert answer.shape == (1, 2, -(-columns // STRIDE))
    assert answer.isfinite().all()


def test_a_lesson_of_one_sound_is_answered_by_its_mean() -> None:
    targets = mouths(40)
    regression = fitted(torch.zeros(1, BANDS + HEARD, 80), targets, KernelConfig())
    answer = regression(torch.zeros(1, BANDS + HEARD, 8), 0.5)[0].T
    torch.testing.assert_close(answer, targets.mean(0).expand(4, -1), atol=1e-4, rtol=0)


def test_shapes_are_checked() -> None:
    with pytest.raises(ShapeError):
        describe_mel(torch.zeros(1, 40, 10), KernelConfig())
    with pytest.raises(ShapeError):
        fit_kernel(KernelRegression(2, KernelConfig()), torch.zeros(10, 4), torch.zeros(9, 2))


@pytest.mark.parametrize("centres", [40, 20])
def test_moments_of_half_the_importance_are_heard_under_twice_the_ridge(centres: int) -> None:
    sound, targets = features(80), mouths(40)
    halved = KernelRegression(2, KernelConfig(ridge=0.1, centres=centres))
    sounds = halved.describe(sound)[0]
    fit_kernel(halved, sounds, targets, torch.full((40,), 0.5))
    twice = fitted(sound, targets, KernelConfig(ridge=0.2, centres=centres))
    torch.testing.assert_close(halved(sound), twice(sound), atol=1e-4, rtol=0)


@pytest.mark.parametrize("centres", [60, 40])
def test_moments_of_no_importance_to_speak_of_change_nothing(centres: int) -> None:
    sound, targets, own = features(120), mouths(60), 40
    kernel = KernelRegression(2, KernelConfig(centres=centres))
    sounds = kernel.describe(sound)[0]
    importance = torch.where(torch.arange(60) < own, 1.0, 1e-6)
    fit_kernel(kernel, sounds, targets, importance)
    alone = KernelRegression(2, KernelConfig(centres=centres))
    fit_kernel(alone, sounds[:own], targets[:own])
    apart = (kernel(sound) - alone(sound))[..., :own].abs().mean()
    assert apart < 0.1 * targets.std()
    fit_kernel(kernel, sounds, targets)
    assert (kernel(sound) - alone(sound))[..., :own].abs().mean() > apart


def test_the_most_important_moments_are_remembered_first() -> None:
    sound, targets = features(200), mouths(100)
    kernel = KernelRegression(2, KernelConfig(centres=30))
    sounds = kernel.describe(sound)[0]
    fit_kernel(kernel, sounds, targets, torch.where(torch.arange(100) >= 80, 1.0, 0.3))
    torch.testing.assert_close(kernel.centres[-20:], sounds[80:])
    assert len(kernel.centres) == 30
