"""Two pictures mixed band by band."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metatalk.compose.seam.pyramid import FINE_RIM, blend_bands, count_levels, rim_alpha
from metatalk.errors import ShapeError

HEIGHT, WIDTH = 97, 130
FEATHER_PX = 8.0
REACH = 2.4


def ramp() -> np.ndarray:
    """(h, w) depth of a mask that begins at column 20."""
    columns = np.arange(WIDTH, dtype=np.float32)
    return np.tile(np.maximum(columns - 20, 0) / np.float32(FEATHER_PX), (HEIGHT, 1))


def noise(blur_px: float, seed: int = 0) -> np.ndarray:
    picture = np.random.default_rng(seed).normal(size=(HEIGHT, WIDTH, 3)).astype(np.float32)
    picture = cv2.GaussianBlur(picture, (0, 0), blur_px) if blur_px else picture
    return 0.5 + 0.1 * picture / picture.std()


def laid(
    filmed: np.ndarray, picture: np.ndarray, levels: float, depth: np.ndarray | None = None
) -> np.ndarray:
    depth = ramp() if depth is None else depth
    alpha = rim_alpha(depth)[..., None]
    return alpha * blend_bands(filmed, picture, depth, levels, REACH) + (1 - alpha) * filmed


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 6), st.integers(0, 100), st.integers(9, 70), st.integers(9, 70))
def test_equal_pictures_stay_equal(levels, seed, height, width):
    picture = np.random.default_rng(seed).random((height, width, 3)).astype(np.float32)
    depth = np.random.default_rng(seed).random((height, width)).astype(np.float32) * 3
    mixed = blend_bands(picture, picture, depth, min(levels, 3), REACH)
    np.testing.assert_allclose(mixed, picture, atol=1e-6)


@pytest.mark.parametrize("levels", [2, 3, 4, 5])
def test_deep_inside_the_picture_is_its_own(levels):
    filmed, picture = noise(0.0), noise(0.0, 1)
    mixed = blend_bands(filmed, picture, ramp(), levels, REACH)
    reach_px = int(20 + REACH * FEATHER_PX) + 2 ** (levels + 1)
    np.testing.assert_allclose(mixed[:, reach_px:], picture[:, reach_px:], atol=1e-6)


def test_one_level_leaves_the_picture():
    picture = noise(0.0, 1)
    assert blend_bands(noise(0.0), picture, ramp(), 1, REACH) is picture


def test_bands_that_are_wholly_faded_are_the_footages():
    """Against the definition: every band but the finest is the footage's own at depth 0."""
    filmed, picture = noise(0.0), noise(0.0, 1)
    flat = np.zeros((HEIGHT, WIDTH), np.float32)
    mixed = blend_bands(filmed, picture, flat, 4, REACH)
    fine = lambda p: p - cv2.pyrUp(cv2.pyrDown(p), dstsize=(WIDTH, HEIGHT))  # noqa: E731
    np.testing.assert_allclose(mixed, filmed - fine(filmed) + fine(picture), atol=1e-5)


