"""The loop that trainings share: killed and resumed, watched, on one process or two."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lipsync_learning_toys import Diary, KilledError, LineCourse, same, save_always

from metatalk.errors import ConfigError, MissingAssetError
from metatalk.fabric import open_fabric
from metatalk.lipsync.learning import loop
from metatalk.lipsync.learning.config import ExpertConfig, TeacherConfig
from metatalk.lipsync.learning.loop import Journal, run_course
from metatalk.stages.training_work import LoggedProgress, TrainingWork

QUICK = ExpertConfig(steps=12, checks=4, learning_rate=0.05, precision="full", workers=0)


def teach(
    diary: Diary, config: ExpertConfig = QUICK, die_at: int | None = None, seed: int = 3
) -> tuple[dict[str, torch.Tensor], dict[str, float], LineCourse]:
    course = LineCourse(config, die_at)
    weights, figures = run_course(course, seed, diary.journal())
    return weights, figures, course


@pytest.mark.parametrize("die_at", [0, 1, 3, 4, 11])
def test_a_training_that_was_killed_ends_as_one_that_was_not(
    die_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, figures, _ = teach(Diary())
    save_always(monkeypatch)
    diary = Diary()
    with pytest.raises(KilledError):
        teach(diary, die_at=die_at)
    torch.rand(5)
    resumed, again, course = teach(diary)
    assert course.drawn[0] == die_at
    assert same(whole, resumed)
    assert {**again, "seconds": 0} == {**figures, "seconds": 0}


def test_it_goes_on_from_what_was_kept_and_not_from_where_it_died(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    save_always(monkeypatch)
    diary = Diary()
    with pytest.raises(KilledError):
        teach(diary, die_at=3)
    kept, diary.saved_steps = diary.kept, []
    with pytest.raises(KilledError):
        teach(diary, die_at=8)
    diary.kept = kept
    _, _, course = teach(diary)
    assert course.drawn == list(range(3, 12))
    assert course.shares == [step / 12 for step in range(3, 12)]


def test_figures_of_the_last_check_live_through_a_kill(monkeypatch: pytest.MonkeyPatch) -> None:
    save_always(monkeypatch)
    diary = Diary()
    with pytest.raises(KilledError):
        teach(diary, die_at=5)
    state = diary.load()
    assert state is not None
    assert state["step"] == 5
    assert state["figures"] == {"bias": diary.figures[0][1]["held out/bias"]}
    state["seconds"] = 1000.0
    diary.save(state)
    _, figures, _ = teach(diary)
    assert 1000 < figures["seconds"] < 1100


def test_the_seed_decides() -> None:
    assert same(teach(Diary())[0], teach(Diary())[0])
    assert not same(teach(Diary())[0], teach(Diary(), seed=4)[0])


@pytest.mark.parametrize(
    ("steps", "checks", "expected"),
    [(12, 4, [3, 6, 9, 12]), (7, 5, [2, 4, 6, 7]), (5, 50, [1, 2, 3, 4, 5]), (10, 1, [10])],
)
def test_checks_come_as_often_as_is_said_and_at_the_end(
    steps: int, checks: int, expected: list[int]
) -> None:
    diary = Diary()
    config = dataclasses.replace(QUICK, steps=steps, checks=checks)
    _, figures, course = teach(diary, config)
    assert course.checked == expected
    assert diary.sheets == expected
    held = [step for step, told in diary.figures if "held out/bias" in told]
    assert held == expected
    assert figures["steps"] == steps
    assert figures["bias"] == diary.figures[-1][1]["held out/bias"]


def test_every_step_is_told_and_every_tenth_is_drawn() -> None:
    diary = Diary()
    teach(diary, dataclasses.replace(QUICK, steps=25, checks=1))
    assert [(done, total) for done, total, _ in diary.told] == [(k, 25) for k in range(1, 26)]
    assert all(note.startswith("line ") for *_, note in diary.told)
    assert [step for step, told in diary.figures if "line" in told] == [10, 20]
    assert diary.closed == 1


def test_curves_reach_the_disk_even_if_it_fails() -> None:
    diary = Diary()
    with pytest.raises(KilledError):
        teach(diary, die_at=2)
    assert diary.closed == 1


def test_losses_are_told_smoothed(monkeypatch: pytest.MonkeyPatch) -> None:
    losses = iter([1.0, 0.0, 0.0])
    monkeypatch.setattr(LineCourse, "learn", lambda *_: {"line": next(losses)})
    diary = Diary()
    teach(diary, dataclasses.replace(QUICK, steps=3))
    assert [note for *_, note in diary.told] == ["line 1.000", "line 0.980", "line 0.960"]


class Clock:
    """A step takes ten seconds, a save as long as it is told."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.mark.parametrize(("save_s", "expected"), [(0.0, [2, 4, 6, 8, 10]), (3.0, [2, 8])])
