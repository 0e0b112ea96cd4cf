"""The generator of synthetic clips: what it calls true is true, and the same seed is the same."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import face_toys
import numpy as np
import pytest
import torch

from metatalk.evaluate.fit_errors import in_picture, mesh_landmarks, skin_and_outline
from metatalk.evaluate.truth import Truth
from metatalk.landmarks.config import LandmarksConfig
from metatalk.landmarks.points import point_groups
from metatalk.morphable.lighting import sh_basis
from metatalk.morphable.model import MorphableModel

TOOLS = Path(__file__).resolve().parents[2] / "tools"
FRAMES = 60


@pytest.fixture(scope="module")
def tools() -> Iterator[None]:
    """The folder of the tools, from which they import each other."""
    pytest.importorskip("espeakng_loader", reason="the presenter's tools need metatalk[dev]")
    sys.path.insert(0, str(TOOLS))
    yield
    sys.path.remove(str(TOOLS))


@pytest.fixture(scope="module")
def performance(tools: None) -> ModuleType:
    return importlib.import_module("synthetic_faces.performance")


@pytest.fixture(scope="module")
def model() -> MorphableModel:
    from metatalk.stages.face_model import open_face_model

    return open_face_model("anny", LandmarksConfig())


@pytest.fixture(scope="module", params=[0, 1, 2])
def acting(
    request: pytest.FixtureRequest, performance: ModuleType, model: MorphableModel
) -> object:
    identity = torch.zeros(len(model.identity_basis))
    generator = np.random.default_rng(request.param)
    return performance.act(model, identity, FRAMES, 600.0, generator)


def test_neutral_frames_have_no_mouth_and_the_others_speak(acting, model) -> None:
    lower = acting.expression[:, model.lower_units]
    assert acting.neutral.sum() > FRAMES / 4
    assert lower[acting.neutral].abs().max() == 0
    assert lower[~acting.neutral].max() > 0.2
    assert acting.expression[acting.neutral][:, ~model.lower_units].abs().max() > 0.05


def test_units_stay_between_none_and_full(acting) -> None:
    assert acting.expression.min() >= 0
    assert acting.expression.max() <= 1


def test_the_head_turns_far_while_neutral_and_rests_at_the_end(acting) -> None:
    yaw = np.degrees(acting.rotation[:, 1].numpy())
    assert np.abs(yaw).max() <= 40.01
    assert np.ptp(yaw[acting.neutral]) > 40
    for movement in (acting.rotation, acting.translation):
        assert movement[acting.still].std(0).max() < 1e-4
    assert np.abs(np.diff(yaw)).max() < 15  # degrees a frame: fast, but a head


def test_lips_come_together_in_speech_and_never_cross(acting, model) -> None:
    mean, _, units = model.landmark_basis()
    points = mean + torch.tensordot(acting.expression, units, 1)
    gap = (points[:, 14, 1] - points[:, 13, 1]).numpy()
    rest = float(mean[14, 1] - mean[13, 1])
    assert gap.min() > rest - 2.5  # lips that press or roll in come a little nearer
    assert gap.max() > rest + 3


def test_the_same_seed_acts_the_same(performance, model) -> None:
    identity = torch.zeros(len(model.identity_basis))
    first, again, other = (
        performance.act(model, identity, FRAMES, 600.0, np.random.default_rng(seed))
        for seed in (7, 7, 8)
    )
    assert first.expression.equal(again.expression)
    assert first.lighting.equal(again.lighting)
    assert not first.rotation.equal(other.rotation)


def test_a_lamp_is_the_clamped_cosine_in_nine_numbers(performance) -> None:
    """Against quadrature over the sphere, which knows nothing of the formula."""
    number = np.arange(20000) + 0.5
    height, turn = 1 - 2 * number / 20000, np.pi * (1 + 5**0.5) * number
    flat = np.sqrt(1 - height**2)
    normals = np.stack([flat * np.cos(turn), height, flat * np.sin(turn)], -1)
    towards = np.array([0.6, 0.0, -0.8])
    cosine = np.clip(normals @ towards, 0, None)
    expected = 4 * np.pi * (cosine @ sh_basis(torch.from_numpy(normals)).numpy()) / 20000
    np.testing.assert_allclose(performance.lamp(towards), expected, atol=2e-3)


def test_light_leaves_the_face_visible(acting) -> None:
    facing = sh_basis(torch.tensor([0.0, 0.0, -1.0]))
    seen = (acting.lighting @ facing).numpy()
    assert seen.min() > 0.2
    assert seen.max() < 2.0


def test_what_is_drawn_is_the_models_own_surface(tools, model) -> None:
    geometry = importlib.import_module("demo_presenter.geometry")
    person = importlib.import_module("synthetic_faces.person")
    triangles = model.triangles.numpy()
    finer, four = geometry.subdivide(triangles, len(model.mean))
    straight = person.straight_subdivision(finer, len(model.mean))
    points = straight @ model.mean.numpy()
    np.testing.assert_array_equal(points[: len(model.mean)], model.mean.numpy())

    def area(corners: np.ndarray) -> float:
        a, b, c = corners.transpose(1, 0, 2)
        return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum())

    assert area(points[four]) == pytest.approx(area(model.mean.numpy()[triangles]), rel=1e-5)


def test_a_film_shows_the_face_where_the_truth_says(tools, model, tmp_path) -> None:
    """One small frame: skin at the true landmarks, and the same again from the store."""
    store = importlib.import_module("synthetic_faces.store")
    clip = importlib.import_module("synthetic_faces.clip")
    recipe = store.Recipe(seed=3, spread=0.3, face_px=64, frames=12)
    person = store.keeper_of(model, recipe.seed, recipe.spread)
    filmed = store.open_clip(tmp_path, model, recipe, person)
    truth, pictures = filmed.clip.truth, filmed.clip.pictures
    points = in_picture(truth, mesh_landmarks(model, truth))
    side = pictures.shape[1]
    assert points.min() > 0
    assert points.max() < side
    tall = np.linalg.norm(points[0, 10] - points[0, 152])
    assert tall == pytest.approx(64, rel=0.12)
    nose = points[:, 4].astype(int)
    for frame, (x, y) in enumerate(nose):
        red, green, blue = pictures[frame, y, x].astype(int)
        assert red > green > blue  # skin, not the grey room
    again = clip.make_clip(model, person(), recipe.seed, recipe.face_px, recipe.frames)
    np.testing.assert_array_equal(again.pictures, pictures)
    assert filmed.landmarks.has_face.all()
    apart = np.linalg.norm(filmed.landmarks.points[..., :2] - points, axis=-1).mean(1) / tall
    assert apart.max() < 0.06


def test_an_embedding_is_learned_from_where_detections_are(tools, monkeypatch) -> None:
    """Detections of other surface points than the embedded ones lead to those points."""
    embedding = importlib.import_module("synthetic_faces.embedding")
    clip = importlib.import_module("synthetic_faces.clip")
    store = importlib.import_module("synthetic_faces.store")
    model = face_toys.toy_model()
    footage = face_toys.toy_clip(model, 12, torch.tensor([0.5, -0.5, 0.2]))
    chance = torch.Generator().manual_seed(8)
    elsewhere = replace(model, landmark_weights=_stirred(model.landmark_weights, chance))
    never = np.zeros(len(footage.track), bool)
    truth = Truth(footage.person, footage.track, face_toys.CAMERA, model.texture_mean, never, never)
    seen = in_picture(truth, mesh_landmarks(elsewhere, truth))
    points = np.concatenate([seen, np.zeros((*seen.shape[:2], 1))], -1).astype(np.float32)
    landmarks = replace(footage.landmarks, points=points)
    pictures = np.zeros((len(seen), 2, 2, 3), np.uint8)
    recipe = store.Recipe(seed=0, spread=1.0, face_px=100, frames=len(seen))
    filmed = store.Filmed(recipe, clip.SyntheticClip(pictures, 25.0, truth), landmarks)
    monkeypatch.setattr(embedding, "DIVISIONS", 10)  # the toy's triangles are large
    found = embedding.learn_embedding(model, [filmed])
    wanted = mesh_landmarks(elsewhere, truth)[0].numpy()
    shape = model.shape(footage.person.identity, footage.track.expression[0]).numpy()
    corners = shape[model.triangles.numpy()[found.triangles]]
    reached = (corners * found.weights[..., None]).sum(1)
    skin, _ = skin_and_outline(point_groups("ibug68"))
    apart = np.linalg.norm(reached - wanted, axis=-1)[skin]
    before = np.linalg.norm(mesh_landmarks(model, truth)[0].numpy() - wanted, axis=-1)[skin]
    assert np.median(apart) < 0.4 * np.median(before)


def _stirred(weights: torch.Tensor, chance: torch.Generator) -> torch.Tensor:
    other = weights + 0.8 * torch.rand(weights.shape, generator=chance)
    return other / other.sum(1, keepdim=True)
