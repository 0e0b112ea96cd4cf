"""A random person of the face model: shape, skin, eyes and hair, ready to be drawn."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import scipy.sparse as sparse
import torch
from demo_presenter.geometry import unroll
from demo_presenter.head import LOCAL, PLACE, Scene, build_scene
from demo_presenter.person import presenter_texture
from demo_presenter.picture import Studio, open_studio
from demo_presenter.skin import SIZE, texels
from torch import Tensor

from metatalk.morphable.model import MorphableModel
from metatalk.render.rasterize import interpolate, rasterize

LIMIT = 2.5  # of the spread: the furthest that a coefficient goes
GLOSS = 0.4  # of the presenter's: its highlights belong to its own lamps
BEARD_SHARE = 0.4  # of the people
BLOTCHES = 0.08  # standard deviations of the texture modes
BROWS = ((70, 63, 105, 66, 107, 46, 53, 52, 65, 55),  # mediapipe's: upper line, lower line
         (300, 293, 334, 296, 336, 276, 283, 282, 295, 285))  # fmt: skip
BROW_LINES = ((52, -7.5), (46, -11.5), (37, -14), (26, -14), (13.5, -12.5),
              (49, -5), (43, -8), (35, -9.5), (25, -9), (12, -6.5))  # fmt: skip
BROW_SPREAD_MM = 1.5  # of how high people's brows are
FRONT_MM = 40.0  # depth up to which skin belongs to the front of the head
SOFT_PX = 8.0  # of the skin's maps: albedo is told as it is seen from where the vertices are


@dataclass(frozen=True, eq=False)
class Person:
    """Somebody to film, and what is true about them."""

    studio: Studio
    identity: Tensor  # (I,)
    texture: Tensor  # (X,) what comes closest to the painted skin
    albedo: np.ndarray  # (V, 3) RGB in [0, 1] as painted; nan where nothing is painted


def draw_person(model: MorphableModel, spread: float, generator: np.random.Generator) -> Person:
    """Make somebody up.

    Args:
        model: the face model.
        spread: standard deviation of the identity coefficients.
        generator: of random numbers.

    Returns:
        The person.
    """
    values = generator.standard_normal(len(model.identity_basis)).clip(-LIMIT, LIMIT)
    identity = torch.from_numpy(spread * values).float()
    scene = build_scene(_with_brows(model, generator), identity)
    scene = replace(scene, finer=straight_subdivision(scene.finer, len(model.mean)))
    albedo = scene.skin.albedo * _tone(generator) * _tint(model, scene, _blotches(model, generator))
    if generator.uniform() < BEARD_SHARE:
        albedo = albedo * _beard(generator)
    maps = replace(scene.skin, albedo=albedo.clip(0.02, 0.95), gloss=GLOSS * scene.skin.gloss)
    scene = replace(scene, skin=maps)
    texture = presenter_texture(scene)
    return Person(open_studio(scene), identity, texture, _albedo_at_vertices(model, scene))


def _with_brows(model: MorphableModel, generator: np.random.Generator) -> MorphableModel:
    """The model with the landmarks that brows are painted between on the ridge that units move.

    They do not come from the embedding: what is learned about it from these pictures must not
    have been put into them by itself.
    """
    inside = model.region_triangles("skin")
    corners = model.mean[model.triangles[inside]].numpy()  # (F, 3, 3)
    inside = inside[corners[..., 2].mean(1) < FRONT_MM]
    centres = model.mean[model.triangles[inside]].mean(1).numpy()
    places, weights = model.landmark_triangles.clone(), model.landmark_weights.clone()
    lift = generator.normal(0, BROW_SPREAD_MM)
    for side, numbers in ((-1.0, BROWS[0]), (1.0, BROWS[1])):
        for number, (across, down) in zip(numbers, BROW_LINES, strict=True):
            apart = np.hypot(centres[:, 0] - side * across, centres[:, 1] - down - lift)
            places[number] = inside[int(apart.argmin())]
            weights[number] = 1 / 3
    return replace(model, landmark_triangles=places, landmark_weights=weights)


def straight_subdivision(finer: sparse.csr_matrix, count: int) -> sparse.csr_matrix:
    """The subdivision without its smoothing, so that what is drawn is the model's own surface.

    Args:
        finer: (V', V); the first V rows belong to the old vertices, the others to edges.
        count: V.
    """
    edges = (finer[count:] > 0.3).astype(np.float32)  # the ends of an edge weigh 3/8 or 1/2
    return sparse.vstack([sparse.identity(count, np.float32), 0.5 * edges]).tocsr()


def _tone(generator: np.random.Generator) -> np.ndarray:
    """(3,) from fair to dark: blue is lost first."""
    return generator.uniform(0.4, 1.05) ** np.array([1.0, 1.3, 1.5])


def _blotches(model: MorphableModel, generator: np.random.Generator) -> Tensor:
    """(X,) uneven skin: the model's modes, nearly grey and far smaller than it would allow.

    At the standard deviation that the modes are given nobody would look like a human being.
    """
    grey = np.repeat(generator.standard_normal(len(model.texture_basis) // 3), 3)
    own = generator.standard_normal(len(model.texture_basis))
    return torch.from_numpy(BLOTCHES * (grey + 0.15 * own)).float()


def _tint(model: MorphableModel, scene: Scene, texture: Tensor) -> np.ndarray:
    """(H, W, 3) how the person's skin differs from the average, on the maps of the skin."""
    ratio = (model.albedo(texture) / model.texture_mean.clamp_min(0.05)).numpy()
    skin = model.regions["skin"].numpy()
    ratio = np.where(skin[:, None], ratio.clip(0.25, 1.3), 1.0)
    rest = model.neutral(scene.identity).numpy()
    place = unroll(rest)
    triangles = model.triangles.numpy()
    flat = triangles[skin[triangles].all(1) & (np.ptp(place[triangles][..., 0], axis=1) < 60)]
    depth = 1000 - np.hypot(rest[:, 0], rest[:, 2] - 60.0)
    points = np.concatenate([texels(place), depth[:, None]], -1).astype(np.float32)
    seen = rasterize(points[None], flat.astype(np.int32), *SIZE, threads=1)
    return interpolate(seen, flat, ratio.astype(np.float32), background=1.0, threads=1)[0]


def _beard(generator: np.random.Generator) -> np.ndarray:
    """(H, W, 1) darkness of a full beard or a goatee; lips are left as they are by being above."""
    height, around = np.mgrid[0 : SIZE[0], 0 : SIZE[1]].astype(np.float32) / 5.0
    height, around = height - 118.0, around - 150.0
    reach = generator.uniform(28, 100)  # mm around the face
    below = 1 / (1 + np.exp(-(height - 84) / 3.0)) / (1 + np.exp((height - 130) / 5.0))
    sides = 1 / (1 + np.exp((np.abs(around) - reach) / 4.0))
    return (1 - generator.uniform(0.3, 0.6) * below * sides)[..., None]


def _albedo_at_vertices(model: MorphableModel, scene: Scene) -> np.ndarray:
    count = len(model.mean)
    place = scene.fixed[:count, PLACE : PLACE + 2].astype(int)
    soft = cv2.GaussianBlur(scene.skin.albedo, (0, 0), SOFT_PX)
    column, row = place[:, 0].clip(0, SIZE[1] - 1), place[:, 1].clip(0, SIZE[0] - 1)
    albedo = soft[row, column].astype(np.float32)
    painted = model.regions["skin"].numpy() & (scene.fixed[:count, LOCAL + 2] < 60)
    return np.where(painted[:, None], albedo, np.nan)
