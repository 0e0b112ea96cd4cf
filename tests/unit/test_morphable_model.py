"""The face model: its linear parts, its regions and its file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from face_toys import UNITS, toy_model

from metatalk.errors import ShapeError
from metatalk.morphable.model import load_model, save_model

MODEL = toy_model()


def test_shape_is_mean_plus_modes():
    identity, expression = torch.tensor([1.0, -2.0, 0.5]), torch.tensor([0.2, 0.0, 1.0, 0.7])
    expected = MODEL.mean.clone()
    for number, mode in zip(identity, MODEL.identity_basis, strict=True):
        expected += number * mode
    torch.testing.assert_close(MODEL.neutral(identity), expected)
    for number, mode in zip(expression, MODEL.expression_basis, strict=True):
        expected += number * mode
    torch.testing.assert_close(MODEL.shape(identity, expression), expected)


def test_one_person_makes_many_faces():
    identity, expression = torch.randn(3), torch.rand(5, 4)
    shapes = MODEL.shape(identity, expression)
    assert shapes.shape == (5, 60, 3)
    torch.testing.assert_close(shapes[3], MODEL.shape(identity, expression[3]))


def test_albedo_stays_a_colour():
    torch.testing.assert_close(MODEL.albedo(torch.zeros(6)), MODEL.texture_mean)
    for amount in (-100.0, 100.0):
        albedo = MODEL.albedo(torch.full((2, 6), amount))
        assert albedo.shape == (2, 60, 3)
        assert albedo.min() >= 0
        assert albedo.max() <= 1


@pytest.mark.parametrize("method", ["neutral", "albedo"])
def test_wrong_coefficient_counts_are_refused(method: str):
    with pytest.raises(ShapeError):
        getattr(MODEL, method)(torch.zeros(17))


def test_wrong_expression_count_is_refused():
    with pytest.raises(ShapeError, match="expression"):
        MODEL.shape(torch.zeros(3), torch.zeros(5))


def test_landmarks_lie_on_their_triangles():
    mean, identity, expression = MODEL.landmark_basis()
    assert mean.shape == (68, 3)
    assert identity.shape == (3, 68, 3)
    assert expression.shape == (4, 68, 3)
    corners = MODEL.triangles[MODEL.landmark_triangles[7]]
    weights = MODEL.landmark_weights[7]
    torch.testing.assert_close(mean[7], weights @ MODEL.mean[corners])
    torch.testing.assert_close(expression[2, 7], weights @ MODEL.expression_basis[2, corners])


def test_landmarks_move_with_the_face():
    identity, expression = torch.randn(3), torch.rand(4)
    own = replace(MODEL, mean=MODEL.shape(identity, expression)).landmark_basis()[0]
    mean, shapes, faces = MODEL.landmark_basis()
    by_basis = mean + torch.tensordot(identity, shapes, 1) + torch.tensordot(expression, faces, 1)
    torch.testing.assert_close(own, by_basis)


def test_region_triangles_have_all_corners_inside():
    low = MODEL.region_triangles("lower_face")
    inside = MODEL.regions["lower_face"][MODEL.triangles].all(1)
    assert low.tolist() == torch.nonzero(inside).flatten().tolist()
    both = MODEL.region_triangles("lower_face", "lips", "inner_mouth")
    assert set(low.tolist()) <= set(both.tolist())
    assert len(MODEL.region_triangles("inner_mouth")) == 0


def test_speech_drives_jaw_and_mouth_only():
    assert MODEL.lower_units.tolist() == [True, True, False, False]


@pytest.mark.parametrize(
    "wrong",
    [
        {"mean": torch.zeros(59, 3)},
        {"identity_basis": torch.zeros(3, 59, 3)},
        {"texture_mean": torch.zeros(60, 4)},
        {"expression_names": UNITS[:-1]},
        {"regions": {"lips": torch.zeros(61, dtype=torch.bool)}},
        {"landmark_weights": torch.zeros(67, 3)},
        {"triangles": torch.zeros(5, 4, dtype=torch.long)},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_parts_that_do_not_fit_are_refused(wrong: dict):
    with pytest.raises(ShapeError):
        replace(MODEL, **wrong)


def test_a_stored_model_comes_back(tmp_path: Path):
    save_model(tmp_path / "toy.npz", MODEL)
    found = load_model(tmp_path / "toy.npz")
    for name, value in vars(MODEL).items():
        other = getattr(found, name)
        if isinstance(value, torch.Tensor):
            assert other.equal(value), name
            assert other.dtype == value.dtype, name
        elif name == "regions":
            assert list(other) == list(value)
            assert all(other[region].equal(mask) for region, mask in value.items())
        else:
            assert other == value, name


def test_a_file_that_is_no_model_is_refused(tmp_path: Path):
    np.savez(tmp_path / "other.npz", mean=np.zeros((4, 3), np.float32))
    with pytest.raises(ShapeError, match="other.npz"):
        load_model(tmp_path / "other.npz")
