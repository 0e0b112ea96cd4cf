"""Captions near a face: found by how they come and go, kept as they were filmed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from face_toys import CAMERA
from mouth_toys import PERSON, facing_track, mouth_model

from metatalk.compose.fallback import captions
from metatalk.compose.fallback.caption_watch import CaptionWatch
from metatalk.compose.fallback.captions import LEAST_STAY, Caption, CaptionSearch, lay_over
from metatalk.compose.fallback.foreground_masks import Foreground
from metatalk.compose.fallback.surface_grid import build_grid, place_cells
from metatalk.errors import ShapeError

FRAMES, HEIGHT, WIDTH, FACE_PX = 90, 140, 180, 100.0
CAME, WENT = 25, 65
HEAD = np.array([[40, 10], [140, 10], [140, 100], [40, 100]], np.float32)
Change = Callable[[np.ndarray, int], None]  # of a picture of a frame, in place


def letters(words: str = "so this is", at: tuple[int, int] = (10, 118)) -> np.ndarray:
    """(HEIGHT, WIDTH) bool."""
    picture = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.putText(picture, words, at, cv2.FONT_HERSHEY_SIMPLEX, 0.8, (255,), 3)
    return picture > 0


def smooth(seed: int, level: float, contrast: float) -> np.ndarray:
    """(HEIGHT, WIDTH, 3) float."""
    noise = cv2.GaussianBlur(
        np.random.default_rng(seed).normal(size=(HEIGHT, WIDTH, 3)), (0, 0), 4.0
    )
    return level + contrast * noise / noise.std()


Sway = Callable[[int], int]  # how far to the right a head is in a frame, px


def to_and_fro(number: int) -> int:
    return round(6 * np.sin(number / 5))


def slowly(number: int) -> int:
    return round(4 * np.sin(number / 12))


def at_rest(number: int) -> int:
    return 0


def film(change: Change, sway: Sway = to_and_fro, noise: int = 2) -> list[np.ndarray]:
    """Pictures of a head that moves to and fro before a wall, with noise of a codec."""
    wall, skin = smooth(0, 90, 12), smooth(1, 130, 12)
    random = np.random.default_rng(noise)
    pictures = []
    for number in range(FRAMES):
        moved = sway(number)
        picture = wall.copy()
        picture[10:100, 40 + moved : 140 + moved] = skin[10:100, 40:140]
        change(picture, number)
        picture += random.normal(0, 1.5, picture.shape)
        pictures.append(picture.clip(0, 255).astype(np.uint8))
    return pictures


def search(
    pictures: list[np.ndarray], sway: Sway = to_and_fro, cuts: tuple[int, ...] = ()
) -> list[Caption]:
    looker = CaptionSearch(FACE_PX)
    for number, picture in enumerate(pictures):
        outline = HEAD + np.float32([sway(number), 0])
        looker.look(picture, number, outline, is_cut=number in cuts)
    return looker.finish()


def nothing_changes(picture: np.ndarray, number: int) -> None:
    """The head alone moves."""


def caption(mask: np.ndarray, came: int = CAME, went: int = WENT, fade: int = 0) -> Change:
    def change(picture: np.ndarray, number: int) -> None:
        if came <= number < went:
            share = min(1.0, (number - came + 1) / (fade + 1), (went - number) / (fade + 1))
            picture[mask] += share * (240 - picture[mask])

    return change


def test_a_caption_is_found_as_long_as_it_is_there() -> None:
    mask = letters()
    (found,) = search(film(caption(mask)))
    assert (found.first, found.end) == (CAME, WENT)
    assert found.mask[mask].mean() > 0.95
    assert not found.mask[~mask].any()


def test_one_that_is_faded_in_and_out_is_found_while_it_is_whole() -> None:
    mask = letters()
    (found,) = search(film(caption(mask, fade=3)))
    assert CAME <= found.first <= CAME + 5
    assert WENT - 4 <= found.end <= WENT
    assert found.mask[mask].mean() > 0.9


def test_the_next_one_in_its_place_is_another() -> None:
    one, other = letters(), letters("we want", (40, 130))
    first, second = caption(one, CAME, 50), caption(other, 50, 80)

    def change(picture: np.ndarray, number: int) -> None:
        first(picture, number)
        second(picture, number)

    found = search(film(change))
    assert [(each.first, each.end) for each in found] == [(CAME, 50), (50, 80)]
    assert found[1].mask[other & ~one].mean() > 0.95


def test_one_that_lasts_to_the_end_is_found_and_a_brief_one_is_not() -> None:
    (found,) = search(film(caption(letters(), CAME, FRAMES)))
    assert (found.first, found.end) == (CAME, FRAMES)
    assert not search(film(caption(letters(), CAME, CAME + LEAST_STAY - 2)))


def bar(picture: np.ndarray, left: int) -> None:
    picture[105:135, max(left, 0) : max(left + 50, 0)] = 30


def comes_and_rests(picture: np.ndarray, number: int) -> None:
    """An arm that moves in, rests, and moves out."""
    bar(picture, -50 + 5 * min(number, 20) - 5 * max(number - 60, 0))


def goes_past(picture: np.ndarray, number: int) -> None:
    """What it leaves behind has come at once, but it was there before."""
    if 30 <= number < 45:
        picture[100:140] = 30


def is_cut(picture: np.ndarray, number: int) -> None:
    if CAME <= number < WENT:
        picture += smooth(5, 60, 20)


def is_on_the_mouth(picture: np.ndarray, number: int) -> None:
    """Lips that come to rest."""
    if CAME <= number < WENT:
        picture[70:90, 75:105] = 40


def is_drawn_away(picture: np.ndarray, number: int) -> None:
    """It comes as a caption does, but it goes as an arm does."""
    if number >= CAME:
        bar(picture, 60 - 5 * max(number - 55, 0))


def is_a_speck(picture: np.ndarray, number: int) -> None:
    if CAME <= number < WENT:
        picture[118:124, 20:26] = 240


@pytest.mark.parametrize(
    "change",
    [comes_and_rests, goes_past, is_cut, is_on_the_mouth, is_drawn_away],
)
def test_what_is_filmed_is_no_caption(change: Change) -> None:
    assert not search(film(change))


def test_a_speck_is_no_caption() -> None:
    assert not search(film(is_a_speck, at_rest), at_rest)


@pytest.mark.parametrize("sway", [to_and_fro, slowly])
@pytest.mark.parametrize("noise", [2, 11, 12, 13])
def test_a_head_that_sways_is_no_caption(sway: Sway, noise: int) -> None:
    assert not search(film(nothing_changes, sway, noise), sway)


def test_a_head_that_is_elsewhere_after_a_cut_is_no_caption() -> None:
    def sway(number: int) -> int:
        return 6 * (number >= 45)

    pictures = film(nothing_changes, sway)
    assert search(pictures, sway)
    assert not search(pictures, sway, cuts=(45,))
    # The one that was there before, and the one that comes soon after, are captions.
    for came in (CAME, 49):
        (found,) = search(film(caption(letters(), came, 80), sway), sway, cuts=(45,))
        assert (found.first, found.end) == (came, 80)


def test_a_caption_that_is_taken_for_a_cut_is_one_nevertheless() -> None:
    (found,) = search(film(caption(letters()), at_rest), at_rest, cuts=(CAME,))
    assert (found.first, found.end) == (CAME, WENT)


def test_one_that_loses_half_its_words_stays_until_the_rest_goes() -> None:
    mask = letters()
    half = mask.copy()
    half[:, np.flatnonzero(np.cumsum(mask.sum(0)) > mask.sum() / 2)[0] :] = False

    def change(picture: np.ndarray, number: int) -> None:
        caption(mask if number < 45 else half)(picture, number)

    (found,) = search(film(change))
    assert (found.first, found.end) == (CAME, WENT)


def test_a_frame_that_is_left_out_is_an_error() -> None:
    looker, picture = CaptionSearch(FACE_PX), film(nothing_changes)[0]
    looker.look(picture, 3)
    looker.look(picture, 4)
    with pytest.raises(ShapeError, match="frame 6 comes after frame 4"):
        looker.look(picture, 6)


def test_nothing_is_found_where_nothing_was_looked_at() -> None:
    assert not CaptionSearch(FACE_PX).finish()


# Laid over what stands there.

BOX = (100, 50, 100 + 2 * WIDTH, 50 + 2 * HEIGHT)


def standing(masks: tuple[np.ndarray, ...]) -> Foreground:
    shots = np.array([[0, 40], [40, FRAMES]])
    boxes = np.array([[0, 0, 0, 0], [120, 60, 200, 160]], np.int32)
    return Foreground(shots, boxes, masks, np.linspace(0, 1, FRAMES).astype(np.float32))


def test_without_a_caption_everything_is_as_it_was() -> None:
    before = standing((np.zeros((0, 0), np.uint8), np.full((100, 80), 255, np.uint8)))
    assert lay_over(before, [], BOX, FACE_PX) is before


def test_letters_are_film_in_their_frames_alone_beside_what_stands_there() -> None:
    mask = letters()
    nothing = np.zeros((0, 0), np.uint8)
    thing = np.zeros((100, 80), np.uint8)
    thing[20:60, 20:60] = 255
    before = standing((nothing, thing))
    found = lay_over(before, [Caption.of(CAME, WENT, mask)], BOX, FACE_PX)
    assert found.shots.tolist() == [[0, 25], [25, 40], [40, 65], [65, FRAMES]]
    assert [found.stands_in(frame) for frame in (24, 25, 64)] == [False, True, True]
    np.testing.assert_array_equal(found.lips_share, before.lips_share)
    large = cv2.resize(mask.astype(np.uint8), None, fx=2, fy=2, interpolation=0) > 0
    for frame in (25, 39, 40, 64):
        share = found.film_share(frame, *BOX[:2], 2 * WIDTH, 2 * HEIGHT)
        assert share is not None
        assert share[large].min() > 0.95
        far = cv2.dilate(large.astype(np.uint8), np.ones((15, 15), np.uint8)) == 0
        far[:, :120] = False  # there the other stands
        assert share[far].max() == 0
        assert (share[45:60, 55:70].mean() > 0.95) == (frame >= 40)
    after = found.film_share(70, 120, 60, 80, 100)
    assert after is not None
    np.testing.assert_array_equal(after, before.film_share(70, 120, 60, 80, 100))


def test_what_the_window_cuts_off_does_not_go_on_beyond_it() -> None:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[100:, 60:90] = True
    nothing = np.zeros((0, 0), np.uint8)
    found = lay_over(standing((nothing, nothing)), [Caption.of(0, 40, mask)], BOX, FACE_PX)
    below = found.film_share(5, BOX[0], BOX[3] + 1, 2 * WIDTH, 30)
    assert below is None or not below.any()


NOTHING = np.zeros((0, 0), np.uint8)


def test_a_letters_rim_is_film_too() -> None:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[110:130, 60:90] = True
    found = lay_over(standing((NOTHING, NOTHING)), [Caption.of(0, 40, mask)], BOX, FACE_PX)
    share = found.film_share(5, *BOX[:2], 2 * WIDTH, 2 * HEIGHT)
    assert share is not None
    second = 2 * 90 + 2  # px of the frame, two to one of the window
    assert share[230:250, second : second + 2].min() > 0.5
    assert share[230:250, second + 4 :].max() < 0.1


@pytest.mark.parametrize("box", [BOX, (100, 50, 100 + 371, 50 + 291)])
@pytest.mark.parametrize("at", [(10, 118), (-8, 145)])
def test_of_a_mask_only_what_shows_film_is_kept(
    box: tuple[int, int, int, int], at: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An hour of captions has thousands of masks; what they show is the same."""
    thing = np.zeros((100, 80), np.uint8)
    thing[20:, 20:60] = 255
    before = standing((NOTHING, thing))
    there = [Caption.of(CAME, WENT, letters(at=at))]
    found = lay_over(before, there, box, FACE_PX)
    monkeypatch.setattr(captions, "_crop", lambda mask, box: (np.array(box, float), mask))
    whole = lay_over(before, there, box, FACE_PX)
    for frame in (30, 50):
        for part in ((0, 0, 600, 500), (137, 171, 90, 160)):
            one, other = (each.film_share(frame, *part) for each in (found, whole))
            assert one is not None
            np.testing.assert_array_equal(one, other)
    shot = found.shot_of(30)
    assert found.masks[shot].size < 0.5 * whole.masks[shot].size
    assert found.masks[shot].base is None
    assert sum(value.nbytes for value in vars(there[0]).values() if hasattr(value, "nbytes")) < (
        HEIGHT * WIDTH / 7
    )


