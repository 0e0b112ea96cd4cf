"""Weights that are trained say the terms that their footage has now, whatever it was before."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from lipsync_learning_toys import write_corpus
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from metatalk.config import Config
from metatalk.errors import ConfigError
from metatalk.lipsync.learning.config import ExpertConfig, TeacherConfig
from metatalk.lipsync.learning.loop import Course, Figures, Journal
from metatalk.lipsync.syncnet import ColourExpert
from metatalk.lipsync.wav2lip import QualityDiscriminator
from metatalk.stages import lipsync_training as subject
from metatalk.stages.lipsync_training import train_expert, train_generator
from metatalk.workspace.ledger import read_entries

LARGE = 0.3  # so that little footage can be divided
CONFIG = Config(
    expert=ExpertConfig(steps=1, workers=0, held_out=LARGE),
    teacher=TeacherConfig(steps=1, workers=0, held_out=LARGE),
)
FREE, RESTRICTED = "MIT; commercial: yes", "research; commercial: no"


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Nothing is learned; what would have been is counted."""
    done: list[str] = []

    def run(course: Course, seed: int, journal: Journal, accelerator: str) -> object:
        done.append(course.section)
        journal.keep("critic", {"c": torch.zeros(1)})
        weights: dict[str, Tensor] = {"w": torch.ones(2)}
        figures: Figures = {"accuracy": 0.5}
        return weights, figures

    monkeypatch.setattr(subject, "run_course", run)
    return done


def metadata(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as file:
        return dict(file.metadata())


def two_clips(folder: Path) -> Path:
    return write_corpus(folder / "corpus", {"one.mp4": "", "two.mp4": ""})


def state_terms(corpus: Path, terms: str) -> None:
    index = json.loads((corpus / "corpus.json").read_text())
    for source in index["sources"]:
        source["terms"] = terms
        source["commercial"] = "yes" if terms == FREE else "no"
    (corpus / "corpus.json").write_text(json.dumps(index))


@pytest.mark.parametrize(("before", "after"), [(RESTRICTED, FREE), (FREE, RESTRICTED)])
def test_terms_stated_later_reach_weights_and_ledger(
    before: str, after: str, tmp_path: Path, trainings: list[str]
) -> None:
    corpus, out = (
        write_corpus(tmp_path / "corpus", {"one.mp4": "", "two.mp4": ""}),
        tmp_path / "e.safetensors",
    )
    answers = {FREE: ("true", "yes"), RESTRICTED: ("false", "no")}
    for terms in (before, after, after):
        state_terms(corpus, terms)
        told = train_expert(corpus, out, CONFIG)
        in_file, in_ledger = answers[terms]
        for path in (out, tmp_path / "e.safetensors.work" / "critic.safetensors"):
            assert metadata(path)["commercial"] == in_file
        ledger = read_entries(tmp_path / "e.safetensors.ledger.json")
        assert {entry.commercial for entry in ledger} == {in_ledger}
        assert told["accuracy"] == 0.5
    assert trainings == ["expert"]
    assert load_file(out)["w"].tolist() == [1, 1]
    assert json.loads(metadata(out)["figures"]) == {"accuracy": 0.5}


def test_a_trainings_own_leavings_are_no_start_for_it(tmp_path: Path, trainings: list[str]) -> None:
    corpus, expert = (
        write_corpus(tmp_path / "corpus", {"one.mp4": "", "two.mp4": ""}),
        tmp_path / "e.pth",
    )
    torch.save(ColourExpert().state_dict(), expert)
    critic = tmp_path / "g.safetensors.work" / "critic.safetensors"
    critic.parent.mkdir()
    save_file(QualityDiscriminator().state_dict(), critic)
    with pytest.raises(ConfigError, match="lies in the folder of the training"):
        train_generator(corpus, expert, tmp_path / "g.safetensors", CONFIG, critic=critic)
    train_generator(corpus, expert, tmp_path / "h.safetensors", CONFIG, critic=critic)
    assert trainings == ["teacher"]
