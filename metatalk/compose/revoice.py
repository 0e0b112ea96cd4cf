"""Footage in, the same footage with another mouth out: streaming, a few frames at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from metatalk.compose.ahead import map_in_order
from metatalk.compose.blend import Window, compose_window, find_window, match_colours
from metatalk.compose.config import DriveConfig
from metatalk.morphable.coefficients import TrackCoefficients
from metatalk.neural.infer import Rendered, render_crops
from metatalk.neural.pictures import CropPictures, CropRenderer
from metatalk.render.crops import warp_to_crop
from metatalk.render.scene import Scene
from metatalk.render.texture import Look, carry_mouth, fetch_texture
from metatalk.render.views import Views, draw_views
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
    # (N,) rows of the library whose texture is carried to each; None: there is no library
    sources: np.ndarray | None = None

    def __post_init__(self) -> None:
        count = check_shape("frames", self.frames, "N")["N"]
        check_shape("expression", self.expression, "N E", N=count)
        check_shape("strength", self.strength, "N", N=count)
        if self.sources is not None:
            check_shape("sources", self.sources, "N", N=count)


class Library(Protocol):
    """The actor's footage as crops that texture is carried from."""

    def read(self, rows: np.ndarray) -> np.ndarray:
        """(B, S, S, 3) uint8: the crops."""
        ...

    def look_at(self, rows: np.ndarray, threads: int | None = None) -> Look:
        """The faces in them."""
        ...


@dataclass(frozen=True, eq=False)
class Studio:
    """Everything that stays the same while a clip is revoiced."""

    scene: Scene
    track: TrackCoefficients  # (T) as filmed
    transforms: np.ndarray  # (T, 2, 3) frame px to crop px
    generator: nn.Module  # ready to render, see `prepare_for_rendering`
    config: DriveConfig
    library: Library | None = None  # what `Performance.sources` counts


@dataclass(frozen=True, eq=False)
class Shots:
    """B pictures that get another mouth, and what is read from them; all rows go together."""

    places: list[int]  # which of the batch's pictures these are
    pictures: list[Patchable]
    windows: list[Window]
    footage: list[np.ndarray]  # (h, w, 3) uint8, each window's part of its picture
    crops: np.ndarray  # (B, S, S, 3) uint8
    transforms: np.ndarray  # (B, 2, 3) frame px to crop px
    filmed: TrackCoefficients  # (B)
    track: TrackCoefficients  # (B) the face to be shown
    rows: np.ndarray  # (B,) numbers of the result's frames
    strength: np.ndarray  # (B,) float32


def revoice(
    pictures: Iterable[Patchable], performance: Performance, studio: Studio, workers: int = 1
) -> Iterator[Any]:
    """Give footage another mouth.

    Args:
        pictures: the footage frames `performance.frames`, in that order.
        performance: the new face.
        studio: actor, footage track and networks.
        workers: batches worked on at once, each by a thread of its own. More than one pays
            where PyTorch and OpenCV are kept to one thread each.

    Returns:
        One frame for each picture; those of strength 0 are the very pictures given.
    """

    def work(batch: tuple[list[Patchable], np.ndarray]) -> list[Any]:
        return _revoice_batch(*batch, performance, studio)

    for made in map_in_order(work, _batches(pictures, studio.config.batch), workers):
        yield from made


def _batches(
    pictures: Iterable[Patchable], size: int
) -> Iterator[tuple[list[Patchable], np.ndarray]]:
    """Pictures and their numbers, a few at a time."""
    source, start = iter(pictures), 0
    while batch := list(islice(source, size)):
        yield batch, np.arange(start, start + len(batch))
        start += len(batch)


def _revoice_batch(
    pictures: list[Patchable], rows: np.ndarray, performance: Performance, studio: Studio
) -> list[Any]:
    out: list[Any] = list(pictures)
    shots = _gather(pictures, rows, performance, studio)
    if shots is None:
        return out
    views = _draw(shots, studio)
    made = _render(shots, views, performance, studio)
    for number, place in enumerate(shots.places):
        out[place] = _compose(number, shots, views, made, studio.config)
    return out


