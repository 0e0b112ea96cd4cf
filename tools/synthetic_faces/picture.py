"""A frame of a synthetic clip: the person, the room, the lens and the sensor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from demo_presenter.hair import draw_hair
from demo_presenter.head import WINDOW, Posed, pose_scene
from demo_presenter.lashes import draw_lashes
from demo_presenter.shading import shade_pixels

from metatalk.morphable.camera import Camera
from metatalk.render.rasterize import interpolate, rasterize
from synthetic_faces.performance import Acting
from synthetic_faces.person import Person

FINER = 2  # pictures are drawn this much larger

FOCAL_SHARE = (1.8, 6.5)  # focal length over the picture's side, at least and at most


@dataclass(frozen=True, eq=False)
class Optics:
    """The camera and what it adds to a picture."""

    camera: Camera
    blur_px: float  # standard deviation
    grain: float  # standard deviation, of white
    quality: int  # of JPEG, 0 to 100
    room: np.ndarray  # (h, w, 3) background in [0, 1], of any size


def random_optics(size: int, room: np.ndarray, generator: np.random.Generator) -> Optics:
    """A camera of random focal length, softness and noise, before a random wall.

    Args:
        size: side of the picture, pixels.
        room: (h, w, 3) a background to begin with.
        generator: of random numbers.
    """
    # Footage of talking heads is filmed from half a metre to two, and cut to the head later.
    focal_px = np.exp(generator.uniform(*np.log(FOCAL_SHARE))) * size
    tinted = room * generator.uniform(0.5, 1.1) * (1 + 0.1 * generator.standard_normal(3))
    if generator.uniform() < 0.5:
        tinted = tinted[:, ::-1]
    return Optics(
        Camera(float(focal_px), size, size),
        float(generator.uniform(0.3, 0.8)),
        float(generator.uniform(0.003, 0.015)),
        int(generator.integers(80, 96)),
        np.ascontiguousarray(tinted, np.float32),
    )


def draw_picture(person: Person, acting: Acting, optics: Optics, frame: int) -> np.ndarray:
    """Draw one frame.

    Args:
        person: who is filmed.
        acting: what they do.
        optics: of the camera.
        frame: its number.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    studio, camera = person.studio, optics.camera
    scene = studio.scene
    side = camera.width * FINER
    expression = acting.expression[frame]
    posed = pose_scene(
        scene, expression, acting.rotation[frame], acting.translation[frame], acting.body[frame]
    )
    posed.values[:, WINDOW] = 1.0  # the window's shadow is the presenter's room, not this one
    light = acting.lighting[frame].numpy().astype(np.float64)
    project = _projector(camera)
    picture = cv2.resize(optics.room, (side, side), interpolation=cv2.INTER_LINEAR)
    seen = rasterize(project(posed.points)[None], scene.triangles, side, side, threads=1)
    values = interpolate(seen, scene.triangles, posed.values, threads=1)[0]
    units = dict(zip(scene.model.expression_names, expression.tolist(), strict=True))
    gap = float(np.clip((units["jawOpen"] - units["mouthClose"]) / 0.45, 0, 1))
    shade_pixels(seen.triangle[0], values, scene.materials, posed.rotation.astype(np.float64),
                 light, studio.skin, studio.knit, studio.iris, gap, picture)  # fmt: skip
    shut = max(units["eyeBlinkLeft"], units["eyeBlinkRight"])
    draw_lashes(
        studio.lashes, posed.head, shut,
        lambda points: project(_into_camera(points, posed))[:, :2], picture,
    )  # fmt: skip
    draw_hair(studio.hair, posed.head, posed.rotation, posed.translation, project, light,
              seen.depth[0], picture)  # fmt: skip
    return _develop(picture, optics, frame)


def _projector(camera: Camera) -> Callable[[np.ndarray], np.ndarray]:
    def project(points: np.ndarray) -> np.ndarray:
        """(N, 3) camera frame to x, y in finer pixels and depth."""
        place = camera.project(torch.from_numpy(points)).numpy() * FINER
        return np.concatenate([place, points[:, 2:]], -1).astype(np.float32)

    return project


def _into_camera(points: np.ndarray, posed: Posed) -> np.ndarray:
    return (points @ posed.rotation.T + posed.translation).astype(np.float32)


def _develop(picture: np.ndarray, optics: Optics, frame: int) -> np.ndarray:
    """Softness, a gentle shoulder in the highlights, noise and compression."""
    side = optics.camera.width
    soft = cv2.GaussianBlur(picture, (0, 0), FINER * optics.blur_px)
    small = cv2.resize(soft, (side, side), interpolation=cv2.INTER_AREA)
    bright = np.maximum(small - 0.8, 0)
    small = np.minimum(small, 0.8) + 0.2 * (1 - np.exp(-bright / 0.2))
    grain = np.random.default_rng(frame).standard_normal(small.shape).astype(np.float32)
    noisy = ((small + optics.grain * grain).clip(0, 1) * 255 + 0.5).astype(np.uint8)
    quality = [cv2.IMWRITE_JPEG_QUALITY, optics.quality]
    _, squeezed = cv2.imencode(".jpg", noisy[..., ::-1], quality)
    return np.ascontiguousarray(cv2.imdecode(squeezed, cv2.IMREAD_COLOR)[..., ::-1])
