"""Eyelashes and the lids' dark rims, drawn as strokes from the rims of this very frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d

LASHES = 60  # on each upper lid
RIM_POINTS = 40
COLOUR = np.array([0.085, 0.060, 0.050], np.float32)
Projector = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class Lashes:
    """Where the rims of the lids lie on the head, and what stands on them."""

    corners: np.ndarray  # (2, 2, RIM_POINTS, 3) points of the head; eye, upper and lower rim
    weights: np.ndarray  # (2, 2, RIM_POINTS, 3)
    places: np.ndarray  # (2, LASHES) number of the rim's point, fractional
    hairs: np.ndarray  # (2, LASHES, 3) mm from root to tip, model frame


def plant_lashes(
    triangle: np.ndarray, weights: np.ndarray, is_eye: np.ndarray, triangles: np.ndarray
) -> Lashes:
    """Find the rims in a picture of the resting face, and plant lashes on them.

    Args:
        triangle: (H, W) int32, what is seen at each pixel; the face looks into the camera.
        weights: (H, W, 3) barycentrics.
        is_eye: (F,) bool, which triangles are eyeballs.
        triangles: (F, 3).
    """
    eyes = (triangle >= 0) & is_eye[triangle]
    middle = int(np.nonzero(eyes.any(0))[0].mean())
    sides = [eyes.copy(), eyes.copy()]
    sides[0][:, middle:], sides[1][:, :middle] = False, False
    spots = np.array([_rims(side) for side in sides])  # (2, 2, RIM_POINTS, 2) row, column
    rows, columns = spots[..., 0], spots[..., 1]
    generator = np.random.default_rng(81)
    outer = generator.beta(1.3, 1.0, (2, LASHES))  # denser towards the temples
    outwards = np.array([-1.0, 1.0])[:, None]
    places = np.where(outwards < 0, 1 - outer, outer) * (RIM_POINTS - 1)
    length = (2.4 + 3.4 * outer) * generator.uniform(0.75, 1.1, outer.shape)
    lean = outwards * (0.85 * outer - 0.15) + generator.normal(0, 0.10, outer.shape)
    hairs = length[..., None] * np.stack([lean, np.full_like(lean, -0.42), 0 * lean - 0.9], -1)
    return Lashes(triangles[triangle[rows, columns]], weights[rows, columns], places, hairs)


def _rims(eye: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels of the lids next to an eye, above and below it, (RIM_POINTS, 2) each."""
    columns = np.nonzero(eye.any(0))[0]
    columns = columns[np.linspace(0, len(columns) - 1, RIM_POINTS).astype(int)]
    top = eye[:, columns].argmax(0) - 1
    bottom = len(eye) - eye[::-1, columns].argmax(0)
    return np.stack([top, columns], -1), np.stack([bottom, columns], -1)


def draw_lashes(
    lashes: Lashes, head: np.ndarray, blink: float, place: Callable[[np.ndarray], np.ndarray],
    picture: np.ndarray,
) -> None:  # fmt: skip
    """Draw lashes and rims over a picture.

    Args:
        lashes: planted.
        head: (V, 3) points of the head in this frame, mm, model frame.
        blink: how far the eyes are shut, 0 to 1.
        place: model frame to (N, 2) pixels.
        picture: (H, W, 3) written.
    """
    rims = (head[lashes.corners] * lashes.weights[..., None]).sum(-2)  # (2, 2, RIM_POINTS, 3)
    rims = gaussian_filter1d(rims, 1.2, axis=2, mode="nearest")
    hang = np.array([1.0, 1.0 - 2.0 * blink, 1.0])  # shut lids let them hang
    hairs = lashes.hairs * hang * (1 - 0.35 * blink)
    cover = np.zeros(picture.shape[:2], np.uint8)
    for eye, (upper, lower) in enumerate(rims):
        _line(cover, place(lower), int(60 * (1 - blink)), 2)
        _line(cover, place(upper), 160, 3)
        steps = np.arange(RIM_POINTS)
        roots = np.stack([np.interp(lashes.places[eye], steps, axis) for axis in upper.T], -1)
        bend = roots + 0.5 * hairs[eye] + np.array([0, 0.4, 0])
        strokes = np.stack([place(part) for part in (roots, bend, roots + hairs[eye])], 1)
        for stroke in strokes:
            _line(cover, stroke, 105, 1)
    share = cv2.GaussianBlur(cover, (0, 0), 0.9).astype(np.float32)[..., None] / 255.0
    picture += share * (COLOUR - picture)


def _line(cover: np.ndarray, points: np.ndarray, shade: int, thickness: int) -> None:
    """Draw a line through (N, 2) points in pixels."""
    sixteenths = np.round((points - 0.5) * 16).astype(np.int32)
    cv2.polylines(cover, [sixteenths], False, shade, thickness, cv2.LINE_AA, 4)
