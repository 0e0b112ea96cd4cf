"""Blinks in footage: read from how far the landmarks' lids are apart.

An eye's opening differs from face to face, and with the look of the moment: eyes that look down,
or are narrowed, are nearly shut for seconds. So a blink is told by being short: the lids come
together, to less than half of what they were apart just before and are just after.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metatalk.landmarks.points import point_groups
from metatalk.landmarks.track import LandmarkTrack
from metatalk.shapes import check_shape

AROUND_S = 0.6  # what is just before and just after; eyes shut longer than most of it do not blink
OPEN_SHARE = 80  # percentile of it that open eyes are taken to have
SHUT, OPEN = 0.5, 0.9  # of the opening around: a blink gets below the first, and ends at the other
_SIDE = 2  # frames of open eyes that must be seen before and after a whole blink
_FLAT = 1e-6  # against division by nothing


@dataclass(frozen=True)
class Blink:
    """One blink in footage; its frames are those whose lids have left the open position."""

    first: int
    apex: int  # the frame in which the eyes are most nearly shut
    end: int  # one past the last
    is_whole: bool = True  # the eyes are seen open on both sides of it

    def __len__(self) -> int:
        return self.end - self.first


def eye_opening(track: LandmarkTrack) -> np.ndarray:
    """Measure how far the lids are apart.

    Args:
        track: landmarks of a clip.

    Returns:
        (T, 2) float32, the person's right eye first: the gap between the lids as a share of
        the eye's width; NaN where there is no face.
    """
    groups = point_groups(track.layout)
    points = track.points.astype(np.float64)
    out = np.empty((len(points), 2), np.float32)
    for eye, ring in enumerate((groups.right_eye, groups.left_eye)):
        half = len(ring) // 2
        corners = points[:, [ring[0], ring[half]]]
        width = np.linalg.norm(corners[:, 1] - corners[:, 0], axis=-1)
        upper = np.array(ring[1:half])
        lower = np.array(ring[half + 1 :][::-1])
        gaps = np.linalg.norm((points[:, upper] - points[:, lower])[..., :2], axis=-1)
        middle = slice((half - 1) // 3, half - 1 - (half - 1) // 3)
        out[:, eye] = gaps[:, middle].mean(1) / np.maximum(width, _FLAT)
    out[~track.has_face] = np.nan
    return out


def gaze(track: LandmarkTrack) -> np.ndarray:
    """Measure where the irises lie between the corners of their eyes.

    Args:
        track: landmarks of a clip.

    Returns:
        (T, 2) float32, mean of both eyes: along the line of the corners and downwards, from
        their middle, as shares of the eye's width; zeros where the layout knows no irises.
    """
    groups = point_groups(track.layout)
    if not groups.right_iris:
        return np.zeros((len(track), 2), np.float32)
    points = track.points[..., :2].astype(np.float64)
    seen = []
    for ring, iris in (
        (groups.right_eye, groups.right_iris),
        (groups.left_eye, groups.left_iris),
    ):
        first, second = points[:, ring[0]], points[:, ring[len(ring) // 2]]
        along = second - first
        away = points[:, iris[0]] - (first + second) / 2
        across = np.stack([-along[:, 1], along[:, 0]], -1)
        square = np.maximum((along**2).sum(-1), _FLAT)[:, None]
        parts = np.stack([(away * along).sum(-1), (away * across).sum(-1)], -1)
        seen.append(parts / square)
    return np.mean(seen, 0).astype(np.float32)


def relative_opening(track: LandmarkTrack, rate: float) -> np.ndarray:
    """Compare the eyes' opening with what it is just before and just after.

    Args:
        track: landmarks of a clip.
        rate: frames a second.

    Returns:
        (T,) float32: 1 for eyes as open as around, 0 for shut ones; NaN where there is no
        face. The eye that is seen better counts more.
    """
    opening, reach = eye_opening(track), max(2, round(AROUND_S * rate))
    relative = np.full(len(track), np.nan, np.float32)
    weights = _eye_widths(track) ** 2
    least = SHUT * np.nan_to_num(_median(opening))
    for first, end in track.runs():
        here = slice(first, end)
        usual = np.stack([_around(opening[here, eye], reach) for eye in range(2)], 1)
        share = opening[here] / np.maximum(usual, _FLAT)
        share[usual < least] = 1.0  # shut all the time: nothing can be told
        relative[here] = (share * weights[here]).sum(1) / np.maximum(weights[here].sum(1), _FLAT)
    return relative


def find_blinks(track: LandmarkTrack, rate: float) -> list[Blink]:
    """Find the blinks of a clip.

    Eyes that are shut for more than about half a second are not a blink but an expression.
    Neither is a look down that lasts: around it, the eyes are as far shut.

    Args:
        track: landmarks of a clip.
        rate: frames a second.

    Returns:
        The blinks in order, none of them touching another.
    """
    return blinks_in(relative_opening(track, rate), track.runs(), rate)


def blinks_in(relative: np.ndarray, runs: list[tuple[int, int]], rate: float) -> list[Blink]:
    """Find the blinks of a clip whose eyes were measured; see `find_blinks`.

    Args:
        relative: (T,) from `relative_opening`.
        runs: first frame and one past the last of each stretch in which a face is seen.
        rate: frames a second.

    Returns:
        The blinks in order, none of them touching another.
    """
    check_shape("relative", relative, "T")
    reach = max(2, round(AROUND_S * rate / 2))
    blinks: list[Blink] = []
    for first, end in runs:
        for start, stop in _shut_ranges(relative[first:end], reach):
            apex = first + start + int(np.argmin(relative[first + start : first + stop]))
            is_whole = min(start, end - first - stop) >= _SIDE
            blinks.append(Blink(first + start, apex, first + stop, is_whole))
    return blinks


def in_blink(blinks: list[Blink], count: int) -> np.ndarray:
    """(T,) int64: number of the blink that a frame belongs to; -1 for none."""
    numbers = np.full(count, -1, np.int64)
    for number, blink in enumerate(blinks):
        numbers[blink.first : blink.end] = number
    return numbers


def long_shut(track: LandmarkTrack, blinks: list[Blink]) -> np.ndarray:
    """(T,) bool: frames without a face, or with eyes shut for longer than a blink."""
    opening = eye_opening(track).mean(1)
    low = opening < SHUT * _median(opening[:, None])
    return np.asarray(~track.has_face | (low & (in_blink(blinks, len(track)) < 0)))


def _median(opening: np.ndarray) -> np.ndarray:
    """(2,) each eye's usual opening, NaN where no face was ever seen; of (T, 2)."""
    seen = opening[np.isfinite(opening).all(1)]
    return np.median(seen, 0) if len(seen) else np.full(opening.shape[1], np.nan)


