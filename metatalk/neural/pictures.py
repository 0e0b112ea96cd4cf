"""What a network may look at to render a frame: the crop's pictures, and the frames around it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from metatalk.neural.batches import LowerFaceCrops, to_pictures
from metatalk.neural.samples import PICTURES, Samples
from metatalk.shapes import check_shape


@dataclass(frozen=True, eq=False)
class CropPictures:
    """The pictures of some frames' crops, as they are stored."""

    synthetic: np.ndarray  # (B, S, S, 3) uint8 shaded synthetic lower face on black, RGB
    real: np.ndarray  # (B, S, S, 3) uint8 footage; only what lies outside the mask is looked at
    mask: np.ndarray  # (B, S, S) uint8, 255 where the lower face is to be generated, else 0
    # Synthetic faces of the 2R + 1 frames around each, in order of time; the middle one is its own.
    neighbours: np.ndarray | None = None  # (B, 2R + 1, S, S, 3) uint8
    geometry: np.ndarray | None = None  # (B, S, S, 3) uint8 normals, camera frame, -1..1 as 0..255
    filmed: np.ndarray | None = None  # (B, S, S, 4) uint8 texture of the footage: RGB and trust
    matched: np.ndarray | None = None  # (B, S, S, 4) uint8 of a frame with the same mouth

    def __post_init__(self) -> None:
        sizes = check_shape("synthetic", self.synthetic, "B S S 3")
        check_shape("real", self.real, "B S S 3", **sizes)
        check_shape("mask", self.mask, "B S S", **sizes)
        for name, axes in OPTIONAL.items():
            if getattr(self, name) is not None:
                check_shape(name, getattr(self, name), axes, **sizes)

    def __len__(self) -> int:
        return len(self.synthetic)

    def take(self, part: slice) -> CropPictures:
        """The pictures of some of the frames."""
        some = lambda array: None if array is None else array[part]  # noqa: E731
        return CropPictures(
            self.synthetic[part],
            self.real[part],
            self.mask[part],
            *(some(getattr(self, name)) for name in OPTIONAL),
        )

    def to(self, device: torch.device) -> PictureTensors:
        """Bring the pictures to where a network is."""
        bring = lambda stored: None if stored is None else to_pictures(stored, device)  # noqa: E731
        return PictureTensors(
            to_pictures(self.synthetic, device),
            to_pictures(self.real, device),
            to_pictures(self.mask, device),
            _to_stacks(self.neighbours, device),
            bring(self.geometry),
            bring(self.filmed),
            bring(self.matched),
        )


OPTIONAL = {
    "neighbours": "B K S S 3",
    "geometry": "B S S 3",
    "filmed": "B S S 4",
    "matched": "B S S 4",
}


@dataclass(frozen=True, eq=False)
class PictureTensors:
    """The same pictures as float32 in [0, 1]."""

    synthetic: Tensor  # (B, 3, S, S)
    real: Tensor  # (B, 3, S, S)
    mask: Tensor  # (B, 1, S, S)
    neighbours: Tensor | None = None  # (B, 2R + 1, 3, S, S)
    geometry: Tensor | None = None  # (B, 3, S, S)
    filmed: Tensor | None = None  # (B, 4, S, S)
    matched: Tensor | None = None  # (B, 4, S, S)


class Stackable(Protocol):
    """Tensors in [0, 1] that our generator stacks: `PictureTensors`, or a batch to learn from."""

    @property
    def synthetic(self) -> Tensor: ...

    @property
    def real(self) -> Tensor: ...

    @property
    def mask(self) -> Tensor: ...

    @property
    def geometry(self) -> Tensor | None: ...

    @property
    def filmed(self) -> Tensor | None: ...

    @property
    def matched(self) -> Tensor | None: ...


@dataclass(frozen=True, eq=False)
class Drawn:
    """What a network has made of some crops."""

    picture: Tensor  # (B, 3, S, S) RGB in [0, 1]
    passed: Tensor | None = None  # (B, 1, S, S) weight of the filmed fine band; None: not told


def _to_stacks(stored: np.ndarray | None, device: torch.device) -> Tensor | None:
    if stored is None:
        return None
    flat = to_pictures(stored.reshape(-1, *stored.shape[2:]), device)
    return flat.unflatten(0, stored.shape[:2])


@runtime_checkable
class CropRenderer(Protocol):
    """A network that says which frames it must see, and renders from pictures."""

    temporal_reach: int  # synthetic faces looked at before and after each frame

    def draw(self, pictures: PictureTensors) -> Drawn:
        """Render whole crops."""


def read_pictures(crops: LowerFaceCrops, rows: np.ndarray, reach: int = 0) -> CropPictures:
    """Read what a network looks at to render some of a clip's crops.

    Args:
        crops: the clip.
        rows: (B,) rows of its arrays.
        reach: how many frames are looked at before and after each.

    Returns:
        Their pictures, with neighbours where `reach` is above zero.
    """
    near = crops.synthetic[neighbour_rows(crops, rows, reach)] if reach else None
    return CropPictures(crops.synthetic[rows], crops.real[rows], crops.mask[rows], near)


def trial_pictures(crops: LowerFaceCrops, trial: Samples, rows: np.ndarray) -> CropPictures:
    """Read what a network looks at to render some frames.

    Args:
        crops: the clip.
        trial: frames with texture carried to them.
        rows: (B,) rows of the crops; those in the trial that are nearest to them are read.

    Returns:
        Their pictures.
    """
    pairs, which = trial.nearest(rows)
    shown = trial.rows[pairs, which]
    drawn = {name: getattr(trial, name)[pairs, which] for name in PICTURES}
    return CropPictures(real=crops.real[shown], mask=crops.mask[shown], **drawn)


def neighbour_rows(crops: LowerFaceCrops, rows: np.ndarray, reach: int) -> np.ndarray:
    """Find the crops nearest in time to those before and after some frames.

    A frame that was not kept is stood in for by the kept one nearest to it; no window reaches
    over a cut or over the clip's ends, where the last frame repeats.

    Args:
        crops: the clip.
        rows: (B,) rows of its arrays.
        reach: R, how many frames before and after.

    Returns:
        (B, 2R + 1) rows, in order of time; the middle column is `rows`.
    """
    frames = np.arange(len(crops.real)) if crops.frames is None else crops.frames
    offsets = np.arange(-reach, reach + 1)
    wanted = frames[rows][:, None] + offsets
    after = np.searchsorted(frames, wanted).clip(0, len(frames) - 1)
    before = (after - 1).clip(0)
    nearer = np.abs(frames[before] - wanted) - np.abs(frames[after] - wanted)
    found = np.where((nearer < 0) | ((nearer == 0) & (offsets > 0)), before, after)
    first, last = _shot_rows(frames, crops.shots, rows)
    return np.clip(found, first[:, None], last[:, None])


def _shot_rows(
    frames: np.ndarray, shots: np.ndarray | None, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """First and last row of the shot that each row lies in."""
    if shots is None:
        return np.zeros_like(rows), np.full_like(rows, len(frames) - 1)
    starts, ends = shots[:, 0], shots[:, 1]
    shot = (np.searchsorted(starts, frames[rows], side="right") - 1).clip(0)
    return np.searchsorted(frames, starts[shot]), np.searchsorted(frames, ends[shot]) - 1
