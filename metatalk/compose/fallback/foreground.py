"""What stands before a face throughout a shot: a microphone or an arm, fixed in the picture.

What covers a face now and then looks strange there; what covers it always looks usual. But a face
moves, and what stands before it does not. So pictures of one shot are compared in pairs, between
which the face has moved: where the same place of the picture stays alike while the same place of
the face does not, something is fixed in the picture. A face that hardly moves cannot tell.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from metatalk.shapes import check_shape

DARK = 0.06  # added to a colour before its logarithm: noise in the shadows is no difference
REFERENCES = 6  # pictures that all others are compared with, as far apart as the face got
MOVED = 0.02  # of the face's width: by so much skin must have moved between two pictures
MOST_APART = 0.5  # of a logarithm: what differs by more differs
LEAST_PAIRS = 40  # looks at a place, its neighbourhood's together, before it says anything
SMOOTH = 0.01  # of the face's width: over which places speak for their neighbours
STANDS = 0.06  # of a logarithm: the face's change less the picture's, where something stands
STANDS_RATIO = 0.5  # and the picture's change at most this part of the face's
OPEN = 0.04  # of the face's width: thinner things are edges that the fit missed
NOTCH = 0.06  # of the face's width: narrower notches of an outline are filled
DEEP = 0.05  # of the face's width: so far within it some of a thing must lie
LEAST_AREA = 0.006  # of the squared width: less is not worth a mask
STILLEST = 0.2  # share of what is sure that is the thing itself: skin that it bares may be among it
STILL = 1.6  # times that part's change, at which a place is the thing for sure
STILL_FLOOR = 0.015  # of a logarithm: and the least such limit
OTHER = 4.0  # times the limit, at which a place is something else for sure
EDGE = 0.01  # of the face's width: so far from an edge is sure
ODD = 0.3  # of a logarithm: so far from what it usually shows a place of the face is covered
MORE_ODD = 0.2  # of the places, beyond the usual: such a picture's face is covered now and then
GROW = 0.006  # of the face's width: a rim of film beside a thing is not seen, a redrawn edge is
SOFT = 0.006  # of the face's width: the film gives way over so much, beyond that rim


@dataclass(frozen=True, eq=False)
class Evidence:
    """What speaks for the picture and what for the face, by places of a window."""

    picture: np.ndarray  # (h, w) float32 logarithm: change where the face moved behind it
    face: np.ndarray  # (h, w) float32 logarithm: change of the skin there
    told: np.ndarray  # (h, w) bool: seen often enough
    still: np.ndarray  # (h, w) float32 logarithm: the picture's change, on and off the face
    mean: np.ndarray  # (h, w, 3) float32 logarithms
    width: float  # of the face, px


def gather_evidence(windows: np.ndarray, cells: np.ndarray, seen: np.ndarray) -> Evidence:
    """Compare pictures of one shot, between which a face has moved.

    Args:
        windows: (N, h, w, 3) uint8 RGB: the same part of N frames.
        cells: (N, K, 2) px of the window: where places of the lower face lie in each.
        seen: (N, K) bool: whether they are turned to the camera.

    Returns:
        What was found.
    """
    sizes = check_shape("windows", windows, "N H W 3")
    marks = check_shape("cells", cells, "N K 2", N=sizes["N"])
    check_shape("seen", seen, "N K", **marks)
    height, width = windows.shape[1:3]
    face_px = float(np.median(np.ptp(cells[..., 0], axis=1)))
    inside = seen & _inside(cells, windows)
    sums = np.zeros((3, height, width), np.float32)
    still, pairs = np.zeros((height, width), np.float32), 0
    mean = np.zeros((height, width, 3), np.float32)
    others = {other: _logarithm(windows[other], face_px) for other in _far_apart(cells)}
    for one, window in enumerate(windows):
        shown = _logarithm(window, face_px)
        mean += shown / len(windows)
        for other, then in others.items():
            moved = np.linalg.norm(cells[one] - cells[other], axis=-1) > MOVED * face_px
            both = moved & inside[one] & inside[other]
            if 2 * both.sum() < (inside[one] & inside[other]).sum() or not both.any():
                continue
            still += _compare(shown, then, cells[one][both], cells[other][both], sums)
            pairs += 1
    smooth = np.stack([cv2.GaussianBlur(part, (0, 0), SMOOTH * face_px) for part in sums])
    # The blur's weight of a lone place: told is what several places around it have seen.
    told = smooth[2] * (2 * np.pi * (SMOOTH * face_px) ** 2) > LEAST_PAIRS
    count = np.maximum(smooth[2], 1e-6)
    return Evidence(
        smooth[0] / count, smooth[1] / count, told, still / max(pairs, 1), mean, face_px
    )


def _inside(cells: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """(N, K) bool: which of (N, K, 2) px lie in the windows, off their edges."""
    within: np.ndarray = ((cells > 1) & (cells < np.array(windows.shape[2:0:-1]) - 1)).all(-1)
    return within


def _logarithm(window: np.ndarray, face_px: float) -> np.ndarray:
    soft = cv2.GaussianBlur(window.astype(np.float32) / 255, (0, 0), max(0.004 * face_px, 0.5))
    logarithm: np.ndarray = np.log(soft + DARK)
    return logarithm


def _far_apart(cells: np.ndarray) -> list[int]:
    """Some of N pictures, chosen one by one as far from those before as there are."""
    chosen = [0]
    nearest = np.full(len(cells), np.inf)
    while len(chosen) < min(REFERENCES, len(cells)):
        apart = np.median(np.linalg.norm(cells - cells[chosen[-1]], axis=-1), axis=1)
        nearest = np.minimum(nearest, apart)
        chosen.append(int(nearest.argmax()))
    return chosen


def _compare(
    one: np.ndarray, other: np.ndarray, here: np.ndarray, there: np.ndarray, sums: np.ndarray
) -> np.ndarray:
    """Add two pictures' differences to the sums; (h, w) how far they differ everywhere.

    Args:
        one: (h, w, 3) logarithms.
        other: (h, w, 3) logarithms.
        here: (P, 2) px of places of the face in one.
        there: (P, 2) px of the same in the other.
        sums: (3, h, w) the picture's changes, the face's, and how many.
    """
    first, skin = _read(one, here), _read(other, there)
    exposure = np.median(first - skin, axis=0)
    face = np.minimum(np.abs(first - skin - exposure).mean(-1), MOST_APART)
    column, row = here.astype(int).T
    np.add.at(sums[1], (row, column), face)
    np.add.at(sums[2], (row, column), 1)
    # Whether it was the camera's exposure that changed, or the light on the face, is not known.
    plain = np.abs(one - other).mean(-1)
    exposed = np.abs(one - other - exposure).mean(-1)
    everywhere = np.minimum(np.minimum(plain, exposed), MOST_APART)
    np.add.at(sums[0], (row, column), _read(everywhere, here))
    return everywhere


def _read(picture: np.ndarray, places: np.ndarray) -> np.ndarray:
    x, y = (places.astype(np.float32) - 0.5).T  # OpenCV: centres at whole numbers
    grid_x, grid_y = np.ascontiguousarray(x)[None], np.ascontiguousarray(y)[None]
    read: np.ndarray = cv2.remap(picture, grid_x, grid_y, cv2.INTER_LINEAR)[0]
    return read


def tell_bare(windows: np.ndarray, cells: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Tell in which pictures nothing is before the face but what always is.

    Where a hand or a sheet of paper comes before it the fit goes astray: places of the face then
    seem to move over skin that does not, as if that skin stood before it.

    Args:
        windows: (N, h, w, 3) uint8 RGB: the same part of N frames of one shot.
        cells: (N, K, 2) px of the window: where places of the lower face lie in each.
        seen: (N, K) bool: whether they are turned to the camera.

    Returns:
        (N,) bool.
    """
    sizes = check_shape("windows", windows, "N H W 3")
    marks = check_shape("cells", cells, "N K 2", N=sizes["N"])
    check_shape("seen", seen, "N K", **marks)
    face_px = float(np.median(np.ptp(cells[..., 0], axis=1)))
    both = zip(windows, cells, strict=True)
    shown = np.stack([_read(_logarithm(window, face_px), at) for window, at in both])
    known = seen & _inside(cells, windows)  # what has left the picture is not covered
    told = np.ma.array(shown, mask=np.broadcast_to(~known[..., None], shown.shape))
    apart = told - np.ma.median(told, axis=0)
    apart -= np.ma.median(apart, axis=1, keepdims=True)  # the exposure
    strange = (np.abs(apart).mean(-1) > ODD).filled(False)
    share = strange.sum(1) / np.maximum(known.sum(1), 1)
    bare: np.ndarray = share <= np.median(share) + MORE_ODD
    return bare


