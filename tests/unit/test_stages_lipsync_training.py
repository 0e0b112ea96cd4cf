"""From a prepared corpus to weights: what is kept, gone on with, refused and said."""

from __future__ import annotations

import errno
import importlib
import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from lipsync_learning_toys import (
    STILL,
    KilledError,
    make_quick,
    make_small,
    same,
    save_always,
    write_corpus,
)
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from metatalk.cli import main
from metatalk.config import Config
from metatalk.errors import (
    BusyActorError,
    ConfigError,
    FittingError,
    MediaError,
    MetatalkError,
    MissingAssetError,
    TermsError,
)
from metatalk.lipsync.checkpoints import load_network
from metatalk.lipsync.learning import generator as learning
from metatalk.lipsync.learning.config import ExpertConfig, TeacherConfig
from metatalk.lipsync.learning.expert import ExpertCourse
from metatalk.lipsync.syncnet import ColourExpert
from metatalk.lipsync.wav2lip import Wav2Lip
from metatalk.stages.lipsync_training import train_expert, train_generator
from metatalk.workspace.actor import ActorFolder

FREE, RESTRICTED = "CC-BY-4.0 of ours", "CC-BY-NC-4.0 of theirs"
EXPERT = ExpertConfig(
    steps=3, batch=4, group=2, checks=1, jitter=STILL, workers=0, precision="full", held_out=0.3
)
TEACHER = TeacherConfig(
    steps=3, batch=1, checks=1, jitter=STILL, workers=0, precision="full", held_out=0.3
)
CONFIG = Config(expert=EXPERT, teacher=TEACHER, device="cpu")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write_corpus(tmp_path / "corpus", {"one.mp4": FREE, "two.mp4": FREE})


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    make_small(monkeypatch)
    monkeypatch.setattr(learning, "_CHECK_BATCHES", 1)
    monkeypatch.setattr(learning, "_CHECK_WINDOWS", 1)


