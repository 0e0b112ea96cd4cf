"""How an actor's way from sound to mouth is read: as trained, and as asked while speaking."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from metatalk.a2e import hearing
from metatalk.a2e.config import A2EConfig
from metatalk.a2e.hearing import DEAF, open_ears, reopen_ears
from metatalk.cli.options import settings
from metatalk.config import load_config
from metatalk.errors import ConfigError, StaleArtefactError
from metatalk.stages.actor import _read_as_asked
from metatalk.stages.provenance import HEARD_KINDS, encoder_entries
from metatalk.stages.stage import WHILE_SPEAKING, _cause
from metatalk.stages.train import _learned_with
from metatalk.stages.train_a2e import TRAIN_A2E
from metatalk.workspace.ledger import Entry, drop_entries, read_ledger, record_entries

DIGESTS = dict.fromkeys(TRAIN_A2E.reads, "")
ASKED = {
    "amplitude": 1.2,
    "smooth_s": 0.02,
    "seen": 0.5,
    "neighbours": 3,
    "features.prior_s": 1.0,
    "kernel.foreign": 0.7,
    "activity.threshold": 0.6,
    "activity.shortest_s": 0.2,
    "activity.lead_s": 0.1,
    "activity.trail_s": 0.3,
    "activity.attack_s": 0.4,
    "activity.release_s": 0.5,
}


def value_of(config: object, key: str) -> object:
    for name in key.split("."):
        config = getattr(config, name)
    return config


def test_what_is_asked_while_speaking_is_all_that_is_listed() -> None:
    assert set(ASKED) == set(WHILE_SPEAKING)


@pytest.mark.parametrize("key", WHILE_SPEAKING)
def test_a_setting_of_speaking_reaches_drive_and_makes_no_training_stale(key: str) -> None:
    plain = load_config("draft")
    asked = load_config("draft", words=[f"a2e.{key}={ASKED[key]}"])
    assert value_of(_read_as_asked(plain.a2e, asked.a2e), key) == ASKED[key]
    assert _cause(TRAIN_A2E, asked, DIGESTS) == _cause(TRAIN_A2E, plain, DIGESTS)


@pytest.mark.parametrize("word", ["a2e.steps=7", "a2e.activity.hold=0.1", "a2e.kernel.ridge=1"])
def test_a_setting_of_training_is_a_cause_and_stays_as_trained(word: str) -> None:
    plain, asked = load_config("draft"), load_config("draft", words=[word])
    assert _cause(TRAIN_A2E, asked, DIGESTS) != _cause(TRAIN_A2E, plain, DIGESTS)
    if "activity" not in word:
        key = word.split("=")[0].removeprefix("a2e.")
        read = _read_as_asked(plain.a2e, asked.a2e)
        assert value_of(read, key) == value_of(plain.a2e, key)


def test_an_encoder_that_moved_can_be_named_while_speaking() -> None:
    made = replace(A2EConfig(), encoder=replace(A2EConfig().encoder, source="old/place"))
    asked = replace(A2EConfig(), encoder=replace(A2EConfig().encoder, source="new/place"))
    assert _read_as_asked(made, asked).encoder.source == "new/place"
    assert _read_as_asked(made, A2EConfig()).encoder.source == "old/place"


def test_an_actor_of_the_mel_alone_is_heard_so_where_an_encoder_is_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def never(config: A2EConfig) -> None:
        raise AssertionError("nothing else is to be opened")

    monkeypatch.setattr(hearing, "open_ears", never)
    assert reopen_ears(A2EConfig(), DEAF.fingerprint) is DEAF


def test_speech_without_an_encoder_is_refused() -> None:
    words = ["a2e.features.streams=[speech]", "a2e.encoder.source=none"]
    with pytest.raises(ConfigError, match="names speech"):
        open_ears(load_config("draft", words=words).a2e)


def test_settings_of_another_version_name_the_remedy(tmp_path: Path) -> None:
    stored = asdict(load_config("draft"))
    stored["a2e"]["network"] = {"channels": 48}
    (tmp_path / "config.json").write_text(json.dumps(stored), encoding="utf-8")
    with pytest.raises(StaleArtefactError, match="another version") as caught:
        settings(None, None, [], tmp_path)
    assert "--preset" in caught.value.remedy


def test_a_wrong_word_is_no_matter_of_versions(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(asdict(load_config("draft"))), "utf-8")
    with pytest.raises(ConfigError):
        settings(None, None, ["a2e.no_such=1"], tmp_path)


def test_the_encoder_is_in_the_ledger_and_leaves_it_when_it_is_not_used(tmp_path: Path) -> None:
    ears = replace(DEAF, encoder="toy", terms="toy terms", digest="12")
    record_entries(tmp_path, [Entry("face model", "x", "y", ""), *encoder_entries(ears)])
    assert Entry("speech encoder", "toy", "toy terms", "12") in read_ledger(tmp_path)
    drop_entries(tmp_path, HEARD_KINDS)
    record_entries(tmp_path, encoder_entries(DEAF))
    assert [entry.kind for entry in read_ledger(tmp_path)] == ["face model"]


@pytest.mark.parametrize(
    ("hears", "learned"), [("mel", True), ("mel, prior", True), ("mel, speech", False), ("", False)]
)
def test_an_actor_keeps_its_encoder_whatever_is_installed_now(hears: str, learned: bool) -> None:
    assert _learned_with({"hears": hears}, DEAF) is learned


def test_without_streams_the_mel_alone_is_heard() -> None:
    assert (
        open_ears(replace(A2EConfig(), features=replace(A2EConfig().features, streams=())))
        .listen(np.zeros(16_000, np.float32))
        .heard.shape[0]
        == 0
    )
