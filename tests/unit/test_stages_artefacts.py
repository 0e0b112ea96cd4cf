"""What the stages leave on disk comes back as it was."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from a2e_toys import QUICK
from face_toys import toy_clip, toy_model

from metatalk.a2e.model import MouthModel
from metatalk.a2e.targets import fit_mouth_space
from metatalk.errors import MissingAssetError
from metatalk.render.crops import CropLayout
from metatalk.stages.artefacts import (
    CropPlan,
    checkpoint_keeper,
    create_crops,
    load_crop_plan,
    load_index,
    load_landmarks,
    load_mouth,
    load_weights,
    open_crops,
    save_crop_plan,
    save_index,
    save_landmarks,
    save_mouth,
    save_weights,
)
from metatalk.timing import FrameIndex


@pytest.mark.parametrize(
    "index",
    [
        FrameIndex(1001 * np.arange(7), Fraction(1, 30000), Fraction(30000, 1001)),
        FrameIndex(np.array([0, 3, 4, 2**40]), Fraction(1, 90000), Fraction(24, 1)),
    ],
)
def test_times_stay_exact(tmp_path: Path, index: FrameIndex):
    save_index(tmp_path / "frames.npz", index)
    found = load_index(tmp_path / "frames.npz")
    assert found.pts.tolist() == index.pts.tolist()
    assert (found.time_base, found.rate) == (index.time_base, index.rate)
    assert found.time(-1) == index.time(-1)


def test_landmarks(tmp_path: Path):
    track = toy_clip(toy_model(), 5, torch.zeros(3)).landmarks
    track.points[2] = np.nan
    save_landmarks(tmp_path / "landmarks.npz", track)
    found = load_landmarks(tmp_path / "landmarks.npz")
    assert found.layout == track.layout
    assert isinstance(found.layout, str)
    for name in ("points", "confidence", "state", "shots"):
        np.testing.assert_array_equal(getattr(found, name), getattr(track, name))
        assert getattr(found, name).dtype == getattr(track, name).dtype


def test_crop_plan(tmp_path: Path):
    plan = CropPlan(256, CropLayout(0.1, -0.2, 1 / 3))
    save_crop_plan(tmp_path / "crops.json", plan)
    assert load_crop_plan(tmp_path / "crops.json") == plan


def test_crops_are_filled_on_disk(tmp_path: Path):
    crops = create_crops(tmp_path, 3, 16)
    assert crops.real.shape == crops.synthetic.shape == (3, 16, 16, 3)
    crops.real[1] = 7
    crops.mask[2, 4:8] = 255
    found = open_crops(tmp_path)
    assert found.size == 16
    assert (found.real[1] == 7).all()
    assert not found.real[0].any()
    assert found.mask[2].sum() == 255 * 4 * 16
    assert isinstance(found.real, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        found.real[0] = 1


def test_mouth(tmp_path: Path):
    chance = np.random.default_rng(0)
    expression = chance.uniform(size=(40, 4)).astype(np.float32)
    lower = np.array([True, True, False, False])
    space = fit_mouth_space(expression, np.ones(40, bool), chance.normal(size=(4, 30)), lower, 2)
    model = MouthModel(2, QUICK, centres=5, seed=1).eval()
    save_mouth(tmp_path, space, model)
    found, network = load_mouth(tmp_path, QUICK)
    for name, value in vars(space).items():
        np.testing.assert_array_equal(getattr(found, name), value)
    features = torch.randn(1, 80, 64)
    with torch.no_grad():
        torch.testing.assert_close(network(features), model(features))


def test_a_mouth_of_other_settings_is_refused(tmp_path: Path):
    chance = np.random.default_rng(0)
    expression = chance.uniform(size=(40, 4)).astype(np.float32)
    space = fit_mouth_space(
        expression, np.ones(40, bool), chance.normal(size=(4, 30)), np.ones(4, bool), 2
    )
    save_mouth(tmp_path, space, MouthModel(2, QUICK, centres=5))
    other = replace(QUICK, network=replace(QUICK.network, channels=24))
    with pytest.raises(MissingAssetError, match="train_a2e"):
        load_mouth(tmp_path, other)


def test_weights(tmp_path: Path):
    state = {"a": torch.randn(3, 4).T, "b": torch.arange(3)}  # the first is not contiguous
    save_weights(tmp_path / "weights.safetensors", state)
    found = load_weights(tmp_path / "weights.safetensors")
    assert found.keys() == state.keys()
    assert all(found[name].equal(value) for name, value in state.items())


def test_a_checkpoint_is_whole_or_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    save, load = checkpoint_keeper(tmp_path / "state.pt")
    assert load() is None
    save({"step": 3, "weights": [torch.ones(2)], "name": "x"})
    assert load()["step"] == 3
    assert [path.name for path in tmp_path.iterdir()] == ["state.pt"]

    def die_half_way(state: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(torch, "save", die_half_way)
    with pytest.raises(OSError, match="no space"):
        save({"step": 4})
    monkeypatch.undo()
    assert load()["step"] == 3


def test_a_checkpoint_with_code_is_not_run(tmp_path: Path):
    path = tmp_path / "state.pt"
    torch.save({"path": Path("x"), "call": print}, path)
    with pytest.raises(Exception, match="[Ww]eights"):
        checkpoint_keeper(path)[1]()
