"""A frame of the film: the presenter, the room behind, the lens and the sensor."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch

from demo_presenter.hair import Hair, draw_hair, grow_hair
from demo_presenter.head import EYE, Posed, Scene, pose_scene
from demo_presenter.lashes import Lashes, draw_lashes, plant_lashes
from demo_presenter.shading import shade_pixels
from demo_presenter.skin import noise
from metatalk.morphable.camera import Camera
from metatalk.morphable.coefficients import TrackCoefficients
from metatalk.render.rasterize import interpolate, rasterize

SIZE = 640  # columns and rows of the film
FINER = 2  # pictures are drawn this much larger
CAMERA = Camera(1790.0, SIZE, SIZE)
GRAIN = 0.0075


@dataclass(frozen=True, eq=False)
class Studio:
    """Everything that pictures are made of."""

    scene: Scene
    hair: Hair
    lashes: Lashes
    room: np.ndarray  # (H, W, 3) the background, at the finer size
    skin: np.ndarray  # (h, w, 6) albedo, slopes and gloss
    knit: np.ndarray  # (h, w, 2) tone and slope of the jumper; tiles
    iris: np.ndarray  # (h, w, 3) albedo of an eye by radius and angle


def open_studio(scene: Scene) -> Studio:
    """Set the room up around the presenter."""
    rest = (scene.finer @ scene.model.neutral(scene.identity).numpy()).astype(np.float32)
    hair = grow_hair(rest, scene.head_triangles)
    maps = scene.skin
    skin = np.concatenate([maps.albedo, maps.slope, maps.gloss[..., None]], -1)
    return Studio(scene, hair, _plant(scene), _room(SIZE * FINER), skin, _knit(), _iris())


def draw_frame(
    studio: Studio, track: TrackCoefficients, frame: int, body: np.ndarray
) -> np.ndarray:
    """Draw one frame.

    Args:
        studio: the set.
        track: what the presenter does.
        frame: its number.
        body: (3,) where the jumper is, mm, camera frame.

    Returns:
        (SIZE, SIZE, 3) uint8 RGB.
    """
    scene = studio.scene
    posed = pose_scene(
        scene, track.expression[frame], track.rotation[frame], track.translation[frame], body
    )
    light = track.lighting[frame].numpy().astype(np.float64)
    fine = SIZE * FINER
    picture = studio.room.copy()
    seen = rasterize(_project(posed.points)[None], scene.triangles, fine, fine, threads=1)
    values = interpolate(seen, scene.triangles, posed.values, threads=1)[0]
    units = dict(zip(scene.model.expression_names, track.expression[frame].tolist(), strict=True))
    gap = float(np.clip((units["jawOpen"] - units["mouthClose"]) / 0.45, 0, 1))
    shade_pixels(seen.triangle[0], values, scene.materials, posed.rotation.astype(np.float64),
                 light, studio.skin, studio.knit, studio.iris, gap, picture)  # fmt: skip
    shut = max(units["eyeBlinkLeft"], units["eyeBlinkRight"])
    draw_lashes(
        studio.lashes, posed.head, shut,
        lambda points: _project(_into_camera(points, posed))[:, :2], picture,
    )  # fmt: skip
    draw_hair(studio.hair, posed.head, posed.rotation, posed.translation, _project, light,
              seen.depth[0], picture)  # fmt: skip
    return _develop(picture, frame)


def _plant(scene: Scene) -> Lashes:
    """Lashes, found on the resting face looking into the camera."""
    straight = torch.tensor([0.0, 0.0, 400.0])
    rest = torch.zeros(len(scene.model.expression_names))
    posed = pose_scene(scene, rest, torch.zeros(3), straight, straight.numpy())
    fine = SIZE * FINER
    seen = rasterize(_project(posed.points)[None], scene.triangles, fine, fine, threads=1)
    return plant_lashes(seen.triangle[0], seen.weights[0], scene.materials == EYE, scene.triangles)


def _into_camera(points: np.ndarray, posed: Posed) -> np.ndarray:
    return (points @ posed.rotation.T + posed.translation).astype(np.float32)


def _project(points: np.ndarray) -> np.ndarray:
    """(N, 3) camera frame to x, y in finer pixels and depth."""
    place = CAMERA.project(torch.from_numpy(points)).numpy() * FINER
    return np.concatenate([place, points[:, 2:]], -1).astype(np.float32)


def _develop(picture: np.ndarray, frame: int) -> np.ndarray:
    """The lens' softness, the sensor's grain and a gentle shoulder in the highlights."""
    soft = cv2.GaussianBlur(picture, (0, 0), 0.75)
    small = cv2.resize(soft, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    bright = np.maximum(small - 0.75, 0)
    small = np.minimum(small, 0.75) + 0.25 * (1 - np.exp(-bright / 0.25))
    generator = np.random.default_rng(1000 + frame)
    grain = generator.standard_normal((SIZE, SIZE, 1)).astype(np.float32)
    grain = cv2.GaussianBlur(grain, (0, 0), 0.6)[..., None] * 1.6
    return ((small + GRAIN * grain).clip(0, 1) * 255 + 0.5).astype(np.uint8)


def _room(size: int) -> np.ndarray:
    """(size, size, 3) a wall, a window's light on it, shelves and a lamp, far out of focus."""
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size
    wall = np.array([0.50, 0.485, 0.465], np.float32)
    room = wall * (1.05 - 0.45 * x - 0.18 * y)[..., None]
    glow = np.exp(-(((x - 0.02) / 0.30) ** 2) - ((y - 0.28) / 0.45) ** 2)
    room += glow[..., None] * np.array([0.30, 0.32, 0.34], np.float32)
    _things(room, size)
    room = cv2.GaussianBlur(room, (0, 0), size * 0.016)
    lamp = np.exp(-(((x - 0.90) / 0.10) ** 2) - ((y - 0.20) / 0.12) ** 2)
    room += lamp[..., None] * np.array([0.34, 0.22, 0.11], np.float32)
    vignette = 1 - 0.25 * ((x - 0.5) ** 2 + (y - 0.5) ** 2)
    fine = 1 + 0.006 * noise((size, size), 3, 3, 41)
    return np.ascontiguousarray(room * (vignette * fine)[..., None], np.float32)


