"""What the reconstructor finds: what belongs to the person, and what to each frame."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from metatalk.errors import ShapeError
from metatalk.morphable.camera import Camera
from metatalk.shapes import check_shape

TRUSTED = 0.2  # least confidence: a fifth of the face seen, or landmarks 4 mm off
FIT_AGAIN = "make it anew: metatalk fit CLIP --actor DIR --rerun fit"


@dataclass(frozen=True, eq=False)
class PersonCoefficients:
    """What stays the same through the clip; nothing here is smoothed or predicted."""

    identity: Tensor  # (I,) standard deviations of the identity basis
    texture: Tensor  # (X,) standard deviations of the texture basis

    def __post_init__(self) -> None:
        check_shape("identity", self.identity, "I")
        check_shape("texture", self.texture, "X")


@dataclass(frozen=True, eq=False)
class TrackCoefficients:
    """Changes from frame to frame; row t belongs to video frame t."""

    expression: Tensor  # (T, E) activations of the face units, about 0 to 1
    rotation: Tensor  # (T, 3) Euler angles XYZ, radians, model -> camera
    translation: Tensor  # (T, 3) millimetres, camera frame
    lighting: Tensor  # (T, 3, 9) SH bands 0-2 for R, G, B; unitless
    confidence: Tensor  # (T,) 0 where no face was found, 1 where the fit is as good as it gets

    def __post_init__(self) -> None:
        frames = check_shape("expression", self.expression, "T E")["T"]
        check_shape("rotation", self.rotation, "T 3", T=frames)
        check_shape("translation", self.translation, "T 3", T=frames)
        check_shape("lighting", self.lighting, "T 3 9", T=frames)
        check_shape("confidence", self.confidence, "T", T=frames)

    def __len__(self) -> int:
        return len(self.expression)

    @property
    def has_face(self) -> Tensor:
        """(T,) bool: frames in which a face was fitted."""
        return self.confidence > 0

    @property
    def is_trusted(self) -> Tensor:
        """(T,) bool: frames whose fit is good enough to be learned from and painted over.

        The others show no face, or one that something hides or that the landmarks miss.
        """
        return self.confidence >= TRUSTED

    def with_expression(self, expression: Tensor) -> TrackCoefficients:
        """The same head under the same light, saying something else."""
        return replace(self, expression=expression)

    def take(self, frames: Tensor | np.ndarray) -> TrackCoefficients:
        """The rows of the given frames, in their order; (N,) frame numbers."""
        rows = torch.as_tensor(frames, dtype=torch.long)
        return TrackCoefficients(
            self.expression[rows],
            self.rotation[rows],
            self.translation[rows],
            self.lighting[rows],
            self.confidence[rows],
        )


def save_coefficients(
    path: Path, person: PersonCoefficients, track: TrackCoefficients, camera: Camera
) -> None:
    """Write one clip's reconstruction as `.npz` without pickle.

    Args:
        path: the file.
        person: the actor.
        track: the frames.
        camera: the clip's camera.
    """
    arrays = {name: value.numpy() for name, value in {**vars(person), **vars(track)}.items()}
    lens = np.array([camera.focal_px, camera.width, camera.height], np.float64)
    np.savez(path, camera=lens, **arrays)


def load_coefficients(path: Path) -> tuple[PersonCoefficients, TrackCoefficients, Camera]:
    """Read what `save_coefficients` wrote.

    Args:
        path: the file.

    Returns:
        The person, the track and the camera.

    Raises:
        ShapeError: the file is damaged, lacks an array, or one has another shape.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except (zipfile.BadZipFile, EOFError, ValueError, TypeError, AttributeError) as error:
        raise ShapeError(f"{path} is not a file of coefficients: {error}", FIT_AGAIN) from error
    try:
        focal_px, width, height = arrays.pop("camera")
        values = {name: torch.from_numpy(value) for name, value in arrays.items()}
        person = PersonCoefficients(values.pop("identity"), values.pop("texture"))
        track = TrackCoefficients(**values)
    except (KeyError, TypeError, ValueError) as error:
        raise ShapeError(f"{path} does not hold a reconstruction: {error}", FIT_AGAIN) from error
    return person, track, Camera(float(focal_px), int(width), int(height))
