"""Damped Gauss-Newton over all frames at once, the shared unknowns by Schur's complement."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from metatalk.fitting.config import FitConfig, PhaseConfig
from metatalk.fitting.residuals import LandmarkBasis, Residuals, Unknowns, landmark_residuals

DAMPING = 1e-3
MAX_TURN_RAD = 0.35  # a step turns the head no further than this
MAX_ZOOM = 0.3  # nor changes the logarithm of the focal length by more
NEAREST_MM = 120.0
FURTHEST_MODE = 3.0  # standard deviations within which statistical modes stay
LENIENCE = 3.0  # of the phases that begin far off: a lid that has yet to close is no outlier
FOCAL_WEIGHT = 20.0  # of the prior on distance, a frame

POSE_COLUMNS = (("rotation", slice(0, 3)), ("translation", slice(3, 6)))

More = Callable[[Unknowns], Residuals]  # further residuals of the same frames and unknowns


@dataclass(frozen=True, eq=False)
class Problem:
    """One clip's landmarks as the solver sees them."""

    basis: LandmarkBasis
    targets: Tensor  # (T, L, 2) px
    centre: Tensor  # (2,) px
    config: FitConfig
    expected: Tensor | None = None  # (T, E) expression of the neighbouring frames, if it matters
    identity_known: bool = False  # the actor is known: no phase changes who it is

    @property
    def longer_side_px(self) -> Tensor:
        """() of the picture."""
        return 2.0 * self.centre.max()

    def take(self, frames: np.ndarray) -> Problem:
        """The part of some frames, by their numbers (N,)."""
        rows = torch.as_tensor(frames, device=self.targets.device)
        expected = None if self.expected is None else self.expected[rows]
        return replace(self, targets=self.targets[rows], expected=expected)

    def frees(self, phase: PhaseConfig, unknown: str) -> bool:
        """Whether a phase may change an unknown of this clip."""
        return unknown in phase.free and not (unknown == "identity" and self.identity_known)


def solve(
    problem: Problem,
    state: Unknowns,
    phase: PhaseConfig,
    more: More | None = None,
    lenience: float = 0.0,
) -> Unknowns:
    """Improve a state by damped Gauss-Newton steps.

    Args:
        problem: landmarks and weights of T frames.
        state: where to start.
        phase: what may change, and how many steps to take.
        more: residuals beside the landmarks', evaluated anew in each step.
        lenience: how much further off landmarks may be in the first step, falling to nothing.

    Returns:
        The state after the last step.

    Source: Blake and Zisserman 1987 for the leniency (graduated non-convexity).
    """
    shared = problem.frees(phase, "identity") or problem.frees(phase, "focal")
    faces = "expression" in phase.free
    for step in range(phase.steps):
        found = landmark_residuals(
            problem.basis,
            state,
            problem.targets,
            problem.centre,
            problem.config.robust_mm * (1.0 + lenience * (1.0 - step / max(phase.steps - 1, 1))),
            shared,
            faces,
        )
        if more is not None:
            found = found.joined(more(state))
        state = _step(problem, state, phase, found)
    return state


def landmark_error_mm(problem: Problem, state: Unknowns) -> Tensor:
    """(T, L) distances between projected and detected landmarks, mm on the face."""
    config = problem.config
    return landmark_residuals(
        problem.basis, state, problem.targets, problem.centre, config.robust_mm, False, False
    ).error_mm


def _step(problem: Problem, state: Unknowns, phase: PhaseConfig, found: Residuals) -> Unknowns:
    own, own_prior, own_pull = _own_columns(problem, state, phase, found)
    hessian = own.mT @ own + torch.diag_embed(own_prior + DAMPING)  # (T, N, N)
    slope = torch.einsum("trn,tr->tn", own, found.values) + own_pull  # (T, N)
    factor = _factor(hessian)
    step = -_divide(slope.unsqueeze(-1), factor).squeeze(-1)
    if not found.shared.shape[-1]:
        return _apply_own(problem, state, phase, step)
    common, common_prior, common_pull = _shared_columns(problem, state, phase, found)
    cross = own.mT @ common  # (T, N, S)
    eliminated = _divide(cross, factor)
    hessian_s = (common.mT @ common - cross.mT @ eliminated).sum(0) + torch.diag(common_prior)
    slope_s = torch.einsum("trs,tr->s", common, found.values) + common_pull
    slope_s = slope_s - torch.einsum("tns,tn->s", eliminated, slope)
    hessian_s.diagonal().add_(DAMPING)
    step_s = -_divide(slope_s[None, :, None], _factor(hessian_s[None]))[0, :, 0]
    step = step - torch.einsum("tns,s->tn", eliminated, step_s)
    return _apply_own(problem, _apply_shared(problem, state, phase, step_s), phase, step)


def _factor(hessian: Tensor) -> Tensor:
    """Cholesky in double precision, for the scales of the unknowns differ a thousandfold."""
    return torch.linalg.cholesky(hessian.double())


def _divide(right: Tensor, factor: Tensor) -> Tensor:
    return torch.cholesky_solve(right.double(), factor).to(right.dtype)


