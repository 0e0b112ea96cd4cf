"""Patches laid over each other as one layer of straight colours and alpha."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from metatalk.errors import ShapeError
from metatalk.shapes import check_shape

# RGB (h, w, 3) in [0, 1], alpha (h, w) in [0, 1], and the column and row of its first pixel
PatchLayer = tuple[np.ndarray, np.ndarray, int, int]


@dataclass(frozen=True, eq=False)
class Layer:
    """A part of a frame that covers what is behind it.

    Args:
        rgb: (h, w, 3) float32 in [0, 1], straight: not multiplied by alpha.
        alpha: (h, w) float32 in [0, 1].
        left: column of the first pixel in the frame.
        top: row of it.
    """

    rgb: np.ndarray
    alpha: np.ndarray
    left: int
    top: int

    def __post_init__(self) -> None:
        sizes = check_shape("alpha", self.alpha, "h w")
        check_shape("rgb", self.rgb, "h w 3", **sizes)

    @property
    def place(self) -> tuple[slice, slice]:
        """Its rows and columns in the frame."""
        rows, columns = self.alpha.shape
        return slice(self.top, self.top + rows), slice(self.left, self.left + columns)


def flatten(patches: Sequence[PatchLayer], width: int, height: int) -> Layer | None:
    """Lay patches over each other.

    Args:
        patches: as `Picture.with_patch` takes them; later ones cover earlier ones. Parts that
            lie outside the frame are dropped.
        width: columns of the frame.
        height: rows of it.

    Returns:
        One layer that does to a frame what they do one after another, but for the rounding in
        between; None where they cover nothing.

    Raises:
        ShapeError: a patch and its alpha do not match.

    Source: Porter & Duff 1984, "over", for straight colours.
    """
    parts = [part for patch in patches if (part := _inside(patch, width, height)) is not None]
    if not parts:
        return None
    if len(parts) == 1:
        return parts[0]
    left, top = min(part.left for part in parts), min(part.top for part in parts)
    right = max(part.left + part.alpha.shape[1] for part in parts)
    bottom = max(part.top + part.alpha.shape[0] for part in parts)
    colour = np.zeros((bottom - top, right - left, 3), np.float32)  # multiplied by alpha
    alpha = np.zeros((bottom - top, right - left), np.float32)
    for part in parts:
        rows, columns = part.alpha.shape
        place = np.s_[part.top - top :, part.left - left :]
        under, cover = colour[place][:rows, :columns], part.alpha[..., None]
        under[...] = cover * part.rgb + (1 - cover) * under
        behind = alpha[place][:rows, :columns]
        behind[...] = part.alpha + (1 - part.alpha) * behind
    straight = colour / np.maximum(alpha, 1e-6)[..., None]
    return Layer(np.where(alpha[..., None] > 0, straight, 0), alpha, left, top)


def _inside(patch: PatchLayer, width: int, height: int) -> Layer | None:
    """The part of a patch that covers something within the frame."""
    rgb, alpha, left, top = patch
    if alpha.shape != rgb.shape[:2]:
        raise ShapeError(f"a patch of {rgb.shape} with an alpha of {alpha.shape}")
    alpha = np.nan_to_num(alpha.astype(np.float32)).clip(0, 1)
    alpha = alpha[max(-top, 0) : max(height - top, 0), max(-left, 0) : max(width - left, 0)]
    if not alpha.any():
        return None
    rows, columns = np.flatnonzero(alpha.any(1)), np.flatnonzero(alpha.any(0))
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    first_row, first_column = max(-top, 0), max(-left, 0)
    rgb = np.nan_to_num(rgb[first_row:, first_column:][box].astype(np.float32)).clip(0, 1)
    left, top = max(left, 0) + int(columns[0]), max(top, 0) + int(rows[0])
    return Layer(rgb, alpha[box], left, top)


def spread_colours(layer: Layer, block: int, reach: int, width: int, height: int) -> Layer:
    """Carry a layer's colours beyond its edge, where they are not seen.

    A codec that works in blocks rings at an edge of colours; so there is none in a block that
    shows. A filter that reads beyond the edge finds the layer's own colours there.

    Args:
        layer: the layer.
        block: side of the codec's blocks, pixels.
        reach: how far to go at least, pixels.
        width: columns of the frame.
        height: rows of it.

    Returns:
        A larger layer whose box is made of whole blocks, but at the frame's edge. Where alpha
        is 0 a pixel has the colour of the nearest one where it is not.
    """
    rows, columns = layer.alpha.shape
    left, top = _down(layer.left - reach, block), _down(layer.top - reach, block)
    right = min(-_down(-(layer.left + columns + reach), block), width)
    bottom = min(-_down(-(layer.top + rows + reach), block), height)
    left, top = max(left, 0), max(top, 0)
    alpha = np.zeros((bottom - top, right - left), np.float32)
    rgb = np.zeros((*alpha.shape, 3), np.float32)
    inner = np.s_[layer.top - top :, layer.left - left :]
    alpha[inner][:rows, :columns] = layer.alpha
    rgb[inner][:rows, :columns] = layer.rgb
    nearest = _nearest(alpha > 0)
    return Layer(rgb.reshape(-1, 3)[nearest], alpha, left, top)


def _down(value: int, block: int) -> int:
    return value // block * block


def _nearest(shown: np.ndarray) -> np.ndarray:
    """(h, w) flat position of the nearest pixel that is shown; there is one."""
    hidden = np.where(shown, 0, 1).astype(np.uint8)
    _, labels = cv2.distanceTransformWithLabels(
        hidden, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    positions = np.zeros(int(labels.max()) + 1, np.intp)
    seen = np.flatnonzero(shown)
    positions[labels.reshape(-1)[seen]] = seen
    return positions[labels]
