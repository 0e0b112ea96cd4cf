"""Another performance drives the face: the actor's own clip, another clip, somebody else's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from e2e_clips import grey_picture, prepare, write_clip

from metatalk.landmarks.config import LandmarksConfig
from metatalk.media.audio import Sound, read_sound
from metatalk.media.picture import Picture
from metatalk.media.probe import probe_video
from metatalk.media.video import index_frames
from metatalk.morphable.coefficients import load_coefficients
from metatalk.stages.face_model import open_face_model
from metatalk.stages.performer import Performer

Run = Callable[..., tuple[int, str, str]]


def lower_units() -> np.ndarray:
    return open_face_model("anny", LandmarksConfig()).lower_units.numpy()


def test_a_clip_drives_itself_frame_by_frame(actor: Path, clip: Path, tmp_path: Path) -> None:
    drive = prepare(actor, tmp_path, performer=Performer(clip))
    _, track, _ = load_coefficients(actor / "fit" / "coefficients.npz")
    assert torch.equal(drive.performance.expression, track.expression)
    assert drive.plan.frames.tolist() == list(range(len(track)))
    assert not (actor / "targets").exists() or not list(actor.glob("targets/*-other"))


def test_another_clip_of_the_actor_moves_the_mouth_alone(
    actor: Path, pictures: list[Picture], speech: Sound, tmp_path: Path, run: Run
) -> None:
    later = Sound(speech.samples[48000:].copy(), 48000)
    clip = write_clip(tmp_path / "later.mp4", pictures[25:], later)
    words = ("drive", actor, "--expression-from", clip, "-o", tmp_path / "says.mp4", "--json")
    code, stdout, err = run(*words)
    assert code == 0, err
    assert json.loads(stdout)["frames"] == 50
    heard, said = read_sound(tmp_path / "says.mp4").samples, read_sound(clip).samples
    count = min(len(heard), len(said))
    assert np.corrcoef(heard[:count], said[:count])[0, 1] > 0.99
    drive = prepare(actor, tmp_path, performer=Performer(clip))
    _, own, _ = load_coefficients(actor / "fit" / "coefficients.npz")
    _, acted, _ = load_coefficients(*actor.glob("targets/*/fit/coefficients.npz"))
    lower, shown = lower_units(), drive.performance.expression
    assert torch.equal(shown[:, lower], acted.expression[:, lower])
    assert torch.equal(shown[:, ~lower], own.expression[:50, ~lower])
    ledger = json.loads((tmp_path / "says.mp4.ledger.json").read_text())["entries"]
    assert ("performance", "later.mp4") in [(e["kind"], e["name"]) for e in ledger]


def test_somebody_else_without_sound_stays_in_the_actor_s_range(
    actor: Path, pictures: list[Picture], tmp_path: Path, run: Run
) -> None:
    """The same presenter, mirrored: to the fit another person."""
    mirrored = [
        Picture(p.index, p.pts, tuple(plane[:, ::-1].copy() for plane in p.planes), p.colour)  # type: ignore[arg-type]
        for p in pictures[30:60]
    ]
    clip = write_clip(tmp_path / "joe.mp4", mirrored, None)
    out = tmp_path / "says.mp4"
    code, _, err = run("drive", actor, "--expression-from", clip, "--other-person", "-o", out)
    assert code == 0, err
    assert "silent" in err
    assert not probe_video(out).has_audio
    assert len(index_frames(out)) == 30
    joe = Performer(clip, other_person=True)
    drive = prepare(actor, tmp_path, performer=joe)
    _, own, _ = load_coefficients(actor / "fit" / "coefficients.npz")
    lower, shown = lower_units(), drive.performance.expression
    low, high = own.expression[:, lower].amin(0), own.expression[:, lower].amax(0)
    margin = 0.25 * (high - low) + 1e-5
    assert (shown[:, lower] >= low - margin).all()
    assert (shown[:, lower] <= high + margin).all()
    assert shown[:, lower].std(0).max() > 0.02  # it moves


def test_a_recording_is_heard_and_does_not_move_the_face(
    actor: Path, clip: Path, recording: Path, tmp_path: Path
) -> None:
    drive = prepare(actor, tmp_path, recording, performer=Performer(clip))
    _, track, _ = load_coefficients(actor / "fit" / "coefficients.npz")
    assert torch.equal(drive.performance.expression, track.expression[:50])  # two seconds of it


@pytest.mark.parametrize("other", [[], ["--other-person"]])
def test_a_performance_without_a_face_is_refused(
    actor: Path, tmp_path: Path, run: Run, other: list[str]
) -> None:
    wall = write_clip(tmp_path / "wall.mp4", map(grey_picture, range(12)), None)
    out = tmp_path / "says.mp4"
    code, _, err = run("drive", actor, "--expression-from", wall, "-o", out, *other)
    assert code == 2
    assert "face" in err
    assert "remedy" in err
    assert not out.exists()


def test_the_performance_is_never_overwritten(actor: Path, clip: Path, run: Run) -> None:
    before = clip.read_bytes()
    code, _, err = run("drive", actor, "--expression-from", clip, "-o", clip)
    assert code == 2
    assert "work from" in err.replace("\n", " ")
    assert clip.read_bytes() == before


@pytest.mark.parametrize("name", ["empty.mp4", "missing.mp4"])
def test_a_performance_that_cannot_be_read_is_refused(
    actor: Path, tmp_path: Path, run: Run, name: str
) -> None:
    (tmp_path / "empty.mp4").write_bytes(b"")
    clip, out = tmp_path / name, tmp_path / "says.mp4"
    code, _, err = run("drive", actor, "--expression-from", clip, "-o", out)
    assert code == 2
    assert name in err.replace("\n", "")
    assert "remedy" in err
    assert not out.exists()


def test_a_performance_of_one_frame(
    actor: Path, pictures: list[Picture], tmp_path: Path, run: Run
) -> None:
    clip, out = write_clip(tmp_path / "still.mp4", pictures[20:21], None), tmp_path / "says.mp4"
    for other in ([], ["--other-person"]):
        code, _, err = run("drive", actor, "--expression-from", clip, "-o", out, *other)
        assert code == 0, err
        assert len(index_frames(out)) == 1
