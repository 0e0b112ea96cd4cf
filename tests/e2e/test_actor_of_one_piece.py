"""What drive refuses, and what it takes from the actor and not from the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from e2e_clips import write_clip

from metatalk.media.picture import Picture


@pytest.fixture
def copy(actor: Path, tmp_path: Path) -> Path:
    """An actor of one's own to break."""
    shutil.copytree(actor, tmp_path / "actor")
    return tmp_path / "actor"


def test_another_preset_does_not_change_the_networks(
    actor: Path, recording: Path, tmp_path: Path, run
) -> None:  # type: ignore[no-untyped-def]
    code, _, err = run("drive", actor, recording, "-o", tmp_path / "x.mp4", "--preset", "studio")
    assert code == 0, err


def test_a_new_fit_under_an_old_renderer_is_refused(
    copy: Path, clip: Path, recording: Path, tmp_path: Path, run
) -> None:  # type: ignore[no-untyped-def]
    words = ("--actor", copy, "--preset", "tiny", "--rerun", "fit", "fit.keyframes=9")
    assert run("stage", "fit", clip, *words)[0] == 0
    code, _, err = run("drive", copy, recording, "-o", tmp_path / "x.mp4")
    assert code == 2
    assert "another fit" in err.replace("\n", " ")
    assert "--rerun" in err


def test_an_actor_of_another_face_model_is_refused(
    copy: Path, recording: Path, tmp_path: Path, run
) -> None:  # type: ignore[no-untyped-def]
    """Its coefficients would draw another person, without a word."""
    manifest = copy / "fit" / "manifest.json"
    content = json.loads(manifest.read_text())
    content["cause"]["inputs"]["face_model"] = "0" * 40
    manifest.write_text(json.dumps(content))
    code, _, err = run("drive", copy, recording, "-o", tmp_path / "x.mp4")
    assert code == 2
    assert "another version of the face model" in err.replace("\n", " ")
    assert "--rerun" in err


@pytest.mark.parametrize("name", ["x.avi", "x", "taken.mp4"])
def test_a_bad_output_is_refused_before_any_work(
    actor: Path, recording: Path, tmp_path: Path, name: str, run
) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "taken.mp4").mkdir()
    code, _, err = run("drive", actor, recording, "-o", tmp_path / name)
    assert code == 2
    assert "remedy" in err


def test_the_footage_is_never_overwritten(actor: Path, clip: Path, recording: Path, run) -> None:  # type: ignore[no-untyped-def]
    before = clip.read_bytes()
    code, _, err = run("drive", actor, recording, "-o", clip)
    assert code == 2
    assert "work from" in err.replace("\n", " ")
    assert clip.read_bytes() == before


def test_the_ledger_names_a_target_without_consent(
    actor: Path, pictures: list[Picture], recording: Path, tmp_path: Path, run
) -> None:  # type: ignore[no-untyped-def]
    target = write_clip(tmp_path / "elsewhere.mp4", pictures[5:45], None)
    out = tmp_path / "x.mp4"
    assert run("drive", actor, recording, "--target", target, "-o", out)[0] == 0
    entries = json.loads((tmp_path / "x.mp4.ledger.json").read_text())["entries"]
    shown = [entry for entry in entries if entry["name"] == "elsewhere.mp4"]
    assert len(shown) == 1
    assert "not on record" in shown[0]["terms"]
