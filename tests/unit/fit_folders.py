"""Folders as the stages up to fit leave them, of the toy head."""

from __future__ import annotations

from pathlib import Path

import torch
from face_toys import CAMERA, toy_track

from metatalk.morphable.camera import Camera
from metatalk.morphable.coefficients import (
    PersonCoefficients,
    TrackCoefficients,
    save_coefficients,
)
from metatalk.workspace.manifest import Cause, finish_manifest, write_manifest

FRAMES = 6
PERSON = PersonCoefficients(torch.tensor([0.2, -0.1, 0.1]), torch.zeros(6))
TRACK = toy_track(FRAMES)


def keep_fit(
    root: Path,
    track: TrackCoefficients = TRACK,
    person: PersonCoefficients = PERSON,
    camera: Camera = CAMERA,
    face_model: str = "anny",
) -> Path:
    """Keep a fit with its record, without its footage."""
    (root / "fit").mkdir(parents=True)
    save_coefficients(root / "fit" / "coefficients.npz", person, track, camera)
    cause = Cause("fit", 1, {"fit": {"face_model": face_model}, "landmarks": {}}, {})
    write_manifest(root / "fit", finish_manifest(cause, "", {}, 1.0))
    return root
