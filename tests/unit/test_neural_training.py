"""Training, rendering, scores and contact sheets of the neural renderer."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from neural_toys import (
    CPU,
    TINY,
    Audience,
    bar_mouth,
    bar_recipe,
    bar_samples,
    through_a_file,
    train_bars,
)

from metatalk.errors import FittingError, ShapeError
from metatalk.evaluate.picture import ssim
from metatalk.neural import training
from metatalk.neural.batches import LowerFaceCrops
from metatalk.neural.carried_recipe import CarriedRecipe
from metatalk.neural.config import NeuralConfig
from metatalk.neural.contact import GAP_PX, contact_sheet, draw_contact_sheet
from metatalk.neural.generator import build_generator
from metatalk.neural.infer import prepare_for_rendering, render_crops
from metatalk.neural.pictures import read_pictures
from metatalk.neural.prefetch import DrawAhead
from metatalk.neural.recipe import Moment
from metatalk.neural.scoring import (
    measure_structure,
    score_generator,
    score_pictures,
    spread_frames,
)
from metatalk.neural.training import Trainer, build_recipe
from metatalk.precision import choose_precision

ROWS = np.arange(40)
PIX2PIX = replace(TINY, network="pix2pix", steps=6)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Networks this small lose time to every further thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def crops() -> LowerFaceCrops:
    return bar_mouth()


def test_training_learns(crops: LowerFaceCrops) -> None:
    config = replace(TINY, steps=80, learning_rate=5e-3, adversarial_start=1.0)
    before = train_bars(crops, replace(config, steps=1)).metrics
    after = train_bars(crops, config).metrics
    assert after["held_out_psnr_db"] > before["held_out_psnr_db"] + 3
    assert after["held_out_frames"] == 4


@pytest.mark.parametrize("config", [replace(TINY, steps=6, patience=0.9), PIX2PIX])
@pytest.mark.parametrize("killed_at", [1, 3])
def test_a_killed_training_goes_on_as_if_nothing_had_happened(
    crops: LowerFaceCrops, config: NeuralConfig, killed_at: int
) -> None:
    stored: list[dict[str, Any]] = []

    def save(state: dict[str, Any]) -> None:
        if state["step"] == killed_at:
            stored.append(through_a_file(state))
            raise KeyboardInterrupt

    eager = replace(config, checkpoint_seconds=0.0)
    whole = train_bars(crops, config, seed=3)
    with pytest.raises(KeyboardInterrupt):
        train_bars(crops, eager, seed=3, save=save)
    audience = Audience()
    resumed = train_bars(crops, config, seed=3, load=lambda: stored[0], watcher=audience)
    assert audience.began == [killed_at]
    assert min(step for step, _ in audience.figures["train/l1"]) == killed_at + 1
    assert resumed.metrics["steps"] == config.steps
    for name, value in whole.state.items():
        torch.testing.assert_close(resumed.state[name], value, msg=name, rtol=0, atol=0)
    differ = [k for k, v in whole.metrics.items() if resumed.metrics[k] != v and k != "seconds"]
    assert differ == []


@pytest.mark.parametrize("config", [TINY, PIX2PIX])
def test_a_batch_depends_on_seed_and_step_alone(
    crops: LowerFaceCrops, config: NeuralConfig
) -> None:
    first, second, other = (bar_recipe(crops, config, seed) for seed in (5, 5, 6))
    first.draw(0, 2)
    first.train_step(first.draw(1, 2), Moment(1, 0.5))  # neither draws nor steps leave a trace
    again, wanted, another = (r.draw(7, 2).real for r in (first, second, other))
    np.testing.assert_array_equal(again, wanted)
    assert not np.array_equal(wanted, another)
    assert not np.array_equal(wanted, second.draw(8, 2).real)


def test_batches_are_drawn_ahead_in_another_thread_and_in_order() -> None:
    drawn: list[tuple[int, int]] = []
    met = threading.Event()

    def draw(step: int) -> int:
        drawn.append((step, threading.get_ident()))
        if step == 8:
            met.set()
        return 10 * step

    ahead = DrawAhead(draw, first=7)
    assert met.wait(60)  # two steps wait although none was taken
    assert [ahead.take() for _ in range(5)] == [70, 80, 90, 100, 110]
    ahead.close()
    assert [step for step, _ in drawn] == list(range(7, 7 + len(drawn)))
    assert len(drawn) <= 5 + 2
    assert threading.get_ident() not in {thread for _, thread in drawn}


def test_a_batch_that_cannot_be_drawn_fails_where_it_falls() -> None:
    def draw(step: int) -> int:
        if step == 2:
            raise OSError("the disk has gone")
        return step

    ahead = DrawAhead(draw, first=0)
    assert [ahead.take(), ahead.take()] == [0, 1]
    with pytest.raises(OSError, match="gone"):
        ahead.take()
    ahead.close()


def test_the_state_is_saved_at_intervals_and_at_the_end(crops: LowerFaceCrops) -> None:
    saved: list[int] = []
    config = replace(TINY, checkpoint_seconds=0.0)
    train_bars(crops, config, save=lambda state: saved.append(state["step"]))
    assert saved == list(range(1, TINY.steps + 1))
    saved.clear()
    config = replace(TINY, checkpoint_seconds=1e9)
    train_bars(crops, config, save=lambda state: saved.append(state["step"]))
    assert saved == [TINY.steps]


def test_the_clock_ends_a_training(crops: LowerFaceCrops) -> None:
    config = replace(TINY, minutes=1e-4, steps=10**6)
    assert train_bars(crops, config).metrics["steps"] < 100


def test_a_finished_training_is_not_trained_again(crops: LowerFaceCrops) -> None:
    states: list[dict[str, Any]] = []
    first = train_bars(crops, TINY, save=states.append)
    again = train_bars(crops, TINY, load=lambda: states[-1])
    assert again.metrics["steps"] == first.metrics["steps"] == TINY.steps


def test_out_of_memory_halves_the_batch(
    crops: LowerFaceCrops, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    step, sizes = CarriedRecipe.train_step, []

    def hungry(recipe: CarriedRecipe, batch: Any, moment: Moment) -> Any:
        sizes.append((moment.step, len(batch.real)))
        if len(batch.real) > (8 if moment.step < 3 else 2):
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to ...")
        return step(recipe, batch, moment)

    monkeypatch.setattr(CarriedRecipe, "train_step", hungry)
    result = train_bars(crops, replace(TINY, batch=8))
    assert sizes[:6] == [(0, 8), (1, 8), (2, 8), (3, 8), (3, 4), (3, 2)]
    assert set(sizes[6:]) == {(step, 2) for step in range(4, TINY.steps)}
    assert result.metrics["batch"] == 2
    assert "batches of 4" in caplog.text
    assert "batches of 2" in caplog.text


def test_a_single_picture_that_is_too_large_is_an_error(
    crops: LowerFaceCrops, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hungry(*_: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(CarriedRecipe, "train_step", hungry)
    with pytest.raises(torch.OutOfMemoryError):
        train_bars(crops, TINY)


def test_a_loss_that_is_not_a_number_stops_the_training(
    crops: LowerFaceCrops, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = {"l1": torch.tensor(0.1), "adversarial": torch.tensor(float("nan"))}
    monkeypatch.setattr(CarriedRecipe, "train_step", lambda *_: lost)
    with pytest.raises(FittingError, match="diverged"):
        train_bars(crops, TINY)


def test_large_states_are_saved_less_often(
    crops: LowerFaceCrops, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A save of two seconds is worth forty of training."""
    config = replace(TINY, checkpoint_seconds=5.0)
    trainer = Trainer(bar_recipe(crops, config, 0), config, 10)
    trainer.seconds = 100.0
    clock = iter([10.0, 12.0, 20.0, 20.1])
    monkeypatch.setattr(training, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    assert training._save(trainer, lambda state: None) == pytest.approx(140.0)
    assert training._save(trainer, lambda state: None) == pytest.approx(105.0)


def test_training_leaves_the_global_chance_alone(crops: LowerFaceCrops) -> None:
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    train_bars(crops, replace(TINY, steps=2))
    torch.testing.assert_close(torch.rand(1), expected)


def test_our_recipe_needs_samples(crops: LowerFaceCrops) -> None:
    with pytest.raises(ShapeError, match="samples"):
        build_recipe(crops, ROWS, TINY, CPU, 0)


def test_the_frames_shown_are_those_of_the_trial_nearest_to_the_rows(
    crops: LowerFaceCrops,
) -> None:
    trial = bar_samples(crops, np.array([[30, 33], [38, 38]]))
    learned = bar_samples(crops, np.array([[0, 1]]))
    recipe = CarriedRecipe(crops, ROWS, TINY, CPU, 0, learned, trial)
    shown = recipe.pictures(np.array([29, 38, 34]))
    for part in (shown.synthetic, shown.real, shown.mask, shown.filmed, shown.matched):
        assert part is not None
        assert len(part) == 3
    np.testing.assert_array_equal(shown.real, crops.real[[30, 38, 33]])
    np.testing.assert_array_equal(shown.synthetic, crops.synthetic[[30, 38, 33]])
    np.testing.assert_array_equal(shown.filmed, trial.filmed[[0, 1, 0], [0, 0, 1]])
    np.testing.assert_array_equal(shown.matched, trial.matched[[0, 1, 0], [0, 0, 1]])


def test_a_step_tells_every_loss_and_the_discriminator_joins_late(crops: LowerFaceCrops) -> None:
    recipe = bar_recipe(crops, replace(TINY, adversarial_start=0.5))
    early = recipe.train_step(recipe.draw(0, 2), Moment(0, 0.4))
    late = recipe.train_step(recipe.draw(1, 2), Moment(1, 0.6))
    assert {"l1", "coarse", "detail", "fine", "texture", "change"} < early.keys()
    assert late.keys() - early.keys() == {"discriminator", "adversarial", "matching"}
    assert float(early["change"]) > 0
    assert late["learning_rate"] < early["learning_rate"]
    for odd in (1, 3):  # a frame without a neighbour
        alone = recipe.train_step(recipe.draw(2, odd), Moment(2, 0.6))
        assert float(alone["change"]) == 0


@pytest.mark.parametrize("loss", ["coarse", "detail", "fine", "texture", "change"])
def test_every_loss_moves_the_weights_by_its_weight(crops: LowerFaceCrops, loss: str) -> None:
    weight = {"coarse": "l1_weight", "detail": "pyramid_weight"}.get(loss, f"{loss}_weight")
    names = ("l1", "pyramid", "fine", "texture", "change", "adversarial")
    silent = replace(TINY, **{f"{name}_weight": 0.0 for name in names})

    def moved(config: NeuralConfig) -> float:
        recipe = bar_recipe(crops, config)
        assert isinstance(recipe, CarriedRecipe)
        before = [part.detach().clone() for part in recipe.generator.parameters()]
        recipe.train_step(recipe.draw(0, 2), Moment(0, 0.9))
        after = [part.detach() for part in recipe.generator.parameters()]
        return sum(float((a - b).abs().sum()) for a, b in zip(after, before, strict=True))

    assert moved(silent) == 0
    assert moved(replace(silent, **{weight: 1.0})) > 0


def test_rendering_does_not_depend_on_the_batch(crops: LowerFaceCrops) -> None:
    generator, pictures = build_generator(TINY), bar_recipe(crops, TINY).pictures(ROWS[:5])
    together = render_crops(generator, pictures, batch=5)
    apart = render_crops(generator, pictures, batch=2)
    assert together.picture.shape == (5, 32, 32, 3)
    assert together.passed is not None
    assert apart.passed is not None
    assert together.passed.shape == (5, 32, 32)
    np.testing.assert_allclose(together.picture, apart.picture, atol=1e-5)
    np.testing.assert_allclose(together.passed, apart.passed, atol=1e-5)


def test_the_fast_form_renders_the_same_picture(crops: LowerFaceCrops) -> None:
    generator, pictures = build_generator(TINY), bar_recipe(crops, TINY).pictures(ROWS[:2])
    exact = render_crops(generator, pictures)
    fast = prepare_for_rendering(generator, CPU)
    assert next(fast.parameters()).dtype == choose_precision(CPU)
    assert next(generator.parameters()).dtype == torch.float32
    np.testing.assert_allclose(render_crops(fast, pictures).picture, exact.picture, atol=0.02)


def test_rendering_nothing_gives_nothing(crops: LowerFaceCrops) -> None:
    none = render_crops(build_generator(TINY), read_pictures(crops, ROWS[:0]))
    assert none.picture.shape == (0, 32, 32, 3)


def test_a_perfect_picture_scores_perfectly(crops: LowerFaceCrops) -> None:
    made = crops.real.astype(np.float32) / 255
    score = score_pictures(made, crops.real, crops.mask)
    assert score.psnr_db > 90
    assert score.sharpness_ratio == pytest.approx(1)
    assert score.ssim == pytest.approx(1)
    assert score.as_metrics("held_out")["held_out_l1"] == pytest.approx(0, abs=1e-6)


def test_psnr_is_that_of_the_mask(crops: LowerFaceCrops) -> None:
    made = crops.real.astype(np.float32) / 255 + 0.1
    made[crops.mask == 0] = 0
    assert score_pictures(made, crops.real, crops.mask).psnr_db == pytest.approx(20, abs=1e-3)


def test_structure_is_measured_as_in_the_exam() -> None:
    random = np.random.default_rng(0)
    real, made = random.integers(0, 256, (2, 40, 48, 3), np.uint8)
    mask = np.zeros((40, 48), bool)
    mask[10:30, 8:40] = True
    assert measure_structure(made, real, mask) == pytest.approx(ssim(real, made, mask), abs=1e-5)
    assert measure_structure(real, real, mask) == pytest.approx(1)


def test_a_generator_is_scored_a_few_frames_at_a_time(crops: LowerFaceCrops) -> None:
    asked: list[int] = []

    def read(rows: np.ndarray) -> Any:
        asked.append(len(rows))
        return read_pictures(crops, rows)

    generator = build_generator(TINY)
    found = score_generator(generator, read, ROWS, most=20)
    assert sum(asked) == 20
    assert max(asked) <= 8
    chosen = spread_frames(ROWS, 20)
    made = render_crops(generator, read_pictures(crops, chosen)).picture
    assert found == score_pictures(made, crops.real[chosen], crops.mask[chosen])


def test_spread_frames_keeps_both_ends() -> None:
    assert spread_frames(np.arange(100), 3).tolist() == [0, 50, 99]
    assert spread_frames(np.arange(2), 3).tolist() == [0, 1]


def test_contact_sheet_shows_real_synthetic_generated(crops: LowerFaceCrops) -> None:
    real, synthetic = crops.real[:2], crops.synthetic[:2]
    sheet = contact_sheet(real, synthetic, np.ones(real.shape, np.float32))
    assert sheet.shape == (2 * 36 + GAP_PX, 3 * 36 + GAP_PX, 3)
    np.testing.assert_array_equal(sheet[4:36, 4:36], real[0])
    np.testing.assert_array_equal(sheet[40:72, 40:72], synthetic[1])
    assert (sheet[4:36, 76:108] == 255).all()


def test_a_sheet_of_generated_frames_keeps_what_is_outside_the_mask(crops: LowerFaceCrops) -> None:
    sheet = draw_contact_sheet(build_generator(TINY), partial(read_pictures, crops), ROWS, 3)
    np.testing.assert_array_equal(sheet[4:12, 76:108], crops.real[0][:8])
