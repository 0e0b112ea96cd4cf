"""What is strange on a face: coverings, but not light, nor what is always there."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from face_toys import CAMERA
from mouth_toys import PERSON, facing_track, mouth_model

from metatalk.compose.fallback.config import FallbackConfig
from metatalk.compose.fallback.face_watch import EVERY, FaceWatch, measure_edges
from metatalk.compose.fallback.occlusion import learn_usual, measure_strangeness
from metatalk.compose.fallback.surface_grid import (
    SIDE,
    SurfaceGrid,
    build_grid,
    facing,
    place_cells,
    place_painted,
    read_colours,
)
from metatalk.landmarks.hands import Hand, draw_hands

FRAMES = 60


@pytest.fixture(scope="module")
def grid() -> SurfaceGrid:
    return build_grid(mouth_model(), PERSON)


@pytest.fixture(scope="module")
def normals(grid: SurfaceGrid) -> np.ndarray:
    degrees = torch.linspace(-12, 12, FRAMES)
    return facing(grid, facing_track(torch.zeros(FRAMES), degrees))


def skin(grid: SurfaceGrid, seed: int = 0) -> np.ndarray:
    """(K, 3) a face with a texture of its own."""
    return np.random.default_rng(seed).uniform(0.3, 0.6, (len(grid), 3))


def film(grid: SurfaceGrid, normals: np.ndarray, covered: np.ndarray | None = None) -> np.ndarray:
    """(T, K, 3) uint8 under a light that changes its strength, colour and direction."""
    random = np.random.default_rng(1)
    frames = len(normals)
    strength = random.uniform(0.6, 1.3, (frames, 1, 3))
    side = 0.3 * np.sin(np.arange(frames))[:, None, None] * normals[..., :1]
    noise = random.normal(0, 0.01, (frames, len(grid), 3))
    pictures = skin(grid) * strength * np.exp(side) + noise
    if covered is not None:
        pictures = np.where(covered[..., None], 0.12, pictures)
    return (pictures.clip(0, 1) * 255).astype(np.uint8)


def judge(
    grid: SurfaceGrid, normals: np.ndarray, colours: np.ndarray, hand: np.ndarray | None = (None)
):
    inside = np.ones(colours.shape[:2], bool)
    usual = learn_usual(colours, normals, inside, grid)
    hand = np.zeros_like(inside) if hand is None else hand
    parts = [(colours[a : a + 7], normals[a : a + 7], inside[a : a + 7], hand[a : a + 7])
             for a in range(0, len(colours), 7)]  # fmt: skip
    return measure_strangeness(parts, grid, usual)


def lower_block(grid: SurfaceGrid, share: float) -> np.ndarray:
    """(K,) bool: about this share of the lower face, all on the left."""
    column = grid.places % SIDE
    limit = np.quantile(column[grid.lower], share)
    return grid.lower & (column <= limit)


def test_light_is_no_covering(grid: SurfaceGrid, normals: np.ndarray) -> None:
    found = judge(grid, normals, film(grid, normals))
    assert found.blob.max() == 0
    assert found.seen.min() > 0.1


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_a_covering_is_found_in_its_frames_and_is_as_large_as_it_is(
    grid: SurfaceGrid, normals: np.ndarray, share: float
) -> None:
    covered = np.zeros((FRAMES, len(grid)), bool)
    covered[20:26] = lower_block(grid, share)
    found = judge(grid, normals, film(grid, normals, covered))
    assert (found.blob[:20] == 0).all()
    assert (found.blob[26:] == 0).all()
    mass = np.clip(-normals[20:26, :, 2], 0, None) * grid.area * grid.lower
    truth = (mass * covered[20:26]).sum(1) / mass.sum(1)
    np.testing.assert_allclose(found.blob[20:26], truth, rtol=0.35)


def test_what_is_always_there_is_the_face(grid: SurfaceGrid, normals: np.ndarray) -> None:
    covered = np.tile(lower_block(grid, 0.3), (FRAMES, 1))
    blob = judge(grid, normals, film(grid, normals, covered)).blob
    assert blob.max() < FallbackConfig().covered_share


def test_what_covers_the_forehead_is_nobody_s_business(
    grid: SurfaceGrid, normals: np.ndarray
) -> None:
    covered = np.zeros((FRAMES, len(grid)), bool)
    covered[10:15] = ~grid.lower & (grid.places < np.quantile(grid.places, 0.25))
    blob = judge(grid, normals, film(grid, normals, covered)).blob
    assert blob.max() < FallbackConfig().covered_share


def test_what_lies_under_a_hand_is_judged_for_itself(
    grid: SurfaceGrid, normals: np.ndarray
) -> None:
    hand = np.zeros((FRAMES, len(grid)), bool)
    hand[20:30] = lower_block(grid, 0.3)
    real = hand.copy()
    real[25:] = False  # from there on what was taken for a hand is the face itself
    away = judge(grid, normals, film(grid, normals, real), hand).hand_away
    assert away[20:25].min() > 3
    assert away[25:30].max() < 1
    assert np.isnan(away[:20]).all()


def test_cells_move_with_the_head_and_the_painted_area_holds_the_open_mouth(
    grid: SurfaceGrid,
) -> None:
    track = facing_track(torch.tensor([0.0, 1.0]))
    cells = place_cells(grid, track, CAMERA)
    assert cells.shape == (2, len(grid), 2)
    jaw = np.abs(cells[1] - cells[0]).max(1)
    assert jaw[grid.lower].max() > 1
    assert place_painted(grid, track, CAMERA)[0][:, 1].max() > cells[0][grid.lower][:, 1].max()


def test_cells_read_the_pixels_they_lie_on() -> None:
    rows, columns = np.mgrid[:50, :50]
    ramp = np.stack([4 * rows, 4 * columns, np.full_like(rows, 7)], -1).astype(np.uint8)
    read = read_colours(ramp, np.array([[10.5, 20.5], [30.5, 5.5]]))
    np.testing.assert_allclose(read, [[80, 40, 7], [20, 120, 7]], atol=1)


def test_a_movement_weakens_the_changes_along_it() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (60, 60)).astype(np.float32)
    smear = np.stack([np.roll(noise, shift, 1) for shift in range(7)]).mean(0)
    inside = np.full((60, 60), 255, np.uint8)
    sharp, moved = (
        measure_edges(np.repeat(grey[..., None], 3, -1).astype(np.uint8), inside)
        for grey in (noise, smear)
    )
    ratio = moved / sharp
    assert ratio.argmin() == 0  # along x
    assert ratio[0] < 0.6 * ratio[4]
    darker = measure_edges(np.repeat(noise[..., None] * 0.5, 3, -1).astype(np.uint8), inside)
    np.testing.assert_allclose(darker, sharp, rtol=0.05)


class Plain:
    """A grey frame."""

    width, height = 320, 240

    def rgb(self, box: tuple[int, int, int, int] | None = None) -> np.ndarray:
        left, top, right, bottom = box or (0, 0, self.width, self.height)
        return np.full((bottom - top, right - left, 3), 128, np.uint8)


class Finder:
    """Finds the same hands in every window, and counts the windows."""

    def __init__(self, hands: list[Hand]) -> None:
        self.hands, self.windows = hands, []

    def find(self, picture: np.ndarray) -> list[Hand]:
        self.windows.append(picture)
        return self.hands

    def reset(self) -> None:
        pass


def toy_hand(length_px: float, at: tuple[float, float]) -> Hand:
    """Fingers up, the wrist below."""
    points = np.zeros((21, 2), np.float32)
    points[0] = (0, 1)
    for finger in range(5):
        for joint in range(4):
            points[1 + 4 * finger + joint] = (0.25 * (finger - 2), -0.3 * joint)
    return Hand(points * length_px + np.array(at, np.float32), 1.0)


def look(grid: SurfaceGrid, finder: Finder, frames: int) -> list:
    track, watch = facing_track(torch.zeros(1)), FaceWatch(finder)
    places = place_cells(grid, track, CAMERA)[0], place_painted(grid, track, CAMERA)[0]
    return [watch.look(Plain(), *places) for _ in range(frames)]


def test_hands_are_looked_for_in_every_other_frame_until_one_is_there(grid: SurfaceGrid) -> None:
    none, one = Finder([]), Finder([toy_hand(40.0, (128.0, 150.0))])
    look(grid, none, 10)
    shown = look(grid, one, 10)
    assert len(none.windows) == 10 // EVERY
    assert len(one.windows) >= 9
    assert all(0.05 < glimpse.hand_share <= 1 for glimpse in shown)
    assert all(glimpse.under_hand.any() for glimpse in shown)


def test_a_hand_too_small_for_this_face_is_an_ear(grid: SurfaceGrid) -> None:
    assert look(grid, Finder([toy_hand(8.0, (128.0, 150.0))]), 1)[0].hand_share == 0


def test_a_hand_far_from_the_mouth_covers_nothing(grid: SurfaceGrid) -> None:
    assert look(grid, Finder([toy_hand(40.0, (30.0, 30.0))]), 1)[0].hand_share == 0


def test_a_hand_is_drawn_around_its_points_and_not_beyond() -> None:
    hand = toy_hand(40.0, (100.0, 100.0))
    drawn = draw_hands([hand], (200, 200)) > 0
    at = hand.points.astype(int)
    assert drawn[at[:, 1], at[:, 0]].all()
    rows, columns = np.nonzero(drawn)
    assert columns.min() > 60
    assert columns.max() < 140
    assert rows.min() > 50  # fingers end at 64
    assert not draw_hands([], (20, 10)).any()
    assert draw_hands([], (20, 10)).shape == (10, 20)
