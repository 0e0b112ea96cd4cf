"""Captions near a face: what comes all at once, stays as it is, and goes all at once.

A caption below a chin covers next to nothing of the face, so it does not look strange there; but
a jaw that moves would pull its letters along. Nothing that is filmed comes and goes as it does:
what moves covers its places one after the other.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import cv2
import numpy as np

from metatalk.compose.fallback.face_watch import Box
from metatalk.compose.fallback.foreground import soften
from metatalk.compose.fallback.foreground_masks import Foreground
from metatalk.errors import ShapeError
from metatalk.shapes import check_shape

SAME = 14  # of 255: what changes by less is noise of the codec
STEP = 40  # of 255: a caption differs so much from what it covers
BEFORE = 5  # frames before it came that it is compared with: it may be faded in
LEAST_FRAMES = 8  # for which a place has stayed the same before anything is said of it
LEAST_STAY = 24  # frames that a caption stays: limbs and lips come to rest, too
APART = 5  # frames: what comes so much earlier or later is something else; slow heads rest for 3
FADED = 0.35  # of what comes with it comes a frame earlier or later: that belongs to it
LONELY = 0.4  # of it may come in each frame somewhat before or after: heads go on moving
STEP_LIKE = 0.6  # of it in one frame before and in one after: heads move slowly, step by step
GONE = 0.25  # share of it that is left when it has gone; words of it may change before
SLOW = 0.15  # share that goes within a frame: less is no change of a caption ...
MOST_SLOW = 0.2  # ... and no more of one goes that way
LEAST_AREA = 0.01  # of the face's squared width
MOST_SHARE = 0.4  # of the window changes with it: more is another scene, or another light
BESIDE = 0.3  # share of it that lies beside the lower face: lips come to rest, too
CUT_SHARE = 0.15  # of the lower face changes with a cut
GROW_PX = 1  # of the window: a letter's rim


@dataclass(frozen=True, eq=False)
class Caption:
    """Something that was laid over some frames."""

    first: int
    end: int  # one past the last
    bits: np.ndarray  # uint8, 8 places each: a clip may have thousands of captions
    shape: tuple[int, int]  # h, w of the window

    @classmethod
    def of(cls, first: int, end: int, mask: np.ndarray) -> Caption:
        """What was laid over the places of (h, w) bool from `first` on and before `end`."""
        sizes = check_shape("mask", mask, "H W")
        return cls(first, end, np.packbits(mask), (sizes["H"], sizes["W"]))

    @property
    def mask(self) -> np.ndarray:
        """(h, w) bool, of the window."""
        count = self.shape[0] * self.shape[1]
        return np.unpackbits(self.bits, count=count).reshape(self.shape) > 0


@dataclass(eq=False)
class _Candidate:
    """What came at once, as long as it stays."""

    first: int
    mask: np.ndarray  # (h, w) bool
    left: float = 1.0  # share of the places that have stayed the same
    slow: float = 0.0  # share that went by and by


class CaptionSearch:
    """Looks at the same part of a clip's frames, one after the other."""

    def __init__(self, face_px: float) -> None:
        """Watch a window.

        Args:
            face_px: the face's width in the window.
        """
        self._least_px = max(LEAST_AREA * face_px**2, 8.0)
        self._recent: deque[np.ndarray] = deque(maxlen=BEFORE)
        # Outlines, and what share of the window changed, since the frame that is told of.
        self._looks: deque[tuple[np.ndarray | None, float]] = deque(maxlen=LEAST_FRAMES + APART + 1)
        self._open: list[_Candidate] = []
        self._found: list[Caption] = []
        self._frame = -1
        self._reference = np.zeros((0, 0, 3), np.int16)
        self._begun = np.zeros((0, 0), np.int32)  # the frame since which each place is the same
        self._came = np.zeros((0, 0), bool)  # whether it was something else before
        self._settled = self._reference  # what each place last showed for long, but for captions
        self._laid = self._came  # where something may be a caption

    def look(
        self,
        window: np.ndarray,
        frame: int,
        outline: np.ndarray | None = None,
        is_cut: bool = False,
    ) -> None:
        """Look at the next frame.

        Args:
            window: (h, w, 3) uint8 RGB.
            frame: its number, one more than the last.
            outline: (P, 2) px of the window on and around the lower face; None: there is none.
            is_cut: a shot begins with it: what changes with a cut has not come.

        Raises:
            ShapeError: a frame was left out.
        """
        sizes = check_shape("window", window, "H W 3")
        if self._frame >= 0 and frame != self._frame + 1:
            raise ShapeError(f"frame {frame} comes after frame {self._frame}")
        now = window.astype(np.int16)
        if self._frame < 0:
            self._reference, self._recent = now.copy(), deque([now], maxlen=BEFORE)
            self._begun = np.full((sizes["H"], sizes["W"]), frame, np.int32)
            self._came, self._laid = np.zeros((2, *self._begun.shape), bool)
            self._settled = now.copy()
        if is_cut and self._is_elsewhere(now, outline):
            self._recent = deque([now], maxlen=BEFORE)
        self._frame = frame
        broken = _difference(now, self._reference) > SAME
        old = broken & ~self._laid & (frame - self._begun >= LEAST_FRAMES)
        self._settled[old] = self._reference[old]
        self._laid &= ~broken
        before, behind = self._recent[0][broken], self._settled[broken]
        # What leaves uncovers what was there before it came.
        self._came[broken] = (_difference(now[broken], before) > STEP) & (
            _difference(now[broken], behind) > STEP
        )
        self._begun[broken] = frame
        self._reference[broken] = now[broken]
        self._recent.append(now)
        self._looks.append((outline, float(broken.mean())))
        self._follow()
        if len(self._looks) == self._looks.maxlen:
            self._seek(frame - LEAST_FRAMES - APART)

    def finish(self) -> list[Caption]:
        """All captions, by their first frame."""
        for one in self._open:
            self._close(one, self._frame + 1)
        self._open = []
        return sorted(self._found, key=lambda one: (one.first, one.end))

    def _is_elsewhere(self, now: np.ndarray, outline: np.ndarray | None) -> bool:
        """Whether a cut is one: a caption that comes is taken for one, too, but changes no face."""
        if outline is None or not self._recent:
            return True
        changed = (_difference(now, self._recent[-1]) > SAME)[_hull(outline, now.shape[:2])]
        return not changed.size or float(changed.mean()) > CUT_SHARE

    def _follow(self) -> None:
        """See what is left of those that came before."""
        still_open = []
        for one in self._open:
            left = float((self._begun[one.mask] <= one.first + 2).mean())
            lost, one.left = one.left - left, left
            one.slow += lost if lost < SLOW else 0.0
            if left > GONE:
                still_open.append(one)
            else:
                self._close(one, self._frame)
        self._open = still_open

    def _seek(self, first: int) -> None:
        """Find what came at a frame that is as long ago as it takes to tell."""
        outline, changed = self._looks[0]
        if outline is None or changed > MOST_SHARE:
            return
        away = self._begun - (first - APART)
        near = self._came & (away >= 0) & (away <= 2 * APART)
        counts = np.bincount(away[near], minlength=2 * APART + 1)
        if counts[APART] < counts.max() or counts[APART] == counts[APART - 1]:
            return
        chosen = np.zeros(2 * APART + 1, bool)
        chosen[APART - 1 : APART + 2] = counts[APART - 1 : APART + 2] > FADED * counts[APART]
        whole = int(counts[chosen].sum())
        if whole < self._least_px or not _is_alone(counts):
            return
        mask = np.zeros_like(near)
        mask[near] = chosen[away[near]]
        if (mask & ~_hull(outline, mask.shape)).sum() < BESIDE * whole:
            return
        self._laid |= mask
        self._open.append(_Candidate(first - int(chosen[APART - 1]), mask))

    def _close(self, one: _Candidate, end: int) -> None:
        if one.slow <= MOST_SLOW and end - one.first >= LEAST_STAY:
            self._found.append(Caption.of(one.first, end, one.mask))


