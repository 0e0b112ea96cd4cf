"""From a model's answer to what the actor does: times, rates, gate, amplitude, what was seen."""

from __future__ import annotations

import itertools
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from a2e_toys import QUICK, RATE, toy_ears, toy_footage, toy_speech

from metatalk.a2e.model import MouthModel, model_state, restore_model
from metatalk.a2e.predict import nearest_seen, perform_steps, predict_mouth, sample_steps
from metatalk.a2e.training import train_a2e
from metatalk.errors import MissingAssetError, ShapeError

EARS = toy_ears()
BRIEF = replace(QUICK, steps=20)


@pytest.fixture(scope="module")
def trained() -> MouthModel:
    return train_a2e(toy_footage(8.0), BRIEF, ears=EARS)[0]


def test_steps_are_read_linearly_and_held_at_the_ends() -> None:
    values = torch.tensor([[0.0, 1.0, 4.0]])
    seconds = torch.tensor([-1.0, 0.0, 0.0125, 0.025, 0.0375, 0.05, 9.0])
    expected = torch.tensor([0.0, 0.0, 0.5, 1.0, 2.5, 4.0, 4.0])[:, None]
    torch.testing.assert_close(sample_steps(values, seconds), expected)


def test_a_single_step_is_held() -> None:
    made = sample_steps(torch.tensor([[2.0]]), torch.tensor([0.0, 1.0]))
    assert made.flatten().tolist() == [2.0, 2.0]


def test_every_frame_rate_shows_the_same_movement(trained: MouthModel) -> None:
    rates = [Fraction(24000, 1001), Fraction(25), Fraction(30000, 1001), Fraction(60)]
    samples = toy_speech(3.5, seed=3)[0]
    made = {}
    for rate in rates:
        times = [n / rate for n in range(int(3 * rate) + 1)]
        mouth = predict_mouth(trained, samples, np.array(times, float), BRIEF, EARS)
        made[rate] = dict(zip(times, mouth, strict=True))
    for one, other in itertools.pairwise(rates):
        common = made[one].keys() & made[other].keys()
        assert common
        for time in common:
            np.testing.assert_allclose(made[one][time], made[other][time], atol=1e-4)
    # 23.976 and 29.97 meet every 1001/6000 s, 25 and 60 every fifth of a second.
    assert len(made[rates[0]].keys() & made[rates[2]].keys()) >= 17
    assert len(made[rates[1]].keys() & made[rates[3]].keys()) == 16


def test_variable_frame_times_are_read_where_they_lie(trained: MouthModel) -> None:
    samples = toy_speech(2.0)[0]
    even = np.arange(50) / 25
    chosen = np.sort(np.random.default_rng(0).choice(50, 20, replace=False))
    chosen[-1] = 49
    whole = predict_mouth(trained, samples, even, BRIEF, EARS)
    some = predict_mouth(trained, samples, even[chosen], BRIEF, EARS)
    np.testing.assert_allclose(some, whole[chosen], atol=1e-5)


@pytest.mark.parametrize("count", [0, 1, 1600])
@pytest.mark.parametrize("silent", [False, True])
def test_hardly_any_sound_is_answered(trained: MouthModel, count: int, silent: bool) -> None:
    samples = np.zeros(count, np.float32) if silent else toy_speech(1.0)[0][3000 : 3000 + count]
    made = predict_mouth(trained, samples, np.arange(20) / 25, BRIEF, EARS)
    assert made.shape == (20, 2)
    assert np.isfinite(made).all()
    if silent:
        np.testing.assert_allclose(made, trained.rest.expand(20, -1), atol=1e-5)


def test_no_frames_are_no_mouths(trained: MouthModel) -> None:
    made = predict_mouth(trained, toy_speech(1.0)[0], np.zeros(0), BRIEF, EARS)
    assert made.shape == (0, 2)


def test_zeros_in_the_middle_of_speech_are_a_pause(trained: MouthModel) -> None:
    samples = toy_speech(6.0)[0]
    samples[2 * RATE : 4 * RATE] = 0
    made = predict_mouth(trained, samples, np.arange(150) / 25, BRIEF, EARS)
    assert np.isfinite(made).all()
    np.testing.assert_allclose(made[68:72], trained.rest.expand(4, -1), atol=1e-4)
    assert made[:45].std() > 0.1


def test_a_sound_that_is_no_number_is_refused(trained: MouthModel) -> None:
    samples = toy_speech(1.0)[0]
    samples[500] = np.nan
    with pytest.raises(ShapeError, match="not numbers"):
        predict_mouth(trained, samples, np.arange(20) / 25, BRIEF, EARS)


