"""From stored crops to training batches: the split, the windows, the augmentation."""

from __future__ import annotations

from dataclasses import dataclass, fields

import cv2
import numpy as np
import torch
from torch import Tensor

from metatalk.errors import FittingError
from metatalk.neural.config import NeuralConfig
from metatalk.neural.samples import PICTURES, Samples
from metatalk.shapes import check_shape


@dataclass(frozen=True, eq=False)
class LowerFaceCrops:
    """Stabilised crops of one clip; arrays may be memory maps, they are read a batch at a time."""

    real: np.ndarray  # (N, S, S, 3) uint8 footage, RGB
    synthetic: np.ndarray  # (N, S, S, 3) uint8 shaded synthetic lower face on black, RGB
    mask: np.ndarray  # (N, S, S) uint8, 255 where the lower face is to be generated, else 0
    has_face: np.ndarray | None = None  # (N,) bool; frames without a face are not learned from
    # (N,) their numbers in the clip, ascending; None: 0, 1, 2, ...
    frames: np.ndarray | None = None
    shots: np.ndarray | None = None  # (K, 2) first frame and one past the last; None: one shot

    def __post_init__(self) -> None:
        sizes = check_shape("real", self.real, "N S S 3")
        check_shape("synthetic", self.synthetic, "N S S 3", **sizes)
        check_shape("mask", self.mask, "N S S", **sizes)
        if self.has_face is not None:
            check_shape("has_face", self.has_face, "N", **sizes)
        if self.frames is not None:
            check_shape("frames", self.frames, "N", **sizes)
        if self.shots is not None:
            check_shape("shots", self.shots, "K 2")

    @property
    def size(self) -> int:
        """Side of the crops in pixels."""
        return int(self.real.shape[1])

    def usable(self) -> np.ndarray:
        """Numbers of the frames that show the face, ascending."""
        if self.has_face is None:
            return np.arange(len(self.real))
        return np.flatnonzero(self.has_face)


@dataclass(frozen=True, eq=False)
class TrainingFrames:
    """The frames that are learned from, and where in the crops there is something to learn."""

    crops: LowerFaceCrops
    samples: Samples
    box: tuple[int, int, int, int]  # left, top, right, bottom around the masks, pixels
    attention: np.ndarray  # (S, S) float32 weight of each pixel's error, about 1


@dataclass(frozen=True, eq=False)
class Windows:
    """Windows as they are stored; those of neighbouring frames follow each other."""

    real: np.ndarray  # (B, P, P, 3) uint8
    synthetic: np.ndarray  # (B, P, P, 3) uint8
    geometry: np.ndarray  # (B, P, P, 3) uint8
    filmed: np.ndarray  # (B, P, P, 4) uint8
    matched: np.ndarray  # (B, P, P, 4) uint8
    mask: np.ndarray  # (B, P, P) uint8
    attention: np.ndarray  # (B, P, P) float32
    places: np.ndarray  # (B, 4) float32 left, top, right, bottom as shares of the crop


@dataclass(frozen=True, eq=False)
class Batch:
    """Tensors of one training step; pictures and mask in [0, 1]."""

    real: Tensor  # (B, 3, P, P)
    synthetic: Tensor  # (B, 3, P, P)
    geometry: Tensor  # (B, 3, P, P)
    filmed: Tensor  # (B, 4, P, P)
    matched: Tensor  # (B, 4, P, P)
    mask: Tensor  # (B, 1, P, P)
    attention: Tensor  # (B, 1, P, P)
    places: Tensor  # (B, 4) left, top, right, bottom as shares of the crop

    def to(self, device: torch.device) -> Batch:
        """The same batch on another device."""
        return Batch(*(getattr(self, part.name).to(device) for part in fields(self)))