def _things(room: np.ndarray, size: int) -> None:
    """Panes of the window, shelves with books, a plant."""

    def box(left: float, top: float, right: float, bottom: float, colour: tuple) -> None:
        corners = [int(size * part) for part in (left, top, right, bottom)]
        cv2.rectangle(room, tuple(corners[:2]), tuple(corners[2:]), colour, -1)

    for left, right in ((-0.05, 0.075), (0.095, 0.21)):
        for top, bottom in ((-0.05, 0.21), (0.235, 0.52)):
            box(left, top, right, bottom, (0.90, 0.94, 0.98))
    box(-0.05, 0.53, 0.235, 0.555, (0.62, 0.61, 0.60))
    generator = np.random.default_rng(43)
    for shelf in (0.36, 0.60):
        box(0.73, shelf, 1.05, shelf + 0.022, (0.30, 0.22, 0.165))
        left = 0.745
        while left < 1.0:
            wide, high = generator.uniform(0.014, 0.034), generator.uniform(0.09, 0.15)
            colour = generator.uniform(0.10, 0.36) * generator.uniform(0.7, 1.5, 3)
            box(left, shelf - high, left + wide, shelf, tuple(colour.tolist()))
            left += wide + 0.002
    for _ in range(60):
        x, y = generator.normal(0.13, 0.05), generator.normal(0.66, 0.06)
        green = generator.uniform(0.14, 0.34)
        axes = (int(size * 0.028), int(size * 0.010))
        cv2.ellipse(room, (int(x * size), int(y * size)), axes, generator.uniform(0, 180), 0, 360,
                    (0.55 * green, green, 0.45 * green), -1)  # fmt: skip
    box(0.08, 0.74, 0.18, 0.90, (0.46, 0.36, 0.30))


def _knit() -> np.ndarray:
    """(h, w, 2) one stitch of plain knitting: two leaning loops; 8 px to a millimetre."""
    y, x = np.mgrid[0:24, 0:32].astype(np.float32)
    tone = np.zeros((24, 32), np.float32)
    for middle, lean in ((8, 0.55), (24, -0.55)):
        across = (x - middle) - lean * (y - 12)
        tone = np.maximum(tone, np.exp(-((across / 5.5) ** 2)))
    slope = cv2.Sobel(tone, -1, 1, 0, scale=0.125)
    return np.stack([0.74 + 0.30 * tone, 4 * slope], -1).astype(np.float32)


def _iris() -> np.ndarray:
    """(300, 720, 3) albedo of an eye: rows from the pupil's middle to 1.5 times the iris."""
    shape = (300, 720)
    radius = np.linspace(0, 1.5, shape[0], dtype=np.float32)[:, None]
    fibres = 0.6 * noise(shape, 2.2, 30, 51) + 0.4 * noise(shape, 5, 18, 52)
    grey, amber = np.array([0.33, 0.38, 0.36]), np.array([0.40, 0.29, 0.17])
    near = np.exp(-(((radius - 0.42) / 0.16) ** 2))[..., None]
    iris = (grey * (1 - near) + amber * near) * (1 + 0.22 * fibres)[..., None]
    veins = np.clip(noise(shape, 3, 14, 53) - 1.3, 0, 1)[..., None]
    sclera = np.array([0.84, 0.80, 0.775]) - veins * np.array([0.02, 0.12, 0.12])
    limbus = 1 / (1 + np.exp(-(radius - 0.97) / 0.035))[..., None]
    ring = np.exp(-(((radius - 0.93) / 0.10) ** 2))[..., None]
    pupil = 1 / (1 + np.exp((radius - 0.36) / 0.02))[..., None]
    eye = iris * (1 - limbus) + sclera * limbus
    eye = eye * (1 - 0.62 * ring) * (1 - pupil) + 0.02 * pupil
    return np.broadcast_to(eye, (*shape, 3)).astype(np.float32)
