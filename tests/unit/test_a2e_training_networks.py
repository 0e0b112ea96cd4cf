"""Every network learns the toy speaker, is stored, taken up again and speaks for other voices."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from a2e_toys import QUICK, RATE, toy_ears, toy_footage, toy_speech

from metatalk.a2e.architectures.choice import NETWORKS
from metatalk.a2e.architectures.config import (
    BilstmConfig,
    CriticConfig,
    EnsembleConfig,
    LstmConfig,
)
from metatalk.a2e.config import A2EConfig, AugmentConfig
from metatalk.a2e.hearing import DEAF, Ears
from metatalk.a2e.learner import Learner
from metatalk.a2e.model import model_state, restore_model
from metatalk.a2e.predict import predict_mouth
from metatalk.a2e.preparation import prepare_model
from metatalk.a2e.training import Journal, make_lesson, train_a2e
from metatalk.a2e.voice_config import VoiceConfig
from metatalk.lipsync.mel import BANDS

EARS = toy_ears()
SMALL = replace(
    QUICK,
    lstm=LstmConfig(units=16),
    bilstm=BilstmConfig(units=12, layers=1),
    critic=CriticConfig(channels=8, begin=10, weight=0.05),
    ensemble=EnsembleConfig(members=1),
    augment=AugmentConfig(share=0.3, drop_mel=0.2),
    learning_rate=3e-2,
)
STEPS = {**dict.fromkeys(NETWORKS, 50), "audiodvp": 150}  # whose layers have no short cut
TWO_VOICES = replace(SMALL, steps=8, voices=VoiceConfig(copies=2))


def choose(name: str, **changes: object) -> A2EConfig:
    return replace(SMALL, network=name, **changes)


@pytest.mark.parametrize("name", NETWORKS)
def test_it_learns_is_stored_and_speaks(name: str) -> None:
    config = choose(name, steps=STEPS[name])
    model, marks = train_a2e(toy_footage(8.0), config, ears=EARS)
    assert marks["held_out_error"] < 0.95
    samples, mouth = toy_speech(4.0, seed=7)
    times = np.arange(100) / 25
    again = restore_model(model_state(model), config)
    made, stored = (predict_mouth(m, samples, times, config, EARS) for m in (model, again))
    np.testing.assert_array_equal(made, stored)
    assert np.corrcoef(made[:, 0], mouth[(times * RATE).astype(int), 0])[0, 1] > 0.6


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "bilstm"])
def test_it_learns_within_a_bounded_look_ahead(name: str) -> None:
    config = choose(name, steps=STEPS[name], lookahead_ms=100.0)
    model, marks = train_a2e(toy_footage(8.0), config, ears=EARS)
    assert marks["held_out_error"] < 0.95
    assert model.reach[1] <= 8


def learner(config: A2EConfig, seed: int = 0, ears: Ears = EARS) -> Learner:
    footage = toy_footage(4.0)
    lesson = make_lesson(footage, config, seed, ears)
    model = prepare_model(lesson, lesson.known, config, ears, seed)
    return Learner(lesson, lesson.known, footage.weights(), model, config, seed)


def weights_of(pupil: Learner) -> Iterator[torch.Tensor]:
    modules = [pupil.network, pupil.average, *filter(None, [pupil.critic])]
    return itertools.chain.from_iterable(module.parameters() for module in modules)


@pytest.mark.parametrize("name", ["ours", "adversarial", "time_delayed_lstm", "bilstm"])
def test_put_away_and_taken_up_it_goes_on_as_if_never_stopped(name: str, tmp_path) -> None:
    config = choose(name)
    whole, first, again = (learner(config) for _ in range(3))
    list(whole.run(16, 16))
    list(first.run(12, 5))  # the critic is listened to from step 10 on
    torch.save(first.checkpoint(), tmp_path / "kept.pt")
    again.resume(torch.load(tmp_path / "kept.pt", weights_only=True))
    assert again.step == 12
    list(again.run(16, 4))
    assert all(map(torch.equal, weights_of(whole), weights_of(again)))


def test_the_critic_is_listened_to_from_its_beginning_on() -> None:
    config = choose("adversarial")
    alone, judged = (
        learner(replace(config, critic=replace(config.critic, weight=weight)))
        for weight in (0.0, 0.5)
    )
    for pupil in (alone, judged):
        assert pupil.critic is not None
        before = pupil.critic.head.parametrizations.weight.original.clone()
        list(pupil.run(10, 10))
        assert not torch.equal(before, pupil.critic.head.parametrizations.weight.original)
    assert all(map(torch.equal, alone.network.parameters(), judged.network.parameters()))
    for pupil in (alone, judged):
        list(pupil.run(11, 1))
    assert not all(map(torch.equal, alone.network.parameters(), judged.network.parameters()))


def test_only_the_adversarial_network_has_a_critic() -> None:
    assert {name for name in NETWORKS if learner(choose(name)).critic is not None} == {
        "adversarial"
    }
    ours = choose("ours", ensemble=EnsembleConfig(members=2, body="adversarial"))
    assert learner(ours).critic is not None


@pytest.mark.parametrize("ears", [EARS, DEAF])
@pytest.mark.parametrize("share", [0.0, 1.0])
def test_without_the_mel_it_learns_from_the_other_streams(ears: Ears, share: float) -> None:
    config = choose("ours", augment=AugmentConfig(drop_mel=share), weight_decay=0.0)
    pupil = learner(config, ears=ears)
    before = pupil.network.members[0].stem.weight.detach().clone()
    list(pupil.run(3, 3))
    changed = (pupil.network.members[0].stem.weight.detach() != before).any(dim=2).any(dim=0)
    assert changed[BANDS:].all()
    # Where nothing else is heard, the mel is never taken away.
    assert changed[:BANDS].all() == (share == 0 or ears is DEAF)
    assert changed[:BANDS].any() == changed[:BANDS].all()


def state_after(config: A2EConfig, seed: int) -> dict[str, torch.Tensor]:
    return train_a2e(toy_footage(4.0), config, seed, ears=EARS)[0].state_dict()


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("config", [TWO_VOICES, replace(TWO_VOICES, network="adversarial")])
def test_a_seed_decides_everything_voices_too(config: A2EConfig) -> None:
    assert same(state_after(config, 1), state_after(config, 1))
    assert not same(state_after(config, 1), state_after(config, 2))


def test_the_seed_of_the_process_decides_nothing() -> None:
    torch.manual_seed(1)
    first = state_after(TWO_VOICES, 1)
    torch.manual_seed(2)
    before = torch.get_rng_state()
    assert same(first, state_after(TWO_VOICES, 1))
    assert torch.equal(before, torch.get_rng_state()), "the global generator was moved"


def test_other_voices_teach() -> None:
    alone = replace(TWO_VOICES, voices=VoiceConfig(copies=0))
    assert not same(state_after(TWO_VOICES, 1), state_after(alone, 1))
    lesson, other = (make_lesson(toy_footage(4.0), TWO_VOICES, seed, EARS) for seed in (0, 1))
    assert len(lesson.takes) == 3
    assert np.array_equal(lesson.mel, other.mel)
    assert not np.array_equal(lesson.takes[1].mel, other.takes[1].mel)  # the seed chooses them


class _KilledError(Exception):
    pass


@pytest.mark.parametrize("network", ["ours", "adversarial"])
@pytest.mark.parametrize("after", [2, 12])
def test_killed_with_voices_it_ends_as_if_it_had_not_been(
    network: str, after: int, tmp_path
) -> None:
    critic = CriticConfig(channels=4, begin=2)
    config = replace(TWO_VOICES, network=network, critic=critic, steps=20)
    footage, file, saves = toy_footage(8.0), tmp_path / "kept.pt", itertools.count(1)
    whole, marks = train_a2e(footage, config, 3, ears=EARS)

    def save(checkpoint) -> None:
        torch.save(checkpoint, file)
        if next(saves) == after:
            raise _KilledError

    with pytest.raises(_KilledError):
        train_a2e(footage, config, 3, Journal(save=save), EARS)
    load = lambda: torch.load(file, weights_only=True)  # noqa: E731
    resumed, marks_again = train_a2e(footage, config, 3, Journal(load=load), EARS)
    assert same(whole.state_dict(), resumed.state_dict())
    del marks["seconds"], marks_again["seconds"]
    assert marks == marks_again
