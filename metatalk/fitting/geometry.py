"""The geometric part of the fit: identity, expression, pose and focal length from landmarks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from metatalk.errors import FittingError
from metatalk.fitting.config import FitConfig
from metatalk.fitting.keyframes import choose_keyframes
from metatalk.fitting.residuals import Unknowns, landmark_basis
from metatalk.fitting.smoothing import Runs, filled, smooth, unwrap
from metatalk.fitting.solver import LENIENCE, Problem, landmark_error_mm, solve
from metatalk.landmarks.points import point_groups
from metatalk.landmarks.track import LandmarkTrack
from metatalk.morphable.model import MorphableModel
from metatalk.morphable.pose import euler_to_matrix, matrix_to_euler

SURE_SHARE = 0.7  # of the usual confidence that a keyframe's landmarks must have
NEIGHBOURS_S = 0.04  # width of the filter that says what a frame's neighbours suggest

Report = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Geometry:
    """What the landmarks tell: everything of a track but its light."""

    identity: Tensor  # (I,)
    focal_px: float
    expression: Tensor  # (T, E)
    rotation: Tensor  # (T, 3) Euler angles, radians
    translation: Tensor  # (T, 3) mm
    error_mm: Tensor  # (T,) mean landmark error; nan where there is no face


@dataclass(frozen=True, eq=False)
class Clip:
    """One clip's landmarks, ready to be fitted."""

    problem: Problem  # of all frames
    landmarks: LandmarkTrack
    rate: float  # frames a second
    keyframes: np.ndarray  # (N,) ascending frame numbers

    @property
    def config(self) -> FitConfig:
        """Schedule and weights."""
        return self.problem.config


def prepare_clip(
    model: MorphableModel,
    landmarks: LandmarkTrack,
    size: tuple[int, int],
    rate: float,
    config: FitConfig,
    known: bool = False,
    device: torch.device | str = "cpu",
) -> Clip:
    """Gather what the fit of one clip needs, and choose its keyframes.

    Args:
        model: a face model with these landmarks embedded; on the CPU.
        landmarks: of every frame.
        size: width and height of the picture, pixels.
        rate: frames a second.
        config: schedule and weights.
        known: the actor is known, so that no phase changes the identity.
        device: where to compute.

    Returns:
        The clip.

    Raises:
        FittingError: no frame has a face.
    """
    usable = landmarks.has_face
    if not usable.any():
        raise FittingError(
            f"none of the {len(usable)} frames has a face to fit", "give footage that shows a face"
        )
    points = torch.from_numpy(np.ascontiguousarray(landmarks.points[..., :2]))
    problem = Problem(
        landmark_basis(model, config).to(device),
        points.to(device),
        torch.tensor([size[0] / 2, size[1] / 2], device=device),
        config,
        identity_known=known,
    )
    # What is farthest from all others may be an accident: a frame the detector doubts is none.
    typical = float(np.median(landmarks.confidence[usable]))
    sure = usable & (landmarks.state == 1) & (landmarks.confidence >= SURE_SHARE * typical)
    keyframes = choose_keyframes(
        landmarks.points[..., :2], sure if sure.any() else usable, config.keyframes
    )
    return Clip(problem, landmarks, rate, keyframes)


def fit_shared(
    clip: Clip, identity: Tensor | None = None, start: Unknowns | None = None
) -> Unknowns:
    """Find what the keyframes have in common.

    Args:
        clip: the clip.
        identity: (I,) of a known actor; None to find it.
        start: a state of the keyframes to begin with; None: `align_keyframes`.

    Returns:
        The keyframes' state, with the clip's identity and focal length.
    """
    if start is None:
        state = align_keyframes(clip, identity)
    else:
        state = start if identity is None else replace(start, identity=identity.to(start.identity))
    part = clip.problem.take(clip.keyframes)
    return solve(part, state, clip.config.shape, lenience=LENIENCE)


def align_keyframes(clip: Clip, identity: Tensor | None = None) -> Unknowns:
    """Pose a resting face in the keyframes, before a lens of usual length.

    Args:
        clip: the clip.
        identity: (I,) of a known actor; None: the average.

    Returns:
        The keyframes' state.
    """
    basis, config = clip.problem.basis, clip.config
    focal = config.focal_share * clip.problem.longer_side_px
    who = basis.mean.new_zeros(len(basis.identity)) if identity is None else identity.to(focal)
    state = first_guess(clip, clip.keyframes, who, focal)
    focal = focal * (config.distance_mm / state.translation[:, 2].median()).sqrt()
    guess = first_guess(clip, clip.keyframes, who, focal)
    return solve(clip.problem.take(clip.keyframes), guess, config.rigid, lenience=LENIENCE)


def first_guess(clip: Clip, frames: np.ndarray, identity: Tensor, focal_px: Tensor) -> Unknowns:
    """Pose by aligning the model's rigid points with the detector's own depth (Kabsch).

    Args:
        clip: the clip.
        frames: (N,) frame numbers.
        identity: (I,).
        focal_px: () pixels.

    Returns:
        The state of these frames, without expression.
    """
    basis, landmarks = clip.problem.basis, clip.landmarks
    rigid = list(point_groups(landmarks.layout).rigid)
    seen = torch.from_numpy(np.ascontiguousarray(landmarks.points[frames][:, rigid])).to(identity)
    expression = identity.new_zeros(len(frames), len(basis.expression))
    own = basis.points(identity, expression)[:, rigid]  # (T, R, 3)
    seen_centre, own_centre = seen.mean(1, keepdim=True), own.mean(1, keepdim=True)
    left, sizes, right = torch.linalg.svd((seen - seen_centre).mT @ (own - own_centre))
    flip = torch.ones_like(sizes)
    flip[:, 2] = torch.linalg.det(left @ right).sign()
    rotation = (left * flip[:, None]) @ right
    scale = (sizes * flip).sum(-1) / (own - own_centre).square().sum((1, 2))  # px per mm
    depth = focal_px / scale
    middle = (seen_centre[:, 0, :2] - clip.problem.centre) / scale[:, None]
    translation = torch.cat((middle, depth[:, None]), 1)
    translation = translation - (rotation @ own_centre.mT).squeeze(-1)
    return Unknowns(identity, focal_px, expression, rotation, translation)


