"""Numbered pictures in a folder: PNG and OpenEXR."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

from metatalk import __version__
from metatalk.errors import MediaError, ShapeError
from metatalk.shapes import check_shape

_FAST = (cv2.IMWRITE_PNG_COMPRESSION, 1)  # of 9; higher levels cost seconds and save little


def write_png(path: Path, picture: np.ndarray) -> None:
    """Write a picture as PNG, without loss.

    Args:
        path: the file.
        picture: (H, W) grey or (H, W, 3) RGB; uint8 or uint16.

    Raises:
        ShapeError: another kind of array.
        OSError: the disk refuses.
    """
    if picture.dtype not in (np.uint8, np.uint16):
        raise ShapeError(f"a PNG holds 8 or 16 bits, not {picture.dtype}")
    if picture.ndim == 3:
        check_shape("picture", picture, "H W 3")
        picture = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    else:
        check_shape("picture", picture, "H W")
    # Encoded first: cv2.imwrite hides what the disk says.
    done, encoded = cv2.imencode(".png", picture, _FAST)
    if not done:
        raise MediaError(f"{path} cannot be written as PNG", "choose another size")
    path.write_bytes(encoded.tobytes())


def write_exr(path: Path, channels: Mapping[str, np.ndarray]) -> None:
    """Write named channels as an OpenEXR file of 32-bit numbers, without loss.

    Args:
        path: the file.
        channels: (H, W) float32 each, by name: "R", "G", "B", "A", "Z", ...

    Raises:
        MediaError: OpenEXR is not installed.
        ShapeError: the channels differ in size.
        OSError: the disk refuses.
    """
    try:
        import OpenEXR  # type: ignore[import-not-found]
    except ImportError as error:
        raise MediaError("the OpenEXR package is not installed", "pip install OpenEXR") from error
    sizes: dict[str, int] = {}
    for name, values in channels.items():
        sizes = check_shape(f"channel {name}", values, "H W", **sizes)
    plain = {name: np.ascontiguousarray(values, np.float32) for name, values in channels.items()}
    header = {
        "compression": OpenEXR.ZIPS_COMPRESSION,
        "type": OpenEXR.scanlineimage,
        "comments": f"synthetic: drawn with metatalk {__version__}",
    }
    path.open("wb").close()  # OpenEXR does not tell why a place cannot be written
    try:
        with OpenEXR.File(header, plain) as file:
            file.write(str(path))
    except (RuntimeError, ValueError) as error:
        raise MediaError(
            f"{path} cannot be written as OpenEXR ({error})", "free some space, or write elsewhere"
        ) from error


class StillFolder:
    """Fills a folder with numbered pictures: all of them, or what was there before.

    Use it as a context manager. Pictures wait in a hidden folder within until the block ends
    well; after an exception they are gone.

    Args:
        folder: where they are to be; made if need be.
        ending: "png" or "exr".
    """

    def __init__(self, folder: Path, ending: str) -> None:
        self.folder, self.ending = folder, ending
        self._partial = folder / ".partial"
        self._made = False

    def path(self, name: str, number: int) -> Path:
        """Where a picture will lie: `NAME.000123.png`."""
        return self.folder / f"{name}.{number:06d}.{self.ending}"

    def __enter__(self) -> StillFolder:
        self._made = not self.folder.exists()
        shutil.rmtree(self._partial, ignore_errors=True)  # of a run that was killed
        self._partial.mkdir(parents=True)
        return self

    def write(self, name: str, number: int, picture: np.ndarray | Mapping[str, np.ndarray]) -> None:
        """Write one picture.

        Args:
            name: what it shows.
            number: the frame.
            picture: an array as `write_png` takes it, or channels as `write_exr` does.

        Raises:
            MediaError: it cannot be written.
            OSError: the disk refuses.
        """
        path = self._partial / self.path(name, number).name
        if isinstance(picture, np.ndarray):
            write_png(path, picture)
        else:
            write_exr(path, picture)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            for path in sorted(self._partial.iterdir()):
                path.replace(self.folder / path.name)
        shutil.rmtree(self._partial, ignore_errors=True)
        if error is not None and self._made and not any(self.folder.iterdir()):
            self.folder.rmdir()
