"""Discriminator, losses and settings of the neural renderer."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from metatalk.errors import ConfigError
from metatalk.neural.config import NeuralConfig
from metatalk.neural.discriminator import PatchDiscriminator
from metatalk.neural.generator import INPUT_CHANNELS
from metatalk.neural.losses import (
    change_loss,
    discriminator_hinge,
    feature_matching,
    generator_hinge,
    laplacian_bands,
    pyramid_loss,
    texture_loss,
    weighted_l1,
)


@pytest.fixture
def pictures() -> torch.Tensor:
    return torch.rand(2, 3, 32, 48, generator=torch.Generator().manual_seed(1))


def test_discriminator_judges_patches(pictures: torch.Tensor) -> None:
    condition = torch.rand(2, INPUT_CHANNELS, 32, 48)
    scores, features = PatchDiscriminator(8)(pictures, condition)
    assert scores.shape == (2, 1, 4, 6)
    assert len(features) == 3


def test_weighted_l1_looks_only_where_there_is_weight() -> None:
    made, real = torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 4)
    made[..., :2, :] = 0.5
    weight = torch.zeros(1, 1, 4, 4)
    weight[..., 1:3, :] = 1
    assert float(weighted_l1(made, real, weight)) == pytest.approx(0.25)
    assert float(weighted_l1(made, real, torch.zeros_like(weight))) == 0


def test_laplacian_bands_and_the_rest_make_the_picture(pictures: torch.Tensor) -> None:
    bands = laplacian_bands(pictures, levels=3)
    rebuilt = functional.avg_pool2d(pictures, 8)
    for band in reversed(bands):
        rebuilt = band + functional.interpolate(
            rebuilt, scale_factor=2, mode="bilinear", align_corners=False
        )
    torch.testing.assert_close(rebuilt, pictures)


def test_pyramid_loss_ignores_brightness_and_sees_blur(pictures: torch.Tensor) -> None:
    mask = torch.ones(2, 1, 32, 48)
    blurred = functional.avg_pool2d(pictures, 3, stride=1, padding=1)
    assert float(pyramid_loss(pictures + 0.1, pictures, mask)) == pytest.approx(0, abs=1e-6)
    assert float(pyramid_loss(blurred, pictures, mask)) > 0.05


def test_hinge_is_content_beyond_the_margin() -> None:
    far, near = torch.tensor([2.0]), torch.tensor([0.5])
    assert float(discriminator_hinge(far, -far)) == 0
    assert float(discriminator_hinge(near, -near)) == pytest.approx(1.0)
    assert float(generator_hinge(near)) == pytest.approx(-0.5)


def test_feature_matching_counts_layers_alike() -> None:
    made = [torch.ones(1, 2, 8, 8), torch.zeros(1, 4, 2, 2)]
    real = [torch.zeros(1, 2, 8, 8), torch.zeros(1, 4, 2, 2)]
    assert float(feature_matching(made, real)) == pytest.approx(0.5)


def stubble(seed: int = 3) -> torch.Tensor:
    """(1, 3, 64, 64) grey noise that repeats every 8 pixels."""
    chance = torch.Generator().manual_seed(seed)
    return (torch.rand(1, 1, 8, 8, generator=chance) - 0.5).tile(1, 3, 8, 8)


def inner() -> torch.Tensor:
    """(1, 1, 64, 64) the pixels whose bands know nothing of the picture's edges."""
    weight = torch.zeros(1, 1, 64, 64)
    weight[..., 16:48, 16:48] = 1
    return weight


def test_texture_may_lie_anywhere() -> None:
    real, weight = 0.5 + stubble(), inner()
    moved = real.roll((4, 4), (2, 3))
    assert float(texture_loss(real, real, weight)) == 0
    assert float(texture_loss(moved, real, weight)) == pytest.approx(0, abs=1e-4)
    assert float(weighted_l1(moved, real, weight)) > 0.1  # which L1 does not forgive
    assert float(texture_loss(moved + 0.2, real, weight)) == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("strength", [0.25, 0.5, 2.0, 4.0])
