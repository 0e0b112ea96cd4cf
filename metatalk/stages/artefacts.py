"""How the stages' artefacts lie on disk: one writer and one reader for each kind of array."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from metatalk.a2e.config import A2EConfig
from metatalk.a2e.model import MouthModel, model_state, restore_model
from metatalk.a2e.targets import MouthSpace
from metatalk.landmarks.track import LandmarkTrack
from metatalk.neural.batches import LowerFaceCrops
from metatalk.render.crops import CropLayout
from metatalk.timing import FrameIndex


def save_index(path: Path, index: FrameIndex) -> None:
    """Write frame times as `.npz`."""
    ratio = lambda value: np.array([value.numerator, value.denominator])  # noqa: E731
    np.savez(path, pts=index.pts, time_base=ratio(index.time_base), rate=ratio(index.rate))


def load_index(path: Path) -> FrameIndex:
    """Read frame times."""
    with np.load(path, allow_pickle=False) as stored:
        ratio = lambda name: Fraction(*(int(part) for part in stored[name]))  # noqa: E731
        return FrameIndex(stored["pts"], ratio("time_base"), ratio("rate"))


def save_landmarks(path: Path, track: LandmarkTrack) -> None:
    """Write landmarks as `.npz`."""
    np.savez(path, **{name: np.asarray(value) for name, value in vars(track).items()})


def load_landmarks(path: Path) -> LandmarkTrack:
    """Read landmarks."""
    with np.load(path, allow_pickle=False) as stored:
        arrays: dict[str, Any] = {name: stored[name] for name in stored.files}
    return LandmarkTrack(**{**arrays, "layout": str(arrays["layout"])})


@dataclass(frozen=True)
class CropPlan:
    """How the actor's crops are cut, on any clip."""

    size: int  # px
    layout: CropLayout


def save_crop_plan(path: Path, plan: CropPlan) -> None:
    """Write a crop plan as JSON."""
    path.write_text(json.dumps(asdict(plan), indent=1), encoding="utf-8")


def load_crop_plan(path: Path) -> CropPlan:
    """Read a crop plan."""
    stored = json.loads(path.read_text(encoding="utf-8"))
    return CropPlan(stored["size"], CropLayout(**stored["layout"]))


def create_crops(folder: Path, count: int, size: int) -> LowerFaceCrops:
    """Make the memory-mapped arrays that rendering fills, (N, S, S[, 3]) uint8."""
    make = lambda name, *shape: np.lib.format.open_memmap(  # noqa: E731
        folder / f"{name}.npy", mode="w+", dtype=np.uint8, shape=(count, size, size, *shape)
    )
    return LowerFaceCrops(make("real", 3), make("synthetic", 3), make("mask"))


def open_crops(folder: Path) -> LowerFaceCrops:
    """Map the rendered arrays, read-only."""
    names = ("real", "synthetic", "mask")
    return LowerFaceCrops(*(np.load(folder / f"{name}.npy", mmap_mode="r") for name in names))


def save_mouth(folder: Path, space: MouthSpace, model: MouthModel) -> None:
    """Write the actor's mouth space and network."""
    np.savez(folder / "mouth_space.npz", **vars(space))
    save_file(model_state(model), folder / "weights.safetensors")


def load_mouth(folder: Path, config: A2EConfig) -> tuple[MouthSpace, MouthModel]:
    """Read the actor's mouth space and network.

    Raises:
        MissingAssetError: the network was trained with other settings.
    """
    with np.load(folder / "mouth_space.npz", allow_pickle=False) as stored:
        space = MouthSpace(**{name: stored[name] for name in stored.files})
    return space, restore_model(load_file(folder / "weights.safetensors"), config)


def checkpoint_keeper(path: Path) -> tuple[Callable[[Any], None], Callable[[], Any]]:
    """Functions that keep a training's state in a file: whole or absent, never half.

    Args:
        path: the checkpoint.

    Returns:
        save(state) and load() -> state or None; tensors, numbers, strings, lists and dicts.
    """
    partial = path.with_name(path.name + ".partial")

    def save(state: Any) -> None:
        torch.save(state, partial)
        partial.replace(path)

    def load() -> Any:
        return torch.load(path, weights_only=True) if path.is_file() else None

    return save, load


def save_weights(path: Path, state: dict[str, Tensor]) -> None:
    """Write a network's weights as safetensors."""
    save_file({name: value.contiguous() for name, value in state.items()}, path)


def load_weights(path: Path) -> dict[str, Tensor]:
    """Read a network's weights."""
    return load_file(path)
