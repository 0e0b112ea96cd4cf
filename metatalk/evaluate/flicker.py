"""Whether skin that does not move is as calm in a result as in its footage.

Two neighbouring frames are laid on each other by optical flow; what is left is noise and
flicker. It is split into what is coarse, which is seen as a flicker, and what is fine, which is
grain: neither may be more than the footage's own, nor the grain much less.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from metatalk.shapes import check_shape

CALM_PX = 0.35  # a frame: skin whose motion the result changes by more is no static skin
KEPT = 0.8  # of the static pixels, the calmest: what flow could not lay over itself is left out
LOW = 1 / 40  # width of the blur that parts flicker from grain, as a share of the mask's width
_FLOOR = 1e-4  # of the full range: less than any picture's rounding leaves
_FEWEST = 50  # pixels


@dataclass(frozen=True)
class FlickerScores:
    """How restless static skin is; each ratio is result / footage and 1 at its best."""

    flicker_ratio: float  # of what is coarse
    grain_ratio: float  # of what is fine
    flicker: float  # the result's own, rms of the full range
    source_flicker: float  # the footage's own
    pairs: int  # of neighbouring frames compared


Frame = tuple[np.ndarray, np.ndarray, np.ndarray]  # source, made, mask


class FlickerMeter:
    """Compares how static skin changes from frame to frame; holds no more than one frame."""

    def __init__(self) -> None:
        self._rows: list[tuple[float, ...]] = []
        self._before: Frame | None = None

    def add(
        self, source: np.ndarray, made: np.ndarray, mask: np.ndarray, follows: bool = True
    ) -> None:
        """Take in the next frame.

        Args:
            source: (H, W, 3) uint8 RGB, or float32 in [0, 1].
            made: the same frame of the result.
            mask: (H, W) where the result's skin is new, float in [0, 1] or bool.
            follows: whether it was filmed right after or before the last one, in one shot.

        Raises:
            ShapeError: pictures and mask do not fit together.
        """
        size = check_shape("mask", mask, "H W")
        check_shape("source", source, "H W 3", **size)
        check_shape("made", made, "H W 3", **size)
        now = source, made, mask
        if follows and self._before is not None and (row := _compare(self._before, now)):
            self._rows.append(row)
        self._before = now

    def scores(self) -> FlickerScores:
        """Average what was taken in, by static pixels; pairs without enough do not count."""
        if not self._rows:
            return FlickerScores(1.0, 1.0, 0.0, 0.0, 0)
        table = np.array(self._rows)
        powers = np.average(table[:, :4], axis=0, weights=table[:, 4])
        low, source_low, fine, source_fine = np.sqrt(powers)
        return FlickerScores(
            flicker_ratio=float((low + _FLOOR) / (source_low + _FLOOR)),
            grain_ratio=float((fine + _FLOOR) / (source_fine + _FLOOR)),
            flicker=float(low),
            source_flicker=float(source_low),
            pairs=len(self._rows),
        )


def measure_flicker(
    source: Iterable[np.ndarray], made: Iterable[np.ndarray], masks: Iterable[np.ndarray]
) -> FlickerScores:
    """Compare how static skin changes from frame to frame, see `FlickerMeter`.

    Args:
        source: (H, W, 3) each: consecutive frames of one shot.
        made: the same frames of the result.
        masks: (H, W) where the result's skin is new.

    Returns:
        The scores; pairs without enough static skin do not count.

    Raises:
        ShapeError: pictures and masks do not fit together.
    """
    meter = FlickerMeter()
    for frame in zip(source, made, masks, strict=True):
        meter.add(*frame)
    return meter.scores()


def _compare(before: Frame, now: Frame) -> tuple[float, ...] | None:
    """Mean squares: coarse of the result, of the footage, fine of both; and over how many pixels.

    None: there is no static skin.
    """
    both = (before[2] > 0.5) & (now[2] > 0.5)
    left, top, width, height = cv2.boundingRect(both.astype(np.uint8))
    if not width:
        return None
    around = max(width // 8, 8)
    part = np.s_[max(top - around, 0) : top + height + around,
                 max(left - around, 0) : left + width + around]  # fmt: skip
    old, new = ([_unit(picture[part]) for picture in frame[:2]] for frame in (before, now))
    flows = [_flow(b, a) for a, b in zip(old, new, strict=True)]
    apart = cv2.GaussianBlur(np.linalg.norm(flows[0] - flows[1], axis=2), (0, 0), 2.0)
    edge = max(round(width * LOW), 1)
    skin = cv2.erode(both[part].astype(np.uint8), np.ones((2 * edge + 1, 2 * edge + 1), np.uint8))
    still = (skin > 0) & (apart < CALM_PX)
    if still.sum() < _FEWEST:
        return None
    found = []
    for a, b, flow in zip(old, new, flows, strict=True):
        change = b - _warp(a, flow)
        coarse = cv2.GaussianBlur(change, (0, 0), max(width * LOW, 1.0))
        found.append((_calm(coarse[still]), _calm((change - coarse)[still])))
    return found[1][0], found[0][0], found[1][1], found[0][1], float(still.sum())


def _unit(picture: np.ndarray) -> np.ndarray:
    if picture.dtype == np.uint8:
        return picture.astype(np.float32) / 255
    return picture.astype(np.float32)


def _flow(now: np.ndarray, before: np.ndarray) -> np.ndarray:
    """(h, w, 2) float32: from each pixel of `now` to where it was."""
    grey = [
        np.rint(255 * np.clip(cv2.cvtColor(p, cv2.COLOR_RGB2GRAY), 0, 1)).astype(np.uint8)
        for p in (now, before)
    ]
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    found = search.calc(grey[0], grey[1], np.zeros((*grey[0].shape, 2), np.float32))
    return cv2.GaussianBlur(found, (0, 0), 2.0)


def _warp(picture: np.ndarray, flow: np.ndarray) -> np.ndarray:
    y, x = np.mgrid[: flow.shape[0], : flow.shape[1]].astype(np.float32)
    warped: np.ndarray = cv2.remap(
        picture,
        x + flow[..., 0],
        y + flow[..., 1],
        cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return warped


def _calm(change: np.ndarray) -> float:
    """Mean square of a (K, 3) change over the calmest pixels."""
    power = np.sort((change**2).mean(axis=1))
    return float(power[: max(int(KEPT * len(power)), 1)].mean())
