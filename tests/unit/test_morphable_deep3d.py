"""Deep3DFaceRecon's coefficients mean the same here as in its own published formulas."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import deep3d_formulas as published
import numpy as np
import pytest
import scipy.io
import torch

from metatalk.errors import ConfigError, MissingAssetError, ShapeError
from metatalk.morphable.camera import Camera
from metatalk.morphable.coefficients import PersonCoefficients, TrackCoefficients
from metatalk.morphable.deep3d import (
    LENGTH,
    average_person,
    coefficients_to_deep3d,
    deep3d_frame,
    gamma_to_lighting,
    incident_normals,
    lighting_to_gamma,
    load_deep3d_mat,
    read_deep3d,
    save_deep3d_mat,
    write_deep3d,
)
from metatalk.morphable.deep3d_crop import CROP_CAMERA
from metatalk.morphable.lighting import sh_basis, shade
from metatalk.morphable.model import MorphableModel
from metatalk.morphable.normals import vertex_normals
from metatalk.morphable.pose import transform_points

FRAMES = 5
SEEDS = (0, 1, 2)


@pytest.fixture(scope="module", params=SEEDS)
def file(request: pytest.FixtureRequest) -> published.Arrays:
    return published.model_file(request.param)


@pytest.fixture(scope="module")
def model(file: published.Arrays) -> MorphableModel:
    return published.face_model(file)


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    return published.random_vectors(FRAMES)


def posed(
    model: MorphableModel, person: PersonCoefficients, track: TrackCoefficients
) -> torch.Tensor:
    """(T, V, 3) mm, our camera frame."""
    shape = model.shape(person.identity, track.expression)
    return transform_points(shape, track.rotation, track.translation)


def read(
    model: MorphableModel, vectors: np.ndarray
) -> tuple[PersonCoefficients, TrackCoefficients, Camera]:
    return read_deep3d(torch.from_numpy(vectors), model)


def test_vertices_are_those_of_the_published_formulas(
    file: published.Arrays, model: MorphableModel, vectors: np.ndarray
) -> None:
    person, track, _ = read(model, vectors)
    ours = posed(model, person, track).numpy()
    for frame, vector in enumerate(vectors):
        theirs = published.evaluate(file, vector).camera_dm
        np.testing.assert_allclose(ours[frame] / [100, -100, 100], theirs, atol=1e-4, rtol=0)


def test_landmarks_are_those_of_the_published_formulas(
    file: published.Arrays, model: MorphableModel, vectors: np.ndarray
) -> None:
    person, track, camera = read(model, vectors)
    pixels = camera.project(posed(model, person, track)).numpy()
    landmarks = pixels[:, file["keypoints"].reshape(-1) - 1]
    landmarks[..., 1] = 224 - landmarks[..., 1]  # their y points up
    for frame, vector in enumerate(vectors):
        theirs = published.evaluate(file, vector).pixels
        np.testing.assert_allclose(landmarks[frame], theirs, atol=0.01, rtol=0)


def test_colours_are_those_of_the_published_formulas(
    file: published.Arrays, model: MorphableModel, vectors: np.ndarray
) -> None:
    person, track, _ = read(model, vectors)
    normals = incident_normals(posed(model, person, track), model.triangles)
    ours = shade(model.albedo(person.texture).expand(FRAMES, -1, -1), normals, track.lighting)
    for frame, vector in enumerate(vectors):
        answer = published.evaluate(file, vector)
        assert answer.texture.min() > 0  # within what our albedo can tell
        assert answer.texture.max() < 1
        np.testing.assert_allclose(ours[frame].numpy(), answer.colours, atol=1e-3, rtol=0)


def test_albedo_beyond_white_is_where_ours_ends(
    file: published.Arrays, model: MorphableModel, vectors: np.ndarray
) -> None:
    bright = vectors.copy()
    bright[:, 144:224] *= 12
    theirs = published.evaluate(file, bright[0]).texture
    ours = model.albedo(read(model, bright)[0].texture).numpy()
    assert theirs.max() > 1.05
    np.testing.assert_allclose(ours, theirs.clip(0, 1), atol=1e-5)


def test_light_is_exact_for_every_normal() -> None:
    """Each of the 27 numbers alone: a wrong sign or factor shows in one of them."""
    normals = torch.nn.functional.normalize(torch.randn(200, 3, dtype=torch.float64), dim=-1)
    theirs = published.light_functions(normals.numpy() * [1, -1, -1])
    for number in range(27):
        gamma = torch.zeros(27, dtype=torch.float64)
        gamma[number] = 1.0
        light = gamma.numpy().reshape(3, 9) + np.array([0.8, 0, 0, 0, 0, 0, 0, 0, 0])
        ours = sh_basis(normals) @ gamma_to_lighting(gamma).T
        np.testing.assert_allclose(ours.numpy(), theirs @ light.T, atol=1e-12)


def test_no_light_of_theirs_is_the_ambient_eight_tenths() -> None:
    white = sh_basis(torch.tensor([0.0, 0.0, -1.0])) @ gamma_to_lighting(torch.zeros(27)).T
    torch.testing.assert_close(white, torch.full((3,), 0.8 * math.sqrt(math.pi) / 2))


def test_light_there_and_back() -> None:
    lighting = torch.randn(4, 3, 9, dtype=torch.float64)
    torch.testing.assert_close(gamma_to_lighting(lighting_to_gamma(lighting)), lighting)


def test_the_origin_is_read_off_the_model(file: published.Arrays, model: MorphableModel) -> None:
    mean = file["meanshape"].reshape(-1, 3)
    eyes = mean[file["keypoints"].reshape(-1)[36:48] - 1].mean(0) - mean.mean(0)
    np.testing.assert_allclose(deep3d_frame(model).origin_dm.numpy(), eyes, atol=1e-6)


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_theirs_to_ours_and_back(
    model: MorphableModel, vectors: np.ndarray, kind: torch.dtype
) -> None:
    given = torch.from_numpy(vectors).to(kind)
    person, track, camera = read_deep3d(given, model)
    torch.testing.assert_close(write_deep3d(model, person, track), given, atol=1e-5, rtol=0)
    again = coefficients_to_deep3d(model, person, track, camera)
    assert again.dtype == torch.float32
    torch.testing.assert_close(again, given.float(), atol=1e-5, rtol=0)


def test_ours_to_theirs_and_back(model: MorphableModel) -> None:
    chance = torch.Generator().manual_seed(5)
    random = lambda *shape: torch.randn(*shape, generator=chance)  # noqa: E731
    person = PersonCoefficients(random(80), random(80))
    track = TrackCoefficients(
        expression=random(FRAMES, 64),
        rotation=0.4 * random(FRAMES, 3),
        translation=40.0 * random(FRAMES, 3) + torch.tensor([0.0, 0.0, 1000.0]),
        lighting=random(FRAMES, 3, 9),
        confidence=torch.ones(FRAMES),
    )
    vectors = coefficients_to_deep3d(model, person, track, CROP_CAMERA)
    found, again, camera = read_deep3d(vectors, model)
    assert camera == CROP_CAMERA
    torch.testing.assert_close(found.identity, person.identity, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.texture, person.texture, atol=1e-5, rtol=0)
    for name in ("expression", "rotation", "lighting"):
        torch.testing.assert_close(getattr(again, name), getattr(track, name), atol=1e-5, rtol=0)
    # A millimetre of 1000 has no 1e-5 in float32: that many decimetres.
    torch.testing.assert_close(again.translation / 100, track.translation / 100, atol=1e-5, rtol=0)


def test_a_person_on_whom_all_frames_agree_is_exact(vectors: np.ndarray) -> None:
    person = average_person(torch.from_numpy(np.repeat(vectors[:1], 700, axis=0)))
    np.testing.assert_array_equal(person.identity.numpy(), vectors[0, :80])
    np.testing.assert_array_equal(person.texture.numpy(), vectors[0, 144:224])


def test_a_person_on_whom_frames_differ_is_their_mean() -> None:
    vectors = torch.zeros(2, LENGTH)
    vectors[1, :80] = 2.0
    torch.testing.assert_close(average_person(vectors).identity, torch.ones(80))
    with pytest.raises(ShapeError):
        average_person(vectors[:0])


def test_their_normals_differ_from_ours_where_triangles_do(model: MorphableModel) -> None:
    """Or the colour test would not need normals of its own."""
    theirs = incident_normals(model.mean, model.triangles)
    ours = vertex_normals(model.mean, model.triangles)
    torch.testing.assert_close(theirs.norm(dim=-1), torch.ones(len(theirs)))
    assert (theirs * ours).sum(-1).min() > 0.95
    assert (theirs - ours).abs().max() > 1e-3


@pytest.mark.parametrize("change", [{"source": "anny"}, {"identity": 79}])
def test_other_face_models_are_refused(change: dict[str, object]) -> None:
    model = published.face_model(published.model_file())
    if "source" in change:
        other = replace(model, source="anny")
    else:
        other = replace(model, identity_basis=model.identity_basis[:79])
    with pytest.raises(ConfigError, match="80/64/80") as raised:
        read_deep3d(torch.zeros(1, LENGTH), other)
    assert "bfm2009" in raised.value.remedy


def test_vectors_of_another_length_are_refused(model: MorphableModel) -> None:
    with pytest.raises(ShapeError):
        read_deep3d(torch.zeros(2, 256), model)


# --- files ---------------------------------------------------------------------------------


def test_mat_there_and_back(tmp_path: Path, vectors: np.ndarray) -> None:
    for name in ("clip.mat", "clip.mat.partial"):  # the latter while it is being written
        save_deep3d_mat(tmp_path / name, vectors)
        np.testing.assert_array_equal(load_deep3d_mat(tmp_path / name).numpy(), vectors)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mat", "clip.mat.partial"]


def test_mat_has_the_tools_layout(tmp_path: Path, vectors: np.ndarray) -> None:
    save_deep3d_mat(tmp_path / "clip.mat", torch.from_numpy(vectors))
    parts = scipy.io.loadmat(tmp_path / "clip.mat")
    shapes = {name: part.shape for name, part in parts.items() if not name.startswith("__")}
    sizes = {"id": 80, "exp": 64, "tex": 80, "angle": 3, "gamma": 27, "trans": 3}
    assert shapes == {name: (FRAMES, size) for name, size in sizes.items()}
    np.testing.assert_array_equal(parts["angle"], vectors[:, 224:227])


def test_a_folder_of_single_frames_is_a_clip(tmp_path: Path, vectors: np.ndarray) -> None:
    bounds = {"id": (0, 80), "exp": (80, 144), "tex": (144, 224), "angle": (224, 227),
              "gamma": (227, 254), "trans": (254, 257)}  # fmt: skip
    for frame, row in enumerate(vectors):
        parts = {name: row[None, low:high] for name, (low, high) in bounds.items()}
        scipy.io.savemat(tmp_path / f"{frame:06d}.mat", {**parts, "lm68": np.zeros((1, 68, 2))})
    np.testing.assert_array_equal(load_deep3d_mat(tmp_path).numpy(), vectors)


def test_plain_arrays_are_read(tmp_path: Path, vectors: np.ndarray) -> None:
    np.save(tmp_path / "all.npy", vectors)
    np.save(tmp_path / "one.npy", vectors[0])
    np.testing.assert_array_equal(load_deep3d_mat(tmp_path / "all.npy").numpy(), vectors)
    np.testing.assert_array_equal(load_deep3d_mat(tmp_path / "one.npy").numpy(), vectors[:1])


def test_foreign_files_are_refused_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "text.mat").write_text("not a matrix at all\n" * 20)
    scipy.io.savemat(tmp_path / "partial.mat", {"id": np.zeros((1, 80))})
    np.save(tmp_path / "short.npy", np.zeros((4, 256)))
    swapped = {"id": 64, "exp": 80, "tex": 80, "angle": 3, "gamma": 27, "trans": 3}
    scipy.io.savemat(
        tmp_path / "swapped.mat", {name: np.zeros((1, n)) for name, n in swapped.items()}
    )
    for name in ("text.mat", "partial.mat", "short.npy", "swapped.mat"):
        with pytest.raises(ShapeError, match=name) as raised:
            load_deep3d_mat(tmp_path / name)
        assert raised.value.remedy
    with pytest.raises(MissingAssetError):
        load_deep3d_mat(tmp_path / "absent.mat")
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingAssetError):
        load_deep3d_mat(tmp_path / "empty")
