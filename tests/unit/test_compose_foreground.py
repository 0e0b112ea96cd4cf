"""What stands before a face for a whole shot: found by the face's movement, kept as filmed."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from face_toys import CAMERA
from hypothesis import given, settings
from hypothesis import strategies as st
from mouth_toys import PERSON, facing_track, mouth_model

from metatalk.compose.blend import Patch, Window
from metatalk.compose.fallback.beside import draw_beside
from metatalk.compose.fallback.foreground import (
    Evidence,
    find_seeds,
    gather_evidence,
    outline_things,
    share_present,
    soften,
)
from metatalk.compose.fallback.foreground_masks import Foreground, foreground_from_arrays
from metatalk.compose.fallback.foreground_watch import FINE_SIDE, ForegroundWatch
from metatalk.compose.fallback.surface_grid import SIDE, build_grid
from metatalk.errors import ShapeError
from metatalk.morphable.coefficients import TrackCoefficients

FRAMES, HEIGHT, WIDTH = 40, 150, 180
FACE = (45, 20, 135, 130)  # left, top, right, bottom of the face, not moved


def texture(seed: int, contrast: float = 0.5) -> np.ndarray:
    """(HEIGHT + 80, WIDTH + 80, 3) in [0, 1], smooth."""
    noise = np.random.default_rng(seed).normal(size=(HEIGHT + 80, WIDTH + 80, 3))
    soft = cv2.GaussianBlur(noise, (0, 0), 4.0)
    return np.clip(0.5 + contrast * 0.25 * soft / soft.std(), 0.05, 0.95)


def movement(reach: float) -> np.ndarray:
    """(FRAMES, 2) whole px."""
    turns = np.arange(FRAMES) * 0.7
    return np.rint(reach * np.stack([np.sin(turns), np.cos(1.7 * turns)], -1)).astype(int)


def thing(shape: str = "bar") -> np.ndarray:
    """(HEIGHT, WIDTH) float: something before the face's lower left that goes on below it."""
    picture = np.zeros((HEIGHT, WIDTH), np.uint8)
    if shape == "bar":
        cv2.line(picture, (75, 95), (35, 149), 255, 22)
    return cv2.GaussianBlur(picture, (0, 0), 0.8) / 255.0


def film(
    moved: np.ndarray, before: np.ndarray | None = None, present: np.ndarray | None = None
) -> np.ndarray:
    """(N, HEIGHT, WIDTH, 3) uint8: a face that moves over a background that does not."""
    background, skin = texture(0)[:HEIGHT, :WIDTH], texture(1)
    random = np.random.default_rng(2)
    left, top, right, bottom = FACE
    pictures = []
    for number, (dx, dy) in enumerate(moved):
        picture = background.copy()
        cut = skin[40 + top : 40 + bottom, 40 + left : 40 + right]
        picture[top + dy : bottom + dy, left + dx : right + dx] = cut
        if before is not None and (present is None or present[number]):
            picture = picture * (1 - before[..., None]) + 0.1 * before[..., None]
        pictures.append(picture + random.normal(0, 0.005, picture.shape))
    return (np.stack(pictures).clip(0, 1) * 255).astype(np.uint8)


