"""The solver finds known heads, keeps to its bounds and leaves alone what is not free."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from face_toys import CAMERA, FREE, toy_clip, toy_model

from metatalk.errors import ConfigError
from metatalk.fitting.config import FRAME, POSE, SHARED, FitConfig, PhaseConfig
from metatalk.fitting.residuals import Residuals, Unknowns, landmark_basis
from metatalk.fitting.solver import (
    Problem,
    expression_prior,
    landmark_error_mm,
    solve,
)
from metatalk.morphable.pose import euler_to_matrix

MODEL = toy_model()
IDENTITY = torch.tensor([0.8, -0.6, 0.4])
CLIP = toy_clip(MODEL, 8, IDENTITY)


def problem_of(config: FitConfig = FREE) -> Problem:
    return Problem(
        landmark_basis(MODEL, config),
        torch.from_numpy(CLIP.landmarks.points[..., :2]),
        torch.tensor([CAMERA.width / 2, CAMERA.height / 2]),
        config,
    )


def truth() -> Unknowns:
    track = CLIP.track
    rotation = euler_to_matrix(track.rotation)
    focal = torch.tensor(CAMERA.focal_px)
    return Unknowns(IDENTITY, focal, track.expression, rotation, track.translation)


def far_off() -> Unknowns:
    """Everybody's face at rest, looking straight on."""
    frames = len(CLIP.track)
    return Unknowns(
        torch.zeros(3),
        torch.tensor(CAMERA.focal_px),
        torch.zeros(frames, 4),
        torch.eye(3).expand(frames, 3, 3),
        torch.tensor([0.0, 0.0, 800.0]).expand(frames, 3),
    )


def test_pose_is_found():
    start = replace(far_off(), identity=IDENTITY, expression=CLIP.track.expression)
    found = solve(problem_of(), start, PhaseConfig(15, POSE))
    torch.testing.assert_close(found.rotation, truth().rotation, atol=1e-3, rtol=0)
    torch.testing.assert_close(found.translation, truth().translation, atol=0.5, rtol=0)


def test_pose_expression_and_identity_are_found():
    problem = problem_of()
    start = solve(problem, far_off(), PhaseConfig(6, POSE))
    found = solve(problem, start, PhaseConfig(25, (*FRAME, "identity")))
    assert landmark_error_mm(problem, found).max() < 0.1
    torch.testing.assert_close(found.identity, IDENTITY, atol=0.05, rtol=0)
    torch.testing.assert_close(
        found.expression[:, :3], CLIP.track.expression[:, :3], atol=0.03, rtol=0
    )
    torch.testing.assert_close(found.rotation, truth().rotation, atol=0.01, rtol=0)
    torch.testing.assert_close(found.translation, truth().translation, atol=4, rtol=0)


def test_focal_length_is_found_where_the_head_is_known():
    start = replace(truth(), focal_px=torch.tensor(400.0))
    problem = problem_of(replace(FREE, focal_prior=100.0))
    found = solve(problem, start, PhaseConfig(40, (*POSE, "focal")))
    assert float(found.focal_px) == pytest.approx(CAMERA.focal_px, rel=0.02)


def test_the_truth_stays():
    found = solve(problem_of(), truth(), PhaseConfig(3, SHARED))
    torch.testing.assert_close(found.identity, IDENTITY, atol=0.01, rtol=0)
    torch.testing.assert_close(found.expression, CLIP.track.expression, atol=0.01, rtol=0)


@pytest.mark.parametrize("part", SHARED)
def test_what_is_not_free_is_left_alone(part: str):
    phase = PhaseConfig(2, tuple(name for name in SHARED if name != part))
    start = far_off()
    found = solve(problem_of(), start, phase)
    for unknown in SHARED:
        name = "focal_px" if unknown == "focal" else unknown
        still = getattr(found, name).equal(getattr(start, name))
        assert still == (unknown == part), unknown


def test_a_known_identity_is_never_free():
    problem = replace(problem_of(), identity_known=True)
    found = solve(problem, far_off(), PhaseConfig(2, SHARED))
    assert found.identity.equal(far_off().identity)
    assert not found.focal_px.equal(far_off().focal_px)


def test_more_residuals_pull_their_way():
    """Residuals that want another depth are heeded beside the landmarks'."""
    wanted = truth().translation[:, 2] + 40.0

    def farther(state: Unknowns) -> Residuals:
        values = 5.0 * (state.translation[:, 2] - wanted)[:, None]  # (T, 1)
        rows = torch.zeros(len(values), 1, 6)
        rows[..., 5] = 5.0
        none = torch.zeros(len(values), 1, 0)
        return Residuals(values, rows, none, none, values)

    phase = PhaseConfig(8, POSE)
    plain = solve(problem_of(), truth(), phase).translation[:, 2]
    pulled = solve(problem_of(), truth(), phase, farther).translation[:, 2]
    assert (pulled - plain > 5.0).all()


def test_neighbours_hold_what_landmarks_leave_open():
    """Gaze is not fitted from lids: only the neighbours say anything about it."""
    expected = CLIP.track.expression.clone()
    expected[:, 3] = 0.7
    config = replace(FREE, steadiness=5.0)
    problem = replace(problem_of(config), expected=expected)
    found = solve(problem, truth(), PhaseConfig(4, ("expression",))).expression
    torch.testing.assert_close(found[:, 3], torch.full((8,), 0.7), atol=0.02, rtol=0)


