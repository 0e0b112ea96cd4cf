"""The generated lower face, put back: masks, colours, detail and seams."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metatalk.compose.blend import (
    DrawnFace,
    Patch,
    Window,
    compose_window,
    find_window,
    mask_depth,
    soft_mask,
)
from metatalk.compose.config import DriveConfig
from metatalk.compose.seam.config import SeamConfig
from metatalk.compose.seam.grain import TILE_PX, FrameGrain, Grain
from metatalk.errors import ShapeError
from metatalk.render.crops import apply_transforms, invert_transforms, warp_to_crop

SIZE = 64
# What is drawn in these tests is no likeness of its footage, whose colours would be taken for it.
ITS_OWN = SeamConfig(still=0.0)


def similarity(scale: float, angle: float, x: float, y: float) -> np.ndarray:
    """(2, 3) frame px to crop px: about the frame point (x, y), which becomes the crop's middle."""
    turn = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return np.column_stack([turn, SIZE / 2 - turn @ [x, y]])


def photo(height: int, width: int, smooth_px: float = 2.0) -> np.ndarray:
    """(H, W, 3) uint8 picture with structure at all scales above `smooth_px`."""
    chance = np.random.default_rng(0)
    noise = chance.normal(size=(height, width, 3)).astype(np.float32)
    layers = [cv2.GaussianBlur(noise, (0, 0), s) * s for s in (smooth_px, 3 * smooth_px, 20.0)]
    picture = sum(layers)
    return np.clip(120 + 60 * picture / picture.std(), 0, 255).astype(np.uint8)


def disc(radius: float = 20.0) -> np.ndarray:
    rows, columns = np.mgrid[:SIZE, :SIZE] + 0.5
    inside = (columns - SIZE / 2) ** 2 + (rows - SIZE / 2) ** 2 < radius**2
    return (255 * inside).astype(np.uint8)


def own_place() -> np.ndarray:
    """(S, S, 2) the map of a face that did not move."""
    rows, columns = np.mgrid[:SIZE, :SIZE].astype(np.float32) + 0.5
    return np.stack([columns, rows], -1)


def spread(patch: Patch | None, window: Window) -> tuple[np.ndarray, np.ndarray]:
    """The patch's picture and alpha over the whole window; nothing where the patch is not."""
    assert patch is not None
    left, top = patch.left - window.left, patch.top - window.top
    height, width = patch.alpha.shape
    assert 0 <= left <= left + width <= window.width
    assert 0 <= top <= top + height <= window.height
    place = np.s_[top : top + height, left : left + width]
    picture = np.zeros((window.height, window.width, 3), np.float32)
    alpha = np.zeros((window.height, window.width), np.float32)
    picture[place], alpha[place] = patch.picture, patch.alpha
    return picture, alpha


@settings(deadline=None)
@given(
    st.floats(0.2, 3), st.floats(-3, 3), st.floats(-50, 250), st.floats(-50, 200),
    st.sampled_from([(160, 120), (161, 121)]),
)  # fmt: skip
def test_a_window_holds_all_of_the_crop_that_lies_in_the_frame(scale, angle, x, y, frame):
    width, height = frame
    transform = similarity(scale, angle, x, y)
    window = find_window(transform, SIZE, width, height)
    inner = np.linspace(0.01, SIZE - 0.01, 12)
    points = apply_transforms(np.stack(np.meshgrid(inner, inner), -1).reshape(-1, 2),
                              invert_transforms(transform))  # fmt: skip
    seen = points[((points >= 0) & (points <= (width, height))).all(1)]
    if window is None:
        assert len(seen) == 0
        return
    left, top, right, bottom = window.box
    assert left >= 0 <= top
    assert right <= width
    assert bottom <= height
    assert left % 2 == top % 2 == 0  # chroma
    if len(seen):
        assert (seen >= (left, top)).all()
        assert (seen <= (right, bottom)).all()
    assert window.scale == pytest.approx(1 / scale)
    back = apply_transforms(np.array([[SIZE / 2, SIZE / 2]]), window.to_window)
    np.testing.assert_allclose(back, [[x - left, y - top]], atol=1e-6)


