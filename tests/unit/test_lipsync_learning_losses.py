"""The trainings' losses, against cases worked out by hand and by their gradients."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from metatalk.lipsync.learning.expert import contrast_loss, cosine_loss
from metatalk.lipsync.learning.generator import picture_loss, sync_loss
from metatalk.lipsync.learning.tensors import lower_halves, stack_windows, to_bgr
from metatalk.lipsync.syncnet import ColourExpert
from metatalk.lipsync.wav2lip import stack_faces

NONE = torch.zeros(2, 2, dtype=torch.bool)


def random_faces(*shape: int, seed: int = 0) -> Tensor:
    values = np.random.default_rng(seed).integers(0, 256, (*shape, 96, 96, 3), np.uint8)
    return torch.from_numpy(values)


def test_contrast_is_the_mean_of_finding_sounds_and_finding_windows() -> None:
    scores = torch.tensor([[2.0, 1.0], [0.0, 3.0]])
    rows = (math.log(1 + math.exp(-1)) + math.log(1 + math.exp(-3))) / 2
    columns = (math.log(1 + math.exp(-2)) + math.log(1 + math.exp(-2))) / 2
    assert float(contrast_loss(scores, NONE)) == pytest.approx((rows + columns) / 2)


def test_a_pair_of_nearly_the_same_moment_is_neither_right_nor_wrong() -> None:
    scores = torch.tensor([[1.0, 9.0, 0.0], [9.0, 2.0, 0.5], [0.2, 0.1, 1.5]], requires_grad=True)
    near = torch.eye(3, dtype=torch.bool)
    near[0, 1] = near[1, 0] = True
    loss = contrast_loss(scores, near)
    rows = [math.log(1 + math.exp(0 - 1)), math.log(1 + math.exp(0.5 - 2))]
    rows.append(math.log(1 + math.exp(0.2 - 1.5) + math.exp(0.1 - 1.5)))
    columns = [math.log(1 + math.exp(0.2 - 1)), math.log(1 + math.exp(0.1 - 2))]
    columns.append(math.log(1 + math.exp(0 - 1.5) + math.exp(0.5 - 1.5)))
    assert float(loss.detach()) == pytest.approx((sum(rows) + sum(columns)) / 6, rel=1e-5)
    loss.backward()
    assert scores.grad is not None
    assert scores.grad[0, 1] == 0
    assert scores.grad[1, 0] == 0
    assert (scores.grad.diagonal() < 0).all()
    assert scores.grad[0, 2] > 0


def test_the_cosine_counts_own_and_shifted_pairs_half_each() -> None:
    cosines = torch.tensor([[0.9, 0.4, 0.3], [0.2, 0.8, 0.99], [0.5, 0.6, 0.7]])
    shifted = torch.zeros(3, 3, dtype=torch.bool)
    shifted[0, 1] = shifted[1, 0] = True
    right = -(math.log(0.9) + math.log(0.8) + math.log(0.7)) / 3
    wrong = -(math.log(0.6) + math.log(0.8)) / 2
    assert float(cosine_loss(cosines, shifted)) == pytest.approx((right + wrong) / 2)


def test_without_shifted_pairs_the_cosine_counts_own_ones_alone() -> None:
    cosines = torch.tensor([[0.5, 0.4], [0.2, 0.25]])
    right = -(math.log(0.5) + math.log(0.25)) / 2
    assert float(cosine_loss(cosines, NONE)) == pytest.approx(right)


def test_the_cosine_pulls_own_pairs_up_and_shifted_ones_down() -> None:
    cosines = torch.full((3, 3), 0.5, requires_grad=True)
    shifted = torch.zeros(3, 3, dtype=torch.bool)
    shifted[0, 1] = True
    cosine_loss(cosines, shifted).backward()
    assert cosines.grad is not None
    assert (cosines.grad.diagonal() < 0).all()
    assert cosines.grad[0, 1] > 0
    assert int((cosines.grad != 0).sum()) == 4


def test_cosines_beyond_reason_stay_finite() -> None:
    cosines = torch.tensor([[-0.3, 1.0], [1.0, 0.0]])
    shifted = torch.tensor([[False, True], [True, False]])
    assert float(cosine_loss(cosines, shifted)) == pytest.approx(-math.log(1e-4), rel=1e-3)


def test_pictures_are_compared_pixel_by_pixel_the_mouth_counting_more() -> None:
    drawn, real = torch.zeros(2, 3, 96, 96), torch.zeros(2, 3, 96, 96)
    drawn[:, :, :48] = 0.3
    drawn[0, :, 48:] = -0.6
    assert float(picture_loss(drawn, real, 1.0)) == pytest.approx((drawn - real).abs().mean())
    assert float(picture_loss(drawn, real, 2.0)) == pytest.approx((0.3 + 2 * 0.3) / 3)
    assert float(picture_loss(drawn, drawn, 2.0)) == 0
    drawn[0, :, 48:] = 0
    assert float(picture_loss(drawn, real, 3.0)) == pytest.approx(0.3 / 4)


class FixedExpert(nn.Module):
    """Embeds as it is told, and keeps what it was shown."""

    def __init__(self, sound: Tensor, lips: Tensor) -> None:
        super().__init__()
        self.sound, self.lips = sound, lips

    def forward(self, mel: Tensor, faces: Tensor) -> tuple[Tensor, Tensor]:
        self.mel, self.faces = mel, faces
        return self.sound, self.lips


def test_sync_is_the_cross_entropy_of_each_windows_cosine() -> None:
    sound = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    lips = torch.tensor([[0.6, 0.8], [0.8, 0.6], [0.0, 1.0]])
    expert, mels = FixedExpert(sound, lips), torch.rand(3, 80, 16)
    loss = sync_loss(expert, torch.rand(15, 3, 96, 96), mels)  # type: ignore[arg-type]
    expected = -(math.log(0.6) + math.log(0.8) + math.log(1e-4)) / 3
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    assert torch.equal(expert.mel, mels[:, None])


def test_the_expert_is_shown_drawn_windows_as_it_learned_from_filmed_ones() -> None:
    faces = random_faces(2, 5)
    expert = FixedExpert(torch.ones(2, 1), torch.ones(2, 1))
    sync_loss(expert, to_bgr(faces).flatten(0, 1), torch.rand(2, 80, 16))  # type: ignore[arg-type]
    assert torch.equal(expert.faces, lower_halves(faces))


def test_sync_teaches_the_drawn_mouth_and_not_the_expert() -> None:
    torch.manual_seed(0)
    expert = ColourExpert().eval().requires_grad_(False)
    before = {name: value.clone() for name, value in expert.state_dict().items()}
    drawn = torch.rand(5, 3, 96, 96, requires_grad=True)
    sync_loss(expert, drawn, torch.randn(1, 80, 16)).backward()
    assert drawn.grad is not None
    assert drawn.grad[:, :, 48:].abs().amax(dim=(1, 2, 3)).min() > 0  # in each of the five frames
    assert (drawn.grad[:, :, :48] == 0).all()
    assert all(parameter.grad is None for parameter in expert.parameters())
    assert all(torch.equal(before[name], now) for name, now in expert.state_dict().items())


def test_faces_become_blue_green_red() -> None:
    faces = random_faces(2)
    turned = to_bgr(faces)
    assert turned.shape == (2, 3, 96, 96)
    assert turned.dtype == torch.float32
    expected = faces[1, 10, 20].flip(0).float() / 255
    torch.testing.assert_close(turned[1, :, 10, 20], expected)


def test_lower_halves_are_stacked_frame_by_frame() -> None:
    faces = random_faces(2, 5)
    stacked = lower_halves(faces)
    assert stacked.shape == (2, 15, 48, 96)
    for frame in range(5):
        for channel, colour in enumerate((2, 1, 0)):
            expected = faces[1, frame, 48:, :, colour].float() / 255
            torch.testing.assert_close(stacked[1, 3 * frame + channel], expected)


def test_windows_are_laid_out_as_the_generator_is_later_given_them() -> None:
    faces, references = random_faces(2, 5), random_faces(2, 5, seed=1)
    laid = stack_windows(faces, references)
    expected = stack_faces(faces.flatten(0, 1).numpy(), references.flatten(0, 1).numpy())
    torch.testing.assert_close(laid, expected)
    assert torch.equal(faces, random_faces(2, 5))
