"""What many actors have in common: axes, answer, training, and an actor begun with it."""

from __future__ import annotations

import io
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from a2e_toys import HEARD, QUICK, toy_ears, toy_footage
from safetensors.torch import save_file

from metatalk.a2e.architectures.config import EnsembleConfig, TcnConfig
from metatalk.a2e.config import A2EConfig, AugmentConfig, KernelConfig
from metatalk.a2e.hearing import Ears
from metatalk.a2e.learner import Checkpoint, foretold
from metatalk.a2e.model import model_state, restore_model
from metatalk.a2e.predict import predict_mouth, predict_steps
from metatalk.a2e.preparation import prepare_model
from metatalk.a2e.prior import Prior, PriorRecord, fit_universal_mouth, measure_universally
from metatalk.a2e.prior_config import PriorConfig
from metatalk.a2e.prior_pupils import _largest_share
from metatalk.a2e.prior_training import PriorJournal, train_prior
from metatalk.a2e.training import make_lesson, train_a2e
from metatalk.a2e.windows import Lesson
from metatalk.errors import ConfigError, FittingError, MissingAssetError
from metatalk.stages.prior_file import load_prior, save_prior

pytest.importorskip("lightning_fabric", reason="Lightning Fabric is not installed")

UNITS = 4
SMALL = PriorConfig(
    components=2,
    steps=30,
    batch=4,
    window_s=1.0,
    augment=AugmentConfig(share=0.5),
    tcn=TcnConfig(channels=8, dilations=(1, 2), dropout=0.1),
    ensemble=EnsembleConfig(members=1),
    kernel=KernelConfig(share=0.5, axes=6, centres=200),
)


def toy_record(config: PriorConfig = SMALL, ears: Ears | None = None) -> PriorRecord:
    listens = ears or toy_ears()
    return PriorRecord(
        face_model="toy",
        units=UNITS,
        hears=tuple((stream.name, stream.size) for stream in listens.streams),
        fingerprint=listens.fingerprint.hex(),
        encoder_terms="toy terms",
        config=config,
        clips=(("jane.mp4", "granted", "abc"), ("joe.mp4", "granted", "def")),
    )


def toy_lessons() -> list[Lesson]:
    return [make_lesson(toy_footage(4.0, seed), QUICK, seed, toy_ears()) for seed in (1, 2, 3)]


class Shelf:
    """A journal that keeps checkpoints in memory, and may die on the way."""

    def __init__(self, dies_after: int | None = None) -> None:
        self.kept: Checkpoint | None = None
        self.told: list[int] = []
        self.dies_after = dies_after

    def journal(self) -> PriorJournal:
        return PriorJournal(self._progress, self._save, lambda: self.kept)

    def _progress(self, done: int, total: int | None, note: str) -> None:
        self.told.append(done)
        if done == self.dies_after:
            raise KeyboardInterrupt

    def _save(self, state: Checkpoint) -> None:
        self.kept = torch.load(_through_bytes(state), weights_only=True)


def _through_bytes(state: Checkpoint) -> io.BytesIO:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return buffer


def learned(
    config: PriorConfig = SMALL, shelf: Shelf | None = None, seed: int = 0
) -> tuple[Prior, dict[str, float]]:
    return train_prior(toy_lessons, toy_record(config), seed, (shelf or Shelf()).journal())


@pytest.fixture(scope="module")
def prior() -> Prior:
    return learned()[0]


def weights(prior: Prior) -> dict[str, torch.Tensor]:
    return dict(prior.state_dict())


def mouths(scale: float, mean: float, seed: int = 0) -> np.ndarray:
    """(80, 4) an actor of two ways to move, one unit that speech does not change."""
    ways = np.random.default_rng(seed).normal(size=(80, 2))
    expression = np.zeros((80, UNITS))
    expression[:, :2] = ways * [1.0, 0.3]
    expression[:, 3] = 9.0 * ways[:, 0]
    return (mean + scale * expression).astype(np.float32)


