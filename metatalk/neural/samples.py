"""What our renderer learns from: pairs of neighbouring frames with the texture carried to them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metatalk.shapes import check_shape

PICTURES = {"synthetic": 3, "geometry": 3, "filmed": 4, "matched": 4}  # channels of each


@dataclass(frozen=True, eq=False)
class Samples:
    """M pairs of frames; arrays may be memory maps.

    `filmed` is texture of a frame in nearly the same pose with some other mouth, the way the
    footage stands under a driven mouth; `matched` is texture of a frame from another time with
    nearly the same mouth. Neither is ever taken from the frame itself.
    """

    rows: np.ndarray  # (M, 2) int64 rows of the crops, neighbours in time where there are any
    synthetic: np.ndarray  # (M, 2, S, S, 3) uint8 shaded synthetic lower face on black
    geometry: np.ndarray  # (M, 2, S, S, 3) uint8 its normals, camera frame, -1..1 as 0..255
    filmed: np.ndarray  # (M, 2, S, S, 4) uint8 RGB and trust
    matched: np.ndarray  # (M, 2, S, S, 4) uint8 RGB and trust

    def __post_init__(self) -> None:
        sizes = check_shape("rows", self.rows, "M 2")
        for name, channels in PICTURES.items():
            sizes = check_shape(name, getattr(self, name), f"M 2 S S {channels}", **sizes)

    def __len__(self) -> int:
        return len(self.rows)

    def nearest(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Find the samples of some frames, or of the frames nearest to them.

        Args:
            rows: (B,) rows of the crops.

        Returns:
            (B,) pairs and (B,) which of the two.
        """
        flat = self.rows.reshape(-1)
        found = np.abs(flat[None] - rows[:, None]).argmin(1)
        return found // 2, found % 2
