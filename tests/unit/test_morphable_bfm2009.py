"""The Basel Face Model 2009 in both forms in which people have it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from bfm_files import FRONT, write_2009_parts, write_front_mat

from metatalk.errors import MissingAssetError, ShapeError
from metatalk.morphable.basel_2009 import (
    PARTS,
    eye_origin,
    missing_files,
    read_bfm2009,
    read_front_face,
)


@pytest.fixture
def chance() -> np.random.Generator:
    return np.random.default_rng(7)


def test_parts_are_picked_by_the_chain_of_indices(
    tmp_path: Path, chance: np.random.Generator
) -> None:
    files = write_2009_parts(tmp_path, chance)
    front = read_front_face(tmp_path)
    micrometres = files.arrays
    for vertex in range(FRONT):  # one by one, as the chain is told
        among_told = files.front[vertex] - 1
        among_all = files.trimmed[among_told] - 1
        rows = slice(3 * among_all, 3 * among_all + 3)
        np.testing.assert_allclose(front.mean[vertex], micrometres["shapeMU"][rows, 0] / 1e5)
        np.testing.assert_allclose(front.colour[vertex], micrometres["texMU"][rows, 0])
        for mode in (0, 79):
            spread = micrometres["shapeEV"][mode, 0] / 1e5
            expected = micrometres["shapePC"][rows, mode] * spread
            np.testing.assert_allclose(front.identity[mode, vertex], expected, rtol=1e-5)
            expected = micrometres["texPC"][rows, mode] * micrometres["texEV"][mode, 0]
            np.testing.assert_allclose(front.colours[mode, vertex], expected, rtol=1e-5)
        told = slice(3 * among_told, 3 * among_told + 3)
        for mode in (0, 63):
            expected = files.expressions[mode, told] * files.spreads[mode] / 1e5
            np.testing.assert_allclose(front.expression[mode, vertex], expected, rtol=1e-5)


def test_parts_have_the_papers_sizes(tmp_path: Path, chance: np.random.Generator) -> None:
    files = write_2009_parts(tmp_path, chance)
    model = read_bfm2009(tmp_path)
    sizes = (len(model.identity_basis), len(model.expression_basis), len(model.texture_basis))
    assert sizes == (80, 64, 80)
    assert model.mean.shape == (FRONT, 3)
    torch.testing.assert_close(model.triangles, torch.from_numpy(files.triangles - 1))


def test_ready_made_model_is_an_affine_map_of_the_file(
    tmp_path: Path, chance: np.random.Generator
) -> None:
    """What Deep3DFaceRecon's coefficients rely on."""
    arrays = write_front_mat(tmp_path / "BFM_model_front.mat", chance)
    model = read_bfm2009(tmp_path)
    flip = np.array([1.0, -1.0, -1.0])
    identity, expression = chance.standard_normal(80), chance.standard_normal(64)
    moved = arrays["idBase"] @ identity + arrays["exBase"] @ expression
    file_dm = arrays["meanshape"].reshape(-1, 3) + moved.reshape(-1, 3)
    centroid = arrays["meanshape"].reshape(-1, 3).mean(0)
    eyes = arrays["meanshape"].reshape(-1, 3)[arrays["keypoints"][0, 36:48] - 1].mean(0)
    expected_mm = (file_dm - centroid - (eyes - centroid)) * flip * 100
    as_tensor = lambda array: torch.from_numpy(array).float()  # noqa: E731
    shape = model.shape(as_tensor(identity), as_tensor(expression))
    np.testing.assert_allclose(shape.numpy(), expected_mm, atol=2e-3)
    # the centroid can be read back off the model: that is how their frame is found again
    np.testing.assert_allclose(
        -model.mean.double().numpy().mean(0) * flip / 100, eyes - centroid, atol=1e-5
    )


def test_colours_become_albedo(tmp_path: Path, chance: np.random.Generator) -> None:
    arrays = write_front_mat(tmp_path / "BFM_model_front.mat", chance)
    model = read_bfm2009(tmp_path / "BFM_model_front.mat")
    amounts = 0.01 * chance.standard_normal(80)
    expected = (arrays["meantex"].ravel() + arrays["texBase"] @ amounts).reshape(-1, 3) / 255
    albedo = model.albedo(torch.from_numpy(amounts).float()).numpy()
    np.testing.assert_allclose(albedo, expected.clip(0, 1), atol=1e-5)
    assert model.source == "bfm2009"
    assert not model.has_units
    assert model.expression_names[63] == "mode_63"
    assert model.regions["skin"].all()


def test_eye_origin_does_not_depend_on_centring(chance: np.random.Generator) -> None:
    mean, keypoints = chance.standard_normal((20, 3)), chance.integers(0, 20, 68)
    expected = (mean - mean.mean(0))[keypoints[36:48]].mean(0)
    np.testing.assert_allclose(eye_origin(mean, keypoints), expected)
    np.testing.assert_allclose(eye_origin(mean - mean.mean(0), keypoints), expected)


def test_missing_parts_are_named_with_their_origin(
    tmp_path: Path, chance: np.random.Generator
) -> None:
    write_2009_parts(tmp_path, chance)
    (tmp_path / "std_exp.txt").unlink()
    (tmp_path / "01_MorphableModel.mat").unlink()
    assert missing_files(tmp_path) == ["01_MorphableModel.mat", "std_exp.txt"]
    with pytest.raises(MissingAssetError, match=r"lacks 01_MorphableModel\.mat, std_exp\.txt") as e:
        read_bfm2009(tmp_path)
    assert "after registration" in e.value.remedy
    assert set(missing_files(tmp_path / "nowhere")) == set(PARTS)


def test_ready_made_file_counts_before_parts(tmp_path: Path, chance: np.random.Generator) -> None:
    write_2009_parts(tmp_path, chance)
    arrays = write_front_mat(tmp_path / "BFM_model_front.mat", chance)
    np.testing.assert_array_equal(read_front_face(tmp_path).mean.ravel(), arrays["meanshape"][0])


def test_files_of_different_models_are_refused(tmp_path: Path, chance: np.random.Generator) -> None:
    import scipy.io

    write_2009_parts(tmp_path, chance)
    scipy.io.savemat(tmp_path / "BFM_front_idx.mat", {"idx": np.arange(1, 200)[:, None]})
    with pytest.raises(ShapeError, match="BFM_front_idx.idx names vertices 1 to 199 of 70"):
        read_bfm2009(tmp_path)


@pytest.mark.parametrize("bytes_left", [0, 3, 4, 400])
def test_a_short_file_of_expressions_is_refused(
    tmp_path: Path, chance: np.random.Generator, bytes_left: int
) -> None:
    write_2009_parts(tmp_path, chance)
    path = tmp_path / "Exp_Pca.bin"
    path.write_bytes(path.read_bytes()[:bytes_left])
    with pytest.raises(ShapeError, match=r"Exp_Pca\.bin has"):
        read_bfm2009(tmp_path)


def test_strangers_are_refused(tmp_path: Path) -> None:
    import scipy.io

    path = tmp_path / "BFM_model_front.mat"
    with pytest.raises(MissingAssetError, match="no such file"):
        read_bfm2009(path)
    path.write_bytes(b"not a MATLAB file, but long enough for a header" * 10)
    with pytest.raises(MissingAssetError, match="cannot be read"):
        read_bfm2009(path)
    scipy.io.savemat(path, {"meanshape": np.zeros((1, 9))})
    with pytest.raises(ShapeError, match="has no array meantex"):
        read_bfm2009(path)
