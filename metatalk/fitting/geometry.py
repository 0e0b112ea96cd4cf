"""The geometric part of the fit: identity, expression, pose and focal length from landmarks."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import scipy.ndimage
import torch
from torch import Tensor

from metatalk.errors import FittingError
from metatalk.fitting.config import FitConfig
from metatalk.fitting.keyframes import choose_keyframes
from metatalk.fitting.residuals import LandmarkBasis, Unknowns, landmark_basis
from metatalk.fitting.solver import FOCAL_GUESS, Freedom, Problem, landmark_error_mm, solve
from metatalk.landmarks.points import point_groups
from metatalk.landmarks.track import LandmarkTrack
from metatalk.morphable.model import MorphableModel
from metatalk.morphable.pose import euler_to_matrix, matrix_to_euler

LOG = logging.getLogger(__name__)
GOOD_ERROR_MM = 2.0  # mean landmark error at which the confidence has fallen to a half

Report = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Geometry:
    """What the landmarks tell: everything of a track but its light."""

    identity: Tensor  # (I,)
    focal_px: float
    expression: Tensor  # (T, E)
    rotation: Tensor  # (T, 3) Euler angles, radians
    translation: Tensor  # (T, 3) mm
    confidence: Tensor  # (T,) 0..1
    error_mm: Tensor  # (T,) mean landmark error; nan where there is no face
    keyframes: np.ndarray  # (N,) frame numbers


def fit_geometry(
    model: MorphableModel,
    landmarks: LandmarkTrack,
    width: int,
    height: int,
    rate: float,
    config: FitConfig,
    identity: Tensor | None = None,
    report: Report = lambda done, total: None,
) -> Geometry:
    """Fit person and track to landmarks.

    Args:
        model: a face model with these landmarks embedded.
        landmarks: of every frame.
        width: of the picture, pixels.
        height: of the picture, pixels.
        rate: frames a second.
        config: schedule and weights.
        identity: (I,) of a known actor, held fixed; None to find it.
        report: told how many frames of how many are done.

    Returns:
        The geometry; frames without a face hold their nearest neighbours' values and
        confidence 0.

    Raises:
        FittingError: no frame has a face.
    """
    usable = landmarks.has_face
    if not usable.any():
        raise FittingError(
            f"none of the {len(usable)} frames has a face to fit", "give footage that shows a face"
        )
    problem = Problem(
        landmark_basis(model, config),
        torch.from_numpy(np.ascontiguousarray(landmarks.points[..., :2])),
        torch.tensor([width / 2, height / 2]),
        float(max(width, height)),
        config,
    )
    sure = usable & (landmarks.state == 1)
    keyframes = choose_keyframes(
        landmarks.points[..., :2], sure if sure.any() else usable, config.keyframes
    )
    shared = _fit_shared(problem, landmarks, keyframes, identity)
    return _fit_frames(problem, landmarks, shared, rate, keyframes, report)


def _fit_shared(
    problem: Problem, landmarks: LandmarkTrack, keyframes: np.ndarray, identity: Tensor | None
) -> Unknowns:
    config = problem.config
    focal = torch.tensor(FOCAL_GUESS * problem.longer_side_px)
    known = torch.zeros(len(problem.basis.identity)) if identity is None else identity
    part = replace(problem, targets=problem.targets[torch.from_numpy(keyframes)])
    state = _first_guess(problem.basis, landmarks, keyframes, focal, known, part.centre)
    state = solve(part, state, Freedom(expression=False), config.rigid.steps)
    everything = Freedom(identity=identity is None, focal=True)
    return solve(part, state, everything, config.shape.steps)


def _first_guess(
    basis: LandmarkBasis,
    landmarks: LandmarkTrack,
    frames: np.ndarray,
    focal_px: Tensor,
    identity: Tensor,
    centre: Tensor,
) -> Unknowns:
    """Pose by aligning the model's rigid points with the detector's own depth (Kabsch)."""
    rigid = list(point_groups(landmarks.layout).rigid)
    seen = torch.from_numpy(np.ascontiguousarray(landmarks.points[frames][:, rigid]))
    expression = torch.zeros(len(frames), len(basis.expression))
    own = basis.points(identity, expression)[:, rigid]  # (T, R, 3)
    seen_centre, own_centre = seen.mean(1, keepdim=True), own.mean(1, keepdim=True)
    left, sizes, right = torch.linalg.svd((seen - seen_centre).mT @ (own - own_centre))
    flip = torch.ones_like(sizes)
    flip[:, 2] = torch.linalg.det(left @ right).sign()
    rotation = (left * flip[:, None]) @ right
    scale = (sizes * flip).sum(-1) / (own - own_centre).square().sum((1, 2))  # px per mm
    depth = focal_px / scale
    middle = (seen_centre[:, 0, :2] - centre) / scale[:, None]
    translation = torch.cat((middle, depth[:, None]), 1)
    translation = translation - (rotation @ own_centre.mT).squeeze(-1)
    return Unknowns(identity, focal_px, expression, rotation, translation)


def _fit_frames(
    problem: Problem,
    landmarks: LandmarkTrack,
    shared: Unknowns,
    rate: float,
    keyframes: np.ndarray,
    report: Report,
) -> Geometry:
    """Solve every frame with the shared unknowns fixed; smooth the pose; solve again."""
    config, frames, total = problem.config, np.flatnonzero(landmarks.has_face), len(landmarks)
    batches = [frames[i : i + config.batch] for i in range(0, len(frames), config.batch)]
    parts, settled, errors = [], [], []
    for batch in batches:
        parts.append(_solve_alone(problem, landmarks, shared, batch))
        report(len(parts), 2 * len(batches))
    angles, places = _steady_pose(parts, frames, landmarks, config.pose_smoothing_s * rate)
    for batch, part in zip(batches, parts, strict=True):
        expression, error = _settle(problem, part, batch, angles, places)
        settled.append(expression)
        errors.append(error)
        report(len(batches) + len(settled), 2 * len(batches))
    faces = _filled(torch.cat(settled), frames, total)
    error_mm = torch.full((total,), torch.nan)
    error_mm[torch.from_numpy(frames)] = torch.cat(errors)
    return Geometry(
        shared.identity,
        float(shared.focal_px),
        smooth(faces, landmarks.runs(), config.expression_smoothing_s * rate),
        angles,
        places,
        _confidence(error_mm, landmarks),
        error_mm,
        keyframes,
    )


def _solve_alone(
    problem: Problem, landmarks: LandmarkTrack, shared: Unknowns, frames: np.ndarray
) -> Unknowns:
    """Pose and expression of some frames of a known person before a known camera."""
    part = replace(problem, targets=problem.targets[torch.from_numpy(frames)])
    guess = _first_guess(
        problem.basis, landmarks, frames, shared.focal_px, shared.identity, part.centre
    )
    guess = solve(part, guess, Freedom(expression=False), problem.config.rigid.steps)
    return solve(part, guess, Freedom(), problem.config.frames.steps)


def _steady_pose(
    parts: list[Unknowns], frames: np.ndarray, landmarks: LandmarkTrack, width: float
) -> tuple[Tensor, Tensor]:
    """(T, 3) Euler angles in radians and (T, 3) translations in mm, smoothed inside each run."""
    total, runs = len(landmarks), landmarks.runs()
    angles = _filled(torch.cat([matrix_to_euler(part.rotation) for part in parts]), frames, total)
    places = _filled(torch.cat([part.translation for part in parts]), frames, total)
    return smooth(_unwrap(angles, runs), runs, width), smooth(places, runs, width)


def _settle(
    problem: Problem, part: Unknowns, frames: np.ndarray, angles: Tensor, places: Tensor
) -> tuple[Tensor, Tensor]:
    """(N, E) expressions under the smoothed pose, and (N,) mean errors of the skin's landmarks."""
    rows = torch.from_numpy(frames)
    own = replace(problem, targets=problem.targets[rows])
    state = replace(part, rotation=euler_to_matrix(angles[rows]), translation=places[rows])
    state = solve(own, state, Freedom(pose=False), problem.config.settle.steps)
    on_skin = problem.basis.weights > 0.5
    return state.expression, landmark_error_mm(own, state)[:, on_skin].mean(1)


