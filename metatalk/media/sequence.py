"""A film as numbered pictures in a folder, with what an editor needs to conform them."""

from __future__ import annotations

import json
import os
import shutil
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import av
import numpy as np

from metatalk.errors import MediaError
from metatalk.media.colour import ColourTags
from metatalk.media.decode import audio_stream, open_media
from metatalk.media.exact_rgb import exact_rgb
from metatalk.media.picture import Picture
from metatalk.media.soundtrack import Soundtrack
from metatalk.media.stills import StillFolder, exr_timecode, png_chunks
from metatalk.media.writer import explain_write

Ending = Literal["png", "tiff", "exr"]
Alpha = Literal["straight", "premultiplied"]
_AT_ONCE = 4  # pictures that are encoded at once: each waits for nobody, but takes its room


@dataclass(frozen=True)
class Film:
    """What holds for every picture of a film.

    Args:
        width: columns.
        height: rows.
        rate: nominal frames per second.
        time_base: seconds in one tick of the pictures' times.
        colour: colour tags of the footage.
        pixel_aspect: width of a pixel over its height.
        metadata: tags of the file, such as {"comment": ..., "timecode": ...}.
        is_steady: whether its times are off the rate by the rounding of a clock only.
        timecode_of: the time code of a frame, by its number from 0; None: there is none.
    """

    width: int
    height: int
    rate: Fraction
    time_base: Fraction
    colour: ColourTags
    pixel_aspect: Fraction = Fraction(1)
    metadata: Mapping[str, str] = field(default_factory=dict)
    is_steady: bool = False
    timecode_of: Callable[[int], str] | None = None