def test_statistical_modes_have_no_unit_bounds():
    problem = problem_of(FitConfig(mode_prior=1e-4, contour_weight=0.0))
    problem = replace(problem, basis=replace(problem.basis, units=False))
    modes = torch.tensor([[-2.0, 1.7, -1.2, 0.0]]).expand(8, 4)
    points = problem.basis.points(IDENTITY, modes) @ truth().rotation.mT
    problem = replace(problem, targets=CAMERA.project(points + CLIP.track.translation[:, None]))
    found = solve(problem, truth(), PhaseConfig(12, ("expression",))).expression
    torch.testing.assert_close(found[:, :3], modes[:, :3], atol=0.02, rtol=0)


def test_nothing_is_made_on_another_device():
    """With the default device elsewhere, whatever is made without naming one cannot be used."""
    problem, start = problem_of(FitConfig()), far_off()
    with torch.device("meta"):
        found = solve(problem, start, PhaseConfig(2, SHARED))
    assert found.identity.device.type == found.rotation.device.type == "cpu"


def test_frames_do_not_feel_each_other():
    problem = problem_of(FitConfig())
    start = replace(far_off(), identity=IDENTITY)
    together = solve(problem, start, PhaseConfig(6, FRAME))
    for frame in (0, 5):
        rows = slice(frame, frame + 1)
        part = replace(problem, targets=problem.targets[rows])
        own = replace(
            start,
            expression=start.expression[rows],
            rotation=start.rotation[rows],
            translation=start.translation[rows],
        )
        alone = solve(part, own, PhaseConfig(6, FRAME))
        torch.testing.assert_close(alone.expression, together.expression[rows], atol=1e-3, rtol=0)
        torch.testing.assert_close(alone.translation, together.translation[rows], atol=0.05, rtol=0)


@pytest.mark.parametrize(
    ("weight", "low", "high"), [(0.0, -0.3, 1.5), (2e3, -0.3, 1.5), (1e6, -0.01, 1.01)]
)
def test_activations_keep_to_their_bounds(weight: float, low: float, high: float):
    beyond = torch.tensor([[1.9, 1.9, 1.9, 0.0], [-0.9, -0.9, -0.9, 0.0]]).repeat(4, 1)
    points = landmark_basis(MODEL, FREE).points(IDENTITY, beyond)
    points = points @ truth().rotation.mT + CLIP.track.translation[:, None]
    problem = problem_of(replace(FREE, bound_weight=weight))
    problem = replace(problem, targets=CAMERA.project(points))
    start = replace(truth(), expression=torch.full((8, 4), 0.5))
    found = solve(problem, start, PhaseConfig(12, ("expression",))).expression
    assert low <= found.min() < found.max() <= high
    assert found[::2, :3].mean() > 0.8
    assert found[1::2, :3].mean() < 0.2


def test_the_prior_pulls_to_rest_and_into_the_bounds():
    config = FitConfig()
    at = torch.tensor([[-0.2, 0.0, 0.5, 1.2]])
    curvature, slope = expression_prior(at, config)
    assert (curvature > 0).all()
    assert slope[0, 0] < 0 == slope[0, 1] < slope[0, 2] < slope[0, 3]
    inside = torch.tensor([[0.5]], dtype=torch.float64, requires_grad=True)
    value = config.expression_prior * inside.square().sum() / 2
    (expected,) = torch.autograd.grad(value, inside)
    _, pull = expression_prior(inside.detach(), replace(config, sparsity=0.0))
    torch.testing.assert_close(pull, expected)


def test_a_strong_prior_keeps_everybodys_face():
    config = replace(FitConfig(), identity_prior=1e9, expression_prior=1e9)
    found = solve(problem_of(config), far_off(), PhaseConfig(5, (*FRAME, "identity")))
    assert found.identity.abs().max() < 1e-3
    assert found.expression.abs().max() < 1e-3


def test_no_steps_change_nothing():
    start = far_off()
    assert solve(problem_of(), start, PhaseConfig(0, FRAME)) is start


def test_settings_are_checked():
    with pytest.raises(ConfigError, match="steps"):
        PhaseConfig(steps=-1)
    with pytest.raises(ConfigError, match="gravity"):
        PhaseConfig(1, ("gravity",))
    with pytest.raises(ConfigError, match="distance_mm"):
        FitConfig(distance_mm=0.0)
    with pytest.raises(ConfigError, match=r"fit\.sparsity"):
        FitConfig(sparsity=-1.0)
    with pytest.raises(ConfigError, match="batch"):
        FitConfig(batch=0)


@pytest.mark.parametrize("key", ["robust_mm", "light_rate_hz", "focal_share", "focal_prior"])
def test_what_is_divided_by_is_not_nothing(key: str):
    with pytest.raises(ConfigError, match=key):
        FitConfig(**{key: 0.0})


@pytest.mark.parametrize("phase", ["rigid", "shape", "joint", "frames", "settle"])
def test_a_phase_frees_something_of_a_frame(phase: str):
    with pytest.raises(ConfigError, match=f"fit.{phase} frees nothing"):
        FitConfig(**{phase: PhaseConfig(2, ("identity",))})
    FitConfig(**{phase: PhaseConfig(0, ())})
