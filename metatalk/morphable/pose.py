"""Rotations: Euler angles to matrices and back."""

from __future__ import annotations

import torch
from torch import Tensor

from metatalk.shapes import check_shape


def euler_to_matrix(angles: Tensor) -> Tensor:
    """Turn Euler angles XYZ into rotation matrices, R = Rz @ Ry @ Rx.

    Args:
        angles: (..., 3) radians about x, y and z.

    Returns:
        (..., 3, 3) rotation matrices, model -> camera, for column vectors.

    Raises:
        ShapeError: the last axis is not 3.

    >>> euler_to_matrix(torch.zeros(3)).equal(torch.eye(3))
    True
    """
    check_shape("angles", angles, "... 3")
    (cx, cy, cz), (sx, sy, sz) = angles.cos().unbind(-1), angles.sin().unbind(-1)
    rows = (
        torch.stack((cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx), -1),
        torch.stack((sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx), -1),
        torch.stack((-sy, cy * sx, cy * cx), -1),
    )
    return torch.stack(rows, -2)  # (..., 3, 3)


def matrix_to_euler(matrix: Tensor) -> Tensor:
    """Recover Euler angles XYZ from rotation matrices: the inverse of `euler_to_matrix`.

    Args:
        matrix: (..., 3, 3) rotation matrices.

    Returns:
        (..., 3) radians; the angle about y lies in [-pi/2, pi/2].

    Raises:
        ShapeError: the last axes are not 3 by 3.
    """
    check_shape("matrix", matrix, "... 3 3")
    about_x = torch.atan2(matrix[..., 2, 1], matrix[..., 2, 2])
    about_y = torch.asin((-matrix[..., 2, 0]).clamp(-1, 1))
    about_z = torch.atan2(matrix[..., 1, 0], matrix[..., 0, 0])
    return torch.stack((about_x, about_y, about_z), -1)


def transform_points(points: Tensor, rotation: Tensor, translation: Tensor) -> Tensor:
    """Take points from the model's frame into the camera's.

    Args:
        points: (..., V, 3) millimetres, model frame.
        rotation: (..., 3) Euler angles XYZ, radians.
        translation: (..., 3) millimetres, camera frame.

    Returns:
        (..., V, 3) millimetres, camera frame.

    Raises:
        ShapeError: an axis that must be 3 is not.
    """
    check_shape("points", points, "... 3")
    check_shape("translation", translation, "... 3")
    return points @ euler_to_matrix(rotation).transpose(-1, -2) + translation.unsqueeze(-2)
