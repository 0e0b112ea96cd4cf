"""Texture fetched in a box: the readable version against the fast one, and no edge of the box."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from mouth_toys import centred_crops, facing_track, mouth_scene

from metatalk.render.texture import GRAZING, Look, carry_mouth, carry_skin, fetch_texture, look_at
from metatalk.render.trust import spread_px, trust_carried, trust_kept
from metatalk.render.warp import CarryMap

SIZE = 128


def warped(box: tuple[int, int, int, int], size: int = SIZE) -> np.ndarray:
    """(S, S, 2) a map known in a box, with a hole; it stretches towards the right."""
    rows, columns = np.mgrid[:size, :size].astype(np.float32) + 0.5
    places = np.stack([columns + (columns / 40) ** 3, rows + 3 * np.sin(columns / 9)], -1)
    left, top, right, bottom = box
    known = np.zeros((size, size), bool)
    known[top:bottom, left:right] = True
    known[top + 9 : top + 15, left + 12 : left + 22] = False
    places[~known] = np.nan
    return places.astype(np.float32)


BOXES = [(30, 40, 90, 100), (0, 0, 40, 30), (70, 60, 128, 128), (50, 50, 52, 52)]


@pytest.mark.parametrize("box", BOXES)
def test_texture_in_a_box_is_that_of_the_whole_crop(box: tuple[int, int, int, int]) -> None:
    random = np.random.default_rng(1)
    picture, geometry = random.integers(0, 256, (2, 1, SIZE, SIZE, 3), np.uint8)
    geometry[:, ::3] = 0  # not drawn
    source = warped(box)
    valid = np.isfinite(source[..., 0])
    where = np.where(valid[..., None], source - np.float32(0.5), np.float32(-1e4))
    pixels = cv2.remap(
        picture[0], where[..., 0], where[..., 1], cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    trust, _ = trust_carried(source, SIZE)
    towards = (127.5 - geometry[0, ..., 2]) / 127.5
    facing = np.clip((towards - GRAZING[0]) / (GRAZING[1] - GRAZING[0]), 0, 1)
    facing[~geometry[0].any(-1)] = 1
    for rim, share in ((None, 1.0), (geometry, facing)):
        texture = fetch_texture(picture, CarryMap(source[None], valid[None]), rim)[0]
        away = np.abs(texture[..., :3].astype(int) - pixels * valid[..., None]).max(-1)
        told = np.ones_like(valid) if rim is None else valid | ~geometry[0].any(-1)
        assert away[told].max() <= 1  # small gaps of what is drawn are closed
        assert np.abs(texture[..., 3] - 255.0 * trust * share).max() <= 0.51


@pytest.mark.parametrize("box", BOXES)
@pytest.mark.parametrize("size", [64, 128, 256])
def test_trust_is_the_same_in_a_box_that_reaches_as_far_as_is_told(
    box: tuple[int, int, int, int], size: int
) -> None:
    source = warped(box)
    spread = spread_px(size)
    part = (
        slice(max(box[1] - spread, 0), box[3] + spread),
        slice(max(box[0] - spread, 0), box[2] + spread),
    )
    whole = trust_kept(source, size)
    np.testing.assert_allclose(trust_kept(source[part], size), whole[part], atol=1e-6)
    whole[part] = 0
    assert not whole.any()
    np.testing.assert_array_equal(trust_kept(source, size), trust_carried(source, size)[0])


def test_where_nothing_is_known_there_is_no_texture() -> None:
    nowhere = np.full((2, SIZE, SIZE, 2), np.nan, np.float32)
    nowhere[1] = warped(BOXES[0])
    carried = CarryMap(nowhere, np.isfinite(nowhere[..., 0]))
    texture = fetch_texture(np.full((2, SIZE, SIZE, 3), 200, np.uint8), carried)
    assert not texture[0].any()
    assert texture[1].any()


def moved_look(scene_size: int, opened: float, x: float, y: float) -> Look:
    transforms = centred_crops(1, scene_size)
    transforms[:, :, 2] += (x, y)
    return look_at(mouth_scene(scene_size), facing_track(torch.tensor([opened])), transforms)


@pytest.mark.parametrize("move", [(0, 0), (34, 0), (-34, -20), (0, 30)])
def test_a_mouth_at_the_edge_of_the_crop_is_carried_as_far_as_it_is_seen(
    move: tuple[int, int],
) -> None:
    size, (x, y) = 80, move
    scene, old = mouth_scene(size), moved_look(size, 0.5, 0, 0)
    whole = carry_mouth(scene, moved_look(size, 1.0, 0, 0), old)
    found = carry_mouth(scene, moved_look(size, 1.0, x, y), old)
    shift = lambda array: np.roll(array[0], (y, x), (0, 1))  # noqa: E731
    seen = np.zeros((size, size), bool)
    seen[max(y, 0) : size + y, max(x, 0) : size + x] = True
    np.testing.assert_array_equal(found.valid[0][seen], shift(whole.valid)[seen])
    both = found.valid[0] & seen
    np.testing.assert_allclose(found.source[0][both], shift(whole.source)[both], atol=2e-3)


def test_a_mouth_beyond_the_crop_is_not_carried() -> None:
    size = 80
    scene, old = mouth_scene(size), moved_look(size, 0.5, 0, 0)
    for move in ((90, 0), (-90, 0), (0, 90), (0, -90)):
        new = moved_look(size, 1.0, *move)
        found, skin = carry_mouth(scene, new, old), carry_skin(scene, new, old)
        np.testing.assert_array_equal(found.source, skin.source)
        np.testing.assert_array_equal(found.valid, skin.valid)
