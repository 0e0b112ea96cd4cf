"""Texture carried from one frame to another: skin by the mesh, mouths between the lips."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from mouth_toys import centred_crops, facing_track, mouth_model, mouth_scene

from metatalk.errors import ShapeError
from metatalk.landmarks.points import point_groups
from metatalk.morphable.normals import vertex_normals
from metatalk.render.lower_face import drawn_normals
from metatalk.render.membrane import mouth_membrane
from metatalk.render.rasterize import rasterize
from metatalk.render.scene import Scene
from metatalk.render.texture import (
    Look,
    carry_mouth,
    carry_skin,
    fetch_texture,
    look_at,
    paint_surface,
    surface_of,
)
from metatalk.render.warp import CarryMap

SIZE = 80
SCENE = mouth_scene(SIZE)
ROWS, COLUMNS = np.mgrid[:SIZE, :SIZE].astype(np.float32) + 0.5


def look(opened: float, scene: Scene = SCENE, degrees: float = 0.0) -> Look:
    track = facing_track(torch.tensor([opened]), torch.tensor([degrees]))
    return look_at(scene, track, centred_crops(1, scene.size))


def lips_gap(seen: Look, scene: Scene = SCENE) -> np.ndarray:
    """(S, S) bool: the polygon of the inner lips, filled by another hand, without its rim."""
    ring = seen.points[0, -len(surface_of(scene).membrane.corners) :, :2]
    picture = np.zeros((scene.size, scene.size), np.uint8)
    cv2.fillPoly(picture, [np.rint((ring - 0.5) * 16).astype(np.int32)], (1,), shift=4)
    return cv2.erode(picture, np.ones((3, 3), np.uint8)) > 0


def waves() -> np.ndarray:
    """(1, S, S, 3) uint8 a smooth picture in which no two places are alike."""
    picture = [128 + 100 * np.sin(ROWS / 9 + n) * np.cos(COLUMNS / (7 + n)) for n in range(3)]
    return np.stack(picture, -1)[None].astype(np.uint8)


@pytest.mark.parametrize("layout", ["ibug68", "mediapipe478"])
def test_the_membrane_covers_the_gap_between_the_lips(layout: str) -> None:
    model = mouth_model(layout)
    membrane, count = mouth_membrane(model), len(point_groups(layout).lips_inner)
    assert membrane.triangles.shape == (2 * (count - 2), 3)
    opened = model.shape(torch.zeros(1), torch.tensor([1.0, 0.0, 0.0]))
    ring = membrane.ring(opened)
    torch.testing.assert_close(ring, opened[:count])  # the toy's landmarks lie on its vertices
    x, y = ring[:, 0], ring[:, 1]
    area = float((x * y.roll(-1) - y * x.roll(-1)).sum().abs()) / 2  # the surveyor's formula
    corners = torch.cat((opened, ring))[membrane.triangles][..., :2]
    b, c = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    signed = (b[:, 0] * c[:, 1] - b[:, 1] * c[:, 0]) / 2
    assert float(signed.clamp_min(0).sum()) == pytest.approx(area, rel=1e-4)
    assert float(signed.clamp_max(0).sum()) == pytest.approx(-area, rel=1e-4)
    scene = mouth_scene(SIZE, model)
    seen, strip = look(1.0, scene), surface_of(scene).strip
    drawn = rasterize(seen.points, strip, SIZE, SIZE, cull_back=True).covered[0]
    gap = lips_gap(seen, scene)
    assert gap.sum() > 60
    assert drawn[gap].all()
    assert not drawn[~cv2.dilate(gap.astype(np.uint8), np.ones((5, 5))).astype(bool)].any()


def test_without_landmarks_there_is_no_membrane() -> None:
    scene = mouth_scene(SIZE, mouth_model(""))
    membrane = mouth_membrane(scene.model)
    assert len(membrane.triangles) == 0
    assert membrane.ring(torch.zeros(2, len(scene.model.mean), 3)).shape == (2, 0, 3)
    new, old = look(1.0, scene), look(0.8, scene)
    skin, mouth = carry_skin(scene, new, old), carry_mouth(scene, new, old)
    np.testing.assert_array_equal(mouth.source, skin.source)
    assert skin.valid.any()


def test_the_surface_is_the_whole_head_in_another_order() -> None:
    surface = surface_of(SCENE)
    order = lambda faces: sorted(map(tuple, faces.tolist()))  # noqa: E731
    assert order(surface.faces) == order(SCENE.model.triangles.numpy())
    triangles = SCENE.model.triangles
    assert order(surface.faces[: surface.skin]) == order(triangles[SCENE.skin].numpy())
    assert order(surface.faces[: surface.shown]) == order(triangles[SCENE.drawn].numpy())
    assert surface.skin < surface.shown < len(surface.faces)
    assert surface_of(mouth_scene(48, SCENE.model)) is surface


@pytest.mark.parametrize("opened", [0.0, 0.8])
def test_texture_carried_from_a_frame_to_itself_is_that_frame(opened: float) -> None:
    seen, picture = look(opened, degrees=8.0), waves()
    for carry in (carry_skin, carry_mouth):
        carried = carry(SCENE, seen, seen)
        texture = fetch_texture(picture, carried)
        assert carried.valid.mean() > 0.4
        difference = texture[..., :3].astype(int) - picture
        assert np.abs(difference[carried.valid]).max() <= 2
        assert not texture[~carried.valid][:, :3].any()
        trust = texture[..., 3]
        assert trust.max() == 255
        assert trust[~carried.valid].max() < 64


def test_skin_is_carried_from_where_it_was() -> None:
    """A head that was filmed 7 px farther left is fetched from 7 px farther left."""
    new, shifted = look(0.3), centred_crops(1, SIZE)
    shifted[:, 0, 2] -= 7.0
    old = look_at(SCENE, facing_track(torch.tensor([0.3])), shifted)
    carried = carry_skin(SCENE, new, old)
    wanted = np.stack([COLUMNS - 7.0, ROWS], -1)[None]
    assert carried.valid.mean() > 0.4
    np.testing.assert_allclose(carried.source[carried.valid], wanted[carried.valid], atol=0.02)


def test_no_skin_is_found_inside_the_mouth() -> None:
    new, old = look(0.9), look(0.7)
    carried, gap = carry_skin(SCENE, new, old), lips_gap(new)
    assert gap.sum() > 60
    assert not carried.valid[0][gap].any()
    wide = cv2.dilate(gap.astype(np.uint8), np.ones((7, 7))).astype(bool)
    beside = wide & ~cv2.dilate(gap.astype(np.uint8), np.ones((5, 5))).astype(bool)
    assert carried.valid[0][beside].mean() > 0.9


@pytest.mark.parametrize("palate", [True, False])
def test_the_inside_of_an_open_mouth_is_stretched_between_the_lips(palate: bool) -> None:
    scene = mouth_scene(SIZE, mouth_model("mediapipe478", palate))
    new, old = look(1.0, scene), look(0.5, scene)
    carried, gap = carry_mouth(scene, new, old), lips_gap(new, scene)
    assert carried.valid[0][gap].mean() > 0.9
    ring = [seen.points[0, -20:, :2] for seen in (new, old)]
    upper, lower = point_groups("mediapipe478").lip_gap
    inner = point_groups("mediapipe478").lips_inner
    middles = [points[[inner.index(upper), inner.index(lower)]].mean(0) for points in ring]
    column, row = np.floor(middles[0]).astype(int)
    found = carried.source[0, row, column] - (column + 0.5, row + 0.5)
    # half a drop of the jaw: in its middle the gap is as far open as the lips say
    np.testing.assert_allclose(found, middles[1] - middles[0], atol=0.6)
    skin = carry_skin(scene, new, old)
    np.testing.assert_array_equal(carried.source[skin.valid], skin.source[skin.valid])


@pytest.mark.parametrize("palate", [True, False])
@pytest.mark.parametrize(("now", "then"), [(1.0, 0.0), (0.0, 1.0)])
def test_a_closed_mouth_tells_nothing_of_an_open_one(palate: bool, now: float, then: float) -> None:
    scene = mouth_scene(SIZE, mouth_model("ibug68", palate))
    new, old = look(now, scene), look(then, scene)
    found = carry_mouth(scene, new, old).valid & ~carry_skin(scene, new, old).valid
    assert not found[0][lips_gap(look(1.0, scene), scene)].any()


def test_the_inside_is_carried_only_where_both_pictures_show_it() -> None:
    """Lips may meet before the inner lips do, and other skin may hide the mouth."""
    opened, closed = look(0.9), look(0.0)
    covered = replace(opened, seen=closed.seen)
    assert not (
        carry_mouth(SCENE, opened, covered).valid & ~carry_skin(SCENE, opened, covered).valid
    ).any()
    nowhere = np.zeros_like(opened.seen.depth)
    hidden = replace(opened, seen=replace(opened.seen, depth=nowhere))  # its skin, not its mouth
    assert carry_mouth(SCENE, opened, hidden).valid[0][lips_gap(opened)].mean() > 0.9
    assert not carry_mouth(SCENE, covered, hidden).valid.any()


def test_trust_ends_where_the_map_does() -> None:
    picture = np.full((1, SIZE, SIZE, 3), 200, np.uint8)
    source = np.stack([COLUMNS, ROWS], -1)[None].copy()
    source[:, :, SIZE // 2 :] = np.nan
    texture = fetch_texture(picture, CarryMap(source, np.isfinite(source[..., 0])))
    assert (texture[0, 20:60, 10:30, 3] == 255).all()
    assert (texture[0, :, : SIZE // 2, :3] == 200).all()
    assert not texture[0, :, SIZE // 2 :, :3].any()
    assert not texture[0, :, SIZE // 2 + 4 :].any()
    with pytest.raises(ShapeError, match="pictures"):
        fetch_texture(picture[..., 0], CarryMap(source, np.isfinite(source[..., 0])))
    with pytest.raises(ShapeError, match="source"):
        fetch_texture(picture[:, :40, :40], CarryMap(source, np.isfinite(source[..., 0])))


def test_what_is_painted_is_the_scene_s_own_synthetic_face_and_its_normals() -> None:
    opened, degrees = torch.tensor([0.0, 0.6]), torch.tensor([0.0, 10.0])
    track, transforms = facing_track(opened, degrees), centred_crops(2, SIZE)
    seen = look_at(SCENE, track, transforms)
    synthetic, geometry = paint_surface(SCENE, seen, track.lighting)
    np.testing.assert_array_equal(synthetic, SCENE.synthetic(track, transforms))
    drawn = synthetic.any(-1)
    np.testing.assert_array_equal(geometry.any(-1), drawn)
    normals = geometry[drawn] / 255.0 * 2 - 1
    assert np.linalg.norm(normals, axis=-1).mean() == pytest.approx(1, abs=0.03)
    assert (normals[:, 2] < 0).mean() > 0.99  # towards the camera
    # a head that turns about y shows normals that lean to one side
    lean = normals_at(geometry, drawn, 1)[0] - normals_at(geometry, drawn, 0)[0]
    assert abs(lean) == pytest.approx(np.sin(np.radians(10)), abs=0.03)


def normals_at(geometry: np.ndarray, drawn: np.ndarray, frame: int) -> np.ndarray:
    values: np.ndarray = (geometry[frame][drawn[frame]] / 255.0 * 2 - 1).mean(0)
    return values


def test_normals_of_what_is_drawn_are_those_of_the_whole_mesh() -> None:
    vertices = SCENE.vertices(facing_track(torch.tensor([0.2, 0.9]), torch.tensor([0.0, 20.0])))
    found = drawn_normals(vertices, SCENE.model, SCENE.drawn)
    used = SCENE.model.triangles[SCENE.drawn].unique()
    whole = vertex_normals(vertices, SCENE.model.triangles)
    torch.testing.assert_close(found[:, used], whole[:, used])


def test_a_face_to_carry_from_needs_no_weights() -> None:
    track = facing_track(torch.tensor([0.7]))
    fast = look_at(SCENE, track, centred_crops(1, SIZE), threads=1, weighted=False)
    full, new = look(0.7), look(0.4)
    np.testing.assert_array_equal(fast.seen.triangle, full.seen.triangle)
    one, other = (carry_mouth(SCENE, new, old, threads=1).source for old in (fast, full))
    np.testing.assert_array_equal(one, other)


def carried_but(missing: np.ndarray) -> CarryMap:
    """Everything in its place but what is missing."""
    source = np.stack([COLUMNS, ROWS], -1)[None].astype(np.float32).copy()
    source[0, missing] = np.nan
    return CarryMap(source, ~missing[None])


def test_small_gaps_of_the_skin_are_told_by_what_surrounds_them() -> None:
    """A network draws black specks as it is shown them."""
    missing = np.zeros((SIZE, SIZE), bool)
    missing[30:32, 30:35] = True  # a gap
    missing[50:60, 20:60] = True  # far too large for one
    missing[10:12, 60:64] = True  # a gap where no skin is drawn, as between the lips
    drawn = np.full((1, SIZE, SIZE, 3), 128, np.uint8)
    drawn[0, 8:14, 58:66] = 0
    picture = waves()
    texture = fetch_texture(picture, carried_but(missing), drawn)[0]
    away = np.abs(texture[..., :3].astype(int) - picture[0])
    assert away[30:32, 30:35].max() < 20
    assert (texture[30:32, 30:35, 3] == 0).all()  # and yet it is not believed
    assert not texture[50:60, 20:60, :3].any()
    assert not texture[10:12, 60:64, :3].any()
    plain = fetch_texture(picture, carried_but(missing))[0]
    assert not plain[30:32, 30:35, :3].any()  # nothing is drawn: nothing is known of gaps
