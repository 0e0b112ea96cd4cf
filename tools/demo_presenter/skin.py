"""Skin painted in the model's own space, so that every pore sticks to the face."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from demo_presenter.geometry import unroll
from metatalk.landmarks.points import MEDIAPIPE478
from metatalk.render.rasterize import interpolate, rasterize

PX_PER_MM = 5.0
LEFT_MM, TOP_MM, WIDTH_MM, HEIGHT_MM = -150.0, -118.0, 300.0, 310.0
SIZE = (int(HEIGHT_MM * PX_PER_MM), int(WIDTH_MM * PX_PER_MM))

SKIN = np.array([0.815, 0.625, 0.535], np.float32)
LIPS = np.array([0.690, 0.415, 0.395], np.float32)
HAIR = np.array([0.17, 0.115, 0.085], np.float32)
# Where hair begins: around the head from the middle of the face, and height, millimetres.
HAIRLINE = np.array([
    [0, -61], [20, -60.5], [38, -57], [50, -52], [61, -45], [71, -37], [80, -29], [87, -18],
    [93, -3], [98, 12], [105, 18], [113, 18], [118, -6], [123, -22], [150, -18], [175, 40],
    [300, 60],
])  # fmt: skip


@dataclass(frozen=True, eq=False)
class SkinMaps:
    """What the skin is like at each point of the unrolled cylinder."""

    albedo: np.ndarray  # (H, W, 3) float32
    slope: np.ndarray  # (H, W, 2) float32, of the surface's fine relief, rightwards and down
    gloss: np.ndarray  # (H, W) float32, strength of the highlight


def texels(unrolled: np.ndarray) -> np.ndarray:
    """(..., 2) millimetres on the cylinder to pixels of the maps."""
    return (unrolled - np.array([LEFT_MM, TOP_MM], np.float32)) * PX_PER_MM


def scalp(unrolled: np.ndarray) -> np.ndarray:
    """(...,) millimetres inside the hairline, negative outside; it wavers as hairlines do."""
    around, height = unrolled[..., 0], unrolled[..., 1]
    line = np.interp(np.abs(around), HAIRLINE[:, 0], HAIRLINE[:, 1])
    return line + 1.5 * np.sin(0.23 * around + 1.0) + 0.8 * np.sin(0.71 * around) - height


def noise(shape: tuple[int, int], sigma_x: float, sigma_y: float, seed: int) -> np.ndarray:
    """Smooth noise of mean 0 and deviation 1; sigmas in pixels."""
    field = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    x, y = int(3 * sigma_x) + 1, int(3 * sigma_y) + 1
    field = cv2.copyMakeBorder(field, y, y, x, x, cv2.BORDER_WRAP)  # so that it tiles
    field = cv2.GaussianBlur(field, (0, 0), sigma_x, sigmaY=sigma_y)[y:-y, x:-x]
    return (field - field.mean()) / field.std()


def paint_skin(
    vertices: np.ndarray, triangles: np.ndarray, lips: np.ndarray, landmarks: np.ndarray
) -> SkinMaps:
    """Paint a person's skin.

    Args:
        vertices: (V, 3) resting face, millimetres.
        triangles: (F, 3) those of the skin.
        lips: (V,) 0 to 1.
        landmarks: (478, 3) on the resting face, millimetres.

    Returns:
        The maps.
    """
    marks = texels(unroll(landmarks))
    lip = _bake(vertices, triangles, lips)
    lip = np.clip((cv2.GaussianBlur(lip, (0, 0), 2.5) - 0.35) / 0.4, 0, 1)
    albedo, relief = _complexion(lip)
    _paint_lips(albedo, relief, lip)
    _paint_beard(albedo, lip, marks)
    _paint_moles(albedo)
    _paint_lids(albedo, marks)
    _paint_brows(albedo, relief, marks)
    _paint_scalp(albedo)
    _calm_neck(albedo, relief)
    slope = np.stack([cv2.Sobel(relief, -1, 1, 0, scale=0.125), cv2.Sobel(relief, -1, 0, 1,
                     scale=0.125)], -1) * PX_PER_MM  # fmt: skip
    return SkinMaps(albedo.clip(0.01, 1), slope.astype(np.float32), _gloss(lip))


def _bake(vertices: np.ndarray, triangles: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Values from the vertices to the maps; where the skin folds, what lies outermost wins."""
    place = unroll(vertices)
    corners = place[triangles][..., 0]
    flat = triangles[np.ptp(corners, axis=1) < 60]
    depth = 1000 - np.hypot(vertices[:, 0], vertices[:, 2] - 60.0)
    points = np.concatenate([texels(place), depth[:, None]], -1).astype(np.float32)
    seen = rasterize(points[None], flat, *SIZE, threads=1)
    return interpolate(seen, flat, values[:, None].astype(np.float32), threads=1)[0, ..., 0]


