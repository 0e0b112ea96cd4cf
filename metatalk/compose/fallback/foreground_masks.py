"""Masks of what stands before the face, one for each part of a clip, fixed in the picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from metatalk.compose.fallback.face_watch import Box
from metatalk.errors import ShapeError
from metatalk.render.crops import (
    apply_transforms,
    invert_transforms,
    to_opencv,
)
from metatalk.shapes import check_shape

DRAWN_SOFT = 0.01  # of the crop's side: a thing that was drawn has no sharper edge
COVERED = 0.5  # share of the film from which a place counts as covered


@dataclass(frozen=True, eq=False)
class Foreground:
    """What stands before the face, or was laid over a clip near it, part by part.

    A part is a shot, or as much of one as shows the same caption.
    """

    shots: np.ndarray  # (S, 2) first frame and one past the last of each part
    # (S, 4) left, top, right, bottom, frame px, fractions too: where the masks lie
    boxes: np.ndarray
    # S of (h, w) uint8: share of the film that is to be seen, 255 all; of no size where nothing is
    masks: tuple[np.ndarray, ...]
    lips_share: np.ndarray  # (T,) float32: how much of the lips is behind them in each frame

    def __post_init__(self) -> None:
        shots = check_shape("shots", self.shots, "S 2")["S"]
        check_shape("boxes", self.boxes, "S 4", S=shots)
        check_shape("lips_share", self.lips_share, "T")
        if len(self.masks) != shots:
            raise ShapeError(f"{shots} shots have {len(self.masks)} masks")

    def __bool__(self) -> bool:
        """Whether anything stands before the face anywhere."""
        return any(mask.size for mask in self.masks)

    def shot_of(self, frame: int) -> int:
        """The part that a frame belongs to; -1: none."""
        return int(np.searchsorted(self.shots[:, 0], frame, side="right")) - 1

    def stands_in(self, frame: int) -> bool:
        """Whether anything stands before the face in a frame."""
        shot = self.shot_of(frame)
        return shot >= 0 and self.masks[shot].size > 0

    def film_share(
        self, frame: int, left: int, top: int, width: int, height: int
    ) -> np.ndarray | None:
        """How much of the film is to be seen in a part of a frame.

        Args:
            frame: of the clip.
            left: the part's first column, frame px.
            top: its first row.
            width: px.
            height: px.

        Returns:
            (height, width) float32 in [0, 1]; None where nothing stands in that part.
        """
        if not self.stands_in(frame):
            return None
        shot = self.shot_of(frame)
        box = self.boxes[shot]
        if left >= box[2] or top >= box[3] or left + width <= box[0] or top + height <= box[1]:
            return None
        to_part = _to_frame(self.masks[shot], box)
        to_part[:, 2] -= (left, top)
        # A thing goes on beyond what was looked at: an arm is not cut at the box's edge.
        share = _warp(self.masks[shot], to_part, width, height, cv2.BORDER_REPLICATE)
        return share.astype(np.float32) / 255 if share.any() else None

    def drawn_share(
        self, frame: int, box: Box, transform: np.ndarray, carried: np.ndarray
    ) -> np.ndarray:
        """How much of the thing was drawn in a part of a frame, moved along with the skin.

        Where the new face has skin that is behind the thing in the film, it shows the thing.

        Args:
            frame: of the clip.
            box: the part's left, top, right, bottom, frame px.
            transform: (2, 3) frame px to crop px.
            carried: (S, S, 2) float32: where in the filmed crop each pixel of the new face lies,
                crop px; nan where nowhere.

        Returns:
            (height, width) float32 in [0, 1].
        """
        size = check_shape("carried", carried, "S S 2")["S"]
        check_shape("transform", transform, "2 3")
        left, top, width, height = box[0], box[1], box[2] - box[0], box[3] - box[1]
        if not self.stands_in(frame):
            return np.zeros((height, width), np.float32)
        shot = self.shot_of(frame)
        to_crop = _to_frame(self.masks[shot], self.boxes[shot])
        to_crop = transform[:, :2] @ to_crop + np.pad(transform[:, 2:], ((0, 0), (2, 0)))
        crop = _warp(self.masks[shot], to_crop, size, size, cv2.BORDER_REPLICATE)
        places = np.nan_to_num(carried - np.float32(0.5), nan=-1e4)
        drawn = cv2.remap(crop, places[..., 0], places[..., 1], cv2.INTER_LINEAR)
        soft = cv2.GaussianBlur(drawn, (0, 0), DRAWN_SOFT * size)
        drawn = cv2.max(drawn, cv2.convertScaleAbs(soft, alpha=2.0))
        to_part = invert_transforms(transform)
        to_part[:, 2] -= (left, top)
        share = _warp(drawn, to_part, width, height, cv2.BORDER_CONSTANT)
        return share.astype(np.float32) / 255

    def covers(self, frame: int, places: np.ndarray) -> np.ndarray:
        """Whether places of a frame are covered.

        Args:
            frame: of the clip.
            places: (P, 2) frame px.

        Returns:
            (P,) bool.
        """
        check_shape("places", places, "P 2")
        if not self.stands_in(frame):
            return np.zeros(len(places), bool)
        shot = self.shot_of(frame)
        mask = self.masks[shot]
        at = np.floor(
            apply_transforms(places, invert_transforms(_to_frame(mask, self.boxes[shot])))
        ).astype(int)
        column, row = np.clip(at, 0, np.array(mask.shape[::-1]) - 1).T
        covered: np.ndarray = mask[row, column] > COVERED * 255
        return covered

    def to_arrays(self) -> dict[str, np.ndarray]:
        """The same as arrays that can be saved."""
        sizes = np.array([mask.shape for mask in self.masks], np.int32).reshape(-1, 2)
        flat = np.concatenate([np.zeros(0, np.uint8), *(mask.ravel() for mask in self.masks)])
        placed = {"shots": self.shots, "boxes": self.boxes, "sizes": sizes, "masks": flat}
        return placed | {"lips_share": self.lips_share}


def foreground_from_arrays(stored: Mapping[str, np.ndarray]) -> Foreground:
    """Undo `Foreground.to_arrays`.

    Raises:
        ShapeError: the arrays do not fit each other.
    """
    sizes, flat = stored["sizes"], stored["masks"]
    check_shape("sizes", sizes, "S 2")
    ends = np.cumsum(np.concatenate([[0], sizes.astype(int).prod(1)]))
    if ends[-1] != len(flat):
        raise ShapeError(f"masks of {ends[-1]} places have {len(flat)}")
    parts = zip(ends[:-1], ends[1:], sizes.tolist(), strict=True)
    masks = tuple(flat[a:b].reshape(size) for a, b, size in parts)
    return Foreground(stored["shots"], stored["boxes"], masks, stored["lips_share"])


def _to_frame(mask: np.ndarray, box: np.ndarray) -> np.ndarray:
    """(2, 3) a mask's px to the frame's."""
    scale = (box[2:] - box[:2]) / np.array(mask.shape[::-1])
    return np.concatenate([np.diag(scale), box[:2, None]], 1).astype(float)


def _warp(
    picture: np.ndarray, transform: np.ndarray, width: int, height: int, border: int
) -> np.ndarray:
    size = (width, height)
    warped: np.ndarray = cv2.warpAffine(picture, to_opencv(transform), size, borderMode=border)
    return warped
