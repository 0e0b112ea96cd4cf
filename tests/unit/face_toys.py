"""A toy head of 60 vertices with 68 landmarks, and footage of it whose truth is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from metatalk.fitting.config import FitConfig
from metatalk.landmarks.track import LandmarkTrack
from metatalk.morphable.camera import Camera
from metatalk.morphable.coefficients import PersonCoefficients, TrackCoefficients
from metatalk.morphable.lighting import ambient_light
from metatalk.morphable.model import MorphableModel
from metatalk.morphable.pose import transform_points

COLUMNS, ROWS = 6, 10
CAMERA = Camera(focal_px=480.0, width=320, height=240)  # the focal length that a fit begins with
UNITS = ("jawOpen", "mouthSmileLeft", "browInnerUp", "eyeLookUpLeft")
# Priors that do not pull, so that the truth is the best answer.
FREE = FitConfig(
    identity_prior=1e-4,
    expression_prior=1e-4,
    sparsity=0.0,
    steadiness=0.0,
    contour_weight=0.0,
    distance_mm=700.0,
    pose_smoothing_s=0.0,
    expression_smoothing_s=0.0,
)


def toy_model() -> MorphableModel:
    """A bulging sheet of 100 x 120 mm that looks into the camera."""
    chance = torch.Generator().manual_seed(3)
    down, across = torch.meshgrid(
        torch.linspace(-60, 60, ROWS), torch.linspace(-50, 50, COLUMNS), indexing="ij"
    )
    away = 0.012 * (across**2 + 0.7 * down**2)
    mean = torch.stack((across, down, away), -1).reshape(-1, 3)
    low = mean[:, 1] > 0
    corner = torch.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS)
    a, b, c, d = corner[:-1, :-1], corner[:-1, 1:], corner[1:, :-1], corner[1:, 1:]
    triangles = torch.stack((torch.stack((a, c, b), -1), torch.stack((b, c, d), -1))).reshape(-1, 3)
    landmarks = torch.randint(len(triangles), (68,), generator=chance)
    weights = torch.rand(68, 3, generator=chance) + 0.1
    tints = torch.zeros(6, 60, 3)
    for mode in range(6):
        tints[mode, (mean[:, 0] > 0) if mode < 3 else low, mode % 3] = 0.1
    return MorphableModel(
        source="toy",
        terms="none",
        mean=mean,
        identity_basis=_waves(mean, 3, 4.0, chance),
        expression_basis=_waves(mean, len(UNITS), 9.0, chance),
        texture_mean=torch.tensor([0.6, 0.45, 0.4]).expand(60, 3).clone(),
        texture_basis=tints,
        triangles=triangles,
        expression_names=UNITS,
        regions={
            "skin": torch.ones(60, dtype=torch.bool),
            "face": torch.ones(60, dtype=torch.bool),
            "lower_face": low,
            "lips": low & (mean[:, 1] < 30) & (mean[:, 0].abs() < 25),
            "eyelids": (mean[:, 1] < -40) & (mean[:, 1] > -50),
            "eyes": torch.zeros(60, dtype=torch.bool),
            "inner_mouth": torch.zeros(60, dtype=torch.bool),
        },
        landmark_triangles=landmarks,
        landmark_weights=weights / weights.sum(1, keepdim=True),
        landmark_layout="ibug68",
    )


def _waves(mean: Tensor, count: int, size_mm: float, chance: torch.Generator) -> Tensor:
    """(N, V, 3) smooth displacements without anything in common."""
    turns = torch.randn(count, 3, 3, generator=chance) / 25.0
    phases = 6.0 * torch.rand(count, 1, 3, generator=chance)
    return size_mm * (mean @ turns + phases).sin()


@dataclass(frozen=True, eq=False)
class ToyClip:
    """Footage of the toy head."""

    person: PersonCoefficients
    track: TrackCoefficients
    landmarks: LandmarkTrack


def toy_track(frames: int, seed: int = 0) -> TrackCoefficients:
    """A head that turns, nods and makes faces, in ambient light."""
    chance = torch.Generator().manual_seed(seed)
    rand = lambda *shape: torch.rand(*shape, generator=chance)  # noqa: E731
    expression = rand(frames, len(UNITS)) * torch.tensor([0.9, 0.9, 0.9, 0.0])
    return TrackCoefficients(
        expression=expression,
        rotation=0.5 * (rand(frames, 3) - 0.5),
        translation=torch.tensor([0.0, 0.0, 700.0]) + 60 * (rand(frames, 3) - 0.5),
        lighting=ambient_light(0.8).expand(frames, 3, 9).clone(),
        confidence=torch.ones(frames),
    )


def toy_clip(model: MorphableModel, frames: int, identity: Tensor, seed: int = 0) -> ToyClip:
    """Film a person of the given (3,) identity and note where the landmarks are."""
    track = toy_track(frames, seed)
    mean, shapes, faces = model.landmark_basis()
    points = (
        mean + torch.tensordot(identity, shapes, 1) + torch.tensordot(track.expression, faces, 1)
    )
    points = transform_points(points, track.rotation, track.translation)  # (T, 68, 3)
    pixels = CAMERA.project(points)
    away = points[..., 2:] - track.translation[:, None, 2:]
    depth_px = away * CAMERA.focal_px / track.translation[:, None, 2:]
    landmarks = LandmarkTrack(
        torch.cat((pixels, depth_px), -1).numpy(),
        np.ones(frames, np.float32),
        np.ones(frames, np.uint8),
        np.array([[0, frames]]),
        "ibug68",
    )
    return ToyClip(PersonCoefficients(identity, torch.zeros(6)), track, landmarks)
