"""`metatalk lipsync prepare`, the reader of what it makes, and the benchmark of it."""

from __future__ import annotations

import importlib.util
import json
import logging
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prepared_corpora import bad_clips, know_faces, prepare, talking_clip
from typer.testing import CliRunner

import metatalk.cli.prepare  # noqa: F401 (it adds its command)
from metatalk.cli.app import app
from metatalk.errors import (
    MissingAssetError,
)
from metatalk.lipsync.tracks import Track
from metatalk.media.picture import Picture
from metatalk.stages import lipsync_tracks
from metatalk.stages.lipsync_corpus import open_corpus
from metatalk.stages.lipsync_glimpses import GlimpsedFaces


@pytest.fixture(autouse=True)
def detector(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    return know_faces(monkeypatch)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return talking_clip(tmp_path_factory.mktemp("clips") / "a b.c.mp4")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return tmp_path / "corpus"


# -- the reader ------------------------------------------------------------------------------------


def test_tracks_travel_without_their_pictures(clip: Path, corpus: Path) -> None:
    prepare(corpus, clip)
    [track] = open_corpus(corpus)
    assert isinstance(track, Track)
    assert isinstance(track.faces, np.memmap)
    sent = pickle.dumps(track)
    assert len(sent) < 2000
    back = pickle.loads(sent)
    assert (back.name, back.digest, back.split) == (track.name, track.digest, None)
    np.testing.assert_array_equal(back.faces[3:8], track.faces[3:8])
    with pytest.raises(ValueError, match="read-only"):
        track.faces[0] = 0


def test_a_track_that_is_gone_is_named(clip: Path, corpus: Path) -> None:
    prepare(corpus, clip)
    (corpus / "tracks" / open_corpus(corpus)[0].name / "faces.npy").unlink()
    with pytest.raises(MissingAssetError, match="is gone"):
        open_corpus(corpus)


# -- the command -----------------------------------------------------------------------------------


def test_the_command_says_what_it_did(clip: Path, tmp_path: Path, corpus: Path) -> None:
    bad_clips(tmp_path / "in", clip)
    words = ["lipsync", "prepare", str(clip), str(tmp_path / "in"), "-o", str(corpus)]
    words += ["--workers", "1", "--terms", "ours"]
    ended = CliRunner().invoke(app, words)
    assert ended.exit_code == 0, ended.output
    assert "7 clips, 1 prepared, 6 left out:" in ended.stdout
    assert "  in/mute.mp4: it has no sound track" in ended.stdout
    ended = CliRunner().invoke(app, [*words, "--json"])
    told = json.loads(ended.stdout)
    assert (told["kept"], told["prepared"], told["tracks"]) == (7, 1, 1)
    assert told["left_out"]["in/mute.mp4"] == "it has no sound track"


def test_the_command_takes_settings(clip: Path, corpus: Path) -> None:
    words = ["lipsync", "prepare", str(clip), "-o", str(corpus), "--workers", "1"]
    ended = CliRunner().invoke(app, [*words, "landmarks.min_track_s=0.5"])
    assert ended.exit_code == 0, ended.output
    index = json.loads((corpus / "corpus.json").read_text())
    assert index["preparation"]["landmarks"]["min_track_s"] == 0.5
    assert {"rate": 25, "px": 128, "inner_px": 96}.items() <= index.items()
    logging.getLogger("metatalk").handlers.clear()
    ended = CliRunner().invoke(app, words)
    assert ended.exit_code == 2
    assert "prepared otherwise" in ended.stderr


def test_the_benchmark_adds_up_and_leaves_no_trace(clip: Path) -> None:
    path = Path(__file__).resolve().parents[2] / "tools" / "benchmark_preparation.py"
    spec = importlib.util.spec_from_file_location("benchmark_preparation", path)
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    before = (Picture.rgb, GlimpsedFaces.cut, lipsync_tracks.read_pictures)
    row = tool.measure(clip)
    assert row["frames"] == 75
    assert row["all"] == pytest.approx(sum(row[part] for part in (*tool.PARTS, "rest")))
    assert all(row[part] > 0 for part in ("decode", "cut"))
    assert before == (Picture.rgb, GlimpsedFaces.cut, lipsync_tracks.read_pictures)