def test_a_crop_beside_the_frame_has_no_window():
    for x, y in ((-500, 60), (80, 900), (700, 60), (80, -300)):
        assert find_window(similarity(1.0, 0.0, x, y), SIZE, 160, 120) is None
    with pytest.raises(ShapeError):
        find_window(np.eye(3), SIZE, 160, 120)


@pytest.mark.parametrize("feather_px", [0.0, 0.5, 3.0, 6.0])
def test_a_soft_mask_is_zero_outside_and_one_deep_inside(feather_px):
    mask = disc(28)
    mask[:20] = 0
    soft = soft_mask(mask, feather_px)
    assert soft.dtype == np.float32
    assert not soft[mask == 0].any()
    assert soft.min() >= 0
    assert soft.max() <= 1
    assert soft[40, 32] > 0.9


def test_a_mask_at_the_crops_border_is_soft_there_too():
    soft = soft_mask(np.full((SIZE, SIZE), 255, np.uint8), 4.0)
    border = np.concatenate([soft[0], soft[-1], soft[:, 0], soft[:, -1]])
    assert border.max() < 0.05
    assert np.abs(np.diff(soft, axis=0)).max() < 0.25  # nowhere a step
    assert not soft_mask(np.zeros((SIZE, SIZE), np.uint8), 4.0).any()


def test_a_soft_mask_falls_evenly():
    soft = soft_mask(disc(28), 4.0)
    profile = soft[32, 32:]
    assert (np.diff(profile) <= 1e-6).all()
    np.testing.assert_allclose(soft, soft.T, atol=1e-5)


def test_a_mask_is_deep_inside_and_has_no_depth_outside():
    mask = disc(28)
    depth = mask_depth(mask, 4.0)
    assert not depth[mask == 0].any()
    assert depth[32, 32] == pytest.approx(27 / 4, rel=0.1)
    assert (np.diff(depth[32, 32:]) <= 1e-6).all()


@pytest.mark.parametrize(
    ("scale", "angle", "x", "y"),
    [(1.0, 0.0, 80.0, 60.0), (0.8, 0.3, 80.3, 61.7), (1.3, -0.2, 70.0, 55.5), (1.0, 0.0, 10, 8)],
)
@pytest.mark.parametrize("detail", [0.0, 1.0])
def test_the_same_face_gives_the_filmed_picture(scale, angle, x, y, detail):
    # A crop loses what is fine: that is what the detail is for.
    frame = photo(120, 160, smooth_px=5.0 if detail == 0 else 4.0)
    transform = similarity(scale, angle, x, y)
    window = find_window(transform, SIZE, 160, 120)
    assert window is not None
    left, top, right, bottom = window.box
    filmed = frame[top:bottom, left:right]
    generated = warp_to_crop(frame, transform, SIZE).astype(np.float32) / 255
    config = DriveConfig(detail=detail, detail_px=8.0)  # two pixels of this small crop
    patch = compose_window(DrawnFace(generated, disc(), own_place()), filmed, window, config)
    picture, alpha = spread(patch, window)
    blended = alpha[..., None] * picture + (1 - alpha[..., None]) * filmed / 255.0
    assert alpha.max() > 0.9
    assert np.abs(blended * 255 - filmed).max() < (2.0 if detail else 2.5)


def test_nothing_outside_the_mask_is_touched():
    frame = photo(120, 160)
    window = find_window(similarity(0.7, 0.2, 80, 60), SIZE, 160, 120)
    assert window is not None
    left, top, right, bottom = window.box
    filmed = frame[top:bottom, left:right]
    black = np.zeros((SIZE, SIZE, 3), np.float32)
    patch = compose_window(DrawnFace(black, disc(), own_place()), filmed, window, DriveConfig())
    _, alpha = spread(patch, window)
    rows, columns = np.nonzero(alpha)
    in_crop = apply_transforms(
        np.stack([columns + left, rows + top], -1) + 0.5, similarity(0.7, 0.2, 80, 60)
    )
    assert np.linalg.norm(in_crop - SIZE / 2, axis=1).max() < 20 + 2**0.5  # and a pixel


