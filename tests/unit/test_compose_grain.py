"""Grain: measured in pairs of frames, laid the same way every time."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from metatalk.compose.seam.grain import TILE_PX, FrameGrain, Grain, measure_grain, pick_pairs
from metatalk.errors import ShapeError

LUMA = np.array([0.299, 0.587, 0.114])


def scene(seed: int = 0) -> np.ndarray:
    """(h, w, 3) float32: dark on the left, bright on the right, with edges here and there."""
    columns = np.linspace(0.15, 0.85, 256, dtype=np.float32)
    picture = np.tile(columns[None, :, None], (192, 1, 3))
    patches = np.random.default_rng(seed).random((12, 16)) > 0.8
    return picture + 0.08 * cv2.resize(patches.astype(np.float32), (256, 192))[..., None]


def speckle(sigma: float, blur_px: float, chance: np.random.Generator) -> np.ndarray:
    """(h, w, 3) noise of brightness alone."""
    plane = chance.normal(size=(192, 256)).astype(np.float32)
    plane = cv2.GaussianBlur(plane, (0, 0), blur_px) if blur_px else plane
    return np.repeat((sigma / 255 * plane / plane.std())[..., None], 3, 2)


def pairs(sigma, blur_px=0.0, shift_px=0.0, steps=0.0, gain=None, count=8):
    """Neighbouring frames, bytes, as a camera would give them."""
    chance, out = np.random.default_rng(7), []
    gain = np.ones(256, np.float32) if gain is None else gain
    for number in range(count):
        frames = []
        for moment in range(2):
            move = np.float32([[1, 0, moment * shift_px], [0, 1, moment * shift_px / 2]])
            picture = cv2.warpAffine(scene(number), move, (256, 192), flags=cv2.INTER_CUBIC,
                                     borderMode=cv2.BORDER_REPLICATE)  # fmt: skip
            picture = picture + moment * steps
            if sigma:
                picture = picture + speckle(sigma, blur_px, chance) * gain[None, :, None]
            frames.append(np.rint(255 * picture.clip(0, 1)).astype(np.uint8))
        out.append((frames[0], frames[1]))
    return out


@pytest.mark.parametrize("sigma", [2.0, 4.0, 8.0])
@pytest.mark.parametrize("blur_px", [0.0, 0.8])
def test_grain_is_found_as_strong_and_as_large_as_it_is(sigma, blur_px):
    grain = measure_grain(pairs(sigma, blur_px))
    assert grain is not None
    assert 255 * grain.sigma == pytest.approx(sigma, rel=0.15)
    luma = grain.tile @ LUMA
    found = np.corrcoef(luma[:, :-1].ravel(), luma[:, 1:].ravel())[0, 1]
    true = speckle(1.0, blur_px, np.random.default_rng(0))[..., 0]
    wanted = np.corrcoef(true[:, :-1].ravel(), true[:, 1:].ravel())[0, 1]
    assert found == pytest.approx(wanted, abs=0.08)
    spread = grain.tile.std(axis=(0, 1)) / grain.sigma
    np.testing.assert_allclose(spread, 1, atol=0.15)  # no more colour than the footage's has


@pytest.mark.parametrize(
    "moved", [{}, {"shift_px": 0.7}, {"steps": 0.02}], ids=["still", "moved", "lit"]
)
def test_clean_footage_has_none(moved):
    assert measure_grain(pairs(0.0, **moved)) is None


def test_a_moving_head_does_not_look_like_grain():
    grain = measure_grain(pairs(3.0, shift_px=0.7))
    assert grain is not None
    assert 255 * grain.sigma == pytest.approx(3.0, rel=0.2)


def test_a_small_face_that_speaks_does_not_look_like_grain():
    """What moves in itself, here more and there less, is no shift of a block."""
    rows, columns = np.mgrid[:192, :256].astype(np.float32)
    chance, found = np.random.default_rng(3), []
    for _ in range(8):
        skin = cv2.GaussianBlur(chance.random((192, 256), np.float32), (0, 0), 1.2) - 0.5
        picture = scene() + 0.6 * skin[..., None]
        reach_px = np.exp(np.sin(rows / 40) + np.cos(columns / 50) - 0.8)
        sway = reach_px * np.sin((rows + columns) / 7)
        moved = cv2.remap(picture, columns + sway, rows + sway, cv2.INTER_CUBIC)
        frames = [np.rint(255 * one.clip(0, 1)).astype(np.uint8) for one in (picture, moved)]
        found.append((frames[0], frames[1]))
    assert measure_grain(found) is None


def test_a_box_laid_over_grain_is_no_part_of_it():
    footage = pairs(4.0)
    for before, after in footage:
        before[:19] = after[:19] = 128
    grain = measure_grain(footage)
    assert grain is not None
    assert grain.sigma == pytest.approx(measure_grain(pairs(4.0)).sigma, rel=0.1)


def test_grain_knows_which_brightness_shows_it():
    gain = np.linspace(1.5, 0.5, 256, dtype=np.float32)  # strong in the dark
    grain = measure_grain(pairs(5.0, gain=gain))
    assert grain is not None
    assert grain.factors[1] > 1.5 * grain.factors[6]


def test_too_little_to_measure_gives_none():
    assert measure_grain([]) is None
    small = pairs(5.0, count=1)[0]
    assert measure_grain([(small[0][:20, :20], small[1][:20, :20])]) is None
    with pytest.raises(ShapeError):
        measure_grain([(small[0], small[1][:-1])])


@pytest.fixture(scope="module")
def grain() -> Grain:
    chance = np.random.default_rng(0)
    tile = chance.normal(scale=0.02, size=(TILE_PX, TILE_PX, 3)).astype(np.float32)
    return Grain(tile, np.linspace(1.5, 0.5, 8, dtype=np.float32))


def drawn(grain: Grain, number: int, level: float = 0.5, share: float = 1.0) -> np.ndarray:
    picture = np.full((60, 80, 3), level, np.float32)
    FrameGrain(grain, number).lay(picture, np.full((60, 80), share, np.float32), 11, 7)
    return picture - np.float32(level)


def test_a_frame_has_its_own_grain_and_always_the_same(grain):
    np.testing.assert_array_equal(drawn(grain, 3), drawn(grain, 3))
    for other in (4, 5, 100):
        assert abs(np.corrcoef(drawn(grain, 3).ravel(), drawn(grain, other).ravel())[0, 1]) < 0.05


def test_two_parts_of_a_frame_share_its_grain(grain):
    whole = drawn(grain, 9)
    part = np.full((20, 30, 3), 0.5, np.float32)
    FrameGrain(grain, 9).lay(part, np.ones((20, 30), np.float32), 11 + 25, 7 + 13)
    np.testing.assert_array_equal(part - np.float32(0.5), whole[13:33, 25:55])


def test_grain_follows_share_and_brightness(grain):
    for level in (0.1, 0.5, 0.9):
        factor = np.interp(8 * level - 0.5, np.arange(8), grain.factors)
        assert drawn(grain, 1, level).std() == pytest.approx(0.02 * factor, rel=0.05)
    assert drawn(grain, 1, 0.5, 0.25).std() == pytest.approx(0.005, rel=0.05)
    assert not drawn(grain, 1, 0.5, 0.0).any()


def test_pairs_lie_within_a_shot_and_show_a_face():
    usable = np.ones(100, bool)
    usable[20:40] = False
    first = pick_pairs(np.array([[0, 50], [50, 100]]), usable, 12)
    assert 2 < len(first) <= 12
    assert usable[first].all()
    assert usable[first + 1].all()
    assert 49 not in first
    assert first[0] == 0
    assert first[-1] == 98
    assert len(pick_pairs(np.array([[0, 1]]), np.ones(1, bool))) == 0
    assert len(pick_pairs(np.array([[0, 100]]), np.zeros(100, bool))) == 0


def carry(noise: np.ndarray, x: float, y: float) -> tuple[np.ndarray, np.ndarray]:
    """The noise read from so many px to the right and below, and where it was read."""
    rows, columns = np.mgrid[: noise.shape[0], : noise.shape[1]].astype(np.float32)
    where = np.stack([columns + np.float32(x), rows + np.float32(y)])
    read = cv2.remap(noise, where[0], where[1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_WRAP)
    return read, where


@pytest.mark.parametrize(("x", "y"), [(0.5, 0.0), (0.25, 0.5), (0.0, 0.75), (0.0, 0.0)])
def test_grain_knows_what_it_loses_where_it_is_carried(grain, x, y):
    luma = np.ascontiguousarray(grain.tile @ LUMA, np.float32)
    read = carry(luma, x, y)[0][4:-4, 4:-4]
    steps = grain.resampled.shape[1] - 1
    told = grain.resampled[0, int(x * steps)] * grain.resampled[1, int(y * steps)]
    assert told == pytest.approx((read**2).mean() / (luma**2).mean(), rel=0.06)


@pytest.mark.parametrize("alpha", [1.0, 0.7, 0.4])
@pytest.mark.parametrize(("x", "y"), [(9.5, 3.25), (0.5, 0.0), (0.0, 0.0)])
@pytest.mark.parametrize("share", [1.0, 0.5, 0.0])
def test_a_mix_has_the_grain_of_its_footage(grain, x, y, alpha, share):
    footage = np.tile(grain.tile, (1, 1, 1))
    read, where = carry(footage, x, y)
    picture, laid = 0.5 + share * read, np.full(read.shape[:2], alpha, np.float32)
    frame = FrameGrain(grain, 3)
    missing = frame.missing(np.full_like(laid, share), where, (0, 0), laid)
    frame.lay(picture, missing, 0, 0)
    mixed = alpha * (picture - 0.5) + (1 - alpha) * footage
    assert mixed[4:-4, 4:-4].std() == pytest.approx(footage.std(), rel=0.1)


def test_skin_that_lies_where_it_was_filmed_needs_no_grain(grain):
    share, where = np.ones((8, 9), np.float32), np.mgrid[5:13, 7:16][::-1].astype(np.float32)
    missing = FrameGrain(grain, 0).missing(share, where, (7, 5), np.full_like(share, 0.6))
    np.testing.assert_allclose(missing, 0, atol=2e-3)


def test_what_was_not_carried_lacks_all_of_it(grain):
    share, alpha = np.ones((8, 9), np.float32), np.ones((8, 9), np.float32)
    np.testing.assert_allclose(FrameGrain(grain, 0).missing(share, None, (0, 0), alpha), 1)
    with pytest.raises(ShapeError, match="share"):
        FrameGrain(grain, 0).missing(share[1:], None, (0, 0), alpha)
