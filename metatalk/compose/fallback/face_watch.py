"""One look at each frame of a clip: what the face's cells show, hands near it, and blur."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from metatalk.compose.fallback.surface_grid import read_colours
from metatalk.landmarks.hands import Hand, HandFinder, draw_hands
from metatalk.render.crops import apply_transforms, invert_transforms
from metatalk.shapes import check_shape

HEAD_PX = 160  # side of the small picture of the head: three pixels a cell
HEAD_REACH = 1.15  # how much of the frame it shows, in the face's longer side
HANDS_PX = 256  # side of the picture that hands are looked for in
HANDS_REACH = 2.6  # how much of the frame it shows, in the face's longer side
LEAST_PALM = 0.15  # of the face's longer side: less is an ear or a lock of hair
EVERY = 2  # frames from one look for hands to the next, while there is none
AFTER = 5  # looks at every frame, once there was one
GROW = 0.04  # of the face's longer side: the mask's growth and its soft edge
DIRECTIONS_RAD = np.arange(8) * np.pi / 8  # in which blur is looked for

Box = tuple[int, int, int, int]


class Readable(Protocol):
    """A frame that part of can be read."""

    @property
    def width(self) -> int: ...

    @property
    def height(self) -> int: ...

    def rgb(self, box: Box | None = None) -> np.ndarray:
        """(h, w, 3) uint8 of the box left, top, right, bottom."""
        ...


@dataclass(frozen=True, eq=False)
class Glimpse:
    """What one frame shows of a face."""

    colours: np.ndarray  # (K, 3) uint8
    inside: np.ndarray  # (K,) bool: cells within the frame
    under_hand: np.ndarray  # (K,) bool: cells that a hand covers
    hand_share: float  # of what may be painted over, that hands cover
    edges: np.ndarray  # (8,) float32: how strong the picture's changes are in each direction


class FaceWatch:
    """Looks at the frames of a clip, one after the other."""

    def __init__(self, hands: HandFinder | None) -> None:
        self._hands = hands
        self._since_hand = AFTER
        self._since_look = EVERY
        self._seen: list[Hand] = []  # in frame px

    def reset(self) -> None:
        """Forget the frames so far: the next is of another shot."""
        if self._hands is not None:
            self._hands.reset()
        self._since_hand, self._since_look, self._seen = AFTER, EVERY, []

    def look(self, picture: Readable, cells: np.ndarray, painted: np.ndarray) -> Glimpse:
        """Look at the next frame.

        Args:
            picture: the frame.
            cells: (K, 2) frame px, see `surface_grid.place_cells`.
            painted: (P, 2) frame px around what may be painted over.

        Returns:
            What it shows.
        """
        check_shape("cells", cells, "K 2")
        check_shape("painted", painted, "P 2")
        hands = self._find_hands(picture, cells)
        head, transform = _cut(picture, cells, HEAD_PX, HEAD_REACH, cv2.BORDER_REPLICATE)
        places = apply_transforms(cells, transform)
        size = np.array([picture.width, picture.height])
        cover = draw_hands([hand.placed(transform) for hand in hands], (HEAD_PX, HEAD_PX))
        outline = _grown_outline(apply_transforms(painted, transform))
        at = np.clip(places, 0, HEAD_PX - 1).astype(int)
        return Glimpse(
            read_colours(head, places),
            ((cells > 0) & (cells < size)).all(1),
            cover[at[:, 1], at[:, 0]] > 0,
            float(((cover > 0) & (outline > 0)).sum() / max(int((outline > 0).sum()), 1)),
            measure_edges(head, _grown_outline(places, 0.0)),
        )

    def _find_hands(self, picture: Readable, cells: np.ndarray) -> list[Hand]:
        """Hands in frame px; those of the frame before, where this one is not looked at."""
        if self._hands is None:
            return []
        self._since_look += 1
        if self._since_hand >= AFTER and self._since_look < EVERY:
            return self._seen
        self._since_look = 0
        # Black beyond the frame's edge: a repeated edge looks like fingers.
        window, transform = _cut(picture, cells, HANDS_PX, HANDS_REACH, cv2.BORDER_CONSTANT)
        back = invert_transforms(transform)
        least = LEAST_PALM * HANDS_PX / HANDS_REACH
        found = [hand for hand in self._hands.find(window) if hand.length_px >= least]
        self._seen = [hand.placed(back) for hand in found]
        self._since_hand = 0 if found else self._since_hand + 1
        return self._seen


def _cut(
    picture: Readable, cells: np.ndarray, side_px: int, reach: float, border: int
) -> tuple[np.ndarray, np.ndarray]:
    """An upright square window around a head, and where it lies.

    Args:
        picture: the frame.
        cells: (K, 2) frame px.
        side_px: side of the window's picture.
        reach: how much of the frame it shows, in the face's longer side.
        border: what OpenCV fills it with beyond the frame.

    Returns:
        (side_px, side_px, 3) uint8, and (2, 3) frame px to the picture's.
    """
    low, high = cells.min(0), cells.max(0)
    side = max(4, round(float((high - low).max()) * reach))  # whole px: shrinking costs little
    left, top = np.rint((low + high - side) / 2).astype(int).tolist()
    columns = np.clip((left, left + side), 0, picture.width).tolist()
    rows = np.clip((top, top + side), 0, picture.height).tolist()
    scale = side_px / side
    transform = np.array([[scale, 0.0, -scale * left], [0.0, scale, -scale * top]])
    if columns[0] == columns[1] or rows[0] == rows[1]:
        return np.zeros((side_px, side_px, 3), np.uint8), transform
    part = picture.rgb((columns[0], rows[0], columns[1], rows[1]))
    around = (rows[0] - top, top + side - rows[1], columns[0] - left, left + side - columns[1])
    if any(around):
        part = cv2.copyMakeBorder(part, *around, border)
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return cv2.resize(part, (side_px, side_px), interpolation=how), transform


def _grown_outline(points: np.ndarray, grow: float = GROW) -> np.ndarray:
    """(HEAD_PX, HEAD_PX) uint8: the points' convex hull and a little around it."""
    picture = np.zeros((HEAD_PX, HEAD_PX), np.uint8)
    hull = cv2.convexHull(points.astype(np.float32))[:, 0]
    outline = np.rint(np.clip(hull - 0.5, -1e4, 1e4) * 16).astype(np.int32)
    cv2.fillConvexPoly(picture, outline, (255,), shift=4)
    width = round(2 * grow * HEAD_PX / HEAD_REACH)
    if width:
        cv2.polylines(picture, [outline], True, (255,), width, shift=4)
    return picture