def _eye_widths(track: LandmarkTrack) -> np.ndarray:
    """(T, 2) as seen in the picture, px."""
    groups = point_groups(track.layout)
    rings = (groups.right_eye, groups.left_eye)
    seen = [
        track.points[:, ring[len(ring) // 2], :2] - track.points[:, ring[0], :2] for ring in rings
    ]
    return np.linalg.norm(np.stack(seen, 1), axis=-1)


def _around(opening: np.ndarray, reach: int) -> np.ndarray:
    """(n,) what open eyes show around each frame: the lesser of before and after."""
    empty = np.full(reach, np.nan)
    padded = np.concatenate([empty, opening.astype(np.float64), empty])
    windows = np.lib.stride_tricks.sliding_window_view(padded, reach)
    # At the ends of a run there is but one side; it has to do.
    before, after = windows[: len(opening)], windows[reach + 1 : reach + 1 + len(opening)]
    sides = np.stack([_high(before, reach // 3), _high(after, reach // 3)])
    lesser: np.ndarray = np.where(np.isnan(sides).all(0), opening, np.fmin(*sides))
    return lesser


def _high(windows: np.ndarray, least: int) -> np.ndarray:
    """(n,) a high percentile of each window; NaN where fewer than `least` frames are known."""
    known = np.isfinite(windows).sum(1) >= max(least, 1)
    high = np.full(len(windows), np.nan)
    if known.any():
        high[known] = np.nanpercentile(windows[known], OPEN_SHARE, axis=1)
    return high


def _shut_ranges(relative: np.ndarray, reach: int) -> list[tuple[int, int]]:
    """Ranges of frames that blink, grown from where the eyes are shut to where they are open."""
    shut = np.flatnonzero(relative < SHUT)
    ranges: list[tuple[int, int]] = []
    for group in np.split(shut, np.flatnonzero(np.diff(shut) > 1) + 1):
        if not len(group):
            continue
        first, end = int(group[0]), int(group[-1]) + 1
        least, most = max(first - reach, 0), min(end + reach, len(relative))
        while first > least and relative[first - 1] < OPEN:
            first -= 1
        while end < most and relative[end] < OPEN:
            end += 1
        if ranges and first <= ranges[-1][1]:  # one that did not open between
            first = ranges.pop()[0]
        ranges.append((first, end))
    return ranges
