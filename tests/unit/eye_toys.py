"""Landmarks of eyes that blink, and pictures of eyes that may be told apart."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from metatalk.compose.eyes.blink_plan import EyeTask
from metatalk.compose.retiming.plan import FramePlan
from metatalk.landmarks.points import point_groups
from metatalk.landmarks.track import LandmarkTrack
from metatalk.render.eyes import EyePlaces

RATE = 25.0


def eye_track(
    opening: np.ndarray,
    layout: str = "mediapipe478",
    shots: list[tuple[int, int]] | None = None,
    has_face: np.ndarray | None = None,
    look: tuple[float, float] = (0.0, 0.0),
) -> LandmarkTrack:
    """A face that keeps still, its lids (T,) eye widths apart, its irises off by `look` widths."""
    groups, count = point_groups(layout), len(opening)
    points = np.zeros((count, groups.count, 3), np.float32)
    for ring, iris, x in (
        (groups.right_eye, groups.right_iris, 100.0),
        (groups.left_eye, groups.left_iris, 180.0),
    ):
        _draw_ring(points, ring, x, opening)
        if iris:
            points[:, iris[0], :2] = (x + 20 + 40 * look[0], 90 + 40 * look[1])
    state = np.ones(count, np.uint8) if has_face is None else has_face.astype(np.uint8)
    points[state == 0] = np.nan
    spans = np.array(shots or [(0, count)])
    return LandmarkTrack(points, state.astype(np.float32), state, spans, layout)


def _draw_ring(points: np.ndarray, ring: tuple[int, ...], left: float, opening: np.ndarray) -> None:
    """A lens of 40 px; at its middle the lids are as far apart as `opening` says."""
    half = len(ring) // 2
    across = np.linspace(0, 1, half + 1)
    bulge = np.minimum(4 * across * (1 - across) * 1.2, 1.0)  # flat where the gap is measured
    for place in range(half + 1):
        away = 20 * opening * bulge[place]
        for index, sign in ((ring[place], -1), (ring[-place] if place else ring[0], 1)):
            points[:, index, 0] = left + 40 * across[place]
            points[:, index, 1] = 90 + sign * away
            if place in (0, half):
                points[:, index, 1] = 90


def blinking(count: int, firsts: list[int], open_to: float = 0.3) -> np.ndarray:
    """(T,) opening with blinks of five frames: half shut, shut, shut, half shut, nearly open."""
    opening = np.full(count, open_to)
    for first in firsts:
        opening[first : first + 5] = open_to * np.array([0.5, 0.1, 0.1, 0.5, 0.8])
    return opening


def eye_task(
    frames: np.ndarray,
    speaking: np.ndarray | None = None,
    may_change: np.ndarray | None = None,
    towards: np.ndarray | None = None,
    share: np.ndarray | None = None,
) -> EyeTask:
    """A result at a steady rate that shows these footage frames."""
    walk = FramePlan(frames, np.arange(len(frames)), 1 / Fraction(RATE), towards, share)
    return EyeTask(walk, speaking, may_change)


class Painted:
    """A picture that tells RGB."""

    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels = pixels  # (H, W, 3) uint8
        self.height, self.width = pixels.shape[:2]

    def rgb(self, box: tuple[int, int, int, int] | None = None) -> np.ndarray:
        left, top, right, bottom = box or (0, 0, self.width, self.height)
        return self.pixels[top:bottom, left:right]

    def rgb_float(self, box: tuple[int, int, int, int] | None = None) -> np.ndarray:
        return self.rgb(box).astype(np.float32) / np.float32(255)


def face_places(shift: tuple[float, float] = (0.0, 0.0), scale: float = 1.0) -> EyePlaces:
    """Eyes of 40 px width at (120, 90) and (200, 90), moved."""
    middle = np.array([[[120.0, 90.0], [200.0, 90.0]]]) * scale + shift
    axes = np.broadcast_to(np.eye(2) * 20 * scale, (1, 2, 2, 2)).copy()
    return EyePlaces(middle, axes, (1.0, 1.0))


def paint_face(
    shift: tuple[float, float] = (0.0, 0.0),
    scale: float = 1.0,
    iris: tuple[float, float, float] = (0.1, 0.1, 0.1),
    light: float = 0.0,
    seed: int = 0,
) -> Painted:
    """Skin with brows and wrinkles all its own, and eyes of a given colour.

    Everything is a smooth function of the place on the face, so that moving the face moves the
    picture by parts of a pixel, exactly.
    """
    chance = np.random.default_rng(seed)
    y, x = np.mgrid[:180, :320] + 0.5
    x, y = (x - shift[0]) / scale, (y - shift[1]) / scale
    skin = np.zeros_like(x)
    for _ in range(24):
        angle, length = chance.uniform(0, np.pi), chance.uniform(9, 40)
        phase = chance.uniform(0, 2 * np.pi)
        wave = (np.cos(angle) * x + np.sin(angle) * y) * 2 * np.pi / length
        skin += 0.02 * np.cos(wave + phase)
    pixels = np.array([0.7, 0.55, 0.45]) + skin[..., None] + light
    for middle in (120.0, 200.0):
        brow = np.exp(-(((x - middle) / 22) ** 4) - ((y - 58) / 5) ** 2)
        away = np.hypot((x - middle) / 16, (y - 90) / 9)
        eye = 1 / (1 + np.exp((away - 1) * 12))
        pixels = pixels * (1 - 0.6 * brow[..., None])
        pixels = pixels * (1 - eye[..., None]) + np.array(iris) * eye[..., None]
    return Painted(np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8))