def test_times_are_one_row(trained: MouthModel) -> None:
    with pytest.raises(ShapeError):
        predict_mouth(trained, toy_speech(1.0)[0], np.zeros((2, 2)), BRIEF, EARS)


def test_other_ears_are_refused(trained: MouthModel) -> None:
    with pytest.raises(MissingAssetError, match="other features"):
        predict_mouth(trained, toy_speech(1.0)[0], np.arange(20) / 25, BRIEF)


def test_how_foreign_the_voice_is_reaches_the_model(trained: MouthModel) -> None:
    samples, times = toy_speech(2.0, seed=5)[0], np.arange(50) / 25
    own, half, foreign = (
        predict_mouth(restored(trained, share), samples, times, BRIEF, EARS)
        for share in (0.0, 0.5, 1.0)
    )
    assert np.abs(own - foreign).max() > 0.1
    assert np.abs(own - half).max() < np.abs(own - foreign).max()


def restored(model: MouthModel, foreign: float) -> MouthModel:
    kernel = replace(BRIEF.kernel, foreign=foreign)
    return restore_model(model_state(model), replace(BRIEF, kernel=kernel))


def seen_mouths() -> torch.Tensor:
    return torch.randn(200, 2, generator=torch.Generator().manual_seed(3))


def asked_mouths() -> torch.Tensor:
    return 4 * torch.randn(50, 2, generator=torch.Generator().manual_seed(4))


def test_one_neighbour_is_a_mouth_that_was_seen() -> None:
    seen, asked = seen_mouths(), asked_mouths()
    found = nearest_seen(asked, seen, 1)
    nearest = torch.cdist(asked, seen).argmin(dim=1)
    torch.testing.assert_close(found, seen[nearest])


def test_several_neighbours_stay_between_them() -> None:
    seen, asked = seen_mouths(), asked_mouths()
    found = nearest_seen(asked, seen, 8)
    places = torch.cdist(asked, seen).topk(8, largest=False).indices
    low, high = seen[places].amin(dim=1), seen[places].amax(dim=1)
    assert ((found >= low - 1e-5) & (found <= high + 1e-5)).all()
    assert (found.norm(dim=1) <= seen.norm(dim=1).max() + 1e-5).all()


def test_a_mouth_that_was_seen_hardly_moves() -> None:
    seen = seen_mouths()
    moved = (nearest_seen(seen, seen, 8) - seen).norm(dim=1)
    assert moved.median() < 0.15
    assert torch.equal(nearest_seen(seen, seen, 1), seen)


def test_fewer_seen_than_neighbours_and_blocks_make_no_difference(monkeypatch) -> None:
    few, asked = seen_mouths()[:3], asked_mouths()
    whole = nearest_seen(asked, few, 8)
    assert whole.isfinite().all()
    monkeypatch.setattr("metatalk.a2e.predict._BLOCK_FRAMES", 7)
    torch.testing.assert_close(nearest_seen(asked, few, 8), whole)
    assert nearest_seen(asked[:0], few, 8).shape == (0, 2)


def performer() -> MouthModel:
    model = MouthModel(2, QUICK, sizes=(0, 0, 200)).eval()
    model.seen, model.rest = seen_mouths(), torch.tensor([0.5, -1.0])
    model.gain = torch.tensor([1.5, 1.0])
    return model


def test_how_far_it_keeps_to_what_was_seen() -> None:
    model, steps, gate = performer(), asked_mouths().T, torch.ones(1, 50)
    free, half, kept = (
        perform_steps(model, steps, gate, replace(QUICK, seen=share)) for share in (0.0, 0.5, 1.0)
    )
    rest = model.rest[:, None]
    lively = rest + model.gain[:, None] * (steps - rest)
    torch.testing.assert_close(free, lively)
    torch.testing.assert_close(kept, nearest_seen(lively.T, model.seen, QUICK.neighbours).T)
    torch.testing.assert_close(half, (free + kept) / 2)


def test_the_gate_leads_to_the_rest_and_amplitude_stretches_about_it() -> None:
    model, steps = performer(), asked_mouths().T
    rest = model.rest[:, None]
    shut = perform_steps(model, steps, torch.zeros(1, 50), QUICK)
    torch.testing.assert_close(shut, rest.expand(2, 50))
    once, twice = (
        perform_steps(model, steps, torch.full((1, 50), 0.5), replace(QUICK, amplitude=a))
        for a in (1.0, 2.0)
    )
    torch.testing.assert_close(twice - rest, 2 * (once - rest))
    full = perform_steps(model, steps, torch.ones(1, 50), QUICK)
    torch.testing.assert_close(twice, full)
