"""Ledgers: what they say of commercial use, and how a user states it."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest
from commercial_toys import state_terms
from hypothesis import given
from hypothesis import strategies as st

from metatalk.cli import ledger as ledger_command  # noqa: F401 (it adds its command)
from metatalk.cli import main
from metatalk.errors import ConsentError, TermsError
from metatalk.stages.provenance import (
    own_entry,
    streamed_entry,
    write_network_ledger,
    write_result_ledger,
)
from metatalk.stages.terms import require_commercial
from metatalk.workspace.consent import (
    NOT_ON_RECORD,
    Consent,
    consent_path,
    footage_entry,
    read_consent,
)
from metatalk.workspace.digest import digest_file
from metatalk.workspace.ledger import (
    ANSWERS,
    Entry,
    least_commercial,
    read_entries,
    read_ledger,
    record_entries,
    replace_entries,
)
from metatalk.workspace.terms import Terms, find_terms, terms_path

JANE = {"actor": "Jane", "scope": "a film", "granted_by": "Jane", "date": "2026-01-31"}
TODAY = date(2026, 6, 1)
MODEL = Entry("face model", "anny", "CC0", "", "yes")


def test_ledgers_of_before_are_read_and_nothing_is_known_of_them(actor_root: Path) -> None:
    actor_root.mkdir(parents=True)
    old = [{"kind": "footage", "name": "a.mp4", "terms": "Jane", "digest": "12"}]
    (actor_root / "ledger.json").write_text(json.dumps(old))
    assert read_ledger(actor_root) == [Entry("footage", "a.mp4", "Jane", "12", "unknown")]


def test_an_answer_that_is_none_is_no_leave(actor_root: Path) -> None:
    actor_root.mkdir(parents=True)
    rows = [{"kind": "k", "name": "n", "terms": "t", "commercial": "sure", "more": 1}]
    (actor_root / "ledger.json").write_text(json.dumps(rows))
    assert [entry.commercial for entry in read_ledger(actor_root)] == ["unknown"]


@pytest.mark.parametrize("content", ["no json", "3", '{"a": 1}', '["x"]', '[{"kind": "k"}]'])
def test_what_is_no_ledger_is_said(actor_root: Path, content: str) -> None:
    actor_root.mkdir(parents=True)
    (actor_root / "ledger.json").write_text(content)
    with pytest.raises(TermsError, match="no ledger"):
        read_ledger(actor_root)


def test_entries_outlive_the_file(actor_root: Path) -> None:
    entries = [Entry("k", answer, "terms", "12", answer) for answer in ANSWERS]  # type: ignore[arg-type]
    record_entries(actor_root, entries)
    assert read_ledger(actor_root) == entries


def test_what_an_actor_was_made_of_before_is_forgotten(actor_root: Path) -> None:
    footage = Entry("footage", "a.mp4", "Jane", "12", "yes")
    record_entries(actor_root, [footage, Entry("checkpoint", "wav2lip.pth", "theirs", "3", "no")])
    replace_entries(actor_root, [MODEL, MODEL], kept=frozenset({"footage"}))
    assert read_ledger(actor_root) == [footage, MODEL]


@given(st.lists(st.sampled_from(ANSWERS)))
def test_the_sum_is_the_worst(answers: list[str]) -> None:
    summed = least_commercial(
        [Entry("k", "n", "t", "", answer) for answer in answers]  # type: ignore[arg-type]
    )
    assert (summed == "yes") == (bool(answers) and set(answers) == {"yes"})
    assert (summed == "no") == ("no" in answers)


_ENTRIES = st.builds(
    Entry,
    st.sampled_from(["footage", "checkpoint", "face model", "speech", "prior", "anything"]),
    st.text(max_size=8),
    st.text(max_size=8),
    st.just(""),
    st.sampled_from(ANSWERS),
)


@given(st.lists(_ENTRIES, max_size=6))
def test_refused_is_what_has_an_entry_that_is_not_yes(entries: list[Entry]) -> None:
    bad = [entry for entry in entries if entry.commercial != "yes"]
    if entries and not bad:
        require_commercial(entries)
        return
    with pytest.raises(TermsError) as caught:
        require_commercial(entries)
    for entry in bad:  # all at once, and each with what to do
        assert f"{entry.kind} {entry.name} (commercial use: {entry.commercial})" in str(
            caught.value.problem
        )
        assert f"{entry.kind} {entry.name}: " in caught.value.remedy


def test_terms_of_files_and_folders(tmp_path: Path) -> None:
    weights, corpus = tmp_path / "a.pth", tmp_path / "corpus"
    corpus.mkdir()
    assert find_terms(weights) is find_terms(corpus) is None
    state_terms(weights, "bought from them", True)
    state_terms(corpus, "CC BY-NC 4.0", False)
    assert find_terms(weights) == Terms("bought from them", "yes")
    assert find_terms(corpus) == Terms("CC BY-NC 4.0", "no")
    assert terms_path(corpus) == corpus / "terms.json"
    # What is said of a folder says nothing of a file in it: it may be from elsewhere.
    assert find_terms(corpus / "b.wav") is None


@pytest.mark.parametrize(
    "content",
    ["?", "[]", '{"terms": ""}', '{"terms": "x", "commercial": "yes"}', '{"commercial": true}',
     '{"terms": "x", "comercial": true}'],
)  # fmt: skip
def test_terms_that_cannot_be_understood_are_no_leave(tmp_path: Path, content: str) -> None:
    (tmp_path / "terms.json").write_text(content)
    with pytest.raises(TermsError, match="remedy"):
        find_terms(tmp_path)


def test_silence_about_commercial_use_is_unknown(tmp_path: Path) -> None:
    (tmp_path / "terms.json").write_text('{"terms": "ask Joe"}')
    assert find_terms(tmp_path) == Terms("ask Joe", "unknown")


@pytest.mark.parametrize(
    ("stated", "answer"), [({}, "unknown"), ({"commercial": True}, "yes"),
                           ({"commercial": False}, "no"), ({"commercial": None}, "unknown")],
)  # fmt: skip
def test_a_consent_covers_commercial_use_where_it_says_so(
    stated: dict[str, bool], answer: str
) -> None:
    entry = footage_entry(Path("a.mp4"), "1", Consent(**{**JANE, **stated}), TODAY)
    assert entry.commercial == answer


def test_commercial_is_true_or_false(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text(json.dumps({**JANE, "commercial": "yes"}))
    with pytest.raises(ConsentError, match="commercial is 'yes'"):
        read_consent(path)


def test_a_consent_goes_with_its_clip(footage: Path) -> None:
    digest = digest_file(footage)
    assert footage_entry(footage, digest, None, TODAY).terms == NOT_ON_RECORD
    consent_path(footage).write_text(json.dumps({**JANE, "commercial": True}))
    entry = footage_entry(footage, digest, None, TODAY)
    assert (entry.terms, entry.commercial) == ("Jane: a film, granted by Jane", "yes")
    given = Consent(**{**JANE, "scope": "another", "commercial": False})
    assert footage_entry(footage, digest, given, TODAY).commercial == "no"
    consent_path(footage).write_text(json.dumps({**JANE, "expires": "2026-02-01"}))
    with pytest.raises(ConsentError, match="ended"):
        footage_entry(footage, digest, None, TODAY)


def test_a_result_carries_all_entries_and_their_sum(tmp_path: Path, footage: Path) -> None:
    out = tmp_path / "out.mp4"
    entries = [MODEL, own_entry("speech", footage), streamed_entry("-"), MODEL]
    write_result_ledger(out, entries)
    written = tmp_path / "out.mp4.ledger.json"
    assert read_entries(written) == entries[:3]
    assert json.loads(written.read_text())["commercial"] == "yes"
    write_result_ledger(out, [*entries, Entry("footage", "a", NOT_ON_RECORD)])
    assert json.loads(written.read_text())["commercial"] == "unknown"


def test_the_command_prints_a_table_and_a_verdict(
    tmp_path: Path, actor_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    safe = [Entry("footage", "a.mp4", "Jane", "0123456789abcdef", "yes"), MODEL]
    record_entries(actor_root, safe)
    assert main(["ledger", str(actor_root)]) == 0
    shown = capsys.readouterr().out
    assert shown.splitlines()[-1] == "commercially safe"
    assert "0123456789ab" in shown
    write_result_ledger(tmp_path / "x.mp4", [*safe, Entry("checkpoint", "w", "theirs", "", "no")])
    (tmp_path / "x.mp4").write_bytes(b"")
    assert main(["ledger", str(tmp_path / "x.mp4")]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "not commercially safe: checkpoint w (no)"
    assert main(["ledger", str(tmp_path / "x.mp4"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["commercial"], len(told["entries"])) == ("no", 3)


def test_the_ledger_of_weights_names_what_they_were_trained_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = tmp_path / "expert.safetensors"
    weights.write_bytes(b"")
    clip = Entry("training footage", "a.mp4", "CC BY 4.0", "12", "yes")
    write_network_ledger(weights, [clip, clip])
    written = tmp_path / "expert.safetensors.ledger.json"
    assert read_entries(written) == [clip]
    content = json.loads(written.read_text())
    assert content["commercial"] == "yes"
    assert "synthetic" not in content
    for place in (weights, written):
        assert main(["ledger", str(place)]) == 0
        shown = capsys.readouterr().out
        assert "a.mp4" in shown
        assert shown.splitlines()[-1] == "commercially safe"
    write_network_ledger(weights, [Entry("checkpoint", "w", "ours", "", "yes")])
    assert main(["ledger", str(weights)]) == 0
    verdict = capsys.readouterr().out.splitlines()[-1]
    assert verdict == "not commercially safe: training footage expert.safetensors (unknown)"
    content["network"] = "yes"  # no mark of ours: a result, which shows a face
    written.write_text(json.dumps(content))
    assert main(["ledger", str(weights)]) == 0
    assert "footage expert.safetensors (unknown)" in capsys.readouterr().out


def test_a_ledger_without_footage_is_not_safe(
    actor_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record_entries(actor_root, [MODEL])
    assert main(["ledger", str(actor_root)]) == 0
    assert "not commercially safe: footage jane (unknown)" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["nothing", "clip.mp4", "."])
def test_what_has_no_ledger_exits_with_2(
    footage: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ledger", str(footage.parent / name)]) == 2
    assert "remedy" in capsys.readouterr().err
