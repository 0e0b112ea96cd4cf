"""Synthetic clips and their landmarks, kept on disk: they do not change when the fit does."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch

from metatalk.evaluate.fit_errors import in_picture, mesh_landmarks
from metatalk.evaluate.truth import Truth
from metatalk.landmarks.config import LandmarksConfig
from metatalk.landmarks.track import LandmarkTrack, track_landmarks
from metatalk.morphable.coefficients import load_coefficients, save_coefficients
from metatalk.morphable.model import MorphableModel
from metatalk.morphable.pose import transform_points
from metatalk.stages.artefacts import load_landmarks, save_landmarks
from synthetic_faces.clip import REVISION, SyntheticClip, make_clip, make_person
from synthetic_faces.person import Person


@dataclass(frozen=True)
class Recipe:
    """Everything that a synthetic clip depends on."""

    seed: int
    spread: float  # of the identity coefficients
    face_px: int
    frames: int

    @property
    def name(self) -> str:
        """Good for a folder."""
        return f"seed{self.seed}-{self.spread:g}-{self.face_px}px-{self.frames}"


@dataclass(frozen=True, eq=False)
class Filmed:
    """A clip and what the detector says about it."""

    recipe: Recipe
    clip: SyntheticClip
    landmarks: LandmarkTrack


def open_clip(
    folder: Path, model: MorphableModel, recipe: Recipe, person: Callable[[], Person]
) -> Filmed:  # fmt: skip
    """Read a clip, or make it and keep it.

    Args:
        folder: where clips are kept.
        model: the face model.
        recipe: which clip.
        person: gives the clip's person.

    Returns:
        The clip with its landmarks.
    """
    place = folder / f"{recipe.name}-{_digest(model)}-r{REVISION}"
    if not (place / "done").exists():
        place.mkdir(parents=True, exist_ok=True)
        _save_clip(place, make_clip(model, person(), recipe.seed, recipe.face_px, recipe.frames))
        (place / "done").touch()
    clip = _load_clip(place)
    return Filmed(recipe, clip, known_landmarks(place, clip.pictures, clip.rate))


def known_landmarks(place: Path, pictures: np.ndarray, rate: float) -> LandmarkTrack:
    """The landmarks of a clip that is kept in a folder, tracked the first time."""
    path = place / "landmarks.npz"
    if not path.exists():
        save_landmarks(path, track_landmarks(iter(pictures), rate, LandmarksConfig()))
    return load_landmarks(path)


def with_true_landmarks(model: MorphableModel, filmed: Filmed) -> Filmed:
    """The same clip as a detector without any error would see it."""
    truth = filmed.clip.truth
    points = mesh_landmarks(model, truth)
    placed = transform_points(points, truth.track.rotation, truth.track.translation).numpy()
    middle = truth.track.translation.numpy()[:, None, 2:]
    depth_px = (placed[..., 2:] - middle) * truth.camera.focal_px / middle
    seen = np.concatenate([in_picture(truth, points), depth_px], -1).astype(np.float32)
    landmarks = replace(
        filmed.landmarks,
        points=seen,
        confidence=np.ones(len(seen), np.float32),
        state=np.ones(len(seen), np.uint8),
    )
    return replace(filmed, landmarks=landmarks)


def keeper_of(model: MorphableModel, seed: int, spread: float) -> Callable[[], Person]:
    """Makes the person of a seed when first asked, and keeps them."""
    return cache(lambda: make_person(model, seed, spread))


def _digest(model: MorphableModel) -> str:
    """Of the shapes; the landmarks' embedding only moves the painted brows by a hair."""
    told = hashlib.blake2b(digest_size=4)
    for part in (model.mean, model.identity_basis, model.expression_basis, model.triangles):
        told.update(np.ascontiguousarray(part.numpy()).tobytes())
    return told.hexdigest()


def _save_clip(place: Path, clip: SyntheticClip) -> None:
    truth = clip.truth
    np.save(place / "pictures.npy", clip.pictures)
    save_coefficients(place / "truth.npz", truth.person, truth.track, truth.camera)
    np.savez(place / "more.npz", albedo=truth.albedo.numpy(), still=truth.still,
             neutral=truth.neutral, rate=clip.rate)  # fmt: skip


def _load_clip(place: Path) -> SyntheticClip:
    pictures = np.load(place / "pictures.npy", mmap_mode="r")
    person, track, camera = load_coefficients(place / "truth.npz")
    with np.load(place / "more.npz") as more:
        truth = Truth(person, track, camera, torch.from_numpy(more["albedo"]), more["still"],
                      more["neutral"])  # fmt: skip
        return SyntheticClip(pictures, float(more["rate"]), truth)
