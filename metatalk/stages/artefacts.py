"""How the stages' artefacts lie on disk: one writer and one reader for each kind of array."""

from __future__ import annotations

import errno
import io
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from safetensors.torch import save as weights_to_bytes
from torch import Tensor

from metatalk.a2e.config import A2EConfig
from metatalk.a2e.model import MouthModel, model_state, restore_model
from metatalk.a2e.targets import MouthSpace
from metatalk.landmarks.track import LandmarkTrack
from metatalk.neural.batches import LowerFaceCrops
from metatalk.neural.samples import PICTURES, Samples
from metatalk.render.crops import CropLayout
from metatalk.stages.prior_file import load_prior, save_prior
from metatalk.timing import FrameIndex

PRIOR_FILE = "prior.safetensors"  # in the artefact of train_a2e, where there is a prior


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


def load_fit_errors(path: Path) -> dict[str, np.ndarray]:
    """Read how well each frame was fitted: (T,) arrays by name."""
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


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
    """Make the memory-mapped arrays that rendering fills, (N, S, S[, 3]) uint8.

    Raises:
        OSError: the disk has no room for them.
    """
    make = lambda name, *shape: make_array(folder / f"{name}.npy", (count, size, size, *shape))  # noqa: E731
    return LowerFaceCrops(make("real", 3), make("synthetic", 3), make("mask"))


def make_array(path: Path, shape: tuple[int, ...]) -> np.memmap:
    """Make a memory-mapped array of bytes whose room on the disk is reserved.

    Raises:
        OSError: the disk has no room for it.
    """
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    # A new map is a hole: where the disk fills up under it, the first write to a page kills the
    # process (SIGBUS). Reserving the room now makes that an error which can be explained.
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            try:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
            except OSError as error:
                if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):  # not every disk can
                    raise
    return array


def open_crops(folder: Path) -> LowerFaceCrops:
    """Map the rendered arrays, read-only."""
    names = ("real", "synthetic", "mask")
    return LowerFaceCrops(*(np.load(folder / f"{name}.npy", mmap_mode="r") for name in names))


def create_samples(folder: Path, rows: np.ndarray, size: int) -> Samples:
    """Make memory-mapped arrays to be filled.

    Args:
        folder: where; made.
        rows: (M, 2) rows of the crops.
        size: side of the crops, px.

    Returns:
        Empty samples.

    Raises:
        OSError: the disk has no room.
    """
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "rows.npy", rows)
    shape = (len(rows), 2, size, size)
    arrays = (
        make_array(folder / f"{name}.npy", (*shape, channels))
        for name, channels in PICTURES.items()
    )
    return Samples(rows, *arrays)


def open_samples(folder: Path) -> Samples:
    """Map samples that were written before, read-only."""
    arrays = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in PICTURES)
    return Samples(np.load(folder / "rows.npy"), *arrays)


def save_mouth(folder: Path, space: MouthSpace, model: MouthModel) -> None:
    """Write the actor's mouth space and network, and the prior that it was begun with."""
    np.savez(folder / "mouth_space.npz", **vars(space))
    save_weights(folder / "weights.safetensors", model_state(model))
    if model.prior is not None:  # a copy, so that the actor needs the prior's own file no more
        save_prior(folder / PRIOR_FILE, model.prior)


def load_mouth(folder: Path, config: A2EConfig) -> tuple[MouthSpace, MouthModel]:
    """Read the actor's mouth space and network.

    Raises:
        MissingAssetError: the network was trained with other settings.
    """
    with np.load(folder / "mouth_space.npz", allow_pickle=False) as stored:
        space = MouthSpace(**{name: stored[name] for name in stored.files})
    prior = load_prior(folder / PRIOR_FILE) if (folder / PRIOR_FILE).is_file() else None
    return space, restore_model(load_file(folder / "weights.safetensors"), config, prior)


def checkpoint_keeper(path: Path) -> tuple[Callable[[Any], None], Callable[[], Any]]:
    """Functions that keep a training's state in a file: whole or absent, never half.

    Args:
        path: the checkpoint.

    Returns:
        save(state) and load() -> state or None; tensors, numbers, strings, lists and dicts.
    """
    partial = path.with_name(path.name + ".partial")

    def save(state: Any) -> None:
        buffer = io.BytesIO()  # torch.save hides a full disk behind a RuntimeError
        torch.save(state, buffer)
        write_bytes(partial, buffer.getbuffer())
        partial.replace(path)

    def load() -> Any:
        if not path.is_file():
            return None
        # The device it was saved on may be absent; those who restore it move it to theirs.
        return torch.load(path, map_location="cpu", weights_only=True)

    return save, load


def save_weights(path: Path, state: dict[str, Tensor]) -> None:
    """Write a network's weights as safetensors."""
    # safetensors' own file writing hides a full disk behind a SafetensorError.
    write_bytes(path, weights_to_bytes({name: v.contiguous() for name, v in state.items()}))


def load_weights(path: Path) -> dict[str, Tensor]:
    """Read a network's weights."""
    return load_file(path)


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Write a file and wait until the disk has it; a disk that refuses is an OSError."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
