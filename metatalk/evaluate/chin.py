"""Does the chin that is seen lie where the fitted face has it?

What is seen is told by the change of brightness across the jaw line: from a frame of real footage
to the next, profiles of it look alike in the mesh's own terms, whatever beard, collar or light lies
there. So the footage itself says what belongs to a jaw line, and how far a generated chin's
profile must be moved to look like it is how far that chin lies from where it should be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from metatalk.errors import ShapeError
from metatalk.render.silhouette import JawLine, read_between
from metatalk.shapes import check_shape

STEPS = 129  # places of a profile
PROFILE = 0.16  # of the face's height: how far to either side of the jaw line a profile reaches
SEARCH = 0.08  # of the face's height: as far as a chin is looked for
BLUR = 0.006  # of the face's height: finer changes than that are skin
BEND = 0.15  # what a step of one place to the next along the jaw line costs, squared
LEAST_LIKENESS = 0.3  # correlation below which a place shows no jaw line
LEAST_SEEN = 0.3  # share of the places that must show one


@dataclass(frozen=True, eq=False)
class ChinErrors:
    """How far chins lie from where the mesh has them; outward, that is down, is positive."""

    offset_mm: np.ndarray  # (T, K) along the normals; nan where no jaw line is seen
    face_mm: float  # the face's height

    def __post_init__(self) -> None:
        check_shape("offset_mm", self.offset_mm, "T K")

    @property
    def per_frame_mm(self) -> np.ndarray:
        """(T,) mean distance of each frame; nan where too little is seen."""
        seen = np.isfinite(self.offset_mm)
        total = np.abs(np.where(seen, self.offset_mm, 0.0)).sum(1)
        mean = total / np.maximum(seen.sum(1), 1)
        return np.where(seen.mean(1) >= LEAST_SEEN, mean, np.nan)

    @property
    def mean_mm(self) -> float:
        """Mean distance; nan where nothing is seen."""
        frames = self.per_frame_mm
        return float(np.nanmean(frames)) if np.isfinite(frames).any() else float("nan")

    @property
    def mean_percent(self) -> float:
        """Mean distance, percent of the face's height."""
        return 100.0 * self.mean_mm / self.face_mm


def jaw_profiles(picture: np.ndarray, line: JawLine, face_px: float) -> np.ndarray:
    """Read how brightness changes across a jaw line.

    Args:
        picture: (S, S, 3) uint8 crop.
        line: of K places, crop px.
        face_px: the face's height in the crop.

    Returns:
        (K, STEPS) float64, from inside to outside, of unit length; nan where the line or its
        profile leaves the crop.

    Raises:
        ShapeError: the picture is not shaped as documented.
    """
    check_shape("picture", picture, "H W 3")
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    smooth = cv2.GaussianBlur(grey, (0, 0), max(BLUR * face_px, 0.7))
    along = np.linspace(-PROFILE, PROFILE, STEPS) * face_px
    places = line.points[:, None] + along[None, :, None] * line.normals[:, None]
    values = read_between(smooth, np.nan_to_num(places))
    sides = np.array(picture.shape[1::-1])
    # What lies beyond the crop would look like an edge.
    beyond = ((places < 0.5) | (places > sides - 0.5)).any(-1)
    change = np.gradient(values, axis=1)
    change[beyond | np.roll(beyond, 1, 1) | np.roll(beyond, -1, 1)] = 0.0
    length = np.linalg.norm(change, axis=1, keepdims=True)
    profiles: np.ndarray = change / np.maximum(length, 1e-6)
    profiles[np.isnan(line.points).any(1) | (beyond.mean(1) > 0.4)] = np.nan
    return profiles


