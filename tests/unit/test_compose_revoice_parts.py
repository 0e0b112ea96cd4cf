"""A part of a result is what the whole shows there; eyes come last; no depth is lost."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from face_toys import CAMERA, toy_model, toy_track
from torch import nn

from metatalk.compose import revoice as module
from metatalk.compose.blend import Patch
from metatalk.compose.config import DriveConfig
from metatalk.compose.fallback.foreground_masks import Foreground
from metatalk.compose.revoice import Performance, Revoiced, Studio, revoice
from metatalk.morphable.coefficients import PersonCoefficients, TrackCoefficients
from metatalk.neural.generator import Generator
from metatalk.neural.pix2pix import Pix2PixGenerator, count_halvings
from metatalk.render.scene import Scene

FRAMES, SIZE = 9, 32
TRACK = toy_track(FRAMES)
ONES = np.ones(FRAMES, np.float32)
SCENE = Scene(toy_model(), PersonCoefficients(torch.zeros(3), torch.zeros(6)), CAMERA, SIZE)
NOISE = np.random.default_rng(0).integers(5, 250, (CAMERA.height, CAMERA.width, 3), np.uint8)


@dataclass(frozen=True, eq=False)
class Frame:
    """A frame of the footage of any depth; it notes what is laid over it and how it was read."""

    number: int
    bits: int = 8
    lighter: float = 0.0  # by what is lost in bytes
    laid: tuple[Patch, ...] = ()
    read: list[str] = field(default_factory=list)

    width, height = CAMERA.width, CAMERA.height

    def rgb(self, box: tuple[int, int, int, int] | None = None) -> np.ndarray:
        self.read.append("rgb")
        return self._cut(box)

    def rgb_float(self, box: tuple[int, int, int, int] | None = None) -> np.ndarray:
        self.read.append("rgb_float")
        return (self._cut(box) / 255 + self.lighter).astype(np.float32)

    def _cut(self, box: tuple[int, int, int, int] | None) -> np.ndarray:
        left, top, right, bottom = box or (0, 0, self.width, self.height)
        return np.roll(NOISE, self.number, 1)[top:bottom, left:right]

    def with_patch(self, patch: np.ndarray, alpha: np.ndarray, left: int, top: int) -> Frame:
        return replace(self, laid=(*self.laid, Patch(patch, alpha, left, top)))


@cache
def transforms() -> np.ndarray:
    return SCENE.transforms(TRACK, SCENE.measure_layout(TRACK, 0.2), 0.0, np.array([[0, FRAMES]]))


def studio_of(generator: nn.Module | None = None, **config: Any) -> Studio:
    torch.manual_seed(0)
    ready = (generator or Generator((8, 8, 8, 8))).eval().requires_grad_(False)
    return Studio(SCENE, ready, DriveConfig(**{"batch": 1, **config}))


def perform(eyes: Any = None, strength: np.ndarray | None = None) -> Performance:
    expression = torch.rand(FRAMES, 4, generator=torch.Generator().manual_seed(5))
    shown = np.ones(FRAMES, np.float32) if strength is None else strength
    return Performance(np.arange(FRAMES), TRACK, transforms(), expression, shown, eyes=eyes)


def footage(first: int = 0, end: int = FRAMES, bits: int = 8) -> list[Frame]:
    return [Frame(number, bits) for number in range(first, end)]


def require_same(one: Revoiced, other: Revoiced) -> None:
    assert one.picture.number == other.picture.number
    assert len(one.picture.laid) == len(other.picture.laid)
    for patch, wanted in zip(one.picture.laid, other.picture.laid, strict=True):
        assert (patch.left, patch.top) == (wanted.left, wanted.top)
        np.testing.assert_array_equal(patch.picture, wanted.picture)
        np.testing.assert_array_equal(patch.alpha, wanted.alpha)


@pytest.mark.parametrize("kind", ["ours", "pix2pix"])
@pytest.mark.parametrize(("first", "end"), [(0, 3), (3, 6), (8, 9)])
def test_a_part_is_the_very_part_of_the_whole(kind: str, first: int, end: int) -> None:
    """One of the networks also sees the synthetic faces before and after."""
    network = Pix2PixGenerator(count_halvings(SIZE), 4) if kind == "pix2pix" else None
    performance, studio = perform(), studio_of(network)
    whole = list(revoice(footage(), performance, studio))
    part = list(revoice(footage(first, end), performance, studio, first=first))
    assert len(part) == end - first
    for one, other in zip(part, whole[first:end], strict=True):
        assert len(one.picture.laid) == 1
        require_same(one, other)


@pytest.mark.parametrize(
    ("frames", "touched"),
    [
        ([0, 1, 2, 3, 4, 5, 6, 7, 8], range(1, 8)),
        ([8, 7, 6, 5, 4, 3, 2, 1, 0], range(1, 8)),
        ([0, 1, 2, 3, 4, 50, 51, 52, 53], range(1, 5)),
        ([50, 51, 52, 3, 4, 5, 6, 90, 91], range(3, 7)),
    ],
)
def test_a_network_that_looks_around_does_not_look_across_a_jump(
    frames: list[int], touched: range
) -> None:
    """It sees three frames to either side; another face in the middle one is seen by those."""
    studio = studio_of(Pix2PixGenerator(count_halvings(SIZE), 4))
    performance = replace(perform(), frames=np.array(frames))
    other = performance.expression.clone()
    other[4] = 1 - other[4]
    plain = list(revoice(footage(), performance, studio))
    changed = list(revoice(footage(), replace(performance, expression=other), studio))
    differ = [
        not np.array_equal(one.patches[0].picture, two.patches[0].picture)
        for one, two in zip(plain, changed, strict=True)
    ]
    assert np.flatnonzero(differ).tolist() == list(touched)


def test_the_patches_need_not_be_kept() -> None:
    performance, studio = perform(), studio_of()
    kept = list(revoice(footage(), performance, studio))
    dropped = list(revoice(footage(), performance, studio, keep_patches=False))
    assert all(frame.patches for frame in kept)
    assert not any(frame.patches for frame in dropped)
    for one, other in zip(dropped, kept, strict=True):
        require_same(one, other)


class Lids:
    """Lays a grey square over the frames it is told to."""

    def __init__(self, numbers: set[int]) -> None:
        self.numbers = numbers
        self.seen: dict[int, tuple[Any, TrackCoefficients]] = {}

    def patch(self, row: int, picture: Any, filmed: TrackCoefficients) -> Patch | None:
        self.seen[row] = picture, filmed
        if row not in self.numbers:
            return None
        grey = np.full((4, 6, 3), 0.5, np.float32)
        return Patch(grey, np.ones((4, 6), np.float32), 150, 60 + row)


def test_eyes_are_laid_over_the_new_mouth_of_their_own_frame() -> None:
    lids = Lids({2, 5})
    made = list(revoice(footage(), perform(lids), studio_of(batch=2)))
    assert sorted(lids.seen) == list(range(FRAMES))
    for row, frame in enumerate(made):
        assert len(frame.patches) == (2 if row in lids.numbers else 1)
        for laid, told in zip(frame.picture.laid, frame.patches, strict=True):
            np.testing.assert_array_equal(laid.picture, told.picture)
            np.testing.assert_array_equal(laid.alpha, told.alpha)
        picture, filmed = lids.seen[row]
        assert picture.number == row
        assert len(picture.laid) == 1  # the mouth is there already
        assert torch.equal(filmed.rotation[0], TRACK.rotation[row])
    assert [frame.patches[-1].top for frame in made if len(frame.patches) == 2] == [62, 65]


def test_eyes_change_where_the_mouth_does_not() -> None:
    strength = np.zeros(FRAMES, np.float32)
    strength[4] = 1
    pictures = footage()
    made = list(revoice(pictures, perform(Lids({1}), strength), studio_of(batch=4)))
    assert [len(frame.patches) for frame in made] == [0, 1, 0, 0, 1, 0, 0, 0, 0]
    assert all(made[n].picture is pictures[n] for n in (0, 2, 3, 5, 6, 7, 8))


def test_a_part_has_the_eyes_of_the_whole() -> None:
    whole, part = Lids({2, 5, 7}), Lids({2, 5, 7})
    wanted = list(revoice(footage(), perform(whole), studio_of()))
    made = list(revoice(footage(4, 8), perform(part), studio_of(), first=4))
    assert sorted(part.seen) == [4, 5, 6, 7]
    for one, other in zip(made, wanted[4:8], strict=True):
        require_same(one, other)


@pytest.mark.parametrize("bits", [8, 10])
def test_the_footage_is_read_at_its_own_depth(bits: int) -> None:
    pictures = footage(bits=bits)
    list(revoice(pictures, perform(), studio_of()))
    for picture in pictures:
        assert ("rgb_float" in picture.read) == (bits > 8)
        assert "rgb" in picture.read  # the network sees bytes


def test_what_bytes_cannot_tell_is_laid_over_a_deep_frame() -> None:
    """Two frames of the same bytes: only where they are read deeper is one of them lighter."""

    def laid(bits: int, lighter: float) -> Patch:
        frame = Frame(0, bits, lighter=lighter)
        (patch,) = next(iter(revoice([frame], perform(), studio_of()))).patches
        return patch

    for bits in (8, 10):
        dark, light = laid(bits, 0.0), laid(bits, 0.4 / 255)
        np.testing.assert_array_equal(dark.alpha, light.alpha)
        rim = (dark.alpha > 0) & (dark.alpha < 0.05)
        risen = float((light.picture - dark.picture)[rim].mean()) * 255
        assert rim.sum() > 10
        assert risen == pytest.approx(0.4 if bits > 8 else 0.0, abs=0.1)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_what_stands_before_the_face_is_drawn_around_before_patches_are_mixed(
    share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a mixed patch is not laid it is black, and would be taken for skin."""
    done: list[str] = []
    follow, mix = module.follow_jaw, module.mix_patches

    def beside(patch: Patch, *rest: Any) -> Patch:
        assert patch.picture[patch.alpha == 0].min(initial=1.0) > 0  # nobody's skin is black
        done.append("beside")
        return patch

    def mixed(*patches: Any) -> Any:
        done.append("mix")
        return mix(*patches)

    monkeypatch.setattr(module, "follow_jaw", lambda *args: replace(follow(*args), share=share))
    monkeypatch.setattr(module, "draw_beside", beside)
    monkeypatch.setattr(module, "mix_patches", mixed)
    nothing = Foreground(np.array([[0, 9]]), np.zeros((1, 4), int), (np.zeros(0, np.uint8),), ONES)
    studio = replace(studio_of(), standing=nothing)
    list(revoice(footage(0, 1), perform(), studio))
    wanted = {0.0: ["beside", "mix"], 0.5: ["beside", "beside", "mix"], 1.0: ["beside"]}
    assert done == wanted[share]