def _own_columns(
    problem: Problem, state: Unknowns, phase: PhaseConfig, found: Residuals
) -> tuple[Tensor, Tensor, Tensor]:
    """Derivatives, prior curvature and prior slope of what each frame has to itself."""
    columns, curvatures, slopes = [], [], []
    moved = [part for name, part in POSE_COLUMNS if name in phase.free]
    if moved:
        pose = found.pose if len(moved) == len(POSE_COLUMNS) else found.pose[..., moved[0]]
        nothing = pose.new_zeros(len(pose), pose.shape[-1])
        columns.append(pose)
        curvatures.append(nothing)
        slopes.append(nothing)
    if "expression" in phase.free:
        columns.append(found.expression)
        curvature, slope = expression_prior(
            state.expression, problem.config, problem.basis.units, problem.expected
        )
        curvatures.append(curvature)
        slopes.append(slope)
    return torch.cat(columns, -1), torch.cat(curvatures, -1), torch.cat(slopes, -1)


def expression_prior(
    expression: Tensor, config: FitConfig, units: bool = True, expected: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Small, like its neighbours, and for face units also few and between 0 and 1.

    Args:
        expression: (T, E) activations, or standard deviations of statistical modes.
        config: the weights.
        units: these are face units.
        expected: (T, E) what the neighbouring frames suggest.

    Returns:
        (T, E) curvature and (T, E) slope; the absolute value is reweighted least squares.
    """
    if units:
        few = config.sparsity / (expression.abs() + 0.05)
        excess = expression.clamp_max(0.0) + (expression - 1.0).clamp_min(0.0)
        curvature = config.expression_prior + few + config.bound_weight * (excess != 0)
        slope = (config.expression_prior + few) * expression + config.bound_weight * excess
    else:
        curvature = torch.full_like(expression, config.mode_prior)
        slope = config.mode_prior * expression
    if expected is not None:
        curvature = curvature + config.steadiness
        slope = slope + config.steadiness * (expression - expected)
    return curvature, slope


def _shared_columns(
    problem: Problem, state: Unknowns, phase: PhaseConfig, found: Residuals
) -> tuple[Tensor, Tensor, Tensor]:
    config, frames = problem.config, len(found.values)
    columns, curvatures, slopes = [], [], []
    if problem.frees(phase, "identity"):
        columns.append(found.shared[..., :-1])
        # The prior grows with the frames, else many frames would talk it away.
        weight = config.identity_prior * frames**0.5
        curvatures.append(torch.full_like(state.identity, weight))
        slopes.append(weight * state.identity)
    if problem.frees(phase, "focal"):
        columns.append(found.shared[..., -1:])
        weight = frames * FOCAL_WEIGHT / config.focal_prior**2
        away = (state.translation[:, 2] / config.distance_mm).log().mean() / 2
        away = away + (state.focal_px / (config.focal_share * problem.longer_side_px)).log() / 2
        curvatures.append(away.new_full((1,), weight))
        slopes.append((weight * away).reshape(1))
    return torch.cat(columns, -1), torch.cat(curvatures), torch.cat(slopes)


def _apply_shared(problem: Problem, state: Unknowns, phase: PhaseConfig, step: Tensor) -> Unknowns:
    if problem.frees(phase, "identity"):
        count = len(state.identity)
        state = replace(state, identity=(state.identity + step[:count]).clamp(-4, 4))
    if problem.frees(phase, "focal"):
        factor = step[-1].clamp(-MAX_ZOOM, MAX_ZOOM).exp()
        state = replace(state, focal_px=state.focal_px * factor)
    return state


def _apply_own(problem: Problem, state: Unknowns, phase: PhaseConfig, step: Tensor) -> Unknowns:
    if "rotation" in phase.free:
        turn, step = rotation_from_vector(_shorten(step[:, :3], MAX_TURN_RAD)), step[:, 3:]
        state = replace(state, rotation=turn @ state.rotation)
    if "translation" in phase.free:
        translation, step = state.translation + step[:, :3], step[:, 3:]
        depth = translation[:, 2:].clamp_min(NEAREST_MM)
        state = replace(state, translation=torch.cat((translation[:, :2], depth), 1))
    if "expression" in phase.free:
        if problem.basis.units:
            expression = (state.expression + step.clamp(-0.5, 0.5)).clamp(-0.3, 1.5)
        else:
            expression = (state.expression + step).clamp(-FURTHEST_MODE, FURTHEST_MODE)
        state = replace(state, expression=expression)
    return state


def _shorten(vectors: Tensor, longest: float) -> Tensor:
    lengths = vectors.norm(dim=-1, keepdim=True)
    return vectors * (longest / lengths.clamp_min(longest))


def rotation_from_vector(vectors: Tensor) -> Tensor:
    """Rodrigues: (..., 3) axis times angle in radians to (..., 3, 3) matrices."""
    x, y, z = vectors.unbind(-1)
    zero = torch.zeros_like(x)
    rows = [torch.stack(row, -1) for row in ((zero, -z, y), (z, zero, -x), (-y, x, zero))]
    return torch.linalg.matrix_exp(torch.stack(rows, -2))
