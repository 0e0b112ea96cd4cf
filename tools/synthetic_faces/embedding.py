"""Where the detector's landmarks lie on the face model, learned from many synthetic people.

One picture of the average face tells where the detector sees a landmark on that picture. On
pictures of people with brows, lashes, beards and a light from somewhere it sees most of them
elsewhere, by the same 2 mm and more for everybody. Here each landmark gets the surface point that
is nearest to what is detected, over people, poses, expressions and lights.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.spatial import cKDTree

from metatalk.evaluate.fit_errors import skin_and_outline
from metatalk.landmarks.points import point_groups
from metatalk.morphable.model import MorphableModel
from metatalk.morphable.pose import transform_points
from synthetic_faces.store import Filmed

DIVISIONS = 4  # candidates lie on a grid of so many steps along each edge: about 1 mm apart
REACH_MM = 8.0  # how far a landmark may move
STAY = 0.004  # squared mm of detection's distance that a squared mm of movement must be worth
FURTHEST_MM = 11.0  # a detection further off counts as if it were so far
FRONT_MM = 75.0  # depth up to which skin belongs to the front of the head
TURNED_RAD = 0.52  # heads that are turned further are left out
JAW_SHARE = 0.12  # candidates follow the jaw as the landmark does, but for this share
CHIN = 3  # landmarks of the outline on each side of the chin's that are learned too
EVERY = 2  # frames


@dataclass(frozen=True, eq=False)
class Embedding:
    """A surface point for each landmark, and how far from it detections are."""

    triangles: np.ndarray  # (L,) int64
    weights: np.ndarray  # (L, 3) float32
    bias_mm: np.ndarray  # (L,) of the mean detection: what the best point still leaves
    sigma_mm: np.ndarray  # (L,) root mean square over people and frames
    within_mm: np.ndarray  # (L,) the part that changes within a clip


@dataclass(frozen=True, eq=False)
class Sight:
    """One clip's frames as far as they are looked at."""

    pixels: np.ndarray  # (N, V, 2) where the true vertices are seen
    mm_per_px: np.ndarray  # (N,)
    detected: np.ndarray  # (N, L, 2) pixels


def learn_embedding(model: MorphableModel, clips: Iterable[Filmed]) -> Embedding:
    """Find the surface point under each landmark.

    Args:
        model: the face model with an embedding to begin with.
        clips: of as many people as there are.

    Returns:
        The embedding. Landmarks of the outline, which slide over the skin, stay where they are,
        but for those about the chin.
    """
    sights = [look(model, filmed) for filmed in clips]
    triangles, weights = _candidates(model)
    places = _interpolate(model.mean.numpy(), model, triangles, weights)
    allowed = _allowed(model, places, triangles, weights)
    near = np.unique(np.concatenate(list(allowed.values())))
    cost = {one: np.zeros(len(those)) for one, those in allowed.items()}
    for sight in sights:
        for frame, scale in enumerate(sight.mm_per_px):
            seen = np.zeros((len(places), 2))
            seen[near] = _interpolate(sight.pixels[frame], model, triangles[near], weights[near])
            for one, those in allowed.items():
                apart = ((seen[those] - sight.detected[frame, one]) ** 2).sum(1) * scale**2
                cost[one] += np.minimum(apart, FURTHEST_MM**2) / len(sight.mm_per_px)
    now = _current(model)
    chosen_triangles = model.landmark_triangles.numpy().copy()
    chosen_weights = model.landmark_weights.numpy().copy()
    for one, those in allowed.items():
        moved = ((places[those] - now[one]) ** 2).sum(1)
        best = those[(cost[one] / len(sights) + STAY * moved).argmin()]
        chosen_triangles[one], chosen_weights[one] = triangles[best], weights[best]
    spread = measure_embedding(model, sights, chosen_triangles, chosen_weights)
    return Embedding(chosen_triangles, chosen_weights, *spread)


def look(model: MorphableModel, filmed: Filmed) -> Sight:
    """Where the true surface and the detections are in the frames of a clip that count."""
    truth, landmarks = filmed.clip.truth, filmed.landmarks
    facing = (truth.track.rotation[:, 1].abs() < TURNED_RAD).numpy() & landmarks.has_face
    frames = np.flatnonzero(facing)[::EVERY]
    track = truth.track.take(frames)
    shape = model.shape(truth.person.identity, track.expression)
    placed = transform_points(shape, track.rotation, track.translation)
    depth = placed[..., 2].mean(1).numpy()
    pixels = truth.camera.project(placed).numpy()
    return Sight(pixels, depth / truth.camera.focal_px, landmarks.points[frames, :, :2])