class SequenceWriter:
    """Writes numbered pictures, a recording and a sheet about them into a folder.

    Up to four pictures are encoded at once, in threads of their own; what keeps one from being
    written is raised by a later `write`, or at the end of the block.

    All is there when the block ends well; after an exception there is what was there before.
    Pictures are called NAME.000123.png and so on, the sheet NAME.json, the sound NAME.wav or
    whatever the recording is, where NAME is the folder's. Pictures and sound of an earlier run
    of the same name go.

    PNG and TIFF hold RGB of the footage's own gamma, 8 or 16 bits over the full range. EXR
    holds the same numbers as they are: gamma-encoded, not linear, and beyond 0 and 1 where the
    footage's luma and chroma are beyond them.

    Args:
        folder: where the pictures go.
        film: what they have in common.
        ending: "png", "tiff" or "exr".
        bits: of a component: 8 or 16 for PNG and TIFF, 16 or 32 (floating) for EXR; None: 16.
        first_number: of the first picture.
        audio: the recording, laid beside the pictures as it is; the sound of a video becomes
            a WAV file. None: no sound.
        audio_limit_s: where to end the sound of a video, seconds; None: at its own end.
        alpha: what the fourth channel of pictures given to `write_array` means.

    Raises:
        MediaError: a place that cannot be written, a recording without sound, pictures of
            another size, times that do not increase.
    """

    def __init__(
        self,
        folder: Path,
        film: Film,
        ending: Ending,
        bits: int | None = None,
        first_number: int = 0,
        audio: Path | None = None,
        audio_limit_s: Fraction | None = None,
        alpha: Alpha | None = None,
    ) -> None:
        self.path, self.film, self.ending, self.bits = folder, film, ending, bits or 16
        self._name, self._first = folder.resolve().name, first_number
        self._times: list[int] = []
        self._alpha = alpha
        comment = film.metadata.get("comment", "")
        self._says: Any = None
        if ending == "tiff":
            self._says = comment
        elif ending == "png":
            self._says = png_chunks(comment, film.colour, film.pixel_aspect)
        elif ending == "exr":
            self._says = _header(film, comment)
        self._workers = min(_AT_ONCE, os.cpu_count() or 1)
        self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix="write-pictures")
        self._under_way: deque[Future[None]] = deque()
        self._stills = StillFolder(folder, ending, [self._name])
        try:
            if not folder.parent.is_dir():
                raise MediaError(f"{folder.parent} does not exist", "create the folder first")
            self._stills.__enter__()
        except OSError as error:
            raise explain_write(folder, error) from error
        try:
            self._sound = _lay_sound(audio, self._stills.partial, self._name, audio_limit_s)
        except BaseException as error:
            self._stills.__exit__(type(error), error, None)
            raise explain_write(folder, error) from error

    def __enter__(self) -> SequenceWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None:
            self._pool.shutdown(cancel_futures=True)
            self._stills.__exit__(kind, error, traceback)
            return
        try:
            self._wait_for_all_but(0)
            if not self._times:
                raise MediaError(f"{self.path}: no frame was written", "drive at least one frame")
            sheet = json.dumps(self._sheet(), indent=2) + "\n"
            (self._stills.partial / f"{self._name}.json").write_text(sheet, encoding="utf-8")
            former = _former_sound(self.path)
            self._stills.__exit__(None, None, None)
            if former is not None and former.name != self._sound:
                former.unlink(missing_ok=True)
        except BaseException as failure:
            self._pool.shutdown(cancel_futures=True)  # before the place where they write goes
            self._stills.__exit__(type(failure), failure, None)
            raise explain_write(self.path, failure) from failure
        self._pool.shutdown()

    def write(self, picture: Picture, pts: int) -> None:
        """Append a picture; arguments and errors as of `VideoWriter.write`."""
        self._append(picture, (picture.width, picture.height), pts)

    def write_array(self, pixels: np.ndarray, pts: int) -> None:
        """Append a picture that is RGB, or RGB with alpha, already.

        Args:
            pixels: (H, W, 3 or 4) float32 of which 1 is white; of a PNG or TIFF also uint8 or
                uint16, which are written as they are. Not to be written into afterwards.
            pts: when it is shown, in the film's time base; later than the one before.

        Raises:
            MediaError: another size, a time that does not increase, or nothing more can be
                written.
        """
        self._append(pixels, (pixels.shape[1], pixels.shape[0]), pts)

    def _append(self, picture: Picture | np.ndarray, size: tuple[int, int], pts: int) -> None:
        if self._times and pts <= self._times[-1]:
            raise MediaError(f"frame time {pts} does not follow {self._times[-1]}")
        if size != (self.film.width, self.film.height):
            raise MediaError(
                f"a picture of {size[0]}x{size[1]} in a sequence of"
                f" {self.film.width}x{self.film.height}"
            )
        try:
            self._wait_for_all_but(self._workers)
        except OSError as error:
            raise explain_write(self.path, error) from error
        number = self._first + len(self._times)
        self._under_way.append(self._pool.submit(self._write_one, picture, number))
        self._times.append(pts)

    def _wait_for_all_but(self, count: int) -> None:
        """Let no more than `count` pictures be under way; one that failed stays the first."""
        while len(self._under_way) > count:
            self._under_way[0].result()
            self._under_way.popleft()

    def _write_one(self, picture: Picture | np.ndarray, number: int) -> None:
        says, timecode_of = self._says, self.film.timecode_of
        if self.ending == "exr" and timecode_of is not None:
            says = {**says, **exr_timecode(timecode_of(number - self._first), self.film.rate)}
        self._stills.write(self._name, number, self._stored(picture), says)

    def _stored(self, picture: Picture | np.ndarray) -> np.ndarray | dict[str, np.ndarray]:
        pixels = self._pixels(picture) if isinstance(picture, Picture) else picture
        if self.ending == "exr":
            kind = np.float32 if self.bits == 32 else np.float16
            return {
                name: pixels[..., k].astype(kind)
                for k, name in enumerate("RGBA"[: pixels.shape[2]])
            }
        if pixels.dtype in (np.uint8, np.uint16):
            return pixels
        levels = pixels.clip(0, 1)
        levels *= np.float32((1 << self.bits) - 1)
        return np.rint(levels, out=levels).astype(np.uint8 if self.bits == 8 else np.uint16)

    def _pixels(self, picture: Picture) -> np.ndarray:
        if self.ending == "exr":
            return exact_rgb(picture)
        return picture.rgb() if self.bits == 8 else picture.rgb_float()

    def _sheet(self) -> dict[str, Any]:
        film = self.film
        ticks = np.arange(len(self._times)) * float(1 / (film.rate * film.time_base))
        is_steady = film.is_steady or bool(np.abs(np.array(self._times) - ticks).max() < 1e-3)
        sheet: dict[str, Any] = {
            "pictures": f"{self._name}.%06d.{self.ending}",
            "first": self._first,
            "count": len(self._times),
            "width": film.width,
            "height": film.height,
            "pixel_aspect": str(film.pixel_aspect),
            "rate": str(film.rate),
            "timecode": film.metadata.get("timecode"),
            "sound": self._sound,
            "bits": self.bits,
            "values": "RGB of full range, encoded with the footage's own transfer, not linear",
            "footage_colour": {
                "primaries": film.colour.primaries,
                "transfer": film.colour.transfer,
                "matrix": film.colour.matrix,
                "range": "full" if film.colour.full_range else "limited",
                "numbers": "ITU-T H.273; 2 is unspecified",
            },
            "comment": film.metadata.get("comment", ""),
        }
        if self._alpha:
            sheet["alpha"] = self._alpha
        if not is_steady:  # the rate alone does not say when each is shown
            sheet["time_base"], sheet["times"] = str(film.time_base), self._times
        return sheet


