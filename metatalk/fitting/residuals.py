"""How far the model's landmarks are from the detected ones, and how that changes.

All residuals are in millimetres on the face: pixels times depth over focal length, so that
weights mean the same for a face of 100 and of 1000 pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from metatalk.fitting.config import FitConfig
from metatalk.landmarks.points import PointGroups, point_groups
from metatalk.morphable.model import MorphableModel
from metatalk.morphable.normals import vertex_normals

FACING_FLOOR = 0.05  # weight of a landmark that looks away from the camera


@dataclass(frozen=True, eq=False)
class LandmarkBasis:
    """The face model seen through its landmarks, with a weight for each."""

    mean: Tensor  # (L, 3) mm
    identity: Tensor  # (I, L, 3) mm
    expression: Tensor  # (E, L, 3) mm
    normals: Tensor  # (L, 3) of the mean face, model frame
    weights: Tensor  # (L,)
    upper: Tensor  # (P,) landmarks of the inner upper lip, and
    lower: Tensor  # (P,) those facing them on the lower one
    gap_weight: float

    def points(self, identity: Tensor, expression: Tensor) -> Tensor:
        """(T, L, 3) mm, model frame, of one person's (I,) faces (T, E)."""
        neutral = self.mean + torch.tensordot(identity, self.identity, dims=1)
        return neutral + torch.tensordot(expression, self.expression, dims=1)


@dataclass(frozen=True, eq=False)
class Unknowns:
    """The state of a fit: what one clip's frames and person are believed to be."""

    identity: Tensor  # (I,)
    focal_px: Tensor  # ()
    expression: Tensor  # (T, E)
    rotation: Tensor  # (T, 3, 3)
    translation: Tensor  # (T, 3) mm


@dataclass(frozen=True, eq=False)
class Residuals:
    """Weighted residuals of T frames with their derivatives; R rows of 2 each."""

    values: Tensor  # (T, 2R) weighted mm
    pose: Tensor  # (T, 2R, 6) by rotation vector and translation
    expression: Tensor  # (T, 2R, E)
    shared: Tensor  # (T, 2R, I + 1) by identity and log focal length
    error_mm: Tensor  # (T, L) unweighted distances


def landmark_basis(model: MorphableModel, config: FitConfig) -> LandmarkBasis:
    """Gather what the fit needs of a face model with embedded landmarks.

    Args:
        model: a face model whose landmarks are embedded.
        config: the weights.

    Returns:
        The basis, in float32.
    """
    mean, identity, expression = model.landmark_basis()
    seen = torch.tensor([not name.startswith("eyeLook") for name in model.expression_names])
    expression = expression * seen[:, None, None]  # lids say too little of where the eyes look
    corners = model.triangles[model.landmark_triangles]
    normals = vertex_normals(model.mean, model.triangles)[corners].mean(-2)
    groups = point_groups(model.landmark_layout)
    upper, lower = _lip_pairs(groups)
    return LandmarkBasis(
        mean,
        identity,
        expression,
        torch.nn.functional.normalize(normals, dim=-1),
        _landmark_weights(groups, config),
        torch.tensor(upper),
        torch.tensor(lower),
        config.gap_weight,
    )


def _lip_pairs(groups: PointGroups) -> tuple[list[int], list[int]]:
    """Inner lip ring, from corner over the upper lip: facing points have mirrored places."""
    ring = list(groups.lips_inner)
    half = len(ring) // 2
    return ring[1:half], ring[:half:-1]


def _landmark_weights(groups: PointGroups, config: FitConfig) -> Tensor:
    weights = torch.ones(groups.count)
    weights[list(groups.lips)] = config.lip_weight
    # Where the layout sees no forehead, its outline runs over the brows, which are skin.
    outline = set(groups.oval or groups.jaw) - set(groups.brows)
    weights[sorted(outline)] = config.contour_weight
    weights[list(groups.right_iris + groups.left_iris)] = 0.0  # the eyes' gaze is not fitted
    return weights