def _confidence(errors: Tensor, landmarks: LandmarkTrack) -> Tensor:
    """1 for a perfect fit, a half at `GOOD_ERROR_MM`, 0 where there is no face."""
    fit = 1.0 / (1.0 + (errors / GOOD_ERROR_MM) ** 2)
    seen = torch.from_numpy(np.where(landmarks.has_face, landmarks.confidence, 0.0)).float()
    return torch.nan_to_num(fit) * seen.clamp(0, 1)


def _filled(values: Tensor, frames: np.ndarray, total: int) -> Tensor:
    """(N, C) rows of the given frames to (T, C): the others take the nearest frame's."""
    after = np.searchsorted(frames, np.arange(total)).clip(0, len(frames) - 1)
    before = (after - 1).clip(0)
    nearer = np.abs(frames[before] - np.arange(total)) < np.abs(frames[after] - np.arange(total))
    return values[torch.from_numpy(np.where(nearer, before, after))]


def _unwrap(angles: Tensor, runs: list[tuple[int, int]]) -> Tensor:
    unwrapped = angles.numpy().copy()
    for first, end in runs:
        unwrapped[first:end] = np.unwrap(unwrapped[first:end], axis=0)
    return torch.from_numpy(unwrapped)


def smooth(values: Tensor, runs: list[tuple[int, int]], width: float) -> Tensor:
    """Gaussian filter along time inside each run of frames; zero phase.

    Args:
        values: (T, C).
        runs: first and end frame of each stretch that belongs together.
        width: standard deviation in frames.

    Returns:
        (T, C), unchanged outside the runs.
    """
    out = values.numpy().copy()
    if width > 0.1:
        for first, end in runs:
            out[first:end] = scipy.ndimage.gaussian_filter1d(
                out[first:end], width, axis=0, mode="nearest"
            )
    return torch.from_numpy(out)
