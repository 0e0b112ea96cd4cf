"""Settings of the monocular reconstructor."""

from __future__ import annotations

from dataclasses import dataclass, fields

from metatalk.errors import ConfigError

UNKNOWNS = ("rotation", "translation", "expression", "identity", "focal")


@dataclass(frozen=True)
class PhaseConfig:
    """One phase of the fit: what it may change, and how long it runs."""

    steps: int
    free: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.steps < 0:
            raise ConfigError(f"a fitting phase cannot run {self.steps} steps")
        unknown = sorted(set(self.free) - set(UNKNOWNS))
        if unknown:
            raise ConfigError(
                f"a fitting phase cannot free {', '.join(unknown)}", f"use {', '.join(UNKNOWNS)}"
            )


POSE = ("rotation", "translation")
FRAME = (*POSE, "expression")
SHARED = (*FRAME, "identity", "focal")


@dataclass(frozen=True)
class FitConfig:
    """The schedule and the weights of the fit; errors are measured in millimetres on the face.

    The phases run in this order: `rigid` and `shape` on the keyframes; `rigid` and `frames` on
    the frames in which light is measured, whose colours are then read; `joint` on the keyframes
    with landmarks and colours at once; `rigid`, `frames` and `settle` on every frame; `photo` on
    the colours, as they were read.
    """

    rigid: PhaseConfig = PhaseConfig(steps=5, free=POSE)
    shape: PhaseConfig = PhaseConfig(steps=14, free=SHARED)
    photo: PhaseConfig = PhaseConfig(steps=8)  # albedo and light in turn
    joint: PhaseConfig = PhaseConfig(steps=5, free=SHARED)
    frames: PhaseConfig = PhaseConfig(steps=6, free=FRAME)
    settle: PhaseConfig = PhaseConfig(steps=2, free=("expression",))  # under the smoothed pose
    face_model: str = "anny"
    deep3d_checkpoint: str | None = None  # a Deep3DFaceRecon network that makes the first guess
    keyframes: int = 32  # frames that share in finding identity, focal length and texture
    batch: int = 160  # frames solved at once: bounds the memory
    robust_mm: float = 4.0  # landmarks further off than this count less and less
    lip_weight: float = 2.5  # of the lips' landmarks, against 1 for the rest
    gap_weight: float = 4.0  # of the distance between the inner lips
    width_weight: float = 8.0  # of the distance between the mouth's corners
    contour_weight: float = 1.0  # of the face's outline, across which alone it is held
    identity_prior: float = 15.0  # per squared standard deviation
    expression_prior: float = 6.0  # per squared activation
    mode_prior: float = 1.0  # per squared standard deviation, of models without face units
    sparsity: float = 3.0  # per activation: prefers few units to many
    bound_weight: float = 2000.0  # per squared activation outside [0, 1]
    steadiness: float = 20.0  # per squared activation away from the neighbouring frames
    distance_mm: float = 900.0  # how far actors usually are from the camera
    focal_share: float = 1.5  # what focal lengths usually are of the longer side
    focal_prior: float = 0.15  # spread of the logarithm of what the two say together
    colour_weight: float = 6000.0  # of the colours in the joint pass, a keyframe
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
        for name in ("distance_mm", "focal_share", "focal_prior", "robust_mm", "light_rate_hz"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"fit.{name} must be above 0")
        for name in ("rigid", "shape", "joint", "frames", "settle"):
            phase = getattr(self, name)
            if phase.steps and not set(phase.free) & set(FRAME):
                raise ConfigError(
                    f"fit.{name} frees nothing that a frame has to itself",
                    f"let fit.{name}.free hold one of {', '.join(FRAME)}, or set its steps to 0",
                )
        if self.photo.free:
            raise ConfigError("fit.photo solves albedo and light, and has nothing to free")
