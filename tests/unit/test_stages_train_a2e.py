"""The stage from a fitted clip to the actor's mouth: what it reads, corrects, says and keeps."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from a2e_toys import QUICK, RATE, toy_ears, toy_speech
from face_toys import CAMERA, toy_model, toy_track
from fit_folders import PERSON

from metatalk.a2e.config import A2EConfig
from metatalk.a2e.lip_meter import make_lip_meter
from metatalk.a2e.predict import predict_mouth
from metatalk.errors import FittingError, MediaError
from metatalk.fitting.config import FitConfig
from metatalk.landmarks.config import LandmarksConfig
from metatalk.landmarks.track import LandmarkTrack
from metatalk.media.audio import Sound, write_wav
from metatalk.morphable.coefficients import load_coefficients, save_coefficients
from metatalk.stages import train_a2e as stage
from metatalk.stages.artefacts import load_mouth, save_index, save_landmarks
from metatalk.stages.train_a2e import TRAIN_A2E, compute
from metatalk.timing import FrameIndex

CONFIG = replace(QUICK, steps=8, kernel=replace(QUICK.kernel, share=0.6))


@pytest.fixture(autouse=True)
def toy_face(monkeypatch: pytest.MonkeyPatch) -> None:
    model = toy_model()
    monkeypatch.setattr("metatalk.stages.train_a2e.open_face_model", lambda *_: model)


def film(root: Path, seconds: int, late_s: float = 0.0, speech: int = 0) -> dict[str, Path]:
    """Folders of a toy actor whose jaw follows the sound, which comes late."""
    frames = seconds * 25
    samples, mouth = toy_speech(seconds, seed=0)
    if speech:
        samples, _ = toy_speech(seconds, seed=speech)
    samples = np.roll(samples, round(late_s * RATE))
    seen = torch.from_numpy(mouth[np.arange(frames) * RATE // 25])
    track = toy_track(frames)
    expression = torch.zeros_like(track.expression)
    expression[:, :2] = 0.5 + 0.1 * seen
    folders = {name: root / name for name in ("ingest", "landmarks", "fit", "pseudo")}
    for folder in folders.values():
        folder.mkdir(parents=True)
    write_wav(folders["ingest"] / "sound.wav", Sound(samples, RATE))
    index = FrameIndex(np.arange(frames), Fraction(1, 25), Fraction(25))
    save_index(folders["ingest"] / "frames.npz", index)
    points = np.zeros((frames, 68, 3), np.float32)
    ones = np.ones(frames, np.float32)
    shots = np.array([[0, frames]])
    found = LandmarkTrack(points, ones, ones.astype(np.uint8), shots, "ibug68")
    save_landmarks(folders["landmarks"] / "landmarks.npz", found)
    said = replace(track, expression=expression)
    save_coefficients(folders["fit"] / "coefficients.npz", PERSON, said, CAMERA)
    return folders


def run(
    inputs: Mapping[str, Path], out: Path, config: A2EConfig = CONFIG
) -> dict[str, float | str]:
    out.mkdir(parents=True, exist_ok=True)
    settings = {"fit": FitConfig(), "landmarks": LandmarksConfig(), "seed": 0}
    return dict(compute(inputs, config, out, lambda *_: None, **settings))


def test_it_says_what_it_heard_how_late_and_how_well(tmp_path: Path) -> None:
    inputs = film(tmp_path / "in", 14, late_s=0.12)
    metrics = run(inputs, tmp_path / "out")
    # The toy's lips do not lead their sound as an actor's do: 40 ms of it count as natural.
    assert metrics["offset_ms"] == pytest.approx(120 - 40, abs=25)
    assert metrics["offset_confidence"] > 0.85
    assert metrics["hears"] == "mel"
    assert metrics["footage_s"] == pytest.approx(14, abs=0.4)
    assert -1 <= metrics["held_out_gap_r"] <= 1
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "mouth_space.npz", "weights.safetensors",
    }  # fmt: skip


def test_a_given_offset_is_corrected_and_said(tmp_path: Path) -> None:
    # Sound and mouth one second apart: only who knows it can learn from it.
    inputs = film(tmp_path / "in", 8, late_s=1.0)
    kernel = replace(CONFIG, kernel=replace(CONFIG.kernel, share=1.0))
    corrected = run(inputs, tmp_path / "out", replace(kernel, offset_s=1.0))
    assert (corrected["offset_ms"], corrected["offset_confidence"]) == (1000.0, 1.0)
    believed = run(inputs, tmp_path / "other", replace(kernel, offset_s=0.0))
    assert corrected["held_out_error"] < 0.7 * believed["held_out_error"]


def test_what_it_keeps_speaks(tmp_path: Path) -> None:
    run(film(tmp_path / "in", 6), tmp_path / "out")
    space, model = load_mouth(tmp_path / "out", CONFIG)
    samples = toy_speech(3.0, seed=4)[0]
    mouth = predict_mouth(model, samples, np.arange(75) / 25, CONFIG)
    expression = space.mouth_to_expression(mouth)
    assert expression.shape == (75, 4)
    assert np.isfinite(expression).all()
    assert expression[:, 0].std() > 0.01


def test_the_lips_are_weighed_in_millimetres(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learned = []
    train = stage.train_with_corpus
    monkeypatch.setattr(
        stage, "train_with_corpus", lambda own, *rest: learned.append(own) or train(own, *rest)
    )
    inputs = film(tmp_path / "in", 4)
    run(inputs, tmp_path / "out")
    space, _ = load_mouth(tmp_path / "out", CONFIG)
    person, track, _ = load_coefficients(inputs["fit"] / "coefficients.npz")
    expression = track.expression.numpy()
    trusted = np.ones(len(expression), bool)
    meter = make_lip_meter(toy_model(), person.identity, expression, trusted)
    [footage] = learned
    # The gap that the lesson reads off the coordinates is the mesh's own.
    read = footage.gap_mm + footage.mouth @ footage.lips[0]
    np.testing.assert_allclose(read, meter.gap_mm(expression), atol=1e-3)
    np.testing.assert_allclose(footage.scale, space.scale)


def test_the_streams_heard_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metatalk.stages.train_a2e.open_ears", lambda config: toy_ears())
    metrics = run(film(tmp_path / "in", 4), tmp_path / "out")
    assert metrics["hears"] == "mel, speech"
    load_mouth(tmp_path / "out", CONFIG)[1].require_ears(toy_ears())


def test_the_same_footage_gives_the_same_bytes(tmp_path: Path) -> None:
    inputs = film(tmp_path / "in", 4)
    for name in ("one", "two"):
        run(inputs, tmp_path / name)
    for file in ("mouth_space.npz", "weights.safetensors"):
        one, two = ((tmp_path / name / file).read_bytes() for name in ("one", "two"))
        assert one == two, file


def test_strange_sound_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FittingError, match="nothing to do with the mouth") as refused:
        run(film(tmp_path / "in", 48, speech=5), tmp_path / "out")
    assert "a2e.offset_s=0" in refused.value.remedy


def test_footage_too_short_to_measure_is_taken_for_in_sync(tmp_path: Path, caplog) -> None:
    with caplog.at_level(logging.WARNING, "metatalk"):
        metrics = run(film(tmp_path / "in", 3), tmp_path / "out")
    assert metrics["offset_ms"] == 0
    assert "could not be measured" in caplog.text


def test_a_clip_without_sound_is_refused(tmp_path: Path) -> None:
    inputs = film(tmp_path / "in", 3)
    (inputs["ingest"] / "sound.wav").unlink()
    with pytest.raises(MediaError, match="no sound track"):
        run(inputs, tmp_path / "out")


def test_a_cut_off_training_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = film(tmp_path / "in", 8)
    whole = run(inputs, tmp_path / "whole")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr("metatalk.stages.train_a2e.save_mouth", killed)
        with pytest.raises(KeyboardInterrupt):
            run(inputs, tmp_path / "out")
    assert (tmp_path / "out" / "checkpoint.pt").is_file()
    again = run(inputs, tmp_path / "out")
    assert not (tmp_path / "out" / "checkpoint.pt").exists()
    del whole["seconds"], again["seconds"]
    assert again == whole
    assert TRAIN_A2E.resumable
