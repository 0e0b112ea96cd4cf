"""Landmark residuals: every derivative against automatic differentiation, in float64."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch
from face_toys import CAMERA, FREE, toy_clip, toy_model
from scipy.spatial.transform import Rotation
from torch import Tensor

from metatalk.fitting.config import FitConfig
from metatalk.fitting.contour import Contour, place_outline
from metatalk.fitting.residuals import (
    FACING_FLOOR,
    LandmarkBasis,
    Residuals,
    Unknowns,
    landmark_basis,
    landmark_residuals,
)
from metatalk.fitting.solver import rotation_from_vector
from metatalk.landmarks.points import IBUG68, MEDIAPIPE478
from metatalk.morphable.pose import euler_to_matrix

MODEL, FRAMES = toy_model(), 3
CLIP = toy_clip(MODEL, FRAMES, torch.tensor([0.8, -0.5, 0.3]))
CENTRE = torch.tensor([CAMERA.width / 2, CAMERA.height / 2], dtype=torch.float64)


def without_outline(basis: LandmarkBasis) -> LandmarkBasis:
    contour = basis.contour
    none = Contour(contour.landmarks[:0], contour.mean[:0], contour.identity[:, :0],
                   contour.expression[:, :0], contour.normals[:0])  # fmt: skip
    return replace(basis, contour=none)


def in_double(basis):
    doubled = {
        field.name: value.double() if value.is_floating_point() else value
        for field in fields(basis)
        if isinstance(value := getattr(basis, field.name), Tensor)
    }
    if isinstance(basis, LandmarkBasis):
        doubled["contour"] = in_double(basis.contour)
    return replace(basis, **doubled)


OUTLINED = in_double(landmark_basis(MODEL, FitConfig()))
BASIS = without_outline(OUTLINED)
SKIN = BASIS.weights > 0


def off_truth() -> tuple[Unknowns, Tensor]:
    """A state some millimetres and degrees from the truth, and the truth's pixels."""
    chance = torch.Generator().manual_seed(1)
    near = lambda *shape: torch.randn(*shape, generator=chance, dtype=torch.float64)  # noqa: E731
    track = CLIP.track
    state = Unknowns(
        CLIP.person.identity.double() + 0.3 * near(3),
        torch.tensor(CAMERA.focal_px * 1.1, dtype=torch.float64),
        track.expression.double() + 0.1 * near(FRAMES, 4),
        euler_to_matrix(track.rotation.double() + 0.05 * near(FRAMES, 3)),
        track.translation.double() + 5 * near(FRAMES, 3),
    )
    return state, torch.from_numpy(CLIP.landmarks.points[..., :2]).double()


def residuals_at(state: Unknowns, targets: Tensor, shared: bool = True) -> Residuals:
    return landmark_residuals(BASIS, state, targets, CENTRE, FREE.robust_mm, shared)


def offsets(
    state: Unknowns, targets: Tensor, turn: Tensor, move: Tensor, face: Tensor, person: Tensor
) -> Tensor:
    """(T, L + P, 2) unweighted mm of landmarks and pairs, from first principles.

    The millimetres in a pixel are those of the state: the solver holds them for a step.
    """
    scale = state.translation[:, 2] / state.focal_px
    model = BASIS.points(state.identity + person[:-1], state.expression + face)
    rotation = rotation_from_vector(turn) @ state.rotation
    points = torch.einsum("tij,tlj->tli", rotation, model) + (state.translation + move)[:, None]
    focal = state.focal_px * person[-1].exp()
    pixels = focal * points[..., :2] / points[..., 2:] + CENTRE
    own = (pixels - targets) * scale[:, None, None]
    return torch.cat((own, own[:, BASIS.firsts] - own[:, BASIS.seconds]), 1)