def sequence_length(folder: Path) -> float:
    """How long the sequence in a folder is, by its sheet.

    Args:
        folder: the folder.

    Returns:
        Seconds; 0 where there is none.
    """
    try:
        sheet = _read_sheet(folder)
        return float(sheet["count"] / Fraction(sheet["rate"]))
    except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError):
        return 0.0


def _read_sheet(folder: Path) -> Any:
    return json.loads((folder / f"{folder.resolve().name}.json").read_text(encoding="utf-8"))


def _former_sound(folder: Path) -> Path | None:
    """The sound of the sequence that is in a folder, by its sheet."""
    try:
        sheet, name = _read_sheet(folder), folder.resolve().name
        is_ours = str(sheet["pictures"]).startswith(f"{name}.%06d.")
        sound = folder / Path(sheet["sound"]).name
    except (OSError, ValueError, KeyError, TypeError):
        return None
    is_sound = sound.is_file() and sound.suffix != ".json"  # not the new sheet, whatever it says
    return sound if is_ours and is_sound and sound.stem == name else None


def _header(film: Film, comment: str) -> dict[str, Any]:
    """What every EXR file says; rates its Python package cannot write as such."""
    colour = film.colour
    return {
        "comments": comment,
        "pixelAspectRatio": float(film.pixel_aspect),
        "encoding": "gamma-encoded as the footage is, not linear",
        "footageColour": f"H.273 primaries {colour.primaries}, transfer {colour.transfer}",
        "footageRate": str(film.rate),
    }


def _lay_sound(audio: Path | None, folder: Path, name: str, limit_s: Fraction | None) -> str | None:
    """Put the recording beside the pictures; its file's name there."""
    if audio is None:
        return None
    with open_media(audio) as container:
        audio_stream(container, audio)  # a recording without sound is refused
        is_sound = not container.streams.video
    if is_sound:
        beside = folder / f"{name}{audio.suffix.lower()}"
        shutil.copyfile(audio, beside)
        return beside.name
    beside = folder / f"{name}.wav"
    with av.open(str(beside), "w", "wav") as output:
        sound = Soundtrack(output, audio, limit_s)
        try:
            sound.finish()
        finally:
            sound.close()
    return beside.name
