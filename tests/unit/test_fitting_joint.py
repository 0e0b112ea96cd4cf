"""The joint pass: colours pull where they should, and their derivatives are right."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from face_toys import CAMERA, FREE, ToyClip, toy_clip, toy_model
from torch import Tensor

from metatalk.fitting import joint
from metatalk.fitting.config import POSE, FitConfig, PhaseConfig
from metatalk.fitting.joint import colour_term
from metatalk.fitting.residuals import Unknowns, landmark_basis
from metatalk.fitting.solver import Problem, rotation_from_vector, solve
from metatalk.fitting.windows import SIDE_PX, FaceWindows, cut_window, read_pixels
from metatalk.morphable.lighting import ambient_light
from metatalk.morphable.pose import euler_to_matrix, transform_points
from metatalk.render.rasterize import interpolate, rasterize

MODEL = toy_model()
IDENTITY = torch.tensor([0.4, -0.3, 0.2])
CENTRE = torch.tensor([CAMERA.width / 2, CAMERA.height / 2])


def state_of(clip: ToyClip) -> Unknowns:
    track = clip.track
    focal = torch.tensor(CAMERA.focal_px)
    rotation = euler_to_matrix(track.rotation)
    return Unknowns(IDENTITY, focal, track.expression, rotation, track.translation)


def film(clip: ToyClip, albedo: Tensor) -> list[np.ndarray]:
    """Pictures of the toy head in ambient light, (H, W, 3) uint8 each."""
    shape = MODEL.shape(IDENTITY, clip.track.expression)
    points = transform_points(shape, clip.track.rotation, clip.track.translation)
    mesh = torch.cat((CAMERA.project(points), points[..., 2:]), -1).numpy()
    faces = MODEL.triangles.numpy()
    seen = rasterize(mesh, faces, CAMERA.height, CAMERA.width)
    colours = interpolate(seen, faces, (0.8 * albedo).numpy(), background=0.1)
    return [(255 * picture).round().astype(np.uint8) for picture in colours]


def windows_of(clip: ToyClip, pictures: list[np.ndarray]) -> FaceWindows:
    cut = [
        cut_window(picture, points[:, :2])
        for picture, points in zip(pictures, clip.landmarks.points, strict=True)
    ]
    return FaceWindows(*(torch.from_numpy(np.stack(part)) for part in zip(*cut, strict=True)))


def freckled() -> Tensor:
    """(V, 3) albedo that no mode of the texture basis can say."""
    spots = torch.rand(60, 1, generator=torch.Generator().manual_seed(5))
    return (MODEL.texture_mean * (0.5 + spots)).clamp(0, 1)


def test_a_window_shows_what_the_frame_shows_there():
    down, across = np.mgrid[:240, :320]
    ramp = np.stack((across * 0.7, down, 255 - across * 0.7), -1).astype(np.uint8)
    points = np.array([[110.3, 60.2], [190.9, 180.4], [150.0, 100.0]])
    window, transform = cut_window(ramp, points)
    pixels = torch.tensor([[[120.5, 80.5], [150.5, 170.5], [185.5, 110.5]]])
    windows = FaceWindows(torch.from_numpy(window)[None], torch.from_numpy(transform)[None])
    read = read_pixels(windows.pictures, windows.place(pixels))[0] * 255
    x, y = pixels[0, :, 0] - 0.5, pixels[0, :, 1] - 0.5
    torch.testing.assert_close(read[:, 1], y, atol=1.0, rtol=0)
    torch.testing.assert_close(read[:, 0], 0.7 * x, atol=1.2, rtol=0)


def test_slopes_are_those_of_the_picture():
    rows, columns = torch.meshgrid(torch.arange(20.0), torch.arange(20.0), indexing="ij")
    picture = torch.stack((0.02 * columns, 0.03 * rows, 0.01 * columns - 0.02 * rows))[None]
    slopes = FaceWindows(picture, torch.zeros(1, 2, 3)).slopes()[0, :, 5, 5]
    expected = torch.tensor([0.02, 0.0, 0.01, 0.0, 0.03, -0.02])
    torch.testing.assert_close(slopes, expected, atol=1e-5, rtol=0)


def test_windows_at_the_pictures_edge_are_whole():
    picture = np.full((60, 80, 3), 90, np.uint8)
    window, _ = cut_window(picture, np.array([[-20.0, -15.0], [30.0, 40.0]]))
    assert window.shape == (3, SIDE_PX, SIDE_PX)
    np.testing.assert_allclose(window, 90 / 255, atol=1e-3)


@pytest.fixture
def term(monkeypatch: pytest.MonkeyPatch):
    """A term over smooth pictures whose albedo, light and weights stay as they are."""
    clip = toy_clip(MODEL, 2, IDENTITY)
    rows, columns = torch.meshgrid(torch.arange(224.0), torch.arange(224.0), indexing="ij")
    waves = [(columns / 31 + k).sin() * (rows / 37 - k).cos() for k in range(3)]
    picture = (0.5 + 0.2 * torch.stack(waves)).double()
    blank = windows_of(clip, film(clip, MODEL.texture_mean))
    windows = FaceWindows(picture.expand(2, -1, -1, -1), blank.transforms.double())
    chance = torch.Generator().manual_seed(1)
    light = (ambient_light(0.7) + 0.1 * torch.randn(2, 3, 9, generator=chance)).double()
    monkeypatch.setattr(joint, "solve_light", lambda *_: light)
    monkeypatch.setattr(joint, "solve_albedo", lambda *_: torch.zeros(6, dtype=torch.float64))
    monkeypatch.setattr(joint, "_own_albedo", lambda samples, albedo, light: albedo)
    monkeypatch.setattr(joint, "ROBUST_COLOUR", 1e6)
    monkeypatch.setattr(joint, "_seen", lambda model, points, *_: torch.ones(2, 54).double())
    look = joint._look
    monkeypatch.setattr(joint, "_look", lambda *given: replace(
        look(*given), weights=torch.ones(2, 54).double()
    ))  # fmt: skip
    model = replace(MODEL, **{
        name: value.double() for name, value in vars(MODEL).items()
        if isinstance(value, Tensor) and value.is_floating_point()
    })  # fmt: skip
    state = Unknowns(*(value.double() for value in vars(state_of(clip)).values()))
    return colour_term(model, windows, CENTRE.double(), FitConfig(), state), state


@pytest.mark.parametrize("unknown", ["turn", "move", "identity", "focal"])
def test_derivatives_are_those_of_small_steps(term, unknown: str):
    look, state = term
    found, step = look(state), 1e-4
    for axis in range(1 if unknown == "focal" else 3):
        change = torch.zeros(3, dtype=torch.float64)
        change[axis] = step * (100 if unknown == "move" else 1)
        if unknown == "turn":
            turn = rotation_from_vector(change)
            near, column = replace(state, rotation=turn @ state.rotation), found.pose[..., axis]
        elif unknown == "move":
            near = replace(state, translation=state.translation + change)
            column = found.pose[..., 3 + axis]
        elif unknown == "identity":
            near, column = replace(state, identity=state.identity + change), found.shared[..., axis]
        else:
            near = replace(state, focal_px=state.focal_px * (1 + change[0]))
            column = found.shared[..., -1]
        slope = (look(near).values - found.values) / change.abs().max()
        # Bilinear reading is not smooth, and normals are taken to change evenly.
        off = (slope - column).abs() / column.abs().quantile(0.9)
        assert off.median() < 0.15
        agreement = torch.corrcoef(torch.stack((slope.flatten(), column.flatten())))[0, 1]
        assert agreement > 0.97


def test_colours_mend_a_pose_that_landmarks_spoil(monkeypatch: pytest.MonkeyPatch):
    """With skin and light known, colours put back faces that slipped by two pixels."""
    clip, skin = toy_clip(MODEL, 6, IDENTITY, seed=4), freckled()
    chance = torch.Generator().manual_seed(2)
    slips = 2.0 * torch.randn(6, 1, 2, generator=chance)  # px: a whole face, frame by frame
    problem = Problem(
        landmark_basis(MODEL, FREE),
        torch.from_numpy(clip.landmarks.points[..., :2]) + slips,
        CENTRE,
        replace(FREE, colour_weight=2e4),
    )
    light = ambient_light(0.8).expand(6, 3, 9)
    monkeypatch.setattr(joint, "solve_light", lambda *_: light)
    monkeypatch.setattr(joint, "_own_albedo", lambda samples, *_: skin[samples.vertices])
    truth = state_of(clip)
    alone = solve(problem, truth, PhaseConfig(8, POSE))
    windows = windows_of(clip, film(clip, skin))
    more = colour_term(MODEL, windows, CENTRE, problem.config, alone)
    together = solve(problem, alone, PhaseConfig(12, POSE), more)
    slip = lambda state: (state.translation - truth.translation)[:, :2].norm(dim=-1)  # noqa: E731
    assert slip(alone).mean() > 1.5  # mm
    assert slip(together).mean() < 0.75 * slip(alone).mean()


def test_what_lies_outside_the_frame_counts_for_nothing():
    clip = toy_clip(MODEL, 2, IDENTITY)
    state = state_of(clip)
    aside = replace(state, translation=state.translation + torch.tensor([-230.0, 0.0, 0.0]))
    windows = windows_of(clip, film(clip, MODEL.texture_mean))
    vertices = torch.arange(60)
    view = joint._look(MODEL, aside, windows, CENTRE, vertices)
    points = view.points
    x = aside.focal_px * points[..., 0] / points[..., 2] + CENTRE[0]
    assert (x < 0).any()
    assert not view.weights[x < 0].any()


def test_what_hides_the_face_hardly_pulls(monkeypatch: pytest.MonkeyPatch):
    clip = toy_clip(MODEL, 4, IDENTITY, seed=4)
    pictures = film(clip, MODEL.texture_mean)
    spot = clip.landmarks.points[1, :, :2].mean(0).astype(int)
    pictures[1][spot[1] - 14 : spot[1] + 14, spot[0] - 14 : spot[0] + 14] = (20, 200, 240)
    truth, windows = state_of(clip), windows_of(clip, pictures)

    def pull() -> float:
        """How hard the colours of the frame with the spot want to shift the face."""
        found = colour_term(MODEL, windows, CENTRE, FREE, truth)(truth)
        return float((found.pose[1].mT @ found.values[1])[3:5].norm())

    robust = pull()
    monkeypatch.setattr(joint, "ROBUST_COLOUR", 1e6)
    assert robust < 0.5 * pull()