@pytest.mark.parametrize("levels", [1, 2, 4, 8])
def test_however_many_levels_the_alpha_stays_inside_the_mask(levels):
    frame = photo(120, 160)
    transform = similarity(0.4, 0.2, 80, 60)
    window = find_window(transform, SIZE, 160, 120)
    assert window is not None
    left, top, right, bottom = window.box
    black = np.zeros((SIZE, SIZE, 3), np.float32)
    config = DriveConfig(feather=0.1, seam=SeamConfig(levels=levels))
    patch = compose_window(
        DrawnFace(black, disc(), own_place()), frame[top:bottom, left:right], window, config
    )
    _, alpha = spread(patch, window)
    rows, columns = np.nonzero(alpha)
    in_crop = apply_transforms(np.stack([columns + left, rows + top], -1) + 0.5, transform)
    assert np.linalg.norm(in_crop - SIZE / 2, axis=1).max() < 20 + 2**0.5  # and a pixel
    assert alpha.max() > 0.99


def test_footage_of_any_depth_is_composed_alike():
    filmed = photo(SIZE, SIZE)
    window = Window(0, 0, SIZE, SIZE, np.eye(2, 3))
    generated = np.full((SIZE, SIZE, 3), 0.5, np.float32)
    args = generated, disc(), own_place()
    eight = compose_window(DrawnFace(*args), filmed, window, DriveConfig())
    floats = compose_window(
        DrawnFace(*args), filmed.astype(np.float32) / 255, window, DriveConfig()
    )
    assert eight is not None
    assert floats is not None
    np.testing.assert_allclose(eight.picture, floats.picture, atol=1e-6)
    np.testing.assert_array_equal(eight.alpha, floats.alpha)


def test_grain_is_laid_where_no_detail_is_carried():
    chance = np.random.default_rng(3)
    tile = chance.normal(scale=0.03, size=(TILE_PX, TILE_PX, 3)).astype(np.float32)
    grain = FrameGrain(Grain(tile, np.ones(8, np.float32)), 5)
    filmed = np.full((SIZE, SIZE, 3), 128, np.uint8)
    flat = np.full((SIZE, SIZE, 3), 0.5, np.float32)
    carried = own_place()
    carried[:, 32:] = np.nan
    window = Window(0, 0, SIZE, SIZE, np.eye(2, 3))
    everywhere = np.full((SIZE, SIZE), 255, np.uint8)
    compose = lambda seam: spread(  # noqa: E731
        compose_window(
            DrawnFace(flat, everywhere, carried), filmed, window, DriveConfig(seam=seam), grain
        ),
        window,
    )[0]
    picture = compose(SeamConfig())
    assert picture[16:-16, 42:52].std() == pytest.approx(0.03, rel=0.1)
    assert picture[16:-16, 14:26].std() < 0.003
    assert compose(SeamConfig(grain=0.5))[16:-16, 42:52].std() == pytest.approx(0.015, rel=0.1)
    assert compose(SeamConfig(grain=0.0))[16:-16, 42:52].std() < 1e-4


