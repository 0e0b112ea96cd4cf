"""Clips prepared side by side: what the death of a process costs."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

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

    [done] = prepare_side_by_side(letters[:1], tmp_path, Preparation(), 2, kill_all)
    assert "died" in str(done.error)
    assert done.again


def test_a_run_that_is_ended_takes_its_processes_with_it(
    letters: list[Source], tmp_path: Path
) -> None:
    def interrupt(frames: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(prepare_side_by_side(letters, tmp_path, Preparation(), 2, interrupt))
    assert multiprocessing.active_children() == []
