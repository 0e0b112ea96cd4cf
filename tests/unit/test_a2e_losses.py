"""What an error of the mouth counts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from a2e_toys import QUICK, toy_footage
from torch import Tensor

from metatalk.a2e.config import A2EConfig
from metatalk.a2e.losses import MouthWeights, mouth_loss
from metatalk.a2e.windows import Windows
from metatalk.errors import ShapeError

LIPS = torch.tensor([[2.0, 0.0, 0.5], [0.0, 1.0, 0.3], [0.1, 0.2, 0.4]])  # (3, K) mm
PLAIN = MouthWeights(torch.ones(3))
NO_LIPS = replace(QUICK, lips_weight=0.0)


def draw(*sizes: int, seed: int = 0) -> Tensor:
    return torch.randn(sizes, generator=torch.Generator().manual_seed(seed))


def windows(mouth: Tensor | None = None, known: Tensor | None = None) -> Windows:
    mouth = draw(2, 3, 10) if mouth is None else mouth
    known = torch.ones(len(mouth), mouth.shape[2]) if known is None else known
    return Windows(torch.zeros(2, 80, 20), torch.zeros(2, 0, 20), mouth, known)


def test_it_is_the_mean_square_of_error_and_velocity() -> None:
    truth, made = windows(), draw(4, 2, 3, 10, seed=1)
    known, weights = torch.ones(2, 10), MouthWeights(torch.tensor([1.5, 1.0, 0.5]))
    known[0, 6:] = 0
    truth = windows(truth.mouth, known)
    config = replace(NO_LIPS, velocity_weight=0.7)
    total = 0.0
    for network in range(4):
        for row in range(2):
            for k, weight in enumerate((1.5, 1.0, 0.5)):
                error = made[network, row, k] - truth.mouth[row, k]
                for step in range(10):
                    total += float(weight * known[row, step] * error[step] ** 2)
                    if step and known[row, step] and known[row, step - 1]:
                        total += float(0.7 * weight * (error[step] - error[step - 1]) ** 2)
    expected = total / (16 * 4 * 3)  # known steps, networks, coordinates
    assert mouth_loss(made, truth, weights, config).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("config", [QUICK, replace(QUICK, velocity_weight=0.0), NO_LIPS])
def test_a_perfect_mouth_costs_nothing_and_no_other_does(config: A2EConfig) -> None:
    truth, weights = windows(), MouthWeights(torch.ones(3), LIPS, 1.0)
    assert mouth_loss(truth.mouth[None], truth, weights, config) == 0
    assert mouth_loss(truth.mouth[None] + 0.1, truth, weights, config) > 0


def test_its_gradient_is_its_slope() -> None:
    truth = windows(draw(2, 3, 6).double())
    weights = MouthWeights(torch.tensor([1.5, 1.0, 0.5]).double(), LIPS.double(), 0.5)
    made = draw(2, 2, 3, 6, seed=2).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda m: mouth_loss(m, truth, weights, QUICK), (made,))


def test_what_is_not_known_has_no_gradient() -> None:
    known = torch.ones(2, 10)
    known[1, 4:7] = 0
    made = draw(3, 2, 3, 10, seed=1).requires_grad_()
    weights = MouthWeights(torch.ones(3), LIPS, 0.0)
    mouth_loss(made, windows(known=known), weights, QUICK).backward()
    assert made.grad is not None
    assert (made.grad[:, 1, :, 4:7] == 0).all()
    assert (made.grad[:, 0] != 0).all()
    nothing = mouth_loss(made, windows(known=torch.zeros(2, 10)), weights, QUICK)
    assert nothing.item() == 0


def test_as_many_networks_as_you_like_cost_their_mean() -> None:
    truth, weights = windows(), MouthWeights(torch.ones(3), LIPS, 0.2)
    made = draw(3, 2, 3, 10, seed=1)
    alone = torch.stack([mouth_loss(one[None], truth, weights, QUICK) for one in made])
    torch.testing.assert_close(mouth_loss(made, truth, weights, QUICK), alone.mean())


def test_lips_that_are_not_known_or_do_not_count_change_nothing() -> None:
    truth, made = windows(), draw(1, 2, 3, 10, seed=1)
    with_lips = MouthWeights(torch.ones(3), LIPS, 0.0)
    plain = mouth_loss(made, truth, PLAIN, QUICK)
    assert mouth_loss(made, truth, with_lips, NO_LIPS) == plain
    assert mouth_loss(made, truth, PLAIN, NO_LIPS) == plain
    assert mouth_loss(made, truth, with_lips, QUICK) > plain


def lips_cost(mouth: Tensor, error: Tensor, config: A2EConfig, gap_mm: float = 0.0) -> float:
    """What the lips add to the cost of an error of a mouth."""
    truth, lips = windows(mouth), MouthWeights(torch.ones(3), LIPS, gap_mm)
    made = (mouth + error)[None]
    return float(mouth_loss(made, truth, lips, config) - mouth_loss(made, truth, PLAIN, config))


def test_the_gap_counts_more_where_the_lips_are_closed() -> None:
    # Coordinate 0 moves the gap by 2 mm, and with gap_mm 3 it is closed below -1 deviation.
    config = replace(QUICK, velocity_weight=0.0, closed_weight=2.0)
    even = replace(config, closed_weight=0.0)
    closed, opened = torch.zeros(2, 3, 10), torch.zeros(2, 3, 10)
    closed[:, 0], opened[:, 0] = -1.5, 1.5
    # An error across the gap alone: width and protrusion stay.
    gap_only = torch.linalg.solve(LIPS, torch.tensor([1.0, 0.0, 0.0]))[None, :, None]
    error = gap_only.expand(2, 3, 10)
    in_closed, in_open = (lips_cost(mouth, error, config, 3.0) for mouth in (closed, opened))
    assert in_closed == pytest.approx(3 * in_open, rel=1e-4)
    assert lips_cost(closed, error, even, 3.0) == pytest.approx(in_open, rel=1e-4)
    wide = torch.linalg.solve(LIPS, torch.tensor([0.0, 1.0, 0.0]))[None, :, None].expand(2, 3, 10)
    assert lips_cost(closed, wide, config, 3.0) == pytest.approx(
        lips_cost(opened, wide, config, 3.0), rel=1e-4
    )


def test_gap_width_and_protrusion_count_alike_whatever_their_millimetres() -> None:
    truth, made = windows(), draw(1, 2, 3, 10, seed=1)
    scaled = LIPS * torch.tensor([[1.0], [10.0], [0.01]])
    config = replace(QUICK, closed_weight=0.0)
    costs = [
        mouth_loss(made, truth, MouthWeights(torch.ones(3), lips, 5.0), config)
        for lips in (LIPS, scaled)
    ]
    torch.testing.assert_close(costs[0], costs[1])


def test_lips_that_nothing_moves_are_no_numerical_trouble() -> None:
    dead = MouthWeights(torch.ones(3), torch.zeros(3, 3), 0.0)
    made = draw(1, 2, 3, 10, seed=1).requires_grad_()
    mouth_loss(made, windows(), dead, QUICK).backward()
    assert made.grad is not None
    assert made.grad.isfinite().all()


def test_footage_says_what_counts() -> None:
    footage = replace(
        toy_footage(2.0),
        scale=np.array([3.0, 1.0]),
        lips=np.ones((3, 2), np.float32),
        gap_mm=1.25,
    )
    weights = footage.weights()
    np.testing.assert_allclose(weights.coordinates.numpy(), [1.5, 0.5])
    assert weights.lips is not None
    assert weights.lips.shape == (3, 2)
    assert weights.gap_mm == 1.25
    plain = toy_footage(2.0).weights()
    assert plain.lips is None
    assert plain.coordinates.tolist() == [1, 1]


def test_shapes_are_checked() -> None:
    with pytest.raises(ShapeError):
        MouthWeights(torch.ones(3), torch.ones(3, 2))
    with pytest.raises(ShapeError):
        replace(toy_footage(2.0), lips=np.ones((2, 2)))
