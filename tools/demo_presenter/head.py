"""Everything that stands before the camera, and where it is in each frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sparse
import torch

from demo_presenter.geometry import (
    Mesh,
    eyeball,
    jumper,
    smooth_normals,
    sphere,
    sphere_directions,
    subdivide,
    throat,
    unroll,
    visibility,
)
from demo_presenter.light import Occlusion, window_directions
from demo_presenter.skin import SkinMaps, paint_skin, texels
from metatalk.morphable.model import MorphableModel
from metatalk.morphable.pose import euler_to_matrix

SKIN, TEETH, TONGUE, EYE, CLOTH = range(5)  # what a triangle is made of
# Columns of the values that are carried to each pixel.
NORMAL, PLACE, AMBIENT, WINDOW, INSIDE, LOCAL = 0, 3, 5, 6, 7, 8
COLUMNS = 11
GAZE_RAD = 0.42  # how far an eye turns at full activation of a look
TONGUE_REST = np.array([0.0, 6.5, 3.0], np.float32)  # mm; the model's tongue lies at the palate
UPPER_TEETH = np.array([0.0, 2.2, -1.5], np.float32)  # mm; the model's hide behind the lip
OPEN_JAW = 0.5  # activation at which the open mouth's shadows are measured
AMBIENT_RAYS, WINDOW_RAYS = 90, 30


@dataclass(frozen=True, eq=False)
class Scene:
    """What does not change from frame to frame."""

    model: MorphableModel
    identity: torch.Tensor  # (I,)
    finer: sparse.csr_matrix  # (V', V) subdivision of the model's mesh
    triangles: np.ndarray  # (F, 3) head, two eyes, jumper
    materials: np.ndarray  # (F,) int8
    fixed: np.ndarray  # (N, COLUMNS) the values of all points that do not depend on the frame
    shut: Occlusion  # head and eyes, with the mouth closed
    open: Occlusion  # the same with the jaw down
    eyes: tuple[tuple[np.ndarray, float], ...]  # centre and radius, picture's left one first
    ball: Mesh  # the unit sphere
    back: Mesh  # of the mouth
    cloth: Mesh
    skin: SkinMaps
    tongue: np.ndarray  # (V',) 0 to 1
    upper_teeth: np.ndarray  # (V',) 0 to 1
    head_triangles: np.ndarray  # (F', 3) of the subdivided head, eyes left out


@dataclass(frozen=True, eq=False)
class Posed:
    """One frame's points in the camera's frame, with what is carried to the pixels."""

    points: np.ndarray  # (N, 3) mm, camera frame
    values: np.ndarray  # (N, COLUMNS)
    head: np.ndarray  # (V', 3) mm, model frame
    rotation: np.ndarray  # (3, 3)
    translation: np.ndarray  # (3,)


def build_scene(model: MorphableModel, identity: torch.Tensor) -> Scene:
    """Build the presenter.

    Args:
        model: the face model.
        identity: (I,) who it is.

    Returns:
        The scene.
    """
    regions = {name: mask.numpy() for name, mask in model.regions.items()}
    coarse = model.triangles.numpy()
    coarse = coarse[~regions["eyes"][coarse].any(1)]
    finer, triangles = subdivide(coarse, len(model.mean))
    neutral = model.neutral(identity).numpy()
    rest = finer @ neutral
    triangles = triangles[~_under_the_jumper(rest)[triangles].any(1)]
    jaw = model.expression_basis[model.expression_names.index("jawOpen")].norm(dim=-1).numpy()
    regions["upper_teeth"] = regions["teeth"] & (jaw < 0.1)
    spread = {name: finer @ mask.astype(np.float32) for name, mask in regions.items()}
    ball, back, (cloth, knit) = sphere(), throat(), jumper()
    eyes = tuple(eyeball(model, neutral, side) for side in (-1, 1))
    materials = _materials(triangles, spread, ball, back, cloth)
    marks = model.landmark_basis()
    landmarks = marks[0].numpy() + np.tensordot(identity.numpy(), marks[1].numpy(), 1)
    outside = triangles[(spread["inner_mouth"] < 0.5)[triangles].all(1)]
    skin = paint_skin(rest.astype(np.float32), outside, spread["lips"], landmarks)
    fixed = _fixed_values(rest, spread, ball, back, cloth, knit)
    all_triangles = _joined(triangles, ball, ball, back, cloth, points=len(rest))
    shades = []
    for opening in (0.0, OPEN_JAW):
        units = torch.zeros(len(model.expression_names))
        units[model.expression_names.index("jawOpen")] = opening
        shape = finer @ model.shape(identity, units).numpy()
        shades.append(_occlusion(shape, triangles, eyes, ball))
    return Scene(model, identity, finer, all_triangles, materials, fixed, shades[0], shades[1],
                 eyes, ball, back, cloth, skin, spread["tongue"], spread["upper_teeth"],
                 triangles)  # fmt: skip


def pose_scene(
    scene: Scene, expression: torch.Tensor, rotation: torch.Tensor, translation: torch.Tensor,
    body: np.ndarray,
) -> Posed:  # fmt: skip
    """Put the presenter before the camera.

    Args:
        scene: the presenter.
        expression: (E,) face units.
        rotation: (3,) Euler angles, radians.
        translation: (3,) mm, camera frame.
        body: (3,) where the jumper's origin is, mm, camera frame.
    """
    shape = scene.model.shape(scene.identity, expression).numpy()
    head = (scene.finer @ shape).astype(np.float32)
    names = scene.model.expression_names
    units = dict(zip(names, expression.tolist(), strict=True))
    head += scene.tongue[:, None] * TONGUE_REST * np.float32(1 - min(1, 3 * units["tongueOut"]))
    head += scene.upper_teeth[:, None] * UPPER_TEETH
    turn = euler_to_matrix(rotation).numpy()
    shift = translation.numpy()
    balls = [
        centre + radius * scene.ball.vertices @ _gaze(units, side).T
        for side, (centre, radius) in zip(("Right", "Left"), scene.eyes, strict=True)
    ]
    points = [part @ turn.T + shift for part in (head, *balls, scene.back.vertices)]
    points.append(scene.cloth.vertices + body)
    normals = [smooth_normals(head, scene.head_triangles) @ turn.T]
    normals += [(part - centre) / radius @ turn.T
                for part, (centre, radius) in zip(balls, scene.eyes, strict=True)]  # fmt: skip
    normals.append(scene.back.normals @ turn.T)
    values = scene.fixed.copy()
    values[:, NORMAL : NORMAL + 3] = np.concatenate([*normals, scene.cloth.normals])
    shadowed = len(scene.shut.ambient)
    down = np.clip((units["jawOpen"] - units["mouthClose"]) / OPEN_JAW, 0, 1.2)
    for column, name in ((AMBIENT, "ambient"), (WINDOW, "window")):
        shut, wide = getattr(scene.shut, name), getattr(scene.open, name)
        values[:shadowed, column] = np.clip(shut + down * (wide - shut), 0, 1)
    return Posed(np.concatenate(points).astype(np.float32), values, head, turn, shift)


def _gaze(units: dict[str, float], side: str) -> np.ndarray:
    """(3, 3) how an eye is turned; "Right" is the person's own, on the picture's left."""
    outwards = -1.0 if side == "Right" else 1.0
    across = outwards * (units[f"eyeLookOut{side}"] - units[f"eyeLookIn{side}"]) * GAZE_RAD
    down = (units[f"eyeLookDown{side}"] - units[f"eyeLookUp{side}"]) * GAZE_RAD
    # the pole looks along -z: turning about y by -across takes it to the right
    angles = torch.tensor([down, -across, 0.0], dtype=torch.float64)
    return euler_to_matrix(angles).numpy()


def _materials(
    triangles: np.ndarray, spread: dict[str, np.ndarray], ball: Mesh, back: Mesh, cloth: Mesh
) -> np.ndarray:
    head = np.full(len(triangles), SKIN)
    for code, name in ((TEETH, "teeth"), (TONGUE, "tongue")):
        head[(spread[name] > 0.5)[triangles].all(1)] = code
    sizes = [2 * len(ball.triangles), len(back.triangles), len(cloth.triangles)]
    return np.concatenate([head, np.repeat([EYE, TONGUE, CLOTH], sizes)]).astype(np.int8)


def _joined(triangles: np.ndarray, *meshes: Mesh, points: int) -> np.ndarray:
    """All triangles, each mesh's points following those before."""
    parts = [triangles]
    for mesh in meshes:
        parts.append(mesh.triangles + points)
        points += len(mesh.vertices)
    return np.concatenate(parts).astype(np.int32)