def measure_edges(head: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Measure how strongly a picture changes in each of eight directions.

    A movement's blur weakens the changes along it and leaves those across it.

    Args:
        head: (S, S, 3) uint8 RGB.
        where: (S, S) uint8, 0 where not to look.

    Returns:
        (8,) float32: the root mean square of the luma's change a pixel, over its own deviation,
        so that a light's strength does not matter.
    """
    check_shape("where", where, "S S", S=check_shape("head", head, "S S 3")["S"])
    grey = cv2.cvtColor(head, cv2.COLOR_RGB2GRAY).astype(np.float32)
    inside = where > 0
    if not inside.any():
        return np.zeros(len(DIRECTIONS_RAD), np.float32)
    along_x = cv2.Sobel(grey, cv2.CV_32F, 1, 0)[inside] / 8
    along_y = cv2.Sobel(grey, cv2.CV_32F, 0, 1)[inside] / 8
    xx, yy, xy = (along_x**2).mean(), (along_y**2).mean(), (along_x * along_y).mean()
    cosine, sine = np.cos(DIRECTIONS_RAD), np.sin(DIRECTIONS_RAD)
    power = cosine**2 * xx + sine**2 * yy + 2 * cosine * sine * xy
    contrast = max(float(grey[inside].std()), 1.0)
    edges: np.ndarray = (np.sqrt(np.maximum(power, 0)) / contrast).astype(np.float32)
    return edges