def test_detail_comes_from_the_footage_and_only_where_it_is_known():
    chance = np.random.default_rng(0)
    filmed = np.clip(128 + 20 * chance.normal(size=(SIZE, SIZE, 3)), 0, 255).astype(np.uint8)
    flat = np.full((SIZE, SIZE, 3), 0.5, np.float32)
    window = Window(0, 0, SIZE, SIZE, np.eye(2, 3))
    carried = own_place()
    carried[:, 32:] = np.nan
    config = DriveConfig(detail_px=4.0, seam=ITS_OWN)
    everywhere = np.full((SIZE, SIZE), 255, np.uint8)
    compose = lambda carried, config: spread(  # noqa: E731
        compose_window(DrawnFace(flat, everywhere, carried), filmed, window, config), window
    )[0]
    picture = compose(carried, config)
    known, unknown = picture[8:-8, 8:28], picture[8:-8, 36:-8]
    assert np.isfinite(picture).all()
    assert known.std() > 0.03
    np.testing.assert_allclose(unknown, 0.5, atol=1e-3)
    correlation = np.corrcoef(known.ravel(), filmed[8:-8, 8:28].ravel())[0, 1]
    assert correlation > 0.8
    without = compose(carried, DriveConfig(detail=0.0, seam=ITS_OWN))
    np.testing.assert_allclose(without[12:-12, 12:-12], 0.5, atol=1e-5)


def test_detail_moves_with_the_skin():
    filmed = photo(SIZE, SIZE, smooth_px=1.0)
    window = Window(0, 0, SIZE, SIZE, np.eye(2, 3))
    moved = own_place() + np.array([0.0, -6.0], np.float32)  # the skin came down by six pixels
    flat = np.full((SIZE, SIZE, 3), 0.5, np.float32)
    everywhere = np.full((SIZE, SIZE), 255, np.uint8)
    here, there = (
        spread(
            compose_window(
                DrawnFace(flat, everywhere, map_), filmed, window, DriveConfig(seam=ITS_OWN)
            ),
            window,
        )[0]
        for map_ in (own_place(), moved)
    )
    np.testing.assert_allclose(there[20:50, 14:50], here[14:44, 14:50], atol=5e-3)


def test_stretched_skin_loses_its_detail():
    filmed = photo(SIZE, SIZE, smooth_px=1.0)
    window = Window(0, 0, SIZE, SIZE, np.eye(2, 3))
    flat = np.full((SIZE, SIZE, 3), 0.5, np.float32)
    everywhere = np.full((SIZE, SIZE), 255, np.uint8)
    pulled = (own_place() - SIZE / 2) * np.array([0.5, 1.0], np.float32) + SIZE / 2
    patch = compose_window(
        DrawnFace(flat, everywhere, pulled), filmed, window, DriveConfig(seam=ITS_OWN)
    )
    np.testing.assert_allclose(spread(patch, window)[0][12:-12, 12:-12], 0.5, atol=1e-4)


def test_what_is_drawn_on_stretched_skin_is_as_smooth_as_it():
    speckle = np.random.default_rng(2).normal(0.5, 0.1, (SIZE, SIZE, 3)).astype(np.float32)
    filmed = np.full((SIZE, SIZE, 3), 128, np.uint8)
    window = Window(0, 0, SIZE, SIZE, np.eye(2, 3))
    everywhere = np.full((SIZE, SIZE), 255, np.uint8)
    config = DriveConfig(detail_px=8.0, seam=ITS_OWN)  # two pixels of this small crop
    contrast = {}
    for name, scale in (("steady", 1.0), ("stretched", 0.5), ("torn", 0.2)):
        places = (own_place() - SIZE / 2) * np.array([scale, 1.0], np.float32) + SIZE / 2
        patch = compose_window(DrawnFace(speckle, everywhere, places), filmed, window, config)
        contrast[name] = spread(patch, window)[0][8:-8, 8:-8].std()
    assert contrast["steady"] < 0.04
    assert contrast["stretched"] == pytest.approx(contrast["steady"], rel=0.2)
    assert contrast["torn"] > 0.08  # lips that met: there is nothing but the network's own


