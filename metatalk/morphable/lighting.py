"""Light from far away on a matt surface, as nine numbers a colour channel."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from metatalk.shapes import check_shape

BANDS = 9  # spherical-harmonic functions of degree 0, 1 and 2

_DEGREE_0 = math.sqrt(1.0 / (4.0 * math.pi))
_DEGREE_1 = math.sqrt(3.0 / (4.0 * math.pi))
_DEGREE_2 = math.sqrt(15.0 / (4.0 * math.pi))
_DEGREE_2_ZONAL = math.sqrt(5.0 / (16.0 * math.pi))
_DEGREE_2_SECTORAL = math.sqrt(15.0 / (16.0 * math.pi))


def sh_basis(normals: Tensor) -> Tensor:
    """Evaluate spherical-harmonic bands 0, 1 and 2 at surface normals.

    Args:
        normals: (..., 3) unit vectors, camera frame.

    Returns:
        (..., 9) basis values, unitless; band l fills columns l*l to (l+1)**2 - 1, in it
        the orders -l..l: 1 | y z x | xy yz 3z^2-1 xz x^2-y^2.

    Raises:
        ShapeError: the last axis is not 3.

    Source: Ramamoorthi & Hanrahan 2001, eq. 3.

    >>> sh_basis(torch.tensor([0.0, 0.0, 1.0]))[[0, 2, 6]]
    tensor([0.2821, 0.4886, 0.6308])
    """
    check_shape("normals", normals, "... 3")
    x, y, z = normals.unbind(-1)
    return torch.stack(
        (
            torch.full_like(x, _DEGREE_0),
            _DEGREE_1 * y,
            _DEGREE_1 * z,
            _DEGREE_1 * x,
            _DEGREE_2 * x * y,
            _DEGREE_2 * y * z,
            _DEGREE_2_ZONAL * (3.0 * z * z - 1.0),
            _DEGREE_2 * x * z,
            _DEGREE_2_SECTORAL * (x * x - y * y),
        ),
        dim=-1,
    )


def sh_slopes(normals: Tensor) -> Tensor:
    """Differentiate `sh_basis` by the normal, as if its three numbers were free.

    Args:
        normals: (..., 3) unit vectors.

    Returns:
        (..., 9, 3) change of each basis value by x, y and z.

    Raises:
        ShapeError: the last axis is not 3.
    """
    check_shape("normals", normals, "... 3")
    x, y, z = normals.unbind(-1)
    none, one = torch.zeros_like(x), torch.ones_like(x)
    rows = (
        (none, none, none),
        (none, _DEGREE_1 * one, none),
        (none, none, _DEGREE_1 * one),
        (_DEGREE_1 * one, none, none),
        (_DEGREE_2 * y, _DEGREE_2 * x, none),
        (none, _DEGREE_2 * z, _DEGREE_2 * y),
        (none, none, 6.0 * _DEGREE_2_ZONAL * z),
        (_DEGREE_2 * z, none, _DEGREE_2 * x),
        (2.0 * _DEGREE_2_SECTORAL * x, -2.0 * _DEGREE_2_SECTORAL * y, none),
    )
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def shade(albedo: Tensor, normals: Tensor, lighting: Tensor) -> Tensor:
    """Colour a matt surface under distant light.

    Args:
        albedo: (..., V, 3) reflected share of R, G, B.
        normals: (..., V, 3) outward unit vectors, camera frame.
        lighting: (..., 3, 9) irradiance as SH bands 0-2 for R, G, B; the surface's cosine
            lobe is taken to be within these numbers.

    Returns:
        (..., V, 3) RGB, in [0, 1] for footage that is not over-exposed; not clipped, so
        that gradients survive.

    Raises:
        ShapeError: an argument is not shaped as documented.

    Source: Ramamoorthi & Hanrahan 2001: reflected light is albedo times irradiance.
    """
    vertices = check_shape("albedo", albedo, "... V 3")["V"]
    check_shape("normals", normals, "... V 3", V=vertices)
    check_shape("lighting", lighting, "... 3 9")
    return albedo * (sh_basis(normals) @ lighting.transpose(-1, -2))


def ambient_light(level: float = 1.0) -> Tensor:
    """Make the light under which every surface shows its albedo times `level`.

    Args:
        level: brightness, unitless.

    Returns:
        (3, 9) float32 SH light, alike for R, G, B.
    """
    light = torch.zeros(3, BANDS)
    light[:, 0] = level / _DEGREE_0
    return light
