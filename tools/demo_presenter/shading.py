"""What colour each pixel of the presenter has."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from demo_presenter.head import (
    AMBIENT,
    CLOTH,
    EYE,
    INSIDE,
    LOCAL,
    NORMAL,
    PLACE,
    SKIN,
    TEETH,
    WINDOW,
)  # fmt: skip
from demo_presenter.light import LAMP
from demo_presenter.light import WINDOW as WINDOW_DIRECTION

VIEW = np.array([0.0, 0.0, -1.0])


def _halfway(direction: np.ndarray) -> np.ndarray:
    middle = direction + VIEW
    return middle / np.linalg.norm(middle)


WINDOW_HALF, LAMP_HALF = _halfway(WINDOW_DIRECTION), _halfway(LAMP)


@njit(cache=True, nogil=True, fastmath=True)
def shade_pixels(
    triangle: Any, values: Any, materials: Any, turn: Any, light: Any, maps: Any, knit: Any,
    iris: Any, mouth_open: float, out: Any,
) -> None:  # fmt: skip
    """Colour all covered pixels of one picture.

    Args:
        triangle: (H, W) int32.
        values: (H, W, COLUMNS) float32.
        materials: (F,) int8.
        turn: (3, 3) the head's rotation.
        light: (3, 9) SH.
        maps: (h, w, 6) albedo, slopes and gloss of the skin.
        knit: (h, w, 2) tone and slope of the jumper; tiles, 8 px to a millimetre.
        iris: (h, w, 3) albedo of an eye: rows by radius to 1.5 times the iris', columns by angle.
        mouth_open: 0 to 1: how much light comes into the mouth.
        out: (H, W, 3) float32, written.
    """
    colour, normal = np.zeros(3), np.zeros(3)
    sample = np.zeros(6)
    for row in range(out.shape[0]):
        for column in range(out.shape[1]):
            number = triangle[row, column]
            if number < 0:
                continue
            value = values[row, column]
            for axis in range(3):
                normal[axis] = value[NORMAL + axis]
            _normalise(normal)
            material = materials[number]
            if material == SKIN:
                _skin(value, normal, turn, maps, sample, light, mouth_open, colour)
            elif material == EYE:
                _eye(value, normal, turn, iris, light, colour)
            elif material == CLOTH:
                _cloth(value, normal, knit, sample, light, colour)
            else:
                _mouth(material, value, normal, light, mouth_open, colour)
            for channel in range(3):
                out[row, column, channel] = colour[channel]


@njit(cache=True, nogil=True, fastmath=True)
def _normalise(vector: Any) -> None:
    length = math.sqrt(vector[0] ** 2 + vector[1] ** 2 + vector[2] ** 2) + 1e-9
    for axis in range(3):
        vector[axis] /= length


@njit(cache=True, nogil=True, fastmath=True)
def _dot(a: Any, b: Any) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@njit(cache=True, nogil=True, fastmath=True)
def irradiance(light: Any, n: Any, channel: int) -> float:
    """The SH light on a surface of normal n; see `metatalk.morphable.lighting`."""
    x, y, z = n[0], n[1], n[2]
    k = light[channel]
    return (
        0.28209479 * k[0] + 0.48860251 * (y * k[1] + z * k[2] + x * k[3])
        + 1.09254843 * (x * y * k[4] + y * z * k[5] + x * z * k[7])
        + 0.31539157 * (3 * z * z - 1) * k[6] + 0.54627422 * (x * x - y * y) * k[8]
    )  # fmt: skip


@njit(cache=True, nogil=True, fastmath=True)
def _lit(light: Any, normal: Any, channel: int, ambient: float, window: float) -> float:
    """Light that arrives where some of it is kept away; red bleeds into shadows."""
    bleed = 0.62 + 0.24 * channel  # red, green, blue: how hard the shadow is
    facing = max(0.0, _dot(normal, WINDOW_DIRECTION) * 0.8 + 0.2)
    shadow = 1.0 - 0.62 * facing * (1.0 - window) * (0.75 + 0.12 * channel)
    return irradiance(light, normal, channel) * ambient**bleed * shadow


@njit(cache=True, nogil=True, fastmath=True)
def _sample(maps: Any, x: float, y: float, wrap: bool, out: Any) -> None:
    """Bilinear; x and y in pixels, pixel centres at half integers."""
    height, width, channels = maps.shape
    x, y = x - 0.5, y - 0.5
    left, top = math.floor(x), math.floor(y)
    right_share, down_share = x - left, y - top
    if wrap:
        a, b, c, d = left % width, (left + 1) % width, top % height, (top + 1) % height
    else:
        a, b = min(max(left, 0), width - 1), min(max(left + 1, 0), width - 1)
        c, d = min(max(top, 0), height - 1), min(max(top + 1, 0), height - 1)
    for channel in range(channels):
        upper = maps[c, a, channel] * (1 - right_share) + maps[c, b, channel] * right_share
        lower = maps[d, a, channel] * (1 - right_share) + maps[d, b, channel] * right_share
        out[channel] = upper * (1 - down_share) + lower * down_share


@njit(cache=True, nogil=True, fastmath=True)
def _bend(normal: Any, turn: Any, around: float, right: float, down: float) -> None:
    """Tilt a normal by the slopes of the fine relief on the unrolled skin."""
    c, s = math.cos(around), math.sin(around)
    for axis in range(3):
        across = turn[axis, 0] * c + turn[axis, 2] * s
        normal[axis] -= right * across + down * turn[axis, 1]
    _normalise(normal)


@njit(cache=True, nogil=True, fastmath=True)
def _highlight(normal: Any, half: Any, power: float) -> float:
    return max(0.0, _dot(normal, half)) ** power


@njit(cache=True, nogil=True, fastmath=True)
def _skin(
    value: Any, normal: Any, turn: Any, maps: Any, sample: Any, light: Any, mouth_open: float,
    colour: Any,
) -> None:  # fmt: skip
    ambient, window, inside = value[AMBIENT], value[WINDOW], value[INSIDE]
    _sample(maps, value[PLACE], value[PLACE + 1], False, sample)
    around = (value[PLACE] / 5.0 - 150.0) / 85.0
    rim = (1.0 - max(0.0, -normal[2])) ** 3
    _bend(normal, turn, around, sample[3], sample[4])
    inside = min(max((inside - 0.25) / 0.5, 0.0), 1.0)
    gloss = sample[5] * (1 - inside) + 0.8 * inside
    broad, narrow = _highlight(normal, WINDOW_HALF, 11.0), _highlight(normal, WINDOW_HALF, 46.0)
    shine = gloss * window * ambient * (0.10 * broad + 0.13 * narrow)
    shine += gloss * ambient * 0.045 * _highlight(normal, LAMP_HALF, 22.0)
    shine += 0.05 * rim * ambient
    flesh = (0.42, 0.16, 0.15)
    dim = 1.0 - inside * (1.0 - 0.38 - 0.5 * mouth_open)
    for channel in range(3):
        albedo = sample[channel] * (1 - inside) + flesh[channel] * inside
        tint = 1.0 - 0.06 * channel
        lit = _lit(light, normal, channel, ambient, window) * dim
        colour[channel] = albedo * lit + shine * dim * tint


@njit(cache=True, nogil=True, fastmath=True)
def _mouth(
    material: int, value: Any, normal: Any, light: Any, mouth_open: float, colour: Any
) -> None:
    x, y, z = value[LOCAL], value[LOCAL + 1], value[LOCAL + 2]
    ambient, window = value[AMBIENT], value[WINDOW]
    deep = 1.0 / (1.0 + math.exp((z + 6.0) / 7.0))  # light fades towards the throat
    dim = (0.72 + 0.24 * mouth_open) * (0.25 + 0.75 * deep)
    shine = 0.16 * _highlight(normal, WINDOW_HALF, 40.0) * (0.3 + 0.7 * mouth_open)
    enamel = (0.90, 0.86, 0.79)
    gum = (0.66, 0.33, 0.32)
    flesh = (0.68, 0.36, 0.36)
    if material == TEETH:
        pink = _tooth_line(x, y, z)
        gap = _tooth_gap(x, z)
        for channel in range(3):
            albedo = enamel[channel] * (1 - pink) + gum[channel] * pink
            albedo *= 1 - gap * (0.26 + 0.06 * channel)
            lit = irradiance(light, normal, channel) * (0.70 + 0.30 * ambient)
            lit *= 1.0 - 0.10 * channel * (1.0 - deep)
            colour[channel] = albedo * lit * dim + shine * deep
    else:
        mottle = 1 + 0.05 * math.sin(2.1 * x) * math.sin(1.7 * z + 0.4 * x)
        for channel in range(3):
            lit = _lit(light, normal, channel, 0.45 + 0.55 * ambient, 0.5 + 0.5 * window)
            matt = flesh[channel] * mottle * lit * (0.2 + dim) * 0.95
            colour[channel] = matt + 0.6 * shine * deep


@njit(cache=True, nogil=True, fastmath=True)
def _arch(x: float, z: float) -> float:
    """How far along the row of teeth, mm from the middle."""
    return abs(x) + 0.45 * max(0.0, z + 17.0)


@njit(cache=True, nogil=True, fastmath=True)
def _tooth_gap(x: float, z: float) -> float:
    """1 between two teeth, 0 on them."""
    along = _arch(x, z)
    edges = (0.0, 8.2, 14.6, 21.8, 28.6, 35.4, 44.0)
    nearest = 100.0
    for edge in edges:
        nearest = min(nearest, abs(along - edge))
    return math.exp(-((nearest / 0.42) ** 2)) + 0.25 * math.exp(-((nearest / 1.3) ** 2))


@njit(cache=True, nogil=True, fastmath=True)
def _tooth_line(x: float, y: float, z: float) -> float:
    """1 on the gum, 0 on the tooth; the line is scalloped from tooth to tooth."""
    along = _arch(x, z)
    edges = (0.0, 8.2, 14.6, 21.8, 28.6, 35.4, 44.0)
    scallop = 0.0
    for number in range(6):
        if edges[number] <= along < edges[number + 1]:
            place = (along - edges[number]) / (edges[number + 1] - edges[number])
            scallop = 1.0 - (2.0 * place - 1.0) ** 2
    upper = 57.5 - 1.8 * scallop - y  # above it: gum
    lower = y - 74.5 - 1.5 * scallop
    inside = upper if y < 66.5 else lower
    return 1.0 / (1.0 + math.exp(-inside / 0.35))


@njit(cache=True, nogil=True, fastmath=True)
def _eye(value: Any, normal: Any, turn: Any, iris: Any, light: Any, colour: Any) -> None:
    x, y, z = value[LOCAL], value[LOCAL + 1], value[LOCAL + 2]
    ambient, window = value[AMBIENT], value[WINDOW]
    length = math.sqrt(x * x + y * y + z * z) + 1e-9
    radius = math.acos(min(1.0, max(-1.0, -z / length))) / 0.40  # 1 at the rim of the iris
    angle = math.atan2(y, x)
    height, width, _ = iris.shape
    row = min(int(radius * (height - 1) / 1.5), height - 1)
    column = int((angle / (2 * math.pi) + 0.5) * width) % width
    lid = min(1.0, max(0.0, (ambient - 0.10) / 0.42))
    shade = 0.30 + 0.70 * lid
    for channel in range(3):
        lit = irradiance(light, normal, channel) * shade * (0.72 + 0.28 * window)
        colour[channel] = iris[row, column, channel] * lit * 0.93
    glint = _glint(normal)
    for channel in range(3):
        colour[channel] += glint * (0.95 - colour[channel]) * min(1.0, 2.0 * lid)


@njit(cache=True, nogil=True, fastmath=True)
def _glint(normal: Any) -> float:
    """The window's reflection: two panes."""
    right = (normal[0] + 0.150) / 0.050  # the cornea's bulge brings it nearer to the pupil
    down = (normal[1] + 0.035) / 0.062
    pane = math.exp(-(right**6) - down**6)
    bar = 1.0 - 0.6 * math.exp(-((right / 0.14) ** 2))
    return 0.9 * pane * bar


@njit(cache=True, nogil=True, fastmath=True)
def _cloth(value: Any, normal: Any, knit: Any, sample: Any, light: Any, colour: Any) -> None:
    along = value[PLACE + 1]
    if along < 62.0:  # the collar is ribbed
        wave = math.cos(value[PLACE] * 2 * math.pi / 3.6)
        tone, tilt = 0.86 + 0.14 * wave, 0.5 * math.sin(value[PLACE] * 2 * math.pi / 3.6)
    else:
        _sample(knit, value[PLACE] * 8.0, along * 8.0, True, sample)
        tone, tilt = sample[0], sample[1]
    normal[0] += 0.35 * tilt
    _normalise(normal)
    seam = 1.0 - 0.45 * math.exp(-(((along - 62.0) / 1.2) ** 2))
    fuzz = 0.06 * (1.0 - max(0.0, -normal[2])) ** 2
    wool = (0.150, 0.235, 0.275)
    for channel in range(3):
        lit = _lit(light, normal, channel, value[AMBIENT], value[WINDOW])
        colour[channel] = wool[channel] * tone * seam * lit + fuzz * lit
