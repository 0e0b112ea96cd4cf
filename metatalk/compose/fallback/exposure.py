"""How light a face is in each frame, and where that changes too much: a flash, a fade to black.

What looks strange on a face is told after each frame's exposure is taken away, so exposure itself
has to be told apart. A light that is switched or fades slowly is followed by all that draws the
mouth; in a flash or a fade the new mouth keeps a light of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metatalk.shapes import check_shape

DARK = 0.06  # added to a colour before its logarithm: noise in the shadows is no difference
CLIPPED = 250  # of 255: a colour channel that tells nothing any more
AROUND_S = 10.0  # to either side: what is usual for a frame
STEP_S = 0.2  # from one such usual to the next
SHORT_S = 0.4  # a shorter shot may be the flash itself: the shots around tell what is usual


@dataclass(frozen=True, eq=False)
class ExposureChange:
    """How a face's exposure differs from what is usual around each of T frames."""

    brightness: np.ndarray  # (T,) float32 natural logarithm of the ratio; 0: as usual
    clipped: np.ndarray  # (T,) float32: share of the skin that is clipped, less the usual one

    def __post_init__(self) -> None:
        frames = check_shape("brightness", self.brightness, "T")
        check_shape("clipped", self.clipped, "T", **frames)


def colour_logarithms(colours: np.ndarray) -> np.ndarray:
    """(...) uint8 to float32 natural logarithms; noise in the shadows hardly counts."""
    logarithms: np.ndarray = np.log(colours.astype(np.float32) / 255.0 + DARK)
    return logarithms


def weighted_median(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(B,) medians of (B, K)."""
    order = np.argsort(values, 1)
    mass = np.cumsum(np.take_along_axis(weights, order, 1), 1)
    middle = (mass < mass[:, -1:] / 2).sum(1).clip(max=values.shape[1] - 1)
    chosen: np.ndarray = np.take_along_axis(values, order, 1)[np.arange(len(values)), middle]
    return chosen


def measure_exposure(colours: np.ndarray, weights: np.ndarray, usual: np.ndarray) -> np.ndarray:
    """Measure how light a face is, whatever covers some of it.

    Args:
        colours: (B, K, 3) uint8: what its cells show.
        weights: (B, K): the cells' areas, 0 where one is not seen.
        usual: (K, 3) natural logarithms: what they usually show.

    Returns:
        (B, 2) float32: the natural logarithm of how light it is to the usual, and the share of
        its area that is clipped; 0 where nothing is seen.
    """
    sizes = check_shape("colours", colours, "B K 3")
    check_shape("weights", weights, "B K", **sizes)
    check_shape("usual", usual, "K 3", K=sizes["K"])
    away = (colour_logarithms(colours) - usual).mean(-1)
    whole = weights.sum(1)
    share = ((colours.max(-1) >= CLIPPED) * weights).sum(1) / np.maximum(whole, 1e-6)
    found = np.stack([weighted_median(away, weights), share], -1)
    return np.where(whole[:, None] > 0, found, 0.0).astype(np.float32)


def compare_exposure(
    level: np.ndarray, clipped: np.ndarray, looked: np.ndarray, shots: np.ndarray, rate: float
) -> ExposureChange:
    """Compare each frame's exposure with what is usual in the seconds around it.

    Args:
        level: (T,) natural logarithm of how light the face is.
        clipped: (T,) share of it that is clipped.
        looked: (T,) bool: frames with a face.
        shots: (S, 2) first frame and one past the last of each shot.
        rate: frames a second.

    Returns:
        The change; 0 where there is no face.
    """
    frames = check_shape("level", level, "T")
    check_shape("clipped", clipped, "T", **frames)
    check_shape("looked", looked, "T", **frames)
    check_shape("shots", shots, "S 2")
    both = np.stack([level, clipped], -1).astype(np.float32)
    change, faces = np.zeros_like(both), np.flatnonzero(looked)
    for first, end in shots.tolist():
        own = faces[(faces >= first) & (faces < end)]
        short = end - first < SHORT_S * rate
        change[own] = both[own] - _usual_around(both, faces if short else own, own, rate)
    return ExposureChange(change[:, 0], change[:, 1])


def _usual_around(values: np.ndarray, known: np.ndarray, at: np.ndarray, rate: float) -> np.ndarray:
    """(A, 2) medians of the known frames' values in the seconds around frames, in steps."""
    around, step = max(AROUND_S * rate, 1.0), max(round(STEP_S * rate), 1)
    usual = np.zeros((len(at), 2), np.float32)
    for first in range(0, len(at), step):
        rows = at[first : first + step]
        low, high = np.searchsorted(known, [rows[0] - around, rows[-1] + around])
        usual[first : first + step] = np.median(values[known[low:high]], axis=0)
    return usual
