"""Processes beside the one that trains: readers of windows, and a second that trains as well."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lipsync_learning_toys import Diary, LineCourse, numbered_track, same

from metatalk.lipsync.learning.config import ExpertConfig, JitterConfig
from metatalk.lipsync.learning.loop import run_course
from metatalk.lipsync.learning.windows import Draw, Span, batches
from metatalk.stages import training_work
from metatalk.stages.training_work import LoggedProgress, TrainingWork

QUICK = ExpertConfig(steps=4, checks=1, batch=16, learning_rate=0.05, precision="full", workers=0)


def test_readers_in_processes_of_their_own_draw_the_same() -> None:
    span = Span(numbered_track(60), 0, 0, 60)
    draw = Draw([span], 2, apart=3, jitter=JitterConfig()).teacher_batch
    alone = list(batches(draw, range(2, 4), seed=1))
    helped = list(batches(draw, range(2, 4), seed=1, workers=1))
    assert len(helped) == 2
    for one, other in zip(alone, helped, strict=True):
        for name, value in vars(one).items():
            assert torch.equal(value, getattr(other, name)), name


def test_two_processes_teach_one_network(tmp_path: Path) -> None:
    config = dataclasses.replace(QUICK, devices=2)
    work = TrainingWork(tmp_path, LoggedProgress("expert"))
    weights, figures = run_course(LineCourse(config), 3, work.journal())
    assert figures["steps"] == 4
    assert "bias" in figures
    kept = work.load()  # what processes leave for the one that started them
    assert same(kept["result"], weights)
    again, _ = run_course(LineCourse(config), 3, work.journal())  # as if the writing had failed
    assert same(again, weights)
    alone, _ = run_course(LineCourse(QUICK), 3, Diary().journal())
    assert not same(alone, weights)  # the other process's windows were learned from as well
    assert weights["1.num_batches_tracked"] == 4
    assert (tmp_path / "contact_sheet.png").is_file()
    assert len(list((tmp_path / "logs").iterdir())) == 1


def test_progress_of_a_spawned_process_is_logged_now_and_then(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(np.arange(0.0, 10000, 2))
    own = SimpleNamespace(monotonic=lambda: float(next(clock)))  # others may look at theirs
    monkeypatch.setattr(training_work, "time", own)
    told = training_work.LoggedProgress("expert")
    with caplog.at_level(logging.INFO):
        for done in range(60, 101):  # gone on with after 59 steps
            told(done, 100, "loss 0.5")
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0].startswith("expert: 60 of 100 steps, loss 0.5")
    assert lines[-1] == "expert: 100 of 100 steps, loss 0.5, 0 s left"
    assert len(lines) == 9
    left_s = float(lines[4].split(", ")[-1].split()[0])  # step 80, the fifth look at the clock
    assert left_s == pytest.approx(20 * (5 * 2) / 21, abs=2)