def test_over_a_clip_without_shots_nothing_is_laid() -> None:
    empty = Foreground(np.zeros((0, 2), int), np.zeros((0, 4)), (), np.zeros(9, np.float32))
    assert lay_over(empty, [Caption.of(0, 9, letters())], BOX, FACE_PX) is empty


# The whole look at a clip.


class Frame:
    """A wall, and words on it."""

    width, height = 320, 240

    def __init__(self, shown: bool) -> None:
        self._picture = np.full((self.height, self.width, 3), 90, np.uint8)
        if shown:
            cv2.putText(
                self._picture,
                "so this is",
                (126, 174),
                cv2.FONT_HERSHEY_SIMPLEX,
                0.4,
                (250,) * 3,
                2,
            )

    def rgb(self, box: tuple[int, int, int, int] | None = None) -> np.ndarray:
        left, top, right, bottom = box or (0, 0, self.width, self.height)
        return self._picture[top:bottom, left:right]


def bare(frames: int) -> Foreground:
    shots, nothing = np.array([[0, frames]]), np.zeros((0, 0), np.uint8)
    return Foreground(shots, np.zeros((1, 4), np.int32), (nothing,), np.zeros(frames, np.float32))


def watch(frames: int, trusted: bool = True) -> Foreground:
    track = facing_track(torch.zeros(frames))
    if not trusted:
        track = replace(track, confidence=0 * track.confidence)
    grid = build_grid(mouth_model(), PERSON)
    looker, cells = CaptionWatch(grid, track, CAMERA), place_cells(grid, track, CAMERA)
    for number in range(frames):
        looker.look(Frame(20 <= number < 60), number, cells[number] if trusted else None)
    return looker.finish(bare(frames))


