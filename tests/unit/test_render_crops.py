"""Crops: where they lie, how steady they are, what the warp does to pixels."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from metatalk.errors import ConfigError, ShapeError
from metatalk.render.config import RenderConfig
from metatalk.render.crops import (
    CropLayout,
    apply_transforms,
    crop_sides,
    crop_transforms,
    invert_transforms,
    measure_layout,
    warp_to_crop,
)


def anchors_along(centres: np.ndarray, radius: float = 40.0) -> np.ndarray:
    """(T, 12, 2): a ring of anchors, twice as wide as high, about each centre."""
    angle = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    ring = radius * np.stack([np.cos(angle), 0.5 * np.sin(angle)], -1)
    return centres[:, None] + ring


def walk(frames: int) -> np.ndarray:
    return np.stack([100 + 3.0 * np.arange(frames), np.full(frames, 80.0)], -1)


def placed(scale: float, x: float, y: float) -> np.ndarray:
    return np.array([[scale, 0, x], [0, scale, y]])


def test_every_anchor_lies_within_its_crop():
    anchors = anchors_along(walk(30))
    inside = apply_transforms(anchors, crop_transforms(anchors, 64, margin=0.1, steady_frames=0))
    assert inside.min() >= 0
    assert inside.max() <= 64
    np.testing.assert_allclose(inside.mean(1), 32, atol=1e-6)


def test_transforms_are_similarities_that_undo_roll():
    roll = np.linspace(-0.4, 0.4, 9)
    upright = anchors_along(np.zeros((9, 2)))
    turn = np.stack([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]]).transpose(
        2, 0, 1
    )
    anchors = upright @ turn.swapaxes(1, 2) + walk(9)[:, None]
    transforms = crop_transforms(anchors, 64, steady_frames=0, roll_rad=roll)
    gram = transforms[:, :, :2] @ transforms[:, :, :2].swapaxes(1, 2)
    np.testing.assert_allclose(gram, gram[:, :1, :1] * np.eye(2), atol=1e-9)
    inside = apply_transforms(anchors, transforms)
    np.testing.assert_allclose(inside, np.broadcast_to(inside[:1], inside.shape), atol=1e-6)


def test_smoothing_takes_jitter_and_leaves_a_steady_walk():
    rng = np.random.default_rng(0)
    shaking = walk(80) + rng.normal(0, 1.5, (80, 2))
    crops = crop_transforms(anchors_along(shaking), 64, steady_frames=4.0)
    middle = apply_transforms(np.full((80, 1, 2), 32.0), invert_transforms(crops))[:, 0]
    inner = slice(12, -12)
    assert np.abs(np.diff(middle, 2, axis=0))[inner].max() < 0.5
    assert np.abs(middle - walk(80))[inner].max() < 1.5


def test_smoothing_stops_at_a_cut():
    centres = np.concatenate([walk(20), walk(20) + 300])
    shots = np.array([[0, 20], [20, 40]])
    whole = crop_transforms(anchors_along(centres), 64, shots=shots)
    layout = measure_layout(anchors_along(centres), 0.15)
    for first, end in shots:
        alone = crop_transforms(anchors_along(centres[first:end]), 64, layout=layout)
        np.testing.assert_allclose(whole[first:end], alone)


def test_gaps_are_bridged_and_faceless_shots_stay_empty():
    anchors = anchors_along(walk(30))
    anchors[10:14] = np.nan
    anchors[20:] = np.nan
    shots = np.array([[0, 20], [20, 30]])
    crops = crop_transforms(anchors, 64, steady_frames=0, shots=shots)
    bridged = apply_transforms(walk(30)[10:14, None], crops[10:14])
    np.testing.assert_allclose(bridged, 32, atol=1e-6)
    assert np.isnan(crops[20:]).all()
    assert np.isfinite(crops[:20]).all()
    assert np.isnan(invert_transforms(crops)[20:]).all()


def test_a_kept_layout_shows_a_nearer_face_at_the_same_size():
    layout = measure_layout(anchors_along(walk(10)), 0.2)
    near = anchors_along(walk(10), radius=90.0)
    inside = apply_transforms(near, crop_transforms(near, 64, steady_frames=0, layout=layout))
    far = anchors_along(walk(10))
    expected = apply_transforms(far, crop_transforms(far, 64, steady_frames=0, layout=layout))
    np.testing.assert_allclose(inside, expected, atol=1e-6)


def test_refuses_a_clip_without_a_face():
    with pytest.raises(ShapeError, match="no frame"):
        crop_transforms(np.full((4, 12, 2), np.nan), 64)
    with pytest.raises(ShapeError, match="layout"):
        CropLayout(0.0, 0.0, 0.0)


def test_inverse_and_sides():
    transforms = np.stack([placed(0.5, 3, -7), placed(2.0, 1, 1)])
    points = np.random.default_rng(0).random((2, 5, 2)) * 100
    there = apply_transforms(points, transforms)
    np.testing.assert_allclose(apply_transforms(there, invert_transforms(transforms)), points)
    np.testing.assert_allclose(crop_sides(transforms, 64), [128, 32])


def test_a_whole_step_copies_pixels():
    picture = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    crop = warp_to_crop(picture, placed(1.0, -7.0, -5.0), 16)
    np.testing.assert_array_equal(crop, picture[5:21, 7:23])


@pytest.mark.parametrize("factor", [2, 4])
def test_shrinking_averages_the_pixels_it_covers(factor):
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    crop = warp_to_crop(picture, placed(1 / factor, 0, 0), 64 // factor)
    blocks = picture.reshape(64 // factor, factor, 64 // factor, factor, 3).mean((1, 3))
    np.testing.assert_allclose(crop, blocks, atol=1.0)


@pytest.mark.parametrize("scale", [0.3, 0.5, 0.77, 1.0, 1.9])
def test_a_spot_lands_where_the_transform_says(scale):
    rows, columns = np.mgrid[:200, :200] + 0.5
    spot = np.exp(-((columns - 90.3) ** 2 + (rows - 101.7) ** 2) / (2 * 5.0**2))
    picture = np.repeat((spot * 255).astype(np.uint8)[..., None], 3, -1)
    transform = placed(scale, 48 - 90 * scale, 48 - 100 * scale)
    crop = warp_to_crop(picture, transform, 96)[..., 0].astype(float)
    rows, columns = np.mgrid[:96, :96] + 0.5
    centre = [(columns * crop).sum() / crop.sum(), (rows * crop).sum() / crop.sum()]
    expected = apply_transforms(np.array([[90.3, 101.7]]), transform)[0]
    np.testing.assert_allclose(centre, expected, atol=0.03)


def test_warp_refuses_a_frame_without_a_face():
    with pytest.raises(ShapeError, match="no face"):
        warp_to_crop(np.zeros((8, 8, 3), np.uint8), np.full((2, 3), np.nan), 16)


@pytest.mark.parametrize(
    "change",
    [{"max_size": 64}, {"sizes": (100,)}, {"margin": -1.0}, {"max_frames": 0}, {"sizes": ()}],
)
def test_config_refuses_what_cannot_work(change):
    with pytest.raises(ConfigError, match=r"render\."):
        dataclasses.replace(RenderConfig(), **change)


def test_config_offers_sizes_up_to_the_largest():
    assert RenderConfig().allowed_sizes == (128, 192, 256)
