"""How far the model's landmarks are from the detected ones, and how that changes.

All residuals are in millimetres on the face: pixels times depth over focal length, so that
weights mean the same for a face of 100 and of 1000 pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from metatalk.fitting.config import FitConfig
from metatalk.fitting.contour import Contour, outline_landmarks, place_outline, trace_contour
from metatalk.landmarks.points import PointGroups, point_groups
from metatalk.morphable.model import MorphableModel
from metatalk.morphable.normals import vertex_normals

LID_REACH_MM = 1.0  # skin that a blink moves further is an upper lid's
LID_SHARE = 0.05  # of their weight that landmarks on upper lids keep, but for the lids' edges
FACING_FLOOR = 0.05  # weight of a landmark that looks away from the camera


@dataclass(frozen=True, eq=False)
class LandmarkBasis:
    """The face model seen through its landmarks, with a weight for each."""

    mean: Tensor  # (L, 3) mm
    identity: Tensor  # (I, L, 3) mm
    expression: Tensor  # (E, L, 3) mm
    normals: Tensor  # (L, 3) of the mean face, model frame
    weights: Tensor  # (L,)
    firsts: Tensor  # (P,) landmarks whose distance from
    seconds: Tensor  # (P,) these counts by itself: lips that face each other, mouth corners
    pair_weights: Tensor  # (P,)
    contour: Contour
    contour_weight: float
    units: bool  # expression is told in face units, 0 to 1, and not in standard deviations

    def to(self, device: torch.device | str) -> LandmarkBasis:
        """The same on another device."""
        moved = {
            name: value.to(device)
            for name, value in vars(self).items()
            if isinstance(value, Tensor | Contour)
        }
        return replace(self, **moved)  # type: ignore[arg-type]

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

    def to(self, device: torch.device | str) -> Unknowns:
        """The same on another device."""
        return Unknowns(*(value.to(device) for value in vars(self).values()))


@dataclass(frozen=True, eq=False)
class Residuals:
    """Weighted residuals of T frames with their derivatives; R rows of 2 each."""

    values: Tensor  # (T, 2R) weighted mm
    pose: Tensor  # (T, 2R, 6) by rotation vector and translation
    expression: Tensor  # (T, 2R, E)
    shared: Tensor  # (T, 2R, I + 1) by identity and log focal length
    error_mm: Tensor  # (T, L) unweighted distances of landmarks

    def joined(self, others: Residuals) -> Residuals:
        """These and others of the same frames; the landmarks' errors stay.

        Derivatives that these leave out, as their unknowns are not free, are left out.
        """
        parts = {}
        for name in ("values", "pose", "expression", "shared"):
            own, other = getattr(self, name), getattr(others, name)
            parts[name] = torch.cat(
                (own, other if name == "values" else other[..., : own.shape[-1]]), 1
            )
        return replace(self, **parts)


def landmark_basis(model: MorphableModel, config: FitConfig) -> LandmarkBasis:
    """Gather what the fit needs of a face model with embedded landmarks.

    Args:
        model: a face model whose landmarks are embedded; on the CPU.
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
    firsts, seconds, pair_weights = _pairs(groups, config)
    return LandmarkBasis(
        mean,
        identity,
        expression,
        torch.nn.functional.normalize(normals, dim=-1),
        _landmark_weights(groups, config) * _off_the_lids(model, groups, expression),
        torch.tensor(firsts),
        torch.tensor(seconds),
        torch.tensor(pair_weights),
        trace_contour(model, groups),
        config.contour_weight,
        model.has_units,
    )


def _pairs(groups: PointGroups, config: FitConfig) -> tuple[list[int], list[int], list[float]]:
    """Landmarks whose distance tells what the mouth does, whatever the place of either.

    The inner lip ring runs from a corner over the upper lip: facing points have mirrored places.
    """
    ring = list(groups.lips_inner)
    half = len(ring) // 2
    upper, lower = ring[1:half], ring[:half:-1]
    weights = [config.gap_weight] * len(upper) + [config.width_weight] * 2
    outer, inner = groups.mouth_corners, (ring[0], ring[half])
    return [*upper, outer[0], inner[0]], [*lower, outer[1], inner[1]], weights


