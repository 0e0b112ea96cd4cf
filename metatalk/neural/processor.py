"""Our generator on the processor: only where the mask is, and with few passes over the pixels.

The layers are PyTorch's. What surrounds them, stacking the inputs and letting texture through,
takes as long again in tensors, and a tenth of that in compiled loops. `Generator.forward` is the
readable version, and the one that is trained, exported and run on graphics cards.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import torch
from numba import njit
from torch import Tensor, nn

from metatalk.neural.config import GRID_PX
from metatalk.neural.generator import (
    BAND_PX,
    INPUT_CHANNELS,
    KNOWN,
    LEAST_MASS,
    STEEPEST,
    Generator,
    check_sides,
)
from metatalk.neural.pictures import CropPictures, Drawn, PictureTensors

# Rendered around the mask: as far as `match_colours` compares, and a little more, as the layers
# see less than in the whole crop next to the box's edges.
MARGIN = 1 / 20  # of the crop's side
LEAST_MARGIN_PX = 4
LEVEL = np.float32(1.0 / 255.0)
Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels; right, bottom excluded


class ProcessorRenderer(nn.Module):
    """Draws stored crops with a generator that is prepared for rendering on the processor."""

    temporal_reach = 0

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def draw(self, pictures: PictureTensors) -> Drawn:
        """Render whole crops."""
        return self.generator.draw(pictures)

    def draw_crops(self, pictures: CropPictures) -> tuple[np.ndarray, np.ndarray]:
        """Render what lies in and around the masks; beyond that, the picture is the footage.

        Args:
            pictures: of B crops.

        Returns:
            (B, S, S, 3) float32 RGB in [0, 1], and (B, S, S) float32 weight of the fine band of
            the filmed texture.

        Raises:
            ShapeError: a side that is not a multiple of 16.
        """
        size = pictures.mask.shape[1]
        check_sides(size, size)
        canvas = self.generator.canvas(size // 2, size // 2, None)
        made = np.multiply(pictures.real, LEVEL, dtype=np.float32)
        passed = np.zeros(pictures.mask.shape, np.float32)
        for number in range(len(pictures)):
            box = find_box(pictures.mask[number])
            if box is not None:
                left, top, right, bottom = box
                part = np.s_[number, top:bottom, left:right]
                shown = canvas[:, :, top // 2 : bottom // 2, left // 2 : right // 2]
                made[part], passed[part] = self._draw_box(pictures, part, shown)
        return made, passed

    def _draw_box(
        self, pictures: CropPictures, part: Any, canvas: Tensor
    ) -> tuple[np.ndarray, np.ndarray]:
        """Render one box of one crop: (h, w, 3) RGB, (h, w) weight of the filmed fine band."""
        sees_geometry, sees_carried = self.generator.sees_geometry, self.generator.sees_carried
        mask = _cut(pictures.mask, part)
        sides = mask.shape
        geometry = _cut(pictures.geometry if sees_geometry else None, part, (*sides, 3))
        filmed, matched = (
            _cut(source if sees_carried else None, part, (*sides, 4))
            for source in (pictures.filmed, pictures.matched)
        )
        synthetic, real = _cut(pictures.synthetic, part), _cut(pictures.real, part)
        table = _centred_levels(canvas.dtype)
        stack = np.empty((*sides, INPUT_CHANNELS), table.dtype)
        _stack(synthetic, real, mask, geometry, filmed, matched, table, stack)
        inputs = torch.from_numpy(stack).view(canvas.dtype).permute(2, 0, 1)[None]
        head, gates = (_as_pixels(layers) for layers in self.generator.propose(inputs, canvas))
        return let_through(head, gates, filmed, matched, mask)


def find_box(mask: np.ndarray) -> Box | None:
    """Find what is to be rendered of a crop.

    Args:
        mask: (S, S) uint8, 255 inside; S a multiple of 16.

    Returns:
        The mask's box with a margin, on the grid of the coarsest layer, so that the layers see
        the same pixels together as in the whole crop; None where the mask is empty.

    >>> mask = np.zeros((256, 256), np.uint8)
    >>> mask[40:202, 26:230] = 255
    >>> find_box(mask)
    (0, 16, 256, 224)
    """
    left, top, width, height = cv2.boundingRect(mask)
    if not width:
        return None
    size, margin = len(mask), max(LEAST_MARGIN_PX, int(len(mask) * MARGIN))
    first = lambda start: max(start - margin, 0) // GRID_PX * GRID_PX  # noqa: E731
    last = lambda end: min(-(-(end + margin) // GRID_PX) * GRID_PX, size)  # noqa: E731
    return first(left), first(top), last(left + width), last(top + height)


def let_through(
    head: np.ndarray,
    gates: np.ndarray,
    filmed: np.ndarray,
    matched: np.ndarray,
    mask: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Compose carried texture and what the network adds, as `generator._let_through` does.

    Args:
        head: (h / 2, w / 2, 12) float32, what the network adds, before it is shuffled.
        gates: (h / 2, w / 2, 6) float32, logarithms of weights, before they are enlarged.
        filmed: (h, w, 4) uint8 RGB and trust.
        matched: (h, w, 4) uint8 RGB and trust.
        mask: (h, w) uint8, 255 where texture is looked at, else 0.

    Returns:
        (h, w, 3) float32 RGB in [0, 1], and (h, w) float32 weight of the filmed fine band.
    """
    height, width = mask.shape
    weights = cv2.resize(gates, (width, height), interpolation=cv2.INTER_LINEAR)
    np.clip(weights, -STEEPEST, STEEPEST, out=weights)
    cv2.exp(weights, weights)
    known = np.empty((height, width, 8), np.uint8)
    _mark_known(filmed, matched, mask, int(KNOWN * 255), known)
    coarse, fine = np.empty((2, height, width, 3), np.float32)
    passed = np.empty((height, width), np.float32)
    _compose_coarse(
        head, weights, _blur(known), filmed, matched, mask, np.float32(LEAST_MASS),
        coarse, fine, passed,
    )  # fmt: skip
    _compose_fine(_blur(coarse), fine, weights, coarse)
    return coarse, passed


