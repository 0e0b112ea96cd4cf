"""The monocular reconstructor: landmarks and pictures in, person and track out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from metatalk.errors import FittingError
from metatalk.fitting.config import FitConfig
from metatalk.fitting.geometry import Clip, fit_frames, fit_shared, fit_track, prepare_clip
from metatalk.fitting.joint import colour_term
from metatalk.fitting.photometric import (
    ColourSamples,
    fit_albedo_and_light,
    fit_light,
    sample_colours,
)
from metatalk.fitting.residuals import Unknowns
from metatalk.fitting.smoothing import smooth, spread
from metatalk.fitting.solver import solve
from metatalk.fitting.trust import Trust, measure_trust
from metatalk.fitting.windows import FaceWindows, cut_window
from metatalk.landmarks.track import LandmarkTrack
from metatalk.morphable.camera import Camera
from metatalk.morphable.coefficients import PersonCoefficients, TrackCoefficients
from metatalk.morphable.model import MorphableModel
from metatalk.morphable.normals import vertex_normals

BLUR_SHARE = 0.008  # of the face's height: colours are read from pictures blurred this much
FACE_HEIGHT_MM = 180.0
COLOUR_POINTS = 2500  # vertices whose colours are read, about

Report = Callable[[int, int], None]


class Readable(Protocol):
    """A picture of a clip that becomes RGB only when asked."""

    @property
    def index(self) -> int:
        """Its frame number."""
        ...

    def rgb(self) -> np.ndarray:
        """(H, W, 3) uint8."""
        ...


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """One clip, taken apart."""

    person: PersonCoefficients
    track: TrackCoefficients
    camera: Camera
    error_mm: np.ndarray  # (T,) mean landmark error; nan without a face
    trust: Trust  # how well the pictures agree


@dataclass(frozen=True, eq=False)
class Seen:
    """What one pass over the pictures brings home."""

    colours: ColourSamples
    windows: FaceWindows | None  # of the keyframes; None where no joint pass will be made


def reconstruct(
    model: MorphableModel,
    landmarks: LandmarkTrack,
    pictures: Iterable[Readable],
    size: tuple[int, int],
    rate: float,
    config: FitConfig,
    person: PersonCoefficients | None = None,
    report: Report = lambda done, total: None,
    device: torch.device | str = "cpu",
    start: Unknowns | None = None,
) -> Reconstruction:
    """Fit person, expression, pose, albedo and light to one clip.

    Args:
        model: the face model, with the landmarks' layout embedded; on the CPU.
        landmarks: of every frame.
        pictures: the clip's frames in order; they are gone through once.
        size: width and height in pixels.
        rate: frames a second.
        config: schedule and weights.
        person: the actor where known: identity and texture are then held fixed.
        report: told how much of how much is done.
        device: where to compute.
        start: a state of the keyframes to begin with; None: found from the landmarks.

    Returns:
        The reconstruction, on the CPU.

    Raises:
        FittingError: no frame has a face.

    Source: AudioDVP (Wen et al. 2020), section 3. Departs: solved by Gauss-Newton and linear
        least squares in place of a network trained for each clip.
    """
    total = len(landmarks)
    clip = prepare_clip(model, landmarks, size, rate, config, person is not None, device)
    model = model.to(device)
    shared = fit_shared(clip, None if person is None else person.identity, start)
    seen = _look_through(model, clip, shared, pictures, lambda n: report(n // 2, total))
    if seen.windows is not None:
        shared = _fit_jointly(model, clip, shared, seen.windows)
    geometry = fit_track(clip, shared, lambda done, _: report((total + done) // 2, total))
    if person is None:
        texture, light = fit_albedo_and_light(model, seen.colours, config)
        person = PersonCoefficients(geometry.identity, texture.cpu())
    else:
        texture = person.texture.to(device)
        light = fit_light(model, seen.colours, texture)
    trust = measure_trust(model, seen.colours, texture, light, landmarks, geometry.error_mm)
    track = TrackCoefficients(
        geometry.expression,
        geometry.rotation,
        geometry.translation,
        _light_of_frames(light, seen.colours.frames, landmarks, rate / config.light_rate_hz),
        torch.from_numpy(trust.confidence),
    )
    camera = Camera(geometry.focal_px, *size)
    return Reconstruction(person, track, camera, geometry.error_mm.numpy(), trust)


def light_frames(landmarks: LandmarkTrack, rate: float, config: FitConfig) -> np.ndarray:
    """(N,) frames in which light is measured: evenly, and at least one in each run of faces."""
    step = max(1, round(rate / config.light_rate_hz))
    runs = [np.arange(a + min(step, b - a) // 2, b, step) for a, b in landmarks.runs()]
    return np.concatenate(runs)


def _look_through(
    model: MorphableModel,
    clip: Clip,
    shared: Unknowns,
    pictures: Iterable[Readable],
    report: Callable[[int], None],
) -> Seen:
    """Read colours in some frames and cut windows out of the keyframes, in one pass."""
    frames = light_frames(clip.landmarks, clip.rate, clip.config)
    states = iter(_states(clip, shared, frames))
    joint = clip.config.joint.steps > 0 and not clip.problem.identity_known
    lit, keys = set(frames.tolist()), set(clip.keyframes.tolist()) if joint else set()
    vertices = _coloured(model)
    rows, numbers, windows = [], [], []
    for picture in pictures:
        report(picture.index)
        if picture.index not in lit and picture.index not in keys:
            continue
        rgb = picture.rgb()
        if picture.index in lit:
            rows.append(_read_colours(model, clip, next(states), rgb, vertices))
            numbers.append(picture.index)
        if picture.index in keys:
            windows.append(cut_window(rgb, clip.landmarks.points[picture.index, :, :2]))
    if not rows or (joint and len(windows) < len(keys)):
        raise FittingError(
            f"the clip has fewer pictures than the {len(clip.landmarks)} frames of its landmarks",
            "the file changed or is damaged: run again from the stage ingest",
        )
    device = model.mean.device
    colours, weights, facings = (
        torch.from_numpy(np.stack(column)).to(device) for column in zip(*rows, strict=True)
    )
    samples = ColourSamples(np.array(numbers), vertices, colours, facings, weights)
    return Seen(samples, _stacked(windows).to(device) if windows else None)


def _stacked(windows: list[tuple[np.ndarray, np.ndarray]]) -> FaceWindows:
    pictures, transforms = (torch.from_numpy(np.stack(part)) for part in zip(*windows, strict=True))
    return FaceWindows(pictures, transforms)


def _states(clip: Clip, shared: Unknowns, frames: np.ndarray) -> Iterable[Unknowns]:
    """The state of each of some frames, one frame each."""
    for part in fit_frames(clip, shared, frames):
        for row in range(len(part.expression)):
            rows = slice(row, row + 1)
            yield Unknowns(
                part.identity,
                part.focal_px,
                part.expression[rows],
                part.rotation[rows],
                part.translation[rows],
            )


def _coloured(model: MorphableModel) -> Tensor:
    """(K,) vertices whose colours are read: the face without lids and eyes."""
    regions = model.regions
    face = (regions["face"] & ~regions["eyelids"] & ~regions["eyes"]).nonzero().flatten()
    return face[:: max(1, len(face) // COLOUR_POINTS)]


def _read_colours(
    model: MorphableModel, clip: Clip, state: Unknowns, rgb: np.ndarray, vertices: Tensor
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(K, 3) colours, (K,) weights and (K, 3) camera-frame normals of one frame."""
    shape = model.shape(state.identity, state.expression) @ state.rotation.mT  # (1, V, 3)
    normals = vertex_normals(shape, model.triangles)[0, vertices].cpu().numpy()
    points = shape[0, vertices] + state.translation
    pixels = state.focal_px * points[:, :2] / points[:, 2:] + clip.problem.centre
    blur = BLUR_SHARE * FACE_HEIGHT_MM * float(state.focal_px / state.translation[0, 2])
    colours, weights = sample_colours(rgb, pixels.cpu().numpy(), normals, blur)
    return colours, weights, normals


def _fit_jointly(
    model: MorphableModel, clip: Clip, shared: Unknowns, windows: FaceWindows
) -> Unknowns:
    """Let colours and landmarks move the keyframes, and what they share, together."""
    problem = clip.problem.take(clip.keyframes)
    more = colour_term(model, windows, problem.centre, clip.config, shared)
    return solve(problem, shared, clip.config.joint, more)


def _light_of_frames(
    light: Tensor, frames: np.ndarray, landmarks: LandmarkTrack, step: float
) -> Tensor:
    """(N, 3, 9) light of the measured frames to (T, 3, 9) of all, `step` frames apart."""
    total = len(landmarks)
    each = spread(light.flatten(1).cpu().numpy(), frames, landmarks.shots, total)
    shots = [(int(first), int(end)) for first, end in landmarks.shots]
    return smooth(torch.from_numpy(each), shots, step).reshape(total, 3, 9)
