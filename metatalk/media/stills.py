"""Numbered pictures in a folder: PNG, TIFF and OpenEXR."""

from __future__ import annotations

import re
import shutil
import struct
import zlib
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np

from metatalk import __version__
from metatalk.errors import MediaError, ShapeError
from metatalk.media.colour import UNSPECIFIED, ColourTags
from metatalk.shapes import check_shape

_FAST = (cv2.IMWRITE_PNG_COMPRESSION, 1)  # of 9; higher levels cost seconds and save little
_DEFLATE = (cv2.IMWRITE_TIFF_COMPRESSION, 8)
_PNG_HEAD = 33  # bytes of a PNG's signature and of its first chunk
_DESCRIPTION, _SOFTWARE = 270, 305  # numbers of a TIFF's tags
_TEXT, _ENTRY = 2, 12  # their type; bytes of an entry in its directory
_MARK = f"synthetic: drawn with metatalk {__version__}"
_MOST_COUNTED = 30  # frames a second
_FOUND = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}


def write_png(path: Path, picture: np.ndarray, chunks: Sequence[bytes] = ()) -> None:
    """Write a picture as PNG, without loss.

    Args:
        path: the file.
        picture: (H, W) grey, (H, W, 3) RGB or (H, W, 4) RGB with straight alpha; uint8 or
            uint16.
        chunks: what else it says, see `png_chunks`.

    Raises:
        ShapeError: another kind of array.
        OSError: the disk refuses.
    """
    encoded = _encode(path, ".png", picture, _FAST)
    path.write_bytes(b"".join([encoded[:_PNG_HEAD], *chunks, encoded[_PNG_HEAD:]]))


def write_tiff(path: Path, picture: np.ndarray, comment: str = _MARK) -> None:
    """Write a picture as TIFF, without loss; errors as of `write_png`.

    Args:
        path: the file.
        picture: as `write_png` takes it.
        comment: words about it; "" for none.
    """
    words = {_DESCRIPTION: comment} if comment else {}
    encoded = _encode(path, ".tiff", picture, _DEFLATE)
    path.write_bytes(_with_words(encoded, {**words, _SOFTWARE: f"metatalk {__version__}"}))


def _with_words(encoded: bytes, words: Mapping[int, str]) -> bytes:
    """A TIFF with further tags of text: its directory is written anew, behind all else.

    Source: TIFF, revision 6.0, section 2.
    """
    order = "<" if encoded[:2] == b"II" else ">"
    (first,) = struct.unpack_from(order + "I", encoded, 4)
    (count,) = struct.unpack_from(order + "H", encoded, first)
    starts = range(first + 2, first + 2 + (count + 1) * _ENTRY, _ENTRY)
    entries = [encoded[start : start + _ENTRY] for start in starts[:-1]]
    following = encoded[starts[-1] : starts[-1] + 4]  # where the next page's directory is
    made = bytearray(encoded)
    for tag, word in words.items():
        text = word.encode("ascii", "replace") + b"\0"
        place = text.ljust(4, b"\0")  # in the entry itself
        if len(text) > 4:
            made += bytes(len(made) % 2)  # offsets are even
            place = struct.pack(order + "I", len(made))
            made += text
        entries.append(struct.pack(order + "HHI", tag, _TEXT, len(text)) + place)
    entries.sort(key=lambda entry: struct.unpack_from(order + "H", entry))
    made += bytes(len(made) % 2)
    struct.pack_into(order + "I", made, 4, len(made))
    made += struct.pack(order + "H", len(entries)) + b"".join(entries) + following
    return bytes(made)


def _encode(path: Path, ending: str, picture: np.ndarray, how: tuple[int, int]) -> bytes:
    if picture.dtype not in (np.uint8, np.uint16):
        raise ShapeError(f"a {ending[1:].upper()} holds 8 or 16 bits, not {picture.dtype}")
    if picture.ndim == 3 and picture.shape[2] in _FOUND:
        picture = cv2.cvtColor(picture, _FOUND[picture.shape[2]])
    else:
        check_shape("picture", picture, "H W" if picture.ndim == 2 else "H W 3")
    # Encoded first: cv2.imwrite hides what the disk says.
    done, encoded = cv2.imencode(ending, picture, how)
    if not done:
        raise MediaError(f"{path} cannot be written as {ending[1:].upper()}", "choose another size")
    return encoded.tobytes()


