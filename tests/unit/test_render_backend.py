"""Both rasterisers find the same, whichever conventions they count in."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import pytorch3d_double
import torch
from face_toys import CAMERA, toy_model, toy_track
from omegaconf import OmegaConf

from metatalk.config import load_config
from metatalk.errors import ConfigError, MissingAssetError
from metatalk.landmarks.config import LandmarksConfig
from metatalk.morphable.camera import Camera
from metatalk.morphable.coefficients import PersonCoefficients, TrackCoefficients
from metatalk.morphable.lighting import ambient_light
from metatalk.render import backend
from metatalk.render.backend import choose_backend, see_mesh
from metatalk.render.differentiable import draw_appearance, seen_pixels
from metatalk.render.lower_face import project_to_crop
from metatalk.render.rasterize import Fragments, rasterize
from metatalk.render.scene import Scene
from metatalk.stages.face_model import open_face_model

MODEL = toy_model()
MODELS = (
    "anny",
    "bfm2009",
    "bfm2017",
    "bfm2017-face12",
    "bfm2019",
    "bfm2019-face12",
    "bfm2019-fullhead",
    "ict",
)
PERSON = PersonCoefficients(torch.tensor([0.2, -0.1, 0.1]), torch.zeros(6))


def scatter(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Triangles of all sizes, both sides, some beyond the border or not to be projected."""
    rng = np.random.default_rng(seed)
    points = rng.uniform((-30, -30, 300), (80, 70, 900), (2, 40, 3))
    points[:, 8, 2], points[:, 9, 2] = -5.0, 0.5
    points[:, 10, 0], points[:, 11, 1], points[:, 12, 0] = np.nan, np.inf, 3e5
    return points.astype(np.float32), rng.integers(0, 40, (60, 3)).astype(np.int32)


def assert_agree(ours: Fragments, theirs: Fragments, same: float = 0.999) -> None:
    """The agreement that is promised: triangles, weights and depths."""
    alike = ours.triangle == theirs.triangle
    seen = ours.covered | theirs.covered
    assert seen.any()
    assert alike[seen].mean() >= same
    both = alike & seen
    np.testing.assert_allclose(theirs.weights[both], ours.weights[both], atol=1e-3)
    np.testing.assert_allclose(theirs.depth[both], ours.depth[both], rtol=1e-4)
    empty = ~theirs.covered
    assert (theirs.triangle[empty] == -1).all()
    assert (theirs.weights[empty] == 0).all()
    assert (theirs.depth[empty] == np.inf).all()
    assert theirs.triangle.dtype == np.int32
    assert theirs.weights.dtype == theirs.depth.dtype == np.float32


@pytest.mark.parametrize("size", [(41, 41), (41, 53), (53, 41)], ids=["square", "wide", "tall"])
@pytest.mark.parametrize("cull_back", [False, True])
def test_conversion_agrees_on_any_shape_of_picture(size, cull_back):
    points, triangles = scatter(seed=sum(size))
    ours = rasterize(points, triangles, *size, cull_back, shown=45)
    with pytorch3d_double.installed():
        theirs = see_mesh("pytorch3d", points, triangles, *size, cull_back, shown=45)
    assert_agree(ours, theirs)
    assert (theirs.triangle < 45).all()


def test_centres_on_edges_go_by_the_top_left_rule():
    corner = np.array([[1.5, 1.5, 9], [4.5, 1.5, 9], [4.5, 4.5, 9], [1.5, 4.5, 9]], np.float32)
    square, halves = corner[None], np.array([[0, 1, 2], [0, 2, 3]])
    ours = rasterize(square, halves, 6, 6)
    with pytorch3d_double.installed():
        theirs = see_mesh("pytorch3d", square, halves, 6, 6)
    np.testing.assert_array_equal(theirs.triangle, ours.triangle)


def test_an_empty_mesh_gives_an_empty_picture():
    with pytorch3d_double.installed():
        nothing = see_mesh(
            "pytorch3d", np.zeros((1, 0, 3), np.float32), np.zeros((0, 3), np.int32), 4, 5
        )
    assert not nothing.covered.any()
    assert nothing.weights.shape == (1, 4, 5, 3)


def face_before(camera: Camera, yaw: float, name: str = "anny") -> tuple[np.ndarray, np.ndarray]:
    """A face model's neutral head as it is projected into a frame."""
    try:
        model = open_face_model(name, LandmarksConfig())
    except MissingAssetError as error:
        pytest.skip(f"{name}: {error.problem}")
    person = PersonCoefficients(
        torch.zeros(len(model.identity_basis)), torch.zeros(len(model.texture_basis))
    )
    track = TrackCoefficients(
        torch.zeros(1, len(model.expression_names)),
        torch.tensor([[0.1, yaw, 0.05]]),
        torch.tensor([[10.0, -5.0, 800.0]]),
        ambient_light().expand(1, 3, 9),
        torch.ones(1),
    )
    vertices = Scene(model, person, camera, 1).vertices(track)
    points = project_to_crop(vertices, camera, np.eye(2, 3)[None])
    return points, model.triangles.numpy().astype(np.int32)


def test_single_precision_agrees_on_the_default_face_model():
    camera = Camera(260.0, 192, 128)
    points, triangles = face_before(camera, 0.3)
    ours = rasterize(points, triangles, camera.height, camera.width, cull_back=True)
    with pytorch3d_double.installed(np.float32):
        theirs = see_mesh(
            "pytorch3d", points, triangles, camera.height, camera.width, cull_back=True
        )
    assert_agree(ours, theirs)