def _cut(stored: np.ndarray | None, part: Any, shape: tuple[int, ...] = ()) -> np.ndarray:
    """A box of a stored picture, or black."""
    return np.zeros(shape, np.uint8) if stored is None else np.ascontiguousarray(stored[part])


@lru_cache
def _centred_levels(dtype: torch.dtype) -> np.ndarray:
    """(256,) what each byte becomes on its way into the layers, as bits of their format."""
    levels = (torch.arange(256).float() / 255 - 0.5).to(dtype)
    return (levels.view(torch.int16) if levels.element_size() == 2 else levels).numpy()


def _as_pixels(planes: Tensor) -> np.ndarray:
    """(1, C, h, w) to (h, w, C) float32."""
    return np.ascontiguousarray(planes[0].permute(1, 2, 0).float().numpy())


def _blur(pictures: np.ndarray) -> np.ndarray:
    """(h, w, C) float32: as `generator.blur_box`, with the band's width."""
    side = 2 * BAND_PX + 1
    away = np.abs(np.arange(-2 * BAND_PX, 2 * BAND_PX + 1, dtype=np.float32))
    tent = (1 - away / side) / side
    return cv2.sepFilter2D(pictures, cv2.CV_32F, tent, tent, borderType=cv2.BORDER_REPLICATE)


