"""The render command: layers of a fitted head, alone or over the footage, as video or stills."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np

from metatalk import __version__
from metatalk.compose.ahead import WriteBehind, read_ahead
from metatalk.config import Config
from metatalk.errors import MediaError
from metatalk.media.colour import BT709, ColourTags, ycc_scales
from metatalk.media.ordered import read_pictures_in_order
from metatalk.media.picture import Picture
from metatalk.media.probe import probe_video
from metatalk.media.stills import StillFolder
from metatalk.media.video import index_frames
from metatalk.media.writer import VideoWriter
from metatalk.morphable.camera import Camera
from metatalk.morphable.coefficients import TrackCoefficients
from metatalk.render.layer_values import (
    DepthRange,
    depth_range,
    layer_channels,
    layer_rgb,
    layer_samples,
)
from metatalk.render.layers import FrameLayers, Layer, empty_layer, mouth_sides
from metatalk.render.scene import Scene
from metatalk.stages.face_model import open_face_model
from metatalk.stages.picture_order import Order, parse_frames, require_free
from metatalk.stages.provenance import own_entry, result_entries, write_result_ledger
from metatalk.stages.sources import (
    Mixture,
    Source,
    require_fitting,
    require_model_on_record,
)
from metatalk.stages.stage import Progress, ProgressFactory, silent_progress
from metatalk.timing import FrameIndex
from metatalk.workspace.actor import disk_errors_remedied
from metatalk.workspace.footage import find_footage
from metatalk.workspace.ledger import Entry
from metatalk.workspace.manifest import Metrics

WAITING = 3  # frames that may wait on either side of the drawing
MASK_TINT = 0.5  # a mask over the footage lets this much of it through
UNKNOWN_RATE = Fraction(25)

Layers = Mapping[str, Layer]
_BLACKS_COLOUR = ColourTags(BT709, BT709, BT709)


@dataclass(frozen=True, eq=False)
class Shoot:
    """A head, its frames and its place: all that drawing takes."""

    order: Order
    scene: Scene
    track: TrackCoefficients
    sides_px: np.ndarray  # (T,) see `mouth_sides`
    reach: DepthRange
    index: FrameIndex
    rows: range  # the frames to draw
    footage: Path | None  # where it is needed

    @property
    def camera(self) -> Camera:
        """The camera, and with it the size of the pictures."""
        return self.scene.camera


def render_pictures(
    mixture: Mixture,
    order: Order,
    config: Config,
    progress_factory: ProgressFactory = silent_progress,
) -> Metrics:
    """Draw the layers of a head.

    Args:
        mixture: the head.
        order: what is wanted.
        config: all settings.
        progress_factory: who is told how far it is.

    Returns:
        Where it went, frames, seconds and frames a second.

    Raises:
        MetatalkError: whatever the user can mend.
    """
    require_free(order, mixture)
    shoot = _prepare(mixture, order, config)
    if shoot.footage is not None:
        require_free(order, mixture, shoot.footage)
    started = time.monotonic()
    with disk_errors_remedied(order.output.parent), progress_factory("render") as progress:
        _shoot(shoot, progress)
        write_result_ledger(order.output, _entries(mixture, shoot.footage))
    seconds = time.monotonic() - started
    return {
        "output": str(order.output),
        "layers": ", ".join(order.layers),
        "frames": len(shoot.rows),
        "seconds": seconds,
        "fps": len(shoot.rows) / max(seconds, 1e-6),
    }


def _prepare(mixture: Mixture, order: Order, config: Config) -> Shoot:
    settings = mixture.config(config)
    for root in dict.fromkeys(source.root for source in mixture.sources if source.root):
        require_model_on_record(root, settings)
    model = open_face_model(settings.fit.face_model, settings.landmarks)
    require_fitting(mixture, model)
    track = mixture.track
    rows = parse_frames(order.frames, len(track))
    if not track.has_face.any():
        raise MediaError(f"{mixture.stage.path}: no frame has a face", "give another clip's fit")
    render = config.render
    scene = Scene(
        model, mixture.person, mixture.stage.camera, render.max_size, render.grow_px, render.backend
    )
    footage = _footage(mixture, order)
    return Shoot(
        order,
        scene,
        track,
        mouth_sides(scene, track, render.margin),
        depth_range(track),
        _index(mixture, order, footage),
        rows,
        footage,
    )


def _footage(mixture: Mixture, order: Order) -> Path | None:
    """The clip behind the layers, checked; None where it is not wanted."""
    if not order.over:
        return None
    clip = order.footage or _remembered(mixture.stage)
    info, camera = probe_video(clip), mixture.stage.camera
    if (info.width, info.height) != (camera.width, camera.height):
        raise MediaError(
            f"{clip}: pictures of {info.width}x{info.height}, but the face was fitted to "
            f"{camera.width}x{camera.height}",
            "give the clip that was fitted, with its full size, as --footage",
        )
    return clip


def _remembered(stage: Source) -> Path:
    """The clip that a fit was made from, where it lay then."""
    remedy = "give --footage CLIP"
    if stage.root is None:
        raise MediaError(f"{stage.path} does not say where its footage is", remedy)
    try:
        return find_footage(stage.root)
    except MediaError as error:  # its own remedy is drive's
        raise MediaError(error.problem, remedy) from error


def _index(mixture: Mixture, order: Order, footage: Path | None) -> FrameIndex:
    known = mixture.stage.index
    if known is None and footage is not None:
        known = index_frames(footage)
    if known is not None and len(known) < len(mixture.track):
        raise MediaError(
            f"{footage or mixture.stage.path}: {len(known)} frames, but "
            f"{len(mixture.track)} fitted faces",
            "give the clip that was fitted as --footage",
        )
    if known is not None and (order.rate is None or footage is not None):
        return known
    rate = order.rate or UNKNOWN_RATE
    return FrameIndex(np.arange(len(mixture.track)), 1 / rate, rate)


def _shoot(shoot: Shoot, progress: Progress) -> None:
    """Decode, draw and write side by side; memory holds a few frames of each."""
    with (
        _writing(shoot) as write,
        WriteBehind[tuple[int, Picture | None, Layers]](
            lambda item: write(*item), WAITING
        ) as behind,
    ):
        for done, (row, picture) in enumerate(_frames(shoot)):
            behind.put((row, picture, _draw(shoot, row)))
            progress(done + 1, len(shoot.rows))


def _frames(shoot: Shoot) -> Iterator[tuple[int, Picture | None]]:
    """Each frame's number, and its footage where that is wanted."""
    if shoot.footage is None:
        yield from ((row, None) for row in shoot.rows)
        return
    source = read_pictures_in_order(shoot.footage, list(shoot.rows), shoot.index)
    for picture in read_ahead(source, WAITING):
        yield picture.index, picture