def usual_profiles(profiles: Sequence[np.ndarray]) -> np.ndarray:
    """Average the profiles of real frames.

    Args:
        profiles: of T frames, each (K, STEPS), see `jaw_profiles`.

    Returns:
        (K, STEPS) of unit length; nan where none of them shows the place.

    Raises:
        ShapeError: there are none, or they are not shaped as documented.
    """
    if not len(profiles):
        raise ShapeError("there is no frame to learn a jaw line from")
    stack = np.stack(list(profiles))
    check_shape("profiles", stack, "T K N", N=STEPS)
    seen = np.isfinite(stack[..., 0])
    total = np.where(seen[..., None], stack, 0.0).sum(0)
    length = np.linalg.norm(total, axis=1, keepdims=True)
    usual: np.ndarray = total / np.maximum(length, 1e-6)
    usual[~seen.any(0)] = np.nan
    return usual


def chin_offsets(profiles: np.ndarray, usual: np.ndarray) -> np.ndarray:
    """Find how far a chin lies from where it usually lies, place by place.

    Of all ways along the jaw line the one is taken whose profiles look most like the usual ones
    and which bends least.

    Args:
        profiles: (K, STEPS) of one frame.
        usual: (K, STEPS), from `usual_profiles`.

    Returns:
        (K,) shares of the face's height, outward positive; nan where nothing like it is seen.

    Raises:
        ShapeError: an argument is not shaped as documented.

    Source: the profiles of Cootes et al. 1995 (active shape models); the way by dynamic
        programming.
    """
    check_shape("usual", usual, "K N", **check_shape("profiles", profiles, "K N"))
    step = 2 * PROFILE / (STEPS - 1)
    reach = round(SEARCH / step)
    shifts = np.arange(-reach, reach + 1)
    known = np.isfinite(profiles[:, 0]) & np.isfinite(usual[:, 0])
    likeness = np.stack([_likeness(profiles, usual, int(shift)) for shift in shifts], 1)
    likeness[~known] = 0.0
    way = _best_way(likeness)
    found = likeness[np.arange(len(way)), way]
    fine = shifts[way] + _between(likeness, way)
    return np.where(known & (found > LEAST_LIKENESS), fine * step, np.nan)


def _likeness(profiles: np.ndarray, usual: np.ndarray, shift: int) -> np.ndarray:
    """(K,) correlation of profiles with the usual ones moved outward by some steps."""
    moved = np.zeros_like(usual)
    if shift >= 0:
        moved[:, shift:] = usual[:, : STEPS - shift]
    else:
        moved[:, :shift] = usual[:, -shift:]
    length = np.linalg.norm(moved, axis=1)
    likeness: np.ndarray = (profiles * moved).sum(1) / np.maximum(length, 1e-6)
    return likeness


def _best_way(likeness: np.ndarray) -> np.ndarray:
    """(K,) columns: the way through (K, N) of the greatest likeness less its bends."""
    places, count = likeness.shape
    step = 100 * 2 * PROFILE / (STEPS - 1)  # percent of the face's height
    apart = np.arange(count)[:, None] - np.arange(count)[None]
    cost = BEND * (step * apart) ** 2
    total, came = likeness[0], np.zeros((places, count), int)
    for place in range(1, places):
        value = total[None] - cost
        came[place] = value.argmax(1)
        total = likeness[place] + value.max(1)
    way = np.zeros(places, int)
    way[-1] = int(total.argmax())
    for place in range(places - 1, 0, -1):
        way[place - 1] = came[place, way[place]]
    return way


def _between(likeness: np.ndarray, way: np.ndarray) -> np.ndarray:
    """(K,) where between two shifts the likeness is greatest, by a parabola; within half a step."""
    rows, last = np.arange(len(way)), likeness.shape[1] - 1
    before = likeness[rows, np.maximum(way - 1, 0)]
    here, after = likeness[rows, way], likeness[rows, np.minimum(way + 1, last)]
    bend = before - 2 * here + after
    top = np.where(bend < -1e-9, (before - after) / (2 * np.minimum(bend, -1e-9)), 0.0)
    inner = (way > 0) & (way < last)
    return np.where(inner, np.clip(top, -0.5, 0.5), 0.0)
