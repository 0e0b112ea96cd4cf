"""Footage in, the same footage with another mouth out: streaming, a few frames at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from metatalk.compose.ahead import map_in_order
from metatalk.compose.blend import (
    DrawnFace,
    Patch,
    Window,
    compose_window,
    find_window,
    mix_patches,
)
from metatalk.compose.config import DriveConfig
from metatalk.compose.fallback.beside import draw_beside
from metatalk.compose.fallback.foreground_masks import Foreground
from metatalk.compose.grade import Grade, ShotGrades, bring_all, relight_all, take_all_back
from metatalk.compose.jaw import JawLines, follow_jaw
from metatalk.compose.seam.colour_match import match_colours
from metatalk.compose.seam.grain import FrameGrain, Grain
from metatalk.compose.seam.slits import close_slits
from metatalk.morphable.coefficients import TrackCoefficients
from metatalk.neural.infer import Rendered, render_crops
from metatalk.neural.pictures import CropPictures, CropRenderer
from metatalk.render.crops import warp_to_crop
from metatalk.render.scene import Scene
from metatalk.render.silhouette import Outlines, find_outlines
from metatalk.render.texture import Look, carry_mouth, fetch_texture
from metatalk.render.views import Views, draw_views
from metatalk.shapes import check_shape


class EyePatches(Protocol):
    """Other eyes for some of a result's frames."""

    def patch(self, row: int, picture: Any, filmed: TrackCoefficients) -> Patch | None:
        """The eyes of frame `row`, whose picture and (1) filmed face are given; None: its own."""
        ...


class Patchable(Protocol):
    """A frame of the footage that a patch can be laid over."""

    @property
    def width(self) -> int: ...

    @property
    def height(self) -> int: ...

    @property
    def bits(self) -> int: ...

    def rgb(self, box: tuple[int, int, int, int] | None = None) -> np.ndarray:
        """(h, w, 3) uint8 of the box left, top, right, bottom."""
        ...

    def rgb_float(self, box: tuple[int, int, int, int] | None = None) -> np.ndarray:
        """(h, w, 3) float32 in [0, 1] of the same, at the frame's own depth."""
        ...

    def with_patch(self, patch: np.ndarray, alpha: np.ndarray, left: int, top: int) -> Any:
        """The frame with the patch blended in; the rest untouched."""
        ...


@dataclass(frozen=True, eq=False)
class Performance:
    """What the result's frames are to show; row n belongs to its frame n.

    Raises:
        ShapeError: the arrays do not belong together.
    """

    frames: np.ndarray  # (N,) footage frame behind each frame of the result
    filmed: TrackCoefficients  # (N) the face in the picture behind each
    transforms: np.ndarray  # (N, 2, 3) that picture's px to crop px
    expression: Tensor  # (N, E) the new face
    strength: np.ndarray  # (N,) float32: 1 shows the new face, 0 the filmed one
    # (N,) rows of the library whose texture is carried to each; None: there is no library
    sources: np.ndarray | None = None
    eyes: EyePatches | None = None  # None: all eyes are as filmed
    first: int = 0  # number of the frame that row 0 is

    def __post_init__(self) -> None:
        count = check_shape("frames", self.frames, "N")["N"]
        check_shape("filmed.expression", self.filmed.expression, "N E", N=count)
        check_shape("transforms", self.transforms, "N 2 3", N=count)
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
    generator: nn.Module  # ready to render, see `prepare_for_rendering`
    config: DriveConfig
    library: Library | None = None  # what `Performance.sources` counts
    grain: Grain | None = None  # of the footage; None: it has none, or none is to be laid
    standing: Foreground | None = None  # before the footage's face; None: nothing that is known
    grades: ShotGrades | None = None  # None: the footage is in the actor's own colours


@dataclass(frozen=True, eq=False)
class Revoiced:
    """One frame of a result."""

    picture: Any  # as it was given, with the patches laid over it
    patches: tuple[Patch, ...]  # in the order in which they lie; none where nothing was changed