def _draw(shoot: Shoot, row: int) -> Layers:
    if not shoot.track.has_face[row]:
        return {name: empty_layer(name) for name in shoot.order.layers}
    one = shoot.track.take(np.array([row]))
    return FrameLayers(shoot.scene, one, float(shoot.sides_px[row])).draw(shoot.order.layers)


@contextmanager
def _writing(shoot: Shoot) -> Iterator[Callable[[int, Picture | None, Layers], None]]:
    """What takes each frame's number, footage and layers; its files are whole or absent."""
    with ExitStack() as stack:
        if not shoot.order.is_video:
            folder = stack.enter_context(StillFolder(shoot.order.output, shoot.order.stills))
            yield partial(_write_stills, shoot, folder)
            return
        writers = {
            layer: stack.enter_context(_open_film(shoot, layer)) for layer in shoot.order.layers
        }
        yield partial(_write_films, shoot, writers, _black(shoot.camera))


def _write_stills(
    shoot: Shoot, folder: StillFolder, row: int, picture: Picture | None, layers: Layers
) -> None:
    height, width = shoot.camera.height, shoot.camera.width
    for name, layer in layers.items():
        if picture is not None:
            folder.write(name, row, _blend(picture.rgb(), layer, shoot.reach))
        elif shoot.order.stills == "png":
            folder.write(name, row, layer.in_frame(layer_samples(layer), height, width))
        else:
            channels = layer_channels(layer).items()
            folder.write(name, row, {key: layer.in_frame(v, height, width) for key, v in channels})


def _write_films(
    shoot: Shoot,
    writers: Mapping[str, VideoWriter],
    black: Picture,
    row: int,
    picture: Picture | None,
    layers: Layers,
) -> None:
    pts = int(shoot.index.pts[row] - shoot.index.pts[shoot.rows.start])
    for name, layer in layers.items():
        patch = layer_rgb(layer, shoot.reach)
        alpha = _alpha(layer, picture is not None)
        behind = black if picture is None else picture
        writers[name].write(behind.with_patch(patch, alpha, layer.left, layer.top), pts)


def _blend(rgb: np.ndarray, layer: Layer, reach: DepthRange) -> np.ndarray:
    """(H, W, 3) uint8: a layer on footage."""
    rows, columns = layer.covered.shape
    box = slice(layer.top, layer.top + rows), slice(layer.left, layer.left + columns)
    alpha = _alpha(layer, True)[..., None]
    mixed = (1 - alpha) * rgb[box] + alpha * 255 * layer_rgb(layer, reach)
    rgb[box] = np.rint(mixed).astype(np.uint8)
    return rgb


def _alpha(layer: Layer, over: bool) -> np.ndarray:
    """(h, w) float32: how much of what is behind a layer it hides."""
    tint = MASK_TINT if over and layer.name == "mask" else 1.0
    return tint * layer.covered.astype(np.float32)


def _open_film(shoot: Shoot, layer: str) -> VideoWriter:
    colour, aspect = _BLACKS_COLOUR, Fraction(1)
    tags = {"comment": f"synthetic: {layer}, drawn with metatalk {__version__}"}
    if shoot.footage is not None:
        info = probe_video(shoot.footage)
        colour, aspect = info.colour, info.pixel_aspect
        if info.timecode and shoot.rows.start == 0:
            tags["timecode"] = info.timecode
    return VideoWriter(
        shoot.order.video_path(layer),
        shoot.camera.width,
        shoot.camera.height,
        shoot.index.rate,
        shoot.index.time_base,
        colour,
        metadata=tags,
        pixel_aspect=aspect,
    )


def _black(camera: Camera) -> Picture:
    colour = _BLACKS_COLOUR
    luma = np.full((camera.height, camera.width), int(ycc_scales(colour.full_range)[0]), np.uint8)
    chroma = np.full(((camera.height + 1) // 2, (camera.width + 1) // 2), 128, np.uint8)
    return Picture(0, 0, (luma, chroma, chroma), colour)


def _entries(mixture: Mixture, footage: Path | None) -> list[Entry]:
    """What the pictures are made of, each thing once."""
    entries: list[Entry] = []
    for source in mixture.sources:
        found = result_entries(
            source.root or source.file.parent, footage if source is mixture.stage else None
        )
        if source.root is None:
            found.append(own_entry("coefficients", source.file))
        entries += [entry for entry in found if entry not in entries]
    return entries