def _off_the_lids(model: MorphableModel, groups: PointGroups, expression: Tensor) -> Tensor:
    """(L,) little for the skin above the eyes that a blink of the model takes along.

    A detector keeps its points there where the crease of an open lid is, and would hold the lid.
    """
    blinks = torch.tensor([name.startswith("eyeBlink") for name in model.expression_names])
    moved = expression[blinks].norm(dim=-1).sum(0) > LID_REACH_MM  # (L,)
    moved[list(groups.eyes)] = False
    return torch.where(moved, LID_SHARE, 1.0)


def _landmark_weights(groups: PointGroups, config: FitConfig) -> Tensor:
    weights = torch.ones(groups.count)
    weights[list(groups.lips)] = config.lip_weight
    weights[outline_landmarks(groups)] = 0.0  # the contour has them
    weights[list(groups.right_iris + groups.left_iris)] = 0.0  # the eyes' gaze is not fitted
    return weights


def landmark_residuals(
    basis: LandmarkBasis,
    state: Unknowns,
    targets: Tensor,
    centre: Tensor,
    robust_mm: float,
    shared: bool,
    faces: bool = True,
) -> Residuals:
    """Compare projected with detected landmarks; analytic derivatives.

    Args:
        basis: the model through its landmarks.
        state: T frames.
        targets: (T, L, 2) detected landmarks, pixels.
        centre: (2,) principal point, pixels.
        robust_mm: errors beyond it lose weight as in Geman and McClure's function.
        shared: whether derivatives by identity and focal length are wanted.
        faces: whether derivatives by expression are.

    Returns:
        The residuals; what is not wanted has no columns.
    """
    turned = basis.points(state.identity, state.expression) @ state.rotation.mT  # (T, L, 3)
    expression = basis.expression.transpose(0, 1) if faces else None  # (L, E, 3)
    identity = basis.identity.transpose(0, 1) if shared else None
    columns = _columns(state, turned, targets, centre, expression, identity)
    error = columns[0].squeeze(-1).norm(dim=-1)
    weights = _weights(basis, state, error, robust_mm)  # (T, L)
    rows = [_rows(basis, weights, part) for part in columns]
    if len(basis.contour.landmarks):
        outline = _outline_rows(basis, state, targets, centre, robust_mm, shared, faces)
        rows = [torch.cat(pair, 1) for pair in zip(rows, outline, strict=True)]
    values, by_pose, by_expression, by_shared = rows
    return Residuals(values.squeeze(-1), by_pose, by_expression, by_shared, error)


