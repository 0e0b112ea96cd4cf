"""Moments between two filmed frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from metatalk.compose.retiming.halfway import halfway, retimed_pictures
from metatalk.compose.retiming.plan import FramePlan
from metatalk.errors import ShapeError
from metatalk.media.colour import ColourTags
from metatalk.media.picture import Picture
from metatalk.media.video import read_pictures

TAGS = ColourTags()


def scene(shift: float, deep: bool = False) -> Picture:
    """Soft blobs on a ground that stands still, moved to the right by `shift` pixels."""
    rng = np.random.default_rng(7)
    field = cv2.GaussianBlur(rng.random((160, 240)).astype(np.float32), (0, 0), 6)
    field = (field - field.min()) / np.ptp(field)
    rows, columns = np.mgrid[0:160, 0:240].astype(np.float32)
    patch = cv2.remap(field, columns - np.float32(shift), rows, cv2.INTER_CUBIC)
    face = np.hypot(columns - shift - 110, rows - 80) < 50
    luma = np.where(face, 0.2 + 0.6 * patch, 0.5 + 0.1 * field)
    luma = cv2.GaussianBlur(luma.astype(np.float32), (0, 0), 1.2)
    top = 1023 if deep else 255
    kind = np.uint16 if deep else np.uint8
    y = np.rint(luma * top).astype(kind)
    u, v = (
        np.ascontiguousarray(cv2.resize(y, (120, 80), interpolation=cv2.INTER_AREA) // share)
        for share in (2, 3)
    )
    return Picture(int(shift), 40 * int(shift), (y, u, v), TAGS, bits=10 if deep else 8)


def error(one: Picture, other: Picture, plane: int = 0) -> float:
    difference = one.planes[plane].astype(float) - other.planes[plane]
    return float(np.sqrt(np.mean(difference**2)))


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
def test_a_moment_between_lies_between(share):
    first, second, wanted = scene(0), scene(8), scene(8 * share)
    made = halfway(first, second, share)
    for plane in (0, 1, 2):
        nearest = min(error(first, wanted, plane), error(second, wanted, plane))
        assert error(made, wanted, plane) < nearest / 2
    y, u, v = (a // 2 + b // 2 for a, b in zip(first.planes, second.planes, strict=True))
    mean = replace(first, planes=(y, u, v))
    assert error(made, wanted) < error(mean, wanted)
    assert (made.index, made.pts) == (first.index, first.pts)


def test_the_ends_are_the_pictures_themselves():
    first, second = scene(0), scene(6)
    assert halfway(first, second, 0) is first
    end = halfway(first, second, 1)
    assert all(np.array_equal(a, b) for a, b in zip(end.planes, second.planes, strict=True))
    assert (end.index, end.pts) == (first.index, first.pts)


def test_ten_bits_stay_ten_bits():
    made = halfway(scene(0, True), scene(8, True), 0.5)
    assert made.planes[0].dtype == np.uint16
    assert made.bits == 10
    assert int(made.planes[0].max()) <= 1023
    coarse, wanted = halfway(scene(0), scene(8), 0.5), scene(4, True)
    assert error(made, wanted) < error(scene(0, True), wanted) / 2
    assert np.abs(made.planes[0] / 1023 - coarse.planes[0] / 255).mean() < 0.01


def test_grain_does_not_breathe():
    """Grain differs from picture to picture; a mean of two would show it at 0.7 of its height."""
    rng = np.random.default_rng(0)
    grainy = []
    for picture in (scene(0), scene(4)):
        y = picture.planes[0] + rng.normal(0, 4, (160, 240))
        planes = (np.clip(y, 0, 255).astype(np.uint8), *picture.planes[1:])
        grainy.append(replace(picture, planes=planes))
    fine = []
    for picture in (halfway(*grainy, 0.5), *grainy):
        y = picture.planes[0].astype(float)
        fine.append((y - cv2.GaussianBlur(y, (0, 0), 1.5)).std())
    assert fine[0] > 0.85 * fine[1]


def test_unlike_pictures_and_shares_are_refused():
    whole = scene(0)
    y, u, v = (plane[: len(plane) // 2].copy() for plane in whole.planes)
    small = replace(whole, planes=(y, u, v))
    with pytest.raises(ShapeError, match="unlike"):
        halfway(scene(0), small, 0.5)
    with pytest.raises(ShapeError, match="unlike"):
        halfway(scene(0), scene(0, True), 0.5)
    with pytest.raises(ShapeError, match="not in"):
        halfway(scene(0), scene(1), 1.5)


def plan_of(frames: list[int], moments: dict[int, tuple[int, float]]) -> FramePlan:
    towards, share = np.array(frames), np.zeros(len(frames), np.float32)
    for n, (frame, part) in moments.items():
        towards[n], share[n] = frame, part
    return FramePlan(np.array(frames), np.arange(len(frames)), Fraction(1, 25), towards, share)


def test_pictures_come_as_planned_and_are_read_stretch_by_stretch():
    pictures = [scene(t) for t in range(12)]
    asked: list[int] = []

    def read(order: list[int]) -> Iterator[Picture]:
        asked.extend(order)
        return (pictures[t] for t in order)

    plan = plan_of([0, 1, 1, 2, 3, 9, 8], {2: (2, 0.5), 4: (10, 0.3), 5: (4, 0.4)})
    shown = list(retimed_pictures(plan, read))
    assert asked == [0, 1, 1, 2, 2, 3, 4, 9, 10, 8]
    for n, picture in enumerate(shown):
        if plan.is_filmed[n]:
            assert picture is pictures[plan.frames[n]]
        else:
            own, other = int(plan.frames[n]), int(plan.towards[n])
            wanted = halfway(pictures[own], pictures[other], float(plan.share[n]))
            assert error(picture, wanted) == 0
            assert picture.index == own
    plain = FramePlan(np.array([3, 2, 2]), np.arange(3), Fraction(1, 25))
    assert [p.index for p in retimed_pictures(plain, read)] == [3, 2, 2]


def test_a_real_head_is_met_half_way(shared_clips: Path):
    """The frame between two is known: it is the one that was left out."""
    first, between, second = islice(read_pictures(shared_clips / "senator.mp4"), 60, 63)
    made = halfway(first, second, 0.5)
    assert error(made, between) < 0.4 * error(first, between)
    fine = [
        np.std(y - cv2.GaussianBlur(y, (0, 0), 1.5))
        for y in (p.planes[0].astype(np.float32) for p in (made, between))
    ]
    assert fine[0] == pytest.approx(fine[1], rel=0.1)
