"""What the stages leave on disk comes back as it was."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
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
from metatalk.errors import MetatalkError, MissingAssetError
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
from metatalk.workspace.actor import disk_errors_remedied


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
    model = MouthModel(2, QUICK, heard=3, sizes=(3, 5, 7), seed=1).eval()
    save_mouth(tmp_path, space, model)
    found, network = load_mouth(tmp_path, QUICK)
    for name, value in vars(space).items():
        np.testing.assert_array_equal(getattr(found, name), value)
    features = torch.randn(1, 83, 64)
    with torch.no_grad():
        torch.testing.assert_close(network(features), model(features))


def test_a_mouth_of_other_settings_is_refused(tmp_path: Path):
    chance = np.random.default_rng(0)
    expression = chance.uniform(size=(40, 4)).astype(np.float32)
    space = fit_mouth_space(
        expression, np.ones(40, bool), chance.normal(size=(4, 30)), np.ones(4, bool), 2
    )
    save_mouth(tmp_path, space, MouthModel(2, QUICK, sizes=(0, 5, 7)))
    other = replace(QUICK, tcn=replace(QUICK.tcn, channels=24))
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

    def die_half_way(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", die_half_way)
    with pytest.raises(OSError, match="No space"):
        save({"step": 4})
    monkeypatch.undo()
    assert load()["step"] == 3


def test_a_checkpoint_with_code_is_not_run(tmp_path: Path):
    path = tmp_path / "state.pt"
    torch.save({"path": Path("x"), "call": print}, path)
    with pytest.raises(Exception, match="[Ww]eights"):
        checkpoint_keeper(path)[1]()


def test_a_checkpoint_comes_back_on_the_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    asked: list[object] = []
    load = torch.load
    monkeypatch.setattr(
        torch,
        "load",
        lambda *args, **more: asked.append(more["map_location"]) or load(*args, **more),
    )
    save, restore = checkpoint_keeper(tmp_path / "state.pt")
    save({"weights": torch.ones(2)})
    assert restore()["weights"].device.type == "cpu"
    assert asked == ["cpu"]


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="the system cannot reserve")
def test_the_room_for_crops_is_reserved(tmp_path: Path):
    create_crops(tmp_path, 40, 64)
    for name in ("real", "synthetic", "mask"):
        stored = (tmp_path / f"{name}.npy").stat()
        assert stored.st_blocks * 512 >= stored.st_size


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_no_room_for_crops_is_an_error_with_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
):
    monkeypatch.setattr(os, "posix_fallocate", refuse_with(number), raising=False)
    with pytest.raises(MetatalkError) as caught, disk_errors_remedied(tmp_path):
        create_crops(tmp_path, 3, 16)
    assert "free some space" in caught.value.remedy


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EINVAL, None])
def test_where_room_cannot_be_reserved_crops_are_made_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int | None
):
    if number is None:
        monkeypatch.delattr(os, "posix_fallocate", raising=False)
    else:
        monkeypatch.setattr(os, "posix_fallocate", refuse_with(number), raising=False)
    create_crops(tmp_path, 3, 16).real[2] = 9
    assert (open_crops(tmp_path).real[2] == 9).all()


def refuse_with(number: int):
    """A disk's refusal, in place of `os.posix_fallocate`."""

    def refuse(descriptor: int, offset: int, length: int) -> None:
        raise OSError(number, os.strerror(number))

    return refuse


SMALL_DISK = """
import resource, sys
from pathlib import Path
import torch
from metatalk.stages.artefacts import checkpoint_keeper, create_crops, save_weights

folder = Path(sys.argv[1])
save, load = checkpoint_keeper(folder / "state.pt")
save({"step": 3})
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
tasks = {
    "checkpoint": lambda: save({"weights": torch.ones(10_000)}),
    "weights": lambda: save_weights(folder / "w.safetensors", {"a": torch.ones(10_000)}),
    "crops": lambda: create_crops(folder, 10, 64),
}
for name, task in tasks.items():
    try:
        task()
    except OSError as error:
        print(name, error.errno)
print("kept", load()["step"])
"""


def test_a_disk_that_ends_half_way_is_an_os_error(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-c", SMALL_DISK, tmp_path], capture_output=True, text=True, timeout=600
    )
    words = done.stdout.split("\n")[:-1]
    expected = [f"{name} {errno.EFBIG}" for name in ("checkpoint", "weights", "crops")]
    assert words == [*expected, "kept 3"], done.stderr
