"""The room's light: a window at the left, a warm lamp at the right, and walls."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from demo_presenter.geometry import sphere_directions
from metatalk.morphable.lighting import sh_basis


def _unit(x: float, y: float, z: float) -> np.ndarray:
    vector = np.array([x, y, z])
    return vector / np.linalg.norm(vector)


WINDOW = _unit(-0.62, -0.46, -0.63)  # towards the light, camera frame
LAMP = _unit(0.85, -0.10, -0.45)
RIM = _unit(0.55, -0.45, 0.70)
WINDOW_COLOUR = np.array([0.80, 0.82, 0.86])
LAMP_COLOUR = np.array([0.26, 0.20, 0.145])
RIM_COLOUR = np.array([0.17, 0.145, 0.12])
SKY_COLOUR = np.array([0.36, 0.365, 0.385])
FLOOR_COLOUR = np.array([0.27, 0.245, 0.225])
# Light wanders under the skin, red the furthest: it reaches around the edge of shadows.
WRAP = np.array([0.38, 0.24, 0.20])


@dataclass(frozen=True, eq=False)
class Occlusion:
    """How much light the head keeps from itself."""

    ambient: np.ndarray  # (V,) 0 to 1
    window: np.ndarray  # (V,) 0 to 1


def room_light() -> np.ndarray:
    """(3, 9) float32 SH light: the least-squares fit to the room's lamps, skin's wrap included."""
    normals = sphere_directions(2000)
    up = (-normals[:, 1:2] + 1) / 2
    irradiance = SKY_COLOUR * up + FLOOR_COLOUR * (1 - up)
    for direction, colour in ((WINDOW, WINDOW_COLOUR), (LAMP, LAMP_COLOUR), (RIM, RIM_COLOUR)):
        cosine = (normals @ direction)[:, None]
        irradiance = irradiance + colour * np.clip((cosine + WRAP) / (1 + WRAP), 0, None)
    basis = sh_basis(torch.from_numpy(normals)).numpy()
    light, *_ = np.linalg.lstsq(basis, irradiance, rcond=None)
    return light.T.astype(np.float32)


def window_directions(count: int, spread: float, seed: int = 5) -> np.ndarray:
    """(count, 3) unit vectors towards places on the window."""
    offsets = np.random.default_rng(seed).standard_normal((count, 3)) * spread
    towards = WINDOW + offsets
    return towards / np.linalg.norm(towards, axis=1, keepdims=True)
