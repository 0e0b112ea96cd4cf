"""The renderer's training as a stage: what it reads, what it leaves, killed and taken up again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from mouth_toys import PERSON, centred_crops, mouth_model, mouth_scene, speaking
from neural_toys import CPU, TINY, bar_mouth
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from metatalk.fitting.config import FitConfig
from metatalk.landmarks.config import LandmarksConfig
from metatalk.landmarks.track import LandmarkTrack
from metatalk.morphable.coefficients import save_coefficients
from metatalk.neural.batches import split_frames
from metatalk.neural.config import NeuralConfig
from metatalk.neural.infer import build_network, prepare_for_rendering
from metatalk.neural.matching import describe_looks, measure_blur
from metatalk.neural.pictures import neighbour_rows
from metatalk.neural.scoring import score_generator
from metatalk.neural.training import build_recipe
from metatalk.render.config import RenderConfig
from metatalk.render.crops import CropLayout
from metatalk.stages import train_renderer as stage
from metatalk.stages.artefacts import (
    CropPlan,
    create_crops,
    load_weights,
    save_crop_plan,
    save_index,
    save_landmarks,
)
from metatalk.stages.library import open_material
from metatalk.stages.samples import prepare_samples
from metatalk.stages.stage import no_progress
from metatalk.stages.train_renderer import TRAIN_RENDERER, compute, open_dated_crops
from metatalk.timing import FrameIndex

FAST = replace(TINY, steps=6, checkpoint_seconds=0.0, samples=8)
CONFIGS = [replace(FAST, network="carried"), replace(FAST, network="pix2pix")]
RENDER = RenderConfig(sizes=(32,), grow_px=6, backend="numba")
SCENE, TRACK, TRANSFORMS = mouth_scene(32), speaking(80), centred_crops(80, 32)
TRANSFORMS[:, 0, 2] += np.linspace(-2, 2, 80)  # the crops follow a head that drifts
KEPT = np.arange(0, 80, 2)
LEFT = ["contact_sheet.png", "generator.safetensors", "logs"]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def toy_face(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "open_face_model", lambda name, landmarks: SCENE.model)


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, Path]:
    """What the stages before leave of a clip with a cut, every other frame of which is kept."""
    folders = {name: tmp_path / name for name in TRAIN_RENDERER.reads}
    for folder in folders.values():
        folder.mkdir()
    keep_crops(folders["render"])
    save_coefficients(folders["fit"] / "coefficients.npz", PERSON, TRACK, SCENE.camera)
    index = FrameIndex(np.arange(80), Fraction(1, 10), Fraction(10))
    save_index(folders["ingest"] / "frames.npz", index)
    shots = np.array([[0, 21], [21, 80]])
    seen = np.ones(80, np.float32)
    track = LandmarkTrack(
        np.zeros((80, 478, 3), np.float32), seen, seen.astype(np.uint8), shots, "mediapipe478"
    )
    save_landmarks(folders["landmarks"] / "landmarks.npz", track)
    return folders


def keep_crops(folder: Path) -> None:
    crops, kept = create_crops(folder, len(KEPT), 32), TRACK.take(KEPT)
    crops.synthetic[:] = SCENE.synthetic(kept, TRANSFORMS[KEPT])
    crops.real[:] = crops.synthetic // 2 + bar_mouth(len(KEPT)).real // 4
    crops.mask[:] = SCENE.mask(kept, TRANSFORMS[KEPT])
    blur = measure_blur(crops.real, crops.mask)
    np.savez(folder / "frames.npz", frames=KEPT, transforms=TRANSFORMS, blur=blur)
    save_crop_plan(folder / "crops.json", CropPlan(32, CropLayout(0.0, 0.0, 1.0)))


def train(
    inputs: Mapping[str, Path], config: NeuralConfig, out: Path, progress: Any = no_progress
) -> dict[str, Any]:
    out.mkdir(exist_ok=True)
    sections = {"fit": FitConfig(), "landmarks": LandmarksConfig(), "render": RENDER}
    return dict(compute(inputs, config, out, progress, seed=0, device="cpu", **sections))


def test_the_library_is_of_the_rows_of_the_crops(inputs: dict[str, Path]) -> None:
    crops, model = open_dated_crops(inputs), mouth_model()
    material = open_material(inputs, crops, model, RENDER)
    assert material.rate == 10.0
    np.testing.assert_array_equal(material.frames, KEPT)
    np.testing.assert_array_equal(material.transforms, TRANSFORMS[KEPT])
    torch.testing.assert_close(material.track.expression, TRACK.expression[KEPT])
    wanted = describe_looks(model, TRACK.take(KEPT))
    np.testing.assert_array_equal(material.looks.joined, wanted.joined)
    np.testing.assert_array_equal(material.blur, measure_blur(crops.real, crops.mask))
    scene = material.scene
    assert (scene.size, scene.grow_px, scene.backend) == (32, RENDER.grow_px, RENDER.backend)
    rows = np.array([7, 3])
    kept, transforms = TRACK.take(KEPT[rows]), TRANSFORMS[KEPT[rows]]
    np.testing.assert_array_equal(scene.synthetic(kept, transforms), crops.synthetic[rows])
    points = scene.points(kept, transforms)
    seen = material.look_at(rows, threads=1)
    np.testing.assert_allclose(seen.points[:, : points.shape[1]], points, atol=1e-3)


def test_crops_know_their_frames_and_shots(inputs: dict[str, Path]) -> None:
    crops = open_dated_crops(inputs)
    # row 10 is frame 20, the first shot's last; the frames between were not kept
    assert neighbour_rows(crops, np.array([10, 11]), 2).tolist() == [
        [9, 10, 10, 10, 10],
        [11, 11, 11, 11, 12],
    ]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.network)
def test_what_it_leaves_renders_as_it_was_scored(
    inputs: dict[str, Path], config: NeuralConfig, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    metrics = train(inputs, config, out)
    assert sorted(path.name for path in out.iterdir()) == LEFT
    network = build_network(config, load_weights(out / "generator.safetensors"))
    fast, crops, pools = prepare_for_rendering(network, CPU), open_dated_crops(inputs), None
    if config.network == "carried":
        material = open_material(inputs, crops, SCENE.model, RENDER)
        pools = prepare_samples(material, config, tmp_path / "samples", 0, no_progress)
    train_rows, held_out = split_frames(np.arange(40), config)
    recipe = build_recipe(crops, train_rows, config, CPU, 0, pools)
    found = score_generator(fast, recipe.pictures, held_out)
    for name, value in found.as_metrics("held_out").items():
        assert metrics[name] == pytest.approx(value), name
    assert {"train_ssim", "held_out_ssim", "best_step", "stopped_early"} <= metrics.keys()
    sheet = cv2.imread(str(out / "contact_sheet.png"))
    assert sheet.shape == (4 * 36 + 4, 3 * 36 + 4, 3)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.network)
def test_killed_and_taken_up_again_it_leaves_the_same(
    inputs: dict[str, Path], config: NeuralConfig, tmp_path: Path
) -> None:
    def kill(done: int, total: int | None, note: str = "", /) -> None:
        if done == 4 and note.startswith("L1"):
            raise KeyboardInterrupt

    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    train(inputs, config, whole)
    with pytest.raises(KeyboardInterrupt):
        train(inputs, config, resumed, kill)
    assert (resumed / "checkpoint.pt").is_file()
    train(inputs, config, resumed)
    assert sorted(path.name for path in resumed.iterdir()) == LEFT
    states = [load_weights(folder / "generator.safetensors") for folder in (whole, resumed)]
    torch.testing.assert_close(states[1], states[0], rtol=0, atol=0)
    curves = [losses(folder) for folder in (whole, resumed)]
    assert [step for step, _ in curves[1]] == [1, 2, 3, 4, 5, 6]
    assert curves[1] == curves[0]


def test_killed_while_texture_is_carried_it_begins_anew(
    inputs: dict[str, Path], tmp_path: Path
) -> None:
    def kill(done: int, total: int | None, note: str = "", /) -> None:
        if note == "carrying texture" and done > 8:
            raise KeyboardInterrupt

    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    train(inputs, CONFIGS[0], whole)
    with pytest.raises(KeyboardInterrupt):
        train(inputs, CONFIGS[0], resumed, kill)
    assert sorted(path.name for path in resumed.iterdir()) == ["samples"]
    train(inputs, CONFIGS[0], resumed)
    assert sorted(path.name for path in resumed.iterdir()) == LEFT
    states = [load_weights(folder / "generator.safetensors") for folder in (whole, resumed)]
    torch.testing.assert_close(states[1], states[0], rtol=0, atol=0)


def test_pix2pix_needs_no_face_model(
    inputs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(stage, "open_face_model")
    train(inputs, CONFIGS[1], tmp_path / "out")
    assert not (tmp_path / "out" / "samples").exists()


def losses(folder: Path) -> list[tuple[int, float]]:
    events = EventAccumulator(str(folder / "logs"))
    events.Reload()
    assert {"train/learning_rate", "held_out/psnr_db"} <= set(events.Tags()["scalars"])
    return [(event.step, event.value) for event in events.Scalars("train/l1")]
