"""Outlines as distances, jaw lines traced along them, edges told from borders within skin."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from face_toys import CAMERA, toy_model, toy_track

from metatalk.errors import ShapeError
from metatalk.morphable.coefficients import PersonCoefficients
from metatalk.render.scene import Scene
from metatalk.render.silhouette import (
    find_edge,
    find_outlines,
    outward,
    read_between,
    signed_distance,
    trace_jaw,
)
from metatalk.render.texture import look_at

SIZE, RADIUS = 160, 50
MIDDLE = (80.5, 70.5)


def disc(radius: float = RADIUS) -> np.ndarray:
    rows, columns = np.mgrid[0:SIZE, 0:SIZE] + 0.5
    away = np.hypot(columns - MIDDLE[0], rows - MIDDLE[1])
    return np.where(away < radius, 255, 0).astype(np.uint8)


def test_distances_from_a_disc_are_its_own():
    rows, columns = np.mgrid[0:SIZE, 0:SIZE] + 0.5
    truth = np.hypot(columns - MIDDLE[0], rows - MIDDLE[1]) - RADIUS
    distance = signed_distance(disc())
    near = np.abs(truth) < 25
    np.testing.assert_allclose(distance[near], truth[near], atol=0.8)
    assert np.abs((distance - truth)[near].mean()) < 0.15


def test_outward_points_away_from_a_disc():
    direction = outward(signed_distance(disc()))
    np.testing.assert_allclose(direction[70, 140], [1, 0], atol=0.05)
    np.testing.assert_allclose(direction[125, 80], [0, 1], atol=0.05)


def test_without_a_face_everything_is_outside():
    assert (signed_distance(np.zeros((20, 30), np.uint8)) > 0).all()
    assert np.isnan(trace_jaw(np.zeros((20, 20), np.uint8)).points).all()


def test_a_jaw_line_runs_around_the_disc_from_left_to_right():
    line = trace_jaw(disc(), count=21)
    away = np.hypot(*(line.points - np.array(MIDDLE)).T)
    np.testing.assert_allclose(away, RADIUS, atol=0.6)
    assert (np.diff(line.points[:, 0]) > 0).all()
    radial = (line.points - np.array(MIDDLE)) / away[:, None]
    np.testing.assert_allclose(line.normals, radial, atol=0.08)


def test_a_jaw_line_that_leaves_the_crop_is_not_known_there():
    low = np.roll(disc(), 60, axis=0)
    low[:60] = 0
    line = trace_jaw(low)
    assert np.isnan(line.points[16]).all()  # straight down lies beyond the crop


def test_an_outline_is_an_edge_where_something_far_lies_behind():
    depth = np.full((SIZE, SIZE), np.inf, np.float32)
    depth[:, :80] = 640.0  # a neck 40 mm behind on the left, nothing on the right
    depth[100:] = 602.0  # skin that goes on below
    depth[disc() > 0] = 600.0
    edge = find_edge(disc(), depth)
    assert edge[70, 30] == edge[70, 130] == 1
    assert edge[120, 80] == 0
    assert edge[70, 80] == 0  # far from the outline


def test_values_are_read_at_pixel_centres_and_between_them():
    values = np.array([[0.0, 10.0], [20.0, 30.0]])
    places = np.array([[0.5, 0.5], [1.0, 0.5], [1.5, 1.5], [-5.0, 0.5]])
    np.testing.assert_allclose(read_between(values, places, outside=7.0), [0, 5, 30, 7])


def test_outlines_are_those_of_both_faces():
    scene = Scene(toy_model(), PersonCoefficients(torch.zeros(3), torch.zeros(6)), CAMERA, 96)
    filmed = toy_track(2)
    expression = filmed.expression.clone()
    expression[:, 0] += 0.6
    layout = scene.measure_layout(filmed, 0.2)
    transforms = scene.transforms(filmed, layout, 0.0, np.array([[0, 2]]))
    shown = filmed.with_expression(expression)
    new, old = (look_at(scene, track, transforms, threads=1) for track in (shown, filmed))
    outlines = find_outlines(scene, new, old)
    for solid, track in ((outlines.shown, shown), (outlines.filmed, filmed)):
        drawn = scene.synthetic(track, transforms).any(-1)
        assert solid.shape == drawn.shape
        assert (solid[drawn] == 255).all()
        share = (solid > 0).mean() / drawn.mean()
        assert share < 1.05
    assert (outlines.shown != outlines.filmed).any()
    seen = new.seen.triangle
    assert not outlines.still[seen < 0].any()
    assert outlines.still[(outlines.shown == 0) & (seen >= 0)].mean() > 0.9
    assert not outlines.still[scene.synthetic(shown, transforms).any(-1)].any()


def test_shapes_are_checked():
    with pytest.raises(ShapeError):
        signed_distance(np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(ShapeError):
        find_edge(np.zeros((4, 4), np.uint8), cv2.blur(np.zeros((5, 4), np.float32), (3, 3)))
