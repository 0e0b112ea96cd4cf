"""Footage revoiced frame by frame, and the fades where the face is lost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from face_toys import CAMERA, toy_model, toy_track
from hypothesis import given
from hypothesis import strategies as st

from metatalk.compose.ahead import one_thread_each
from metatalk.compose.blend import Patch
from metatalk.compose.config import DriveConfig
from metatalk.compose.fallback.presence import presence
from metatalk.compose.jaw_config import JawConfig
from metatalk.compose.revoice import Performance, Revoiced, Studio, revoice
from metatalk.compose.seam.grain import TILE_PX, Grain
from metatalk.errors import ShapeError
from metatalk.morphable.coefficients import PersonCoefficients, TrackCoefficients
from metatalk.neural.generator import Generator
from metatalk.render.scene import Scene

MODEL, FRAMES, SIZE = toy_model(), 5, 32


@dataclass(frozen=True, eq=False)
class Frame:
    """A frame of the footage that notes the patch laid over it."""

    pixels: np.ndarray
    alpha: np.ndarray | None = None
    patch: np.ndarray | None = None

    bits = 8

    @property
    def width(self) -> int:
        return self.pixels.shape[1]

    @property
    def height(self) -> int:
        return self.pixels.shape[0]

    def rgb(self, box: tuple[int, int, int, int] | None = None) -> np.ndarray:
        left, top, right, bottom = box or (0, 0, self.width, self.height)
        return self.pixels[top:bottom, left:right]

    def with_patch(self, patch: np.ndarray, alpha: np.ndarray, left: int, top: int) -> Frame:
        whole = np.zeros(self.pixels.shape[:2], np.float32)
        whole[top : top + len(alpha), left : left + alpha.shape[1]] = alpha
        return replace(self, alpha=whole, patch=patch)


TRACK = toy_track(FRAMES)


@pytest.fixture(scope="module")
def studio() -> Studio:
    torch.manual_seed(0)
    person = PersonCoefficients(torch.zeros(3), torch.zeros(6))
    scene = Scene(MODEL, person, CAMERA, SIZE)
    generator = Generator((8, 8, 8, 8)).eval().requires_grad_(False)
    return Studio(scene, generator, DriveConfig(batch=2))


@cache
def transforms() -> np.ndarray:
    person = PersonCoefficients(torch.zeros(3), torch.zeros(6))
    scene = Scene(MODEL, person, CAMERA, SIZE)
    layout = scene.measure_layout(TRACK, 0.2)
    return scene.transforms(TRACK, layout, 0.0, np.array([[0, FRAMES]]))


def footage(frames: list[int]) -> list[Frame]:
    picture = np.random.default_rng(0).integers(0, 256, (CAMERA.height, CAMERA.width, 3), np.uint8)
    return [Frame(np.roll(picture, frame, 1)) for frame in frames]


def perform(frames: list[int], strength: list[float]) -> Performance:
    expression = torch.rand(len(frames), 4, generator=torch.Generator().manual_seed(5))
    return Performance(
        np.array(frames),
        TRACK.take(frames),
        transforms()[frames],
        expression,
        np.array(strength, np.float32),
    )


def pictures_of(made: Iterable[Revoiced]) -> list[Frame]:
    return [each.picture for each in made]


def test_only_the_lower_face_is_patched_and_as_strongly_as_asked(studio: Studio):
    frames = [0, 1, 2, 3, 4, 3, 2]
    pictures = footage(frames)
    strength = [1.0, 1, 0, 0.5, 1, 1, 0]
    made = list(revoice(pictures, perform(frames, strength), studio))
    shown = pictures_of(made)
    assert len(shown) == 7
    assert shown[2] is pictures[2]
    assert shown[6] is pictures[6]
    assert [len(each.patches) for each in made] == [1, 1, 0, 1, 1, 1, 0]
    for place in (0, 1, 3, 4, 5):
        (laid,) = made[place].patches
        np.testing.assert_array_equal(laid.picture, shown[place].patch)
        alpha, patch = shown[place].alpha, shown[place].patch
        assert 0.8 * strength[place] < alpha.max() <= strength[place]
        assert alpha.mean() < 0.25
        assert np.isfinite(patch).all()
        assert patch.min() >= 0
        assert patch.max() <= 1
        low = studio.scene.anchors(TRACK.take([frames[place]]))[0]
        rows, columns = np.nonzero(alpha)
        assert rows.min() > low[:, 1].min() - 25
        assert columns.min() > low[:, 0].min() - 25
        assert columns.max() < low[:, 0].max() + 25


def test_batches_do_not_change_the_picture(studio: Studio):
    frames, strength = [0, 1, 2, 3, 4], [1.0, 0.0, 1.0, 1.0, 1.0]
    whole = replace(studio, config=replace(studio.config, batch=8))
    performance = perform(frames, strength)
    for small, large in zip(
        pictures_of(revoice(footage(frames), performance, studio)),
        pictures_of(revoice(footage(frames), performance, whole)),
        strict=True,
    ):
        if small.patch is not None:
            # noise footage: OpenCV's places are whole 32nds of a pixel, whichever way they round
            np.testing.assert_allclose(small.patch, large.patch, atol=0.02)
            np.testing.assert_array_equal(small.alpha, large.alpha)


@pytest.mark.parametrize("workers", [2, 4])
def test_workers_do_not_change_the_picture(studio: Studio, workers: int):
    frames = [0, 1, 2, 3, 4, 3, 2, 1, 0]
    performance = perform(frames, [1.0, 0.5, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 1.0])
    alone = pictures_of(revoice(footage(frames), performance, studio))
    together = pictures_of(revoice(footage(frames), performance, studio, workers))
    assert len(together) == len(frames)
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one.pixels, other.pixels)
        assert (one.patch is None) == (other.patch is None)
        if one.patch is not None:
            np.testing.assert_array_equal(one.patch, other.patch)
            np.testing.assert_array_equal(one.alpha, other.alpha)


class Lids:
    """Lays over some frames what can be told from the row, the head and the picture alone."""

    def patch(self, row: int, picture: Any, filmed: TrackCoefficients) -> Patch | None:
        if row % 3 == 1:
            return None
        seen = picture.rgb((140, 60, 180, 76)).astype(np.float32) / 255
        seen = cv2.GaussianBlur(seen, (0, 0), 2.0) + 0.01 * row
        seen += 0 if picture.patch is None else picture.patch.mean()  # the new mouth is there
        seen += float(filmed.rotation.sum())
        return Patch(seen, np.full(seen.shape[:2], 0.5, np.float32), 140, 60)


def dressed(studio: Studio) -> Studio:
    """With grain, as footage has it, and a jaw that is followed."""
    noise = np.random.default_rng(8).normal(scale=0.05, size=(TILE_PX, TILE_PX, 3))
    config = replace(studio.config, jaw=JawConfig())
    assert config.jaw.strength > 0
    assert config.seam.grain > 0
    return replace(studio, grain=Grain(np.float32(noise), np.ones(8, np.float32)), config=config)


LONG = [0, 1, 2, 3, 4, 3, 2, 1, 0]


def perform_with_lids() -> Performance:
    strength = [1.0, 0.5, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 1.0]
    performance = perform(LONG, strength)
    wide = performance.expression.clone()
    wide[:, 0] = torch.linspace(-2, 2, len(LONG))  # jaws far from the filmed ones
    return replace(performance, expression=wide, eyes=Lids())


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """As a drive does: each worker is a thread, and what it calls has none of its own."""
    with one_thread_each():
        yield


def mouth_difference(one: list[Revoiced], other: list[Revoiced]) -> list[float]:
    """How far the patches of the frames with a whole new mouth are apart."""
    return [
        float(np.abs(a.patches[0].picture - b.patches[0].picture).max())
        if a.patches[0].alpha.shape == b.patches[0].alpha.shape
        else np.inf
        for row, (a, b) in enumerate(zip(one, other, strict=True))
        if row not in (2, 7)
    ]


def test_grain_jaw_and_lids_are_all_at_work(studio: Studio):
    """Else the tests below would say nothing."""
    full, performance = dressed(studio), perform_with_lids()
    made = list(revoice(footage(LONG), performance, full))
    assert [len(frame.patches) for frame in made] == [2, 1, 1, 2, 1, 2, 2, 0, 2]
    plain = list(revoice(footage(LONG), performance, replace(full, grain=None)))
    assert min(mouth_difference(made, plain)) > 0.05
    still = replace(full, config=replace(full.config, jaw=JawConfig(strength=0.0)))
    stays = list(revoice(footage(LONG), performance, still))
    assert max(mouth_difference(made, stays)) > 0.05


@pytest.mark.parametrize("workers", [2, 4])
def test_workers_do_not_change_grain_jaw_or_lids(studio: Studio, one_thread: None, workers: int):
    full, performance = dressed(studio), perform_with_lids()
    alone = list(revoice(footage(LONG), performance, full))
    for _ in range(2):
        together = list(revoice(footage(LONG), performance, full, workers))
        require_alike(alone, together, 0.0)


@pytest.mark.parametrize("batch", [1, 3, 8])
def test_batches_do_not_change_grain_jaw_or_lids(studio: Studio, batch: int):
    full, performance = dressed(studio), perform_with_lids()
    other = replace(full, config=replace(full.config, batch=batch))
    made = list(revoice(footage(LONG), performance, full))
    # noise footage: OpenCV's places are whole 32nds of a pixel, whichever way they round
    require_alike(made, list(revoice(footage(LONG), performance, other)), 0.02)


def require_alike(some: list[Revoiced], others: list[Revoiced], atol: float) -> None:
    assert len(some) == len(others) == len(LONG)
    for one, other in zip(some, others, strict=True):
        np.testing.assert_array_equal(one.picture.pixels, other.picture.pixels)
        assert len(one.patches) == len(other.patches)
        for patch, same in zip(one.patches, other.patches, strict=True):
            assert (patch.left, patch.top) == (same.left, same.top)
            np.testing.assert_array_equal(patch.alpha, same.alpha)
            np.testing.assert_allclose(patch.picture, same.picture, rtol=0, atol=atol)


def test_another_mouth_gives_another_picture_but_the_same_mask(studio: Studio):
    one, other = perform([2], [1.0]), perform([2], [1.0])
    open_mouth = replace(other, expression=torch.tensor([[1.0, 0.0, 0.0, 0.0]]))
    # what is drawn along with the jaw reaches as far as the jaw moves
    still = replace(studio, config=replace(studio.config, jaw=JawConfig(strength=0.0)))
    (first,), (second,) = (
        pictures_of(revoice(footage([2]), each, still)) for each in (one, open_mouth)
    )
    np.testing.assert_array_equal(first.alpha, second.alpha)
    assert np.abs(first.patch - second.patch).max() > 1e-3


def test_a_crop_beside_the_frame_leaves_the_picture(studio: Studio):
    performance = perform([0, 1, 2], [1.0, 1.0, 1.0])
    away = performance.transforms.copy()
    away[..., 2] += 1e4
    pictures = footage([0, 1, 2])
    shown = pictures_of(revoice(pictures, replace(performance, transforms=away), studio))
    assert all(a is b for a, b in zip(shown, pictures, strict=True))


def test_footage_is_drawn_as_it_is_needed(studio: Studio):
    drawn: list[int] = []

    def source():
        for number, picture in enumerate(footage([0, 1, 2, 3, 4])):
            drawn.append(number)
            yield picture

    shown = revoice(source(), perform([0, 1, 2, 3, 4], [0.0] * 5), studio)
    next(shown)
    assert drawn == [0, 1]  # one batch


def test_a_performance_checks_its_shapes():
    with pytest.raises(ShapeError, match="strength"):
        replace(perform([0, 1, 2], [1.0] * 3), strength=np.ones(4, np.float32))
    with pytest.raises(ShapeError, match="expression"):
        replace(perform([0, 1, 2], [1.0] * 3), expression=torch.zeros(2, 4))
    with pytest.raises(ShapeError, match="filmed"):
        replace(perform([0, 1, 2], [1.0] * 3), filmed=TRACK.take([0, 1]))
    with pytest.raises(ShapeError, match="transforms"):
        replace(perform([0, 1, 2], [1.0] * 3), transforms=transforms()[:2])


def test_the_new_face_fades_where_the_track_is_lost():
    has_face = np.array([1, 1, 1, 1, 1, 0, 0, 1, 1, 1, 1], bool)
    strength = presence(has_face, np.array([[0, 11]]), 3)
    assert strength.dtype == np.float32
    assert strength.tolist() == [1, 1, 0.75, 0.5, 0.25, 0, 0, 0.25, 0.5, 0.75, 1]


def test_a_cut_needs_no_fade():
    has_face = np.array([1, 1, 1, 0, 0, 0], bool)
    strength = presence(has_face, np.array([[0, 3], [3, 6]]), 4)
    assert strength.tolist() == [1, 1, 1, 0, 0, 0]


def test_no_fade_is_a_switch():
    has_face = np.array([1, 0, 1, 1], bool)
    assert presence(has_face, np.array([[0, 4]]), 0).tolist() == [1, 0, 1, 1]
    assert presence(np.ones(3, bool), np.array([[0, 3]]), 4).tolist() == [1, 1, 1]
    assert presence(np.zeros(3, bool), np.array([[0, 3]]), 4).tolist() == [0, 0, 0]


@given(st.lists(st.booleans(), min_size=2, max_size=30), st.integers(0, 5), st.integers(1, 29))
def test_presence_counts_frames_to_the_nearest_loss(seen: list[bool], fade: int, cut: int):
    total = len(seen)
    shots = [[0, cut], [cut, total]] if cut < total else [[0, total]]
    strength = presence(np.array(seen), np.array(shots), fade)
    for first, end in shots:
        lost = [frame for frame in range(first, end) if not seen[frame]]
        for frame in range(first, end):
            away = min((abs(frame - other) for other in lost), default=np.inf)
            assert strength[frame] == pytest.approx(min(away / (fade + 1), 1.0))
