"""The footage's grain, measured on skin that stays where it is, laid where skin is drawn.

What the mesh carries over brings its grain along. What a network has drawn has none, and a smooth
mouth in a grainy face is what an editor sees first.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numba import njit

from metatalk.shapes import check_shape

TILE_PX = 256  # a side of the tile that grain is taken from, from another place for every frame
CLEAN = 1.0 / 255  # of the full range: footage whose noise is less has no grain worth laying
_BLOCK_PX = 16
_LAGS = 4  # pixels over which noise is alike at most
_FLAT = 0.25  # of the blocks of a brightness: the flattest, where motion changes least
_KNOTS = 8  # brightnesses at which noise is told apart
_FEWEST = 12  # blocks
# Of a brightness's noise the calmest tenth of its blocks shows at least this: grain is everywhere,
# .8 to .9 of it as it was filmed and half of it in a codec's leavings; of what moves, below .2.
_EVEN = 0.3
_PLACES = 17  # within a pixel, at which the loss of reading between pixels is told
_CUBIC = -0.75  # OpenCV's
_LEAST_ALPHA = 0.3  # below that what is missing would be too strong in the patch, and hardly seen
_FACTORS = (0.25, 2.0)  # by which the noise of a brightness may differ from the usual
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
# Brightness, and what blue and red have beyond it: the noise of the three is nearly independent.
_TO_YCC = np.array([_LUMA, [0, 0, 1] - _LUMA, [1, 0, 0] - _LUMA], np.float32)


@dataclass(frozen=True, eq=False)
class Grain:
    """What noise a camera and its codec leave."""

    tile: np.ndarray  # (TILE_PX, TILE_PX, 3) float32 RGB, of the full range; its edges meet
    # (K,) float32: how much of it a brightness gets, at K brightnesses from 0 to 1, evenly
    factors: np.ndarray

    def __post_init__(self) -> None:
        check_shape("tile", self.tile, "N N 3", N=TILE_PX)
        check_shape("factors", self.factors, "K")

    @property
    def sigma(self) -> float:
        """The brightness's standard deviation, of the full range."""
        return float((self.tile @ _LUMA).std())

    @cached_property
    def resampled(self) -> np.ndarray:
        """(2, N) float32: share of its power that is left where it is carried along x and y.

        Column n stands for n / (N - 1) of a pixel, and OpenCV's cubic.
        """
        return np.stack([_resampled(self.tile @ _LUMA, axis) for axis in (1, 0)])


@dataclass(frozen=True, eq=False)
class FrameGrain:
    """A frame's own grain: the same for the same number, whoever draws it and when."""

    grain: Grain
    number: int  # of the result's frame

    def missing(
        self, share: np.ndarray, where: np.ndarray | None, first: tuple[int, int], alpha: np.ndarray
    ) -> np.ndarray:
        """Tell how much of the grain a picture lacks that is to be laid over its footage.

        What was carried has lost some by being read between pixels. Where picture and footage are
        mixed, two noises give less than either; the very same noise, of skin that lies where it
        was filmed, does not.

        Args:
            share: (h, w) float32, of the carried texture in the picture, 0 to 1.
            where: (2, h, w) float32, column and row of the window, px, that each pixel's texture
                was read from, as OpenCV counts; None: nothing was carried.
            first: column and row of the same window that the picture's first pixel lies on.
            alpha: (h, w) float32, with which the picture is to be laid.

        Returns:
            (h, w) float32 for `lay`, in standard deviations of the grain.

        Raises:
            ShapeError: the arrays do not fit together.
        """
        size = check_shape("alpha", alpha, "h w")
        check_shape("share", share, "h w", **size)
        if where is None:
            share, where = np.zeros_like(alpha), np.zeros((2, *alpha.shape), np.float32)
        check_shape("where", where, "N h w", N=2, **size)
        lacking = np.empty(alpha.shape, np.float32)
        _fill_missing(share, where, first[0], first[1], alpha, self.grain.resampled, lacking)
        return lacking

    def lay(self, picture: np.ndarray, missing: np.ndarray, left: int, top: int) -> None:
        """Add grain to a part of the frame, in place.

        Args:
            picture: (h, w, 3) float32 RGB in [0, 1]; changed in place.
            missing: (h, w) float32, from `missing`.
            left: column of the frame at which the part lies.
            top: row.
        """
        size = check_shape("missing", missing, "h w")
        check_shape("picture", picture, "h w 3", **size)
        chance = np.random.default_rng([TILE_PX, self.number])
        x, y = (int(value) for value in chance.integers(0, TILE_PX, 2))
        _add_grain(picture, missing, self.grain.tile, self.grain.factors, left + x, top + y)