LOWER = np.array([True, True, True, False])
BASIS = np.random.default_rng(5).normal(size=(UNITS, 30)) * 10


def test_an_actor_of_another_face_and_liveliness_says_the_same() -> None:
    space = fit_universal_mouth([mouths(1, 0), mouths(3, 2, seed=1)], BASIS, LOWER, 2)
    seen = np.ones(80, bool)
    quiet, lively = (
        measure_universally(space, mouths(scale, mean, seed=4), seen)
        for scale, mean in ((1, 0), (3, 2))
    )
    np.testing.assert_allclose(quiet, lively, atol=1e-3)
    np.testing.assert_allclose(quiet.std(axis=0), 1, atol=1e-4)
    np.testing.assert_allclose(quiet.mean(axis=0), 0, atol=1e-4)


def test_what_is_seen_badly_does_not_count_in_mean_and_spread() -> None:
    space = fit_universal_mouth([mouths(1, 0), mouths(1, 0, seed=1)], BASIS, LOWER, 2)
    expression, seen = mouths(1, 0, seed=4), np.arange(80) < 70
    spoiled = expression.copy()
    spoiled[70:] = 100.0
    clean, found = (measure_universally(space, each, seen) for each in (expression, spoiled))
    np.testing.assert_array_equal(clean[:70], found[:70])


def test_every_actor_counts_the_same_for_the_axes() -> None:
    """One moves the first unit alone, the other the second, ten times as much."""
    first, second = np.zeros((50, UNITS)), np.zeros((400, UNITS))
    chance = np.random.default_rng(0)
    first[:, 0], second[:, 1] = chance.normal(size=50), 10 * chance.normal(size=400)
    even = np.zeros((UNITS, 30))
    even[0, 0] = even[1, 1] = 10.0
    space = fit_universal_mouth([first, second], even, LOWER, 2)
    assert space.scale[0] == pytest.approx(space.scale[1], rel=1e-3)


def test_a_mouth_that_never_moves_is_zero_and_no_nan() -> None:
    space = fit_universal_mouth([mouths(1, 0), mouths(1, 0, seed=1)], BASIS, LOWER, 2)
    still = measure_universally(space, np.full((20, UNITS), 0.5, np.float32), np.ones(20, bool))
    assert (still == 0).all()
    with pytest.raises(FittingError):
        fit_universal_mouth([], BASIS, LOWER)


def test_it_foretells_an_actor_that_it_never_saw(prior: Prior) -> None:
    lesson = make_lesson(toy_footage(5.0, seed=9), QUICK, 0, toy_ears())
    model = prepare_model(lesson, lesson.known, QUICK, toy_ears())
    mel = model.normalise(lesson.sound, model.stats)[:80]
    made = prior.foretell(mel, torch.from_numpy(lesson.sound.heard)).numpy()
    r = np.corrcoef(made[0][lesson.known], lesson.targets[lesson.known, 0])[0, 1]
    assert r > 0.7


def test_it_foretells_a_long_recording_as_in_one_piece(
    prior: Prior, monkeypatch: pytest.MonkeyPatch
) -> None:
    dice = torch.Generator().manual_seed(0)
    mel, heard = torch.randn(80, 701, generator=dice), torch.randn(HEARD, 701, generator=dice)
    whole = prior.foretell(mel, heard)
    monkeypatch.setattr("metatalk.a2e.prior._BLOCK_COLUMNS", 100)
    torch.testing.assert_close(prior.foretell(mel, heard), whole, atol=1e-4, rtol=1e-4)
    assert whole.shape == (2, 701)
    assert prior.foretell(mel[:, :0], heard[:, :0]).shape == (2, 0)


def test_its_answers_are_as_loud_whatever_was_learned(prior: Prior) -> None:
    lessons = toy_lessons()
    made = []
    for lesson in lessons:
        model = prepare_model(lesson, lesson.known, QUICK, toy_ears())
        features = model.normalise(lesson.sound, model.stats)
        made.append(prior.foretell(features[:80], torch.from_numpy(lesson.sound.heard)))
    loud = torch.cat(made, dim=1)[:, ::2].square().mean().sqrt()
    assert float(loud) == pytest.approx(7.0, rel=0.05)