@dataclass(frozen=True, eq=False)
class Shots:
    """B pictures that get another mouth, and what is read from them; all rows go together."""

    places: list[int]  # which of the batch's pictures these are
    pictures: list[Patchable]
    windows: list[Window]
    footage: list[np.ndarray]  # (h, w, 3) uint8 or float32 in [0, 1], each window's picture
    crops: np.ndarray  # (B, S, S, 3) uint8
    transforms: np.ndarray  # (B, 2, 3) frame px to crop px
    filmed: TrackCoefficients  # (B)
    track: TrackCoefficients  # (B) the face to be shown
    rows: np.ndarray  # (B,) rows of the performance
    numbers: np.ndarray  # (B,) of the result's frames
    frames: np.ndarray  # (B,) of the footage's
    strength: np.ndarray  # (B,) float32
    grades: list[Grade | None] | None = None  # None: all are in the actor's own colours


def revoice(
    pictures: Iterable[Patchable],
    performance: Performance,
    studio: Studio,
    workers: int = 1,
    first: int = 0,
    keep_patches: bool = True,
) -> Iterator[Revoiced]:
    """Give footage another mouth.

    Args:
        pictures: those behind the result's frames, in their order.
        performance: the new face.
        studio: actor and networks.
        workers: batches worked on at once, each by a thread of its own. More than one pays
            where PyTorch and OpenCV are kept to one thread each.
        first: row of the performance that the first picture belongs to.
        keep_patches: whether anybody wants the patches, which are as large as the faces.

    Returns:
        One frame for each picture; those of strength 0, whose eyes are their own, hold the very
        pictures given.
    """

    def work(batch: tuple[list[Patchable], np.ndarray]) -> list[Revoiced]:
        made = _revoice_batch(*batch, performance, studio)
        return made if keep_patches else [Revoiced(frame.picture, ()) for frame in made]

    batches = _batches(pictures, studio.config.batch, first)
    for made in map_in_order(work, batches, workers):
        yield from made


def _batches(
    pictures: Iterable[Patchable], size: int, start: int
) -> Iterator[tuple[list[Patchable], np.ndarray]]:
    """Pictures and their numbers, a few at a time."""
    source = iter(pictures)
    while batch := list(islice(source, size)):
        yield batch, np.arange(start, start + len(batch))
        start += len(batch)


def _revoice_batch(
    pictures: list[Patchable], rows: np.ndarray, performance: Performance, studio: Studio
) -> list[Revoiced]:
    out = [Revoiced(picture, ()) for picture in pictures]
    shots = _gather(pictures, rows, performance, studio)
    if shots is not None:
        views = _draw(shots, studio)
        made = _render(shots, views, performance, studio)
        outlines = None
        if studio.config.jaw.strength > 0:
            outlines = find_outlines(studio.scene, views.look, views.filmed_look)
        for number, place in enumerate(shots.places):
            out[place] = _compose(number, shots, views, made, outlines, studio)
    if performance.eyes is not None:
        out = [_change_eyes(frame, row, performance) for frame, row in zip(out, rows, strict=True)]
    return out


def _change_eyes(frame: Revoiced, row: int, performance: Performance) -> Revoiced:
    """The same frame with other eyes, where it is to have some."""
    assert performance.eyes is not None
    filmed = performance.filmed.take(np.array([row]))
    patch = performance.eyes.patch(performance.first + int(row), frame.picture, filmed)
    if patch is None:
        return frame
    picture = frame.picture.with_patch(patch.picture, patch.alpha, patch.left, patch.top)
    return Revoiced(picture, (*frame.patches, patch))


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
    filmed = _faces(rows[places], performance, studio)
    transforms = performance.transforms[rows[places]]
    bytes_of = [pictures[place].rgb(window.box) for place, window in chosen]
    crops = [
        _crop(picture, window, transform, studio.scene.size)
        for picture, window, transform in zip(bytes_of, windows, transforms, strict=True)
    ]
    # What is laid back over the frame must be as deep as the frame; the network sees bytes.
    footage = [
        pictures[place].rgb_float(window.box) if pictures[place].bits > 8 else seen
        for (place, window), seen in zip(chosen, bytes_of, strict=True)
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
        performance.first + rows[places],
        performance.frames[rows[places]],
        performance.strength[rows[places]],
        _grades(rows[places], performance, studio),
    )


def _grades(
    rows: np.ndarray, performance: Performance, studio: Studio
) -> list[Grade | None] | None:
    return None if studio.grades is None else studio.grades.at(performance.frames[rows])