def test_states_are_kept_more_rarely_the_longer_it_takes(
    save_s: float, expected: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, diary = Clock(), Diary()
    monkeypatch.setattr(loop, "time", clock)
    learn, save = LineCourse.learn, diary.save

    def slow_learn(self: LineCourse, batch: torch.Tensor, share: float) -> dict[str, float]:
        clock.now += 10
        return learn(self, batch, share)

    def slow_save(state: dict[str, Any]) -> None:
        clock.now += save_s
        save(state)

    monkeypatch.setattr(LineCourse, "learn", slow_learn)
    monkeypatch.setattr(diary, "save", slow_save)
    _, figures, _ = teach(diary)
    assert diary.saved_steps == expected  # never after the last step, whose result is handed over
    assert figures["seconds"] == 120 + save_s * len(expected)


def test_a_finished_training_is_not_begun_again() -> None:
    diary = Diary()
    diary.save({"result": {"weight": torch.ones(2)}, "figures": {"bias": 1.5}})
    weights, figures, course = teach(diary)
    assert same(weights, {"weight": torch.ones(2)})
    assert figures == {"bias": 1.5}
    assert course.drawn == []
    assert diary.told == []


def test_without_fabric_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(MissingAssetError, match="Fabric") as told:
        teach(Diary())
    assert "pip install" in told.value.remedy


def test_more_gpus_than_there_are_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(MissingAssetError, match=r"teacher\.devices is 2, but there are 1") as told:
        open_fabric("teacher", 2, "full", "cuda")
    assert "teacher.devices" in told.value.remedy


@pytest.mark.parametrize(
    ("precision", "able", "expected"),
    [
        ("full", True, "32-true"), ("mixed", False, "bf16-mixed"),
        ("auto", True, "bf16-mixed"), ("auto", False, "32-true"),
    ],
)  # fmt: skip
def test_precision_follows_the_device_unless_it_is_said(
    precision: Any, able: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dtype = torch.bfloat16 if able else torch.float32
    monkeypatch.setattr("metatalk.fabric.choose_precision", lambda _: dtype)
    fabric = open_fabric("expert", 1, precision, "cpu")
    assert fabric._precision.precision == expected


@pytest.mark.parametrize("kind", [ExpertConfig, TeacherConfig])
@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": 0}, {"batch": 0}, {"checks": 0}, {"learning_rate": 0.0}, {"held_out": 0.0},
        {"held_out": 1.0}, {"evenness": -0.1}, {"evenness": 1.5},
        {"workers": -1}, {"devices": 0}, {"batch": 9, "devices": 2},
    ],
)  # fmt: skip
def test_settings_of_either_training_that_cannot_be_are_refused(
    kind: Callable[..., Any], wrong: dict[str, Any]
) -> None:
    with pytest.raises(ConfigError, match=r"(expert|teacher)\.") as told:
        kind(**wrong)
    assert told.value.remedy


@pytest.mark.parametrize(
    "wrong",
    [
        {"group": 0}, {"least_shift": 0}, {"contrast_weight": -1.0}, {"cosine_weight": -0.1},
        {"contrast_weight": 0.0, "cosine_weight": 0.0}, {"batch": 12}, {"batch": 8, "devices": 2},
        {"batch": 1, "group": 1}, {"batch": 2, "group": 1, "devices": 2},
    ],
)  # fmt: skip
def test_settings_of_the_expert_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="expert") as told:
        ExpertConfig(**wrong)
    assert told.value.remedy


@pytest.mark.parametrize(
    "wrong",
    [
        {"reference_apart": 0}, {"sync_weight": -0.1}, {"sync_weight": 1.0},
        {"adversary_weight": 1.0}, {"sync_weight": 0.5, "adversary_weight": 0.5},
        {"average": 1.0}, {"average": -0.1}, {"adversary_after": 1.1}, {"mouth_weight": 0.0},
        {"sync_from": -1.0},
    ],
)  # fmt: skip
def test_settings_of_the_generator_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"teacher\.") as told:
        TeacherConfig(**wrong)
    assert told.value.remedy


def test_a_journal_of_a_folder_can_be_sent_to_another_process(tmp_path: Path) -> None:
    import pickle

    work = TrainingWork(tmp_path, LoggedProgress("expert"))
    sent = pickle.loads(pickle.dumps(work.journal()))
    assert isinstance(sent, Journal)
    sent.save({"step": 3})
    assert work.load() == {"step": 3}
