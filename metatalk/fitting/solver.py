"""Levenberg-Marquardt over all frames at once, the shared unknowns by Schur's complement."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from metatalk.fitting.config import FitConfig
from metatalk.fitting.residuals import LandmarkBasis, Residuals, Unknowns, landmark_residuals

DAMPING = 1e-3
MAX_TURN_RAD = 0.35  # a step turns the head no further than this
MAX_ZOOM = 0.3  # nor changes the logarithm of the focal length by more
NEAREST_MM = 120.0
FOCAL_GUESS = 1.5  # focal length over the longer side: between a phone's and a portrait lens


@dataclass(frozen=True)
class Freedom:
    """Which unknowns a phase may change."""

    pose: bool = True
    expression: bool = True
    identity: bool = False
    focal: bool = False

    @property
    def shared(self) -> bool:
        """Whether anything common to all frames is free."""
        return self.identity or self.focal


@dataclass(frozen=True, eq=False)
class Problem:
    """One clip's landmarks as the solver sees them."""

    basis: LandmarkBasis
    targets: Tensor  # (T, L, 2) px
    centre: Tensor  # (2,) px
    longer_side_px: float
    config: FitConfig


def solve(problem: Problem, state: Unknowns, freedom: Freedom, steps: int) -> Unknowns:
    """Improve a state by damped Gauss-Newton steps.

    Args:
        problem: landmarks and weights of T frames.
        state: where to start.
        freedom: what may change.
        steps: how many steps.

    Returns:
        The state after the last step.
    """
    for _ in range(steps):
        residuals = landmark_residuals(
            problem.basis,
            state,
            problem.targets,
            problem.centre,
            problem.config.robust_mm,
            freedom.shared,
        )
        state = _step(problem, state, freedom, residuals)
    return state


def landmark_error_mm(problem: Problem, state: Unknowns) -> Tensor:
    """(T, L) distances between projected and detected landmarks, mm on the face."""
    config = problem.config
    return landmark_residuals(
        problem.basis, state, problem.targets, problem.centre, config.robust_mm, False
    ).error_mm


def _step(problem: Problem, state: Unknowns, freedom: Freedom, found: Residuals) -> Unknowns:
    own, own_prior, own_pull = _own_columns(problem, state, freedom, found)
    hessian = own.mT @ own + torch.diag_embed(own_prior + DAMPING)  # (T, N, N)
    slope = torch.einsum("trn,tr->tn", own, found.values) + own_pull  # (T, N)
    if not freedom.shared:
        return _apply_own(state, freedom, _solve(hessian, slope))
    common, common_prior, common_pull = _shared_columns(problem, state, freedom, found)
    cross = own.mT @ common  # (T, N, S)
    eliminated = torch.linalg.solve(hessian.double(), cross.double()).to(cross.dtype)
    hessian_s = (common.mT @ common - cross.mT @ eliminated).sum(0) + torch.diag(common_prior)
    slope_s = torch.einsum("trs,tr->s", common, found.values) + common_pull
    slope_s = slope_s - torch.einsum("tns,tn->s", eliminated, slope)
    step_s = _solve(hessian_s[None] + DAMPING * torch.eye(len(slope_s)), slope_s[None])[0]
    step = _solve(hessian, slope) - torch.einsum("tns,s->tn", eliminated, step_s)
    return _apply_own(_apply_shared(state, freedom, step_s), freedom, step)


def _solve(hessian: Tensor, slope: Tensor) -> Tensor:
    """The step down: double precision, for the scales of the unknowns differ a thousandfold."""
    factor = torch.linalg.cholesky(hessian.double())
    return -torch.cholesky_solve(slope.double().unsqueeze(-1), factor).squeeze(-1).to(slope.dtype)


def _own_columns(
    problem: Problem, state: Unknowns, freedom: Freedom, found: Residuals
) -> tuple[Tensor, Tensor, Tensor]:
    """Derivatives, prior curvature and prior slope of what each frame has to itself."""
    columns, curvatures, slopes = [], [], []
    frames = len(found.values)
    if freedom.pose:
        columns.append(found.pose)
        curvatures.append(found.values.new_zeros(frames, 6))
        slopes.append(found.values.new_zeros(frames, 6))
    if freedom.expression:
        columns.append(found.expression)
        curvature, slope = expression_prior(state.expression, problem.config)
        curvatures.append(curvature)
        slopes.append(slope)
    return torch.cat(columns, -1), torch.cat(curvatures, -1), torch.cat(slopes, -1)


def expression_prior(expression: Tensor, config: FitConfig) -> tuple[Tensor, Tensor]:
    """Small, few, and between 0 and 1: curvature and slope of the prior on face units.

    Args:
        expression: (T, E) activations.
        config: the weights.

    Returns:
        (T, E) curvature and (T, E) slope; the absolute value is reweighted least squares.
    """
    few = config.sparsity / (expression.abs() + 0.05)
    excess = expression.clamp_max(0.0) + (expression - 1.0).clamp_min(0.0)
    outside = config.bound_weight * (excess != 0)
    curvature = config.expression_prior + few + outside
    slope = (config.expression_prior + few) * expression + config.bound_weight * excess
    return curvature, slope


def _shared_columns(
    problem: Problem, state: Unknowns, freedom: Freedom, found: Residuals
) -> tuple[Tensor, Tensor, Tensor]:
    config, frames = problem.config, len(found.values)
    columns, curvatures, slopes = [], [], []
    if freedom.identity:
        columns.append(found.shared[..., :-1])
        # The prior grows with the frames, else many frames would talk it away.
        weight = config.identity_prior * frames**0.5
        curvatures.append(torch.full_like(state.identity, weight))
        slopes.append(weight * state.identity)
    if freedom.focal:
        columns.append(found.shared[..., -1:])
        weight = frames * 20.0 / config.focal_prior**2
        away = (state.focal_px / (FOCAL_GUESS * problem.longer_side_px)).log()
        curvatures.append(torch.full((1,), weight))
        slopes.append((weight * away).reshape(1))
    return torch.cat(columns, -1), torch.cat(curvatures), torch.cat(slopes)


def _apply_shared(state: Unknowns, freedom: Freedom, step: Tensor) -> Unknowns:
    if freedom.identity:
        count = len(state.identity)
        state = replace(state, identity=(state.identity + step[:count]).clamp(-4, 4))
    if freedom.focal:
        factor = step[-1].clamp(-MAX_ZOOM, MAX_ZOOM).exp()
        state = replace(state, focal_px=state.focal_px * factor)
    return state


def _apply_own(state: Unknowns, freedom: Freedom, step: Tensor) -> Unknowns:
    if freedom.pose:
        turn, step = step[:, :6], step[:, 6:]
        rotation = rotation_from_vector(_shorten(turn[:, :3], MAX_TURN_RAD)) @ state.rotation
        translation = state.translation + turn[:, 3:]
        depth = translation[:, 2:].clamp_min(NEAREST_MM)
        translation = torch.cat((translation[:, :2], depth), 1)
        state = replace(state, rotation=rotation, translation=translation)
    if freedom.expression:
        expression = (state.expression + step.clamp(-0.5, 0.5)).clamp(-0.3, 1.5)
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