def test_the_same_seed_gives_the_same_prior() -> None:
    one, same, other = (learned(seed=seed)[0] for seed in (3, 3, 4))
    for name, value in weights(one).items():
        assert torch.equal(value, weights(same)[name]), name
    assert one.digest == same.digest != other.digest


def test_a_training_that_was_killed_goes_on_as_if_it_had_not_been(prior: Prior) -> None:
    total = SMALL.steps_for(12.0)
    shelf = Shelf(dies_after=total // 2)
    with pytest.raises(KeyboardInterrupt):
        learned(shelf=shelf)
    assert shelf.kept is not None
    shelf.dies_after, shelf.told = None, []
    resumed, metrics = learned(shelf=shelf)
    assert shelf.told[0] > 1  # it did not begin anew
    for name, value in weights(prior).items():
        assert torch.equal(value, weights(resumed)[name]), name
    assert metrics["steps"] == total


def test_one_that_is_finished_is_not_learned_again(prior: Prior) -> None:
    shelf = Shelf()
    shelf.kept = {"prior": prior.state_dict(), "metrics": {"steps": 1}}
    again, metrics = learned(shelf=shelf)
    assert again.digest == prior.digest
    assert metrics["steps"] == 1
    assert not shelf.told


def test_where_the_kernel_answers_alone_no_network_is_trained() -> None:
    config = replace(SMALL, kernel=replace(SMALL.kernel, share=1.0))
    assert learned(config)[1]["steps"] == 0


def test_hours_of_one_actor_leave_room_for_the_others() -> None:
    assert _largest_share([10, 100, 100], 150) == 70
    assert _largest_share([10, 20], 150) == 20
    assert _largest_share([100, 100, 100], 30) == 10


def test_it_learns(prior: Prior) -> None:
    _, metrics = learned()
    assert metrics["error"] < 0.6
    assert metrics["footage_s"] == pytest.approx(12.0, abs=0.5)


def test_random_numbers_of_others_are_left_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    learned(replace(SMALL, steps=3))
    assert torch.equal(before, torch.get_rng_state())


def test_there_must_be_somebody_to_learn_from() -> None:
    with pytest.raises(FittingError, match="speaking face"):
        train_prior(list, toy_record(), 0, Shelf().journal())


def test_without_fabric_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightning_fabric", None)
    with pytest.raises(MissingAssetError, match="Lightning Fabric") as caught:
        learned()
    assert "pip install" in caught.value.remedy


def test_as_many_gpus_as_asked_for_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    record = toy_record(replace(SMALL, devices=2))
    with pytest.raises(MissingAssetError, match="1 GPUs"):
        train_prior(toy_lessons, record, 0, Shelf().journal(), "cuda")


def test_a_file_keeps_everything(prior: Prior, tmp_path: Path) -> None:
    save_prior(tmp_path / "prior.safetensors", prior)
    found = load_prior(tmp_path / "prior.safetensors")
    assert found.record == prior.record
    assert found.digest == prior.digest
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize("content", [b"", b"no weights", None])
def test_a_file_that_is_no_prior_is_refused(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "prior.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(MissingAssetError) as caught:
        load_prior(path)
    assert "metatalk prior train" in caught.value.remedy


def test_weights_of_something_else_are_no_prior(tmp_path: Path) -> None:
    path = tmp_path / "prior.safetensors"
    save_file({"weights": torch.zeros(3)}, path)
    with pytest.raises(MissingAssetError, match="no prior"):
        load_prior(path)


def test_another_face_model_is_refused(prior: Prior) -> None:
    prior.require("toy", UNITS, toy_ears())
    for name, units in (("bfm2009", UNITS), ("toy", UNITS + 1)):
        with pytest.raises(ConfigError, match="face model toy"):
            prior.require(name, units, toy_ears())


def test_other_features_are_refused(prior: Prior) -> None:
    for ears in (toy_ears("another encoder"), Ears(())):
        with pytest.raises(MissingAssetError, match="other features"):
            prior.require("toy", UNITS, ears)


def begun(prior: Prior) -> Ears:
    return replace(toy_ears(), prior=prior)


def share(value: float) -> A2EConfig:
    return replace(QUICK, steps=10, kernel=KernelConfig(share=value, centres=200))


@pytest.mark.parametrize("kernel", [0.0, 0.5, 1.0])
def test_an_actor_begun_with_it_can_be_stored(prior: Prior, kernel: float) -> None:
    config, footage = share(kernel), toy_footage(4.0)
    model, _ = train_a2e(footage, config, ears=begun(prior))
    again = restore_model(model_state(model), config, prior)
    asked = toy_footage(2.0, seed=7).samples
    times = np.arange(50) / 25
    made, same = (predict_mouth(each, asked, times, config, toy_ears()) for each in (model, again))
    np.testing.assert_array_equal(made, same)
    assert np.isfinite(made).all()


def test_the_actors_networks_and_kernel_hear_it(prior: Prior) -> None:
    footage, config = toy_footage(4.0), share(0.5)
    plain, with_it = (
        train_a2e(footage, config, ears=ears)[0] for ears in (toy_ears(), begun(prior))
    )
    rows = prior.components
    assert len(with_it.kernel.axes) == len(plain.kernel.axes) + rows
    assert with_it.networks.inputs == plain.networks.inputs + rows
    lesson = make_lesson(footage, config, 0, toy_ears())
    spoken = predict_steps(with_it, lesson.sound, with_it.stats)
    assert spoken.shape == predict_steps(plain, lesson.sound, plain.stats).shape


def test_a_recording_is_foretold_as_in_one_piece(
    prior: Prior, monkeypatch: pytest.MonkeyPatch
) -> None:
    footage = toy_footage(5.0)
    model, _ = train_a2e(footage, share(0.5), ears=begun(prior))
    sound = make_lesson(footage, QUICK, 0, toy_ears()).sound
    whole = predict_steps(model, sound, model.stats)
    monkeypatch.setattr("metatalk.a2e.predict._BLOCK_COLUMNS", 60)
    pieces = predict_steps(model, sound, model.stats)
    torch.testing.assert_close(pieces, whole, atol=1e-3, rtol=1e-3)


def test_windows_are_taught_what_the_model_will_hear(prior: Prior) -> None:
    lesson = make_lesson(toy_footage(4.0), QUICK, 0, toy_ears())
    model = prepare_model(lesson, lesson.known, QUICK, begun(prior))
    more = foretold(lesson, lesson.known, model)
    features = model.normalise(lesson.sound, model.stats).numpy()
    np.testing.assert_allclose(more.sound.heard[HEARD:], features[80 + HEARD :], atol=1e-4)
    plain = prepare_model(lesson, lesson.known, QUICK, toy_ears())
    assert foretold(lesson, lesson.known, plain) is lesson


def test_silence_and_a_tenth_of_a_second_are_heard(prior: Prior) -> None:
    model, _ = train_a2e(toy_footage(4.0), share(0.5), ears=begun(prior))
    for samples in (np.zeros(16_000, np.float32), np.zeros(1_600, np.float32)):
        made = predict_mouth(model, samples, np.arange(10) / 25, share(0.5), toy_ears())
        assert np.isfinite(made).all()


@pytest.mark.parametrize(
    ("setting", "value"),
    [("components", 0), ("steps", 0), ("devices", 0), ("window_s", 0.0), ("average", 1.0),
     ("weight_decay", -1.0), ("learning_rate", 0.0), ("devices", 99)],
)  # fmt: skip
def test_settings_out_of_range_are_refused(setting: str, value: float) -> None:
    with pytest.raises(ConfigError, match="prior"):
        replace(PriorConfig(), **{setting: value})
