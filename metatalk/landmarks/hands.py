"""Hands near a face: mediapipe's hand landmarks, models inside its wheel."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from metatalk.landmarks.mediapipe_detector import _import_solution, native_messages_to_log
from metatalk.shapes import check_shape

POINTS = 21
MOST_HANDS = 2
WRIST, MIDDLE_KNUCKLE = 0, 9
PALM = (0, 1, 5, 9, 13, 17)  # around the palm
FINGERS = ((1, 2, 3, 4), (5, 6, 7, 8), (9, 10, 11, 12), (13, 14, 15, 16), (17, 18, 19, 20))
FINGER_TO_PALM = 0.8  # a stretched finger's length from the knuckle, to the palm's
FINGER_WIDTH = 0.28  # in lengths of the palm, wrist to knuckles
FOREARM = 0.8  # so much of the arm is drawn behind the wrist, in lengths of the palm
FOREARM_WIDTH = 0.55
SHIFT_BITS = 4  # OpenCV draws at sixteenths of a pixel


@dataclass(frozen=True, eq=False)
class Hand:
    """One hand in one picture."""

    points: np.ndarray  # (21, 2) float32 px
    score: float  # how surely it is a left or a right hand, 0.5 to 1

    def __post_init__(self) -> None:
        check_shape("points", self.points, "N 2", N=POINTS)

    @property
    def palm_px(self) -> float:
        """Length from the wrist to the middle finger's knuckle."""
        return float(np.linalg.norm(self.points[WRIST] - self.points[MIDDLE_KNUCKLE]))

    @property
    def length_px(self) -> float:
        """How long the palm is, also where it is seen end-on: the fingers tell, too."""
        lengths = [
            float(np.linalg.norm(np.diff(self.points[list(finger)], axis=0), axis=1).sum())
            for finger in FINGERS
        ]
        return max(self.palm_px, FINGER_TO_PALM * max(lengths))

    def placed(self, transform: np.ndarray) -> Hand:
        """The same hand in another picture: (2, 3) this one's px to that one's."""
        moved = self.points @ transform[:, :2].T + transform[:, 2]
        return Hand(moved.astype(np.float32), self.score)


class HandFinder:
    """Finds hands in successive pictures; one once found is tracked, not searched again.

    Its models are given back by `close`, or at the end of a `with`.
    """

    def __init__(self, min_confidence: float = 0.5) -> None:
        self._min_confidence = min_confidence
        self._solution: Any = None
        self._stale = False

    def __enter__(self) -> HandFinder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the models back; looking again opens them anew."""
        if self._solution is not None:
            self._solution.close()
            self._solution = None

    def find(self, picture: np.ndarray) -> list[Hand]:
        """Find the hands in an RGB picture.

        Args:
            picture: (H, W, 3) uint8, from the same place as the last one or a similar one; a
                hand should be at least a tenth as wide as the picture.

        Returns:
            At most two hands, in px of the picture.

        Raises:
            MissingAssetError: mediapipe's package or models are not there.
        """
        check_shape("picture", picture, "H W 3")
        opening = self._solution is None or self._stale
        with native_messages_to_log() if opening else contextlib.nullcontext():
            found = self._ready().process(np.ascontiguousarray(picture))
        scale = np.array([picture.shape[1], picture.shape[0]], np.float32)
        pairs = zip(found.multi_hand_landmarks or [], found.multi_handedness or [], strict=True)
        return [
            Hand(
                np.array([(point.x, point.y) for point in hand.landmark], np.float32) * scale,
                float(side.classification[0].score),
            )
            for hand, side in pairs
        ]

    def reset(self) -> None:
        """Forget what earlier pictures showed: the next one is from elsewhere."""
        self._stale = True

    def _ready(self) -> Any:
        if self._solution is None:
            self._solution = _import_solution("hands").Hands(
                static_image_mode=False,
                max_num_hands=MOST_HANDS,
                model_complexity=1,
                min_detection_confidence=self._min_confidence,
                min_tracking_confidence=self._min_confidence,
            )
        elif self._stale:
            self._solution.reset()
        self._stale = False
        return self._solution


def draw_hands(hands: Sequence[Hand], size: tuple[int, int]) -> np.ndarray:
    """Draw what hands cover, a little too wide rather than too narrow.

    Args:
        hands: in px of the picture to be drawn.
        size: its width and height, px.

    Returns:
        (H, W) uint8: 255 where there is a hand or the arm close behind it, else 0.
    """
    picture = np.zeros((size[1], size[0]), np.uint8)
    for hand in hands:
        palm = hand.length_px
        wrist, knuckle = hand.points[WRIST], hand.points[MIDDLE_KNUCKLE]
        back = (wrist - knuckle) / max(hand.palm_px, 1e-3) * palm * FOREARM
        _stroke(picture, np.stack([wrist, wrist + back]), FOREARM_WIDTH * palm)
        hull = cv2.convexHull(np.ascontiguousarray(hand.points[list(PALM)]))[:, 0]
        cv2.fillConvexPoly(picture, _fixed(hull), (255,), shift=SHIFT_BITS)
        for line in (PALM, *FINGERS):
            _stroke(picture, hand.points[list(line)], FINGER_WIDTH * palm)
    return picture


def _stroke(picture: np.ndarray, line: np.ndarray, width: float) -> None:
    """Draw a line with round ends, in place."""
    thickness = max(1, round(width))
    cv2.polylines(picture, [_fixed(line)], False, (255,), thickness, shift=SHIFT_BITS)


def _fixed(points: np.ndarray) -> np.ndarray:
    """Points as OpenCV's fixed-point numbers, pixel centres at whole ones."""
    reach = np.clip(points - 0.5, -1e4, 1e4)
    return np.rint(reach * (1 << SHIFT_BITS)).astype(np.int32)