def metadata(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as file:
        return dict(file.metadata())


def everything(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def die_at(
    step: int, patch: pytest.MonkeyPatch, error: Callable[[], Exception] = KilledError
) -> None:
    """Let the expert's training fail at its step number `step` (from 0)."""
    learn, steps = ExpertCourse.learn, iter(range(1000))

    def dying(self: ExpertCourse, *given: Any) -> dict[str, float]:
        if next(steps) == step:
            raise error()
        return learn(self, *given)

    patch.setattr(ExpertCourse, "learn", dying)


def count_steps(patch: pytest.MonkeyPatch) -> list[float]:
    """Shares of the steps that are taken from now on."""
    learn, shares = ExpertCourse.learn, []

    def counting(self: ExpertCourse, batch: Any, share: float) -> dict[str, float]:
        shares.append(share)
        return learn(self, batch, share)

    patch.setattr(ExpertCourse, "learn", counting)
    return shares


def test_an_expert_and_a_generator_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_quick(monkeypatch)
    monkeypatch.setattr(learning, "_CHECK_BATCHES", 1)
    monkeypatch.setattr(learning, "_CHECK_WINDOWS", 1)
    clips = write_corpus(tmp_path / "corpus", {"one.mp4": FREE, "two.mp4": RESTRICTED})
    expert, generator = tmp_path / "out" / "e.safetensors", tmp_path / "out" / "g.safetensors"
    quick = "{0}.steps=3 {0}.workers=0 {0}.precision=full {0}.checks=1 {0}.held_out=0.3 device=cpu"
    words = [*quick.format("expert").split(), "expert.batch=4", "expert.group=2", "--json"]
    assert main(["lipsync", "train-expert", str(clips), "-o", str(expert), *words]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["steps"] == 3
    assert told["tracks"] == 2
    assert told["footage_s"] == 6.4
    assert 0 <= told["accuracy"] <= 1
    words = [*quick.format("teacher").split(), "teacher.batch=1", "--json"]
    line = ["--expert", str(expert), "-o", str(generator), *words]
    assert main(["lipsync", "train-generator", str(clips), *line]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {"L1", "psnr", "sync", "sync_real", "sync_weight"} < set(told)
    for kind, path in ((ColourExpert, expert), (Wav2Lip, generator)):
        network, record = load_network(kind, path)
        network.load_state_dict(load_file(path), strict=True)
        assert FREE in record.terms
        assert RESTRICTED in record.terms
        assert not record.commercial
        assert metadata(path)["commercial"] == "false"
        assert json.loads(metadata(path)["figures"])["steps"] == 3
    assert "3 sources" in metadata(generator)["terms"]  # two clips, and the expert
    wanted = {f"{name}.safetensors{end}" for name in "eg" for end in ("", ".ledger.json", ".work")}
    assert {path.name for path in (tmp_path / "out").iterdir()} == wanted
    work = {path.name for path in (tmp_path / "out" / "g.safetensors.work").iterdir()}
    kept = "cause.json contact_sheet.png critic.safetensors finished.json logs"
    assert work - {".lock"} == set(kept.split())


def test_what_is_made_of_free_clips_is_free(corpus: Path, tmp_path: Path, small: None) -> None:
    metrics = train_expert(
        corpus, tmp_path / "e.safetensors", replace(CONFIG, commercial_safe=True)
    )
    told = metadata(tmp_path / "e.safetensors")
    assert told["commercial"] == "true"
    assert told["made_with"] == "metatalk"
    refuse = lambda name: pytest.fail(f"{name} is no JSON")  # noqa: E731
    figures = json.loads(told["figures"], parse_constant=refuse)
    assert metrics == {**figures, "tracks": 2, "footage_s": 6.4}


def test_terms_that_nobody_stated_stay_unknown(tmp_path: Path, small: None) -> None:
    clips = write_corpus(tmp_path / "corpus", {"one.mp4": ""})
    train_expert(clips, tmp_path / "e.safetensors", CONFIG)
    told = metadata(tmp_path / "e.safetensors")
    assert "commercial" not in told
    assert "not stated" in told["terms"]


def test_what_was_killed_goes_on(
    corpus: Path, tmp_path: Path, small: None, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    told = train_expert(corpus, tmp_path / "whole.safetensors", CONFIG)
    save_always(monkeypatch)
    out = tmp_path / "e.safetensors"
    with monkeypatch.context() as patch:
        die_at(2, patch)
        with pytest.raises(KilledError):
            train_expert(corpus, out, CONFIG)
    assert not out.exists()
    assert (tmp_path / "e.safetensors.work" / "checkpoint.pt").is_file()
    shares = count_steps(monkeypatch)
    faster = replace(CONFIG, expert=replace(EXPERT, workers=3))  # how fast is no other training
    monkeypatch.setattr(ExpertCourse, "batches", _without_workers(ExpertCourse.batches))
    with caplog.at_level(logging.WARNING):
        train_expert(corpus, out, faster)
    assert shares == [2 / 3]
    assert not caplog.records
    assert same(load_file(out), load_file(tmp_path / "whole.safetensors"))
    assert train_expert(corpus, tmp_path / "whole.safetensors", CONFIG) == told
    assert shares == [2 / 3]  # what is finished is not done again


def _without_workers(batches: Callable[..., Any]) -> Callable[..., Any]:
    def drawn(self: ExpertCourse, steps: range) -> Any:
        self.config = replace(self.config, workers=0)
        return batches(self, steps)

    return drawn


def changed_settings(_: Path) -> Config:
    return replace(CONFIG, expert=replace(EXPERT, learning_rate=1e-5))


def changed_seed(_: Path) -> Config:
    return replace(CONFIG, seed=1)


def changed_corpus(corpus: Path) -> Config:
    content = json.loads((corpus / "corpus.json").read_text())
    content["sources"][0]["digest"] = "f" * 64
    (corpus / "corpus.json").write_text(json.dumps(content))
    return CONFIG


@pytest.mark.parametrize("change", [changed_settings, changed_seed, changed_corpus])
def test_another_training_begins_anew_and_says_so(
    change: Callable[[Path], Config], corpus: Path, tmp_path: Path, small: None,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    save_always(monkeypatch)
    with monkeypatch.context() as patch:
        die_at(2, patch)
        with pytest.raises(KilledError):
            train_expert(corpus, tmp_path / "e.safetensors", CONFIG)
    logs = tmp_path / "e.safetensors.work" / "logs"
    old = {path.read_bytes() for path in logs.iterdir()} if logs.is_dir() else set()
    shares = count_steps(monkeypatch)
    with caplog.at_level(logging.WARNING):
        train_expert(corpus, tmp_path / "e.safetensors", change(corpus))
    assert shares == [0, 1 / 3, 2 / 3]
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path / 'e.safetensors.work'}: settings or footage changed; beginning anew"
    ]
    assert not old & {path.read_bytes() for path in logs.iterdir()}


def test_weights_to_go_on_from_are_part_of_the_cause(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_quick(monkeypatch)
    start = tmp_path / "start.safetensors"
    state = ColourExpert().state_dict()
    save_file(state, start, {"terms": "ours", "commercial": "true"})
    train_expert(corpus, tmp_path / "e.safetensors", CONFIG, start)
    left = load_file(tmp_path / "e.safetensors")
    name = "face_encoder.0.conv_block.0.weight"  # the quick networks do not use this layer
    assert torch.equal(left[name], state[name])
    assert "3 sources" in metadata(tmp_path / "e.safetensors")["terms"]
    cause = json.loads((tmp_path / "e.safetensors.work" / "cause.json").read_text())
    assert cause["start"]
    assert "workers" not in cause["settings"]
    with pytest.raises(MediaError, match="to work from"):
        train_expert(corpus, start, CONFIG, start)


@pytest.mark.parametrize("which", ["clip", "start", "expert"])
def test_what_is_restricted_is_refused_without_a_trace(
    which: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clips = write_corpus(tmp_path / "corpus", {"one.mp4": RESTRICTED if which == "clip" else FREE})
    weights = tmp_path / "weights.safetensors"
    save_file({"x": torch.zeros(1)}, weights, {"terms": "theirs", "commercial": "false"})
    command = "train-generator" if which == "expert" else "train-expert"
    more = {"clip": [], "start": ["--start", str(weights)], "expert": ["--expert", str(weights)]}
    out = ["-o", str(tmp_path / "new" / "e.safetensors"), "--commercial-safe"]
    before = everything(tmp_path)
    assert main(["lipsync", command, str(clips), *more[which], *out]) == 2
    assert "not commercially safe: 1 of" in capsys.readouterr().err
    assert everything(tmp_path) == before


def test_a_setting_may_ask_for_safety_too(tmp_path: Path) -> None:
    clips = write_corpus(tmp_path / "corpus", {"one.mp4": ""})
    with pytest.raises(TermsError, match=r"one\.mp4"):
        train_expert(clips, tmp_path / "e.safetensors", replace(CONFIG, commercial_safe=True))


def test_without_fabric_it_says_how_to_get_it(
    corpus: Path, tmp_path: Path, small: None, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    find = importlib.import_module

    def missing(name: str, *given: Any) -> Any:
        if name == "lightning_fabric":
            raise ModuleNotFoundError(name)
        return find(name, *given)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(MissingAssetError, match="Fabric"):
        train_expert(corpus, tmp_path / "e.safetensors", CONFIG)
    line = ["lipsync", "train-expert", str(corpus), "expert.held_out=0.3"]
    assert main([*line, "-o", str(tmp_path / "e")]) == 2
    assert "remedy: pip install" in capsys.readouterr().err


@pytest.mark.parametrize(
    "word",
    ["expert.batch=12", "expert.steps=0", "expert.nonsense=1", "expert.jitter.zoom=0.5",
     "teacher.sync_weight=1.0", "expert.learning_rate=nan", "expert.precision=half"],
)  # fmt: skip
def test_bad_settings_are_refused_before_anything_is_made(
    word: str, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = everything(tmp_path)
    out = str(tmp_path / "new" / "e.safetensors")
    assert main(["lipsync", "train-expert", str(corpus), word, "-o", out]) == 2
    assert "remedy:" in capsys.readouterr().err
    assert everything(tmp_path) == before


def test_what_is_not_there_is_named(tmp_path: Path, corpus: Path) -> None:
    before = everything(tmp_path)
    with pytest.raises(MissingAssetError, match="no such folder"):
        train_expert(tmp_path / "nothing", tmp_path / "new" / "e.safetensors", CONFIG)
    with pytest.raises(MissingAssetError, match=r"no\.pth"):
        train_generator(corpus, tmp_path / "no.pth", tmp_path / "new" / "g.safetensors", CONFIG)
    out = str(tmp_path / "new" / "g")
    line = ["lipsync", "train-generator", str(corpus), "--expert", str(tmp_path / "no"), "-o", out]
    assert main(line) == 2
    assert everything(tmp_path) == before


def test_weights_of_something_else_are_no_expert(corpus: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wav2lip.safetensors"
    save_file({"face_decoder_blocks.0.0.conv_block.0.weight": torch.zeros(1)}, wrong)
    with pytest.raises(ConfigError, match="not a lip-sync expert"):
        train_generator(corpus, wrong, tmp_path / "g.safetensors", CONFIG)


def test_too_little_footage_is_said(tmp_path: Path) -> None:
    clips = write_corpus(tmp_path / "corpus", {"one.mp4": FREE}, frames=30)
    with pytest.raises(FittingError, match="too short"):
        train_expert(clips, tmp_path / "e.safetensors", CONFIG)


def test_two_at_once_do_not_write_into_one_folder(
    corpus: Path, tmp_path: Path, small: None
) -> None:
    out = tmp_path / "e.safetensors"
    with (
        ActorFolder(tmp_path / "e.safetensors.work").lock(),
        pytest.raises(BusyActorError, match="in use by another process"),
    ):
        train_expert(corpus, out, CONFIG)
    assert not out.exists()


@pytest.mark.parametrize("when", ["state", "result"])
def test_a_full_disk_is_explained_and_nothing_half_is_left(
    when: str, corpus: Path, tmp_path: Path, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "e.safetensors"
    out.write_bytes(b"an earlier one")
    if when == "state":
        save_always(monkeypatch)
    place = "artefacts" if when == "state" else "lipsync_training"

    def full(path: Path, content: bytes) -> None:
        path.write_bytes(bytes(content)[:100])
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(f"metatalk.stages.{place}.write_bytes", full)
        with pytest.raises(MetatalkError, match="No space left") as told:
            train_expert(corpus, out, CONFIG)
    assert "free some space and run again" in told.value.remedy
    assert out.read_bytes() == b"an earlier one"
    train_expert(corpus, out, CONFIG)
    assert load_file(out)


def test_a_finished_training_of_several_processes_needs_only_be_written(
    corpus: Path, tmp_path: Path, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_always(monkeypatch)
    out = tmp_path / "e.safetensors"
    with monkeypatch.context() as patch:
        die_at(1, patch)
        with pytest.raises(KilledError):
            train_expert(corpus, out, CONFIG)
    found = {"result": {"weight": torch.ones(3)}, "figures": {"accuracy": 0.75}}
    torch.save(found, tmp_path / "e.safetensors.work" / "checkpoint.pt")
    assert train_expert(corpus, out, CONFIG)["accuracy"] == 0.75
    assert torch.equal(load_file(out)["weight"], torch.ones(3))
    assert not (tmp_path / "e.safetensors.work" / "checkpoint.pt").exists()
