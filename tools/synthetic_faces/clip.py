"""Whole synthetic clips: pictures in memory, and the truth about them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from metatalk.evaluate.truth import Truth
from metatalk.landmarks.points import point_groups
from metatalk.morphable.coefficients import PersonCoefficients, TrackCoefficients
from metatalk.morphable.model import MorphableModel
from synthetic_faces.performance import RATE, act
from synthetic_faces.person import Person, draw_person
from synthetic_faces.picture import draw_picture, random_optics

REVISION = 6  # goes up with every change that makes the same seed another clip
FACE_SHARE = 0.625  # of the picture's height
FOREHEAD = 10  # mediapipe's landmark at the top of the face


@dataclass(frozen=True, eq=False)
class SyntheticClip:
    """A clip and what is true in it."""

    pictures: np.ndarray  # (T, H, W, 3) uint8 RGB
    rate: float  # frames a second
    truth: Truth


def make_person(model: MorphableModel, seed: int, spread: float) -> Person:
    """Somebody, the same for the same seed; `spread` says how far from the average people are."""
    return draw_person(model, spread, np.random.default_rng([seed, 1]))


def make_clip(
    model: MorphableModel, person: Person, seed: int, face_px: int, frames: int
) -> SyntheticClip:
    """Film somebody.

    Args:
        model: the face model.
        person: who.
        seed: the same seed gives the same acting, light and lens at every face height.
        face_px: height of the face in the picture, forehead to chin, pixels.
        frames: T.

    Returns:
        The clip.
    """
    generator = np.random.default_rng([seed, 2])
    size = 2 * round(face_px / FACE_SHARE / 2)
    optics = random_optics(size, person.studio.room, generator)
    depth = optics.camera.focal_px * face_height_mm(model, person.identity) / face_px
    acting = act(model, person.identity, frames, depth, generator)
    pictures = np.stack([draw_picture(person, acting, optics, t) for t in range(frames)])
    track = TrackCoefficients(acting.expression, acting.rotation, acting.translation,
                              acting.lighting, torch.ones(frames))  # fmt: skip
    truth = Truth(
        PersonCoefficients(person.identity, person.texture), track, optics.camera,
        torch.from_numpy(person.albedo), acting.still, acting.neutral,
    )  # fmt: skip
    return SyntheticClip(pictures, RATE, truth)


def face_height_mm(model: MorphableModel, identity: torch.Tensor) -> float:
    """From the top of the forehead to the chin, mm."""
    mean, shapes, _ = model.landmark_basis()
    points = mean + torch.tensordot(identity, shapes, 1)
    return float((points[FOREHEAD] - points[point_groups(model.landmark_layout).chin]).norm())
