"""A fit to look at: the face drawn over its footage as a film, and single frames of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from metatalk import __version__
from metatalk.compose.ahead import WriteBehind, read_ahead
from metatalk.landmarks.track import LandmarkTrack
from metatalk.media.colour import ColourTags
from metatalk.media.ordered import read_pictures_in_order
from metatalk.media.picture import Picture
from metatalk.media.probe import probe_video
from metatalk.media.video import read_pictures
from metatalk.media.writer import VideoWriter
from metatalk.morphable.coefficients import TrackCoefficients
from metatalk.render.overlay import FacePainter, Patch, Window, draw_label
from metatalk.stages.preview import as_picture
from metatalk.stages.stage import Progress
from metatalk.timing import FrameIndex

WAITING = 4  # frames that may wait on either side of the drawing
SMALLEST_PX = 600  # footage whose longer side is shorter is shown enlarged
PANEL_PX = 640  # height of the panels that lie side by side
PANEL_MARGIN = 0.3  # of the face's way through the picture, shown around it
TILE_PX, TILE_MARGIN = 440, 0.0  # height of a frame on the sheet of the worst
LETTERS_AT_PX = 1500  # shorter side of a picture with letters of full size
CRF, ENCODER = 20.0, "superfast"  # looked at once, and quickly made

Label = Callable[[int], tuple[list[str], bool]]  # a frame's caption, and whether it warns


@dataclass(frozen=True, eq=False)
class FittedClip:
    """A clip and the face that was fitted to it."""

    clip: Path
    index: FrameIndex
    landmarks: LandmarkTrack
    track: TrackCoefficients
    painter: FacePainter

    def row(self, frame: int) -> TrackCoefficients:
        """One frame's coefficients."""
        return self.track.take(np.array([frame]))

    def seen(self, frame: int) -> np.ndarray:
        """(L, 2) px: the detector's landmarks."""
        return self.landmarks.points[frame, :, :2]


@dataclass(frozen=True, eq=False)
class Film:
    """One film of a fitted clip: how large it is, and how its pictures are drawn."""

    path: Path
    size: tuple[int, int]  # width and height, px
    colour: ColourTags
    pixel_aspect: Fraction
    draw: Callable[[Picture], Picture]  # from the footage's picture, keeping its time
    fitted: FittedClip


@dataclass(frozen=True, eq=False)
class Tile:
    """One frame of the sheet of the worst."""

    frame: int
    picture: np.ndarray  # (h, w, 3) uint8 RGB: the footage, and beside it the marks


def watch_clip(
    fitted: FittedClip,
    films: Sequence[Film],
    wanted: Collection[int],
    progress: Progress,
) -> list[Tile]:
    """Go through a clip once, write films of it and keep some frames.

    Args:
        fitted: the clip.
        films: what is to be written; without any, only the wanted frames are decoded.
        wanted: frames to keep.
        progress: told how far it is.

    Returns:
        The wanted frames in their order in the clip.

    Raises:
        MediaError: the clip cannot be read, or a film not written.
    """
    tiles, total = [], len(fitted.index) if films else len(wanted)
    with ExitStack() as stack:
        writers = [stack.enter_context(_writing(film)) for film in films]
        for done, picture in enumerate(_pictures(fitted, bool(films), wanted)):
            for write in writers:
                write(picture)
            if picture.index in wanted:
                tiles.append(_tile(fitted, picture))
            progress(done + 1, total)
    return tiles


def plan_overlay(fitted: FittedClip, path: Path, label: Label) -> Film:
    """Plan a film of the footage with the fit's grid and contours over it.

    Args:
        fitted: the clip.
        path: the video to write.
        label: what is written on each frame.

    Returns:
        The film, of the footage's size, or a multiple of it where that is small.
    """
    info = probe_video(fitted.clip)
    times = max(1, round(SMALLEST_PX * 1.25 / max(info.width, info.height)))
    size = (info.width * times, info.height * times)
    letters = _letters(*size)

    def draw(picture: Picture) -> Picture:
        drawn = _enlarge(picture, times)
        row = fitted.row(picture.index)
        if bool(row.has_face[0]) and not (window := fitted.painter.window(row, times)).is_empty:
            sight = fitted.painter.look(row, window)
            drawn = _put(drawn, fitted.painter.draw_marks(sight, fitted.seen(picture.index)))
        lines, warning = label(picture.index)
        return _put(drawn, draw_label(lines, letters, warning))

    return Film(path, size, info.colour, info.pixel_aspect, draw, fitted)