def find_seeds(found: Evidence) -> np.ndarray:
    """Find where something stands before the face for sure.

    Args:
        found: of one shot.

    Returns:
        (h, w) bool; nothing, where nothing does.
    """
    gain = found.face - found.picture
    stands = found.told & (gain > STANDS) & (found.picture < STANDS_RATIO * found.face)
    kernel = _disc(OPEN / 2 * found.width)
    opened = cv2.morphologyEx(stands.astype(np.uint8), cv2.MORPH_OPEN, kernel)
    depth = cv2.distanceTransform(np.pad(found.told.astype(np.uint8), 1), cv2.DIST_L2, 3)
    deep = depth[1:-1, 1:-1] > DEEP * found.width
    count, labels = cv2.connectedComponents(opened)
    kept = np.zeros(opened.shape, bool)
    for label in range(1, count):
        part = labels == label
        if part.sum() >= LEAST_AREA * found.width**2 and (part & deep).any():
            kept |= part
    return kept


def outline_things(found: Evidence, seeds: np.ndarray) -> np.ndarray:
    """Find the whole of what stands before a face, from where that is sure.

    Args:
        found: of one shot.
        seeds: (h, w) bool.

    Returns:
        (h, w) bool; nothing, where no place is surely the thing or none is surely something else.
    """
    if not seeds.any():
        return seeds
    own = float(np.quantile(found.still[seeds], STILLEST))
    limit = max(STILL * own, STILL_FLOOR)
    surely = seeds & (found.still < limit)
    surely = cv2.erode(surely.astype(np.uint8), _disc(EDGE * found.width)) > 0
    other = (found.still > OTHER * limit) | (found.told & (found.picture > found.face))
    markers = np.zeros(seeds.shape, np.int32)
    markers[other], markers[surely] = 2, 1
    if not (markers == 1).any() or not (markers == 2).any():
        return np.zeros_like(seeds)  # with nothing against it, one of them takes in everything
    shown = np.exp(found.mean) - DARK
    level = np.sqrt(np.clip(found.still / 0.3, 0, 1))
    grey, warm = shown.mean(-1), shown[..., 0] - shown[..., 2]
    layers = np.stack([np.sqrt(np.clip(grey, 0, 1)), 0.5 + np.clip(warm, -0.5, 0.5), level], -1)
    cv2.watershed((layers * 255).astype(np.uint8), markers)
    part = cv2.dilate((markers == 1).astype(np.uint8), np.ones((3, 3), np.uint8))
    # A notch is a place where skin and thing look alike; what is thin is a leak.
    part = cv2.morphologyEx(part, cv2.MORPH_CLOSE, _disc(NOTCH * found.width))
    whole: np.ndarray = cv2.morphologyEx(part, cv2.MORPH_OPEN, _disc(OPEN / 2 * found.width)) > 0
    return whole