def _faces(rows: np.ndarray, performance: Performance, studio: Studio) -> TrackCoefficients:
    """The filmed faces, under such a light as the actor was learned in."""
    return relight_all(performance.filmed.take(rows), _grades(rows, performance, studio))


def _draw(shots: Shots, studio: Studio) -> Views:
    return draw_views(studio.scene, shots.track, shots.filmed, shots.transforms, threads=1)


def _render(shots: Shots, views: Views, performance: Performance, studio: Studio) -> Rendered:
    seen = bring_all(shots.crops, shots.grades)
    filmed = fetch_texture(seen, views.carried) if studio.config.filmed else None
    pictures = CropPictures(
        views.synthetic,
        seen,
        views.mask,
        _neighbours(shots.rows, performance, studio),
        views.geometry,
        filmed,
        _matched(shots.rows, views, performance, studio),
    )
    made = render_crops(studio.generator, pictures)
    return replace(made, picture=take_all_back(made.picture, shots.grades))


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
    expression = performance.expression[torch.from_numpy(unique)]
    shown = _faces(unique, performance, studio).with_expression(expression)
    synthetic = studio.scene.synthetic(shown, performance.transforms[unique])
    stack: np.ndarray = synthetic[places.reshape(near.shape)]
    return stack


def _compose(
    number: int,
    shots: Shots,
    views: Views,
    made: Rendered,
    outlines: Outlines | None,
    studio: Studio,
) -> Revoiced:
    """Lay one new lower face over its picture."""
    picture, config = shots.pictures[number], studio.config
    plain = _plain(number, shots, views, made, config)
    if outlines is None:
        patch = _lay(number, shots, plain, studio)
    else:
        patch = _lay_followed(number, shots, plain, outlines, studio)
    if patch is None:
        return Revoiced(picture, ())
    laid = replace(patch, alpha=patch.alpha * shots.strength[number])
    return Revoiced(picture.with_patch(laid.picture, laid.alpha, laid.left, laid.top), (laid,))


def _lay_followed(
    number: int, shots: Shots, plain: DrawnFace, outlines: Outlines, studio: Studio
) -> Patch | None:
    """The same with what lies around it drawn along; of next to no movement by a share."""
    lines, feather_px = JawLines.of(outlines, number), studio.config.feather * len(plain.mask)
    followed = follow_jaw(plain, shots.crops[number], lines, feather_px, studio.config.jaw)
    patch = _lay(number, shots, followed.face, studio) if followed.share > 0 else None
    if followed.share < 1:
        patch = mix_patches(_lay(number, shots, plain, studio), patch, followed.share)
    return patch


def _lay(number: int, shots: Shots, face: DrawnFace, studio: Studio) -> Patch | None:
    film = shots.footage[number], shots.windows[number]
    grain = FrameGrain(studio.grain, int(shots.numbers[number])) if studio.grain else None
    patch = compose_window(face, *film, studio.config, grain)
    if patch is None or studio.standing is None:
        return patch
    # Before patches are mixed: a mixed one says nothing of the skin where it is not laid.
    at = int(shots.frames[number]), shots.transforms[number], face.carried
    return draw_beside(patch, studio.standing, *at, *film)


def _plain(
    number: int, shots: Shots, views: Views, made: Rendered, config: DriveConfig
) -> DrawnFace:
    """The generated face in the footage's colours; nothing follows it."""
    mask, carried, crop = views.mask[number], views.carried.source[number], shots.crops[number]
    passed = None if made.passed is None else made.passed[number]
    drawn = close_slits(made.picture[number], carried, views.geometry[number].any(-1))
    matched = match_colours(drawn, crop, mask, config.colour_match, carried)
    return DrawnFace(matched, mask, carried, passed)


def _window(
    picture: Patchable, row: int, performance: Performance, studio: Studio
) -> Window | None:
    transform = performance.transforms[row]
    return find_window(transform, studio.scene.size, picture.width, picture.height)


def _crop(picture: np.ndarray, window: Window, transform: np.ndarray, size: int) -> np.ndarray:
    """Cut the crop out of the window alone: converting a whole frame costs more than all this."""
    shifted = transform.copy()
    shifted[:, 2] += transform[:, :2] @ (window.left, window.top)
    return warp_to_crop(picture, shifted, size)