def measure_grain(pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> Grain | None:
    """Measure the noise in which neighbouring frames differ.

    Only flat blocks count, for what moves there changes little; each less its own mean, so that
    a change of exposure is no noise, and less what a small shift explains.

    Args:
        pairs: the same part of two neighbouring frames, (h, w, 3) uint8, or float32 in [0, 1];
            ten pairs around a face are plenty.

    Returns:
        The grain; None where there is none worth laying, or too little to measure it on.

    Raises:
        ShapeError: a pair is not of one size.
    """
    seen = [_blocks(_unit(before), _unit(after)) for before, after in pairs]
    if not seen:
        return None
    change, light, texture = (np.concatenate(parts) for parts in zip(*seen, strict=True))
    level = np.minimum((light * _KNOTS).astype(int), _KNOTS - 1)
    flat = _flattest(level, texture)
    change, level = change[flat], level[flat]
    power = (change[..., 0] ** 2).mean(axis=(1, 2))
    usual = _levels_of_noise(level, power)
    if not np.isfinite(usual).any():
        return None
    # What shows no noise at all, such as a caption's box, was laid over the film.
    known = np.isfinite(usual[level]) & (power > (0.1 * CLEAN) ** 2)
    if not known.any():
        return None
    if np.quantile(power[known] / np.maximum(usual[level[known]], 1e-12), 0.1) < _EVEN:
        return None  # it moves here and rests there: a face in motion, or nothing but a codec
    factors = _factors(usual, float(np.median(power)))
    # Blocks of all brightnesses show one grain, each in its own strength; those that show much
    # more, or much less, show something else.
    near = np.abs(power / np.maximum(usual[level], 1e-12) - 1) <= 0.5
    if near.sum() < _FEWEST:
        return None
    grain = Grain(
        _grow_tile(_alike(change[near] / factors[level[near], None, None, None])), factors
    )
    return grain if grain.sigma >= CLEAN else None


def pick_pairs(shots: np.ndarray, usable: np.ndarray, count: int = 10) -> np.ndarray:
    """Choose where a clip's grain is measured: frames whose next frame is of the same shot.

    Args:
        shots: (K, 2) first frame and one past the last of each shot.
        usable: (T,) bool, frames that show the face.
        count: how many, at most.

    Returns:
        (N,) frames; each makes a pair with the next one.
    """
    check_shape("usable", usable, "T")
    found = [np.arange(first, end - 1) for first, end in shots]
    frames = np.concatenate([*found, np.zeros(0, int)]).astype(int)
    frames = frames[usable[frames] & usable[frames + 1]] if len(frames) else frames
    if not len(frames):
        return frames
    chosen = np.unique(np.linspace(0, len(frames) - 1, count).round().astype(int))
    return np.asarray(frames[chosen])


def _unit(picture: np.ndarray) -> np.ndarray:
    check_shape("picture", picture, "h w 3")
    if picture.dtype == np.uint8:
        return picture.astype(np.float32) / 255
    return picture.astype(np.float32)


def _blocks(before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(N, P, P, 3) noise as brightness and two colours, (N,) brightness, (N,) texture."""
    check_shape("after", after, "h w 3", h=before.shape[0], w=before.shape[1])
    mean = cv2.GaussianBlur((before + after) / 2, (0, 0), 1.5) @ _TO_YCC.T
    slopes = [_cut(cv2.Sobel(mean, cv2.CV_32F, *along, scale=1 / 8)) for along in ((1, 0), (0, 1))]
    change = _still(_cut((after - before) @ _TO_YCC.T), slopes)
    texture = sum((slope[..., 0] ** 2).mean(axis=(1, 2)) for slope in slopes)
    light = _cut(mean)[..., 0].mean(axis=(1, 2))
    open_ = (light > 0.02) & (light < 0.98)  # what clips shows no noise
    return change[open_] * np.float32(0.5**0.5), light[open_], np.asarray(texture)[open_]


def _still(change: np.ndarray, slopes: list[np.ndarray]) -> np.ndarray:
    """(N, P, P, 3) change of each block, less its mean and less what a small shift explains."""
    count = len(change)
    change = change - change.mean(axis=(1, 2), keepdims=True)
    slopes = [slope - slope.mean(axis=(1, 2), keepdims=True) for slope in slopes]
    rows = np.stack([slope.reshape(count, -1) for slope in slopes], 1).astype(np.float64)
    gram = rows @ rows.swapaxes(1, 2) + 1e-9 * np.eye(2)  # (N, 2, 2)
    shift = np.linalg.solve(gram, rows @ change.reshape(count, -1, 1))  # (N, 2, 1) px
    left = change.reshape(count, -1) - (rows.swapaxes(1, 2) @ shift)[..., 0]
    return np.asarray(left.reshape(change.shape), np.float32)


def _cut(picture: np.ndarray) -> np.ndarray:
    """(N, P, P, C) whole blocks of an (h, w, C) picture."""
    rows, columns = (side // _BLOCK_PX for side in picture.shape[:2])
    whole = picture[: rows * _BLOCK_PX, : columns * _BLOCK_PX]
    parts = whole.reshape(rows, _BLOCK_PX, columns, _BLOCK_PX, -1).swapaxes(1, 2)
    return parts.reshape(rows * columns, _BLOCK_PX, _BLOCK_PX, -1)


def _levels_of_noise(level: np.ndarray, power: np.ndarray) -> np.ndarray:
    """(K,) usual power of a brightness's noise; nan where hardly a block has it."""
    usual = np.full(_KNOTS, np.nan)
    for knot in range(_KNOTS):
        chosen = power[level == knot]
        if len(chosen) >= _FEWEST:
            usual[knot] = np.median(chosen)
    return usual


def _flattest(level: np.ndarray, texture: np.ndarray) -> np.ndarray:
    """(N,) bool: of the blocks of each brightness those with the least texture."""
    kept = np.zeros(len(level), bool)
    for knot in range(_KNOTS):
        chosen = level == knot
        if chosen.any():
            kept |= chosen & (texture <= np.quantile(texture[chosen], _FLAT))
    return kept


def _factors(usual: np.ndarray, typical: float) -> np.ndarray:
    """(K,) standard deviation at each brightness, against that of most blocks."""
    known = np.flatnonzero(np.isfinite(usual))
    at_known = np.sqrt(usual[known] / max(typical, 1e-12))
    factors = np.interp(np.arange(_KNOTS), known, at_known)
    return factors.clip(*_FACTORS).astype(np.float32)


def _alike(change: np.ndarray) -> np.ndarray:
    """(2L + 1, 2L + 1, 3) autocovariance of noise, tapered towards its last lag."""
    lags = range(-_LAGS, _LAGS + 1)
    found = np.zeros((2 * _LAGS + 1, 2 * _LAGS + 1, 3))
    for y in range(_LAGS + 1):
        for x in lags:
            left = slice(max(0, -x), _BLOCK_PX - max(0, x))
            right = slice(max(0, x), _BLOCK_PX + min(0, x))
            product = change[:, : _BLOCK_PX - y, left] * change[:, y:, right]
            found[_LAGS + y, _LAGS + x] = product.mean(axis=(0, 1, 2))
            found[_LAGS - y, _LAGS - x] = found[_LAGS + y, _LAGS + x]
    taper = np.interp(np.abs(np.arange(-_LAGS, _LAGS + 1)), [2, _LAGS + 1], [1.0, 0.0])
    tapered: np.ndarray = found * taper[:, None, None] * taper[None, :, None]
    return tapered


def _grow_tile(alike: np.ndarray) -> np.ndarray:
    """(N, N, 3) float32 RGB noise with a given autocovariance of brightness and two colours."""
    chance, planes = np.random.default_rng(TILE_PX), []
    for channel in range(3):
        lags = np.zeros((TILE_PX, TILE_PX))
        lags[: 2 * _LAGS + 1, : 2 * _LAGS + 1] = alike[..., channel]
        spectrum = np.fft.fft2(np.roll(lags, (-_LAGS, -_LAGS), (0, 1))).real.clip(0)
        white = np.fft.fft2(chance.normal(size=(TILE_PX, TILE_PX)))
        plane = np.fft.ifft2(white * np.sqrt(spectrum)).real
        plane -= plane.mean()
        wanted = np.sqrt(max(alike[_LAGS, _LAGS, channel], 0.0))
        planes.append(plane * wanted / max(plane.std(), 1e-12))
    tile = np.stack(planes, -1) @ np.linalg.inv(_TO_YCC).T
    return np.ascontiguousarray(tile, np.float32)


@njit(cache=True, nogil=True)
def _add_grain(picture: Any, missing: Any, tile: Any, factors: Any, left: Any, top: Any) -> None:
    side, last = tile.shape[0], len(factors) - 1
    for row in range(picture.shape[0]):
        tile_row = (row + top) % side
        for column in range(picture.shape[1]):
            share = missing[row, column]
            if share <= 0:
                continue
            red, green, blue = picture[row, column]
            light = np.float32(0.299) * red + np.float32(0.587) * green + np.float32(0.114) * blue
            # factors belong to the middles of their brightnesses
            place = min(max(light * (last + 1) - np.float32(0.5), np.float32(0)), np.float32(last))
            low = min(int(place), last - 1)
            part = place - np.float32(low)
            share *= factors[low] * (np.float32(1) - part) + factors[low + 1] * part
            tile_column = (column + left) % side
            for channel in range(3):
                picture[row, column, channel] += share * tile[tile_row, tile_column, channel]


def _resampled(noise: np.ndarray, axis: int) -> np.ndarray:
    """(N,) float32: a noise's power that cubic reading leaves at N places from 0 to 1 pixel."""
    alike = np.array([(noise * np.roll(noise, lag, axis)).mean() for lag in range(4)])
    alike /= max(alike[0], 1e-12)
    part = np.linspace(0, 1, _PLACES)[:, None]
    apart = np.abs(part - np.arange(-1, 3))  # (N, 4) px to the pixels read
    near = ((_CUBIC + 2) * apart - (_CUBIC + 3)) * apart**2 + 1
    far = ((_CUBIC * apart - 5 * _CUBIC) * apart + 8 * _CUBIC) * apart - 4 * _CUBIC
    weights = np.where(apart <= 1, near, far)
    lags = np.abs(np.arange(4)[:, None] - np.arange(4))
    left = np.einsum("ni,ij,nj->n", weights, alike[lags], weights)
    return np.asarray(left.clip(0, 1), np.float32)


@njit(cache=True, nogil=True)
def _fill_missing(
    share: Any, where: Any, left: Any, top: Any, alpha: Any, resampled: Any, out: Any
) -> None:
    """What makes the power of the mix the footage's own, at every pixel."""
    steps, one, two = resampled.shape[1] - 1, np.float32(1), np.float32(2)
    for row in range(out.shape[0]):
        for column in range(out.shape[1]):
            x, y = where[0, row, column], where[1, row, column]
            power = share[row, column] * share[row, column]
            power *= resampled[0, int((x - np.floor(x)) * steps + np.float32(0.5))]
            power *= resampled[1, int((y - np.floor(y)) * steps + np.float32(0.5))]
            x, y = x - np.float32(left + column), y - np.float32(top + row)
            same = max(one - (x * x + y * y), np.float32(0))
            laid = max(alpha[row, column], np.float32(_LEAST_ALPHA))
            mixed = two - laid - two * (one - laid) * same * np.sqrt(power)
            out[row, column] = np.sqrt(max(mixed / laid - power, np.float32(0)))