def test_values_are_weighted_millimetres():
    state, targets = off_truth()
    found = residuals_at(state, targets)
    zeros = [torch.zeros(n, dtype=torch.float64) for n in (3, 3, 4)]
    turn, move, face = (zero.expand(FRAMES, -1) for zero in zeros)
    own = offsets(state, targets, turn, move, face, torch.zeros(4, dtype=torch.float64))
    torch.testing.assert_close(found.error_mm, own[:, :68].norm(dim=-1))
    weights = found.values.reshape(FRAMES, -1, 2) / own
    torch.testing.assert_close(weights[..., 0], weights[..., 1])  # both axes count alike
    assert (weights[:, :68][:, SKIN] > 0).all()
    assert (weights[:, 68:] > 0).all()
    assert weights[:, :68].square().max() <= FREE.lip_weight


def test_derivatives_are_those_of_autograd():
    state, targets = off_truth()
    found = residuals_at(state, targets)
    at = [torch.zeros(FRAMES, n, dtype=torch.float64) for n in (3, 3, 4)]
    at.append(torch.zeros(4, dtype=torch.float64))
    own = offsets(state, targets, *at)
    weights = (found.values.reshape(own.shape) / own).flatten(1).unsqueeze(-1)  # (T, 2R, 1)
    slopes = torch.autograd.functional.jacobian(
        lambda *change: offsets(state, targets, *change).flatten(1), tuple(at)
    )
    for frame in range(FRAMES):  # a frame's residuals depend on its own unknowns
        turn, move, face = (slope[frame, :, frame] for slope in slopes[:3])
        torch.testing.assert_close(
            found.pose[frame], weights[frame] * torch.cat((turn, move), -1), atol=1e-9, rtol=1e-7
        )
        torch.testing.assert_close(
            found.expression[frame], weights[frame] * face, atol=1e-9, rtol=1e-7
        )
    torch.testing.assert_close(found.shared, weights * slopes[3], atol=1e-9, rtol=1e-7)


def test_shared_derivatives_are_left_out_where_not_wanted():
    state, targets = off_truth()
    with_shared, without = residuals_at(state, targets), residuals_at(state, targets, False)
    assert without.shared.shape == (*with_shared.shared.shape[:2], 0)
    assert without.values.equal(with_shared.values)
    assert without.pose.equal(with_shared.pose)


def test_no_error_at_the_truth():
    track = CLIP.track
    state = Unknowns(
        CLIP.person.identity.double(),
        torch.tensor(CAMERA.focal_px, dtype=torch.float64),
        track.expression.double(),
        euler_to_matrix(track.rotation.double()),
        track.translation.double(),
    )
    found = residuals_at(state, off_truth()[1])
    assert found.error_mm.max() < 1e-3  # the targets are float32
    assert found.values.abs().max() < 1e-2


def test_a_stray_landmark_counts_for_less():
    state, targets = off_truth()
    before = residuals_at(state, targets)
    targets[0, 40] += 200.0  # px
    after = residuals_at(state, targets)
    assert after.error_mm[0, 40] > 100
    slope = lambda found: found.pose.reshape(FRAMES, -1, 2, 6)[0, 40].norm()  # noqa: E731
    assert slope(after) < 0.01 * slope(before)


def test_landmarks_that_look_away_hardly_count():
    state, targets = off_truth()
    behind = replace(state, rotation=euler_to_matrix(torch.tensor([[0.0, 3.14, 0.0]] * 3).double()))
    weights = lambda found: found.pose.reshape(FRAMES, -1, 2, 6)[:, :68, 0, 3]  # noqa: E731
    robust = lambda found: 1 / (1 + (found.error_mm / FREE.robust_mm) ** 2)  # noqa: E731
    away, front = residuals_at(behind, targets), residuals_at(state, targets)
    share = ((weights(away) / robust(away)) / (weights(front) / robust(front)))[:, SKIN]
    assert (share.square() < 2 * FACING_FLOOR / 0.3).all()