def measure_embedding(
    model: MorphableModel, sights: Iterable[Sight], triangles: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How far detections are from an embedding's points.

    Args:
        model: the face model.
        sights: of the clips.
        triangles: (L,) the embedding's.
        weights: (L, 3) the embedding's.

    Returns:
        (L,) mm each: of the mean over all clips; root mean square; the same about each clip's
        own mean.
    """
    means, squares, within = [], [], []
    for sight in sights:
        seen = np.stack([_interpolate(one, model, triangles, weights) for one in sight.pixels])
        error = (sight.detected - seen) * sight.mm_per_px[:, None, None]
        means.append(error.mean(0))
        squares.append((error**2).sum(-1).mean(0))
        within.append(((error - means[-1]) ** 2).sum(-1).mean(0))
    bias = np.linalg.norm(np.mean(means, 0), axis=-1)
    return bias, np.sqrt(np.mean(squares, 0)), np.sqrt(np.mean(within, 0))


def save_embedding(path: Path, embedding: Embedding) -> None:
    """Write an embedding as `.npz` without pickle."""
    np.savez(
        path,
        landmark_triangles=embedding.triangles,
        landmark_weights=embedding.weights.astype(np.float32),
        bias_mm=embedding.bias_mm.astype(np.float32),
        sigma_mm=embedding.sigma_mm.astype(np.float32),
        within_mm=embedding.within_mm.astype(np.float32),
    )


def describe_embedding(model: MorphableModel, embedding: Embedding) -> str:
    """One line a group of landmarks: what is left, mm."""
    groups = point_groups(model.landmark_layout)
    told = {"skin": skin_and_outline(groups)[0].nonzero()[0].tolist()}
    told |= {name: list(getattr(groups, name)) for name in ("lips", "eyes", "brows", "nose", "jaw")}

    def mean(values: np.ndarray, chosen: list[int]) -> float:
        return float(np.sqrt((values[chosen] ** 2).mean()))

    lines = []
    for name, chosen in told.items():
        total, common, within = (
            mean(values, chosen)
            for values in (embedding.sigma_mm, embedding.bias_mm, embedding.within_mm)
        )
        lines.append(f"{name}: {total:.2f} mm, common {common:.2f}, within a clip {within:.2f}")
    return "\n".join(lines)


def _interpolate(
    values: np.ndarray, model: MorphableModel, triangles: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """(V, C) at the vertices to (N, C) at points of the surface."""
    return (values[model.triangles.numpy()[triangles]] * weights[..., None]).sum(1)


def _current(model: MorphableModel) -> np.ndarray:
    """(L, 3) mm: the landmarks on the average face."""
    return _interpolate(
        model.mean.numpy(), model, model.landmark_triangles.numpy(), model.landmark_weights.numpy()
    )


def _candidates(model: MorphableModel) -> tuple[np.ndarray, np.ndarray]:
    """(N,) triangles and (N, 3) weights of a grid of points over the skin of the face."""
    skin = model.region_triangles("skin")
    front = model.mean[model.triangles[skin]][..., 2].mean(1) < FRONT_MM
    skin = skin[front].numpy()
    grid = np.array(list(_shares())) / DIVISIONS
    triangles, weights = np.repeat(skin, len(grid)), np.tile(grid, (len(skin), 1))
    places = _interpolate(model.mean.numpy(), model, triangles, weights)
    _, once = np.unique(places.round(3), axis=0, return_index=True)  # edges belong to two
    return triangles[once], weights[once]


def _shares() -> Iterator[tuple[int, int, int]]:
    for first in range(DIVISIONS + 1):
        for second in range(DIVISIONS + 1 - first):
            yield first, second, DIVISIONS - first - second


def _allowed(
    model: MorphableModel, places: np.ndarray, triangles: np.ndarray, weights: np.ndarray
) -> dict[int, np.ndarray]:
    """Candidates of each landmark that is learned: near it, and moved alike by the jaw."""
    groups = point_groups(model.landmark_layout)
    skin, _ = skin_and_outline(groups)
    middle = groups.jaw.index(groups.chin)
    skin[list(groups.jaw[middle - CHIN : middle + CHIN + 1])] = True
    drop = torch.tensordot(model.open_mouth, model.expression_basis, 1)[:, 1:2].numpy()
    own = _interpolate(
        drop, model, model.landmark_triangles.numpy(), model.landmark_weights.numpy()
    )
    theirs = _interpolate(drop, model, triangles, weights)
    tolerance = JAW_SHARE * np.abs(drop).max()
    tree, now, allowed = cKDTree(places), _current(model), {}
    for one in np.flatnonzero(skin).tolist():
        those = np.array(tree.query_ball_point(now[one], REACH_MM), int)
        alike = those[np.abs(theirs[those, 0] - own[one, 0]) < tolerance]
        if len(alike):
            allowed[one] = alike
    return allowed