def test_brightness_fades_widely_and_texture_narrowly():
    filmed = np.full((HEIGHT, WIDTH, 3), 0.5, np.float32)
    brighter = laid(filmed, filmed + np.float32(0.1), 4)[HEIGHT // 2, :, 0]
    textured = laid(filmed, noise(0.0, 1), 4)[..., 0].std(axis=0)
    rise = lambda profile: np.interp([0.1, 0.9], profile, np.arange(len(profile)))  # noqa: E731
    wide = np.diff(rise(np.maximum.accumulate((brighter - 0.5) / 0.1)))[0]
    narrow = np.diff(rise(np.maximum.accumulate(textured / textured[-20:].mean())))[0]
    assert wide > 2 * narrow
    single = laid(filmed, filmed + np.float32(0.1), 1)[HEIGHT // 2, :, 0]
    assert np.abs(np.diff(brighter)).max() < 0.6 * np.abs(np.diff(single)).max()


def test_no_texture_is_lost_over_more_than_the_fine_rim():
    """A plain mix as wide as the coarse band's loses far more of two textures' contrast."""
    filmed, picture = noise(0.6), noise(0.6, 1)
    wide = np.clip(ramp() / np.float32(REACH), 0, 1)[..., None]
    plain = wide * picture + (1 - wide) * filmed
    lost = lambda mixed: (1 - mixed[..., 0].std(axis=0) / 0.1).clip(0).sum()  # noqa: E731
    assert lost(laid(filmed, picture, 4)) < 0.75 * lost(plain)


def test_alpha_is_zero_at_the_edge_and_one_inside():
    depth = np.linspace(0, 3, 61, dtype=np.float32)[None]
    alpha = rim_alpha(depth)[0]
    assert not alpha[depth[0] <= FINE_RIM[0]].any()
    assert (alpha[depth[0] >= FINE_RIM[1]] == 1).all()
    assert (np.diff(alpha) >= 0).all()


@pytest.mark.parametrize(("scale", "levels"), [(0.25, 2), (1.0, 4), (1.5, 4.585), (2.0, 5), (8, 7)])
def test_a_larger_face_has_more_levels(scale, levels):
    assert count_levels(4, scale, 2000, 2000) == pytest.approx(levels, abs=1e-3)
    assert count_levels(4, scale, 3, 3) == 1


@pytest.mark.parametrize("whole", [1, 2, 3, 4])
def test_a_level_comes_by_shares(whole):
    """Nothing jumps where a level begins, and a share of one lies between the two."""
    filmed, picture = noise(0.6), noise(0.6, 1) + np.float32(0.1)
    at = lambda levels: laid(filmed, picture, levels)  # noqa: E731
    np.testing.assert_allclose(at(whole), at(whole + 1e-4), atol=1e-4)
    np.testing.assert_allclose(at(whole + 1), at(whole + 1 - 1e-4), atol=1e-4)
    steps = [np.abs(at(whole + k / 8 + 1 / 8) - at(whole + k / 8)).max() for k in range(8)]
    assert max(steps) < 0.55 * np.abs(at(whole + 1) - at(whole)).max()


def test_a_picture_of_another_size_has_its_rim_in_the_same_place():
    """Odd sides must not shift what a coarse band's rim is measured by."""
    bright = lambda width: laid(  # noqa: E731
        *(np.full((64, width, 3), value, np.float32) for value in (0.5, 0.6)), 4, depth(width)
    )
    depth = lambda width: np.tile(  # noqa: E731
        (width - 20 - np.arange(width, dtype=np.float32)).clip(0) / np.float32(FEATHER_PX), (64, 1)
    )
    # The edge lies at the same column of both, as seen from the right.
    even, odd = bright(256)[32, -100:, 0], bright(249)[32, -100:, 0]
    slope = np.abs(np.diff(even)).max()
    assert np.abs(even - odd).max() < 1.5 * slope


STILL = 5.0
PAST_REACH = np.s_[:, int(20 + 1.2 * REACH * FEATHER_PX) : int(20 + 0.7 * STILL * FEATHER_PX)]


def blended(
    filmed: np.ndarray, picture: np.ndarray, change: np.ndarray | None, still: float = STILL
) -> np.ndarray:
    return blend_bands(filmed, picture, ramp(), 4, REACH, change, still)


def plane(value: float) -> np.ndarray:
    return np.full((HEIGHT, WIDTH), value, np.float32)


def test_where_the_footage_shows_the_same_its_colours_are_taken():
    filmed = noise(6.0)
    picture = filmed + np.float32(0.03)
    error = lambda mixed: np.abs(mixed - filmed)[PAST_REACH].mean()  # noqa: E731
    assert error(blended(filmed, picture, None)) > 0.028
    assert error(blended(filmed, picture, plane(0.0))) < 0.022
    deep = np.s_[:, int(20 + STILL * FEATHER_PX) + 2**4 :]
    np.testing.assert_allclose(blended(filmed, picture, plane(0.0))[deep], picture[deep], atol=1e-5)


@pytest.mark.parametrize("size", [0.03, 0.2, 1.0])
def test_where_the_footage_shows_another_thing_nothing_of_it_is_taken(size):
    filmed, picture = noise(6.0), noise(6.0, 1)
    without = blended(filmed, picture, None)
    for other in (
        blended(filmed, picture, plane(-size)),
        blended(filmed, picture, plane(size / 100), still=REACH / 2),
    ):
        np.testing.assert_allclose(other, without, atol=1e-6)


def test_a_filmed_mouth_does_not_show_through():
    """Lips that were open and are to be closed, in skin that shows the same."""
    row, column = np.mgrid[:HEIGHT, :WIDTH]
    across, along = (column - 60) / 22, (row - HEIGHT / 2) / 6
    mouth = np.exp(-((across**2 + along**2) ** 2)).astype(np.float32)
    closed = noise(6.0)
    filmed = closed - np.float32(0.3) * mouth[..., None]
    mixed = blended(filmed, closed + np.float32(0.02), 0.3 * mouth)
    without = blended(filmed, closed + np.float32(0.02), None)
    lips = mouth > 0.5
    assert np.abs(mixed - without)[lips].max() < 0.02  # what is wrong is no more than the tone
    blind = blended(filmed, closed + np.float32(0.02), plane(0.0))
    assert np.abs(blind - without)[lips].max() > 0.06


def test_skin_that_stays_is_as_calm_as_its_footage():
    chance, filmed = np.random.default_rng(0), noise(6.0)
    tones = chance.normal(scale=0.01, size=12).astype(np.float32)
    restless = lambda change: np.std(  # noqa: E731
        [blended(filmed, filmed + tone, change)[PAST_REACH].mean() for tone in tones]
    )
    assert restless(plane(0.0)) < 0.75 * restless(None)


def test_a_change_that_grows_brings_no_jump():
    filmed, picture = noise(6.0), noise(6.0) + np.float32(0.05)
    shown = [blended(filmed, picture, plane(size)) for size in np.linspace(0, 0.04, 41)]
    steps = np.abs(np.diff(shown, axis=0)).max((1, 2, 3))
    assert steps.max() < 0.15 * np.abs(shown[-1] - shown[0]).max()


def test_arguments_are_checked():
    with pytest.raises(ShapeError):
        blend_bands(noise(0), noise(0), ramp(), 4, REACH, plane(0.0)[:-1], STILL)
    with pytest.raises(ShapeError):
        blend_bands(noise(0), noise(0)[:-1], ramp(), 4, REACH)
    with pytest.raises(ShapeError):
        blend_bands(noise(0), noise(0), ramp()[:-1], 4, REACH)