def test_the_outline_is_held_across_and_not_along():
    state, targets = off_truth()
    contour = OUTLINED.contour
    look = lambda where: landmark_residuals(OUTLINED, state, where, CENTRE, 1e9, True)  # noqa: E731
    before = look(targets)
    rows = len(contour.landmarks)
    outline = place_outline(contour, state.identity, state.expression, state.rotation)
    across = torch.nn.functional.normalize(outline.normals[..., :2], dim=-1)
    along = torch.stack((-across[..., 1], across[..., 0]), -1)
    aside, off = targets.clone(), targets.clone()
    aside[:, contour.landmarks] += 9.0 * along  # px
    off[:, contour.landmarks] += 9.0 * across
    skin = before.values[:, :-rows]
    assert look(aside).values[:, :-rows].equal(skin)  # no other row knows these landmarks
    torch.testing.assert_close(look(aside).values, before.values)
    moved = (look(off).values - before.values)[:, -rows:]
    mm = state.translation[:, 2:] / state.focal_px
    root = OUTLINED.contour_weight**0.5
    torch.testing.assert_close(moved, (-9.0 * root * mm).expand(-1, rows))


def test_derivatives_of_the_outline_are_those_of_small_steps():
    state, targets = off_truth()
    look = lambda at: landmark_residuals(OUTLINED, at, targets, CENTRE, 1e9, True)  # noqa: E731
    found, step, rows = look(state), 1e-5, len(OUTLINED.contour.landmarks)
    for unit in range(3):
        ahead = state.expression.clone()
        ahead[:, unit] += step
        change = (look(replace(state, expression=ahead)).values - found.values) / step
        torch.testing.assert_close(
            found.expression[:, -rows:, unit], change[:, -rows:], atol=1e-3, rtol=1e-3
        )
    for mode in range(3):
        ahead = state.identity.clone()
        ahead[mode] += step
        change = (look(replace(state, identity=ahead)).values - found.values) / step
        torch.testing.assert_close(
            found.shared[:, -rows:, mode], change[:, -rows:], atol=1e-3, rtol=1e-3
        )


def test_gaze_is_not_read_from_lids():
    basis = landmark_basis(MODEL, FREE)
    assert not basis.expression[3].any()  # eyeLookUpLeft
    assert all(unit.any() for unit in basis.expression[:3])


@pytest.mark.parametrize("groups", [IBUG68, MEDIAPIPE478], ids=lambda groups: groups.layout)
def test_weights_and_lip_pairs_of_a_layout(groups):
    landmarks = torch.zeros(groups.count, dtype=torch.long)
    model = replace(
        MODEL,
        landmark_triangles=landmarks,
        landmark_weights=torch.full((groups.count, 3), 1 / 3),
        landmark_layout=groups.layout,
    )
    config = FitConfig()
    basis = landmark_basis(model, config)
    assert (basis.weights[list(groups.lips)] == config.lip_weight).all()
    assert (basis.weights[list(groups.brows)] == 1).all()
    assert not basis.weights[list(groups.jaw)].any()  # the contour has them
    assert set(groups.jaw) <= set(basis.contour.landmarks.tolist())
    assert not set(groups.brows) & set(basis.contour.landmarks.tolist())
    assert not basis.weights[list(groups.right_iris + groups.left_iris)].any()
    pairs = set(zip(basis.firsts.tolist(), basis.seconds.tolist(), strict=True))
    assert groups.lip_gap in pairs
    assert groups.mouth_corners in pairs
    assert len(pairs) == len(groups.lips_inner) // 2 + 1
    assert {point for pair in pairs for point in pair} <= set(groups.lips)


def test_rotation_vectors_are_those_of_scipy():
    vectors = torch.randn(20, 3, dtype=torch.float64)
    expected = torch.from_numpy(Rotation.from_rotvec(vectors.numpy()).as_matrix())
    torch.testing.assert_close(rotation_from_vector(vectors), expected)
