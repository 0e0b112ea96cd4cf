"""Networks, kernel regression and training windows."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from a2e_toys import QUICK

from metatalk.a2e.config import KernelConfig, NetworkConfig
from metatalk.a2e.features import FeatureStats
from metatalk.a2e.kernel import (
    describe_sound,
    fit_kernel,
    gaussian_kernel,
    kernel_reach_columns,
)
from metatalk.a2e.model import MouthModel, model_state, restore_model
from metatalk.a2e.networks import build_network, reach_columns, sample_steps
from metatalk.a2e.predict import predict_steps
from metatalk.a2e.windows import Lesson, draw_windows, targets_at_columns
from metatalk.errors import MissingAssetError, ShapeError

NETWORK = NetworkConfig(channels=8, dilations=(1, 2, 4), dropout=0.0, members=2)


def features(columns: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(1, 80, columns, generator=torch.Generator().manual_seed(seed))


def test_the_same_seed_builds_the_same_network() -> None:
    state = torch.get_rng_state()
    first, again, other = (build_network(3, NETWORK, seed) for seed in (1, 1, 2))
    heard = features(40)
    torch.testing.assert_close(first(heard), again(heard))
    assert not torch.allclose(first(heard), other(heard))
    assert torch.equal(state, torch.get_rng_state()), "the global generator was moved"


def test_the_ensemble_is_the_mean_of_its_members() -> None:
    network, heard = build_network(3, NETWORK), features(41)
    assert network(heard).shape == (1, 3, 21)
    torch.testing.assert_close(network(heard), network.each(heard).mean(dim=0))


def test_a_prediction_depends_on_its_reach_and_no_further() -> None:
    network, columns = build_network(1, NETWORK), 160
    heard = features(columns).requires_grad_()
    network(heard)[0, 0, 40].backward()
    touched = heard.grad[0].abs().sum(dim=0).nonzero().flatten()  # type: ignore[union-attr]
    assert touched.min() == 80 - reach_columns(NETWORK)
    assert touched.max() == 80 + reach_columns(NETWORK)


def test_the_kernel_reaches_as_far_as_it_says() -> None:
    config = KernelConfig()
    heard = features(160).requires_grad_()
    describe_sound(heard, config)[0, 40].square().sum().backward()
    touched = heard.grad[0].abs().sum(dim=0).nonzero().flatten()  # type: ignore[union-attr]
    assert touched.min() == 80 - kernel_reach_columns(config)
    assert touched.max() == 80 + kernel_reach_columns(config)


def test_steps_are_read_linearly_and_held_at_the_ends() -> None:
    values = torch.tensor([[0.0, 1.0, 4.0]])
    seconds = torch.tensor([-1.0, 0.0, 0.0125, 0.025, 0.0375, 0.05, 9.0])
    expected = torch.tensor([0.0, 0.0, 0.5, 1.0, 2.5, 4.0, 4.0])[:, None]
    torch.testing.assert_close(sample_steps(values, seconds), expected)


def test_kernel_is_the_gaussian_of_distance() -> None:
    points, centres = torch.randn(5, 4).double(), torch.randn(7, 4).double()
    expected = torch.exp(-(torch.cdist(points, centres) ** 2) / 2.5)
    torch.testing.assert_close(gaussian_kernel(points, centres, torch.tensor(2.5)), expected)


def test_kernel_without_ridge_repeats_the_lesson() -> None:
    config = KernelConfig(ridge=1e-6)
    sounds, targets = describe_sound(features(80), config)[0], torch.randn(40, 2)
    regression = fit_kernel(sounds, targets, config)
    torch.testing.assert_close(regression(features(80))[0].T, targets, atol=1e-3, rtol=0)


def test_kernel_shrinks_to_the_mean_far_from_all_it_heard() -> None:
    sounds, targets = describe_sound(features(80), KernelConfig())[0], torch.randn(40, 2)
    regression = fit_kernel(sounds, targets, KernelConfig())
    far = regression(features(80) * 50)[0].mean(dim=1)
    torch.testing.assert_close(far, targets.mean(dim=0), atol=1e-4, rtol=0)


def test_kernel_remembers_no_more_than_it_may() -> None:
    config = KernelConfig(centres=16)
    sounds = describe_sound(features(200), config)[0]
    assert fit_kernel(sounds, torch.randn(100, 2), config).centres.shape[0] == 16


def toy_model(share: float) -> MouthModel:
    kernel = dataclasses.replace(QUICK.kernel, share=share)
    config = dataclasses.replace(QUICK, kernel=kernel, network=NETWORK)
    model = MouthModel(2, config)
    sounds = describe_sound(features(80), kernel)[0]
    model.kernel = fit_kernel(sounds, torch.randn(40, 2), kernel)
    return model.eval()


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_blocks_give_what_one_piece_gives(share: float, monkeypatch) -> None:
    model, mel = toy_model(share), np.clip(features(517)[0].numpy(), -4, 4)
    stats = FeatureStats(np.zeros(80, np.float32), np.ones(80, np.float32))
    whole = predict_steps(model, mel, stats)
    monkeypatch.setattr("metatalk.a2e.predict._BLOCK_COLUMNS", 100)
    blocks = predict_steps(model, mel, stats)
    assert whole.shape == (2, 259)
    torch.testing.assert_close(blocks, whole, atol=1e-5, rtol=0)


def test_a_model_is_restored_from_its_state() -> None:
    model = toy_model(0.4)
    config = dataclasses.replace(
        QUICK, network=NETWORK, kernel=dataclasses.replace(QUICK.kernel, share=0.4)
    )
    again = restore_model(model_state(model), config)
    torch.testing.assert_close(again(features(50)), model(features(50)))


def test_a_state_of_other_settings_is_refused() -> None:
    with pytest.raises(MissingAssetError, match="rerun train_a2e"):
        restore_model(model_state(toy_model(0.4)), QUICK)


def test_the_mouth_is_read_linearly_between_frames() -> None:
    seconds = np.array([0.0, 0.04, 0.1, 0.14])
    mouth = np.stack([seconds * 3, 1 - seconds], axis=1)
    values, known = targets_at_columns(seconds, mouth, np.ones(4, bool), [(0, 4)], 20)
    times = np.arange(20) / 80
    assert known.tolist() == (times <= 0.14).tolist()
    np.testing.assert_allclose(values[known, 0], 3 * times[known], atol=1e-6)


def test_nothing_is_known_across_a_cut_or_without_a_face() -> None:
    seconds, face = np.arange(10) / 25, np.ones(10, bool)
    face[7] = False
    _, known = targets_at_columns(seconds, np.zeros((10, 1)), face, [(0, 4), (4, 10)], 29)
    times = np.arange(29) / 80
    unknown = ((times >= 0.12) & (times < 0.16)) | ((times >= 0.24) & (times < 0.32))
    np.testing.assert_array_equal(known, ~unknown)


def toy_lesson(columns: int = 400) -> Lesson:
    ramp = np.linspace(-3, 3, columns, dtype=np.float32)
    return Lesson(np.tile(ramp, (80, 1)), ramp[:, None], np.ones(columns, bool))


def test_windows_keep_sound_and_mouth_together_at_any_speed() -> None:
    generator = torch.Generator().manual_seed(0)
    lesson = toy_lesson()
    mel, mouth, weight = draw_windows(lesson, lesson.known, (16, 80), 0.3, generator)
    assert mel.shape == (16, 80, 80)
    assert mouth.shape == (16, 1, 40)
    heard, seen = mel[:, 0, ::2][weight > 0], mouth[:, 0][weight > 0]
    torch.testing.assert_close(heard, seen, atol=1e-4, rtol=0)


def test_windows_teach_known_columns_only() -> None:
    lesson = toy_lesson()
    usable = lesson.known & (np.arange(400) < 100)
    generator = torch.Generator().manual_seed(0)
    _, mouth, weight = draw_windows(lesson, usable, (64, 40), 0.0, generator)
    assert mouth[:, 0][weight > 0].max() < lesson.targets[101, 0]
    assert 0 < weight.mean() < 1


def test_shapes_are_checked() -> None:
    with pytest.raises(ShapeError):
        build_network(2, NETWORK)(torch.zeros(1, 40, 100))
    with pytest.raises(ShapeError):
        Lesson(np.zeros((80, 10)), np.zeros((9, 2)), np.ones(10, bool))
