"""The folder beside a training: what is kept, what is forgotten, what is finished."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import safe_open

from metatalk.stages.stage import no_progress
from metatalk.stages.training_work import TrainingWork

METRICS = {"accuracy": 0.75, "steps": 3.0}


def begun(folder: Path, seed: int = 0) -> TrainingWork:
    work = TrainingWork(folder, no_progress)
    work.begin({"seed": seed})
    return work


def test_a_result_of_the_same_cause_is_known_until_either_changes(tmp_path: Path) -> None:
    output = tmp_path / "weights"
    assert begun(tmp_path).finished(output) is None
    output.write_bytes(b"weights")
    assert begun(tmp_path).finished(output) is None
    begun(tmp_path).end(output, METRICS)
    assert begun(tmp_path).finished(output) == METRICS
    output.write_bytes(b"other weights")
    assert begun(tmp_path).finished(output) is None
    output.write_bytes(b"weights")
    assert begun(tmp_path, seed=1).finished(output) is None
    assert begun(tmp_path).finished(output) is None


def test_the_end_drops_the_state(tmp_path: Path) -> None:
    work, output = begun(tmp_path), tmp_path / "weights"
    output.write_bytes(b"weights")
    work.save({"step": 3})
    assert begun(tmp_path).load() == {"step": 3}
    work.end(output, METRICS)
    assert begun(tmp_path).load() is None


def test_what_else_was_trained_says_what_it_is_made_of(tmp_path: Path) -> None:
    terms = {"terms": "MIT", "commercial": "true"}
    work = TrainingWork(tmp_path, no_progress, terms)
    work.begin({"seed": 0})
    work.journal().keep("critic", {"a": torch.ones(2)})
    with safe_open(tmp_path / "critic.safetensors", "pt") as file:
        assert file.metadata() == terms
        assert file.get_tensor("a").tolist() == [1, 1]
    begun(tmp_path, seed=1)  # another training
    assert not (tmp_path / "critic.safetensors").exists()


def test_what_else_was_trained_is_restated(tmp_path: Path) -> None:
    old = TrainingWork(tmp_path, no_progress, {"terms": "unknown"})
    old.begin({"seed": 0})
    old.keep("critic", {"a": torch.ones(2)})
    TrainingWork(tmp_path, no_progress, {"terms": "MIT"}).restate()
    with safe_open(tmp_path / "critic.safetensors", "pt") as file:
        assert file.metadata() == {"terms": "MIT"}
        assert file.get_tensor("a").tolist() == [1, 1]