def test_a_caption_below_the_chin_stays_as_filmed() -> None:
    found = watch(80)
    assert [found.stands_in(frame) for frame in (19, 20, 59, 60)] == [False, True, True, False]
    share = found.film_share(30, 0, 0, 320, 240)
    assert share is not None
    white = Frame(True).rgb()[..., 0] > 240
    box = np.rint(found.boxes[found.shot_of(30)]).astype(int)
    inside = np.zeros_like(white)
    inside[box[1] + 2 : box[3] - 2, box[0] + 2 : box[2] - 2] = True
    assert (white & inside).sum() > 200
    assert share[white & inside].mean() > 0.9
    assert share[100:160].max() == 0  # the mouth


def test_one_frame_that_was_badly_fitted_does_not_stretch_the_window() -> None:
    grid, track = build_grid(mouth_model(), PERSON), facing_track(torch.zeros(60))
    translation = track.translation.clone()
    translation[20, :2] += torch.tensor([-200.0, 160.0])  # mm
    stray = replace(track, translation=translation)
    boxes = []
    for one in (track, stray):
        looker, cells = CaptionWatch(grid, one, CAMERA), place_cells(grid, one, CAMERA)
        for number in range(60):
            looker.look(Frame(10 <= number < 45), number, cells[number])
        found = looker.finish(bare(60))
        boxes.append([one.shape for one in found.masks if one.size])
        assert found
    assert boxes[0] == boxes[1]


def test_without_a_trusted_face_nothing_is_looked_for() -> None:
    assert not watch(80, trusted=False)
    grid = build_grid(mouth_model(), PERSON)
    looker = CaptionWatch(grid, facing_track(torch.zeros(3)), CAMERA)
    with pytest.raises(ShapeError):
        looker.look(Frame(False), 0, np.zeros((len(grid) + 1, 2), np.float32))
