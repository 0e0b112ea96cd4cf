"""What a training shows while it runs, what it keeps, and when it stops early."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from neural_toys import TINY, Audience, bar_mouth, through_a_file, train_bars

from metatalk.neural import training
from metatalk.neural.batches import LowerFaceCrops
from metatalk.neural.carried_recipe import CarriedRecipe
from metatalk.neural.config import NeuralConfig
from metatalk.neural.scoring import RenderScore
from metatalk.neural.training import plan_steps
from metatalk.neural.watching import Meter, describe_time_left


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


def score(sharpness: float) -> RenderScore:
    return RenderScore(psnr_db=30.0, l1=0.0, ssim=1.0, sharpness_ratio=sharpness)


def stub_scores(monkeypatch: pytest.MonkeyPatch, sharpness: list[float]) -> None:
    """Let the checks, one a step of ten, find these; the last is that of the result."""
    found = iter([score(value) for value in sharpness])

    def stub(generator: Any, read: Any, rows: Any, most: int = 64) -> RenderScore:
        return next(found) if most == training.CHECK_FRAMES else score(1.0)

    monkeypatch.setattr(training, "score_generator", stub)


def test_a_training_that_gets_no_better_stops_and_keeps_the_best(
    crops: LowerFaceCrops, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    config = replace(TINY, steps=10, patience=0.3)
    stub_scores(monkeypatch, [0.2, 0.5, 0.9, 0.5, 0.5, 2.0])
    result = train_bars(crops, config)
    assert result.metrics["steps"] == 6
    assert result.metrics["best_step"] == 3
    assert result.metrics["stopped_early"] == 1
    assert "stopped early at step 6: held-out frames were best at step 3" in caplog.text
    stub_scores(monkeypatch, [1.0] * 10)
    states: list[Any] = []

    def stop_at_three(done: int, total: int | None, note: str = "", /) -> None:
        if done == 3:
            states.append({k: v.clone() for k, v in recipes[0].average.state_dict().items()})

    recipes: list[CarriedRecipe] = []

    class Noted(CarriedRecipe):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            recipes.append(self)

    monkeypatch.setattr(training, "CarriedRecipe", Noted)
    train_bars(crops, replace(config, patience=0.0), progress=stop_at_three)
    for name, value in states[0].items():
        torch.testing.assert_close(result.state[name], value, msg=name)


def test_a_training_that_gets_better_in_time_goes_on(
    crops: LowerFaceCrops, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(TINY, steps=10, patience=0.3)
    stub_scores(monkeypatch, [0.5, 0.2, 0.2, 0.6, 0.2, 0.2, 0.7, 0.2, 0.2, 0.8])
    metrics = train_bars(crops, config).metrics
    assert (metrics["steps"], metrics["best_step"], metrics["stopped_early"]) == (10, 10, 0)


def test_a_training_that_was_stopped_early_is_not_taken_up_again(
    crops: LowerFaceCrops, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, states = replace(TINY, steps=10, patience=0.2), []
    stub_scores(monkeypatch, [0.9, 0.5, 0.5])
    first = train_bars(crops, config, save=states.append)
    again = train_bars(crops, config, load=lambda: through_a_file(states[-1]))
    assert again.metrics["steps"] == first.metrics["steps"] == 3
    torch.testing.assert_close(again.state, first.state)


def test_without_patience_the_last_weights_are_kept(
    crops: LowerFaceCrops, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub_scores(monkeypatch, [0.9, *[0.1] * 9])
    metrics = train_bars(crops, replace(TINY, steps=10)).metrics
    assert (metrics["best_step"], metrics["stopped_early"]) == (10, 0)


def test_a_clip_too_short_to_hold_frames_out_is_trained_to_the_end() -> None:
    audience, config = Audience(), replace(TINY, patience=0.1)
    result = train_bars(bar_mouth(3), config, watcher=audience)
    assert result.metrics["steps"] == result.metrics["best_step"] == TINY.steps
    assert "held_out_psnr_db" not in result.metrics
    assert "learned/psnr_db" in audience.figures
    assert "held_out/psnr_db" not in audience.figures


def test_blur_and_noise_count_against_likeness() -> None:
    merits = [score(value).merit_db() for value in (0.25, 0.5, 1.0, 2.0)]
    assert merits == pytest.approx([27, 28.5, 30, 28.5])
    assert score(0.0).merit_db() < 20


def test_passes_bound_the_steps_of_short_clips() -> None:
    config = NeuralConfig(steps=1000, passes=20)
    assert plan_steps(config, frames=100, batch=4) == 500
    assert plan_steps(config, frames=10_000, batch=4) == 1000
    assert plan_steps(replace(config, passes=0), frames=1, batch=4) == 1000


def test_passes_end_a_training(crops: LowerFaceCrops) -> None:
    metrics = train_bars(crops, replace(TINY, passes=1, batch=8)).metrics
    assert metrics["steps"] == -(-metrics["train_frames"] // 8)


def test_those_who_watch_are_shown_losses_scores_and_sheets(crops: LowerFaceCrops) -> None:
    audience = Audience()
    config = replace(TINY, steps=10, adversarial_start=0.5)
    result = train_bars(crops, config, watcher=audience)
    assert audience.began == [0]
    steps = lambda name: [step for step, _ in audience.figures[name]]  # noqa: E731
    assert steps("train/l1") == steps("train/learning_rate") == list(range(1, 11))
    assert steps("train/steps_per_second") == list(range(1, 11))
    assert steps("train/adversarial") == steps("train/discriminator") == list(range(6, 11))
    assert steps("held_out/psnr_db") == steps("held_out/ssim") == list(range(1, 11))
    assert [step for step, _ in audience.sheets] == [*range(1, 11), 10]
    last = audience.figures["held_out/psnr_db"][-1][1]
    assert last == pytest.approx(result.metrics["held_out_psnr_db"], abs=0.01)


def test_a_resumed_training_is_checked_when_it_would_have_been(crops: LowerFaceCrops) -> None:
    states: list[Any] = []
    config = replace(TINY, steps=30, checkpoint_seconds=0.0)
    train_bars(crops, config, save=states.append)
    audience, at_four = Audience(), through_a_file(states[3])
    train_bars(crops, config, load=lambda: at_four, watcher=audience)
    assert [step for step, _ in audience.figures["held_out/psnr_db"]] == list(range(6, 31, 3))


def test_curves_have_means_at_their_points() -> None:
    meter = Meter()
    meter.note({"l1": 1.0})
    assert meter.report(0.0)["train/l1"] == 1.0
    meter.note({"l1": 2.0})
    assert meter.report(0.001) == {}
    meter.note({"l1": 4.0, "other": 1.0})
    shown = meter.report(0.0026)
    assert (shown["train/l1"], shown["train/other"]) == (3.0, 1.0)
    assert meter.report(0.9) == {}  # nothing was noted


def test_the_note_says_how_long_it_will_take(crops: LowerFaceCrops) -> None:
    notes: list[str] = []

    def progress(done: int, total: int | None, note: str = "", /) -> None:
        assert total == TINY.steps
        notes.append(note)

    train_bars(crops, TINY, progress=progress)
    assert notes[0].startswith("L1 0.")
    assert notes[-1].endswith(", 0:00 left")
    assert describe_time_left(90, 0.5) == "1:30 left"
    assert describe_time_left(7200, 0.25) == "6 h 00 left"