@pytest.mark.parametrize("name", MODELS)
def test_the_real_pytorch3d_agrees(name):
    pytest.importorskip(
        "pytorch3d.renderer.mesh.rasterize_meshes", reason="PyTorch3D is not installed"
    )
    for height, width in ((256, 256), (180, 320)):
        for yaw, cull_back in ((0.0, False), (0.6, True)):
            points, triangles = face_before(Camera(1.4 * height, width, height), yaw, name)
            ours = rasterize(points, triangles, height, width, cull_back)
            theirs = see_mesh("pytorch3d", points, triangles, height, width, cull_back)
            assert_agree(ours, theirs)


@pytest.mark.parametrize("name", MODELS[1:])
def test_single_precision_agrees_on_the_models_that_are_there(name):
    camera = Camera(260.0, 192, 128)
    points, triangles = face_before(camera, 0.3, name)
    with pytorch3d_double.installed(np.float32):
        theirs = see_mesh("pytorch3d", points, triangles, 128, 192, cull_back=True)
    assert_agree(rasterize(points, triangles, 128, 192, cull_back=True), theirs)


@pytest.mark.gpu
def test_the_real_pytorch3d_agrees_on_a_whole_frame_on_the_device():
    pytest.importorskip(
        "pytorch3d.renderer.mesh.rasterize_meshes", reason="PyTorch3D is not installed"
    )
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    points, triangles = face_before(Camera(2400.0, 1920, 1080), 0.3)
    assert choose_backend("auto") == "pytorch3d"
    assert_agree(
        rasterize(points, triangles, 1080, 1920, cull_back=True),
        see_mesh("auto", points, triangles, 1080, 1920, cull_back=True),
    )


def test_gradients_flow_through_either():
    track = replace(toy_track(1), expression=torch.zeros(1, 4))
    vertices = Scene(MODEL, PERSON, CAMERA, 1).vertices(track)
    crop = np.array([[[0.15, 0, -9.0], [0, 0.15, -3.0]]])
    points = project_to_crop(vertices, CAMERA, crop)
    triangles = MODEL.triangles.numpy().astype(np.int32)
    found = []
    with pytorch3d_double.installed():
        for name in ("numba", "pytorch3d"):
            fragments = see_mesh(name, points, triangles, 30, 30, cull_back=True)
            moving = vertices.clone().requires_grad_()
            pixels = seen_pixels(fragments, MODEL.triangles, CAMERA, crop)
            drawn = draw_appearance(
                pixels, moving, MODEL.albedo(PERSON.texture), track.lighting, MODEL.triangles
            )
            (drawn.colour.square().sum() + drawn.depth.mean()).backward()
            found.append(moving.grad)
    assert found[0].abs().sum() > 0
    torch.testing.assert_close(found[1], found[0], atol=1e-4, rtol=1e-3)


def test_a_scene_draws_alike_with_either():
    track = toy_track(2)
    ours = Scene(MODEL, PERSON, CAMERA, 48, backend="numba")
    layout = ours.measure_layout(track, 0.2)
    transforms = ours.transforms(track, layout, 0.0, np.array([[0, 2]]))
    with pytorch3d_double.installed():
        theirs = replace(ours, backend="pytorch3d")
        pictures = [scene.synthetic(track, transforms) for scene in (ours, theirs)]
        masks = [scene.mask(track, transforms) for scene in (ours, theirs)]
        maps = [scene.carry(track, track, transforms) for scene in (ours, theirs)]
    assert (np.abs(pictures[0].astype(int) - pictures[1]) <= 1).mean() > 0.999
    assert (masks[0] == masks[1]).mean() > 0.999
    assert (maps[0].valid == maps[1].valid).mean() > 0.995


def test_auto_takes_ours_without_a_device(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytorch3d_double.installed():
        assert choose_backend("auto") == "numba"
        assert choose_backend("pytorch3d") == "pytorch3d"
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        assert choose_backend("auto") == "pytorch3d"
    assert choose_backend("numba") == "numba"


def test_says_how_to_get_what_is_missing(monkeypatch):
    def missing(name: str) -> None:
        raise ImportError("no module named pytorch3d")

    backend.why_missing.cache_clear()
    monkeypatch.setattr(backend.importlib, "import_module", missing)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    try:
        with pytest.raises(MissingAssetError, match="no module named pytorch3d") as caught:
            choose_backend("pytorch3d")
        assert "render.backend=auto" in caught.value.remedy
        assert choose_backend("auto") == "numba"
    finally:
        backend.why_missing.cache_clear()


def test_a_scene_tells_what_is_missing_before_any_work(monkeypatch):
    monkeypatch.setattr(backend, "why_missing", lambda: "not there")
    with pytest.raises(MissingAssetError, match="not there"):
        Scene(MODEL, PERSON, CAMERA, 48, backend="pytorch3d")


def test_refuses_another_name():
    with pytest.raises(ConfigError, match="opengl"):
        choose_backend("opengl")
    with pytest.raises(ConfigError):
        load_config(words=["render.backend=opengl"])
    stored = OmegaConf.to_container(OmegaConf.structured(load_config().render))
    assert stored["backend"] == "auto"
