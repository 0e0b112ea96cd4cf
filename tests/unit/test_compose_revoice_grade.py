"""A network sees footage of another grade in the actor's colours, and its mouth comes back."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from face_toys import CAMERA, toy_model, toy_track
from torch import nn

from metatalk.compose import revoice as revoice_module
from metatalk.compose.config import DriveConfig
from metatalk.compose.grade import Grade, ShotGrades, Side
from metatalk.compose.jaw_config import JawConfig
from metatalk.compose.revoice import Performance, Studio, revoice
from metatalk.compose.seam.config import SeamConfig
from metatalk.morphable.coefficients import PersonCoefficients
from metatalk.neural.infer import Rendered
from metatalk.neural.pictures import CropPictures
from metatalk.render.scene import Scene

FRAMES, SIZE = 3, 32
TRACK = toy_track(FRAMES)
DRAWN = np.array([0.7, 0.4, 0.3], np.float32)


@dataclass(frozen=True, eq=False)
class Frame:
    """A frame of the footage that notes the patch laid over it."""

    pixels: np.ndarray
    patch: np.ndarray | None = None
    alpha: np.ndarray | None = None

    bits = 8

    @property
    def width(self) -> int:
        return self.pixels.shape[1]

    @property
    def height(self) -> int:
        return self.pixels.shape[0]

    def rgb(self, box: tuple[int, int, int, int] | None = None) -> np.ndarray:
        left, top, right, bottom = box or (0, 0, self.width, self.height)
        return self.pixels[top:bottom, left:right]

    def with_patch(self, patch: np.ndarray, alpha: np.ndarray, left: int, top: int) -> Frame:
        return replace(self, patch=patch, alpha=alpha)


def grey_grade() -> Grade:
    """Grey footage of half the contrast, of an actor with red skin."""
    here = Side(np.array([0.1, 0.6]), np.zeros(2))
    there = Side(np.array([0.0, 1.0]), np.array([-0.1, 0.2]))
    return Grade(here, there, 0.0, np.full((3, 2), 0.5, np.float32))


def test_the_network_sees_the_actors_colours_and_the_frame_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown: list[CropPictures] = []

    def draw(_: nn.Module, pictures: CropPictures) -> Rendered:
        shown.append(pictures)
        return Rendered(np.broadcast_to(DRAWN, pictures.real.shape).copy(), None)

    monkeypatch.setattr(revoice_module, "render_crops", draw)
    person = PersonCoefficients(torch.zeros(3), torch.zeros(6))
    scene = Scene(toy_model(), person, CAMERA, SIZE)
    layout = scene.measure_layout(TRACK, 0.2)
    transforms = scene.transforms(TRACK, layout, 0.0, np.array([[0, FRAMES]]))
    seam = SeamConfig(levels=1, still=0, grain=0)
    config = DriveConfig(colour_match=0, detail=0, batch=FRAMES, seam=seam, jaw=JawConfig(0))
    grades = ShotGrades(np.array([[0, 1], [1, FRAMES]]), [None, grey_grade()])
    pictures = [Frame(np.full((CAMERA.height, CAMERA.width, 3), 128, np.uint8))] * FRAMES
    performance = Performance(
        np.arange(FRAMES), TRACK, transforms, TRACK.expression, np.ones(FRAMES, np.float32)
    )
    studio = Studio(scene, nn.Identity(), config, grades=grades)
    made = [each.picture for each in revoice(pictures, performance, studio)]
    (seen,) = shown
    assert (seen.real[0] == 128).all()  # of a shot in the actor's own grade
    np.testing.assert_array_equal(seen.real[1], grey_grade().bring(np.full_like(seen.real[1], 128)))
    assert (seen.real[1][..., 0] > seen.real[1][..., 2] + 20).all()
    assert seen.filmed is not None
    believed = seen.filmed[1][..., 3] > 200
    assert believed.any()
    assert (seen.filmed[1][believed][:, 0] > seen.filmed[1][believed][:, 2] + 20).all()
    alone = scene.synthetic(TRACK, transforms)
    lit = alone[1].any(-1) & (alone[1].max(-1) < 255)
    ratio = seen.synthetic[1][lit].sum() / alone[1][lit].sum()
    assert ratio == pytest.approx(0.5, abs=0.02)
    np.testing.assert_array_equal(seen.synthetic[0], alone[0])
    plain, grey = (
        each.patch[each.alpha > 0.99].astype(float).reshape(-1, 3) for each in (made[0], made[2])
    )
    scale = 255 if plain.max() > 1.5 else 1
    assert np.median(np.abs(plain / scale - DRAWN)) < 0.02
    assert np.abs(grey - grey[:, :1]).max() <= 1e-3 * scale
    expected = 0.1 + 0.5 * DRAWN @ np.array([0.2126, 0.7152, 0.0722])
    assert np.median(grey) / scale == pytest.approx(expected, abs=0.02)
