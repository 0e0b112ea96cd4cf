"""Settings of the monocular reconstructor."""

from __future__ import annotations

from dataclasses import dataclass, fields

from metatalk.errors import ConfigError


@dataclass(frozen=True)
class PhaseConfig:
    """One phase of the fit: how long it runs."""

    steps: int

    def __post_init__(self) -> None:
        if self.steps < 0:
            raise ConfigError(f"a fitting phase cannot run {self.steps} steps")


@dataclass(frozen=True)
class FitConfig:
    """The schedule and the weights of the fit; errors are measured in millimetres on the face."""

    rigid: PhaseConfig = PhaseConfig(steps=6)  # pose alone, every keyframe
    shape: PhaseConfig = PhaseConfig(steps=14)  # pose, expression, identity and focal length
    frames: PhaseConfig = PhaseConfig(steps=7)  # pose and expression of every frame
    settle: PhaseConfig = PhaseConfig(steps=3)  # expression again, under the smoothed pose
    photo: PhaseConfig = PhaseConfig(steps=6)  # albedo and light in turn
    face_model: str = "anny"
    keyframes: int = 48  # frames that share in finding identity, focal length and texture
    batch: int = 160  # frames solved at once: bounds the memory
    robust_mm: float = 4.0  # landmarks further off than this count less and less
    lip_weight: float = 2.5  # of the lips' landmarks, against 1 for the rest
    gap_weight: float = 4.0  # of the distance between the inner lips
    contour_weight: float = 0.15  # of the face's outline, which is not a point of the skin
    identity_prior: float = 4.0  # per squared standard deviation
    expression_prior: float = 6.0  # per squared activation
    sparsity: float = 3.0  # per activation: prefers few units to many
    bound_weight: float = 2000.0  # per squared activation outside [0, 1]
    focal_prior: float = 0.25  # spread of the logarithm of focal length / longer side
    pose_smoothing_s: float = 0.045  # width of the temporal filter over the pose
    expression_smoothing_s: float = 0.012  # and over the expression
    light_rate_hz: float = 5.0  # light is measured this often and interpolated between

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, int | float) and value < 0:
                raise ConfigError(f"fit.{field.name} is {value}, but cannot be negative")
        if self.keyframes < 1 or self.batch < 1:
            raise ConfigError("fit.keyframes and fit.batch must be at least 1")
