"""The synthetic lower face, its mask, and pixels carried by the mesh, on a toy face."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from metatalk.morphable.camera import Camera
from metatalk.morphable.lighting import ambient_light
from metatalk.morphable.model import MorphableModel
from metatalk.morphable.pose import transform_points
from metatalk.render.crops import crop_transforms
from metatalk.render.lower_face import lower_face_mask, project_to_crop, render_lower_face
from metatalk.render.rasterize import rasterize
from metatalk.render.warp import carry_map, carry_pixels

CAMERA = Camera(focal_px=400.0, width=320, height=240)
SIZE = 64


def sheet(columns: int, rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A bulging sheet of 100 x 120 mm whose front looks at the camera."""
    y, x = torch.meshgrid(
        torch.linspace(-60, 60, rows), torch.linspace(-50, 50, columns), indexing="ij"
    )
    mean = torch.stack((x, y, 0.01 * (x**2 + 0.5 * y**2)), -1).reshape(-1, 3)
    start = torch.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = start[:-1, :-1], start[:-1, 1:], start[1:, :-1], start[1:, 1:]
    faces = torch.stack((torch.stack((a, c, b), -1), torch.stack((b, c, d), -1)))
    return mean, faces.reshape(-1, 3)


@pytest.fixture(scope="module")
def model() -> MorphableModel:
    """60 vertices; the one expression lets the lower edge down by 20 mm."""
    mean, triangles = sheet(6, 10)
    jaw = torch.zeros(1, 60, 3)
    jaw[0, :, 1] = 20.0 * (mean[:, 1] / 60).clamp_min(0)
    return MorphableModel(
        source="toy",
        terms="none",
        mean=mean,
        identity_basis=torch.zeros(1, 60, 3),
        expression_basis=jaw,
        texture_mean=torch.full((60, 3), 0.5),
        texture_basis=torch.zeros(1, 60, 3),
        triangles=triangles,
        expression_names=("jawOpen",),
        regions={"lower_face": mean[:, 1] > -10, "upper_face": mean[:, 1] < 0},
    )


def pose(model: MorphableModel, opening: float, turn: float = 0.0) -> torch.Tensor:
    """(1, V, 3) mm, camera frame."""
    shape = model.shape(torch.zeros(1), torch.tensor([opening]))
    place = torch.tensor([5.0, -3.0, 600.0])
    return transform_points(shape, torch.tensor([0.0, turn, 0.0]), place)[None]


@pytest.fixture(scope="module")
def crop(model) -> np.ndarray:
    """(1, 2, 3) the crop about the closed lower face."""
    neutral = pose(model, 0.0)[:, model.regions["lower_face"]]
    return crop_transforms(CAMERA.project(neutral).numpy(), SIZE, margin=0.5)


def lower(model: MorphableModel) -> torch.Tensor:
    return model.region_triangles("lower_face")


def draw(model: MorphableModel, vertices: torch.Tensor, crop: np.ndarray, **more) -> np.ndarray:
    light = ambient_light()[None].expand(len(vertices), 3, 9)
    albedo = model.texture_mean
    return render_lower_face(
        vertices, albedo, light, model, CAMERA, crop, SIZE, lower(model), **more
    )


def mask_of(model: MorphableModel, crop: np.ndarray, **more) -> np.ndarray:
    faces = model.triangles[lower(model)].numpy()
    ends = pose(model, 0.0), pose(model, 1.0)
    return lower_face_mask(*ends, faces, CAMERA, crop, SIZE, **{"grow_px": 0} | more)


def test_ambient_light_draws_the_albedo_on_black(model, crop):
    picture = draw(model, pose(model, 0.0), crop)
    assert picture.shape == (1, SIZE, SIZE, 3)
    assert picture.dtype == np.uint8
    assert set(np.unique(picture)) == {0, 128}


def test_the_picture_is_a_batch_of_single_ones(model, crop):
    frames = torch.cat([pose(model, opening) for opening in (0.0, 0.4, 1.0)])
    batch = draw(model, frames, np.repeat(crop, 3, 0))
    single = [draw(model, frames[i : i + 1], crop)[0] for i in range(3)]
    np.testing.assert_array_equal(batch, single)


def test_the_mask_holds_every_opening_and_tells_none(model, crop):
    mask = mask_of(model, crop)[0]
    assert set(np.unique(mask)) == {0, 255}
    for opening in np.linspace(0, 1, 7):
        drawn = draw(model, pose(model, float(opening)), crop)[0].any(-1)
        assert not (drawn & (mask == 0)).any()


def test_the_mask_grows_on_all_sides(model, crop):
    mask, grown = mask_of(model, crop)[0] > 0, mask_of(model, crop, grow_px=3)[0] > 0
    assert (grown & ~mask).any()
    assert not (mask & ~grown).any()
    width = lambda area: np.flatnonzero(area.any(0)).size  # noqa: E731
    assert width(grown) == width(mask) + 6


