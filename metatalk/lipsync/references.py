"""Reference faces that do not give the answer away: closed mouths, the head held most alike."""

from __future__ import annotations

import numpy as np

from metatalk.landmarks.points import point_groups

_CLOSED_SHARE = 0.25  # of the frames, those with the smallest lip gap, may serve as references


def choose_references(points: np.ndarray, layout: str, pool: int) -> np.ndarray:
    """Give each frame a closed-mouth reference in which the head is held most alike.

    A reference that shows the mouth of the moment tells the teacher the answer of the actor's
    own words; a closed mouth tells nothing.

    Args:
        points: (N, L, 2 or 3) landmarks of consecutive frames, pixels.
        layout: name of the landmark layout.
        pool: how many references there are at most.

    Returns:
        (N,) int64, the number of each frame's reference.
    """
    upper, lower = point_groups(layout).lip_gap
    gap = np.linalg.norm(points[:, upper, :2] - points[:, lower, :2], axis=1)
    gap = gap / _widths(points, layout)  # a head that leans back shows no smaller mouth
    closed = np.argsort(gap, kind="stable")[: max(1, int(len(gap) * _CLOSED_SHARE))]
    closed = np.sort(closed)[:: max(1, -(-len(closed) // pool))]
    pose = _head_turn(points, layout)  # (N, 2)
    apart = np.linalg.norm(pose[:, None] - pose[None, closed], axis=2)  # (N, pool)
    return closed[apart.argmin(axis=1)].astype(np.int64)


def _head_turn(points: np.ndarray, layout: str) -> np.ndarray:
    """(N, 2): how far the nose lies sideways and below the eyes, in widths of the face."""
    groups = point_groups(layout)
    eyes = points[:, list(groups.eyes), :2].mean(axis=1)
    nose = points[:, list(groups.nose_base), :2].mean(axis=1)
    return (nose - eyes) / _widths(points, layout)[:, None]


def _widths(points: np.ndarray, layout: str) -> np.ndarray:
    width: np.ndarray = np.ptp(points[:, list(point_groups(layout).oval), 0], axis=1)
    return np.maximum(width, 1.0)