def split_frames(frames: np.ndarray, config: NeuralConfig) -> tuple[np.ndarray, np.ndarray]:
    """Part the frames into those that train and those, at the end, that only score.

    Args:
        frames: (N,) frame numbers, ascending.
        config: gives the held-out share and the gap before it.

    Returns:
        Training frames and held-out frames; the second is empty for clips that are too short
        to spare any.

    Raises:
        FittingError: there is no frame at all.
    """
    if not len(frames):
        raise FittingError("no frame shows the face", "give footage in which the actor is seen")
    held_out = int(len(frames) * config.held_out)
    gap = max(0, min(config.held_out_gap, held_out, len(frames) - held_out - 1))
    train = frames[: len(frames) - held_out - gap] if held_out else frames
    return train, frames[len(frames) - held_out :]


def find_mask_box(mask: np.ndarray, frames: np.ndarray) -> tuple[int, int, int, int]:
    """Find the box around the masks of a clip.

    Args:
        mask: (N, S, S) uint8.
        frames: frame numbers to look at; about a hundred of them are.

    Returns:
        left, top, right, bottom in pixels; the whole crop where every mask is empty.
    """
    union = np.zeros(mask.shape[1:], bool)
    for frame in frames[:: max(1, len(frames) // 100)]:
        union |= mask[frame] > 127
    rows, columns = np.flatnonzero(union.any(1)), np.flatnonzero(union.any(0))
    if not len(rows):
        return 0, 0, mask.shape[2], mask.shape[1]
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def to_pictures(stored: np.ndarray, device: torch.device) -> Tensor:
    """Turn stored pictures into what the networks take.

    Args:
        stored: (B, H, W, 3) or (B, H, W) uint8.
        device: where to.

    Returns:
        (B, 3, H, W) or (B, 1, H, W) float32 in [0, 1], channels last in memory.
    """
    tensor = torch.from_numpy(np.ascontiguousarray(stored)).to(device)
    tensor = tensor.unsqueeze(-1) if tensor.dim() == 3 else tensor
    return tensor.permute(0, 3, 1, 2).float() / 255


def measure_attention(crops: LowerFaceCrops, frames: np.ndarray, strength: float) -> np.ndarray:
    """Weigh pixels by how much they change over the clip: in stabilised crops that is the mouth.

    Args:
        crops: the clip.
        frames: frame numbers to look at; about sixty of them are.
        strength: 0 weighs all pixels alike, 1 wholly by their change.

    Returns:
        (S, S) float32, about 1 on average inside the masks.
    """
    chosen = frames[:: max(1, len(frames) // 60)]
    grey = np.stack([crops.real[frame].mean(-1, dtype=np.float32) for frame in chosen])
    change = cv2.GaussianBlur(grey.std(0), (0, 0), crops.size / 64)
    inside = np.stack([crops.mask[frame] > 127 for frame in chosen]).any(0)
    usual = float(change[inside].mean()) if inside.any() else 0.0
    if usual <= 0:
        return np.ones((crops.size, crops.size), np.float32)
    share = (change / usual).clip(1 / 4, 4)
    return (1 - strength + strength * share).astype(np.float32)


def prepare_frames(
    crops: LowerFaceCrops, samples: Samples, rows: np.ndarray, config: NeuralConfig
) -> TrainingFrames:
    """Measure what batches are drawn by."""
    attention = measure_attention(crops, rows, config.attention)
    return TrainingFrames(crops, samples, find_mask_box(crops.mask, rows), attention)


def draw_windows(
    training: TrainingFrames, config: NeuralConfig, batch: int, random: np.random.Generator
) -> Windows:
    """Read random windows of random pairs of frames; every window lies over the mask's box.

    Args:
        training: the clip's training frames.
        config: gives the window's size.
        batch: how many windows; of an odd number the last has no neighbour.
        random: source of chance.

    Returns:
        The windows, cut alike from all pictures and from both frames of a pair.
    """
    samples = training.samples
    side = min(config.window_px, training.crops.size)
    parts: list[tuple[np.ndarray, ...]] = []
    for first in range(0, batch, 2):
        pair = int(random.integers(len(samples)))
        x, y = _place_window(training, side, random)
        parts += [_cut(training, pair, n, x, y, side) for n in range(min(2, batch - first))]
    return Windows(*(np.stack(part) for part in zip(*parts, strict=True)))


def _place_window(
    training: TrainingFrames, side: int, random: np.random.Generator
) -> tuple[int, int]:
    left, top, right, bottom = training.box
    size = training.crops.size
    x = _window_start(left, right, side, size, random)
    return x, _window_start(top, bottom, side, size, random)


def _window_start(start: int, stop: int, side: int, size: int, random: np.random.Generator) -> int:
    """A window may overhang the box by an eighth, so that edges are seen as often as the middle."""
    lowest = max(0, min(start - side // 8, size - side))
    highest = max(lowest, min(stop - side + side // 8, size - side))
    return int(random.integers(lowest, highest + 1))


def _cut(
    training: TrainingFrames, pair: int, number: int, x: int, y: int, side: int
) -> tuple[np.ndarray, ...]:
    """One window of one frame, in the order of `Windows`."""
    crops, samples = training.crops, training.samples
    row, window = samples.rows[pair, number], np.s_[y : y + side, x : x + side]
    drawn = (getattr(samples, name)[pair, number][window] for name in PICTURES)
    place = np.array([x, y, x + side, y + side], np.float32) / crops.size
    return (
        crops.real[row][window],
        *drawn,
        crops.mask[row][window],
        training.attention[window],
        place,
    )


def augment(windows: Windows, config: NeuralConfig, random: np.random.Generator) -> Batch:
    """Vary gain and mask, and hide textures now and then, so that nothing is learned by heart.

    Args:
        windows: as stored.
        config: gives the strengths.
        random: source of chance.

    Returns:
        The batch, on the CPU; pictures of a pair had the same gain applied, and the carried
        textures one that differs a little, as the light between two frames does.
    """
    pairs = (len(windows.real) + 1) // 2
    own, other = (_draw_gains(pairs, config.colour_jitter, random) for _ in range(2))
    gains = own[: len(windows.real)]
    match_gains = (gains + (other[: len(gains)] - 1) / 2).astype(np.float32)
    growth = int(random.integers(0, config.mask_growth_px + 1))
    kernel = np.ones((2 * growth + 1, 2 * growth + 1), np.uint8)
    mask = np.stack([cv2.dilate(mask, kernel) for mask in windows.mask])
    known = random.random((2, pairs, 1, 1, 1)) >= np.array(config.hidden).reshape(2, 1, 1, 1, 1)
    known = known.repeat(2, axis=1)[:, : len(gains)]
    return Batch(
        _as_planes(_brighten(windows.real, gains)),
        _as_planes(_brighten(windows.synthetic, gains)),
        _as_planes(windows.geometry.astype(np.float32) / 255),
        _as_planes(_brighten(windows.filmed, gains) * known[0]),
        _as_planes(_brighten(windows.matched, match_gains) * known[1]),
        _as_planes(mask[..., None].astype(np.float32) / 255),
        _as_planes(windows.attention[..., None]),
        torch.from_numpy(windows.places),
    )


def _draw_gains(pairs: int, spread: float, random: np.random.Generator) -> np.ndarray:
    """(2 * pairs, 1, 1, 3) float32 about 1, alike for both frames of a pair."""
    gain = random.uniform(1 - spread, 1 + spread, (pairs, 1, 1, 1))
    gain = gain * random.uniform(1 - spread / 3, 1 + spread / 3, (pairs, 1, 1, 3))
    return gain.repeat(2, axis=0).astype(np.float32)


def _brighten(stored: np.ndarray, gains: np.ndarray) -> np.ndarray:
    """Pictures in [0, 1] with RGB multiplied; a fourth channel stays."""
    picture: np.ndarray = stored.astype(np.float32) / 255
    picture[..., :3] = (picture[..., :3] * gains).clip(0, 1)
    return picture


def _as_planes(pictures: np.ndarray) -> Tensor:
    """(B, H, W, C) to (B, C, H, W); the values stay where they are, so it is channels last."""
    return torch.from_numpy(np.ascontiguousarray(pictures, np.float32)).permute(0, 3, 1, 2)