def _fixed_values(
    rest: np.ndarray, spread: dict[str, np.ndarray], ball: Mesh, back: Mesh, cloth: Mesh,
    knit: np.ndarray,
) -> np.ndarray:  # fmt: skip
    head, eye, curtain, wool = (
        np.zeros((count, COLUMNS), np.float32)
        for count in (len(rest), len(ball.vertices), len(back.vertices), len(cloth.vertices))
    )
    head[:, PLACE : PLACE + 2] = texels(unroll(rest))
    head[:, INSIDE] = spread["inner_mouth"]
    for block, local in ((head, rest), (eye, ball.vertices), (curtain, back.vertices)):
        block[:, LOCAL : LOCAL + 3] = local
    wool[:, PLACE : PLACE + 2] = knit
    wool[:, AMBIENT], wool[:, WINDOW] = _under_the_chin(cloth.vertices)
    return np.concatenate([head, eye, eye, curtain, wool])


def _under_the_jumper(rest: np.ndarray) -> np.ndarray:
    """(V,) bool: shoulders, which the jumper hides."""
    x, y, _ = rest.T
    return (y > 178) | ((np.abs(x) > 84) & (y > 100))


def _under_the_chin(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ambient and window light on the jumper: the head shades what is near the throat."""
    x, y, z = points.T
    near = np.exp(-(((x - 14) / 62) ** 2) - ((y - 156) / 30) ** 2)
    inside = np.clip((150 - y) / 20, 0, 1) * (np.hypot(x, z - 95) < 64)
    return 1 - 0.45 * near - 0.5 * inside, 1 - 0.75 * near - 0.2 * inside


def _occlusion(
    head: np.ndarray, triangles: np.ndarray, eyes: tuple, ball: Mesh
) -> Occlusion:  # fmt: skip
    balls = [centre + radius * ball.vertices for centre, radius in eyes]
    count, size = len(head), len(ball.vertices)
    faces = [triangles, ball.triangles + count, ball.triangles + count + size]
    mesh = Mesh(np.concatenate([head, *balls]).astype(np.float32), np.concatenate(faces))
    around = sphere_directions(AMBIENT_RAYS)
    cosine = np.clip(around @ mesh.normals.T, 0, None)
    ambient = (visibility(mesh, around) * cosine).sum(0) / cosine.sum(0).clip(1e-3)
    window = visibility(mesh, window_directions(WINDOW_RAYS, 0.16)).mean(0)
    return Occlusion(ambient.astype(np.float32), window.astype(np.float32))
