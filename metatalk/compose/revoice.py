"""Footage in, the same footage with another mouth out: streaming, a few frames at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from metatalk.compose.blend import Window, compose_window, find_window, match_colours
from metatalk.compose.config import DriveConfig
from metatalk.morphable.coefficients import TrackCoefficients
from metatalk.neural.generator import Generator
from metatalk.neural.infer import render_lower
from metatalk.render.crops import warp_to_crop
from metatalk.render.scene import Scene
from metatalk.shapes import check_shape


class Patchable(Protocol):
    """A frame of the footage that a patch can be laid over."""

    @property
    def width(self) -> int: ...

    @property
    def height(self) -> int: ...

    def rgb(self, box: tuple[int, int, int, int] | None = None) -> np.ndarray:
        """(h, w, 3) uint8 of the box left, top, right, bottom."""
        ...

    def with_patch(self, patch: np.ndarray, alpha: np.ndarray, left: int, top: int) -> Any:
        """The frame with the patch blended in; the rest untouched."""
        ...


@dataclass(frozen=True, eq=False)
class Performance:
    """What the result's frames are to show; row n belongs to its frame n."""

    frames: np.ndarray  # (N,) footage frame behind each frame of the result
    expression: Tensor  # (N, E) the new face
    strength: np.ndarray  # (N,) float32: 1 shows the new face, 0 the filmed one

    def __post_init__(self) -> None:
        count = check_shape("frames", self.frames, "N")["N"]
        check_shape("expression", self.expression, "N E", N=count)
        check_shape("strength", self.strength, "N", N=count)


@dataclass(frozen=True, eq=False)
class Studio:
    """Everything that stays the same while a clip is revoiced."""

    scene: Scene
    track: TrackCoefficients  # (T) as filmed
    transforms: np.ndarray  # (T, 2, 3) frame px to crop px
    generator: Generator  # ready to render, see `prepare_for_rendering`
    config: DriveConfig


def revoice(
    pictures: Iterable[Patchable], performance: Performance, studio: Studio
) -> Iterator[Any]:
    """Give footage another mouth.

    Args:
        pictures: the footage frames `performance.frames`, in that order.
        performance: the new face.
        studio: actor, footage track and networks.

    Returns:
        One frame for each picture; those of strength 0 are the very pictures given.
    """
    source, start = iter(pictures), 0
    while batch := list(islice(source, studio.config.batch)):
        rows = np.arange(start, start + len(batch))
        yield from _revoice_batch(batch, rows, performance, studio)
        start += len(batch)


def _revoice_batch(
    pictures: list[Patchable], rows: np.ndarray, performance: Performance, studio: Studio
) -> list[Any]:
    out: list[Any] = list(pictures)
    shown = [place for place, row in enumerate(rows) if performance.strength[row] > 0]
    windows = [_window(pictures[place], rows[place], performance, studio) for place in shown]
    places = [(place, window) for place, window in zip(shown, windows, strict=True) if window]
    if not places:
        return out
    chosen = rows[[place for place, _ in places]]
    frames = performance.frames[chosen]
    filmed_track = studio.track.take(frames)
    track = filmed_track.with_expression(performance.expression[torch.from_numpy(chosen)])
    transforms, scene = studio.transforms[frames], studio.scene
    windows_rgb = [pictures[place].rgb(window.box) for place, window in places]
    crops = np.stack([
        _crop(picture, window, transform, scene.size)
        for picture, (_, window), transform in zip(windows_rgb, places, transforms, strict=True)
    ])  # fmt: skip
    mask = scene.mask(filmed_track, transforms)
    made = render_lower(studio.generator, scene.synthetic(track, transforms), crops, mask)
    carried = scene.carry(track, filmed_track, transforms)
    for n, (place, window) in enumerate(places):
        filmed = crops[n].astype(np.float32) / 255.0
        matched = match_colours(made[n], filmed, mask[n], studio.config.colour_match)
        patch, alpha = compose_window(
            matched, mask[n], carried.source[n], windows_rgb[n], window, studio.config
        )
        strength = performance.strength[chosen[n]]
        out[place] = pictures[place].with_patch(patch, alpha * strength, window.left, window.top)
    return out


def _window(
    picture: Patchable, row: int, performance: Performance, studio: Studio
) -> Window | None:
    transform = studio.transforms[performance.frames[row]]
    return find_window(transform, studio.scene.size, picture.width, picture.height)


def _crop(picture: np.ndarray, window: Window, transform: np.ndarray, size: int) -> np.ndarray:
    """Cut the crop out of the window alone: converting a whole frame costs more than all this."""
    shifted = transform.copy()
    shifted[:, 2] += transform[:, :2] @ (window.left, window.top)
    return warp_to_crop(picture, shifted, size)


def presence(has_face: np.ndarray, shots: np.ndarray, fade_frames: int) -> np.ndarray:
    """Fade the new face out before the track is lost and in after it is found again.

    Args:
        has_face: (T,) bool.
        shots: (K, 2) first frame and one past the last of each shot; a cut needs no fade.
        fade_frames: length of the fade.

    Returns:
        (T,) float32: 0 where there is no face, rising to 1 within the fade.
    """
    check_shape("has_face", has_face, "T")
    strength = has_face.astype(np.float32)
    for first, end in shots:
        lost = first + np.flatnonzero(~has_face[first:end])
        if len(lost):
            frames = np.arange(first, end)
            after = np.searchsorted(lost, frames).clip(0, len(lost) - 1)
            gaps = np.stack([frames - lost[(after - 1).clip(0)], lost[after] - frames])
            nearest = np.abs(gaps).min(0)
            strength[first:end] *= np.clip(nearest / (fade_frames + 1), 0, 1)
    return strength