def places(moved: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, K, 2) places of the face, two pixels apart, and (N, K) that all are seen."""
    left, top, right, bottom = FACE
    rows, columns = np.mgrid[top + 2 : bottom - 2 : 2, left + 2 : right - 2 : 2]
    still = np.stack([columns.ravel(), rows.ravel()], -1) + 0.5
    cells = still[None] + moved[:, None]
    return cells.astype(np.float32), np.ones(cells.shape[:2], bool)


def find(pictures: np.ndarray, moved: np.ndarray) -> np.ndarray:
    found = gather_evidence(pictures, *places(moved))
    return outline_things(found, find_seeds(found))


def on_face(mask: np.ndarray) -> np.ndarray:
    left, top, right, bottom = FACE
    return mask[top:bottom, left:right]


def test_what_stands_before_a_moving_face_is_found_whole_and_nothing_else() -> None:
    moved, bar = movement(6), thing()
    found = find(film(moved, bar), moved)
    assert on_face(found)[on_face(bar) > 0.9].mean() > 0.97
    assert not on_face(found)[on_face(bar) < 0.02].any()
    assert found[bar > 0.9].mean() > 0.9  # beyond the face, too


def test_a_background_beside_a_moving_face_is_not_before_it() -> None:
    moved = movement(6)
    assert not find(film(moved), moved).any()


def test_a_face_that_does_not_move_cannot_tell() -> None:
    moved = movement(0.5)
    assert np.abs(moved).max() <= 1
    found = gather_evidence(film(moved, thing()), *places(moved))
    assert not found.told.any()
    assert not find_seeds(found).any()


def test_what_moves_with_the_face_is_the_face() -> None:
    moved, bar = movement(6), thing()
    pictures = film(moved)
    for number, (dx, dy) in enumerate(moved):
        beard = np.roll(bar, (dy, dx), (0, 1))[..., None]
        pictures[number] = (pictures[number] * (1 - beard) + 25 * beard).astype(np.uint8)
    assert not on_face(find(pictures, moved)).any()


def test_an_exposure_that_changes_hides_nothing() -> None:
    moved, bar = movement(6), thing()
    strength = 1 + 0.2 * np.sin(np.arange(FRAMES))[:, None, None, None]
    pictures = (film(moved, bar) * strength).clip(0, 255).astype(np.uint8)
    found = find(pictures, moved)
    assert on_face(found)[on_face(bar) > 0.9].mean() > 0.95
    assert on_face(found)[on_face(bar) < 0.02].mean() < 0.01


def still_window(rim: int) -> tuple[Evidence, np.ndarray]:
    """Nothing changes anywhere but in a rim of so many px; the middle is sure to be a thing."""
    size = (80, 90)
    still, seeds = np.full(size, 0.4, np.float32), np.zeros(size, bool)
    still[rim : size[0] - rim, rim : size[1] - rim] = 0.005
    seeds[25:55, 30:60] = True
    mean = np.full((*size, 3), -0.7, np.float32)
    mean[seeds] = -2.0
    face = np.full(size, 0.2, np.float32)
    return Evidence(np.full_like(face, 0.01), face, seeds.copy(), still, mean, 90.0), seeds


def test_where_nothing_is_surely_something_else_no_outline_takes_in_all() -> None:
    found, seeds = still_window(0)
    outlined = outline_things(found, seeds)
    assert (outlined.dtype, outlined.shape) == (bool, seeds.shape)
    assert not outlined.any()
    found, seeds = still_window(12)
    outlined = outline_things(found, seeds)
    assert outlined[30:50, 35:55].all()
    assert not outlined[still_window(8)[0].still > 0.1].any()
    # Nor does what is too thin to hold a place that is surely the thing.
    thin = seeds & (np.arange(90) == 45)
    outlined = outline_things(found, thin)
    assert (outlined.dtype, outlined.any()) == (bool, False)


def test_what_is_there_in_some_pictures_only_is_told_apart() -> None:
    moved, bar = movement(6), thing()
    present = np.arange(FRAMES) < 30
    whole = bar > 0.5
    assert share_present(film(moved, bar, present), whole, 90.0) == pytest.approx(0.75)
    assert share_present(film(moved, bar), whole, 90.0) == 1


def test_a_mask_is_whole_on_the_thing_and_fades_within_a_few_pixels() -> None:
    whole = np.zeros((60, 60), bool)
    whole[20:40, 20:40] = True
    share = soften(whole, 100.0)
    assert (share[whole] == 255).all()
    assert share[30, 40:].tolist() == sorted(share[30, 40:].tolist(), reverse=True)
    assert share[30, 46:].max() == 0
    assert not soften(np.zeros((5, 5), bool), 100.0).any()


# Masks of a clip.


def masks_of(mask: np.ndarray, box: tuple[int, int, int, int]) -> Foreground:
    """Two shots of five frames; something stands in the second."""
    return Foreground(
        np.array([[0, 5], [5, 10]]),
        np.array([[0, 0, 0, 0], box], np.int32),
        (np.zeros((0, 0), np.uint8), mask),
        np.zeros(10, np.float32),
    )


@pytest.fixture
def masks() -> Foreground:
    mask = np.zeros((40, 50), np.uint8)
    mask[10:30, 20:35] = 255
    return masks_of(mask, (100, 60, 200, 140))  # two frame px a place


def test_the_film_is_seen_where_the_mask_lies_in_its_own_shot_alone(masks: Foreground) -> None:
    assert masks.film_share(4, 0, 0, 320, 240) is None
    share = masks.film_share(5, 0, 0, 320, 240)
    rows, columns = np.nonzero(share > 0.5)
    assert (rows.min(), rows.max() + 1) == (80, 120)
    assert (columns.min(), columns.max() + 1) == (140, 170)
    part = masks.film_share(9, 130, 70, 60, 40)
    np.testing.assert_array_equal(part, share[70:110, 130:190])
    assert masks.film_share(9, 0, 0, 90, 50) is None


def test_places_are_covered_where_the_film_is_seen(masks: Foreground) -> None:
    at = np.array([[141.0, 81.0], [169.0, 119.0], [137.0, 100.0], [155.0, 123.0], [5.0, 5.0]])
    assert masks.covers(7, at).tolist() == [True, True, False, False, False]
    assert not masks.covers(2, at).any()


def test_a_thing_is_drawn_where_the_new_face_has_the_skin_behind_it(masks: Foreground) -> None:
    size, transform = 80, np.array([[0.8, 0.0, -80.0], [0.0, 0.8, -48.0]])
    rows, columns = np.mgrid[:size, :size] + 0.5
    still = np.stack([columns, rows], -1).astype(np.float32)
    box = (100, 60, 200, 160)
    itself = masks.drawn_share(5, box, transform, still)
    raised = masks.drawn_share(5, box, transform, still + np.float32([0, 8]))
    assert not masks.drawn_share(5, box, transform, np.full_like(still, np.nan)).any()
    assert (itself > masks.film_share(5, 100, 60, 100, 100) - 0.3).all()
    assert np.nonzero(itself[:, 55] > 0.5)[0].min() == pytest.approx(20, abs=3)
    # Eight px of the crop are ten of the frame: the drawn thing is so much higher.
    assert np.nonzero(raised[:, 55] > 0.5)[0].min() == pytest.approx(10, abs=3)
    assert np.nonzero(raised[:, 55] > 0.5)[0].max() == pytest.approx(50, abs=3)
    assert not masks.drawn_share(4, box, transform, still).any()


def patch_of(picture: np.ndarray) -> tuple[Patch, Window, np.ndarray]:
    """A patch over a part of a window, and film of another shade in that window."""
    window = Window(80, 40, 160, 140, np.eye(2, 3))
    film = np.full((140, 160, 3), 128, np.uint8)
    return Patch(picture, np.ones(picture.shape[:2], np.float32), 100, 60), window, film


def test_a_thing_stays_as_filmed_and_the_skin_goes_on_where_it_was_drawn(
    masks: Foreground,
) -> None:
    size, transform = 80, np.array([[0.8, 0.0, -80.0], [0.0, 0.8, -48.0]])
    rows, columns = np.mgrid[:size, :size] + 0.5
    raised = np.stack([columns, rows + 8], -1).astype(np.float32)
    picture = np.full((100, 100, 3), 0.8, np.float32)
    picture[10:50, 40:70] = 0.0  # the thing as drawn; filmed it is ten pixels lower
    patch, window, film = patch_of(picture)
    done = draw_beside(patch, masks, 5, transform, raised, film, window)
    assert (done.alpha[22:58, 42:68] < 0.01).all()  # the thing itself
    assert (done.alpha[:, :30] == 1).all()
    np.testing.assert_allclose(done.picture[13:17, 45:65], 0.8, atol=0.05)
    assert (done.alpha[13:17, 45:65] > 0.9).all()
    # Film that looks like the skin is better than skin that was drawn on.
    same = np.full_like(film, round(0.8 * 255))
    assert draw_beside(patch, masks, 5, transform, raised, same, window).alpha[15, 55] < 0.1
    assert draw_beside(patch, masks, 2, transform, raised, film, window) is patch


@settings(max_examples=20, deadline=None)
@given(sizes=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=5))
def test_masks_come_back_from_their_arrays(sizes: list[tuple[int, int]]) -> None:
    random, shots = np.random.default_rng(0), len(sizes)
    masks = tuple(random.integers(0, 256, size).astype(np.uint8) for size in sizes)
    ends = np.arange(shots)
    before = Foreground(
        np.stack([ends, ends + 1], 1),
        random.integers(0, 99, (shots, 4)).astype(np.int32),
        masks,
        random.random(shots).astype(np.float32),
    )
    after = foreground_from_arrays(before.to_arrays())
    for one, other in zip(before.masks, after.masks, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(before.boxes, after.boxes)
    np.testing.assert_array_equal(before.lips_share, after.lips_share)
    assert bool(after) == any(mask.size for mask in masks)


def test_arrays_that_do_not_fit_are_refused(masks: Foreground) -> None:
    stored = masks.to_arrays()
    with pytest.raises(ShapeError, match="places"):
        foreground_from_arrays(stored | {"masks": stored["masks"][:-1]})
    with pytest.raises(ShapeError, match="masks"):
        replace(masks, masks=masks.masks[:1])


# The whole look at a clip.


class Frame:
    """A textured head before a still background; something may stand before it."""

    width, height = 320, 240

    def __init__(self, shift_px: int, before: bool) -> None:
        background = np.random.default_rng(3).normal(size=(240, 320, 3))
        skin = np.random.default_rng(4).normal(size=(240, 320, 3))
        layers = [cv2.GaussianBlur(noise, (0, 0), 3.0) for noise in (background, skin)]
        back, face = (0.45 + 0.12 * layer / layer.std() for layer in layers)
        head = np.zeros((240, 320), np.uint8)
        cv2.circle(head, (160 + shift_px, 120), 60, 255, -1)
        picture = np.where(head[..., None] > 0, np.roll(face, shift_px, 1), back)
        if before:
            picture[125:200, 128:148] = 0.08
        self._picture = (picture.clip(0, 1) * 255).astype(np.uint8)

    def rgb(self, box: tuple[int, int, int, int] | None = None) -> np.ndarray:
        left, top, right, bottom = box or (0, 0, self.width, self.height)
        return self._picture[top:bottom, left:right]


def moving_track(shifts: np.ndarray) -> TrackCoefficients:
    track = facing_track(torch.zeros(len(shifts)))
    translation = track.translation.clone()
    translation[:, 0] = torch.from_numpy(shifts * 700.0 / 480.0)
    return replace(track, translation=translation)


def watch(
    before: np.ndarray, shots: np.ndarray, trusted: bool = True, missing: tuple[int, ...] = ()
) -> Foreground:
    """Look at frames in which something stands before the face or not."""
    shifts = np.rint(8 * np.sin(0.7 * np.arange(len(before)))).astype(int)
    track = moving_track(shifts)
    if not trusted:
        track = replace(track, confidence=0 * track.confidence)
    looker = ForegroundWatch(build_grid(mouth_model(), PERSON, FINE_SIDE), track, CAMERA, shots)
    for number, (shift, there) in enumerate(zip(shifts, before, strict=True)):
        if number not in missing:
            looker.look(Frame(int(shift), bool(there)), number)
    return looker.finish()


def test_a_clip_is_looked_at_shot_by_shot() -> None:
    before = np.arange(60) >= 30
    found = watch(before, np.array([[0, 30], [30, 60]]))
    assert [mask.size > 0 for mask in found.masks] == [False, True]
    share = found.film_share(40, 0, 0, 320, 240)
    bar = np.zeros((240, 320), bool)
    bar[125:150, 130:146] = True
    assert share[bar].mean() > 0.97
    assert share[100:150, 155:].max() == 0
    assert (found.lips_share[:30] == 0).all()
    assert 0 < found.lips_share[30:].mean() < 0.5


def test_frames_that_do_not_come_are_done_without() -> None:
    """Those after them are still compared by where the face lies in them."""
    before, shots = np.ones(40, bool), np.array([[0, 40]])
    whole = watch(before, shots)
    assert whole
    for missing in ((0,), (3, 17, 18)):
        found = watch(before, shots, missing=missing)
        np.testing.assert_array_equal(found.boxes, whole.boxes)
        ours, theirs = found.masks[0] > 127, whole.masks[0] > 127
        assert (ours & theirs).sum() > 0.9 * (ours | theirs).sum()
    assert not watch(before, shots, missing=tuple(range(25)))  # too few are left


def test_what_comes_and_goes_is_no_matter_of_the_whole_shot() -> None:
    assert not watch(np.arange(40) < 32, np.array([[0, 40]]))


def test_a_shot_of_few_frames_or_without_a_trusted_face_tells_nothing() -> None:
    assert not watch(np.ones(12, bool), np.array([[0, 12]]))
    assert not watch(np.ones(30, bool), np.array([[0, 30]]), trusted=False)


def test_a_finer_grid_and_a_part_of_it_are_grids_of_the_same_face() -> None:
    coarse, fine = (build_grid(mouth_model(), PERSON, side) for side in (SIDE, FINE_SIDE))
    assert 3.5 < len(fine) / len(coarse) < 4.5
    assert fine.spread(fine.area).shape == (FINE_SIDE, FINE_SIDE)
    lips = fine.take(fine.lips)
    assert 0 < len(lips) < fine.lower.sum()
    assert lips.lower.all()
    assert fine.area.sum() == pytest.approx(coarse.area.sum(), rel=0.1)  # mm2 of the same skin
