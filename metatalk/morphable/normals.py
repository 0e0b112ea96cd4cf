"""Surface normals of a mesh."""

from __future__ import annotations

import torch
from torch import Tensor

from metatalk.shapes import check_shape

SMALLEST_LENGTH = 1e-12  # below this a normal has no direction and stays zero


def triangle_normals(vertices: Tensor, triangles: Tensor) -> Tensor:
    """Compute each triangle's normal, as long as twice its area.

    Args:
        vertices: (..., V, 3) any length unit.
        triangles: (F, 3) corner numbers a, b, c.

    Returns:
        (..., F, 3) cross(b - a, c - a), square units, in the frame of the vertices.

    Raises:
        ShapeError: vertices or triangles are not shaped as documented.
    """
    check_shape("vertices", vertices, "... V 3")
    check_shape("triangles", triangles, "F 3")
    a, b, c = (vertices.index_select(-2, corner) for corner in triangles.long().unbind(-1))
    return torch.linalg.cross(b - a, c - a)


def vertex_normals(vertices: Tensor, triangles: Tensor) -> Tensor:
    """Average the normals of the triangles around each vertex, weighted by their area.

    Args:
        vertices: (..., V, 3) any length unit; (..., V, 3) in model or camera frame.
        triangles: (F, 3) corner numbers, counter-clockwise seen from outside.

    Returns:
        (..., V, 3) outward unit vectors in the frame of the vertices; zero where a vertex
        belongs to no triangle with an area. Differentiable.

    Raises:
        ShapeError: vertices or triangles are not shaped as documented.

    Source: Gouraud 1971; the weight by area is that of an unnormalised cross product.

    >>> corner = torch.tensor([[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    >>> vertex_normals(corner, torch.tensor([[0, 1, 2]]))[0]
    tensor([ 0.,  0., -1.])
    """
    faces = triangle_normals(vertices, triangles)
    total = torch.zeros_like(vertices)
    for corner in triangles.long().unbind(-1):
        total = total.index_add(-2, corner, faces)
    length = torch.linalg.vector_norm(total, dim=-1, keepdim=True)
    return total / length.clamp_min(SMALLEST_LENGTH)
