"""Albedo and light from colours."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from face_toys import CAMERA, FREE, toy_clip, toy_model

from metatalk.errors import FittingError, ShapeError
from metatalk.fitting import photometric
from metatalk.fitting.config import FitConfig
from metatalk.fitting.photometric import (
    ColourSamples,
    fit_albedo_and_light,
    fit_light,
    sample_colours,
)
from metatalk.fitting.reconstruct import light_frames, reconstruct
from metatalk.fitting.smoothing import spread
from metatalk.landmarks.track import LandmarkTrack
from metatalk.morphable.coefficients import PersonCoefficients
from metatalk.morphable.lighting import ambient_light, sh_basis, shade
from metatalk.morphable.normals import vertex_normals
from metatalk.morphable.pose import transform_points

MODEL = toy_model()
TEXTURE = torch.tensor([0.8, -0.5, 0.3, -0.7, 0.6, 0.2])


def lit_samples(frames: int = 6) -> tuple[ColourSamples, torch.Tensor]:
    """The toy head turned about under a light that differs from frame to frame."""
    chance = torch.Generator().manual_seed(0)
    angles = 1.2 * (torch.rand(frames, 3, generator=chance) - 0.5)
    points = transform_points(MODEL.mean, angles, torch.tensor([0.0, 0.0, 700.0]))
    normals = vertex_normals(points, MODEL.triangles)
    light = ambient_light(0.7) + 0.15 * torch.randn(frames, 3, 9, generator=chance)
    light[..., 4:] *= 0.2
    colours = shade(MODEL.albedo(TEXTURE), normals, light)
    return (
        ColourSamples(
            np.arange(frames), torch.arange(60), colours, normals, torch.ones(frames, 60)
        ),
        light,
    )


def shading(samples: ColourSamples, light: torch.Tensor) -> torch.Tensor:
    return sh_basis(samples.normals) @ light.mT


def test_light_of_a_known_actor_is_found():
    samples, light = lit_samples()
    found = fit_light(MODEL, samples, TEXTURE)
    assert found.shape == light.shape
    off = (shading(samples, found) - shading(samples, light)).abs()
    assert off.mean() < 0.01
    assert off.max() < 0.04


def test_light_and_albedo_explain_the_colours():
    samples, light = lit_samples(12)
    config = replace(FitConfig(), photo=replace(FREE.photo, steps=50))
    texture, found = fit_albedo_and_light(MODEL, samples, config)
    albedo = MODEL.albedo(texture)
    explained = shade(albedo, samples.normals, found)
    assert (explained - samples.colours).abs().mean() < 0.01
    # Only the product is seen, so the two are known up to a factor for each colour.
    uneven = lambda skin: (skin / MODEL.albedo(TEXTURE)).log().std(0)  # noqa: E731
    assert (uneven(albedo) < 0.45 * uneven(MODEL.texture_mean)).all()
    assert (texture.sign() == TEXTURE.sign()).all()
    brightness = shading(samples, found) / shading(samples, light)
    assert ((brightness / brightness.mean((0, 1)) - 1).abs() < 0.15).all()


def test_hidden_and_disturbed_vertices_do_not_matter():
    samples, _ = lit_samples()
    colours, weights = samples.colours.clone(), samples.weights.clone()
    colours[:, :10], weights[:, :10] = 1.0, 0.0
    hidden = fit_light(MODEL, replace(samples, colours=colours, weights=weights), TEXTURE)
    clean = fit_light(MODEL, replace(samples, weights=weights), TEXTURE)
    torch.testing.assert_close(hidden, clean)
    colours = samples.colours.clone()
    colours[2, 30:36] = 1.0  # a highlight or a hand
    found = fit_light(MODEL, replace(samples, colours=colours), TEXTURE)
    off = (shading(samples, found) - shading(samples, fit_light(MODEL, samples, TEXTURE))).abs()
    assert off[2].mean() < 0.04


def test_a_frame_without_colours_gets_the_clips_light():
    samples, _ = lit_samples()
    weights = samples.weights.clone()
    weights[3] = 0
    found = fit_light(MODEL, replace(samples, weights=weights), TEXTURE)
    assert found.isfinite().all()
    others = shading(samples, found)[3].mean(0)
    assert ((others > 0.2) & (others < 1.5)).all()


@pytest.mark.parametrize("batch", [1, 5, 12])
def test_batches_change_nothing(monkeypatch: pytest.MonkeyPatch, batch: int):
    samples, _ = lit_samples(12)
    samples = replace(
        samples, weights=torch.rand(12, 60, generator=torch.Generator().manual_seed(1))
    )

    def fitted() -> list[torch.Tensor]:
        """Colours: what the data say well, where single numbers drown in rounding."""
        texture, light = fit_albedo_and_light(MODEL, samples, FREE)
        known = fit_light(MODEL, samples, TEXTURE)
        return [
            MODEL.albedo(texture),
            MODEL.albedo(texture) * shading(samples, light),
            shading(samples, known),
        ]

    at_once = fitted()
    looked_at: list[int] = []

    def counted(normals: torch.Tensor) -> torch.Tensor:
        looked_at.append(len(normals))
        return sh_basis(normals)

    monkeypatch.setattr(photometric, "BATCH_FRAMES", batch)
    monkeypatch.setattr(photometric, "sh_basis", counted)
    batched = fitted()
    assert max(looked_at) == batch
    for one, other in zip(at_once, batched, strict=True):
        torch.testing.assert_close(other, one, atol=5e-4, rtol=0)


def test_samples_check_their_shapes():
    samples, _ = lit_samples()
    for wrong in ({"frames": np.arange(5)}, {"weights": torch.ones(6, 59)}, {"vertices": TEXTURE}):
        with pytest.raises(ShapeError, match=next(iter(wrong))):
            replace(samples, **wrong)


FRONT = np.array([0.0, 0.0, -1.0])


def test_pixel_centres_lie_at_half_integers():
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    pixels = np.array([[4.5, 7.5], [5.0, 7.5], [4.5, 8.0], [28.5, 18.5]])
    colours, weights = sample_colours(picture, pixels, np.tile(FRONT, (4, 1)), 0.0)
    row = picture.astype(np.float64) / 255
    expected = [row[7, 4], row[7, 4:6].mean(0), row[7:9, 4].mean(0), row[18, 28]]
    np.testing.assert_allclose(colours, expected, atol=0.5 / 255 + 1e-6)
    assert weights.tolist() == [1, 1, 1, 1]


def test_a_blur_of_a_ramp_keeps_its_middle():
    ramp = np.tile((2 * np.arange(100, dtype=np.uint8))[None, :, None], (60, 1, 3))
    pixels = np.array([[50.5, 30.5], [20.5, 30.5]])
    colours, _ = sample_colours(ramp, pixels, np.tile(FRONT, (2, 1)), 3.0)
    np.testing.assert_allclose(colours[:, 0] * 255, [100, 40], atol=1)


def test_what_is_turned_away_or_outside_weighs_nothing():
    picture = np.full((20, 30, 3), 100, np.uint8)
    pixels = np.array([[5.0, 5], [5, 5], [5, 5], [-3, 5], [5, 20.2], [30.5, 5]])
    tilted = np.array([0.6, 0.0, -0.8])
    normals = np.stack([FRONT, tilted, -FRONT, FRONT, FRONT, FRONT])
    _, weights = sample_colours(picture, pixels, normals, 1.0)
    np.testing.assert_allclose(weights, [1, 0.8, 0, 0, 0, 0], atol=1e-6)


@pytest.mark.parametrize("shift", [(-500, 0), (500, 0), (0, -500), (0, 500)])
def test_a_face_outside_the_picture_has_no_colours(shift: tuple[int, int]):
    picture = np.full((20, 30, 3), 100, np.uint8)
    pixels = np.random.default_rng(0).uniform(0, 20, (7, 2)) + shift
    colours, weights = sample_colours(picture, pixels, np.tile(FRONT, (7, 1)), 1.0)
    assert colours.shape == (7, 3)
    assert not weights.any()


def shots_of(*lengths: int, faceless: tuple[int, ...] = ()) -> LandmarkTrack:
    """Landmarks of a clip with shots of the given lengths."""
    ends = np.cumsum(lengths)
    total = int(ends[-1])
    state = np.ones(total, np.uint8)
    state[list(faceless)] = 0
    return LandmarkTrack(
        np.zeros((total, 68, 3), np.float32),
        np.ones(total, np.float32),
        state,
        np.stack([ends - lengths, ends], 1),
        "ibug68",
    )


def test_light_never_crosses_a_cut():
    landmarks = shots_of(10, 8, 6)
    frames = np.array([2, 7, 12, 16, 20])
    levels = np.array([[0.2], [0.2], [0.9], [0.9], [0.5]])
    each = spread(levels, frames, landmarks.shots, 24)[:, 0]
    np.testing.assert_allclose(each, np.repeat([0.2, 0.9, 0.5], [10, 8, 6]), rtol=1e-6)


def test_light_is_interpolated_within_a_shot():
    each = spread(np.array([[0.0], [1.0]]), np.array([0, 10]), shots_of(11).shots, 11)[:, 0]
    np.testing.assert_allclose(each, np.arange(11) / 10, rtol=1e-6)


def test_a_shot_without_light_takes_its_neighbours():
    each = spread(np.array([[0.4]]), np.array([2]), shots_of(5, 5).shots, 10)[:, 0]
    np.testing.assert_allclose(each, np.full(10, 0.4), rtol=1e-6)


def test_light_is_measured_in_every_run_of_faces():
    landmarks = shots_of(50, 3, 40, faceless=tuple(range(60, 70)))
    frames = light_frames(landmarks, 25.0, FitConfig(light_rate_hz=5.0))
    assert (np.diff(frames) > 0).all()
    assert landmarks.has_face[frames].all()
    for first, end in landmarks.runs():
        inside = frames[(frames >= first) & (frames < end)]
        assert len(inside) >= 1
        assert (np.diff(inside) == 5).all()


@dataclass(frozen=True)
class FlatPicture:
    """A frame of one colour; counts how often it is converted."""

    index: int
    colour: tuple[int, int, int]
    asked: list[int]

    def rgb(self) -> np.ndarray:
        self.asked.append(self.index)
        return np.full((CAMERA.height, CAMERA.width, 3), self.colour, np.uint8)


def flat_clip(frames: int, asked: list[int]) -> list[FlatPicture]:
    return [FlatPicture(t, (150, 120, 100), asked) for t in range(frames)]


def test_a_clip_is_reconstructed():
    clip = toy_clip(MODEL, 12, torch.tensor([0.5, 0.2, -0.3]))
    told: list[tuple[int, int]] = []
    asked: list[int] = []
    size = (CAMERA.width, CAMERA.height)
    found = reconstruct(
        MODEL, clip.landmarks, flat_clip(12, asked), size, 25.0, FREE,
        report=lambda *step: told.append(step),
    )  # fmt: skip
    assert asked == list(range(12))  # so short a clip is all keyframes
    assert len(found.track) == len(found.error_mm) == 12
    assert (found.camera.width, found.camera.height) == size
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert {total for _, total in told} == {12}
    shape = MODEL.shape(found.person.identity, found.track.expression)
    points = transform_points(shape, found.track.rotation, found.track.translation)
    normals = vertex_normals(points, MODEL.triangles)
    shown = shade(MODEL.albedo(found.person.texture), normals, found.track.lighting)
    torch.testing.assert_close(
        shown.median(1).values, (torch.tensor([150, 120, 100]) / 255).expand(12, 3),
        atol=0.05, rtol=0,
    )  # fmt: skip
    asked.clear()
    again = reconstruct(
        MODEL, clip.landmarks, flat_clip(12, asked), size, 25.0, FREE, person=found.person
    )
    assert again.person is found.person
    assert asked == [2, 7]  # of a known actor only where light is measured


def test_a_clip_that_ends_early_is_an_error_with_a_remedy():
    clip = toy_clip(MODEL, 12, torch.zeros(3))
    size = (CAMERA.width, CAMERA.height)
    with pytest.raises(FittingError, match="fewer pictures") as caught:
        reconstruct(MODEL, clip.landmarks, flat_clip(5, []), size, 25.0, FREE)
    assert caught.value.remedy


def test_a_known_person_keeps_identity_and_texture():
    clip = toy_clip(MODEL, 4, torch.zeros(3))
    person = PersonCoefficients(torch.tensor([0.1, 0.2, 0.3]), TEXTURE)
    size = (CAMERA.width, CAMERA.height)
    found = reconstruct(MODEL, clip.landmarks, flat_clip(4, []), size, 25.0, FREE, person)
    assert found.person is person
    assert person.identity.tolist() == pytest.approx([0.1, 0.2, 0.3])