def _is_alone(counts: np.ndarray) -> bool:
    """Whether of what comes in 2 APART + 1 frames that in the middle is something else."""
    before, after = counts[: APART - 1], counts[APART + 2 :]
    on_and_on = max(before.mean(), after.mean()) > LONELY * counts[APART]
    by_steps = min(before.max(), after.max()) > STEP_LIKE * counts[APART]
    return not on_and_on and not by_steps


def _difference(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(...) the largest of three colours' differences."""
    apart = np.abs(one - other)
    return np.maximum(np.maximum(apart[..., 0], apart[..., 1]), apart[..., 2])


def _hull(outline: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """(h, w) bool: within the outline's convex hull."""
    picture = np.zeros(shape, np.uint8)
    hull = cv2.convexHull(np.clip(outline, -1e4, 1e4).astype(np.float32))
    cv2.fillConvexPoly(picture, np.rint(hull).astype(np.int32), (255,))
    return picture > 0


def lay_over(standing: Foreground, captions: list[Caption], box: Box, width: float) -> Foreground:
    """Add captions to what stands before a face.

    Args:
        standing: of a clip's shots.
        captions: what was laid over some of their frames.
        box: left, top, right, bottom of the captions' window, frame px.
        width: of the face in the window, px.

    Returns:
        The same with a part of its own for each change of the captions; `lips_share` stays.
    """
    if not captions or not len(standing.shots):
        return standing
    height, across = captions[0].shape
    edges = {first for first, _ in standing.shots.tolist()}
    last = int(standing.shots[-1, 1])
    edges |= {edge for one in captions for edge in (one.first, one.end) if 0 < edge < last}
    starts = sorted(edges)
    parts = list(zip(starts, [*starts[1:], last], strict=True))
    boxes, masks = [], []
    for first, end in parts:
        shown = [one.mask for one in captions if one.first < end and one.end > first]
        shot = standing.shot_of(first)
        if not shown:
            boxes.append(standing.boxes[shot])
            masks.append(standing.masks[shot])
            continue
        mask = _soft(np.logical_or.reduce(shown), width)
        size = box[2] - box[0], box[3] - box[1]
        under = standing.film_share(first, box[0], box[1], *size)
        if under is not None:
            small = cv2.resize(under, (across, height), interpolation=cv2.INTER_AREA)
            mask = np.maximum(mask, np.rint(255 * small).astype(np.uint8))
        cropped = _crop(mask, box)
        boxes.append(cropped[0])
        masks.append(cropped[1])
    return Foreground(np.array(parts), np.stack(boxes), tuple(masks), standing.lips_share)


def _crop(mask: np.ndarray, box: Box) -> tuple[np.ndarray, np.ndarray]:
    """Keep the part of a mask in which anything is, and a rim: (4,) frame px and (h', w')."""
    if not mask.any():
        return np.array(box, float), np.zeros((0, 0), np.uint8)
    places, size = np.argwhere(mask)[:, ::-1], np.array(mask.shape[::-1])
    low = np.maximum(places.min(0) - 1, 0)
    high = np.minimum(places.max(0) + 2, size)
    px = (np.array(box[2:]) - box[:2]) / size
    kept = mask[low[1] : high[1], low[0] : high[0]].copy()  # a view would keep the whole
    return np.concatenate([box[:2] + low * px, box[:2] + high * px]), kept


def _soft(letters: np.ndarray, width: float) -> np.ndarray:
    """(h, w) uint8: the share of film on letters and between their strokes."""
    grown = cv2.dilate(letters.astype(np.uint8), np.ones((2 * GROW_PX + 1,) * 2, np.uint8))
    share = soften(grown > 0, width)
    share[[0, -1]], share[:, [0, -1]] = 0, 0  # what ends here does not go on beyond
    return share
