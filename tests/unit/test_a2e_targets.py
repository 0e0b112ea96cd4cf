"""The actor's mouth space."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metatalk.a2e.targets import MouthSpace, fit_mouth_space
from metatalk.errors import FittingError, ShapeError

UNITS, FRAMES = 6, 200
LOWER = np.array([True, True, True, True, False, False])


def toy_expression(seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return (0.3 + 0.1 * generator.standard_normal((FRAMES, UNITS))).astype(np.float32)


def toy_basis(seed: int = 1) -> np.ndarray:
    basis = np.random.default_rng(seed).standard_normal((UNITS, 30)) * 10
    basis[3] = 0  # moves nothing at the mouth
    return basis


def toy_space(components: int = 8) -> MouthSpace:
    seen = np.ones(FRAMES, bool)
    return fit_mouth_space(toy_expression(), seen, toy_basis(), LOWER, components)


@settings(deadline=None, max_examples=20)
@given(components=st.integers(1, 8))
def test_encoding_undoes_decoding(components: int) -> None:
    space = toy_space(components)
    mouth = np.random.default_rng(2).standard_normal((20, space.components))
    again = space.expression_to_mouth(space.mouth_to_expression(mouth))
    np.testing.assert_allclose(again, mouth, atol=1e-3)


def test_coordinates_count_deviations_and_are_uncorrelated() -> None:
    space = toy_space()
    mouth = space.expression_to_mouth(toy_expression())
    np.testing.assert_allclose(mouth.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(mouth.T @ mouth / FRAMES, np.eye(space.components), atol=1e-3)


def test_what_moves_nothing_visible_is_no_component() -> None:
    assert toy_space().components == 3


def test_all_components_restore_the_mouth() -> None:
    space, expression, basis = toy_space(), toy_expression(), toy_basis()
    again = space.mouth_to_expression(space.expression_to_mouth(expression))
    change = ((again - expression) * LOWER) @ basis
    assert np.abs(change).max() < 1e-2  # millimetres


def test_scale_is_the_movement_in_millimetres() -> None:
    space, basis = toy_space(), toy_basis()
    moved = (space.directions @ basis).reshape(space.components, -1, 3)
    rms = np.sqrt((moved**2).sum(axis=2).mean(axis=1))
    np.testing.assert_allclose(space.scale, rms, rtol=1e-3)
    assert (np.diff(space.scale) <= 0).all()


def test_the_upper_face_is_left_alone() -> None:
    space, expression = toy_space(), toy_expression(5)
    spoken = space.replace_mouth(expression, np.ones((FRAMES, space.components)))
    np.testing.assert_array_equal(spoken[:, ~LOWER], expression[:, ~LOWER])
    assert not np.allclose(spoken[:, LOWER], expression[:, LOWER])


def test_clamp_keeps_the_seen_and_stops_the_unseen() -> None:
    space = toy_space()
    mouth = space.expression_to_mouth(toy_expression())
    assert (space.clamp(mouth) == mouth).mean() > 0.97
    assert (np.abs(space.clamp(mouth * 100)) < 5).all()


def test_frames_without_a_face_do_not_count() -> None:
    expression, seen = toy_expression(), np.ones(FRAMES, bool)
    expression[50:60], seen[50:60] = 1e3, False
    assert fit_mouth_space(expression, seen, toy_basis(), LOWER).scale.max() < 10


@pytest.mark.parametrize(("frames", "still"), [(2, False), (50, True)])
def test_nothing_to_learn_from_is_explained(frames: int, still: bool) -> None:
    expression = toy_expression()[:frames]
    if still:
        expression = np.repeat(expression[:1], frames, axis=0)
    with pytest.raises(FittingError, match=r"remedy"):
        fit_mouth_space(expression, np.ones(frames, bool), toy_basis(), LOWER)


def test_shapes_are_checked() -> None:
    with pytest.raises(ShapeError):
        toy_space().expression_to_mouth(np.zeros((3, UNITS + 1)))
