"""One look at some frames of each shot for what stands before the face all the while."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from metatalk.compose.fallback.face_watch import Box, Readable
from metatalk.compose.fallback.foreground import (
    find_seeds,
    gather_evidence,
    outline_things,
    share_present,
    soften,
    tell_bare,
)
from metatalk.compose.fallback.foreground_masks import Foreground
from metatalk.compose.fallback.surface_grid import (
    FACING,
    SurfaceGrid,
    facing,
    place_cells,
    place_painted,
)
from metatalk.morphable.camera import Camera
from metatalk.morphable.coefficients import TrackCoefficients
from metatalk.shapes import check_shape

FINE_SIDE = 96  # squares of the grid's side: finer than what tells coverings that come and go
MOST_PICTURES = 80  # of a shot: all that memory holds
LEAST_PICTURES = 20  # fewer tell nothing
FACE_PX = 240  # a face's width in the small pictures, at most
MOST_PX = 480  # a small picture's longer side
LEAST_PX = 40  # a face's width: in fewer nothing is to be seen
PRESENT = 0.9  # of a shot's pictures: what comes and goes is a covering of its frames
AROUND = 0.1  # of the face's width, around what may be painted over


@dataclass(frozen=True, eq=False)
class _Lookout:
    """When and where one shot is looked at."""

    frames: np.ndarray  # (N,)
    box: Box  # frame px
    scale: float  # frame px to window px
    cells: np.ndarray  # (N, K, 2) window px
    seen: np.ndarray  # (N, K) bool


class ForegroundWatch:
    """Looks at the frames of a clip, one after the other, and keeps a few small ones of a shot."""

    def __init__(
        self, grid: SurfaceGrid, track: TrackCoefficients, camera: Camera, shots: np.ndarray
    ) -> None:
        """Watch a clip.

        Args:
            grid: of the face, of `FINE_SIDE` squares.
            track: (T) the clip's fit.
            camera: the clip's.
            shots: (S, 2) first frame and one past the last of each shot.
        """
        check_shape("shots", shots, "S 2")
        self._grid, self._track, self._camera = grid.take(grid.lower), track, camera
        self._shots = shots
        self._trusted = track.has_face.numpy() & track.is_trusted.numpy()
        self._shot, self._lookout = -1, _NOWHERE
        self._windows: dict[int, np.ndarray] = {}  # by the row of the lookout's frames
        self._boxes = np.zeros((len(shots), 4), np.int32)
        self._masks = [np.zeros((0, 0), np.uint8) for _ in shots]

    def look(self, picture: Readable, frame: int) -> None:
        """Look at a frame; they come in order, but not all of them have to."""
        shot = int(np.searchsorted(self._shots[:, 0], frame, side="right")) - 1
        if shot != self._shot:
            self._close()
            self._shot, self._windows = shot, {}
            self._lookout = self._plan(shot, picture.width, picture.height)
        at = self._lookout
        row = int(np.searchsorted(at.frames, frame))
        if row < len(at.frames) and at.frames[row] == frame:
            self._windows[row] = shrink(picture.rgb(at.box), at.scale)

    def finish(self) -> Foreground:
        """What stands before the face in each shot."""
        self._close()
        self._shot, self._lookout, self._windows = -1, _NOWHERE, {}
        bare = Foreground(
            self._shots, self._boxes, tuple(self._masks), np.zeros(len(self._track), np.float32)
        )
        return replace(bare, lips_share=self._lips_share(bare)) if bare else bare

    def _lips_share(self, found: Foreground) -> np.ndarray:
        """(T,) float32: how much of the lips is behind what was found."""
        lips = self._grid.take(self._grid.lips)
        share, whole = np.zeros(len(self._track), np.float32), max(float(lips.area.sum()), 1e-6)
        for frame in np.flatnonzero(self._track.has_face.numpy()).tolist():
            if found.stands_in(frame):
                places = place_cells(lips, self._track.take(np.array([frame])), self._camera)[0]
                share[frame] = float(lips.area[found.covers(frame, places)].sum()) / whole
        return share

    def _plan(self, shot: int, width: int, height: int) -> _Lookout:
        if shot < 0:
            return _NOWHERE
        first, end = self._shots[shot].tolist()
        usable = first + np.flatnonzero(self._trusted[first:end])
        if len(usable) < LEAST_PICTURES:
            return _NOWHERE
        frames = usable[np.unique(np.linspace(0, len(usable) - 1, MOST_PICTURES).astype(int))]
        some = self._track.take(frames)
        cells = place_cells(self._grid, some, self._camera)
        painted = place_painted(self._grid, some, self._camera)
        face_px = float(np.median(np.ptp(cells[..., 0], axis=1)))
        around = AROUND * face_px
        low = np.maximum(np.floor(painted.min((0, 1)) - around), 0).astype(int)
        high = np.minimum(np.ceil(painted.max((0, 1)) + around), (width, height)).astype(int)
        if (high - low < LEAST_PX).any() or face_px < LEAST_PX:
            return _NOWHERE
        scale = min(1.0, FACE_PX / face_px, MOST_PX / float((high - low).max()))
        seen = -facing(self._grid, some)[..., 2] > FACING
        box = int(low[0]), int(low[1]), int(high[0]), int(high[1])
        return _Lookout(frames, box, scale, (cells - low) * np.float32(scale), seen)

    def _close(self) -> None:
        """Tell what stands before the face in the shot that has ended."""
        at = self._lookout
        rows = np.array(list(self._windows), int)
        if len(rows) < LEAST_PICTURES:
            return
        windows = np.stack(list(self._windows.values()))
        bare = tell_bare(windows, at.cells[rows], at.seen[rows])
        if bare.sum() < LEAST_PICTURES:
            return
        rows, windows = rows[bare], windows[bare]
        found = gather_evidence(windows, at.cells[rows], at.seen[rows])
        whole = outline_things(found, find_seeds(found))
        if whole.any() and share_present(windows, whole, found.width) >= PRESENT:
            self._boxes[self._shot] = at.box
            self._masks[self._shot] = soften(whole, found.width)


def shrink(picture: np.ndarray, scale: float) -> np.ndarray:
    """A picture whose sides are multiplied by a scale of 1 or less."""
    if scale == 1:
        return picture
    size = tuple(max(1, round(side * scale)) for side in picture.shape[1::-1])
    small: np.ndarray = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return small


_NOWHERE = _Lookout(
    np.zeros(0, int),
    (0, 0, 0, 0),
    1.0,
    np.zeros((0, 0, 2), np.float32),
    np.zeros((0, 0), bool),
)