def share_present(windows: np.ndarray, whole: np.ndarray, width: float) -> float:
    """Tell in how many pictures something is there that was found by comparing all of them.

    Args:
        windows: (N, h, w, 3) uint8 RGB.
        whole: (h, w) bool: where it stands.
        width: of the face, px.

    Returns:
        The share of the N pictures, 0 to 1.
    """
    check_shape("windows", windows, "N H W 3")
    shown = np.stack([_logarithm(window, width)[whole] for window in windows])
    apart = shown - np.median(shown, axis=0)
    level = np.median(apart, axis=1, keepdims=True)  # an exposure is no absence
    away = np.minimum(np.abs(apart).mean((1, 2)), np.abs(apart - level).mean((1, 2)))
    return float((away < STANDS).mean())


def soften(whole: np.ndarray, width: float) -> np.ndarray:
    """Turn what stands before a face into the share of film that is to be seen.

    Args:
        whole: (h, w) bool.
        width: of the face, px.

    Returns:
        (h, w) uint8: 255 on the thing and a little around it, then fading to 0.
    """
    check_shape("whole", whole, "H W")
    away = cv2.distanceTransform((~whole).astype(np.uint8), cv2.DIST_L2, 5)
    if not whole.any():
        return np.zeros(whole.shape, np.uint8)
    ramp = np.clip(1 - (away - max(GROW * width, 1)) / max(2 * SOFT * width, 1), 0, 1)
    share: np.ndarray = np.rint(255 * ramp * ramp * (3 - 2 * ramp)).astype(np.uint8)
    return share


def _disc(radius: float) -> np.ndarray:
    side = 2 * max(round(radius), 1) + 1
    kernel: np.ndarray = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return kernel
