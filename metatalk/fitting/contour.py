"""The face's outline: landmarks that are no points of the skin but lie where the skin turns away.

Each landmark of the outline has a short track of surface points, from where it lies on a frontal
face inwards. In each frame it takes the first of them that is turned to the camera, and it is
held across the outline only: along it a detector's point may lie anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.spatial
import torch
from torch import Tensor
from torch.nn.functional import normalize

from metatalk.landmarks.points import PointGroups
from metatalk.morphable.model import MorphableModel
from metatalk.morphable.normals import vertex_normals
from metatalk.shapes import check_shape

STEPS, STEP_MM = 7, 3.0  # of a track: as far as the outline wanders on a face turned by 45 degrees
SPLITS = 3  # points along a triangle's edge that a track may run through
TURNED_TO = 0.05  # cosine from which on a surface counts as turned to the camera


@dataclass(frozen=True, eq=False)
class Contour:
    """C landmarks of the outline with K places each; the first is that of a frontal face."""

    landmarks: Tensor  # (C,) landmark numbers
    mean: Tensor  # (C, K, 3) mm
    identity: Tensor  # (I, C, K, 3) mm
    expression: Tensor  # (E, C, K, 3) mm
    normals: Tensor  # (C, K, 3) of the mean face, model frame

    def __post_init__(self) -> None:
        sizes = check_shape("mean", self.mean, "C K 3")
        check_shape("landmarks", self.landmarks, "C", **sizes)
        check_shape("identity", self.identity, "I C K 3", **sizes)
        check_shape("expression", self.expression, "E C K 3", **sizes)
        check_shape("normals", self.normals, "C K 3", **sizes)

    def to(self, device: torch.device | str) -> Contour:
        """The same on another device."""
        return Contour(*(value.to(device) for value in vars(self).values()))


@dataclass(frozen=True, eq=False)
class Outline:
    """Where the outline runs in T frames."""

    points: Tensor  # (T, C, 3) mm, model frame
    normals: Tensor  # (T, C, 3) camera frame
    places: Tensor  # (T, C) which place of its track each landmark has taken

    def pick(self, basis: Tensor) -> Tensor:
        """(N, C, K, 3) of a basis at all places to (T, C, N, 3) at the taken ones."""
        rows = torch.arange(basis.shape[1], device=basis.device)
        return basis[:, rows, self.places].permute(1, 2, 0, 3)


def outline_landmarks(groups: PointGroups) -> list[int]:
    """Numbers of the landmarks that follow the face's outline.

    Where the layout sees no forehead, its outline runs over the brows, which are skin.
    """
    return sorted(set(groups.oval or groups.jaw) - set(groups.brows))


def trace_contour(model: MorphableModel, groups: PointGroups) -> Contour:
    """Lay a track inwards over the mean face for each landmark of the outline.

    Args:
        model: a face model with the landmarks embedded.
        groups: of the landmarks' layout.

    Returns:
        The contour; without landmarks where the layout has no outline.
    """
    landmarks = torch.tensor(outline_landmarks(groups), dtype=torch.long)
    triangles, weights = _skin_samples(model)
    samples = (model.mean[model.triangles[triangles]] * weights[..., None]).sum(1)  # (N, 3)
    normals = _at(vertex_normals(model.mean, model.triangles), model, triangles, weights)
    picked = _tracks(model, landmarks, samples, normals)  # (C, K) numbers of samples
    corners, share = model.triangles[triangles[picked]], weights[picked].unsqueeze(-1)
    corners[:, 0] = model.triangles[model.landmark_triangles[landmarks]]  # the landmark itself
    share[:, 0, :, 0] = model.landmark_weights[landmarks]
    take = lambda basis: (basis[..., corners, :] * share).sum(-2)  # noqa: E731
    return Contour(
        landmarks,
        take(model.mean),
        take(model.identity_basis),
        take(model.expression_basis),
        normalize(normals[picked], dim=-1),
    )


def place_outline(
    contour: Contour, identity: Tensor, expression: Tensor, rotation: Tensor
) -> Outline:
    """Choose in each frame where on its track each landmark lies.

    Args:
        contour: the tracks.
        identity: (I,).
        expression: (T, E).
        rotation: (T, 3, 3) model to camera.

    Returns:
        The outline.
    """
    turned = torch.einsum("tij,ckj->tcki", rotation, contour.normals)
    seen = -turned[..., 2] >= TURNED_TO  # (T, C, K)
    seen = torch.cat((seen[..., :-1], torch.ones_like(seen[..., :1])), -1)  # the last at worst
    places = seen.int().argmax(-1)  # (T, C)
    neutral = contour.mean + torch.tensordot(identity, contour.identity, dims=1)
    rows = torch.arange(len(contour.landmarks), device=places.device)
    moved = torch.einsum("te,eckx->tckx", expression, contour.expression)
    index = places[..., None, None].expand(-1, -1, 1, 3)
    points = neutral[rows, places] + moved.gather(2, index).squeeze(2)
    return Outline(points, turned.gather(2, index).squeeze(2), places)


def _skin_samples(model: MorphableModel) -> tuple[Tensor, Tensor]:
    """(N,) triangles and (N, 3) weights of points spread over the skin."""
    steps = range(SPLITS + 1)
    grid = [(a, b, SPLITS - a - b) for a in steps for b in steps if a + b <= SPLITS]
    weights = torch.tensor(grid, dtype=torch.float32) / SPLITS
    skin = model.region_triangles("skin")
    return skin.repeat_interleave(len(weights)), weights.repeat(len(skin), 1)


def _at(values: Tensor, model: MorphableModel, triangles: Tensor, weights: Tensor) -> Tensor:
    return (values[model.triangles[triangles]] * weights[..., None]).sum(1)


def _tracks(
    model: MorphableModel, landmarks: Tensor, samples: Tensor, normals: Tensor
) -> np.ndarray:
    """(C, STEPS) samples along each track, every step over the surface towards the viewer."""
    tree = scipy.spatial.cKDTree(samples.numpy())
    tracks = [tree.query(model.landmark_basis()[0][landmarks].numpy())[1]]
    for _ in range(STEPS - 1):
        here = torch.as_tensor(tracks[-1])
        normal = normalize(normals[here], dim=-1)
        forward = normal.new_tensor([0.0, 0.0, -1.0])  # to the camera, and so round the edge
        along = normalize(forward - normal * (normal @ forward)[:, None], dim=-1)
        tracks.append(tree.query((samples[here] + STEP_MM * along).numpy())[1])
    return np.stack(tracks, 1)
