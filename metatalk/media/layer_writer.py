"""The new mouth alone, as a layer with alpha that a compositor lays over the footage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType

import numpy as np
from av.video.frame import VideoFrame

from metatalk.errors import MediaError
from metatalk.media.codecs import Encoding, require_fitting
from metatalk.media.layer import Layer, PatchLayer, flatten, spread_colours
from metatalk.media.picture import CHROMA_444
from metatalk.media.sequence import Film, SequenceWriter
from metatalk.media.writer import VideoWriter
from metatalk.media.ycc import ycc_factors

_BLOCK = 16  # pixels, ProRes's macroblock
_REACH = 8  # pixels of colour beyond alpha's edge at least: what a compositor's filters read
_BITS = 10
_ENCODING = Encoding("prores4444", _BITS, CHROMA_444, has_alpha=True, finest=True)


class LayerWriter:
    """Writes patches as a film or as numbered pictures with alpha; whole or absent.

    Laid over the footage it gives the full result. The footage behind it is to be read as it
    is stored: in its own matrix and range, its chroma replicated to its pixels; the sum
    averages back to the result's chroma.

    - "prores4444": a film in ProRes 4444. Straight alpha of 16 bits of which 10 are filled,
      colours of 10 bits at the finest quantiser. Alpha is without loss.
    - "png": 16-bit RGB with straight alpha, as PNG has it.
    - "exr": floating-point RGB multiplied by alpha, as EXR has it.

    Args:
        path: the film (.mov, .mkv or .mxf), or the folder of the pictures.
        film: what holds for every frame.
        layer_format: "prores4444", "png" or "exr".
        first_number: of the first numbered picture.

    Raises:
        MediaError: a name that does not go with the format, a place that cannot be written,
            times that do not increase.
    """

    def __init__(
        self, path: Path, film: Film, layer_format: str = "prores4444", first_number: int = 0
    ) -> None:
        require_fitting(path, layer_format, "drive.delivery.patch")
        self.path, self._film = path, film
        self._writer: VideoWriter | SequenceWriter
        if layer_format == "png":
            self._writer = SequenceWriter(
                path, film, "png", first_number=first_number, alpha="straight"
            )
        elif layer_format == "exr":
            self._writer = SequenceWriter(
                path, film, "exr", bits=32, first_number=first_number, alpha="premultiplied"
            )
        elif layer_format == "prores4444":
            self._writer = VideoWriter(
                path, film.width, film.height, film.rate, film.time_base, film.colour,
                metadata=film.metadata, pixel_aspect=film.pixel_aspect, encoding=_ENCODING,
                is_steady=film.is_steady,
            )  # fmt: skip
        else:
            raise MediaError(
                f"{layer_format} holds no alpha", "give prores4444, png or exr for the layer"
            )

    def __enter__(self) -> LayerWriter:
        self._writer.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._writer.__exit__(kind, error, traceback)

    def write(self, patches: Sequence[PatchLayer], pts: int) -> None:
        """Append a frame.

        Args:
            patches: RGB, alpha, column and row each, as `Picture.with_patch` takes them;
                later ones cover earlier ones. None at all: a frame through which all is seen.
            pts: when it is shown, in the film's time base; later than the one before.

        Raises:
            MediaError: a time that does not increase, or nothing more can be written.
            ShapeError: a patch and its alpha do not match.
        """
        layer = flatten(patches, self._film.width, self._film.height)
        if isinstance(self._writer, SequenceWriter):
            made = _multiplied if self._writer.ending == "exr" else _straight
            self._writer.write_array(made(layer, self._film), pts)
        else:
            self._writer.write_frame(_prores_frame(layer, self._film), pts)


def _multiplied(layer: Layer | None, film: Film) -> np.ndarray:
    """(H, W, 4) float32 RGB multiplied by alpha, and alpha."""
    pixels = np.zeros((film.height, film.width, 4), np.float32)
    if layer is not None:
        pixels[(*layer.place, slice(3))] = layer.rgb * layer.alpha[..., None]
        pixels[(*layer.place, 3)] = layer.alpha
    return pixels


def _straight(layer: Layer | None, film: Film) -> np.ndarray:
    """(H, W, 4) uint16 RGB and alpha."""
    pixels = np.zeros((film.height, film.width, 4), np.uint16)
    if layer is not None:
        wide = spread_colours(layer, _BLOCK, _REACH, film.width, film.height)
        pixels[(*wide.place, slice(3))] = np.rint(wide.rgb * np.float32(65535))
        pixels[(*wide.place, 3)] = np.rint(wide.alpha * np.float32(65535))
    return pixels


def _prores_frame(layer: Layer | None, film: Film) -> VideoFrame:
    """Luma, chroma and alpha of 10 bits, in the footage's matrix and limited range."""
    frame = VideoFrame(film.width, film.height, _ENCODING.pixel_format)
    planes = []
    for target, level in zip(frame.planes, (64, 512, 512, 0), strict=True):
        rows = np.frombuffer(memoryview(target), np.uint16).reshape(-1, target.line_size // 2)
        rows[:] = level
        planes.append(rows[: film.height, : film.width])
    if layer is not None:
        wide = spread_colours(layer, _BLOCK, _REACH, film.width, film.height)
        factors = ycc_factors(replace(film.colour, full_range=False), film.height, _BITS)
        levels = wide.rgb @ factors[:, :3].T + factors[:, 3]  # (h, w, 3)
        for plane, component in zip(planes, np.moveaxis(levels, -1, 0), strict=False):
            plane[wide.place] = np.rint(component).astype(np.uint16)
        most = (1 << _BITS) - 1
        planes[3][wide.place] = np.rint(wide.alpha * most).astype(np.uint16)
    return frame
