"""`--commercial-safe`: what is restricted is refused, before there is a trace of any work."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from commercial_toys import (
    CONSENT,
    SAFE_ACTOR,
    a_file,
    consent_to,
    everything_below,
    forbid_work,
    our_weights,
    restricted_words,
)

from metatalk.cli import main
from metatalk.cli.doctor import examine, show_findings
from metatalk.cli.terminal import stderr
from metatalk.config import Config, load_config
from metatalk.errors import ConsentError, TermsError
from metatalk.stages.ingredients import (
    clip_entry,
    prior_training_ingredients,
    training_ingredients,
)
from metatalk.stages.terms import (
    require_commercial,
)
from metatalk.stages.train import train_actor
from metatalk.workspace.consent import consent_path
from metatalk.workspace.ledger import Entry, record_entries


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
    return consent_to(footage)


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    forbid_work(monkeypatch)


def test_defaults_are_safe_with_a_consent(consented: Path) -> None:
    require_commercial([clip_entry([], consented), *training_ingredients(Config())])


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


@pytest.mark.parametrize("how", ["option", "setting"])
def test_a_verdict_by_a_restricted_judge_is_refused_without_a_trace(
    footage: Path, tmp_path: Path, no_work: None, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    judge = a_file(tmp_path / "syncnet_v2.model")
    plot = tmp_path / "out" / "x.png"
    line = ["sync", str(footage), "--judge", str(judge), "--plot", str(plot)]
    before = everything_below(tmp_path)
    asked = "--commercial-safe" if how == "option" else "commercial_safe=true"
    assert main([*line, asked]) == 2
    said = capsys.readouterr().err
    assert "not commercially safe: 1 of 2" in said
    assert "checkpoint SyncNet v2: syncnet_v2.model (commercial use: no)" in " ".join(said.split())
    assert everything_below(tmp_path) == before
    with pytest.raises(AssertionError, match="work was begun"):  # the clip needs no consent
        main(line)
    line[3] = str(our_weights(tmp_path / "ours.safetensors"))
    with pytest.raises(AssertionError, match="work was begun"):
        main([*line, asked])


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
    from metatalk.stages.drive_order import DriveOrder
    from metatalk.stages.performer import Performer

    record_entries(actor_root, SAFE_ACTOR)
    consent_path(footage).write_text(json.dumps({**CONSENT, "expires": "2025-02-01"}))
    target = footage if which == "target" else None
    performer = None if target else Performer(footage, other_person=True)
    out = tmp_path / "out" / "x.mp4"
    order = DriveOrder(actor_root, out, footage, target, performer=performer)
    with pytest.raises(ConsentError, match="ended on 2025-02-01"):
        drive_actor(order, Config())
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
