"""Clips prepared side by side: what the death of a process costs."""

from __future__ import annotations

import multiprocessing
import os
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from metatalk.stages.lipsync_corpus import Source
from metatalk.stages.lipsync_pool import prepare_side_by_side
from metatalk.stages.lipsync_tracks import Preparation


@pytest.fixture
def letters(tmp_path: Path) -> list[Source]:
    """Clips that take no time, because they are none."""
    (tmp_path / "letter.mp4").write_text("Dear Sir or Madam")
    path = str(tmp_path / "letter.mp4")
    return [Source(name, name * 20, path) for name in "12"]


def test_a_process_that_dies_costs_no_clip(letters: list[Source], tmp_path: Path) -> None:
    killed: list[int] = []

    def kill_one(frames: int) -> None:
        children = multiprocessing.active_children()
        if children and not killed:
            killed.append(children[0].pid or 0)
            children[0].kill()

    before = dict(os.environ)
    done = list(prepare_side_by_side(letters, tmp_path, Preparation(), 2, kill_one))
    assert killed
    assert sorted(source.name for source in done) == ["1", "2"]
    for source in done:
        assert "is not a video" in str(source.error)
    assert multiprocessing.active_children() == []
    assert dict(os.environ) == before


def test_a_clip_that_kills_every_process_is_named(letters: list[Source], tmp_path: Path) -> None:
    def kill_all(frames: int) -> None:
        for child in multiprocessing.active_children():
            child.kill()  # says nothing where the pool has just buried the process

    endless = tmp_path / "endless.mp4"
    os.mkfifo(endless)  # nobody ever writes into it: no process is done before it is killed
    clip = replace(letters[0], path=str(endless))
    [done] = prepare_side_by_side([clip], tmp_path, Preparation(), 2, kill_all)
    assert "died" in str(done.error)
    assert done.again


def test_a_process_that_dies_while_it_counts_holds_nobody_up(
    letters: list[Source], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes the counter's lock with it, and nobody gives that back."""
    context = multiprocessing.get_context("spawn")
    make = context.Value

    def held(*given: Any) -> Any:
        made = make(*given)
        holder = threading.Thread(target=made.get_lock().acquire)
        holder.start()
        holder.join()
        return made

    monkeypatch.setattr(context, "Value", held)
    done: list[Source] = []
    told: list[int] = []
    work = prepare_side_by_side(letters, tmp_path, Preparation(), 2, told.append)
    run = threading.Thread(target=lambda: done.extend(work), daemon=True)
    run.start()
    run.join(300)
    assert sorted(source.name for source in done) == ["1", "2"]
    assert set(told) == {0}


def test_a_run_that_is_ended_takes_its_processes_with_it(
    letters: list[Source], tmp_path: Path
) -> None:
    def interrupt(frames: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(prepare_side_by_side(letters, tmp_path, Preparation(), 2, interrupt))
    assert multiprocessing.active_children() == []