def _columns(
    state: Unknowns,
    turned: Tensor,
    targets: Tensor,
    centre: Tensor,
    expression: Tensor | None,
    identity: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Offsets of projected points in mm, and their derivatives, each (T, L, 2, columns).

    Args:
        state: T frames.
        turned: (T, L, 3) mm, rotated into the camera's frame and not yet moved there.
        targets: (T, L, 2) where they are seen, pixels.
        centre: (2,) principal point, pixels.
        expression: (L, E, 3) or (T, L, E, 3) mm, model frame; None where it is not free.
        identity: (L, I, 3) or (T, L, I, 3) mm; None where no shared unknown is free.

    Returns:
        Offset, and its derivatives by pose, by expression, and by identity and log focal length.
    """
    points = turned + state.translation[:, None]
    depth = points[..., 2:].clamp_min(1.0)
    scale = state.translation[:, 2].detach()[:, None, None] / state.focal_px  # mm per px
    flat = points[..., :2] / depth
    offset = ((state.focal_px * flat + centre - targets) * scale).unsqueeze(-1)  # (T, L, 2, 1) mm
    by_point = by_projection(flat, depth, state.focal_px * scale)  # (T, L, 2, 3)
    by_model = by_point @ state.rotation[:, None]  # (T, L, 2, 3), derivative by model point
    pose = torch.cat((by_rotation(by_point, turned), by_point), -1)  # (T, L, 2, 6)
    faces = pose[..., :0] if expression is None else chain(by_model, expression)
    if identity is None:
        return offset, pose, faces, pose[..., :0]
    focal = (state.focal_px * scale * flat).unsqueeze(-1)
    return offset, pose, faces, torch.cat((chain(by_model, identity), focal), -1)


def chain(by_model: Tensor, basis: Tensor) -> Tensor:
    """Chain derivatives by points with a basis.

    Args:
        by_model: (T, L, K, 3) derivatives of K values by a point in the model's frame.
        basis: (L, N, 3), or (T, L, N, 3) where frames differ: the points' by N coefficients.

    Returns:
        (T, L, K, N).
    """
    if basis.dim() == 4:
        return by_model @ basis.mT
    return torch.einsum("tlki,lni->tlkn", by_model, basis)  # far quicker than broadcasting


def _outline_rows(
    basis: LandmarkBasis,
    state: Unknowns,
    targets: Tensor,
    centre: Tensor,
    robust_mm: float,
    shared: bool,
    faces: bool,
) -> list[Tensor]:
    """(T, C, columns): weighted distances from the outline, across it, and their derivatives."""
    contour = basis.contour
    outline = place_outline(contour, state.identity, state.expression, state.rotation)
    columns = _columns(
        state,
        outline.points @ state.rotation.mT,
        targets[:, contour.landmarks],
        centre,
        outline.pick(contour.expression) if faces else None,
        outline.pick(contour.identity) if shared else None,
    )
    across = torch.nn.functional.normalize(outline.normals[..., :2], dim=-1)  # (T, C, 2)
    distances = [(across.unsqueeze(-2) @ part).squeeze(-2) for part in columns]
    robust = 1.0 / (1.0 + (distances[0].abs() / robust_mm) ** 2)
    return [basis.contour_weight**0.5 * robust * part for part in distances]


def _weights(basis: LandmarkBasis, state: Unknowns, error: Tensor, robust_mm: float) -> Tensor:
    """(T, L) square-root weights: the landmark's own, its facing, and robustness."""
    facing = -(state.rotation[:, 2] @ basis.normals.T)  # (T, L): minus the camera-frame z
    facing = (2.0 * facing + 0.3).clamp(FACING_FLOOR, 1.0)
    robust = 1.0 / (1.0 + (error / robust_mm) ** 2)
    return (basis.weights * facing).sqrt() * robust


def by_projection(flat: Tensor, depth: Tensor, factor: Tensor) -> Tensor:
    """Derivative of a projection by the camera-frame point.

    Args:
        flat: (T, L, 2) x and y over depth.
        depth: (T, L, 1) mm.
        factor: pixels, or whatever unit is wanted, for a `flat` of one; broadcasts with depth.

    Returns:
        (T, L, 2, 3) per mm.
    """
    one, zero = torch.ones_like(depth), torch.zeros_like(depth)
    first = torch.cat((one, zero, -flat[..., :1]), -1)
    second = torch.cat((zero, one, -flat[..., 1:]), -1)
    return torch.stack((first, second), -2) * (factor / depth).unsqueeze(-1)


def by_rotation(by_point: Tensor, turned: Tensor) -> Tensor:
    """Derivative by a rotation vector applied after the rotation: d p = w x (R x).

    Args:
        by_point: (T, L, N, 3) derivatives of N values by a vector in the camera's frame.
        turned: (T, L, 3) that vector.

    Returns:
        (T, L, N, 3) per radian.
    """
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
    """(T, L, 2, C) to (T, 2(L + P), C): weighted landmarks, then the pairs' distances."""
    apart = part[:, basis.firsts] - part[:, basis.seconds]
    least = torch.minimum(weights[:, basis.firsts], weights[:, basis.seconds])
    pair = basis.pair_weights.sqrt() * least
    rows = torch.cat((part * weights[..., None, None], apart * pair[..., None, None]), 1)
    return rows.flatten(1, 2)
