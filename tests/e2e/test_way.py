"""The whole way on a three-second synthetic clip: train, drive, again, changed, killed."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from e2e_clips import FIRST_FRAME, write_clip
from torch import Tensor

from metatalk.landmarks.config import LandmarksConfig
from metatalk.landmarks.points import point_groups
from metatalk.media.audio import read_sound
from metatalk.media.picture import Picture
from metatalk.media.probe import probe_video
from metatalk.media.video import index_frames, read_pictures
from metatalk.morphable.coefficients import load_coefficients
from metatalk.stages.face_model import open_face_model
from metatalk.workspace.actor import ActorFolder

STAGES = ("ingest", "landmarks", "fit", "render", "pseudo", "train_a2e", "train_renderer")


def test_every_stage_leaves_an_artefact(actor: Path) -> None:
    for stage in STAGES:
        assert (actor / stage / "manifest.json").is_file(), stage
    assert (actor / "train_renderer" / "contact_sheet.png").stat().st_size > 10_000
    assert {entry["kind"] for entry in json.loads((actor / "ledger.json").read_text())} >= {
        "footage",
        "face model",
    }


def test_fit_agrees_with_the_presenter_s_truth(actor: Path, presenter: Path) -> None:
    _, fitted, _ = load_coefficients(actor / "fit" / "coefficients.npz")
    _, truth, _ = load_coefficients(presenter.with_suffix(".npz"))
    truth = truth.take(np.arange(FIRST_FRAME, FIRST_FRAME + len(fitted)))
    gaps = [lip_gap_mm(track.expression) for track in (fitted, truth)]
    assert np.corrcoef(gaps)[0, 1] > 0.95
    turned = (fitted.rotation - truth.rotation).numpy()
    assert np.degrees(np.abs(turned - turned.mean(0)).mean()) < 1.0


def lip_gap_mm(expression: Tensor) -> np.ndarray:
    """(T,) distance between the middles of the inner lips of the mean face."""
    model = open_face_model("anny", LandmarksConfig())
    mean, _, units = model.landmark_basis()
    points = mean + torch.tensordot(expression, units, dims=1)
    upper, lower = point_groups(model.landmark_layout).lip_gap
    return (points[:, upper] - points[:, lower]).norm(dim=-1).numpy()


def test_a_second_training_does_nothing(actor: Path, clip: Path, run) -> None:  # type: ignore[no-untyped-def]
    before = {path: path.stat().st_mtime_ns for path in actor.glob("*/manifest.json")}
    code, _, _ = run("train", clip, "--actor", actor, "--preset", "tiny")
    assert code == 0
    assert before == {path: path.stat().st_mtime_ns for path in actor.glob("*/manifest.json")}


def test_a_changed_setting_stops_with_its_name(actor: Path, clip: Path, run) -> None:  # type: ignore[no-untyped-def]
    code, _, err = run("train", clip, "--actor", actor, "--preset", "tiny", "neural.batch=3")
    assert code == 2
    assert "neural.batch" in err
    assert "--rerun train_renderer" in err.replace("\n", " ")


def test_drive_says_the_recording(actor: Path, recording: Path, tmp_path: Path, run) -> None:  # type: ignore[no-untyped-def]
    out = tmp_path / "says.mp4"
    code, stdout, _ = run("drive", actor, recording, "-o", out, "--json")
    metrics = json.loads(stdout)
    assert code == 0
    assert metrics["frames"] == 50
    assert metrics["filmed_frames"] == 0
    assert len(index_frames(out)) == 50
    heard, said = read_sound(out).samples, read_sound(recording).samples
    count = min(len(heard), len(said))
    assert np.corrcoef(heard[:count], said[:count])[0, 1] > 0.99
    ledger = json.loads(out.with_name("says.mp4.ledger.json").read_text())
    assert ledger["synthetic"] is True


def test_drive_changes_the_lower_face_only(
    actor: Path,
    clip: Path,
    recording: Path,
    tmp_path: Path,
    run,  # type: ignore[no-untyped-def]
) -> None:
    out = tmp_path / "says.mp4"
    assert run("drive", actor, recording, "-o", out, "drive.crf=0")[0] == 0
    for filmed, made in zip(read_pictures(clip), read_pictures(out), strict=False):
        assert np.array_equal(filmed.planes[0][:250], made.planes[0][:250])  # brow and hair
        assert not np.array_equal(filmed.planes[0], made.planes[0])


def test_a_long_recording_plays_the_footage_forth_and_back(
    actor: Path,
    presenter: Path,
    tmp_path: Path,
    run,  # type: ignore[no-untyped-def]
) -> None:
    out = tmp_path / "long.mp4"
    driving = presenter.with_name("driving.flac")  # 7 s over 3 s of footage
    assert run("drive", actor, driving, "-o", out)[0] == 0
    pictures = [picture.planes[0][:100].astype(int) for picture in read_pictures(out)]
    steps = [np.abs(a - b).mean() for a, b in itertools.pairwise(pictures)]
    assert abs(len(pictures) - 175) <= 2
    assert max(steps) < 3.0  # no jump where the footage turns


def test_target_of_the_same_actor(
    actor: Path,
    pictures: list[Picture],
    recording: Path,
    tmp_path: Path,
    run,  # type: ignore[no-untyped-def]
) -> None:
    target = write_clip(tmp_path / "other.mp4", pictures[10:60], None)
    out = tmp_path / "says.mp4"
    code, _, err = run(
        "drive", actor, recording, "--target", target, "-o", out, "--length", "video"
    )
    assert code == 0, err
    assert len(index_frames(out)) == 50
    assert (probe_video(out).width, probe_video(out).height) == (640, 640)


def test_no_footage_any_more(actor: Path, clip: Path, recording: Path, tmp_path: Path, run) -> None:  # type: ignore[no-untyped-def]
    hidden = clip.with_suffix(".hidden")
    clip.rename(hidden)
    try:
        code, _, err = run("drive", actor, recording, "-o", tmp_path / "says.mp4")
    finally:
        hidden.rename(clip)
    assert code == 2
    assert "--target" in err


@pytest.mark.slow
def test_killed_in_every_stage_and_run_again(clip: Path, tmp_path: Path) -> None:
    actor = tmp_path / "actor"
    words = ["train", str(clip), "--actor", str(actor), "--preset", "tiny"]
    command = [sys.executable, "-c", "import sys; from metatalk.cli import main; sys.exit(main())"]
    killed = []
    for stage in ("ingest", "landmarks", "fit", "render", "train_a2e", "train_renderer"):
        process = subprocess.Popen([*command, *words], stderr=subprocess.DEVNULL)
        while process.poll() is None and not (actor / f"{stage}.partial").exists():
            time.sleep(0.002)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
        process.wait()
        if not (actor / stage).exists():  # the quickest may be done before the blow falls
            killed.append(stage)
    assert killed
    assert subprocess.run([*command, *words], stderr=subprocess.DEVNULL).returncode == 0
    assert all(ActorFolder(actor).manifest(stage) for stage in STAGES)
    assert not list(actor.glob("*.partial"))
