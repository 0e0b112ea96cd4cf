"""How layers are written: as pictures for the eye, as whole numbers, as floating-point channels.

The directions of normals follow other programs, x right, y up, z towards the viewer, so that a
frontal cheek is the familiar light blue; our camera frame has y down and z away.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metatalk.morphable.coefficients import TrackCoefficients
from metatalk.render.layers import Layer

OTHERS_AXES = np.array(
    [1, -1, -1], np.float32
)  # from our camera frame to x right, y up, z to the viewer
DEPTH_STEPS_PER_MM = 10  # of a 16-bit picture: 0.1 mm a step, up to 6.5 m
MOST_16_BIT = 65535
HEAD_MM = 150.0  # a head reaches about so far before and behind its origin


@dataclass(frozen=True)
class DepthRange:
    """The depths that are shown white and black where depth is a picture for the eye."""

    near_mm: float
    far_mm: float


def depth_range(track: TrackCoefficients) -> DepthRange:
    """The depths between which a head stays throughout a clip.

    Args:
        track: (T) the frames, at least one with a face.

    Returns:
        The range: one for all frames, so that nothing flickers.
    """
    away = track.translation[track.has_face, 2]
    return DepthRange(float(away.min()) - HEAD_MM, float(away.max()) + HEAD_MM)


def layer_rgb(layer: Layer, reach: DepthRange) -> np.ndarray:
    """A layer as a picture for the eye.

    Args:
        layer: any layer.
        reach: the depths that are white and black.

    Returns:
        (h, w, 3) float32 in [0, 1]: colours; normals as (1 + n) / 2; u red and v green; near
        white and far black; a mask white.
    """
    values = layer.values
    if layer.name == "normals":
        values = 0.5 + 0.5 * values * OTHERS_AXES
    elif layer.name == "uv":
        values = np.concatenate([values, np.zeros_like(values[..., :1])], -1)
    elif layer.name == "depth":
        values = 1 - (values - reach.near_mm) / (reach.far_mm - reach.near_mm)
    shown = np.where(layer.covered[..., None], np.clip(values, 0, 1), 0)
    return np.broadcast_to(shown, (*layer.covered.shape, 3)).astype(np.float32)


def layer_samples(layer: Layer) -> np.ndarray:
    """A layer as whole numbers, for PNG.

    Args:
        layer: any layer.

    Returns:
        shaded, lower, normals: (h, w, 3) uint8 RGB. uv: (h, w, 3) uint16, u and v of 65535 and,
        in blue, 65535 where there is a surface. depth: (h, w) uint16 in 0.1 mm, 0 where there is
        none; 6553.5 mm where it is more. mask: (h, w) uint8, 0 or 255.
    """
    if layer.name == "depth":
        steps = np.rint(layer.values[..., 0] * DEPTH_STEPS_PER_MM)
        return np.clip(steps, 0, MOST_16_BIT).astype(np.uint16)
    if layer.name == "uv":
        marked = np.concatenate([layer.values, layer.covered[..., None]], -1)
        return np.rint(marked * MOST_16_BIT).astype(np.uint16)
    picture = np.rint(layer_rgb(layer, DepthRange(0.0, 1.0)) * 255).astype(np.uint8)
    return picture[..., 0] if layer.name == "mask" else picture


def layer_channels(layer: Layer) -> dict[str, np.ndarray]:
    """A layer as named channels, for OpenEXR.

    Args:
        layer: any layer.

    Returns:
        (h, w) float32 by name. shaded, lower: R, G, B as the footage's (gamma-encoded), not
        clipped; normals: R, G, B are x, y, z from -1 to 1; uv: R, G are u, v; depth: Z in mm;
        mask: Y. Each with the coverage as A.
    """
    values = layer.values * OTHERS_AXES if layer.name == "normals" else layer.values
    names = {"uv": ("R", "G"), "depth": ("Z",), "mask": ("Y",)}.get(layer.name, ("R", "G", "B"))
    channels = {name: values[..., number] for number, name in enumerate(names)}
    return {**channels, "A": layer.covered.astype(np.float32)}
