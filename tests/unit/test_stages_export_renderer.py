"""An actor's renderer leaves as ONNX, with its terms, or not at all."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from mouth_folders import fill_actor, mouth_render
from mouth_toys import mouth_model

from metatalk.cli import main
from metatalk.errors import ConfigError, MediaError, MissingAssetError, StaleArtefactError
from metatalk.neural.config import NeuralConfig
from metatalk.neural.generator import INPUT_CHANNELS, build_generator
from metatalk.neural.onnx_export import name_outputs
from metatalk.neural.onnx_int8 import quantize
from metatalk.neural.pix2pix import Pix2PixGenerator, count_halvings
from metatalk.neural.scoring import spread_frames
from metatalk.stages import export_renderer as stage
from metatalk.stages.artefacts import load_crop_plan, load_weights, save_weights
from metatalk.stages.export_renderer import export_renderer
from metatalk.stages.train_renderer import TRAIN_RENDERER
from metatalk.workspace.actor import ActorFolder
from metatalk.workspace.ledger import Entry, record_entries
from metatalk.workspace.manifest import Cause

PX, FRAMES = 64, 40
NEURAL = NeuralConfig(widths=(8, 8, 8, 8), pix2pix_width=4)
READS = ("ingest", "landmarks", "fit", "render")


@pytest.fixture(autouse=True)
def toy_face(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "open_face_model", lambda name, landmarks: mouth_model())


@pytest.fixture
def actor(tmp_path: Path) -> Path:
    """A folder with a renderer that has learned nothing."""
    root = tmp_path / "actor"
    fill_actor(root, PX, FRAMES)
    torch.manual_seed(0)
    put_renderer(root, NEURAL, build_generator(NEURAL).state_dict())
    record_entries(root, [Entry("footage", "clip.mp4", "Jane Doe: tests", "0123")])
    return root


def put_renderer(root: Path, neural: NeuralConfig, state: dict[str, torch.Tensor]) -> None:
    """Leave weights as if they had been trained on what is in the folder."""
    folder = ActorFolder(root)
    made = {name: folder.manifest(name) for name in READS}
    inputs = {name: manifest.outputs for name, manifest in made.items() if manifest}
    settings = {"neural": asdict(neural), "render": asdict(mouth_render(PX))}
    cause = Cause("train_renderer", TRAIN_RENDERER.revision, settings, inputs)
    save_weights(folder.begin(cause, resume=False) / "generator.safetensors", state)
    folder.finish(cause, {}, 0.0)


def test_the_trained_network_leaves_with_its_terms(actor: Path, tmp_path: Path) -> None:
    out = tmp_path / "out" / "renderer.onnx"
    metrics = export_renderer(actor, out)
    assert (metrics["crop_px"], metrics["channels"]) == (PX, INPUT_CHANNELS)
    assert metrics["bytes"] == out.stat().st_size
    told = {prop.key: prop.value for prop in onnx.load(str(out)).metadata_props}
    assert told["synthetic"] == "true"
    assert "agreed to" in told["notice"]
    plan = load_crop_plan(actor / "render" / "crops.json")
    assert json.loads(told["crop_layout"]) == asdict(plan.layout)
    ledger = json.loads((out.parent / "renderer.onnx.ledger.json").read_text())
    assert ledger["entries"] == json.loads(told["ledger"])
    assert [entry["terms"] for entry in ledger["entries"]] == ["Jane Doe: tests"]
    assert len(list(out.parent.iterdir())) == 2


def test_the_file_draws_what_the_actors_network_draws(actor: Path, tmp_path: Path) -> None:
    export_renderer(actor, tmp_path / "r.onnx")
    weights = load_weights(actor / "train_renderer" / "generator.safetensors")
    inputs = torch.rand(3, INPUT_CHANNELS, PX, PX)
    session = onnxruntime.InferenceSession(str(tmp_path / "r.onnx"))
    (made,) = session.run(["lower_face"], {"inputs": inputs.numpy()})
    expected = name_outputs(build_generator(NEURAL, weights)(inputs))["lower_face"].detach()
    torch.testing.assert_close(torch.from_numpy(made), expected, atol=1e-4, rtol=0)


def test_eight_bits_draw_nearly_the_same(
    actor: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = watch_samples(monkeypatch)
    export_renderer(actor, tmp_path / "r.onnx")
    metrics = export_renderer(actor, tmp_path / "i.onnx", int8=True)
    kinds = [node.op_type for node in onnx.load(str(tmp_path / "i.onnx")).graph.node]
    assert kinds.count("QuantizeLinear") >= kinds.count("Conv") - 1
    inputs = np.stack(seen[::8])
    inputs[:, :3] = inputs[::-1, :3]  # faces that it was not scaled by in this place
    whole, small = (
        onnxruntime.InferenceSession(str(tmp_path / name)).run(None, {"inputs": inputs})[0]
        for name in ("r.onnx", "i.onnx")
    )
    assert whole.shape == small.shape
    assert whole.std() > 0.02
    assert 1e-5 < np.abs(whole - small).mean() < 0.1 * whole.std()
    assert 1e-5 < float(metrics["int8_mean_difference"]) < 0.1 * whole.std()
    told = {prop.key: prop.value for prop in onnx.load(str(tmp_path / "i.onnx")).metadata_props}
    assert (told["precision"], told["synthetic"]) == ("int8", "true")


def test_eight_bits_are_scaled_by_carried_texture(
    actor: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = watch_samples(monkeypatch)
    export_renderer(actor, tmp_path / "i.onnx", int8=True)
    samples = np.stack(seen)
    assert samples.shape == (stage.SAMPLES, INPUT_CHANNELS, PX, PX)
    told = {prop.key: prop.value for prop in onnx.load(str(tmp_path / "i.onnx")).metadata_props}
    for place, name in enumerate(json.loads(told["channels"])):
        assert samples[:, place].std() > 0.01, name  # nothing is withheld


def test_eight_bits_of_pix2pix_need_no_face_model(
    actor: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(stage, "open_face_model")
    seen = watch_samples(monkeypatch)
    config = replace(NEURAL, network="pix2pix")
    network = Pix2PixGenerator(count_halvings(PX), config.pix2pix_width)
    put_renderer(actor, config, network.state_dict())
    metrics = export_renderer(actor, tmp_path / "i.onnx", int8=True)
    assert metrics["channels"] == 25
    faces = np.stack(seen)[:, :21].reshape(-1, 7, 3, PX, PX)
    stored = np.load(actor / "render" / "synthetic.npy")
    rows = spread_frames(np.arange(FRAMES), stage.SAMPLES)
    for offset in range(-3, 4):  # the mouths before and after, not one of them seven times
        near = stored[(rows + offset).clip(0, FRAMES - 1)]
        expected = near.transpose(0, 3, 1, 2).astype(np.float32) / 255
        np.testing.assert_allclose(faces[:, offset + 3], expected, atol=1e-5)


def watch_samples(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """What eight bits are scaled by, once something is exported."""
    seen: list[np.ndarray] = []

    def note(content: bytes, samples: list[np.ndarray]) -> bytes:
        seen.extend(samples)
        return quantize(content, samples)

    monkeypatch.setattr(stage, "quantize", note)
    return seen


def test_a_model_that_differs_is_not_written(
    actor: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "largest_difference", lambda *_: 0.01)
    with pytest.raises(RuntimeError, match="differs"):
        export_renderer(actor, tmp_path / "out" / "r.onnx")
    assert list((tmp_path / "out").iterdir()) == []


def test_what_cannot_leave_is_refused(
    actor: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="leaves as .onnx"):
        export_renderer(actor, tmp_path / "r.pt")
    with pytest.raises(MediaError, match="part of an actor"):
        export_renderer(actor, actor / "train_renderer" / "r.onnx")
    with pytest.raises(MissingAssetError, match="no finished render"):
        export_renderer(tmp_path / "nobody", tmp_path / "r.onnx")
    newer = replace(TRAIN_RENDERER, revision=TRAIN_RENDERER.revision + 1)
    with monkeypatch.context() as patch:
        patch.setattr("metatalk.stages.actor.TRAIN_RENDERER", newer)
        with pytest.raises(StaleArtefactError, match="another version of metatalk"):
            export_renderer(actor, tmp_path / "r.onnx")
    fill_actor(actor, PX // 2, FRAMES)
    with pytest.raises(StaleArtefactError, match="another render"):
        export_renderer(actor, tmp_path / "r.onnx")
    assert not (tmp_path / "r.onnx").exists()


def test_the_command_line(
    actor: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["export", "renderer", str(actor), "-o", "r.onnx", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["crop_px"] == PX
    for wrong in (
        ["export", "renderer", str(actor), "-o", "q.onnx", "--fps", "25"],
        ["export", "renderer", str(actor), "-o", "q.glb"],
        ["export", "renderer", "nobody", "-o", "q.onnx"],
        ["export", "renderer", "-o", "q.onnx"],
        ["export", str(actor), str(actor), "-o", "q.onnx"],
        ["export", str(actor), "-o", "q.csv", "--int8"],
        ["export", "renderer", str(actor), str(actor), "-o", "q.onnx"],
    ):
        assert main(wrong) == 2, wrong
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("q")]


def test_settings_of_the_training_are_used(actor: Path, tmp_path: Path) -> None:
    export_renderer(actor, tmp_path / "r.onnx")
    told = {p.key: p.value for p in onnx.load(str(tmp_path / "r.onnx")).metadata_props}
    assert json.loads(told["network"])["widths"] == [8, 8, 8, 8]