def png_chunks(
    comment: str, colour: ColourTags | None = None, pixel_aspect: Fraction = Fraction(1)
) -> list[bytes]:
    """What a PNG says beside its pixels.

    Args:
        comment: words about it.
        colour: its primaries and transfer, where they are known.
        pixel_aspect: width of a pixel over its height.

    Source: PNG, third edition, 11.3.
    """
    chunks = [_chunk(b"tEXt", b"Comment\0" + comment.encode("latin-1", "replace"))]
    if colour and UNSPECIFIED not in (colour.primaries, colour.transfer):
        # RGB: matrix 0, of full range
        chunks.append(_chunk(b"cICP", bytes([colour.primaries, colour.transfer, 0, 1])))
    if pixel_aspect != 1:
        across, down = pixel_aspect.denominator, pixel_aspect.numerator  # pixels to a unit
        chunks.append(_chunk(b"pHYs", struct.pack(">IIB", across, down, 0)))
    return chunks


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def write_exr(
    path: Path, channels: Mapping[str, np.ndarray], header: Mapping[str, Any] | None = None
) -> None:
    """Write named channels as an OpenEXR file, without loss.

    Args:
        path: the file.
        channels: (H, W) each, by name: "R", "G", "B", "A", "Z", ...; float16 is written as
            16-bit numbers, all else as 32-bit ones.
        header: attributes of the file beside the usual ones.

    Raises:
        MediaError: OpenEXR is not installed.
        ShapeError: the channels differ in size.
        OSError: the disk refuses.
    """
    OpenEXR = _open_exr()
    sizes: dict[str, int] = {}
    for name, values in channels.items():
        sizes = check_shape(f"channel {name}", values, "H W", **sizes)
    plain = {name: _numbers(values) for name, values in channels.items()}
    attributes = {
        "compression": OpenEXR.ZIPS_COMPRESSION,
        "type": OpenEXR.scanlineimage,
        "comments": _MARK,
        **(header or {}),
    }
    path.open("wb").close()  # OpenEXR does not tell why a place cannot be written
    try:
        with OpenEXR.File(attributes, plain) as file:
            file.write(str(path))
    except (RuntimeError, ValueError) as error:
        raise MediaError(
            f"{path} cannot be written as OpenEXR ({error})", "free some space, or write elsewhere"
        ) from error


def _open_exr() -> Any:
    try:
        import OpenEXR  # type: ignore[import-not-found]
    except ImportError as error:
        raise MediaError("the OpenEXR package is not installed", "pip install OpenEXR") from error
    return OpenEXR


def exr_timecode(word: str, rate: Fraction) -> dict[str, Any]:
    """What the header of an OpenEXR file says about its time code.

    Args:
        word: HH:MM:SS:FF, or HH:MM:SS;FF for drop-frame.
        rate: of the film, frames a second.

    Returns:
        Attributes: the word itself and, where frames are counted to 30 at most, "timeCode", which
        editing programs read.

    Raises:
        MediaError: OpenEXR is not installed.

    Source: SMPTE ST 12-1, which numbers no more frames a second.
    """
    *clock, frame = (int(part) for part in re.split("[:;]", word))
    told: dict[str, Any] = {"footageTimecode": word}
    if round(rate) <= _MOST_COUNTED:
        flags = [";" in word, *[0] * 13]  # drop-frame; what else a camera would say
        told["timeCode"] = _open_exr().TimeCode(*clock, frame, *flags)
    return told


def _numbers(values: np.ndarray) -> np.ndarray:
    kind = np.float16 if values.dtype == np.float16 else np.float32
    return np.ascontiguousarray(values, kind)


class StillFolder:
    """Fills a folder with numbered pictures: all of them, or what was there before.

    Use it as a context manager. Pictures wait in a hidden folder within until the block ends
    well; after an exception they are gone.

    Args:
        folder: where they are to be; made if need be.
        ending: "png", "tiff" or "exr".
        replaces: names whose older pictures, of any kind, go when the new ones are in place, so
            that none is left behind the end of a shorter run.
    """

    def __init__(self, folder: Path, ending: str, replaces: Sequence[str] = ()) -> None:
        self.folder, self.ending = folder, ending
        self.partial = folder / ".partial"
        self._replaces = replaces
        self._made = False

    def path(self, name: str, number: int) -> Path:
        """Where a picture will lie: `NAME.000123.png`."""
        return self.folder / f"{name}.{number:06d}.{self.ending}"

    def __enter__(self) -> StillFolder:
        self._made = not self.folder.exists()
        shutil.rmtree(self.partial, ignore_errors=True)  # of a run that was killed
        self.partial.mkdir(parents=True)
        return self

    def write(
        self,
        name: str,
        number: int,
        picture: np.ndarray | Mapping[str, np.ndarray],
        says: Mapping[str, Any] | Sequence[bytes] | str | None = None,
    ) -> None:
        """Write one picture; several threads may do so at once.

        Args:
            name: what it shows.
            number: the frame.
            picture: an array as `write_png` takes it, or channels as `write_exr` does.
            says: a PNG's chunks, an EXR's header or a TIFF's comment; None: that it is
                synthetic.

        Raises:
            MediaError: it cannot be written.
            OSError: the disk refuses.
        """
        path = self.partial / self.path(name, number).name
        if not isinstance(picture, np.ndarray):
            write_exr(path, picture, says if isinstance(says, Mapping) else None)
        elif self.ending == "tiff":
            write_tiff(path, picture, says if isinstance(says, str) else _MARK)
        elif says is None or isinstance(says, Mapping | str):
            write_png(path, picture, png_chunks(_MARK))
        else:
            write_png(path, picture, says)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self._sweep()
            for path in sorted(self.partial.iterdir()):
                path.replace(self.folder / path.name)
        shutil.rmtree(self.partial, ignore_errors=True)
        if error is not None and self._made and not any(self.folder.iterdir()):
            self.folder.rmdir()

    def _sweep(self) -> None:
        for name in self._replaces:
            older = re.compile(rf"{re.escape(name)}\.\d{{6,}}\.(png|tiff|exr)")
            for path in list(self.folder.iterdir()):
                if older.fullmatch(path.name):
                    path.unlink()
