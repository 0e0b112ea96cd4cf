"""Generator, discriminator, losses and settings of the neural renderer."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from metatalk.errors import ConfigError, ShapeError
from metatalk.neural.config import NeuralConfig
from metatalk.neural.discriminator import PatchDiscriminator
from metatalk.neural.generator import (
    CANVAS_PX,
    Canvas,
    Generator,
    build_generator,
    place_grid,
    stack_inputs,
)
from metatalk.neural.losses import (
    discriminator_hinge,
    feature_matching,
    generator_hinge,
    laplacian_bands,
    pyramid_loss,
    weighted_l1,
)

NARROW = (8, 8, 8, 8)


@pytest.fixture
def pictures() -> torch.Tensor:
    return torch.rand(2, 3, 32, 48, generator=torch.Generator().manual_seed(1))


def test_generator_keeps_the_size_and_the_range(pictures: torch.Tensor) -> None:
    mask = torch.ones(2, 1, 32, 48)
    made = Generator(NARROW)(stack_inputs(pictures, pictures, mask)).detach()
    assert made.shape == pictures.shape
    assert 0 <= float(made.min()) <= float(made.max()) <= 1


def test_default_generator_is_compact() -> None:
    weights = sum(part.numel() for part in build_generator(NeuralConfig()).parameters())
    assert 1.2e6 < weights < 2.0e6


def test_generator_refuses_sides_that_do_not_halve_four_times() -> None:
    with pytest.raises(ShapeError, match="multiple of 16"):
        Generator(NARROW)(torch.zeros(1, 7, 40, 32))


def test_generator_does_not_see_the_real_lower_face(pictures: torch.Tensor) -> None:
    mask = torch.zeros(2, 1, 32, 48)
    mask[..., 8:24, 8:40] = 1
    other = torch.where(mask > 0, 1 - pictures, pictures)
    seen, also_seen = (stack_inputs(pictures, real, mask) for real in (pictures, other))
    torch.testing.assert_close(seen, also_seen)


def test_generator_does_not_mix_the_pictures_of_a_batch(pictures: torch.Tensor) -> None:
    generator = Generator(NARROW)
    inputs = stack_inputs(pictures, pictures, torch.ones(2, 1, 32, 48))
    torch.testing.assert_close(generator(inputs)[1:], generator(inputs[1:]))


def test_generator_is_rebuilt_from_its_weights() -> None:
    config = NeuralConfig(widths=NARROW)
    first = build_generator(config)
    second = build_generator(config, first.state_dict())
    inputs = torch.rand(1, 7, 16, 16)
    torch.testing.assert_close(first(inputs), second(inputs))


def test_discriminator_judges_patches(pictures: torch.Tensor) -> None:
    condition = stack_inputs(pictures, pictures, torch.ones(2, 1, 32, 48))
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


@pytest.mark.parametrize(
    ("key", "value"),
    [("minutes", 0), ("window_px", 100), ("widths", (8, 8)), ("held_out", 0.9), ("batch", -1)],
)
def test_config_names_the_key_that_cannot_be_used(key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=key):
        NeuralConfig(**{key: value})  # type: ignore[arg-type]


def test_a_window_sees_its_own_part_of_the_canvas() -> None:
    canvas = Canvas(4)
    whole = canvas(CANVAS_PX, CANVAS_PX, None)
    part = canvas(32, 64, torch.tensor([[0.25, 0.5, 0.75, 0.75]]))
    torch.testing.assert_close(part, whole[..., 64:96, 32:96], atol=1e-4, rtol=1e-4)


def test_places_are_pixel_centres() -> None:
    grid = place_grid(torch.tensor([[0.0, 0.0, 1.0, 0.5]]), 1, 2)
    torch.testing.assert_close(grid, torch.tensor([[[[-0.5, -0.5], [0.5, -0.5]]]]))