def landmark_residuals(
    basis: LandmarkBasis,
    state: Unknowns,
    targets: Tensor,
    centre: Tensor,
    robust_mm: float,
    shared: bool,
) -> Residuals:
    """Compare projected with detected landmarks; analytic derivatives.

    Args:
        basis: the model through its landmarks.
        state: T frames.
        targets: (T, L, 2) detected landmarks, pixels.
        centre: (2,) principal point, pixels.
        robust_mm: errors beyond it lose weight as in Geman and McClure's function.
        shared: whether derivatives by identity and focal length are wanted.

    Returns:
        The residuals; `shared` has no columns when it is not wanted.
    """
    turned = basis.points(state.identity, state.expression) @ state.rotation.mT  # (T, L, 3)
    points = turned + state.translation[:, None]
    depth = points[..., 2:].clamp_min(1.0)
    scale = state.translation[:, 2].detach()[:, None, None] / state.focal_px  # mm per px
    flat = points[..., :2] / depth
    offset = (state.focal_px * flat + centre - targets) * scale  # (T, L, 2) mm
    error = offset.norm(dim=-1)
    weights = _weights(basis, state, error, robust_mm)  # (T, L)
    by_point = _by_point(flat, depth, state.focal_px * scale)  # (T, L, 2, 3)
    by_model = by_point @ state.rotation[:, None]  # (T, L, 2, 3), derivative by model point
    pose = torch.cat((_by_rotation(by_point, turned), by_point), -1)  # (T, L, 2, 6)
    expression = torch.einsum("tlki,eli->tlke", by_model, basis.expression)
    common = pose[..., :0]
    if shared:
        identity = torch.einsum("tlki,nli->tlkn", by_model, basis.identity)
        focal = (state.focal_px * scale * flat).unsqueeze(-1)
        common = torch.cat((identity, focal), -1)
    columns = (offset.unsqueeze(-1), pose, expression, common)
    values, by_pose, by_expression, by_shared = (_rows(basis, weights, part) for part in columns)
    return Residuals(values.squeeze(-1), by_pose, by_expression, by_shared, error)


def _weights(basis: LandmarkBasis, state: Unknowns, error: Tensor, robust_mm: float) -> Tensor:
    """(T, L) square-root weights: the landmark's own, its facing, and robustness."""
    facing = -(state.rotation[:, 2] @ basis.normals.T)  # (T, L): minus the camera-frame z
    facing = (2.0 * facing + 0.3).clamp(FACING_FLOOR, 1.0)
    robust = 1.0 / (1.0 + (error / robust_mm) ** 2)
    return (basis.weights * facing).sqrt() * robust


def _by_point(flat: Tensor, depth: Tensor, factor: Tensor) -> Tensor:
    """Derivative of the projection by the camera-frame point, (T, L, 2, 3)."""
    one, zero = torch.ones_like(depth), torch.zeros_like(depth)
    first = torch.cat((one, zero, -flat[..., :1]), -1)
    second = torch.cat((zero, one, -flat[..., 1:]), -1)
    return torch.stack((first, second), -2) * (factor / depth).unsqueeze(-1)


def _by_rotation(by_point: Tensor, turned: Tensor) -> Tensor:
    """Derivative by a rotation vector applied after the rotation: d p = w x (R x)."""
    x, y, z = turned.unbind(-1)
    zero = torch.zeros_like(x)
    skew = torch.stack(
        (
            torch.stack((zero, z, -y), -1),
            torch.stack((-z, zero, x), -1),
            torch.stack((y, -x, zero), -1),
        ),
        -2,
    )
    return by_point @ skew


def _rows(basis: LandmarkBasis, weights: Tensor, part: Tensor) -> Tensor:
    """(T, L, 2, C) to (T, 2(L + P), C): weighted landmarks, then weighted lip gaps."""
    gap = part[:, basis.upper] - part[:, basis.lower]
    pair = basis.gap_weight**0.5 * torch.minimum(weights[:, basis.upper], weights[:, basis.lower])
    rows = torch.cat((part * weights[..., None, None], gap * pair[..., None, None]), 1)
    return rows.flatten(1, 2)
