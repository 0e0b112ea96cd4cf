"""`metatalk wav2lip` from the command line: the real tracker, a generator with random weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from e2e_clips import CLIP_S, RATE, grey_picture, write_clip
from safetensors.torch import save_file

import metatalk.cli.wav2lip  # noqa: F401 (adds the command)
from metatalk.lipsync.wav2lip import Wav2Lip
from metatalk.media.audio import Sound
from metatalk.media.picture import Picture
from metatalk.media.probe import probe_video
from metatalk.media.video import read_pictures


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "wav2lip.safetensors"
    save_file(Wav2Lip().state_dict(), path, metadata={"terms": "random", "commercial": "true"})
    return path


def test_a_film_says_a_recording(
    clip: Path, recording: Path, weights: Path, tmp_path: Path, run
) -> None:  # type: ignore[no-untyped-def]
    out = tmp_path / "out.mp4"
    words = ("wav2lip", clip, recording, "-o", out, "--checkpoint", weights, "--json")
    code, printed, err = run(*words)
    assert code == 0, err
    metrics = json.loads(printed)
    assert metrics["frames"] == 2 * RATE  # the recording is shorter than the film
    assert metrics["faceless_frames"] == 0
    before, after = list(read_pictures(clip)), list(read_pictures(out))
    assert len(after) == 2 * RATE
    assert probe_video(out).colour == probe_video(clip).colour
    for was, now in zip(before, after, strict=False):
        apart = np.abs(was.planes[0].astype(int) - now.planes[0])
        rows = np.flatnonzero((apart > 40).mean(axis=1) > 0.05)
        assert len(rows)  # a mouth of grey mush
        assert np.median(apart) < 3  # and the rest of the picture as it was
    ledger = json.loads((tmp_path / "out.mp4.ledger.json").read_text())
    assert "random" in {entry["terms"] for entry in ledger["entries"]}


def test_pictures_without_a_face_pass_through(
    pictures: list[Picture], speech: Sound, weights: Path, tmp_path: Path, run
) -> None:  # type: ignore[no-untyped-def]
    size = pictures[0].width
    assert size == pictures[0].height
    shown = [*pictures[:20], *(grey_picture(n, size) for n in range(15)), *pictures[20:40]]
    clip = write_clip(tmp_path / "gap.mp4", shown, speech)
    out = tmp_path / "out.mp4"
    code, printed, err = run(
        "wav2lip", clip, clip, "-o", out, "--checkpoint", weights, "--length", "video", "--json"
    )
    assert code == 0, err
    metrics = json.loads(printed)
    assert metrics["frames"] == 55
    assert metrics["faceless"] == "20-34"
    assert "15 of 55 frames show no face" in err.replace("\n", " ")


def test_a_film_of_nobody_is_refused(recording: Path, weights: Path, tmp_path: Path, run) -> None:  # type: ignore[no-untyped-def]
    clip = write_clip(tmp_path / "wall.mp4", (grey_picture(n) for n in range(CLIP_S * 5)), None)
    out = tmp_path / "out.mp4"
    code, _, err = run("wav2lip", clip, recording, "-o", out, "--checkpoint", weights)
    assert code == 2
    assert "no face found" in err
    assert not out.exists()


def test_missing_weights_are_said_with_their_terms(
    clip: Path, recording: Path, tmp_path: Path, run
) -> None:  # type: ignore[no-untyped-def]
    out = tmp_path / "out.mp4"
    code, _, err = run("wav2lip", clip, recording, "-o", out)
    assert code == 2
    assert "--checkpoint" in err
    code, _, err = run("wav2lip", clip, recording, "-o", out, "--checkpoint", tmp_path / "no.pth")
    assert code == 2
    assert "non-commercial" in err.replace("\n", " ")
