"""The generator: what it sees, what it lets through, and windows that are as their wholes are."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from neural_toys import TINY
from torch import Tensor
from torch.nn import functional

from metatalk.errors import ShapeError
from metatalk.neural.config import NeuralConfig
from metatalk.neural.generator import (
    BAND_PX,
    CANVAS_PX,
    FIRST_SOURCE,
    INPUT_CHANNELS,
    MASK_CHANNEL,
    SOURCES,
    STEEPEST,
    Canvas,
    Generator,
    _let_through,
    _weigh,
    blur_box,
    build_generator,
    place_grid,
    stack_inputs,
)
from metatalk.neural.pictures import PictureTensors

NARROW = (8, 8, 8, 8)
INNER = (..., slice(8, -8), slice(8, -8))  # where blurs know nothing of the edges


def chance(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def toy_inputs(batch: int = 2, side: int = 32, seed: int = 1) -> Tensor:
    """Noise on all channels; trust from 0 to 1."""
    return torch.rand(batch, INPUT_CHANNELS, side, side, generator=chance(seed))


def toy_pictures(seed: int = 1) -> PictureTensors:
    made = [torch.rand(2, n, 32, 32, generator=chance(seed + n)) for n in (3, 1, 4)]
    mask = (made[1] > 0.5).float()
    return PictureTensors(
        made[0], made[0].flip(0), mask, None, made[0].flip(1), made[2], made[2].flip(0)
    )


def sources(pixels: Tensor, trust: float | Tensor) -> Tensor:
    """(B, 4 * SOURCES, H, W): the same picture and trust for filmed and matched texture."""
    trusted = torch.ones_like(pixels[:, :1]) * trust
    return torch.cat([pixels, trusted] * SOURCES, 1)


def even_gates(coarse: tuple[float, ...], fine: tuple[float, ...], side: int = 32) -> Tensor:
    """Logarithms of weights, the same everywhere: filmed, matched, own."""
    return torch.tensor([*coarse, *fine])[None, :, None, None].expand(1, -1, side, side)


def test_the_generator_renders_and_says_what_it_let_through() -> None:
    picture, coarse, passed = Generator(NARROW)(toy_inputs(side=48))
    assert picture.shape == coarse.shape == (2, 3, 48, 48)
    assert passed.shape == (2, SOURCES, 48, 48)
    assert picture.dtype == torch.float32
    assert float(passed.detach().min()) >= 0
    assert float(passed.detach().sum(1).max()) <= 1


def test_the_default_generator_is_compact() -> None:
    weights = sum(part.numel() for part in build_generator(NeuralConfig()).parameters())
    assert 1.2e6 < weights < 2.0e6


def test_the_generator_refuses_what_it_cannot_halve_or_does_not_know() -> None:
    with pytest.raises(ShapeError, match="multiple of 16"):
        Generator(NARROW)(torch.zeros(1, INPUT_CHANNELS, 40, 32))
    with pytest.raises(ShapeError, match="inputs"):
        Generator(NARROW)(torch.zeros(1, INPUT_CHANNELS - 1, 32, 32))


def test_the_inputs_lie_where_the_constants_say() -> None:
    pictures = toy_pictures()
    assert pictures.geometry is not None
    assert pictures.filmed is not None
    assert pictures.matched is not None
    stacked = stack_inputs(
        pictures.synthetic, pictures.real, pictures.mask, pictures.geometry, pictures.filmed,
        pictures.matched,
    )  # fmt: skip
    assert stacked.shape[1] == INPUT_CHANNELS
    torch.testing.assert_close(stacked[:, :3], pictures.synthetic)
    torch.testing.assert_close(stacked[:, MASK_CHANNEL], pictures.mask[:, 0])
    torch.testing.assert_close(stacked[:, MASK_CHANNEL + 1 : FIRST_SOURCE], pictures.geometry)
    torch.testing.assert_close(stacked[:, FIRST_SOURCE : FIRST_SOURCE + 4], pictures.filmed)
    torch.testing.assert_close(stacked[:, FIRST_SOURCE + 4 :], pictures.matched)
    with pytest.raises(ShapeError, match="matched"):
        stack_inputs(*[pictures.synthetic] * 2, pictures.mask, pictures.geometry,
                     pictures.filmed, pictures.geometry)  # fmt: skip


def test_the_generator_does_not_see_the_real_lower_face() -> None:
    pictures, generator = toy_pictures(), Generator(NARROW)
    other = torch.where(pictures.mask > 0, 1 - pictures.real, pictures.real)
    assert not torch.equal(other, pictures.real)
    seen = [generator.gather(shown) for shown in (pictures, replace(pictures, real=other))]
    torch.testing.assert_close(seen[0], seen[1])


def test_the_generator_does_not_mix_the_pictures_of_a_batch() -> None:
    generator, inputs = Generator(NARROW), toy_inputs()
    for together, alone in zip(generator(inputs), generator(inputs[1:]), strict=True):
        torch.testing.assert_close(together[1:], alone)


def test_the_generator_is_rebuilt_from_its_weights() -> None:
    config = NeuralConfig(widths=NARROW)
    first = build_generator(config)
    second, inputs = build_generator(config, first.state_dict()), toy_inputs()
    torch.testing.assert_close(first(inputs), second(inputs))


def test_whole_crops_are_drawn_in_range_with_the_weight_of_the_footage() -> None:
    generator, pictures = Generator(NARROW), toy_pictures()
    with torch.no_grad():
        generator.head.bias += 3.0
        drawn, (made, _, passed) = generator.draw(pictures), generator(generator.gather(pictures))
    assert drawn.passed is not None
    assert float(made.max()) > 1
    torch.testing.assert_close(drawn.picture, made.clamp(0, 1))
    torch.testing.assert_close(drawn.passed, passed[:, :1])


def test_what_is_not_given_is_black_and_not_trusted() -> None:
    pictures = replace(toy_pictures(), geometry=None, filmed=None, matched=None)
    seen = Generator(NARROW).gather(pictures)
    assert not seen[:, MASK_CHANNEL + 1 :].any()
    drawn = Generator(NARROW).draw(pictures)
    assert drawn.passed is not None
    assert not drawn.passed.any()


@pytest.mark.parametrize(("key", "hides"), [("carried", ("filmed", "matched")),
                                            ("geometry", ("geometry",))])  # fmt: skip
def test_what_is_switched_off_is_not_looked_at(key: str, hides: tuple[str, ...]) -> None:
    pictures = toy_pictures()
    other = replace(pictures, **{name: 1 - getattr(pictures, name) for name in hides})
    for shown, alike in ((True, False), (False, True)):
        generator = build_generator(replace(TINY, **{key: shown}))
        drawn = [generator.draw(part) for part in (pictures, other)]
        assert torch.equal(drawn[0].picture, drawn[1].picture) == alike
        assert drawn[0].passed is not None
        assert bool(drawn[0].passed.any()) == (shown or key == "geometry")


def test_gradients_reach_every_parameter() -> None:
    torch.manual_seed(0)
    generator = Generator(NARROW)
    picture, coarse, _ = generator(toy_inputs(side=64), torch.tensor([[0, 0, 1, 1.0]] * 2))
    (picture.square().mean() + coarse.square().mean()).backward()
    for name, part in generator.named_parameters():
        assert part.grad is not None, name
        assert float(part.grad.abs().sum()) > 0, name


def test_half_formats_render_nearly_the_same() -> None:
    torch.manual_seed(0)
    generator, pictures = Generator(NARROW).requires_grad_(False), toy_pictures()
    exact = generator.draw(pictures)
    half = generator.to(torch.bfloat16).draw(pictures)
    assert half.picture.dtype == torch.float32
    torch.testing.assert_close(half.picture, exact.picture, atol=0.02, rtol=0)
    assert half.passed is not None
    torch.testing.assert_close(half.passed, exact.passed, atol=0.02, rtol=0)


def test_a_window_is_rendered_as_the_whole_picture_is() -> None:
    torch.manual_seed(0)
    generator = Generator((4, 4, 4, 4)).requires_grad_(False)
    inputs, side, start, reach = toy_inputs(1, 320), 256, 48, 112
    place = torch.tensor([[start, start - 16, start + side, start - 16 + side]]) / 320
    window = inputs[..., start - 16 : start - 16 + side, start : start + side]
    shown = (..., slice(reach, side - reach), slice(reach, side - reach))
    for whole, part in zip(generator(inputs), generator(window, place), strict=True):
        cut = whole[..., start - 16 : start - 16 + side, start : start + side]
        torch.testing.assert_close(part[shown], cut[shown], atol=1e-4, rtol=1e-4)
        assert float(cut[shown].std()) > 1e-3


def test_without_trust_there_is_only_what_the_network_draws() -> None:
    inputs = toy_inputs()
    inputs[:, FIRST_SOURCE + 3 :: 4] = 0
    picture, coarse, passed = Generator(NARROW)(inputs)
    torch.testing.assert_close(picture, coarse)
    assert not passed.any()


def test_weights_add_up_to_one_and_need_trust() -> None:
    gates = 6 * torch.randn(2, SOURCES + 1, 8, 8, generator=chance())
    trust = torch.rand(2, SOURCES, 8, 8, generator=chance(2))
    trust[:, 0, :4] = 0
    weights = _weigh(gates, trust)
    torch.testing.assert_close(weights.sum(1), torch.ones(2, 8, 8))
    assert not weights[:, 0, :4].any()
    assert float(weights.min()) >= 0
    even = _weigh(torch.zeros(1, 3, 1, 1), torch.tensor([1.0, 0.5])[None, :, None, None])
    torch.testing.assert_close(even.flatten(), torch.tensor([0.4, 0.2, 0.4]))
    steep = _weigh(1e4 * torch.tensor([1.0, 0, 0])[None, :, None, None], torch.ones(1, 2, 1, 1))
    assert torch.isfinite(steep).all()
    assert float(steep[0, 0]) > 0.999


def test_fine_texture_is_passed_through_untouched() -> None:
    pixels, added = torch.rand(1, 3, 32, 32, generator=chance()), torch.full((1, 3, 32, 32), 0.2)
    gates = even_gates((-STEEPEST, -STEEPEST, STEEPEST), (STEEPEST, -STEEPEST, -STEEPEST))
    picture, coarse, passed = _let_through(sources(pixels, 1.0), added, gates)
    torch.testing.assert_close(coarse, torch.full_like(coarse, 0.7), atol=1e-4, rtol=0)
    fine = pixels - blur_box(pixels, BAND_PX)
    torch.testing.assert_close(picture[INNER], 0.7 + fine[INNER], atol=1e-3, rtol=0)
    torch.testing.assert_close(passed[:, 0], torch.ones(1, 32, 32), atol=1e-4, rtol=0)


def test_a_source_s_brightness_comes_by_the_coarse_weight_alone() -> None:
    pixels = torch.rand(1, 3, 32, 32, generator=chance())
    gates = even_gates((1.0, 0.0, 0.0), (STEEPEST, -STEEPEST, -STEEPEST))
    share = 2.718281828 / (2.718281828 + 2)
    brighter = sources(pixels, 1.0)
    brighter[:, :3] += 0.1
    added = torch.zeros(1, 3, 32, 32)
    before = _let_through(sources(pixels, 1.0), added, gates)
    after = _let_through(brighter, added, gates)
    for then, now in zip(before[:2], after[:2], strict=True):
        expected = torch.full_like(then, 0.1 * share)
        torch.testing.assert_close(now - then, expected, atol=2e-4, rtol=0)


def test_own_detail_makes_room_for_what_is_passed() -> None:
    """Were both bands added, skin would be twice as rough."""
    pixels = torch.full((1, 3, 32, 32), 0.5)
    added = torch.rand(1, 3, 32, 32, generator=chance())
    own = even_gates((-STEEPEST, -STEEPEST, STEEPEST), (-STEEPEST, -STEEPEST, STEEPEST))
    passed = even_gates((-STEEPEST, -STEEPEST, STEEPEST), (STEEPEST, -STEEPEST, -STEEPEST))
    kept, coarse, _ = _let_through(sources(pixels, 1.0), added, own)
    smooth, _, _ = _let_through(sources(pixels, 1.0), added, passed)
    torch.testing.assert_close(kept, coarse, atol=1e-3, rtol=0)
    torch.testing.assert_close(smooth, blur_box(coarse, BAND_PX), atol=1e-3, rtol=0)


def test_what_is_not_trusted_leaves_no_trace() -> None:
    pixels = torch.rand(1, 3, 32, 32, generator=chance())
    trust = torch.ones(1, 1, 32, 32)
    trust[..., 12:, :] = 0
    other = torch.where(trust > 0, pixels, 1 - pixels)
    added = torch.rand(1, 3, 32, 32, generator=chance(2)) - 0.5
    gates = torch.randn(1, 2 * (SOURCES + 1), 32, 32, generator=chance(3))
    pair = [_let_through(sources(part, trust), added, gates)[0] for part in (pixels, other)]
    torch.testing.assert_close(pair[0], pair[1])


def test_the_edge_of_what_is_trusted_is_not_darkened() -> None:
    """Black beyond the edge must not bleed into the coarse band."""
    pixels, trust = torch.full((1, 3, 32, 32), 0.8), torch.ones(1, 1, 32, 32)
    pixels[..., 16:, :], trust[..., 16:, :] = 0, 0
    gates = even_gates((STEEPEST, 0, -STEEPEST), (STEEPEST, 0, -STEEPEST))
    _, coarse, _ = _let_through(sources(pixels, trust), torch.zeros(1, 3, 32, 32), gates)
    torch.testing.assert_close(
        coarse[..., :16, :], torch.full((1, 3, 16, 32), 0.8), atol=3e-3, rtol=0
    )


@pytest.mark.parametrize("radius", [1, 2, 5])
def test_the_blur_is_two_boxes(radius: int) -> None:
    picture = torch.rand(2, 3, 48, 40, generator=chance())
    found, expected = blur_box(picture, radius), picture
    for _ in range(2):
        expected = functional.avg_pool2d(expected, 2 * radius + 1, stride=1)
    edge = 2 * radius
    assert found.shape == picture.shape
    torch.testing.assert_close(found[..., edge:-edge, edge:-edge], expected)
    flat = torch.full((1, 2, 16, 16), 0.3)
    torch.testing.assert_close(blur_box(flat, radius), flat)  # edges repeat


def test_a_window_sees_its_own_part_of_the_canvas() -> None:
    canvas = Canvas(4)
    whole = canvas(CANVAS_PX, CANVAS_PX, None)
    part = canvas(32, 64, torch.tensor([[0.25, 0.5, 0.75, 0.75]]))
    torch.testing.assert_close(part, whole[..., 64:96, 32:96], atol=1e-4, rtol=1e-4)


def test_places_are_pixel_centres() -> None:
    grid = place_grid(torch.tensor([[0.0, 0.0, 1.0, 0.5]]), 1, 2)
    torch.testing.assert_close(grid, torch.tensor([[[[-0.5, -0.5], [0.5, -0.5]]]]))