def plan_panels(fitted: FittedClip, path: Path, label: Label) -> Film:
    """Plan a film of footage, shaded face and normals side by side, in one steady window.

    Args:
        fitted: the clip.
        path: the video to write.
        label: what is written on each frame.

    Returns:
        The film.
    """
    window, info = _steady_window(fitted), probe_video(fitted.clip)
    columns = window.width // 2 * 2  # a panel's; films have even sides
    size = (3 * columns, window.height)
    letters = _letters(*size)

    def draw(picture: Picture) -> Picture:
        panels = [_cut(picture, window)]
        row = fitted.row(picture.index)
        if bool(row.has_face[0]):
            sight = fitted.painter.look(row, window)
            panels += [
                fitted.painter.draw_shaded(sight, row.lighting[0]),
                fitted.painter.draw_normals(sight),
            ]
        else:
            panels += [np.full_like(panels[0], 0)] * 2
        rgb = np.concatenate([panel[:, :columns] for panel in panels], 1)
        drawn = as_picture(rgb, picture.index, picture.pts, info.colour)
        lines, warning = label(picture.index)
        return _put(drawn, draw_label(lines, letters, warning))

    return Film(path, size, info.colour, info.pixel_aspect, draw, fitted)


def _pictures(fitted: FittedClip, every: bool, wanted: Collection[int]) -> Iterator[Picture]:
    if every:
        return read_ahead(read_pictures(fitted.clip), WAITING)
    return read_pictures_in_order(fitted.clip, sorted(wanted), fitted.index)


@contextmanager
def _writing(film: Film) -> Iterator[Callable[[Picture], None]]:
    """What takes a film's pictures: draws each, and has it encoded beside the drawing."""
    index, clip = film.fitted.index, film.fitted.clip
    writer = VideoWriter(
        film.path,
        *film.size,
        index.rate,
        index.time_base,
        film.colour,
        crf=CRF,
        preset=ENCODER,
        audio=clip if probe_video(clip).has_audio else None,
        audio_limit_s=index.exact_duration,
        metadata={"comment": f"footage and the face fitted to it, metatalk {__version__}"},
        pixel_aspect=film.pixel_aspect,
    )

    def write(picture: Picture) -> None:
        writer.write(picture, picture.pts)

    with writer, WriteBehind[Picture](write, WAITING) as behind:
        yield lambda picture: behind.put(film.draw(picture))


def _tile(fitted: FittedClip, picture: Picture) -> Tile:
    row = fitted.row(picture.index)
    window = fitted.painter.window(row, margin=TILE_MARGIN)
    if not bool(row.has_face[0]) or window.is_empty:
        window = Window(0, 0, picture.width, picture.height, TILE_PX / picture.height)
        return Tile(picture.index, _cut(picture, window))
    window = replace(window, scale=TILE_PX / (window.bottom - window.top))
    marks = fitted.painter.draw_marks(fitted.painter.look(row, window), fitted.seen(picture.index))
    plain = _cut(picture, window)
    return Tile(picture.index, np.concatenate([plain, marks.over(plain)], 1))


def _steady_window(fitted: FittedClip) -> Window:
    """The part of the frame that the face is ever in, drawn `PANEL_PX` high."""
    seen = fitted.landmarks.points[fitted.landmarks.has_face][..., :2].reshape(-1, 2)
    low, high = np.nanmin(seen, 0), np.nanmax(seen, 0)
    limit = np.array([fitted.painter.camera.width, fitted.painter.camera.height])
    reach = PANEL_MARGIN * (high - low).max()
    left, top = np.clip(low - reach, 0, limit - 2).astype(int).tolist()
    right, bottom = np.ceil(np.clip(high + reach, (left + 2, top + 2), limit)).astype(int).tolist()
    return Window(left, top, right, bottom, PANEL_PX / (bottom - top))


def _cut(picture: Picture, window: Window) -> np.ndarray:
    """(h, w, 3) uint8: the window's part of the footage, at the window's scale."""
    rgb = picture.rgb((window.left, window.top, window.right, window.bottom))
    how = cv2.INTER_AREA if window.scale < 1 else cv2.INTER_CUBIC
    return cv2.resize(rgb, (window.width, window.height), interpolation=how)


def _enlarge(picture: Picture, times: int) -> Picture:
    if times == 1:
        return picture
    height, width = picture.height * times, picture.width * times
    grown = [
        cv2.resize(plane, None, fx=times, fy=times, interpolation=cv2.INTER_CUBIC)
        for plane in picture.planes
    ]
    half = ((height + 1) // 2, (width + 1) // 2)  # an odd side's last chroma sample is cut
    luma, u, v = grown[0], *(np.ascontiguousarray(p[: half[0], : half[1]]) for p in grown[1:])
    return replace(picture, planes=(luma, u, v))


def _put(picture: Picture, patch: Patch) -> Picture:
    return picture.with_patch(patch.rgb, patch.alpha, patch.left, patch.top)


def _letters(width: int, height: int) -> float:
    return max(0.4, min(width, height) / LETTERS_AT_PX)
