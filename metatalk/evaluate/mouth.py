"""How well a generated mouth follows the real one: measures on landmark tracks.

Every track here is (T, 478, 2) mediapipe landmarks in pixels; row t of the real track and row t
of the generated one show the same moment. Lengths are in inter-ocular distances of the real face,
so that the size of the picture does not count, and a generated face that grows is noticed.
"""

from __future__ import annotations

import numpy as np

from metatalk.landmarks.points import MEDIAPIPE478
from metatalk.shapes import check_shape

CLOSED_GAP = 0.03  # inter-ocular distances: below it real lips count as closed
NEARLY_CLOSED_GAP = 0.05  # and generated ones, which may tremble, below this

_LIPS = np.array(MEDIAPIPE478.lips)


def lip_gap(track: np.ndarray, unit_px: np.ndarray) -> np.ndarray:
    """Measure the gap between the inner lips.

    Args:
        track: (T, 478, 2) landmarks, pixels.
        unit_px: (T,) `eye_distance` of the real track, for the real and the generated one.

    Returns:
        (T,) in inter-ocular distances.

    Raises:
        ShapeError: the track has another shape.
    """
    return _distance(track, MEDIAPIPE478.lip_gap) / unit_px


def mouth_width(track: np.ndarray, unit_px: np.ndarray) -> np.ndarray:
    """Measure the distance of the mouth's corners; as `lip_gap`."""
    return _distance(track, MEDIAPIPE478.mouth_corners) / unit_px


def eye_distance(track: np.ndarray) -> np.ndarray:
    """Measure the distance of the eyes' outer corners in a (T, 478, 2) track, (T,) pixels."""
    return _distance(track, MEDIAPIPE478.eye_corners)


def correlation(real: np.ndarray, made: np.ndarray) -> float:
    """Compute Pearson's r of two (T,) series; 0 where one of them never changes.

    >>> round(correlation(np.array([0.0, 1, 2]), np.array([5.0, 6, 7])), 6)
    1.0
    """
    frames = check_shape("real", real, "T")
    check_shape("made", made, "T", **frames)
    real, made = real - real.mean(), made - made.mean()
    scale = np.sqrt((real * real).sum() * (made * made).sum())
    return float((real * made).sum() / max(scale, 1e-9))


def lag(real: np.ndarray, made: np.ndarray, reach: int = 10) -> int:
    """Find the shift at which two (T,) series correlate best.

    Args:
        real: (T,) reference.
        made: (T,) to be shifted.
        reach: frames tried either way; T must be larger.

    Returns:
        Frames by which `made` comes late; negative when it comes early.

    >>> wave = np.sin(np.arange(100) / 3)
    >>> lag(wave[5:], wave[:-5])
    5
    """
    shifts = range(-reach, reach + 1)
    fits = [correlation(*_overlap(real, made, shift)) for shift in shifts]
    return int(np.argmax(fits)) - reach


def lip_distance(real: np.ndarray, made: np.ndarray) -> float:
    """Average the distance of the 40 lip landmarks (LMD).

    Args:
        real: (T, 478, 2) landmarks, pixels.
        made: (T, 478, 2) landmarks, pixels.

    Returns:
        Mean distance in the real face's inter-ocular distances; 0 is perfect.

    Raises:
        ShapeError: the tracks differ in shape.
    """
    check_shape("made", made, "T 478 2", T=len(real))
    apart_px = np.linalg.norm(real[:, _LIPS] - made[:, _LIPS], axis=2).mean(axis=1)  # (T,)
    return float((apart_px / eye_distance(real)).mean())


def closure_rate(real_gap: np.ndarray, made_gap: np.ndarray) -> float | None:
    """Count the closures that are kept: p, b and m are what viewers miss first.

    Args:
        real_gap: (T,) from `lip_gap`.
        made_gap: (T,) from `lip_gap`.

    Returns:
        Of the frames with closed real lips, the share with closed generated ones; None
        where the real lips never close.
    """
    closed = real_gap < CLOSED_GAP
    if not closed.any():
        return None
    return float((made_gap[closed] < NEARLY_CLOSED_GAP).mean())


def jitter_ratio(real: np.ndarray, made: np.ndarray) -> float:
    """Compare how restless the lips are: energy of the second difference, made / real.

    Args:
        real: (T, 478, 2) landmarks, pixels.
        made: (T, 478, 2) landmarks, pixels.

    Returns:
        1 is natural, more trembles, less glides.

    Raises:
        ShapeError: the tracks differ in shape.
    """
    check_shape("made", made, "T 478 2", T=len(real))
    return _restlessness(made) / max(_restlessness(real), 1e-9)


def _restlessness(track: np.ndarray) -> float:
    return float((np.diff(track[:, _LIPS], n=2, axis=0) ** 2).mean())


def _distance(track: np.ndarray, pair: tuple[int, int]) -> np.ndarray:
    check_shape("track", track, "T 478 2")
    return np.linalg.norm(track[:, pair[0]] - track[:, pair[1]], axis=1)


def _overlap(real: np.ndarray, made: np.ndarray, shift: int) -> tuple[np.ndarray, np.ndarray]:
    """Pair real frame t with generated frame t + shift."""
    ahead, behind = max(0, -shift), max(0, shift)
    return real[ahead : len(real) - behind], made[behind : len(made) - ahead]
