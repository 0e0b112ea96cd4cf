"""`metatalk fit` by itself: a clip with a stretch in which nobody is seen."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from e2e_clips import write_clip

from metatalk.cli import main
from metatalk.media.audio import Sound
from metatalk.media.picture import Picture
from metatalk.media.probe import probe_video
from metatalk.media.video import index_frames, read_pictures
from metatalk.morphable.coefficients import load_coefficients

REPOSITORY = Path(__file__).resolve().parents[2]
SPOKEN, EMPTY = 50, 15  # frames with the presenter, and after them without anybody


@pytest.fixture(scope="module")
def filmed(
    tmp_path_factory: pytest.TempPathFactory, pictures: list[Picture], speech: Sound
) -> Path:
    """Two seconds of the presenter, then an empty wall."""
    height, width = pictures[0].planes[0].shape
    chance = np.random.default_rng(1)
    half = np.full(((height + 1) // 2, (width + 1) // 2), 128, np.uint8)
    walls = [
        Picture(0, 0, (chance.integers(90, 96, (height, width), np.uint8), half, half),
                pictures[0].colour)
        for _ in range(EMPTY)
    ]  # fmt: skip
    path = tmp_path_factory.mktemp("alone") / "someone.mp4"
    return write_clip(path, [*pictures[:SPOKEN], *walls], speech)


@pytest.fixture(scope="module")
def fitted(filmed: Path) -> Path:
    folder = filmed.parent / "fit of someone"
    assert main(["fit", str(filmed), "fit.keyframes=10", "-o", str(folder), "--panels"]) == 0
    return folder


def test_it_leaves_the_coefficients(fitted: Path) -> None:
    _, track, _ = load_coefficients(fitted / "fit" / "coefficients.npz")
    assert len(track) == SPOKEN + EMPTY
    assert not (fitted / "render").exists()


def test_the_films_have_all_frames_and_the_sound(fitted: Path, filmed: Path) -> None:
    source = probe_video(filmed)
    for name, columns in (("overlay.mp4", source.width), ("panels.mp4", None)):
        film = fitted / "report" / name
        assert len(index_frames(film)) == SPOKEN + EMPTY
        assert probe_video(film).has_audio
        assert columns in (None, probe_video(film).width)


def test_the_overlay_marks_the_face_and_nothing_far_from_it(fitted: Path, filmed: Path) -> None:
    film = read_pictures(fitted / "report" / "overlay.mp4")
    for number, (before, after) in enumerate(zip(read_pictures(filmed), film, strict=True)):
        changed = np.abs(before.rgb().astype(int) - after.rgb().astype(int)).max(-1) > 60
        changed[:70] = False  # the label
        if number < SPOKEN:
            xs = np.nonzero(changed)[1]
            assert len(xs) > 500
            assert xs.min() > 60
            assert xs.max() < before.width - 60
        else:
            assert not changed.any()


def test_the_report_names_the_stretch_without_a_face(fitted: Path) -> None:
    report = json.loads((fitted / "report" / "fit_report.json").read_text())
    assert report["frames"] == SPOKEN + EMPTY
    last = report["doubts"][-1]
    assert last["last_frame"] == SPOKEN + EMPTY - 1
    assert abs(last["first_frame"] - SPOKEN) <= 1
    assert "no face" in [reason["kind"] for reason in last["reasons"]]
    assert last["to_timecode"] == "00:00:02:14"
    assert report["doubtful_frames"] >= EMPTY
    assert all(entry["frame"] < SPOKEN for entry in report["worst_frames"])
    assert report["summary"]["lip_gap_r"] > 0.9


def test_the_sheets_can_be_opened(fitted: Path) -> None:
    for name in ("fit_sheet.png", "worst_frames.png"):
        picture = cv2.imread(str(fitted / "report" / name))
        assert picture.shape[0] > 400
        assert picture.std() > 10


def test_again_says_the_same_and_fits_nothing_anew(fitted: Path, filmed: Path, run) -> None:  # type: ignore[no-untyped-def]
    made = (fitted / "fit" / "manifest.json").stat().st_mtime_ns
    code, out, _ = run("fit", filmed, "--actor", fitted, "--no-overlay")
    assert code == 0
    assert "frames to distrust" in out
    assert "no face found" in out
    assert (fitted / "fit" / "manifest.json").stat().st_mtime_ns == made
    assert (fitted / "report" / "overlay.mp4").is_file()


def test_for_a_machine_it_is_one_document(fitted: Path, filmed: Path, run) -> None:  # type: ignore[no-untyped-def]
    code, out, _ = run("fit", filmed, "--actor", fitted, "--no-overlay", "--json")
    assert code == 0
    assert set(json.loads(out)) == {"ingest", "landmarks", "fit", "report"}


def test_the_tool_is_the_command(fitted: Path, filmed: Path) -> None:
    words = [sys.executable, "tools/fit_3dmm.py", str(filmed), "--actor", str(fitted)]
    ended = subprocess.run(
        [*words, "--no-overlay"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert "fit_report.json" in ended.stdout


def test_films_of_an_earlier_fit_are_removed(fitted: Path, filmed: Path, run) -> None:  # type: ignore[no-untyped-def]
    film = fitted / "report" / "panels.mp4"
    coefficients = fitted / "fit" / "coefficients.npz"
    before = coefficients.stat().st_mtime_ns - 10**9
    os.utime(film, ns=(before, before))
    assert run("fit", filmed, "--actor", fitted, "--no-overlay")[0] == 0
    assert not film.exists()
    assert (fitted / "report" / "overlay.mp4").is_file()


def test_a_missing_clip_is_said(tmp_path: Path, run) -> None:  # type: ignore[no-untyped-def]
    code, _, err = run("fit", tmp_path / "none.mp4", "-o", tmp_path / "fit")
    assert code == 2
    assert "no such file" in err
    assert not (tmp_path / "fit").exists()
