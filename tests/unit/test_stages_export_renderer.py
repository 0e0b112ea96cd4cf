"""An actor's renderer leaves as ONNX, with its terms, or not at all."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from metatalk.cli import main
from metatalk.errors import ConfigError, MediaError, MissingAssetError, StaleArtefactError
from metatalk.neural.config import NeuralConfig
from metatalk.neural.generator import INPUT_CHANNELS, build_generator
from metatalk.neural.onnx_export import name_outputs
from metatalk.render.crops import CropLayout
from metatalk.stages import export_renderer as stage
from metatalk.stages.artefacts import (
    CropPlan,
    create_crops,
    load_weights,
    save_crop_plan,
    save_weights,
)
from metatalk.stages.export_renderer import export_renderer
from metatalk.workspace.actor import ActorFolder
from metatalk.workspace.ledger import Entry, record_entries
from metatalk.workspace.manifest import Cause

PX, FRAMES = 64, 5
NEURAL = NeuralConfig(widths=(8, 8, 8, 8))


@pytest.fixture
def actor(tmp_path: Path) -> Path:
    """A folder with a renderer that has learned nothing."""
    root = tmp_path / "actor"
    make_render(root, PX)
    folder = ActorFolder(root)
    crops = folder.manifest("render")
    assert crops is not None
    cause = Cause("train_renderer", 1, {"neural": asdict(NEURAL)}, {"render": crops.outputs})
    torch.manual_seed(0)
    out = folder.begin(cause, resume=False)
    save_weights(out / "generator.safetensors", build_generator(NEURAL).state_dict())
    folder.finish(cause, {}, 0.0)
    record_entries(root, [Entry("footage", "clip.mp4", "Jane Doe: tests", "0123")])
    return root


def make_render(root: Path, size: int) -> None:
    folder, cause = ActorFolder(root), Cause("render", 1, {}, {})
    out = folder.begin(cause, resume=False)
    save_crop_plan(out / "crops.json", CropPlan(size, CropLayout(0.1, 0.2, 1.5)))
    crops, noise = create_crops(out, FRAMES, size), np.random.default_rng(0)
    for array in (crops.real, crops.synthetic):
        array[:] = noise.integers(0, 256, array.shape, np.uint8)
    crops.mask[:, size // 2 :] = 255
    folder.finish(cause, {}, 0.0)


def test_the_trained_network_leaves_with_its_terms(actor: Path, tmp_path: Path) -> None:
    out = tmp_path / "out" / "renderer.onnx"
    metrics = export_renderer(actor, out)
    assert (metrics["crop_px"], metrics["channels"]) == (PX, INPUT_CHANNELS)
    assert metrics["bytes"] == out.stat().st_size
    told = {prop.key: prop.value for prop in onnx.load(str(out)).metadata_props}
    assert told["synthetic"] == "true"
    assert "agreed to" in told["notice"]
    assert json.loads(told["crop_layout"]) == {"centre_x": 0.1, "centre_y": 0.2, "half_side": 1.5}
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


def test_eight_bits_draw_nearly_the_same(actor: Path, tmp_path: Path) -> None:
    export_renderer(actor, tmp_path / "r.onnx")
    metrics = export_renderer(actor, tmp_path / "i.onnx", int8=True)
    kinds = [node.op_type for node in onnx.load(str(tmp_path / "i.onnx")).graph.node]
    assert kinds.count("QuantizeLinear") >= kinds.count("Conv") - 1
    inputs = np.random.default_rng(1).random((2, INPUT_CHANNELS, PX, PX), np.float32)
    inputs[:, 6] = 0
    inputs[:, 6, PX // 2 :] = 1
    inputs[:, 3:6] *= 1 - inputs[:, 6:]
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


def test_a_model_that_differs_is_not_written(
    actor: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "largest_difference", lambda *_: 0.01)
    with pytest.raises(RuntimeError, match="differs"):
        export_renderer(actor, tmp_path / "out" / "r.onnx")
    assert list((tmp_path / "out").iterdir()) == []


def test_what_cannot_leave_is_refused(actor: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="leaves as .onnx"):
        export_renderer(actor, tmp_path / "r.pt")
    with pytest.raises(MediaError, match="part of an actor"):
        export_renderer(actor, actor / "train_renderer" / "r.onnx")
    with pytest.raises(MissingAssetError, match="no finished render"):
        export_renderer(tmp_path / "nobody", tmp_path / "r.onnx")
    make_render(actor, 128)
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