@njit(cache=True, nogil=True)
def _stack(
    synthetic: Any, real: Any, mask: Any, geometry: Any, filmed: Any, matched: Any,
    table: Any, out: Any,
) -> None:  # fmt: skip
    """As `generator.stack_inputs`, by a table of what each byte becomes."""
    black, white = table[0], table[255]
    for row in range(out.shape[0]):
        for column in range(out.shape[1]):
            pixel, inside = out[row, column], mask[row, column] > 127
            pixel[6] = white if inside else black
            for channel in range(3):
                pixel[channel] = table[synthetic[row, column, channel]]
                pixel[3 + channel] = black if inside else table[real[row, column, channel]]
                pixel[7 + channel] = table[geometry[row, column, channel]]
            for channel in range(4):
                pixel[10 + channel] = table[filmed[row, column, channel]] if inside else black
                pixel[14 + channel] = table[matched[row, column, channel]] if inside else black


@njit(cache=True, nogil=True)
def _mark_known(filmed: Any, matched: Any, mask: Any, least: int, known: Any) -> None:
    """(h, w, 8) RGB of known pixels and 255 where they are known, of either source."""
    for row in range(known.shape[0]):
        for column in range(known.shape[1]):
            inside = mask[row, column] > 127
            first = inside and filmed[row, column, 3] > least
            second = inside and matched[row, column, 3] > least
            for channel in range(3):
                known[row, column, channel] = filmed[row, column, channel] if first else 0
                known[row, column, 4 + channel] = matched[row, column, channel] if second else 0
            known[row, column, 3] = 255 if first else 0
            known[row, column, 7] = 255 if second else 0


@njit(cache=True, nogil=True, error_model="numpy")
def _compose_coarse(
    head: Any, weights: Any, blurred: Any, filmed: Any, matched: Any, mask: Any, least: Any,
    coarse: Any, fine: Any, passed: Any,
) -> None:  # fmt: skip
    """Mix the coarse bands, and the carried fine ones; the own fine band's weight goes into
    the first channel of `weights`."""
    one, half, level = np.float32(1), np.float32(0.5), np.float32(1 / 255)
    for row in range(coarse.shape[0]):
        for column in range(coarse.shape[1]):
            inside = mask[row, column] > 127
            a = np.float32(filmed[row, column, 3]) * level if inside else np.float32(0)
            b = np.float32(matched[row, column, 3]) * level if inside else np.float32(0)
            w = weights[row, column]
            a0, b0, own0 = a * w[0], b * w[1], w[2]
            a1, b1, own1 = a * w[3], b * w[4], w[5]
            scale0, scale1 = one / (a0 + b0 + own0), one / (a1 + b1 + own1)
            a0, b0, own0 = a0 * scale0, b0 * scale0, own0 * scale0
            a1, b1, own1 = a1 * scale1, b1 * scale1, own1 * scale1
            first = level / (blurred[row, column, 3] * level + least)
            second = level / (blurred[row, column, 7] * level + least)
            place = 2 * (row & 1) + (column & 1)
            for channel in range(3):
                added = head[row >> 1, column >> 1, 4 * channel + place]
                smooth_a = blurred[row, column, channel] * first
                smooth_b = blurred[row, column, 4 + channel] * second
                fine_a = np.float32(filmed[row, column, channel]) * level - smooth_a
                fine_b = np.float32(matched[row, column, channel]) * level - smooth_b
                coarse[row, column, channel] = added + half * own0 + a0 * smooth_a + b0 * smooth_b
                fine[row, column, channel] = a1 * fine_a + b1 * fine_b
            passed[row, column] = a1
            w[0] = own1


@njit(cache=True, nogil=True)
def _compose_fine(blurred: Any, fine: Any, weights: Any, coarse: Any) -> None:
    """Exchange the coarse picture's own fine band for the carried ones, in place."""
    zero, one = np.float32(0), np.float32(1)
    for row in range(coarse.shape[0]):
        for column in range(coarse.shape[1]):
            gone = one - weights[row, column, 0]
            for channel in range(3):
                value = coarse[row, column, channel]
                value += fine[row, column, channel] - gone * (value - blurred[row, column, channel])
                coarse[row, column, channel] = min(max(value, zero), one)
