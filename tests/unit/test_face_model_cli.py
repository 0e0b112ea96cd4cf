"""`metatalk face-model` at the command line."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from bfm_files import write_2009_parts, write_front_mat
from face_toys import toy_model

from metatalk.cli import main
from metatalk.cli.terminal import stderr
from metatalk.stages import face_model, model_sources


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    stderr.cache_clear()
    monkeypatch.setenv("METATALK_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("METATALK_MODELS", raising=False)
    monkeypatch.setattr(model_sources, "THIRD_PARTY", tmp_path / "third_party")
    monkeypatch.setattr(face_model, "_prepare", lambda model, centred, landmarks: model)
    return tmp_path


def test_list_tells_a_machine(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["face-model", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed[0]["name"] == "anny"
    assert {model["name"] for model in listed} == {"anny", *model_sources.source_names()}
    assert set(listed[0]) == {"name", "found", "where", "terms", "sizes", "origin"}


def test_list_tells_a_person(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["face-model", "list"]) == 0
    told = capsys.readouterr().out
    assert "bfm2019-fullhead" in told
    assert "35,709" in told
    assert "metatalk face-model import" in told
    assert "model2019_face12.h5" in told


def test_import_says_terms_and_use(places: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = places / "BFM_model_front.mat"
    write_front_mat(path, np.random.default_rng(0))
    assert main(["face-model", "import", str(path), "--name", "mine"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "research only, no redistribution" in told
    assert "fit.face_model=mine" in told
    assert main(["face-model", "import", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "bfm2009"
    assert main(["face-model", "list", "--json"]) == 0
    listed = {model["name"]: model for model in json.loads(capsys.readouterr().out)}
    assert listed["mine"]["sizes"] == "50 vertices, 80/64/80 modes"


def test_import_says_what_is_missing(places: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_2009_parts(places, np.random.default_rng(0))
    (places / "facemodel_info.mat").unlink()
    assert main(["face-model", "import", str(places)]) == 2
    told = capsys.readouterr().err
    assert "lacks facemodel_info.mat" in told
    assert "Deep3DFaceRecon" in told


def test_show_writes_a_picture(
    places: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("metatalk.stages.model_sheet.open_face_model", lambda *_: toy_model())
    out = places / "toy.png"
    assert main(["face-model", "show", "toy", "-o", str(out), "--people", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["expressions"] == 4
    assert cv2.imread(str(out)).max() > 100


def test_show_of_nothing_ends_in_a_remedy(places: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["face-model", "show", "bfm2019", "-o", str(places / "a.png")]) == 2
    assert "model2019_bfm.h5" in capsys.readouterr().err
    assert not (places / "a.png").exists()
