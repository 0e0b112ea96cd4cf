"""A new mouth drawn beside what stands before it: that stays as filmed, and so does its edge."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from metatalk.compose.blend import Patch, Window
from metatalk.compose.fallback.foreground_masks import Foreground
from metatalk.shapes import check_shape

NONE = 0.02  # share of a thing from which a place says nothing of the skin beside it
REACH = 0.05  # of the patch's width: skin beside a thing is drawn on over so much
LIKE = (0.05, 0.12)  # mean difference: up to the first the film serves, from the second on not


def draw_beside(
    patch: Patch,
    standing: Foreground,
    frame: int,
    transform: np.ndarray,
    carried: np.ndarray,
    filmed: np.ndarray,
    window: Window,
) -> Patch:
    """Leave what stands before a face as it was filmed.

    The network has seen the thing on the skin and draws it along with it. Where that is beside
    the thing itself the film is shown if it looks like the skin around, else that skin goes on.

    Args:
        patch: the new lower face.
        standing: what stands before it.
        frame: of the clip.
        transform: (2, 3) frame px to crop px.
        carried: (S, S, 2) float32: where in the filmed crop each pixel of the new face lies, crop
            px; nan where nowhere.
        filmed: (H, W, 3) uint8, or float32 in [0, 1]: the film in the window.
        window: where the window lies; it holds the patch.

    Returns:
        The patch; the very one given where nothing stands.
    """
    height, width = patch.alpha.shape
    check_shape("filmed", filmed, "H W 3", H=window.height, W=window.width)
    box = (patch.left, patch.top, patch.left + width, patch.top + height)
    drawn = standing.drawn_share(frame, box, transform, carried)
    itself = standing.film_share(frame, patch.left, patch.top, width, height)
    if itself is None and not drawn.any():
        return patch
    if itself is None:
        itself = np.zeros_like(drawn)
    column, row = patch.left - window.left, patch.top - window.top
    film = filmed[row : row + height, column : column + width]
    if film.dtype == np.uint8:
        film = film.astype(np.float32) / 255
    skin = _skin_around(patch.picture, np.maximum(drawn, itself), REACH * width)
    apart = cv2.GaussianBlur(np.abs(film - skin).mean(-1), (0, 0), max(REACH * width / 8, 0.5))
    like = np.clip((LIKE[1] - apart) / (LIKE[1] - LIKE[0]), 0, 1)
    picture = patch.picture + drawn[..., None] * (skin - patch.picture)
    alpha = patch.alpha * (1 - np.maximum(itself, drawn * like))
    return replace(patch, picture=picture, alpha=alpha.astype(np.float32))


def _skin_around(picture: np.ndarray, thing: np.ndarray, reach: float) -> np.ndarray:
    """(h, w, 3) float32: what lies beside a thing, drawn on over it."""
    sure = (thing < NONE).astype(np.float32)
    out = np.zeros_like(picture)
    left = np.ones_like(sure)
    for part in (0.15, 0.5, 1.5):  # near skin first
        width = max(part * reach, 0.5)
        weight = cv2.GaussianBlur(sure, (0, 0), width)
        near = cv2.GaussianBlur(picture * sure[..., None], (0, 0), width)
        share = left * np.clip(weight / 0.05, 0, 1)
        out += share[..., None] * near / np.maximum(weight, 1e-6)[..., None]
        left = left - share
    return out + left[..., None] * picture
