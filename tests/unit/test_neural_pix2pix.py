"""The networks and the recipe of pix2pix."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from neural_toys import CPU, TINY, bar_mouth

from metatalk.errors import ShapeError
from metatalk.neural.infer import build_network, render_crops
from metatalk.neural.pictures import read_pictures
from metatalk.neural.pix2pix import (
    INPUT_CHANNELS,
    REACH,
    Pix2PixDiscriminator,
    Pix2PixGenerator,
    build_pix2pix,
    count_halvings,
    stack_window,
)
from metatalk.neural.pix2pix_recipe import LEARNING_RATE, Pix2PixRecipe, judge_loss
from metatalk.neural.recipe import Moment

ROWS = np.arange(40)


@pytest.mark.parametrize(("size", "bottleneck"), [(64, 1), (128, 1), (192, 3), (256, 1), (384, 3)])
def test_the_generator_halves_as_far_as_the_size_allows(size: int, bottleneck: int) -> None:
    generator = Pix2PixGenerator(count_halvings(size), width=2).eval()
    deepest = []
    generator.down[-1].register_forward_hook(lambda module, _, out: deepest.append(out.shape))
    with torch.no_grad():
        made = generator(torch.zeros(1, INPUT_CHANNELS, size, size))
    assert made.shape == (1, 3, size, size)
    assert deepest == [(1, 16, bottleneck, bottleneck)]


def test_the_generator_refuses_sizes_it_cannot_halve() -> None:
    with pytest.raises(ShapeError, match="multiple of 16"):
        count_halvings(200)
    with pytest.raises(ShapeError, match="multiple of 64"):
        Pix2PixGenerator(6, width=2)(torch.zeros(1, INPUT_CHANNELS, 96, 96))


def test_the_networks_are_as_large_as_the_published_ones() -> None:
    """54.4 M and 2.8 M parameters are the published counts for RGB; the inputs here are wider."""
    with torch.device("meta"):
        generator, opponent = Pix2PixGenerator(8, 64), Pix2PixDiscriminator(64)
    weights = [sum(p.numel() for p in network.parameters()) for network in (generator, opponent)]
    wider = 16 * 64 * (INPUT_CHANNELS - 3)
    assert weights[0] - wider == pytest.approx(54.41e6, rel=1e-3)
    assert weights[1] - wider == pytest.approx(2.769e6, rel=1e-3)


def test_gradients_reach_every_parameter() -> None:
    torch.manual_seed(0)
    generator, opponent = Pix2PixGenerator(6, width=4), Pix2PixDiscriminator(4)
    seen = torch.randn(1, INPUT_CHANNELS, 64, 64)
    judge_loss(opponent(generator(seen), seen), True).backward()
    for network in (generator, opponent):
        for name, part in network.named_parameters():
            assert part.grad is not None, name
            assert float(part.grad.abs().sum()) > 0, name


def test_a_patch_is_seventy_pixels() -> None:
    """Without its norms, which see the whole picture, a judgement sees just its patch."""
    opponent = Pix2PixDiscriminator(2)
    for layer in opponent.layers:
        del layer[1:]
    picture = torch.zeros(1, 3, 256, 256, requires_grad=True)
    condition = torch.zeros(1, INPUT_CHANNELS, 256, 256)
    judged = opponent(picture, condition)
    assert judged.shape == (1, 1, 30, 30)
    judged[0, 0, 15, 15].backward()
    assert picture.grad is not None
    rows = torch.nonzero(picture.grad.abs().sum((0, 1, 3)))
    columns = torch.nonzero(picture.grad.abs().sum((0, 1, 2)))
    assert int(rows.max() - rows.min()) + 1 == int(columns.max() - columns.min()) + 1 == 70


def test_the_weights_start_as_published() -> None:
    torch.manual_seed(0)
    network = Pix2PixDiscriminator(16)
    weights = torch.cat([layer[0].weight.detach().flatten() for layer in network.layers])
    assert float(weights.mean()) == pytest.approx(0, abs=1e-3)
    assert float(weights.std()) == pytest.approx(0.02, rel=0.02)


def test_the_window_is_seven_faces_and_the_real_lower_face_is_no_part_of_it() -> None:
    crops = bar_mouth()
    seen = stack_window(read_pictures(crops, np.array([10]), REACH).to(CPU))
    assert seen.shape == (1, 25, 32, 32)
    faces = (seen[0, :21].unflatten(0, (7, 3)) + 1) / 2
    expected = torch.from_numpy(crops.synthetic[7:14]).permute(0, 3, 1, 2) / 255
    torch.testing.assert_close(faces, expected)
    other = replace(crops, real=np.where(crops.mask[..., None] > 0, 255 - crops.real, crops.real))
    also = stack_window(read_pictures(other, np.array([10]), REACH).to(CPU))
    torch.testing.assert_close(also, seen)


def test_the_window_needs_its_neighbours() -> None:
    with pytest.raises(ShapeError, match="neighbours"):
        stack_window(read_pictures(bar_mouth(), np.array([10])).to(CPU))
    with pytest.raises(ShapeError, match="neighbours"):
        stack_window(read_pictures(bar_mouth(), np.array([10]), 2).to(CPU))


def test_dropout_acts_in_training_and_not_in_rendering() -> None:
    generator = Pix2PixGenerator(7, width=4)
    seen = torch.randn(1, INPUT_CHANNELS, 128, 128)
    with torch.no_grad():
        assert not torch.equal(generator(seen), generator(seen))
        generator.eval()
        assert torch.equal(generator(seen), generator(seen))


def test_the_generator_is_rebuilt_from_its_weights() -> None:
    config = replace(TINY, network="pix2pix")
    first = Pix2PixGenerator(6, width=4).eval()
    second = build_network(config, first.state_dict()).eval()
    seen = torch.randn(1, INPUT_CHANNELS, 64, 64)
    torch.testing.assert_close(second(seen), first(seen))
    assert len(build_pix2pix(first.state_dict()).down) == 6


def test_frames_are_rendered_one_like_another_whatever_the_batch() -> None:
    crops = bar_mouth()
    generator = Pix2PixGenerator(5, width=4).eval()
    pictures = read_pictures(crops, np.arange(5), REACH)
    together, apart = (render_crops(generator, pictures, batch).picture for batch in (5, 2))
    np.testing.assert_allclose(together, apart, atol=1e-5)
    assert 0 <= together.min() <= together.max() <= 1


def test_every_frame_is_drawn_once_before_any_is_drawn_again() -> None:
    crops = replace(bar_mouth(), real=np.arange(40, dtype=np.uint8)[:, None, None, None]
                    * np.ones((1, 32, 32, 3), np.uint8))  # fmt: skip
    rows = np.arange(3, 33)
    recipe = Pix2PixRecipe(crops, rows, TINY, CPU, seed=1)
    drawn = [int(recipe.draw(step, 1).real[0, 0, 0, 0]) for step in range(60)]
    assert sorted(drawn[:30]) == sorted(drawn[30:]) == rows.tolist()
    assert drawn[:30] != drawn[30:]
    assert [*recipe.draw(14, 2).real[:, 0, 0, 0]] == drawn[28:30]


def test_the_rate_is_constant_for_half_the_budget_and_then_falls_to_nothing() -> None:
    recipe = Pix2PixRecipe(bar_mouth(), ROWS, TINY, CPU, seed=1)
    batch = recipe.draw(0, 1)
    rates = [
        recipe.train_step(batch, Moment(0, spent))["learning_rate"] for spent in (0, 0.5, 0.75, 1)
    ]
    assert rates == pytest.approx([LEARNING_RATE, LEARNING_RATE, LEARNING_RATE / 2, 0])


def test_dropout_depends_on_seed_and_step_alone() -> None:
    def trained(step: int, chance: int) -> torch.Tensor:
        recipe = Pix2PixRecipe(bar_mouth(), ROWS, TINY, CPU, seed=1)
        torch.manual_seed(chance)
        recipe.train_step(recipe.draw(0, 1), Moment(step, 0))
        return torch.cat([part.detach().flatten() for part in recipe.average.parameters()])

    assert torch.equal(trained(0, 5), trained(0, 6))
    assert not torch.equal(trained(0, 5), trained(1, 5))


def test_an_undecided_judge_loses_a_bit() -> None:
    assert float(judge_loss(torch.zeros(4), True)) == pytest.approx(np.log(2))
    assert float(judge_loss(torch.full((4,), 9.0), True)) == pytest.approx(0, abs=1e-3)
    assert float(judge_loss(torch.full((4,), 9.0), False)) == pytest.approx(9, abs=1e-3)


def test_it_learns_a_mouth() -> None:
    recipe = Pix2PixRecipe(bar_mouth(), ROWS, replace(TINY, pix2pix_width=8), CPU, seed=1)
    errors = [float(recipe.train_step(recipe.draw(n, 1), Moment(n, 0))["l1"]) for n in range(100)]
    assert np.mean(errors[-10:]) < 0.5 * np.mean(errors[:5])
