"""What the reconstructor finds, checked, cut and stored."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from face_toys import CAMERA, toy_track

from metatalk.errors import ShapeError
from metatalk.morphable.coefficients import (
    TRUSTED,
    PersonCoefficients,
    TrackCoefficients,
    load_coefficients,
    save_coefficients,
)

PERSON = PersonCoefficients(torch.randn(3), torch.randn(6))


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    path = tmp_path / "coefficients.npz"
    save_coefficients(path, PERSON, toy_track(5), CAMERA)
    return path


def test_what_is_stored_comes_back(stored: Path):
    person, track, camera = load_coefficients(stored)
    assert camera == CAMERA
    for found, given in ((person, PERSON), (track, toy_track(5))):
        for name, value in vars(given).items():
            assert getattr(found, name).equal(value), name
            assert getattr(found, name).dtype == value.dtype


def test_the_file_opens_without_metatalk(stored: Path):
    with np.load(stored, allow_pickle=False) as arrays:
        assert arrays["rotation"].shape == (5, 3)
        assert arrays["camera"].tolist() == [CAMERA.focal_px, CAMERA.width, CAMERA.height]


@pytest.mark.parametrize("name", ["camera", "identity", "lighting", "confidence"])
def test_a_file_that_lacks_an_array_is_refused(stored: Path, name: str):
    with np.load(stored) as arrays:
        rest = {key: value for key, value in arrays.items() if key != name}
    np.savez(stored, **rest)
    with pytest.raises(ShapeError, match=stored.name):
        load_coefficients(stored)


def test_an_unknown_array_is_refused(stored: Path):
    with np.load(stored) as arrays:
        more = {**arrays, "hair": np.zeros(3)}
    np.savez(stored, **more)
    with pytest.raises(ShapeError, match="hair"):
        load_coefficients(stored)


@pytest.mark.parametrize("name", [field.name for field in fields(TrackCoefficients)])
def test_rows_must_be_as_many_as_frames(name: str):
    track = toy_track(5)
    with pytest.raises(ShapeError, match=name if name != "expression" else "rotation"):
        replace(track, **{name: getattr(track, name)[:4]})


def test_person_has_no_time_axis():
    with pytest.raises(ShapeError, match="identity"):
        PersonCoefficients(torch.zeros(4, 3), torch.zeros(6))


def test_taken_rows_are_in_the_order_asked_for():
    track = toy_track(6)
    for frames in (np.array([4, 1, 1]), torch.tensor([4, 1, 1])):
        taken = track.take(frames)
        assert len(taken) == 3
        for name, value in vars(track).items():
            assert getattr(taken, name).equal(value[[4, 1, 1]]), name


def test_another_expression_leaves_the_rest():
    track = toy_track(4)
    silent = track.with_expression(torch.zeros(4, 4))
    assert not silent.expression.any()
    assert silent.rotation is track.rotation
    with pytest.raises(ShapeError):
        track.with_expression(torch.zeros(3, 4))


def test_a_frame_without_confidence_has_no_face():
    track = replace(toy_track(3), confidence=torch.tensor([0.0, 0.1, 1.0]))
    assert track.has_face.tolist() == [False, True, True]


def test_a_frame_is_trusted_from_a_confidence_on():
    confidence = torch.tensor([0.0, TRUSTED / 2, TRUSTED, 1.0])
    track = TrackCoefficients(
        torch.zeros(4, 2), torch.zeros(4, 3), torch.zeros(4, 3), torch.zeros(4, 3, 9), confidence
    )
    assert track.has_face.tolist() == [False, True, True, True]
    assert track.is_trusted.tolist() == [False, False, True, True]


@pytest.mark.parametrize("content", [b"", b"x,y\n1,2\n", b"PK\x03\x04", None])
def test_a_damaged_file_is_refused_with_a_remedy(stored: Path, content: bytes | None):
    whole = stored.read_bytes()
    stored.write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(ShapeError, match=stored.name) as caught:
        load_coefficients(stored)
    assert "metatalk fit" in caught.value.remedy