def fit_frames(
    clip: Clip,
    shared: Unknowns,
    frames: np.ndarray,
    report: Report = lambda done, total: None,
) -> list[Unknowns]:
    """Solve frames, each for itself, with identity and focal length held.

    Args:
        clip: the clip.
        shared: whose identity and focal length count.
        frames: (N,) ascending numbers of frames with a face.
        report: told how many batches of how many are done.

    Returns:
        The state of each batch of `fit.batch` frames.
    """
    parts, batches = [], batches_of(frames, clip.config.batch)
    for batch in batches:
        part = clip.problem.take(batch)
        guess = first_guess(clip, batch, shared.identity, shared.focal_px)
        guess = solve(part, guess, clip.config.rigid, lenience=LENIENCE)
        parts.append(solve(part, guess, clip.config.frames, lenience=LENIENCE))
        report(len(parts), len(batches))
    return parts


def fit_track(clip: Clip, shared: Unknowns, report: Report = lambda done, total: None) -> Geometry:
    """Solve every frame; smooth the pose; settle the expression under it.

    Args:
        clip: the clip.
        shared: whose identity and focal length count.
        report: told how many frames of how many are done.

    Returns:
        The geometry, on the CPU; frames without a face hold their nearest neighbours' values.
    """
    config, total = clip.config, len(clip.landmarks)
    frames, runs = np.flatnonzero(clip.landmarks.has_face), clip.landmarks.runs()
    halves = lambda done, of: report(total * done // (2 * max(of, 1)), total)  # noqa: E731
    parts = fit_frames(clip, shared, frames, halves)
    angles, places = _steady_pose(parts, frames, runs, total, config.pose_smoothing_s * clip.rate)
    alone = filled(torch.cat([part.expression for part in parts]).cpu(), frames, total)
    expected = smooth(alone, runs, NEIGHBOURS_S * clip.rate)
    settled, errors = [], []
    for batch, part in zip(batches_of(frames, config.batch), parts, strict=True):
        state, error = _settle(clip.problem, part, batch, angles, places, expected)
        settled.append(state.expression.cpu())
        errors.append(error.cpu())
        report(total // 2 + (int(batch[-1]) + 1) // 2, total)
    error_mm = torch.full((total,), torch.nan)
    error_mm[torch.from_numpy(frames)] = torch.cat(errors)
    faces = filled(torch.cat(settled), frames, total)
    return Geometry(
        shared.identity.cpu(),
        float(shared.focal_px),
        smooth(faces, runs, config.expression_smoothing_s * clip.rate),
        angles,
        places,
        error_mm,
    )


def fit_geometry(
    model: MorphableModel,
    landmarks: LandmarkTrack,
    width: int,
    height: int,
    rate: float,
    config: FitConfig,
    identity: Tensor | None = None,
    report: Report = lambda done, total: None,
    device: torch.device | str = "cpu",
) -> Geometry:
    """Fit person and track to landmarks alone.

    Args:
        model: a face model with these landmarks embedded.
        landmarks: of every frame.
        width: of the picture, pixels.
        height: of the picture, pixels.
        rate: frames a second.
        config: schedule and weights.
        identity: (I,) of a known actor, held fixed; None to find it.
        report: told how many frames of how many are done.
        device: where to compute.

    Returns:
        The geometry; frames without a face hold their nearest neighbours' values.

    Raises:
        FittingError: no frame has a face.
    """
    known = identity is not None
    clip = prepare_clip(model, landmarks, (width, height), rate, config, known, device)
    return fit_track(clip, fit_shared(clip, identity), report)


def batches_of(frames: np.ndarray, size: int) -> list[np.ndarray]:
    """Cut (N,) frame numbers into runs of at most so many."""
    return [frames[first : first + size] for first in range(0, len(frames), size)]


def _steady_pose(
    parts: list[Unknowns], frames: np.ndarray, runs: Runs, total: int, width: float
) -> tuple[Tensor, Tensor]:
    """(T, 3) Euler angles in radians and (T, 3) translations in mm, smoothed inside each run."""
    turns = torch.cat([matrix_to_euler(part.rotation) for part in parts]).cpu()
    angles = unwrap(filled(turns, frames, total), runs)
    places = filled(torch.cat([part.translation for part in parts]).cpu(), frames, total)
    return smooth(angles, runs, width, twice=True), smooth(places, runs, width, twice=True)


def _settle(
    problem: Problem,
    part: Unknowns,
    frames: np.ndarray,
    angles: Tensor,
    places: Tensor,
    expected: Tensor,
) -> tuple[Unknowns, Tensor]:
    """Frames under the smoothed pose, and (N,) mean errors of the skin's landmarks."""
    rows = torch.from_numpy(frames)
    own = replace(problem.take(frames), expected=expected[rows].to(part.expression))
    rotation = euler_to_matrix(angles[rows]).to(part.rotation)
    state = replace(part, rotation=rotation, translation=places[rows].to(part.translation))
    state = solve(own, state, problem.config.settle)
    on_skin = problem.basis.weights > 0.5
    return state, landmark_error_mm(own, state)[:, on_skin].mean(1)
