"""What is usual on a face, and how much of the lower face looks strange in a frame.

A beard, glasses or a scar are always there and so are usual; a mouth that opens moves skin, and
its cells move along; a shadow or an exposure is light, which is taken away first. What remains
strange, all in one place, is something before the face.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from metatalk.compose.fallback.exposure import (
    colour_logarithms,
    measure_exposure,
    weighted_median,
)
from metatalk.compose.fallback.surface_grid import FACING, SurfaceGrid
from metatalk.shapes import check_shape

MOST_FRAMES = 300  # that tell what is usual: enough for a median, and no burden on the memory
STRANGE = 3.0  # spreads from the usual at which a cell no longer shows the face
LEAST_SPREAD = 0.07  # of a logarithm: what noise and a coarse model of the light leave anyway
TAIL = 0.9  # this share of what was seen is usual ...
TAIL_SPREADS = 1.645  # ... and lies within so many spreads
MOST_TAIL = 2.0  # ... but so many times the middle's at most: a covering makes a tail, too
ROBUST = 0.2  # of a logarithm: cells further off say nothing of the light
LIGHT_TURNS = 4  # until the robust weights have settled
LIGHT_PRIOR = 1e-3  # share of the face's weight that holds the light's direction where unseen
NARROW = 3  # cells: strange stretches narrower than this are an edge that the fit missed
BATCH = 32  # frames at once


@dataclass(frozen=True, eq=False)
class Usual:
    """What each of K cells usually shows, light taken away."""

    colour: np.ndarray  # (K, 3) float32 logarithms
    spread: np.ndarray  # (K, 3) float32
    known: np.ndarray  # (K,) bool: seen often enough to tell

    def __post_init__(self) -> None:
        cells = check_shape("colour", self.colour, "K 3")
        check_shape("spread", self.spread, "K 3", **cells)
        check_shape("known", self.known, "K", **cells)


@dataclass(frozen=True, eq=False)
class Strangeness:
    """How much of the lower face that can be seen looks strange."""

    share: np.ndarray  # (T,) float32 of its area, all strange places together
    blob: np.ndarray  # (T,) float32 of its area, the largest strange place
    seen: np.ndarray  # (T,) float32: the lower face's area as the camera sees it, to the whole
    hand_away: np.ndarray  # (T,) float32 spreads from the usual under a hand; nan: no cell is
    level: np.ndarray  # (T,) float32 natural logarithm: how light the face is, to the usual
    clipped: np.ndarray  # (T,) float32 of the face's area

    def __post_init__(self) -> None:
        frames = check_shape("share", self.share, "T")
        for name in ("blob", "seen", "hand_away", "level", "clipped"):
            check_shape(name, getattr(self, name), "T", **frames)


@dataclass(frozen=True, eq=False)
class Hidden:
    """What was measured of T frames of a clip; row t belongs to frame t."""

    hand_share: np.ndarray  # (T,) float32 of what may be painted over, that hands cover
    hand_away: np.ndarray  # (T,) float32, see `Strangeness`
    strange_share: np.ndarray  # (T,) float32
    strange_blob: np.ndarray  # (T,) float32
    seen_share: np.ndarray  # (T,) float32
    edges: np.ndarray  # (T, 8) float32, see `face_watch.measure_edges`
    looked: np.ndarray  # (T,) bool: frames with a face to look at
    level: np.ndarray  # (T,) float32, see `Strangeness`
    clipped: np.ndarray  # (T,) float32

    def __post_init__(self) -> None:
        frames = check_shape("edges", self.edges, "T N", N=8)
        rows = ("hand_share", "hand_away", "strange_share", "strange_blob", "seen_share")
        for name in (*rows, "looked", "level", "clipped"):
            check_shape(name, getattr(self, name), "T", T=frames["T"])

    def __len__(self) -> int:
        return len(self.looked)


def learn_usual(
    colours: np.ndarray, normals: np.ndarray, inside: np.ndarray, grid: SurfaceGrid
) -> Usual:
    """Learn what is usual from some frames of a clip.

    Args:
        colours: (N, K, 3) uint8.
        normals: (N, K, 3) camera frame.
        inside: (N, K) bool: cells within the picture.
        grid: the cells.

    Returns:
        The usual colours.
    """
    check_shape("colours", colours, "N K 3", K=len(grid))
    logs, weights = colour_logarithms(colours), _weights(normals, inside, grid)
    bare = logs
    for _ in range(2):
        usual = _median(bare, weights)
        bare = logs - _light(logs - usual, normals, weights)
    usual = _median(bare, weights)
    away = np.abs(bare - usual)
    away[weights <= 0] = np.nan
    core = np.nan_to_num(1.4826 * _quantile(away, 0.5)).clip(LEAST_SPREAD)
    tail = np.nan_to_num(_quantile(away, TAIL) / TAIL_SPREADS)
    spread = np.maximum(core, np.minimum(tail, MOST_TAIL * core))
    known = (weights > 0).sum(0) >= max(1, len(colours) // 10)
    return Usual(usual.astype(np.float32), spread.astype(np.float32), known)


Batch = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def measure_strangeness(batches: Iterable[Batch], grid: SurfaceGrid, usual: Usual) -> Strangeness:
    """Compare every frame with what is usual.

    Args:
        batches: of frames in order: (B, K, 3) uint8 colours, (B, K, 3) normals, (B, K) bool
            cells within the picture, (B, K) bool cells under a hand.
        grid: the cells.
        usual: what they usually show.

    Returns:
        The strangeness; 0 where nothing of the lower face is seen.
    """
    found, hands = [np.zeros((0, 3), np.float32)], [np.zeros(0, np.float32)]
    exposed = [np.zeros((0, 2), np.float32)]
    for colours, normals, inside, under_hand in batches:
        weights = _weights(normals, inside, grid) * usual.known
        away = strange_cells(colours, normals, weights, grid, usual)
        found.append(_judge(away, weights, grid))
        exposed.append(measure_exposure(colours, weights, usual.colour))
        mass = under_hand * (weights > 0)
        cells = away.reshape(len(away), -1)[:, grid.places]
        total = mass.sum(1)
        hands.append(np.where(total > 0, (cells * mass).sum(1) / np.maximum(total, 1), np.nan))
    share, blob, seen = np.concatenate(found).T
    level, clipped = np.concatenate(exposed).T
    return Strangeness(share, blob, seen, np.concatenate(hands).astype(np.float32), level, clipped)


def strange_cells(
    colours: np.ndarray, normals: np.ndarray, weights: np.ndarray, grid: SurfaceGrid, usual: Usual
) -> np.ndarray:
    """(B, SIDE, SIDE) float32: how many spreads each square is from the usual, noise averaged."""
    logs = colour_logarithms(colours)
    difference = logs - usual.colour
    bare = difference - _light(difference, normals, weights)
    away = (np.abs(bare) / usual.spread).max(-1)
    seen = (weights > 0).astype(np.float32)
    pictures, masks = grid.spread((away * seen).astype(np.float32)), grid.spread(seen)
    mean = [cv2.blur(a, (3, 3)) / np.maximum(cv2.blur(m, (3, 3)), 1e-3) for a, m in
            zip(pictures, masks, strict=True)]  # fmt: skip
    return np.stack(mean) * (masks > 0)


def _judge(away: np.ndarray, weights: np.ndarray, grid: SurfaceGrid) -> np.ndarray:
    """(B, 3) float32: shares of all strange places, of the largest, and of what is seen."""
    area = grid.area * grid.lower
    # Weighted as the camera sees it: at the silhouette the fit's errors show the background.
    mass = grid.spread(weights * grid.lower)
    whole = float(area.sum())
    out = np.zeros((len(away), 3), np.float32)
    kernel = np.ones((NARROW, NARROW), np.uint8)
    for row, (picture, cells) in enumerate(zip(away, mass, strict=True)):
        seen = float(cells.sum())
        strange = ((picture > STRANGE) & (cells > 0)).astype(np.uint8)
        strange = cv2.morphologyEx(strange, cv2.MORPH_OPEN, kernel)
        count, labels = cv2.connectedComponents(strange)
        if seen > 0 and count > 1:
            sums = np.bincount(labels.ravel(), weights=cells.ravel(), minlength=count)[1:]
            out[row, :2] = sums.sum() / seen, sums.max() / seen
        out[row, 2] = seen / whole if whole else 0.0
    return out


def _weights(normals: np.ndarray, inside: np.ndarray, grid: SurfaceGrid) -> np.ndarray:
    """(B, K) float32: area seen, 0 for cells turned away or outside the picture."""
    cosine = -normals[..., 2]
    return (np.where(cosine > FACING, cosine, 0.0) * inside * grid.area).astype(np.float32)


def _light(difference: np.ndarray, normals: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(B, K, 3): what an exposure and a turning light make of a difference, robustly.

    Each channel's logarithm is a plane over the normals, found by weighted least squares in
    which strange cells lose their weight.
    """
    design = np.concatenate([np.ones_like(normals[..., :1]), normals], -1)  # (B, K, 4)
    mass = weights.sum(1, keepdims=True).clip(1e-6)
    level = np.stack([weighted_median(difference[..., c], weights) for c in range(3)], -1)
    fitted = np.repeat(level[:, None], difference.shape[1], 1)
    ridge = LIGHT_PRIOR * np.diag([0.0, 1.0, 1.0, 1.0]).astype(np.float32)
    ridge[0, 0] = 1e-6
    for _ in range(LIGHT_TURNS):
        off = np.abs(difference - fitted).max(-1)
        robust = weights / mass / (1.0 + (off / ROBUST) ** 2) ** 2
        carried = design * robust[..., None]
        normal = np.swapaxes(carried, 1, 2) @ design + ridge
        right = np.swapaxes(carried, 1, 2) @ (difference - level[:, None])
        fitted = design @ np.linalg.solve(normal, right) + level[:, None]
    return fitted.astype(np.float32)


def _median(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(K, 3) medians of (N, K, 3) over the frames that see a cell; 0 where none does."""
    seen = np.where((weights > 0)[..., None], values, np.nan)
    return np.nan_to_num(_quantile(seen, 0.5))


def _quantile(values: np.ndarray, share: float) -> np.ndarray:
    """Quantile over the first axis, not-a-number left out and kept where there is nothing else."""
    order = np.sort(values, 0)  # not-a-number comes last
    count = np.isfinite(values).sum(0)
    at = np.clip(np.floor(share * (count - 1)), 0, None).astype(int)
    chosen: np.ndarray = np.take_along_axis(order, at[None], 0)[0]
    return chosen
