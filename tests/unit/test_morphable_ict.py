"""The ICT face model from a checkout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from bfm_files import write_ict

from metatalk.errors import MissingAssetError, ShapeError
from metatalk.morphable import ict
from metatalk.morphable.ict import read_ict, read_landmarks, read_obj, split_polygons, unit_name

NAMES = ("mouthSmile_L", "jawOpen", "browDown_R")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    folder = tmp_path_factory.mktemp("ict") / "ICT-FaceKit"
    return folder, write_ict(folder, np.random.default_rng(5), NAMES)


def test_modes_are_differences_in_millimetres(checkout: tuple[Path, np.ndarray]) -> None:
    folder, heads = checkout
    model = read_ict(folder)
    to_ours = np.array([10.0, -10.0, -10.0])
    np.testing.assert_allclose(
        model.identity_basis.numpy(), (heads[1:3] - heads[0]) * to_ours, atol=1e-3
    )
    np.testing.assert_allclose(
        model.expression_basis.numpy(), (heads[3:] - heads[0]) * to_ours, atol=1e-3
    )
    eyes = heads[0, 21451:24591].mean(0)
    np.testing.assert_allclose(model.mean.numpy(), (heads[0] - eyes) * to_ours, atol=1e-3)


def test_expressions_are_those_listed_under_arkits_names(checkout: tuple[Path, np.ndarray]) -> None:
    model = read_ict(checkout[0] / ict.FOLDER)  # the folder itself does as well
    assert model.expression_names == ("mouthSmileLeft", "jawOpen", "browDownRight")
    assert model.has_units
    assert model.open_mouth.tolist() == [0.0, 1.0, 0.0]
    assert model.lower_units.tolist() == [True, True, False]


def test_regions_are_the_published_ranges(checkout: tuple[Path, np.ndarray]) -> None:
    regions = read_ict(checkout[0]).regions
    firsts = {name: region.nonzero().flatten() for name, region in regions.items() if region.any()}
    ends = {name: (int(inside[0]), int(inside[-1])) for name, inside in firsts.items()}
    assert ends == {
        "skin": (0, 11247),
        "inner_mouth": (11248, 21450),
        "teeth": (17039, 21450),
        "eyes": (21451, 24590),
    }
    assert not (regions["skin"] & regions["inner_mouth"]).any()
    assert not regions["inner_mouth"][13294:14062].any()  # the sockets of the eyes


def test_quads_are_cut_and_what_is_seen_through_is_not_drawn(
    checkout: tuple[Path, np.ndarray],
) -> None:
    model = read_ict(checkout[0])
    sense = {tuple(sorted(triangle)) for triangle in model.triangles.tolist()}
    assert sense == {(0, 1, 2), (0, 2, 3), (4, 6, 8)}  # lashes at 26000 have none
    assert len(model.mean) == ict.VERTICES


def test_landmarks_are_read(checkout: tuple[Path, np.ndarray]) -> None:
    assert read_landmarks(checkout[0]).tolist() == list(range(68))


def test_polygons_keep_their_sense(tmp_path: Path) -> None:
    (tmp_path / "a.obj").write_text(
        "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nv 2 2 0\nf 1 2 3 4\nf 3 5 4\n"
    )
    points, polygons = read_obj(tmp_path / "a.obj")
    a, b, c = points[split_polygons(polygons)].transpose(1, 0, 2)
    assert (np.cross(b - a, c - a)[:, 2] > 0).all()


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("eyeLookUp_R", "eyeLookUpRight"),
        ("mouthLeft", "mouthLeft"),
        ("cheekPuff_L", "cheekPuffLeft"),
    ],
)
def test_names_become_arkits(stem: str, name: str) -> None:
    assert unit_name(stem) == name


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(MissingAssetError, match="has no FaceXModel/generic_neutral_mesh"):
        read_ict(tmp_path)
    folder = tmp_path / "checkout"
    write_ict(folder, np.random.default_rng(1), ("jawOpen",))
    (folder / ict.FOLDER / "jawOpen.obj").unlink()
    with pytest.raises(MissingAssetError, match=r"lacks jawOpen\.obj"):
        read_ict(folder)


def test_missing_lists_are_named(tmp_path: Path) -> None:
    write_ict(tmp_path, np.random.default_rng(1), ())
    (tmp_path / ict.FOLDER / ict.INDICES).unlink()
    with pytest.raises(MissingAssetError, match=r"lacks vertex_indices\.json"):
        read_ict(tmp_path)


def test_other_topologies_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / ict.FOLDER
    write_ict(tmp_path, np.random.default_rng(1), ())
    (folder / "identity001.obj").write_text("v 0 0 0\n")
    with pytest.raises(ShapeError, match=r"identity001\.obj has 1 vertices"):
        read_ict(tmp_path)
    (folder / ict.NEUTRAL).write_text("v 0 0 0\nv 0 1 0\nv 1 0 0\nf 1 2 3\n")
    with pytest.raises(ShapeError, match="has 3 vertices, the ICT face model 26719"):
        read_ict(tmp_path)
    (folder / ict.NEUTRAL).write_text("v 0 0 x\n")
    with pytest.raises(ShapeError, match="not an OBJ file"):
        read_ict(tmp_path)


def test_modes_are_float32(checkout: tuple[Path, np.ndarray]) -> None:
    model = read_ict(checkout[0])
    assert model.identity_basis.dtype == model.texture_mean.dtype == torch.float32
