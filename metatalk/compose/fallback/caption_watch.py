"""One look at each frame of a clip for captions near the face."""

from __future__ import annotations

import numpy as np

from metatalk.compose.fallback.captions import CaptionSearch, lay_over
from metatalk.compose.fallback.face_watch import Box, Readable
from metatalk.compose.fallback.foreground_masks import Foreground
from metatalk.compose.fallback.foreground_watch import (
    AROUND,
    FACE_PX,
    LEAST_PX,
    MOST_PX,
    shrink,
)
from metatalk.compose.fallback.surface_grid import SurfaceGrid, place_painted
from metatalk.morphable.camera import Camera
from metatalk.morphable.coefficients import TrackCoefficients
from metatalk.shapes import check_shape

MOST_FRAMES = 200  # that tell where the face is
FAR = 0.01  # of them, at either end, may be farther out
BELOW = 0.4  # of the face's width, below what may be painted over: what a jaw may pull along


class CaptionWatch:
    """Looks at the same part of a clip's frames, one after the other."""

    def __init__(self, grid: SurfaceGrid, track: TrackCoefficients, camera: Camera) -> None:
        """Watch a clip.

        Args:
            grid: of the face.
            track: (T) the clip's fit.
            camera: the clip's.
        """
        self._low, self._high, self._face_px = np.zeros(2), np.zeros(2), 0.0
        self._lower = grid.lower
        self._box: Box | None = None
        self._scale = 1.0
        self._search: CaptionSearch | None = None
        trusted = np.flatnonzero(track.has_face.numpy() & track.is_trusted.numpy())
        if not len(trusted):
            return
        some = trusted[np.unique(np.linspace(0, len(trusted) - 1, MOST_FRAMES).astype(int))]
        painted = place_painted(grid, track.take(some), camera)
        self._face_px = float(np.median(np.ptp(painted[..., 0], axis=1)))
        around = self._face_px * np.array([AROUND, AROUND])
        # By frames: one that was badly fitted does not stretch the window.
        low = np.quantile(painted.min(1), FAR, axis=0, method="higher")
        high = np.quantile(painted.max(1), 1 - FAR, axis=0, method="lower")
        self._low, self._high = low - around, high + around + (0, BELOW * self._face_px)

    def look(
        self, picture: Readable, frame: int, cells: np.ndarray | None, is_cut: bool = False
    ) -> None:
        """Look at the next frame.

        Args:
            picture: the frame.
            frame: its number.
            cells: (K, 2) frame px, where the grid's cells lie; None: there is no face.
            is_cut: a shot begins with it.
        """
        if self._box is None:
            self._place(picture.width, picture.height)
        if self._search is None or self._box is None:
            return
        outline = None
        if cells is not None:
            check_shape("cells", cells, "K 2", K=len(self._lower))
            outline = (cells[self._lower] - self._box[:2]) * np.float32(self._scale)
        window = shrink(picture.rgb(self._box), self._scale)
        self._search.look(window, frame, outline, is_cut)

    def finish(self, standing: Foreground) -> Foreground:
        """What stands before the face, with the captions that were found."""
        if self._search is None or self._box is None:
            return standing
        found = self._search.finish()
        return lay_over(standing, found, self._box, self._face_px * self._scale)

    def _place(self, width: int, height: int) -> None:
        low = np.clip(np.floor(self._low), 0, (width, height)).astype(int).tolist()
        high = np.clip(np.ceil(self._high), 0, (width, height)).astype(int).tolist()
        self._box = low[0], low[1], high[0], high[1]
        across, tall = high[0] - low[0], high[1] - low[1]
        if min(across, tall, self._face_px) >= LEAST_PX:
            self._scale = min(1.0, FACE_PX / self._face_px, MOST_PX / max(across, tall))
            self._search = CaptionSearch(self._face_px * self._scale)