def _gather(
    pictures: list[Patchable], rows: np.ndarray, performance: Performance, studio: Studio
) -> Shots | None:
    """Read from the footage what the new mouths need; None where no picture gets one."""
    shown = [place for place, row in enumerate(rows) if performance.strength[row] > 0]
    found = [(place, _window(pictures[place], rows[place], performance, studio)) for place in shown]
    chosen = [(place, window) for place, window in found if window is not None]
    if not chosen:
        return None
    places, windows = [place for place, _ in chosen], [window for _, window in chosen]
    frames = performance.frames[rows[places]]
    filmed, transforms = studio.track.take(frames), studio.transforms[frames]
    footage = [pictures[place].rgb(window.box) for place, window in chosen]
    crops = [
        _crop(picture, window, transform, studio.scene.size)
        for picture, window, transform in zip(footage, windows, transforms, strict=True)
    ]
    return Shots(
        places,
        [pictures[place] for place in places],
        windows,
        footage,
        np.stack(crops),
        transforms,
        filmed,
        filmed.with_expression(performance.expression[torch.from_numpy(rows[places])]),
        rows[places],
        performance.strength[rows[places]],
    )


def _draw(shots: Shots, studio: Studio) -> Views:
    return draw_views(studio.scene, shots.track, shots.filmed, shots.transforms, threads=1)


def _render(shots: Shots, views: Views, performance: Performance, studio: Studio) -> Rendered:
    filmed = fetch_texture(shots.crops, views.carried) if studio.config.filmed else None
    pictures = CropPictures(
        views.synthetic,
        shots.crops,
        views.mask,
        _neighbours(shots.rows, performance, studio),
        views.geometry,
        filmed,
        _matched(shots.rows, views, performance, studio),
    )
    return render_crops(studio.generator, pictures)


def _matched(
    rows: np.ndarray, views: Views, performance: Performance, studio: Studio
) -> np.ndarray | None:
    """(B, S, S, 4) uint8: texture of the actor's footage, of frames with such a mouth."""
    if performance.sources is None or studio.library is None:
        return None
    wanted, places = np.unique(performance.sources[rows], return_inverse=True)
    old = studio.library.look_at(wanted, threads=1).take(places)
    carried = carry_mouth(studio.scene, views.look, old, threads=1)
    return fetch_texture(studio.library.read(wanted)[places], carried, views.geometry)


def _neighbours(rows: np.ndarray, performance: Performance, studio: Studio) -> np.ndarray | None:
    """(B, 2R + 1, S, S, 3) uint8 synthetic faces around each frame; None where none are needed.

    Where the footage jumps, the frame stands in for those beyond.
    """
    reach = studio.generator.temporal_reach if isinstance(studio.generator, CropRenderer) else 0
    if not reach:
        return None
    near = (rows[:, None] + np.arange(-reach, reach + 1)).clip(0, len(performance.frames) - 1)
    away = np.abs(performance.frames[near] - performance.frames[rows][:, None])
    near = np.where(away <= reach, near, rows[:, None])
    unique, places = np.unique(near, return_inverse=True)
    frames = performance.frames[unique]
    expression = performance.expression[torch.from_numpy(unique)]
    shown = studio.track.take(frames).with_expression(expression)
    synthetic = studio.scene.synthetic(shown, studio.transforms[frames])
    stack: np.ndarray = synthetic[places.reshape(near.shape)]
    return stack


def _compose(number: int, shots: Shots, views: Views, made: Rendered, config: DriveConfig) -> Any:
    """Lay one new lower face over its picture."""
    picture, mask = shots.pictures[number], views.mask[number]
    matched = match_colours(made.picture[number], shots.crops[number], mask, config.colour_match)
    patch = compose_window(
        matched,
        mask,
        views.carried.source[number],
        shots.footage[number],
        shots.windows[number],
        config,
        None if made.passed is None else made.passed[number],
    )
    if patch is None:
        return picture
    alpha = patch.alpha * shots.strength[number]
    return picture.with_patch(patch.picture, alpha, patch.left, patch.top)


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
