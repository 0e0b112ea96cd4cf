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
from metatalk.fitting.geometry import Geometry, fit_geometry, smooth
from metatalk.fitting.photometric import (
    ColourSamples,
    fit_albedo_and_light,
    fit_light,
    sample_colours,
)
from metatalk.landmarks.track import LandmarkTrack
from metatalk.morphable.camera import Camera
from metatalk.morphable.coefficients import PersonCoefficients, TrackCoefficients
from metatalk.morphable.model import MorphableModel
from metatalk.morphable.normals import vertex_normals
from metatalk.morphable.pose import transform_points

BLUR_SHARE = 0.008  # of the face's height: colours are read from pictures blurred this much
FACE_HEIGHT_MM = 180.0
GEOMETRY_SHARE = 0.6  # of the progress that the geometric part stands for


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


def reconstruct(
    model: MorphableModel,
    landmarks: LandmarkTrack,
    pictures: Iterable[Readable],
    size: tuple[int, int],
    rate: float,
    config: FitConfig,
    person: PersonCoefficients | None = None,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Reconstruction:
    """Fit person, expression, pose, albedo and light to one clip.

    Args:
        model: the face model, with the landmarks' layout embedded.
        landmarks: of every frame.
        pictures: the clip's frames in order; they are gone through once.
        size: width and height in pixels.
        rate: frames a second.
        config: schedule and weights.
        person: the actor where known: identity and texture are then held fixed.
        report: told how much of how much is done.

    Returns:
        The reconstruction.

    Raises:
        FittingError: no frame has a face.

    Source: AudioDVP (Wen et al. 2020), section 3. Departs: solved by Gauss-Newton and linear
        least squares in place of a network trained for each clip.
    """
    total = len(landmarks.state)
    half = round(GEOMETRY_SHARE * total)
    geometry = fit_geometry(
        model, landmarks, *size, rate, config, None if person is None else person.identity,
        lambda done, steps: report(half * done // max(steps, 1), total),
    )  # fmt: skip
    camera = Camera(geometry.focal_px, *size)
    samples = collect_colours(
        model, geometry, camera, pictures, light_frames(landmarks, rate, config),
        lambda frame: report(half + (total - half) * frame // total, total),
    )  # fmt: skip
    if person is None:
        texture, light = fit_albedo_and_light(model, samples, config)
        person = PersonCoefficients(geometry.identity, texture)
    else:
        light = fit_light(model, samples, person.texture)
    track = TrackCoefficients(
        geometry.expression,
        geometry.rotation,
        geometry.translation,
        spread_light(light, samples.frames, landmarks, config.light_rate_hz / 2 / rate),
        geometry.confidence,
    )
    return Reconstruction(person, track, camera, geometry.error_mm.numpy())


def light_frames(landmarks: LandmarkTrack, rate: float, config: FitConfig) -> np.ndarray:
    """(N,) frames in which light is measured: evenly, and at least one in each run of faces."""
    step = max(1, round(rate / max(config.light_rate_hz, 1e-3)))
    runs = [np.arange(a + min(step, b - a) // 2, b, step) for a, b in landmarks.runs()]
    return np.concatenate(runs)


def collect_colours(
    model: MorphableModel,
    geometry: Geometry,
    camera: Camera,
    pictures: Iterable[Readable],
    frames: np.ndarray,
    report: Callable[[int], None] = lambda frame: None,
) -> ColourSamples:
    """Read the colours at the visible vertices of some frames, in one pass over the clip.

    Args:
        model: the face model.
        geometry: the fitted geometry of every frame.
        camera: the clip's camera.
        pictures: all frames in order.
        frames: (N,) ascending numbers of those to look at.
        report: told the number of each frame as it comes.

    Returns:
        The colours; frames that the clip does not reach are left out.

    Raises:
        FittingError: the clip reaches none of the frames.
    """
    looked_at = model.regions["face"] & ~model.regions["eyelids"] & ~model.regions["eyes"]
    vertices = looked_at.nonzero().flatten()
    wanted, numbers, rows = set(frames.tolist()), [], []
    for picture in pictures:
        report(picture.index)
        if picture.index in wanted:
            points, normals = _posed(model, geometry, picture.index)
            pixels = camera.project(points[vertices]).numpy()
            depth = float(geometry.translation[picture.index, 2])
            blur = BLUR_SHARE * FACE_HEIGHT_MM * camera.focal_px / depth
            facing = normals[vertices].numpy()
            rows.append((*sample_colours(picture.rgb(), pixels, facing, blur), facing))
            numbers.append(picture.index)
    if not rows:
        raise FittingError(
            f"the clip has no picture of the {len(frames)} frames that light is measured in",
            "the file changed or is damaged: run again from the stage ingest",
        )
    colours, weights, facings = (
        torch.from_numpy(np.stack(column)) for column in zip(*rows, strict=True)
    )
    return ColourSamples(np.array(numbers), vertices, colours, facings, weights)


def _posed(model: MorphableModel, geometry: Geometry, frame: int) -> tuple[Tensor, Tensor]:
    """(V, 3) vertices in mm and (V, 3) normals of one frame, camera frame."""
    shape = model.shape(geometry.identity, geometry.expression[frame])
    points = transform_points(shape, geometry.rotation[frame], geometry.translation[frame])
    return points, vertex_normals(points, model.triangles)


def spread_light(
    light: Tensor, frames: np.ndarray, landmarks: LandmarkTrack, sharpness: float
) -> Tensor:
    """Interpolate light between the frames where it was measured, never across a cut.

    Args:
        light: (N, 3, 9) of the measured frames.
        frames: (N,) their numbers, ascending.
        landmarks: for the shots and the number of frames.
        sharpness: inverse of the filter's width in frames, at most.

    Returns:
        (T, 3, 9).
    """
    total, measured = len(landmarks.state), light.flatten(1).numpy()
    spread = np.empty((total, measured.shape[1]), np.float32)
    for first, end in landmarks.shots:
        inside = (frames >= first) & (frames < end)
        if not inside.any():  # no face in this shot: any light will do
            inside = np.zeros(len(frames), bool)
            inside[np.abs(frames - first).argmin()] = True
        columns = [
            np.interp(np.arange(first, end), frames[inside], column)
            for column in measured[inside].T
        ]
        spread[first:end] = np.stack(columns, 1)
    shots = [(int(first), int(end)) for first, end in landmarks.shots]
    smoothed = smooth(torch.from_numpy(spread), shots, 0.5 / max(sharpness, 1e-3))
    return smoothed.reshape(total, 3, 9)