def test_a_patch_is_no_larger_than_its_mask_asks_for():
    frame = photo(120, 160)
    window = find_window(similarity(0.8, 0.3, 80, 60), SIZE, 160, 120)
    assert window is not None
    left, top, right, bottom = window.box
    filmed = frame[top:bottom, left:right]
    generated = np.full((SIZE, SIZE, 3), 0.5, np.float32)
    compose = lambda mask: compose_window(  # noqa: E731
        DrawnFace(generated, mask, own_place()), filmed, window, DriveConfig()
    )
    small, large = compose(disc(8)), compose(disc(28))
    assert small is not None
    assert large is not None
    assert small.alpha.size < 0.3 * large.alpha.size
    assert compose(np.zeros((SIZE, SIZE), np.uint8)) is None
    centre = np.array([80, 60]) - [small.left, small.top]
    assert small.alpha[centre[1], centre[0]] == small.alpha.max()


def test_a_mask_beside_the_frame_has_no_patch():
    window = find_window(similarity(1.0, 0.0, -10, 60), SIZE, 160, 120)  # most of it lies outside
    assert window is not None
    left, top, right, bottom = window.box
    filmed = photo(120, 160)[top:bottom, left:right]
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[20:40, 4:20] = 255
    generated = np.zeros((SIZE, SIZE, 3), np.float32)
    assert (
        compose_window(DrawnFace(generated, mask, own_place()), filmed, window, DriveConfig())
        is None
    )


def test_still_skin_is_as_light_as_it_was_filmed():
    """The network's own tone stays where the footage shows another thing in the skin's place."""
    transform = similarity(SIZE / 200, 0.0, 150, 150)
    window = find_window(transform, SIZE, 300, 300)
    assert window is not None
    filmed = photo(300, 300, 6.0)[window.top :, window.left :][: window.height, : window.width]
    lighter = SeamConfig(still=10.0)
    generated = warp_to_crop(photo(300, 300, 6.0), transform, SIZE).astype(np.float32) / 255
    moved = own_place() + np.float32([12.0, 0.0])

    def tone(carried: np.ndarray, seam: SeamConfig) -> float:
        config = DriveConfig(seam=seam, detail=0.0)
        patch = compose_window(
            DrawnFace(generated + np.float32(0.05), disc(30), carried), filmed, window, config
        )
        picture, alpha = spread(patch, window)
        rim = (alpha > 0.99) & (alpha.cumsum(0) < 40)
        return float((picture - filmed.astype(np.float32) / 255)[rim].mean())

    off = SeamConfig(still=0.0)
    assert tone(own_place(), lighter) < 0.7 * tone(own_place(), off)
    assert tone(moved, lighter) > 0.9 * tone(moved, off)


@pytest.mark.parametrize(("least", "most", "limit"), [(0.15, 0.4, 0.015), (1.3, 3.2, 0.01)])
def test_a_head_that_comes_nearer_brings_no_step(least, most, limit):
    """Where a level of the pyramid comes or goes, neighbouring frames look alike."""
    generated, alike = np.full((256, 256, 3), 0.6, np.float32), []
    mask = cv2.resize(disc(), (256, 256), interpolation=cv2.INTER_NEAREST)
    nowhere = np.full((256, 256, 2), np.nan, np.float32)
    for scale in np.geomspace(least, most, 120):
        side = int(256 * scale) + 2
        window = find_window(np.array([[1 / scale, 0, 0], [0, 1 / scale, 0]]), 256, side, side)
        assert window is not None
        filmed = np.full((window.height, window.width, 3), 0.5, np.float32)
        patch = compose_window(DrawnFace(generated, mask, nowhere), filmed, window, DriveConfig())
        picture, alpha = spread(patch, window)
        shown = alpha * (picture[..., 0] - 0.5)
        places = ((np.arange(16, 240, 2) + 0.5) * scale - 0.5).astype(np.float32)
        alike.append(cv2.remap(shown, *np.meshgrid(places, places), cv2.INTER_LINEAR))
    steps = np.abs(np.diff(alike, axis=0)).max((1, 2))
    assert steps.max() < limit  # the two pictures differ by 0.1
