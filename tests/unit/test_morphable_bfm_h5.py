"""The Basel Face Models of 2017 and 2019."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from bfm_files import Statistics, random_statistics, write_basel_h5

from metatalk.errors import MissingAssetError, ShapeError
from metatalk.morphable.basel_h5 import FILES, read_basel_h5
from metatalk.morphable.normals import triangle_normals

VERTICES = 40


@pytest.fixture
def chance() -> np.random.Generator:
    return np.random.default_rng(11)


def some_colours(chance: np.random.Generator, brightest: float) -> Statistics:
    basis = 0.02 * brightest * chance.standard_normal((81, VERTICES, 3))
    return Statistics(brightest * (0.3 + 0.4 * chance.random((VERTICES, 3))), basis)


def write_some(
    path: Path, chance: np.random.Generator, upright: bool = True, brightest: float = 1.0
) -> tuple[Statistics, Statistics, Statistics, np.ndarray]:
    shape = random_statistics(chance, VERTICES, 90)
    expression = random_statistics(chance, VERTICES, 66)
    colour = some_colours(chance, brightest)
    triangles = chance.integers(0, VERTICES, (60, 3))
    write_basel_h5(path, shape, expression, colour, triangles, upright)
    return shape, expression, colour, triangles


@pytest.mark.parametrize("source", FILES)
@pytest.mark.parametrize("upright", [True, False])
@pytest.mark.parametrize("brightest", [1.0, 255.0])
def test_modes_are_those_of_the_file(
    tmp_path: Path, chance: np.random.Generator, source: str, upright: bool, brightest: float
) -> None:
    path = tmp_path / FILES[source]
    shape, expression, colour, _ = write_some(path, chance, upright, brightest)
    model = read_basel_h5(path, source)
    flip = np.array([1.0, -1.0, -1.0])
    for read, written, count in (
        (model.identity_basis, shape.basis * flip, 80),
        (model.expression_basis, expression.basis * flip, 64),
        (model.texture_basis, colour.basis / brightest, 80),
    ):
        assert read.dtype == torch.float32
        np.testing.assert_allclose(read.numpy(), written[:count], rtol=1e-4, atol=1e-5)
    resting = (shape.mean + expression.mean) * flip
    shifted = resting - model.mean.numpy()  # the same for all: only the origin moves
    np.testing.assert_allclose(shifted, np.broadcast_to(shifted[0], shifted.shape), atol=1e-3)
    np.testing.assert_allclose(model.texture_mean.numpy(), colour.mean / brightest, atol=1e-6)
    assert source[3:7] in model.terms
    assert model.source == source


def bowl() -> tuple[np.ndarray, np.ndarray]:
    """A shell that looks along +z, and its triangles, counter-clockwise seen from there."""
    across, up = np.meshgrid(np.linspace(-60, 60, 8), np.linspace(-80, 80, 5))
    points = np.stack((across, up, -0.01 * (across**2 + up**2)), -1).reshape(-1, 3)
    corner = np.arange(40).reshape(5, 8)
    a, b, c, d = corner[:-1, :-1], corner[:-1, 1:], corner[1:, 1:], corner[1:, :-1]
    pairs = np.stack((np.stack((a, b, c), -1), np.stack((a, c, d), -1)))
    return points, pairs.reshape(-1, 3)


@pytest.mark.parametrize("turned", [False, True])
def test_triangles_look_at_the_viewer(
    tmp_path: Path, chance: np.random.Generator, turned: bool
) -> None:
    points, triangles = bowl()
    path = tmp_path / "model2017-1_bfm_nomouth.h5"
    still = Statistics(np.zeros((40, 3)), chance.standard_normal((3, 40, 3)))
    shape = Statistics(points, chance.standard_normal((3, 40, 3)))
    faces = triangles[:, ::-1] if turned else triangles
    write_basel_h5(path, shape, still, some_colours(chance, 1.0), faces)
    model = read_basel_h5(path, "bfm2017")
    assert (triangle_normals(model.mean, model.triangles)[:, 2] < 0).all()
    assert len(model.identity_basis) == 3  # fewer than 80 are taken as they are


def test_origin_is_about_between_the_eyes(tmp_path: Path, chance: np.random.Generator) -> None:
    points, triangles = bowl()
    points[20] = (0.0, 0.0, 25.0)  # the tip of a nose
    path = tmp_path / "model2019_bfm.h5"
    still = Statistics(np.zeros((40, 3)), chance.standard_normal((3, 40, 3)))
    shape = Statistics(points + 500.0, chance.standard_normal((3, 40, 3)))
    write_basel_h5(path, shape, still, some_colours(chance, 1.0), triangles)
    tip = read_basel_h5(path, "bfm2019").mean[20]
    torch.testing.assert_close(tip, torch.tensor([0.0, 36.0, -32.0]), atol=1e-3, rtol=0)


@pytest.mark.parametrize("group", ["expression", "color/model/pcaBasis", "shape/representer/cells"])
def test_what_is_missing_is_named(tmp_path: Path, chance: np.random.Generator, group: str) -> None:
    path = tmp_path / "model2017-1_bfm_nomouth.h5"
    write_some(path, chance)
    with h5py.File(path, "a") as file:
        del file[group]
    with pytest.raises(ShapeError, match=f"has no array {group}"):
        read_basel_h5(path, "bfm2017")


def test_cells_beyond_the_points_are_refused(tmp_path: Path, chance: np.random.Generator) -> None:
    path = tmp_path / "model2017-1_bfm_nomouth.h5"
    write_some(path, chance)
    with h5py.File(path, "a") as file:
        file["shape/representer/cells"][0, 0] = VERTICES
    with pytest.raises(ShapeError, match="does not name corners among 40"):
        read_basel_h5(path, "bfm2017")


def test_strangers_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model2017-1_bfm_nomouth.h5"
    with pytest.raises(MissingAssetError, match="no such file"):
        read_basel_h5(path, "bfm2017")
    path.write_bytes(b"no HDF5")
    with pytest.raises(MissingAssetError, match="cannot be read as HDF5"):
        read_basel_h5(path, "bfm2017")
