"""What leaves the house, and what comes back: export, edit, export again, drive."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from e2e_clips import prepare

from metatalk.landmarks.config import LandmarksConfig
from metatalk.media.video import index_frames, read_pictures
from metatalk.morphable.coefficients import load_coefficients
from metatalk.stages.face_model import open_face_model

Run = Callable[..., tuple[int, str, str]]
FRAMES = 75


@pytest.fixture
def curves(actor: Path, tmp_path: Path, run: Run) -> Path:
    """The actor's own curves."""
    path = tmp_path / "take.csv"
    assert run("export", actor, "-o", path)[0] == 0
    return path


def rewrite(path: Path, out: Path, **columns: float) -> Path:
    """Set whole columns, as somebody with a spreadsheet would."""
    with path.open(newline="") as file:
        rows = [row | {n: str(v) for n, v in columns.items()} for row in csv.DictReader(file)]
    with out.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return out


@pytest.mark.parametrize(
    ("name", "words", "frames"),
    [
        ("a.json", [], FRAMES),
        ("a.glb", ["--fps", "29.97"], 90),
        ("a.obj", ["--fps", "2", "--head", "still"], 6),
        ("phone.csv", ["--as", "arkit", "--fps", "60"], 180),
    ],
)
def test_every_form(
    actor: Path, tmp_path: Path, run: Run, name: str, words: list[str], frames: int
) -> None:
    code, stdout, err = run("export", actor, "-o", tmp_path / name, *words, "--json")
    assert code == 0, err
    assert json.loads(stdout)["frames"] == frames
    ledger = json.loads((tmp_path / f"{name}.ledger.json").read_text())
    kinds = {entry["kind"] for entry in ledger["entries"]}
    assert kinds >= {"footage", "face model", "speech encoder"}


def test_the_csv_holds_the_fit(actor: Path, curves: Path) -> None:
    _, track, camera = load_coefficients(actor / "fit" / "coefficients.npz")
    names = open_face_model("anny", LandmarksConfig()).expression_names
    with curves.open(newline="") as file:
        rows = list(csv.DictReader(file))
    found = np.array([[float(row[name]) for name in names] for row in rows])
    np.testing.assert_allclose(found, track.expression, atol=1e-5)
    assert float(rows[-1]["time_s"]) == pytest.approx(74 / 25)
    assert float(rows[0]["focal_px"]) == pytest.approx(camera.focal_px, abs=1e-4)


def test_edited_curves_drive_the_mouth(
    actor: Path, curves: Path, recording: Path, tmp_path: Path
) -> None:
    edited = rewrite(curves, tmp_path / "edited.csv", jawOpen=0.75, browInnerUp=0.9)
    drive = prepare(actor, tmp_path, recording, expression=edited)
    model = open_face_model("anny", LandmarksConfig())
    _, track, _ = load_coefficients(actor / "fit" / "coefficients.npz")
    expected = track.expression[:50].clone()  # its own lower face at its own times, as filmed
    expected[:, model.expression_names.index("jawOpen")] = 0.75
    torch.testing.assert_close(drive.performance.expression, expected, atol=1e-5, rtol=0)


def test_drive_with_curves(
    actor: Path, curves: Path, recording: Path, tmp_path: Path, run: Run
) -> None:
    shut = rewrite(curves, tmp_path / "shut.csv", jawOpen=0.0)
    wide = rewrite(curves, tmp_path / "wide.csv", jawOpen=0.9)
    for path in (shut, wide):
        out = path.with_suffix(".mp4")
        code, _, err = run("drive", actor, recording, "--expression", path, "-o", out)
        assert code == 0, err
        assert len(index_frames(out)) == 50
    pairs = zip(
        read_pictures(tmp_path / "shut.mp4"), read_pictures(tmp_path / "wide.mp4"), strict=True
    )
    apart = [
        np.abs(a.planes[0].astype(int) - b.planes[0])[250:].mean() for a, b in list(pairs)[::7]
    ]
    assert min(apart) > 0.05
    ledger = json.loads((tmp_path / "wide.mp4.ledger.json").read_text())
    assert ("curves", "wide.csv") in [(e["kind"], e["name"]) for e in ledger["entries"]]


def test_export_from_edited_curves(actor: Path, curves: Path, tmp_path: Path, run: Run) -> None:
    edited = rewrite(curves, tmp_path / "edited.csv", tongueOut=0.5)
    out = tmp_path / "again.json"
    code, _, err = run("export", actor, "--from", edited, "-o", out)
    assert code == 0, err
    frames = json.loads(out.read_text())["frames"]
    assert {frame["expression"]["tongueOut"] for frame in frames} == {0.5}


def test_wrong_words_end_in_a_remedy(
    actor: Path, curves: Path, recording: Path, tmp_path: Path, run: Run
) -> None:
    broken = rewrite(curves, tmp_path / "broken.csv", jawOpen=float("nan"))
    for words in (
        ["export", actor, "-o", tmp_path / "a.fbx"],
        ["export", actor, "-o", tmp_path / "a.csv", "--fps", "fast"],
        ["export", actor, "-o", tmp_path / "a.csv", "--head", "still"],
        ["export", actor, "-o", tmp_path / "a.mat"],
        ["export", actor, "-o", tmp_path / "a.csv", "--from", tmp_path / "none.csv"],
        ["export", tmp_path / "nobody", "-o", tmp_path / "a.csv"],
        ["export", tmp_path, "-o", tmp_path / "a.csv"],
        ["drive", actor, recording, "--expression", broken, "-o", tmp_path / "a.mp4"],
    ):
        code, _, err = run(*words)
        assert code == 2, words
        assert "remedy:" in err, words
    assert not list(tmp_path.glob("a.*"))