def _place() -> tuple[np.ndarray, np.ndarray]:
    """Around and height of each texel, millimetres."""
    height, around = np.mgrid[0 : SIZE[0], 0 : SIZE[1]].astype(np.float32) / PX_PER_MM
    return around + LEFT_MM, height + TOP_MM


def _blob(x: float, y: float, wide: float, high: float) -> np.ndarray:
    around, height = _place()
    return np.exp(-(((around - x) / wide) ** 2) - ((height - y) / high) ** 2)


def _complexion(lip: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Albedo and relief of bare skin."""
    albedo = np.tile(SKIN, (*SIZE, 1))
    blotch = 0.6 * noise(SIZE, 45, 45, 1) + 0.4 * noise(SIZE, 14, 14, 2)
    fine = noise(SIZE, 3.2, 3.2, 3)
    pore = noise(SIZE, 1.1, 1.1, 4)
    albedo *= 1 + (0.016 * blotch + 0.010 * fine + 0.016 * pore)[..., None]
    red = 0.75 * (_blob(-46, 36, 26, 20) + _blob(46, 36, 26, 20)) + 0.9 * _blob(0, 33, 13, 13)
    red += 0.35 * _blob(0, 100, 18, 12) + 0.12 * blotch + 0.10 * fine
    red += 0.5 * (_blob(-130, 10, 16, 30) + _blob(130, 10, 16, 30))
    albedo *= 1 + red[..., None] * np.array([0.01, -0.085, -0.075], np.float32)
    tired = _blob(-31, 13, 15, 5) + _blob(31, 13, 15, 5)
    albedo *= 1 - tired[..., None] * np.array([0.09, 0.10, 0.07], np.float32)
    pits = np.clip(-noise(SIZE, 1.6, 1.6, 5) - 1.1, 0, 1.5)  # pores are pits
    rough = 0.35 + 0.65 * np.clip(_blob(0, 28, 24, 24) + _blob(-36, 32, 22, 22)
                                  + _blob(36, 32, 22, 22), 0, 1)  # fmt: skip
    albedo *= 1 - (0.055 * pits * rough * (1 - lip))[..., None]
    relief = 0.014 * fine + rough * (0.014 * pore - 0.034 * pits)
    for height in (-46.0, -38.5, -31.0):
        relief = relief - 0.05 * _crease(height)
    return albedo, relief


def _crease(height_mm: float) -> np.ndarray:
    around, height = _place()
    line = height_mm + 1.6 * np.cos(around * 0.07 + height_mm) + 0.5 * np.sin(around * 0.21)
    fade = np.exp(-((around / 30.0) ** 2))
    return fade * np.exp(-(((height - line) / 0.8) ** 2))


def _paint_lips(albedo: np.ndarray, relief: np.ndarray, lip: np.ndarray) -> None:
    lines = noise(SIZE, 1.6, 12, 6)
    grooves = np.clip(-noise(SIZE, 1.8, 16, 7) - 0.5, 0, 2)
    mottle = noise(SIZE, 7, 5, 8)
    colour = LIPS * (1 + 0.030 * lines - 0.075 * grooves + 0.035 * mottle)[..., None]
    albedo += lip[..., None] * (colour - albedo)
    relief *= 1 - 0.7 * lip
    relief += lip * (0.035 * lines - 0.07 * grooves)


def _paint_beard(albedo: np.ndarray, lip: np.ndarray, marks: np.ndarray) -> None:
    """A shadow of beard, and each of its stubs."""
    around, height = _place()
    side = np.clip((np.abs(around) - 22) / 70, 0, 1)
    top = 80 - 82 * side**1.2  # the cheek's edge rises towards the ear
    chin = 1 / (1 + np.exp(-(height - top) / 3.0))
    moustache = _blob(-13, 53.5, 12, 5.5) + _blob(13, 53.5, 12, 5.5) + 0.35 * _blob(0, 52, 6, 4)
    goatee = _blob(0, 92, 22, 12)
    neck = 1 / (1 + np.exp((height - 128) / 5.0))
    edge = 1 / (1 + np.exp((np.abs(around) - 112) / 2.5))
    cover = np.clip(np.maximum(chin * edge * neck, moustache) + 0.25 * goatee, 0, 1)
    cover *= (1 - lip) * (1 - 0.75 * _blob(0, 82, 16, 3.2))
    albedo *= 1 - cover[..., None] * np.array([0.135, 0.105, 0.075], np.float32)
    stubs = _stubs(cover)
    albedo *= 1 - stubs[..., None] * (1 - HAIR / 0.75)


def _stubs(cover: np.ndarray) -> np.ndarray:
    """(H, W) 0 to 1: short hairs, strewn as densely as `cover` says."""
    generator = np.random.default_rng(9)
    layer = np.zeros(SIZE, np.uint8)
    area_mm2 = WIDTH_MM * HEIGHT_MM
    for _ in range(int(1.5 * area_mm2)):
        x, y = generator.uniform(0, SIZE[1]), generator.uniform(0, SIZE[0])
        if generator.uniform() > cover[int(y), int(x)]:
            continue
        lean = generator.normal(0.25 * np.sign(x - SIZE[1] / 2), 0.35)
        length = generator.uniform(1.5, 4.5)
        tip = (x + lean * length, y + length)
        _stroke(layer, (x, y), tip, int(generator.uniform(90, 200)))
    return cv2.GaussianBlur(layer, (0, 0), 0.7).astype(np.float32) / 255.0


def _stroke(
    layer: np.ndarray, start: tuple[float, float], end: tuple[float, float], shade: int,
    thickness: int = 1,
) -> None:  # fmt: skip
    begin, finish = ((int(16 * x), int(16 * y)) for x, y in (start, end))
    cv2.line(layer, begin, finish, shade, thickness, cv2.LINE_AA, 4)


def _paint_moles(albedo: np.ndarray) -> None:
    generator = np.random.default_rng(11)
    freckles = np.zeros(SIZE, np.float32)
    for _ in range(110):
        x, y = generator.normal(0, 34), generator.normal(24, 11)
        centre = texels(np.array([x, y])).astype(int)
        cv2.circle(freckles, tuple(int(c) for c in centre), int(generator.integers(1, 4)),
                   float(generator.uniform(0.2, 0.8)), -1, cv2.LINE_AA)  # fmt: skip
    freckles = cv2.GaussianBlur(freckles, (0, 0), 1.3)
    albedo *= 1 - freckles[..., None] * np.array([0.14, 0.21, 0.24], np.float32)
    for x, y, radius in ((39, 59, 1.0), (-24, -24, 0.8), (-58, 47, 0.7), (17, 87, 0.6)):
        spot = np.clip(1.6 * _blob(x, y, radius, radius), 0, 1)[..., None]
        albedo *= 1 - spot * np.array([0.42, 0.55, 0.58], np.float32)


def _curve(points: np.ndarray, count: int = 60) -> np.ndarray:
    """(count, 2) a smooth line through a few points."""
    steps = np.linspace(0, len(points) - 1, count)
    line = [np.interp(steps, np.arange(len(points)), axis) for axis in points.T]
    return np.stack(line, -1).astype(np.float32)


def _paint_lids(albedo: np.ndarray, marks: np.ndarray) -> None:
    """The lids are redder and darker than the cheeks."""
    groups = MEDIAPIPE478
    for ring in (groups.right_eye, groups.left_eye):
        upper, lower = _curve(marks[list(ring[:9])]), _curve(marks[[*ring[8:], ring[0]]])
        pink = np.zeros(SIZE, np.float32)
        for line in (upper, lower):
            cv2.polylines(pink, [line.astype(np.int32)], False, 1.0, 24, cv2.LINE_AA)
        pink = cv2.GaussianBlur(pink, (0, 0), 7)
        albedo *= 1 - pink[..., None] * np.array([0.06, 0.15, 0.14], np.float32)


def _paint_brows(albedo: np.ndarray, relief: np.ndarray, marks: np.ndarray) -> None:
    """Short hairs between the detector's upper and lower line of each brow."""
    generator = np.random.default_rng(12)
    lines = (((70, 63, 105, 66, 107), (46, 53, 52, 65, 55), 1),
             ((300, 293, 334, 296, 336), (276, 283, 282, 295, 285), -1))  # fmt: skip
    layer = np.zeros(SIZE, np.uint8)
    bed = np.zeros(SIZE, np.float32)
    for upper, lower, towards_nose in lines:
        top = _curve(marks[list(upper)]) - np.array([0, 7.0])
        bottom = _curve(marks[list(lower)]) - np.array([0, 6.0])
        cv2.fillPoly(bed, [np.concatenate([top, bottom[::-1]]).astype(np.int32)], 1.0)
        for _ in range(620):
            along = generator.beta(1.25, 1.15)  # 0 at the temple, 1 at the nose
            spread = 0.13 + 0.16 * np.sin(np.pi * min(1.0, 0.15 + along * 0.95))
            across = np.clip(generator.normal(0.5, spread), -0.05, 0.95)
            at = int(along * (len(top) - 1))
            x, y = top[at] + across * (bottom[at] - top[at])
            outward = np.array([-towards_nose * (0.9 - 0.55 * along), -0.25 - 0.75 * along])
            outward[1] += 0.9 * (0.5 - across) * -0.4 + 0.45 * (1 - along)
            step = outward * generator.uniform(9, 17) + generator.normal(0, 1.2, 2)
            _stroke(layer, (x, y), (x + step[0], y + step[1]), int(generator.uniform(110, 235)))
    bed = cv2.GaussianBlur(bed, (0, 0), 7)
    hairs = cv2.GaussianBlur(layer, (0, 0), 0.75).astype(np.float32) / 255.0
    albedo *= 1 - 0.20 * bed[..., None]
    albedo += np.clip(hairs, 0, 1)[..., None] * 0.82 * (HAIR - albedo)
    relief += 0.06 * hairs


def _paint_scalp(albedo: np.ndarray) -> None:
    """Darkness under the hair, beginning softly."""
    around, height = _place()
    inside = scalp(np.stack([around, height], -1))
    ragged = inside + 2.2 * noise(SIZE, 2, 12, 13)
    cover = np.clip((ragged + 1.0) / 5.0, 0, 1)[..., None] * 0.93
    albedo += cover * (HAIR - albedo)


def _calm_neck(albedo: np.ndarray, relief: np.ndarray) -> None:
    """No detail where the neck runs out into the shoulders: the cylinder stretches it there."""
    around, height = _place()
    calm = np.clip((height - 118 + 0.25 * np.abs(around) - 12) / 14, 0, 1)
    albedo += calm[..., None] * (cv2.GaussianBlur(albedo, (0, 0), 40) - albedo)
    relief *= 1 - calm


def _gloss(lip: np.ndarray) -> np.ndarray:
    shine = 0.55 + 0.35 * np.clip(_blob(0, 25, 12, 22) + _blob(0, -30, 36, 18), 0, 1)
    shine -= 0.2 * _blob(0, 90, 50, 20)
    shine *= 1 + 0.18 * noise(SIZE, 2.0, 2.0, 14) + 0.12 * noise(SIZE, 18, 18, 15)
    around, height = _place()
    bald = np.clip(-scalp(np.stack([around, height], -1)) / 4.0, 0, 1)
    return ((shine * bald).clip(0, 2) * (1 - lip) + lip * 1.5).astype(np.float32)
