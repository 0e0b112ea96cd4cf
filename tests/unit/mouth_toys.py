"""A toy head with lips that part before a palate, and footage of it to carry texture from."""

from __future__ import annotations

import numpy as np
import torch
from face_toys import CAMERA
from torch import Tensor

from metatalk.landmarks.points import point_groups
from metatalk.morphable.coefficients import PersonCoefficients, TrackCoefficients
from metatalk.morphable.lighting import ambient_light
from metatalk.morphable.model import REGIONS, MorphableModel
from metatalk.neural.batches import LowerFaceCrops
from metatalk.neural.matching import describe_looks
from metatalk.render.scene import Scene
from metatalk.stages.library import Material

UNITS = ("jawOpen", "mouthSmileLeft", "browInnerUp")
RINGS = ((20.0, 0.0), (28.0, 12.0), (45.0, 40.0), (60.0, 60.0))  # half axes, mm; lips first
DROPS = (16.0, 12.0, 5.0, 0.0)  # mm that the jaw takes each ring down by
PALATE_MM = 8.0  # behind the lips
PERSON = PersonCoefficients(torch.zeros(1), torch.zeros(1))
RATE = 10.0
SCALE = 1.0  # crop px per frame px, at a crop of 80 px


def mouth_model(layout: str = "ibug68", palate: bool = True) -> MorphableModel:
    """A dished sheet with a slit, its corner landmarks those of the inner lips.

    Args:
        layout: of the landmarks; empty for none.
        palate: whether there is an inside of the mouth.
    """
    around = len(point_groups(layout or "ibug68").lips_inner)
    turns = np.pi + 2 * np.pi * torch.arange(around) / around
    ring = torch.stack((turns.cos(), turns.sin()), -1).float()
    ring[torch.isclose(ring, torch.zeros(()), atol=1e-6)] = 0.0
    flat = [ring * torch.tensor(axes) for axes in RINGS]
    sheets = [torch.cat((xy, 0.004 * xy.square().sum(-1, keepdim=True)), -1) for xy in flat]
    drops = [torch.tensor([0.0, drop, 0.0]) * ring[:, 1:].clamp_min(0) for drop in DROPS]
    plate = torch.cat((ring * torch.tensor([24.0, 24.0]), torch.zeros(1, 2)))
    plate = torch.cat((plate, torch.full((len(plate), 1), PALATE_MM)), -1)
    mean, count = torch.cat((*sheets, plate)), around * len(RINGS)
    opening = torch.cat((*drops, torch.zeros_like(plate)))
    smile = torch.zeros_like(mean)
    smile[:count, 0] = 3.0 * (mean[:count, 0] / 60.0)
    level = torch.arange(len(mean)) // around
    skin = level < len(RINGS)
    regions = {name: torch.zeros(len(mean), dtype=torch.bool) for name in REGIONS}
    regions |= {"skin": skin, "face": skin, "lips": level <= 1, "lower_face": level <= 2}
    regions["inner_mouth"] = ~skin & palate
    number, weights = _embed(layout, around)
    return MorphableModel(
        source="toy",
        terms="none",
        mean=mean,
        identity_basis=smile[None].clone(),
        expression_basis=torch.stack((opening, smile, 0.1 * smile)),
        texture_mean=torch.tensor([0.6, 0.45, 0.4]).expand(len(mean), 3).clone(),
        texture_basis=torch.zeros(1, len(mean), 3),
        triangles=_triangles(around, palate),
        expression_names=UNITS,
        regions=regions,
        landmark_triangles=number,
        landmark_weights=weights,
        landmark_layout=layout,
    )


def _triangles(around: int, palate: bool) -> Tensor:
    faces = []
    for n in range(around):
        m = (n + 1) % around
        for inner in range(0, (len(RINGS) - 1) * around, around):
            outer = inner + around
            faces += [(outer + n, inner + n, outer + m), (outer + m, inner + n, inner + m)]
    plate = len(RINGS) * around
    if palate:
        faces += [(plate + n, plate + around, plate + (n + 1) % around) for n in range(around)]
    return torch.tensor(faces)


def _embed(layout: str, around: int) -> tuple[Tensor, Tensor]:
    """The landmarks of the inner lips lie on their vertices, all others on the first triangle."""
    if not layout:
        return torch.zeros(0, dtype=torch.long), torch.zeros(0, 3)
    groups = point_groups(layout)
    number = torch.zeros(groups.count, dtype=torch.long)
    weights = torch.full((groups.count, 3), 1 / 3)
    per_turn = 2 * (len(RINGS) - 1)
    for place, point in enumerate(groups.lips_inner):
        number[point] = per_turn * place  # its second corner is vertex `place`
        weights[point] = torch.tensor([0.0, 1.0, 0.0])
    return number, weights


def facing_track(opened: Tensor, degrees: Tensor | None = None) -> TrackCoefficients:
    """A head before the camera; (T,) how far its mouth is open and how far it is turned."""
    frames = len(opened)
    expression = torch.zeros(frames, len(UNITS))
    expression[:, 0] = opened
    rotation = torch.zeros(frames, 3)
    if degrees is not None:
        rotation[:, 1] = torch.deg2rad(degrees)
    return TrackCoefficients(
        expression=expression,
        rotation=rotation,
        translation=torch.tensor([0.0, 0.0, 700.0]).expand(frames, 3).clone(),
        lighting=ambient_light(0.8).expand(frames, 3, 9).clone(),
        confidence=torch.ones(frames),
    )


def mouth_scene(size: int = 80, model: MorphableModel | None = None) -> Scene:
    """The head, to be drawn into crops."""
    return Scene(model or mouth_model(), PERSON, CAMERA, size, backend="numba")


def centred_crops(frames: int, size: int) -> np.ndarray:
    """(T, 2, 3) frame px to px of a crop that shows the whole face."""
    scale = SCALE * size / 80
    x, y = size / 2 - scale * CAMERA.width / 2, size / 2 - scale * CAMERA.height / 2
    return np.tile(np.array([[scale, 0.0, x], [0.0, scale, y]]), (frames, 1, 1))


def speaking(frames: int) -> TrackCoefficients:
    """A mouth that opens and closes, on a head that turns slowly."""
    time = torch.arange(frames)
    return facing_track(0.5 + 0.4 * torch.sin(0.9 * time), 4.0 * torch.sin(0.11 * time))


def shade_of(row: np.ndarray | int) -> np.ndarray | int:
    """The grey that frame number `row` is filmed in, so that texture tells where it is from."""
    return 20 + 3 * row


def toy_material(frames: int = 60, size: int = 32, numbers: np.ndarray | None = None) -> Material:
    """Footage in which every frame has a grey of its own, see `shade_of`."""
    scene, track = mouth_scene(size), speaking(frames)
    transforms = centred_crops(frames, size)
    shades = np.broadcast_to(
        shade_of(np.arange(frames))[:, None, None, None], (frames, size, size, 3)
    )
    crops = LowerFaceCrops(
        shades.astype(np.uint8),
        scene.synthetic(track, transforms),
        scene.mask(track, transforms),
        frames=np.arange(frames) if numbers is None else numbers,
    )
    looks = describe_looks(scene.model, track)
    blur = np.zeros(frames, np.float32)
    return Material(scene, crops, track, transforms, RATE, looks, blur)
