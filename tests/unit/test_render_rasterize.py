"""The rasteriser against its readable twin, and against geometry."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy.spatial import Delaunay

from metatalk.errors import ShapeError
from metatalk.render.rasterize import NEAR_MM, REACH_PX, SUBPIXEL, interpolate, rasterize


def rasterize_readably(points, triangles, height, width, cull_back=False):
    """One picture at a time, one triangle at a time, all pixels at once."""
    shape = (len(points), height, width)
    triangle, weights = np.full(shape, -1, np.int32), np.zeros((*shape, 3), np.float32)
    depth = np.full(shape, np.inf, np.float32)
    rows, columns = np.mgrid[:height, :width]
    pixels = np.stack([columns, rows], -1) * SUBPIXEL + SUBPIXEL // 2  # centres, grid steps
    for picture, corners in enumerate(points.astype(np.float64)):
        for number, names in enumerate(triangles):
            if not all(is_drawable(corner) for corner in corners[names]):
                continue
            snapped = np.floor(corners[names, :2] * SUBPIXEL + 0.5).astype(np.int64)
            area = edge(*snapped)
            if area == 0 or (cull_back and area > 0):
                continue
            order = [0, 1, 2] if area > 0 else [0, 2, 1]
            inside, against = cover(snapped[order], pixels)
            share = [
                values * (1.0 / corners[names[k], 2])
                for values, k in zip(against, order, strict=True)
            ]
            total = share[0] + share[1] + share[2]
            with np.errstate(divide="ignore", invalid="ignore"):
                here = (abs(area) / total).astype(np.float32)
                wins = inside & (here < depth[picture])
                for values, k in zip(share, order, strict=True):
                    weights[picture, wins, k] = (values / total)[wins]
            depth[picture, wins], triangle[picture, wins] = here[wins], number
    return triangle, weights, depth


def is_drawable(corner) -> bool:
    x, y, z = corner
    return bool(np.isfinite(corner).all() and z > NEAR_MM and max(abs(x), abs(y)) <= REACH_PX)


def edge(start, end, point):
    """Twice the signed area of a triangle; positive to the right of start -> end in a picture."""
    (x, y), (px, py) = (end - start), np.moveaxis(point - start, -1, 0)
    return x * py - y * px


def cover(corners, pixels):
    """Pixels inside by the top-left rule, and the edge function facing each corner."""
    inside, against = np.ones(pixels.shape[:2], bool), []
    for k in range(3):
        start, end = corners[(k + 1) % 3], corners[(k + 2) % 3]
        (x, y), values = end - start, edge(start, end, pixels)
        is_left_or_top = y < 0 or (y == 0 and x > 0)
        inside &= (values >= 0) if is_left_or_top else (values > 0)
        against.append(values)
    return inside, against


def scatter(seed: int, pictures: int = 2, corners: int = 40, faces: int = 60):
    """Triangles of all sizes, some beyond the border, behind the camera, or not numbers."""
    rng = np.random.default_rng(seed)
    points = rng.uniform((-30, -30, 300), (80, 70, 900), (pictures, corners, 3))
    points[:, :8, :2] = np.floor(points[:, :8, :2]) + 0.5  # on pixel centres
    points[:, 8, 2], points[:, 9, 2] = -5.0, NEAR_MM
    points[:, 10, 0], points[:, 11, 1], points[:, 12, 0] = np.nan, np.inf, 3e5
    return points.astype(np.float32), rng.integers(0, corners, (faces, 3)).astype(np.int32)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("cull_back", [False, True])
def test_matches_the_readable_twin_pixel_for_pixel(seed, cull_back):
    points, triangles = scatter(seed)
    fast = rasterize(points, triangles, 41, 53, cull_back)
    triangle, weights, depth = rasterize_readably(points, triangles, 41, 53, cull_back)
    np.testing.assert_array_equal(fast.triangle, triangle)
    np.testing.assert_array_equal(fast.depth, depth)
    np.testing.assert_array_equal(fast.weights, weights)
    assert fast.covered.mean() > 0.2


def test_every_number_of_threads_draws_the_same():
    points, triangles = scatter(seed=3, faces=200)
    single = rasterize(points, triangles, 160, 90, threads=1)
    for threads in (2, 5):
        several = rasterize(points, triangles, 160, 90, threads=threads)
        np.testing.assert_array_equal(several.triangle, single.triangle)
        np.testing.assert_array_equal(several.weights, single.weights)


def test_a_batch_is_its_pictures():
    points, triangles = scatter(seed=4, pictures=5)
    batch = rasterize(points, triangles, 64, 64)
    alone = [rasterize(points[i : i + 1], triangles, 64, 64).depth[0] for i in range(5)]
    np.testing.assert_array_equal(batch.depth, alone)


def test_callers_on_several_threads_do_not_meet():
    meshes = [scatter(seed) for seed in range(8)]
    draw = lambda mesh: rasterize(*mesh, 64, 64).triangle  # noqa: E731
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(draw, meshes))
    for mesh, picture in zip(meshes, together, strict=True):
        np.testing.assert_array_equal(picture, draw(mesh))


def test_neighbours_leave_no_hole_and_share_no_pixel():
    rng = np.random.default_rng(0)
    border = np.array([[0, 0], [32, 0], [0, 32], [32, 32]])
    flat = np.concatenate([border, rng.integers(0, 65, (60, 2)) / 2, rng.uniform(0, 32, (60, 2))])
    triangles = Delaunay(flat, qhull_options="QJ").simplices.astype(np.int32)
    points = np.concatenate([flat, np.full((len(flat), 1), 500.0)], 1).astype(np.float32)[None]
    drawn = sum(rasterize(points, face[None], 32, 32).covered.astype(int) for face in triangles)
    np.testing.assert_array_equal(drawn, 1)


def test_top_left_rule():
    # the square's edges run through pixel centres: left and top are its own, right and bottom not
    square = np.array([[[1.5, 1.5, 9], [4.5, 1.5, 9], [4.5, 4.5, 9], [1.5, 4.5, 9]]], np.float32)
    covered = rasterize(square, np.array([[0, 1, 2], [0, 2, 3]]), 6, 6).covered[0]
    expected = np.zeros((6, 6), bool)
    expected[1:4, 1:4] = True
    np.testing.assert_array_equal(covered, expected)


def test_equal_depths_go_to_the_lower_number():
    triangle = np.array([[0, 1, 2]])
    points = np.array([[[0, 0, 700], [9, 0, 650], [0, 9, 800]]], np.float32)
    numbers = rasterize(points, np.concatenate([triangle, triangle]), 8, 8).triangle
    assert set(np.unique(numbers)) == {-1, 0}


def test_sees_a_tilted_plane_where_it_lies():
    """Interpolated camera-frame points lie on the plane and on their pixel's ray."""
    focal, size = 300.0, 48
    plane = np.array([[-60, -50, 400], [70, -40, 700], [60, 60, 900], [-50, 70, 600.0]])
    plane[3] = plane[0] + plane[2] - plane[1]
    pixels = focal * plane[:, :2] / plane[:, 2:] + size / 2
    points = np.concatenate([pixels, plane[:, 2:]], 1).astype(np.float32)[None]
    triangles = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    seen = rasterize(points, triangles, size, size)
    place = interpolate(seen, triangles, plane.astype(np.float32))[seen.covered]
    rows, columns = np.nonzero(seen.covered[0])
    on_screen = focal * place[:, :2] / place[:, 2:] + size / 2
    np.testing.assert_allclose(on_screen, np.stack([columns, rows], 1) + 0.5, atol=2e-3)
    normal = np.cross(plane[1] - plane[0], plane[2] - plane[0])
    distance = (place - plane[0]) @ normal / np.linalg.norm(normal)
    np.testing.assert_allclose(distance, 0, atol=1e-2)
    np.testing.assert_allclose(seen.depth[seen.covered], place[:, 2], rtol=1e-6)


def test_interpolates_batched_and_shared_values_alike():
    points, triangles = scatter(seed=1)
    seen = rasterize(points, triangles, 40, 40)
    values = np.random.default_rng(0).random((40, 5)).astype(np.float32)
    shared = interpolate(seen, triangles, values, background=-1.0)
    batched = interpolate(seen, triangles, np.stack([values, values]), background=-1.0)
    np.testing.assert_array_equal(shared, batched)
    corners = values[triangles[seen.triangle]]  # (B, H, W, 3, C)
    expected = (seen.weights[..., None] * corners).sum(-2)
    expected[~seen.covered] = -1.0
    np.testing.assert_allclose(shared, expected, atol=1e-5)


def test_empty_mesh_gives_an_empty_picture():
    nothing = rasterize(np.zeros((1, 0, 3), np.float32), np.zeros((0, 3), np.int32), 4, 5)
    assert nothing.triangle.shape == (1, 4, 5)
    assert not nothing.covered.any()


def test_refuses_a_triangle_without_its_corner():
    with pytest.raises(ShapeError, match=r"0\.\.3, but there are 3 points"):
        rasterize(np.ones((1, 3, 3), np.float32), np.array([[0, 1, 3]]), 4, 4)
