"""The outline slides on the silhouette."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from face_toys import toy_model

from metatalk.fitting.contour import (
    STEP_MM,
    STEPS,
    TURNED_TO,
    outline_landmarks,
    place_outline,
    trace_contour,
)
from metatalk.landmarks.points import IBUG68, MEDIAPIPE478
from metatalk.morphable.model import MorphableModel
from metatalk.morphable.pose import euler_to_matrix

RADIUS_MM = 80.0


def column() -> MorphableModel:
    """A half pipe of 80 mm radius about a vertical axis, landmarks all along its two edges."""
    toy, steps, rows = toy_model(), 60, 12
    angle = torch.linspace(-math.pi / 2, math.pi / 2, steps)
    down = torch.linspace(-60, 60, rows)
    grid = torch.cartesian_prod(down, angle)
    mean = torch.stack(
        (RADIUS_MM * grid[:, 1].sin(), grid[:, 0], -RADIUS_MM * grid[:, 1].cos()), -1
    )
    corner = torch.arange(rows * steps).reshape(rows, steps)
    a, b, c, d = corner[:-1, :-1], corner[:-1, 1:], corner[1:, :-1], corner[1:, 1:]
    triangles = torch.stack((torch.stack((a, c, b), -1), torch.stack((b, c, d), -1))).reshape(-1, 3)
    edge = torch.arange(68) % 2 * (steps - 2)  # first or last cell of a row
    cells = (torch.arange(68) % (rows - 1)) * (steps - 1) + edge
    nothing = torch.zeros(2, len(mean), 3)
    return replace(
        toy, mean=mean, identity_basis=nothing, expression_basis=torch.zeros(4, len(mean), 3),
        texture_mean=torch.full((len(mean), 3), 0.5), texture_basis=nothing, triangles=triangles,
        regions={name: torch.ones(len(mean), dtype=torch.bool) for name in toy.regions},
        landmark_triangles=cells, landmark_weights=torch.full((68, 3), 1 / 3),
    )  # fmt: skip


PIPE = column()
CONTOUR = trace_contour(PIPE, IBUG68)


def outline_at(yaw_deg: float):
    turned = euler_to_matrix(torch.tensor([[0.0, math.radians(yaw_deg), 0.0]]))
    return place_outline(CONTOUR, torch.zeros(2), torch.zeros(1, 4), turned), turned


def test_tracks_begin_at_the_landmark_and_run_inwards():
    start = PIPE.landmark_basis()[0][CONTOUR.landmarks]
    assert (CONTOUR.mean[:, 0] - start).norm(dim=-1).max() < STEP_MM
    across = CONTOUR.mean[..., 0].abs()
    assert (across[:, 1:] <= across[:, :-1] + 1e-3).all()
    walked = (CONTOUR.mean[:, 1:] - CONTOUR.mean[:, :-1]).norm(dim=-1).sum(1)
    assert (walked > 0.5 * STEP_MM * (STEPS - 1)).all()


def test_the_far_side_slides_and_the_near_side_stays():
    outline, turned = outline_at(10.0)
    side = CONTOUR.mean[:, 0, 0]
    far = (turned[0] @ CONTOUR.normals[:, 0].T)[2] > -TURNED_TO  # turned away
    assert far.any()
    assert not far.all()
    assert (outline.places[0, far] > 0).all()
    assert (outline.places[0, ~far] == 0).all()
    assert side[far].sign().unique().numel() == 1  # one side of the head


def test_a_sliding_point_lies_on_the_silhouette():
    outline, turned = outline_at(10.0)
    seen = (outline.points @ turned.mT)[0]
    slid = outline.places[0] > 0
    # A pipe shows its radius, whichever way it is turned.
    assert (RADIUS_MM - seen[slid, 0].abs()).abs().max() < 2.0
    assert (outline.normals[0, slid, 2] <= -TURNED_TO + 1e-6).all()


def test_brows_are_no_outline():
    assert set(outline_landmarks(IBUG68)) == set(range(17))
    assert set(outline_landmarks(MEDIAPIPE478)) == set(MEDIAPIPE478.oval)
