"""Every face of a clip kept while it streams by, so that the clip is decoded only once.

Which face is followed, and where exactly its box lies, is known when the whole clip has been
seen. Until then a generous, reduced cut around each face waits in a file without a name.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

from metatalk.landmarks.detector import Detector, Face
from metatalk.landmarks.points import point_groups
from metatalk.lipsync.tracks import cut_face, face_window, resample_window
from metatalk.media.picture import Picture

_SHORT_SIDE = 480  # pixels that the detector needs of a picture's shorter side
_FACE_PX = 128  # a kept face's longer side is this at least, and less than twice this
_ROOM = 0.35  # of the landmarks' box, kept on each side of it
_CHIN_ROOM = 0.55  # the same below it: the box's lower edge hangs on the clip's usual chin
_FOREHEAD = 1.2  # from the eyes to the hairline, in eye-to-nose distances
_LOST_ROOM = 2.0  # times this while the face is not found
_MOST_BYTES = 2 << 30  # for one clip; beyond, it is decoded a second time


@dataclass(frozen=True)
class _Glimpse:
    """A face in the file: a part of a frame's picture, reduced."""

    offset: int  # in the file, bytes
    rows: int
    columns: int
    left: int  # of the part, in reduced pixels
    top: int
    scale: float  # pixels of the picture that one reduced pixel is wide and high
    open_sides: tuple[bool, bool, bool, bool]  # left, top, right, bottom: more picture beyond

    def window(self, box: Sequence[float]) -> list[float]:
        """What `cut_face` reads for a box of the picture, in pixels of the part."""
        shift = (self.left, self.top, self.left, self.top)
        edges = zip(face_window(box), shift, strict=True)
        return [edge / self.scale - by for edge, by in edges]

    def covers(self, box: Sequence[float]) -> bool:
        """Whether all that `cut_face` reads for a box of the picture is here."""
        left, top, right, bottom = self.window(box)
        beyond = (left < 0, top < 0, right > self.columns, bottom > self.rows)
        return not any(b and o for b, o in zip(beyond, self.open_sides, strict=True))