def test_the_mask_has_no_hole(model, crop):
    faces = model.triangles[lower(model)].numpy()
    middle = np.argmin(np.abs(model.mean[faces].mean(1).numpy()[:, :2] - [0, 25]).sum(1))
    pierced = np.delete(faces, middle, axis=0)
    ends = pose(model, 0.0), pose(model, 0.0)
    whole = lower_face_mask(*ends, faces, CAMERA, crop, SIZE, 0)
    filled = lower_face_mask(*ends, pierced, CAMERA, crop, SIZE, 0)
    np.testing.assert_array_equal(filled, whole)


def test_what_is_in_front_stays_black(model, crop):
    """A second sheet, 100 mm nearer, hides the left half."""
    vertices = pose(model, 0.0)
    near = vertices - torch.tensor([60.0, 0, 100.0])
    both = torch.cat((vertices, near), 1)
    seen = project_to_crop(both, CAMERA, crop)
    faces = model.triangles.numpy()
    front = rasterize(seen, faces + 60, SIZE, SIZE).covered[0]
    mask = lower_face_mask(both, both, faces, CAMERA, crop, SIZE, 0, occluders=faces + 60)[0] > 0
    alone = lower_face_mask(vertices, vertices, faces, CAMERA, crop, SIZE, 0)[0] > 0
    assert front.any()
    np.testing.assert_array_equal(mask, alone & ~front)


def test_a_still_mesh_carries_every_pixel_to_itself(model, crop):
    points = project_to_crop(pose(model, 0.3), CAMERA, crop)
    found = carry_map(points, points, model.triangles.numpy(), SIZE, SIZE, SIZE)
    rows, columns = np.nonzero(found.valid[0])
    assert found.valid.mean() > 0.4
    np.testing.assert_allclose(
        found.source[0][found.valid[0]], np.stack([columns, rows], 1) + 0.5, atol=1e-2
    )
    assert np.isnan(found.source[~found.valid]).all()


def test_a_turned_head_is_carried_by_projection(model, crop):
    """The source of a pixel is the old projection of the surface point that it shows."""
    new, old = pose(model, 0.0, turn=0.3), pose(model, 0.0, turn=-0.2)
    faces = model.triangles.numpy()
    points_new, points_old = (project_to_crop(v, CAMERA, crop) for v in (new, old))
    found = carry_map(points_new, points_old, faces, SIZE, SIZE, SIZE)
    seen = rasterize(points_new, faces, SIZE, SIZE, cull_back=True)
    row, column = np.argwhere(found.valid[0])[:: found.valid.sum() // 20].T
    corners = faces[seen.triangle[0, row, column]]
    place = (old[0].numpy()[corners] * seen.weights[0, row, column, :, None]).sum(1)
    expected = project_to_crop(torch.from_numpy(place)[None], CAMERA, crop)[0, :, :2]
    np.testing.assert_allclose(found.source[0, row, column], expected, atol=2e-2)


def test_what_was_hidden_is_not_carried(model, crop):
    """A plate in front of the old picture's left half, behind the camera in the new one."""
    old = pose(model, 0.0)
    plate = old - torch.tensor([60.0, 0, 100.0])
    away = plate * torch.tensor([1.0, 1.0, -1.0])
    faces = np.concatenate([model.triangles.numpy(), model.triangles.numpy() + 60])
    points_old = project_to_crop(torch.cat((old, plate), 1), CAMERA, crop)
    points_new = project_to_crop(torch.cat((old, away), 1), CAMERA, crop)
    found = carry_map(points_new, points_old, faces, SIZE, SIZE, SIZE)
    seen = rasterize(points_new, faces, SIZE, SIZE).covered[0]
    front = rasterize(points_old, faces[len(faces) // 2 :], SIZE, SIZE).covered[0]
    assert (found.valid[0] & ~seen).sum() == 0
    assert (seen & front & found.valid[0]).sum() < 0.1 * (seen & front).sum()  # the plate's rim
    np.testing.assert_array_equal(found.valid[0] & ~front, seen & ~front)


def test_what_was_turned_away_is_not_carried(model, crop):
    new, old = pose(model, 0.0), pose(model, 0.0, turn=np.pi)
    points_new, points_old = (project_to_crop(v, CAMERA, crop) for v in (new, old))
    assert not carry_map(points_new, points_old, model.triangles.numpy(), SIZE, 64, 64).valid.any()


def test_pixels_come_from_where_the_map_points():
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    rows, columns = np.mgrid[:8, :8].astype(np.float32)
    source = np.stack([columns + 4.5, rows + 2.5], -1)
    source[3, 5] = np.nan
    carried = carry_pixels(picture, source)
    expected = picture[2:10, 4:12].copy()
    expected[3, 5] = 0
    np.testing.assert_array_equal(carried, expected)
