"""Contact sheets: what a person looks at before believing a score."""

from __future__ import annotations

import numpy as np
from torch import nn

from metatalk.neural.infer import render_crops
from metatalk.neural.scoring import Reader, spread_frames
from metatalk.shapes import check_shape

GAP_PX = 4
PAPER = 32  # grey level between the pictures


def contact_sheet(real: np.ndarray, synthetic: np.ndarray, generated: np.ndarray) -> np.ndarray:
    """Lay pictures side by side: real | synthetic | generated, one frame a row.

    Args:
        real: (B, H, W, 3) uint8 footage, RGB.
        synthetic: (B, H, W, 3) uint8 synthetic lower face.
        generated: (B, H, W, 3) uint8, or float in [0, 1].

    Returns:
        The sheet, uint8 RGB.

    Raises:
        ShapeError: shapes that disagree.
    """
    sizes = check_shape("real", real, "B H W 3")
    check_shape("synthetic", synthetic, "B H W 3", **sizes)
    check_shape("generated", generated, "B H W 3", **sizes)
    if generated.dtype != np.uint8:
        generated = np.round(generated * 255).clip(0, 255).astype(np.uint8)
    rows, height, width = sizes["B"], sizes["H"] + GAP_PX, sizes["W"] + GAP_PX
    sheet = np.full((rows * height + GAP_PX, 3 * width + GAP_PX, 3), PAPER, np.uint8)
    for row, pictures in enumerate(zip(real, synthetic, generated, strict=True)):
        for column, picture in enumerate(pictures):
            top, left = GAP_PX + row * height, GAP_PX + column * width
            sheet[top : top + sizes["H"], left : left + sizes["W"]] = picture
    return sheet


def draw_contact_sheet(
    generator: nn.Module, read: Reader, rows: np.ndarray, shown: int = 6
) -> np.ndarray:
    """Render some frames and lay them beside the footage, the way they will be composed.

    Args:
        generator: see `prepare_for_rendering`.
        read: gives what the network looks at, such as `Recipe.pictures`.
        rows: (N,) rows of the crops to choose from.
        shown: number of frames shown.

    Returns:
        The sheet, uint8 RGB.
    """
    pictures = read(spread_frames(rows, shown))
    made, filmed = render_crops(generator, pictures).picture, pictures.real.astype(np.float32) / 255
    inside = pictures.mask[..., None] > 127
    return contact_sheet(pictures.real, pictures.synthetic, np.where(inside, made, filmed))
