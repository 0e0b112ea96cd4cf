"""Layers of a whole frame: against the crops' own drawing, and against geometry."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from face_toys import CAMERA, toy_model, toy_track

from metatalk.errors import ShapeError
from metatalk.landmarks.config import LandmarksConfig
from metatalk.morphable.coefficients import PersonCoefficients, TrackCoefficients
from metatalk.morphable.lighting import ambient_light
from metatalk.render.layer_values import (
    DepthRange,
    depth_range,
    layer_channels,
    layer_rgb,
    layer_samples,
)
from metatalk.render.layers import (
    LAYERS,
    FrameLayers,
    Layer,
    empty_layer,
    measure_cylinder,
    mouth_sides,
)
from metatalk.render.rasterize import rasterize
from metatalk.render.scene import Scene
from metatalk.stages.face_model import open_face_model

MODEL = toy_model()
PERSON = PersonCoefficients(torch.tensor([0.2, -0.1, 0.1]), torch.zeros(6))
SCENE = Scene(MODEL, PERSON, CAMERA, 256, backend="numba")
TRACK = toy_track(3)
TRACK = replace(TRACK, expression=0.3 * TRACK.expression)
HEIGHT, WIDTH = CAMERA.height, CAMERA.width


def draw(track: TrackCoefficients = TRACK, scene: Scene = SCENE, side_px: float = 64.0):
    return FrameLayers(scene, track.take([0]), side_px).draw(LAYERS)


def frame(layer: Layer, values: np.ndarray | None = None) -> np.ndarray:
    return layer.in_frame(layer.values if values is None else values, HEIGHT, WIDTH)


def looking(angles: tuple[float, float, float], place=(0.0, 0.0, 700.0)) -> TrackCoefficients:
    """One frame of the neutral head, turned and placed."""
    still = replace(TRACK.take([0]), expression=torch.zeros(1, 4))
    return replace(still, rotation=torch.tensor([angles]), translation=torch.tensor([place]))


def test_the_box_holds_what_the_whole_frame_shows():
    """Against one rasterisation of the full picture."""
    vertices = SCENE.vertices(TRACK.take([0]))
    points = torch.cat((CAMERA.project(vertices), vertices[..., 2:]), -1).numpy()
    corners = MODEL.triangles.numpy().astype(np.int32)
    whole = rasterize(points, corners, HEIGHT, WIDTH, cull_back=True)
    depth = frame(draw()["depth"])[..., 0]
    np.testing.assert_array_equal(depth > 0, whole.covered[0])
    np.testing.assert_allclose(depth[depth > 0], whole.depth[whole.covered], rtol=1e-5)


def test_a_head_half_outside_the_frame_is_cut_at_its_border():
    beside = draw(looking((0.0, 0.0, 0.0), (-220.0, 0.0, 700.0)))
    for layer in beside.values():
        assert layer.left == 0
        assert 0 < layer.covered.shape[1] < WIDTH / 2
        assert frame(layer).shape[:2] == (HEIGHT, WIDTH)
    for place in ((0.0, 0.0, -700.0), (-5000.0, 0.0, 700.0), (0.0, 9000.0, 700.0)):
        gone = draw(looking((0.0, 0.0, 0.0), place))
        for layer in gone.values():
            assert layer.covered.size == 0
            assert not frame(layer).any()


def test_the_lower_face_is_that_of_the_crops():
    transform = np.eye(2, 3)[None]
    square = Scene(MODEL, PERSON, replace(CAMERA, width=HEIGHT), HEIGHT, backend="numba")
    crop = square.synthetic(TRACK.take([0]), transform)[0]
    layer = draw(scene=square)["lower"]
    ours = layer.in_frame(layer_samples(layer), HEIGHT, HEIGHT)
    np.testing.assert_allclose(ours.astype(int), crop, atol=1)
    assert crop.any()


def test_the_mask_is_that_of_the_crops():
    transform = np.eye(2, 3)[None]
    square = Scene(MODEL, PERSON, replace(CAMERA, width=HEIGHT), HEIGHT, backend="numba")
    crop = square.mask(TRACK.take([0]), transform)[0]
    layer = draw(scene=square, side_px=float(HEIGHT))["mask"]
    np.testing.assert_array_equal(layer.in_frame(layer_samples(layer), HEIGHT, HEIGHT), crop)


def test_the_mask_never_tells_the_mouth():
    talking = TRACK.with_expression(torch.rand(3, 4))
    np.testing.assert_array_equal(frame(draw()["mask"]), frame(draw(talking)["mask"]))


def test_the_mask_grows_with_the_face():
    little, much = (draw(side_px=side)["mask"].covered.sum() for side in (64.0, 640.0))
    assert much > little


def test_what_is_drawn_of_the_lower_face_lies_within_the_mask():
    resting = TRACK.with_expression(torch.zeros(3, 4))
    layers = draw(resting)
    inside = frame(layers["mask"])[..., 0] > 0
    drawn = frame(layers["lower"], layers["lower"].covered)
    assert drawn.any()
    assert inside[drawn].all()


def test_normals_point_where_the_surface_looks():
    ahead = draw(looking((0.0, 0.0, 0.0)))["normals"]
    lengths = np.linalg.norm(ahead.values, axis=-1)[ahead.covered]
    np.testing.assert_allclose(lengths, 1, atol=1e-5)
    middle = ahead.values[ahead.covered].mean(0)
    assert middle[2] < -0.7
    left, right = np.array_split(ahead.values, 2, axis=1)
    upper, lower = np.array_split(ahead.values, 2, axis=0)
    assert left[..., 0].sum() < 0 < right[..., 0].sum()
    assert upper[..., 1].sum() < 0 < lower[..., 1].sum()


def test_normals_are_written_with_y_up_and_z_to_the_viewer():
    layer = draw(looking((0.0, 0.0, 0.0)))["normals"]
    channels = layer_channels(layer)
    np.testing.assert_array_equal(channels["R"], layer.values[..., 0])
    np.testing.assert_array_equal(channels["G"], -layer.values[..., 1])
    np.testing.assert_array_equal(channels["B"], -layer.values[..., 2])
    picture = layer_samples(layer)
    expected = np.rint(255 * (0.5 + 0.5 * np.stack([channels[c] for c in "RGB"], -1)))
    np.testing.assert_allclose(picture[layer.covered], expected[layer.covered], atol=1)
    assert (picture[~layer.covered] == 0).all()
    assert picture[layer.covered][:, 2].mean() > 220  # the familiar light blue


def test_uv_is_unrolled_about_the_upright_axis():
    layer = draw(looking((0.0, 0.0, 0.0)))["uv"]
    values, covered = layer.values, layer.covered
    assert values.min() >= 0
    assert values.max() <= 1
    u, v = np.where(covered, values[..., 0], np.nan), np.where(covered, values[..., 1], np.nan)
    width, height = u.shape[1], u.shape[0]
    assert np.nanmean(u[:, : width // 2]) < 0.5 < np.nanmean(u[:, width // 2 :])
    middle = v[height // 4 : -height // 4, width // 2]
    assert (np.diff(middle) < 0).all()  # v falls from the top downwards
    assert abs(np.nanmedian(u) - 0.5) < 0.03


def test_uv_belongs_to_the_head_and_not_to_its_expression_or_person():
    """The same corner of the mesh has the same coordinates, whoever makes which face."""
    cylinder = measure_cylinder(MODEL.mean)
    expected = cylinder.uv(MODEL.mean.numpy())
    other = Scene(
        MODEL, PersonCoefficients(torch.tensor([1.0, 1.0, -1.0]), torch.zeros(6)), CAMERA, 256
    )
    track = TRACK.take([0])
    layer = FrameLayers(other, track, 64.0).draw(["uv"])["uv"]
    vertices = other.vertices(track)
    pixels = CAMERA.project(vertices)[0].numpy()
    middle = 5 * 6 + 3  # a corner inside the sheet
    column, row = np.floor(pixels[middle]).astype(int)
    found = frame(layer)[row, column]
    np.testing.assert_allclose(found, expected[middle], atol=0.02)


def test_cylinder_corners():
    points = torch.tensor(
        [[-80.0, 0, 60], [80.0, 0, 60], [0, 0, -60.0], [0, -100.0, 0], [0, 90, 0]]
    )
    cylinder = measure_cylinder(points)
    assert (cylinder.x, cylinder.z) == (0.0, 60.0)
    where = [[0, -100, 0], [0, 90, 0], [80, 0, 60], [-80, 0, 60]]
    uv = cylinder.uv(np.array(where, np.float32))
    np.testing.assert_allclose(
        uv, [[0.5, 1], [0.5, 0], [0.75, 90 / 190], [0.25, 90 / 190]], atol=1e-6
    )


def test_the_default_model_has_no_seam_in_front():
    """Neighbouring pixels of one surface have neighbouring coordinates, at any turn of the head."""
    model = open_face_model("anny", LandmarksConfig())
    person = PersonCoefficients(
        torch.zeros(len(model.identity_basis)), torch.zeros(len(model.texture_basis))
    )
    track = TrackCoefficients(
        torch.zeros(1, len(model.expression_names)),
        torch.tensor([[0.0, 0.5, 0.0]]),
        torch.tensor([[0.0, 0.0, 800.0]]),
        ambient_light().expand(1, 3, 9),
        torch.ones(1),
    )
    layers = FrameLayers(Scene(model, person, CAMERA, 256), track, 64.0).draw(["uv", "depth"])
    u, depth = layers["uv"].values[..., 0], layers["depth"].values[..., 0]
    near = layers["uv"].covered[:, 1:] & layers["uv"].covered[:, :-1]
    near &= np.abs(np.diff(depth, axis=1)) < 8
    assert np.abs(np.diff(u, axis=1))[near].max() < 0.1


def test_depth_is_told_in_millimetres():
    layer = draw(looking((0.0, 0.0, 0.0)))["depth"]
    depth = layer.values[layer.covered]
    assert 690 < depth.min() < depth.max() < 800
    samples = layer_samples(layer)
    assert samples.dtype == np.uint16
    np.testing.assert_allclose(samples[layer.covered] / 10, depth[:, 0], atol=0.051)
    assert (samples[~layer.covered] == 0).all()
    np.testing.assert_array_equal(layer_channels(layer)["Z"], layer.values[..., 0])
    far = replace(layer, values=layer.values + 1e5)
    assert layer_samples(far).max() == 65535


def test_near_is_bright_and_one_range_serves_the_clip():
    reach = depth_range(TRACK)
    assert reach.near_mm < TRACK.translation[:, 2].min() < TRACK.translation[:, 2].max()
    layer = draw(looking((0.0, 0.0, 0.0)))["depth"]
    picture = layer_rgb(layer, reach)
    nearest = np.unravel_index(
        np.where(layer.covered, layer.values[..., 0], np.inf).argmin(), layer.covered.shape
    )
    assert picture[nearest][0] == picture.max() < 1
    # a face that is lost does not stretch the range
    lost = replace(
        TRACK,
        confidence=torch.tensor([1.0, 0.0, 1.0]),
        translation=TRACK.translation + torch.tensor([[0.0], [9e3], [0.0]]),
    )
    assert depth_range(lost).far_mm < 2000


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_can_be_written_every_way(name):
    layer = draw()[name]
    assert layer.name == name
    assert layer.values.dtype == np.float32
    assert (layer.values[~layer.covered] == 0).all()
    picture = layer_rgb(layer, DepthRange(500, 900))
    assert picture.shape == (*layer.covered.shape, 3)
    assert 0 <= picture.min() <= picture.max() <= 1
    assert layer_samples(layer).dtype in (np.uint8, np.uint16)
    channels = layer_channels(layer)
    np.testing.assert_array_equal(channels["A"], layer.covered)
    nothing = empty_layer(name)
    assert nothing.values.shape[2] == layer.values.shape[2]
    samples = nothing.in_frame(layer_samples(nothing), 4, 5)
    assert samples.dtype == layer_samples(layer).dtype
    assert samples.ndim == layer_samples(layer).ndim
    assert not samples.any()


def test_the_scale_of_masks_is_the_crops():
    sides = mouth_sides(SCENE, TRACK, 0.1)
    layout = SCENE.measure_layout(TRACK, 0.1)
    transforms = SCENE.transforms(TRACK, layout, 0.0, np.array([[0, 3]]))
    scale = np.linalg.norm(transforms[:, 0, :2], axis=1)
    np.testing.assert_allclose(sides, SCENE.size / scale)


def test_draws_one_frame_only():
    with pytest.raises(ShapeError, match="not of 3"):
        FrameLayers(SCENE, TRACK, 64.0)