class GlimpsedFaces:
    """A detector that keeps what it sees of faces.

    Give `pictures` to a tracker together with this as its detector; afterwards `cut` gives the
    faces. The tracker's points are those of pictures reduced by `scale`.

    Args:
        detector: finds the faces.
        folder: on whose disk the faces wait.
    """

    def __init__(self, detector: Detector, folder: Path) -> None:
        self.layout = detector.layout
        self.pts: list[int] = []
        self.scale = 1
        self._detector = detector
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (closed in __exit__)
        self._bytes = 0
        self._glimpses: list[list[_Glimpse]] = []
        self._picture: Picture | None = None
        self._last: list[tuple[float, float, float, float]] = []

    def __enter__(self) -> GlimpsedFaces:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    def pictures(self, pictures: Iterable[Picture]) -> Iterator[np.ndarray]:
        """Reduce a clip's pictures to what the detector needs.

        Args:
            pictures: in order.

        Returns:
            (h, w, 3) uint8 RGB, one at a time.
        """
        for picture in pictures:
            self.scale = max(min(picture.height, picture.width) // _SHORT_SIDE, 1)
            self._picture = picture
            self.pts.append(picture.pts)
            yield reduce_picture(picture, self.scale).rgb()

    def detect(self, picture: np.ndarray) -> list[Face]:
        """Find the faces in a reduced picture, the one that `pictures` gave last."""
        faces = self._detector.detect(picture)
        room = 1.0 if faces else _LOST_ROOM
        self._last = [_face_box(face, self.layout) for face in faces] or self._last
        kept = self._bytes < _MOST_BYTES
        self._glimpses.append(
            [self._keep(picture, box, room) for box in self._last] if kept else []
        )
        return faces

    def reset(self) -> None:
        """Forget what earlier pictures showed."""
        self._last = []
        self._detector.reset()

    def covers(self, frame: int, box: Sequence[float]) -> bool:
        """Whether a face was kept with all that `cut` needs: frame number, box in its picture."""
        return self._find(frame, box) is not None

    def cut(self, frame: int, box: Sequence[float]) -> np.ndarray:
        """Cut a face that is covered.

        Args:
            frame: number of the frame.
            box: the generator's box in its picture, pixels.

        Returns:
            (128, 128, 3) uint8 RGB, as `cut_face` cuts it but for a reduction on the way.
        """
        glimpse = self._find(frame, box)
        assert glimpse is not None
        count = 3 * glimpse.rows * glimpse.columns
        stored = os.pread(self._file.fileno(), count, glimpse.offset)
        part = np.frombuffer(stored, np.uint8).reshape(glimpse.rows, glimpse.columns, 3)
        if glimpse.scale == 1:
            x, y = glimpse.left, glimpse.top
            return cut_face(part, [box[0] - x, box[1] - y, box[2] - x, box[3] - y])
        return resample_window(part, glimpse.window(box))

    def _find(self, frame: int, box: Sequence[float]) -> _Glimpse | None:
        return next((each for each in self._glimpses[frame] if each.covers(box)), None)

    def _keep(self, reduced: np.ndarray, box: Sequence[float], room: float) -> _Glimpse:
        """Write the part of the picture around a box of the reduced picture into the file."""
        assert self._picture is not None
        scale, side = self.scale, max(box[2] - box[0], box[3] - box[1])
        is_large = scale == 1 or side >= _FACE_PX
        up = 1 if is_large else scale
        factor = max(int(side * up) // _FACE_PX, 1)
        width, height = reduced.shape[1] * up, reduced.shape[0] * up
        if not is_large:
            width, height = self._picture.width, self._picture.height
        sides, chin = room * _ROOM, room * _CHIN_ROOM
        across = _extent(box[0] * up, box[2] * up, (sides, sides), width, factor)
        down = _extent(box[1] * up, box[3] * up, (sides, chin), height, factor)
        if is_large:
            part = reduced[down[0] : down[1], across[0] : across[1]]
        else:
            part = self._picture.rgb((across[0], down[0], across[1], down[1]))
        if factor > 1:
            size = (part.shape[1] // factor, part.shape[0] // factor)
            part = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
        offset = self._bytes
        self._bytes += self._file.write(np.ascontiguousarray(part).data)
        rows, columns = part.shape[:2]
        reach = factor - 1  # pixels that are lost at an edge because they fill no block
        open_sides = (
            *(across[0] > 0, down[0] > 0),
            *(across[1] < width - reach, down[1] < height - reach),
        )
        left, top = across[0] // factor, down[0] // factor
        pixel = factor * (scale if is_large else 1)
        return _Glimpse(offset, rows, columns, left, top, pixel, open_sides)


def reduce_picture(picture: Picture, scale: int) -> Picture:
    """Make a picture smaller by a whole number, averaging over areas.

    Args:
        picture: any.
        scale: by which both sides are divided; 1 leaves the picture as it is.

    Returns:
        The smaller picture; up to scale - 1 last rows and columns are dropped.
    """
    if scale == 1:
        return picture
    height, width = picture.height // scale, picture.width // scale
    luma = picture.planes[0][: height * scale, : width * scale]
    size = ((width + 1) // 2, (height + 1) // 2)
    u, v = (cv2.resize(p, size, interpolation=cv2.INTER_AREA) for p in picture.planes[1:])
    reduced = cv2.resize(luma, (width, height), interpolation=cv2.INTER_AREA)
    return replace(picture, planes=(reduced, u, v))


def _face_box(face: Face, layout: str) -> tuple[float, float, float, float]:
    """Box a face from its hairline to its chin, whether its landmarks cover the forehead or not."""
    groups, (left, top, right, bottom) = point_groups(layout), face.box
    eyes_y = float(face.points[list(groups.eyes), 1].mean())
    nose_y = float(face.points[list(groups.nose_base), 1].mean())
    return left, min(top, eyes_y - _FOREHEAD * (nose_y - eyes_y)), right, bottom


def _extent(
    low: float, high: float, room: tuple[float, float], size: int, factor: int
) -> tuple[int, int]:
    """Widen a range by shares of itself, inside 0 to size, to whole multiples of a factor."""
    before, after = (share * (high - low) for share in room)
    first = min(max(int(low - before), 0), size - 1) // factor * factor
    end = min(int(high + after) + factor, size)
    count = max((end - first) // factor, 1)
    return first, min(first + count * factor, size)
