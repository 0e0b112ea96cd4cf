"""The ledger of an actor that is trained again, and what it does not name."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from commercial_toys import CONSENT, SAFE_ACTOR, a_file, state_terms

from metatalk.config import Config, load_config
from metatalk.errors import TermsError
from metatalk.stages.ingredients import (
    actor_entries,
    require_safe_actor,
)
from metatalk.stages.terms import (
    wav2lip_entry,
)
from metatalk.stages.train import train_actor
from metatalk.workspace.consent import consent_path
from metatalk.workspace.digest import digest_file
from metatalk.workspace.ledger import Entry, read_ledger, record_entries


def test_an_actor_stays_marked(actor_root: Path, footage: Path) -> None:
    record_entries(actor_root, SAFE_ACTOR)
    require_safe_actor(actor_root)
    with pytest.raises(TermsError, match=r"clip\.mp4"):
        require_safe_actor(actor_root, [None, footage])
    consent_path(footage).write_text(json.dumps({**CONSENT, "commercial": True}))
    require_safe_actor(actor_root, [footage])
    record_entries(actor_root, [Entry("checkpoint", "wav2lip.pth", "theirs", "3", "no")])
    with pytest.raises(TermsError, match=r"wav2lip\.pth"):
        require_safe_actor(actor_root)


def test_a_clip_on_record_needs_no_further_consent(actor_root: Path, footage: Path) -> None:
    own = replace(SAFE_ACTOR[0], digest=digest_file(footage))
    record_entries(actor_root, [own, SAFE_ACTOR[1]])
    require_safe_actor(actor_root, [footage])


def test_ledgers_of_before_are_told_by_what_they_name(actor_root: Path) -> None:
    footage = Entry("footage", "a.mp4", "Jane: all, granted by Jane")
    heard = Entry("speech encoder", "moonshine-tiny-en", "MIT; Moonshine AI")
    said = Entry("speech", "hello.wav", "the user's own")
    for source, answer in ("anny", "yes"), ("bfm2009", "no"):
        root = actor_root / source
        record_entries(root, [footage, Entry("face model", source, "terms"), heard, said])
        told = {entry.kind: entry.commercial for entry in actor_entries(root)}
        assert told == {
            "footage": "unknown", "face model": answer, "speech encoder": "yes", "speech": "yes"
        }  # fmt: skip


def test_what_a_ledger_does_not_name_is_unknown(actor_root: Path) -> None:
    (actor_root / "fit").mkdir(parents=True)
    assert {entry.kind for entry in actor_entries(actor_root)} == {"footage", "face model"}
    with pytest.raises(TermsError, match="not on record"):
        require_safe_actor(actor_root)


def fake_run(metrics: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: Any, **__: Any) -> dict[str, Any]:
        return metrics

    monkeypatch.setattr("metatalk.stages.train.run_stages", run)
    monkeypatch.setattr("metatalk.stages.train.face_model_card", lambda *_: Path("card"))


@pytest.mark.parametrize("complete", [True, False])
def test_entries_are_those_of_the_artefacts_that_are_there(
    footage: Path, actor_root: Path, monkeypatch: pytest.MonkeyPatch, complete: bool
) -> None:
    teacher = Entry("checkpoint", "wav2lip.pth", "theirs", "3", "no")
    basel = Entry("face model", "bfm2009", "research", "", "no")
    record_entries(actor_root, [SAFE_ACTOR[0], basel, teacher])
    if not complete:  # a renderer of before, which was learned with another face model
        folder = actor_root / "train_renderer"
        folder.mkdir()
        cause = {"stage": "train_renderer", "revision": 1, "settings": {}, "inputs": {}}
        (folder / "manifest.json").write_text(
            json.dumps({"cause": cause, "outputs": "", "metrics": {}, "seconds": 0})
        )
    metrics = {name: {} for name in ("ingest", "landmarks", "render", "pseudo")}
    fake_run({**metrics, "train_a2e": {"hears": "mel"}}, monkeypatch)
    config = load_config(words=["a2e.encoder.source=none"])
    train_actor(footage, actor_root, config, last="train_a2e")
    entries = read_ledger(actor_root)
    assert teacher not in entries  # nothing that is there was taught by it
    assert (basel in entries) != complete
    assert SAFE_ACTOR[0] in entries
    assert {"landmark model", "speech detector"} <= {entry.kind for entry in entries}


def test_the_renderer_of_now_was_taught_nothing_but_the_mouth_was(
    footage: Path, actor_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pseudo video made anew, and the network that learned from the old one still there."""
    teacher = Entry("checkpoint", "wav2lip.pth", "theirs", "3", "no")
    record_entries(actor_root, [teacher])
    folder = actor_root / "train_a2e"
    folder.mkdir()
    cause = {"stage": "train_a2e", "revision": 1, "settings": {}, "inputs": {}}
    (folder / "manifest.json").write_text(
        json.dumps({"cause": cause, "outputs": "", "metrics": {}, "seconds": 0})
    )
    fake_run({"pseudo": {}}, monkeypatch)
    train_actor(footage, actor_root, Config(), last="pseudo")
    assert teacher in read_ledger(actor_root)


def test_terms_that_are_stated_later_reach_the_ledger(
    footage: Path, actor_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = a_file(tmp_path / "wav2lip.pth")
    corpus = tmp_path / "speech"
    corpus.mkdir()
    made = wav2lip_entry(weights)
    record_entries(actor_root / "pseudo", [replace(made, commercial="unknown")])
    state_terms(weights, "bought", True)
    fake_run({"pseudo": {}}, monkeypatch)
    monkeypatch.setattr("metatalk.stages.train.teacher_sources", lambda *_: {})
    config = load_config(words=[f"pseudo.checkpoint={weights}", f"pseudo.corpus={corpus}"])
    train_actor(footage, actor_root, config, last="pseudo")
    assert [(e.terms, e.commercial) for e in read_ledger(actor_root)] == [("bought", "yes")]