def test_too_little_texture_costs_as_much_as_too_much(strength: float) -> None:
    made, real = 0.5 + strength * stubble(), 0.5 + stubble()
    expected = 2 * abs(math.log(strength))  # energies are squares
    assert float(texture_loss(made, real, inner())) == pytest.approx(expected, rel=0.02)


def test_texture_is_compared_place_by_place_and_only_where_there_is_weight() -> None:
    real, weight = 0.5 + stubble(), inner()
    made = real.clone()
    made[..., 48:] = 0.5
    made[..., :16, :] = 0.5
    # bands reach a few pixels beyond what has changed
    assert float(texture_loss(made, real, weight)) < 0.05
    half = real.clone()
    half[..., 32:] = 0.5
    swapped = real.clone()
    swapped[..., :32] = 0.5
    assert float(texture_loss(half, swapped, weight)) > 2  # as much of it, elsewhere
    assert float(texture_loss(half, real, torch.zeros_like(weight))) == 0


def test_texture_beside_the_mask_does_not_count() -> None:
    """Not even in patches that the mask's edge runs through."""
    real, weight = 0.5 + stubble(), torch.zeros(1, 1, 64, 64)
    weight[..., 20:44, 20:44] = 1
    made = real.clone()
    made[..., 16] += 10 * stubble(4)[..., 0]
    assert float(texture_loss(made, real, weight, levels=1)) == pytest.approx(0, abs=1e-6)
    assert float(texture_loss(made, real, torch.ones_like(weight), levels=1)) > 0.02


def test_texture_is_missed_where_skin_is_flat() -> None:
    flat = torch.full((1, 3, 64, 64), 0.5, requires_grad=True)
    faint = flat + 0.05 * stubble()
    loss = texture_loss(faint, 0.5 + 0.2 * stubble(), inner())
    (slope,) = torch.autograd.grad(loss, flat)
    assert torch.isfinite(slope).all()
    # a step downhill makes more of the noise
    assert float((slope * stubble()).sum()) < 0


def test_change_is_compared_and_not_what_is_the_same_in_both_frames(
    pictures: torch.Tensor,
) -> None:
    weight = torch.ones(2, 1, 32, 48)
    error = torch.rand(1, 3, 32, 48)
    assert float(change_loss(pictures + error, pictures, weight)) == pytest.approx(0, abs=1e-6)
    flicker = pictures.clone()
    flicker[1] += 0.1
    assert float(change_loss(flicker, pictures, weight)) == pytest.approx(0.1, abs=1e-6)
    weight[0, :, 16:] = 0  # masked in one frame of the two: no pair
    flicker[1, :, 16:] += 5.0
    assert float(change_loss(flicker, pictures, weight)) == pytest.approx(0.1, abs=1e-6)


def test_changes_are_those_within_pairs() -> None:
    """Four frames, two pairs; between the second and the third there is nothing to compare."""
    real = torch.zeros(4, 3, 16, 16)
    made = torch.tensor([0.0, 0.0, 0.9, 0.9])[:, None, None, None] + real
    assert float(change_loss(made, real, torch.ones(4, 1, 16, 16))) == 0


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("minutes", 0),
        ("window_px", 100),
        ("widths", (8, 8)),
        ("held_out", 0.9),
        ("batch", -1),
        ("passes", -1),
        ("patience", 1.5),
        ("pix2pix_width", 0),
        ("samples", 0),
        ("jitter", 1.5),
        ("hidden", (0.1,)),
        ("hidden", (0.1, 1.0)),
        ("hidden", (-0.1, 0.1)),
        ("fine_weight", -1.0),
        ("texture_weight", -1.0),
        ("change_weight", -1.0),
    ],
)
def test_config_names_the_key_that_cannot_be_used(key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=key):
        NeuralConfig(**{key: value})  # type: ignore[arg-type]
