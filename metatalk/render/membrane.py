"""A skin over the open mouth: what is seen between the lips, told by where the lips are.

Teeth and tongue of a face model are nobody's own. Between two frames of the same actor whose
mouths are open alike, the inside of the mouth can be carried as if it were stretched between
the lips.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from metatalk.landmarks.points import point_groups
from metatalk.morphable.model import MorphableModel
from metatalk.shapes import check_shape


@dataclass(frozen=True, eq=False)
class Membrane:
    """Triangles between the lips; their corners are the landmarks of the inner lip ring."""

    corners: Tensor  # (R, 3) int64: the model's vertices around each landmark
    weights: Tensor  # (R, 3) float32 barycentric weights
    triangles: Tensor  # (M, 3) int64, both windings; corner n is vertex V + n

    def ring(self, vertices: Tensor) -> Tensor:
        """Find the inner lip ring.

        Args:
            vertices: (..., V, 3).

        Returns:
            (..., R, 3), R being 0 for models without embedded landmarks.
        """
        check_shape("vertices", vertices, "... V 3")
        return (vertices[..., self.corners, :] * self.weights[..., None]).sum(-2)


def mouth_membrane(model: MorphableModel) -> Membrane:
    """Span a membrane between a model's lips.

    Args:
        model: its landmarks say where the inner lip ring is.

    Returns:
        The membrane; without triangles where the model has no landmarks.
    """
    if not model.landmark_layout:
        empty = torch.zeros(0, 3, dtype=torch.long)
        return Membrane(empty, torch.zeros(0, 3), empty)
    ring = torch.tensor(point_groups(model.landmark_layout).lips_inner)
    triangles = _strip(len(ring)) + len(model.mean)
    return Membrane(
        model.triangles[model.landmark_triangles[ring]],
        model.landmark_weights[ring],
        torch.cat((triangles, triangles.flip(-1))),
    )


def _strip(count: int) -> Tensor:
    """(M, 3) corners of a strip between the upper and the lower half of a ring of points."""
    half = count // 2
    upper = list(range(half + 1))
    lower = [0, *range(count - 1, half - 1, -1)]
    strip = []
    for left in range(half):
        a, b, c, d = upper[left], upper[left + 1], lower[left], lower[left + 1]
        if a != c:  # at the corners of the mouth the strip ends in a point
            strip.append((a, d, c))
        if b != d:
            strip.append((a, b, d))
    return torch.tensor(strip)
