"""How different two colours look: CIE Lab and the difference of the year 2000."""

from __future__ import annotations

import cv2
import numpy as np

from metatalk.shapes import check_shape

_FAR = 25.0**7  # chroma above which the formula's corrections fade


def rgb_to_lab(rgb: np.ndarray) -> np.ndarray:
    """Turn gamma-encoded sRGB into CIE Lab under D65.

    Args:
        rgb: (H, W, 3) float32 in [0, 1].

    Returns:
        (H, W, 3) float32: L in [0, 100], a and b in about [-128, 127].

    Raises:
        ShapeError: the last axis is not 3.
    """
    check_shape("rgb", rgb, "H W 3")
    lab: np.ndarray = cv2.cvtColor(np.ascontiguousarray(rgb, np.float32), cv2.COLOR_RGB2LAB)
    return lab


def delta_e(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Compute the colour difference CIEDE2000; about 1 is what a viewer can just tell.

    Args:
        first: (..., 3) Lab.
        second: (..., 3) Lab.

    Returns:
        (...) the differences, 0 for equal colours.

    Raises:
        ShapeError: the last axis is not 3.

    Source: Sharma, Wu & Dalal 2005, eqs. 2 to 22, with all weights 1.

    >>> a, b = np.array([50.0, 2.5, 0.0]), np.array([73.0, 25.0, -18.0])
    >>> round(float(delta_e(a, b)), 4)
    27.1492
    """
    check_shape("first", first, "... 3")
    check_shape("second", second, "... 3")
    light = first[..., 0], second[..., 0]
    chroma, hue = zip(*_chroma_and_hue(first, second), strict=True)
    turn = np.where(chroma[0] * chroma[1] == 0, 0.0, _wrap(hue[1] - hue[0]))
    hue_step = 2 * np.sqrt(chroma[0] * chroma[1]) * np.sin(turn / 2)
    mean_hue = np.where(chroma[0] * chroma[1] == 0, hue[0] + hue[1], hue[0] + turn / 2)
    mean_light, mean_chroma = (light[0] + light[1]) / 2, (chroma[0] + chroma[1]) / 2
    high = mean_chroma**7
    off = (mean_light - 50) ** 2
    by_light = (light[1] - light[0]) / (1 + 0.015 * off / np.sqrt(20 + off))
    by_chroma = (chroma[1] - chroma[0]) / (1 + 0.045 * mean_chroma)
    by_hue = hue_step / (1 + 0.015 * mean_chroma * _hue_weight(mean_hue))
    bend = np.radians(30) * np.exp(-(((np.degrees(mean_hue) % 360 - 275) / 25) ** 2))
    rotation = -np.sin(2 * bend) * 2 * np.sqrt(high / (high + _FAR))
    squared = by_light**2 + by_chroma**2 + by_hue**2 + rotation * by_chroma * by_hue
    difference: np.ndarray = np.sqrt(np.maximum(squared, 0))
    return difference


def _chroma_and_hue(first: np.ndarray, second: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Both colours' chroma and hue angle, greys spread along a."""
    mean = (np.hypot(first[..., 1], first[..., 2]) + np.hypot(second[..., 1], second[..., 2])) / 2
    wider = 1 + 0.5 * (1 - np.sqrt(mean**7 / (mean**7 + _FAR)))
    out = []
    for lab in (first, second):
        a, b = lab[..., 1] * wider, lab[..., 2]
        out.append((np.hypot(a, b), np.arctan2(b, a) % (2 * np.pi)))
    return out


def _wrap(angle: np.ndarray) -> np.ndarray:
    """An angle as one between minus and plus half a turn."""
    wrapped: np.ndarray = np.pi - (np.pi - angle) % (2 * np.pi)
    return wrapped


def _hue_weight(hue: np.ndarray) -> np.ndarray:
    weight: np.ndarray = (
        1
        - 0.17 * np.cos(hue - np.radians(30))
        + 0.24 * np.cos(2 * hue)
        + 0.32 * np.cos(3 * hue + np.radians(6))
        - 0.20 * np.cos(4 * hue - np.radians(63))
    )
    return weight
