"""Talking tracks: which frames at 25 a second, which stretches, which pixels."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prepared_corpora import face_in

from metatalk.landmarks.detector import Face
from metatalk.lipsync.faces import crop_face
from metatalk.lipsync.tracks import (
    Stretch,
    choose_stretches,
    cut_face,
    cut_sound,
    face_window,
    frames_at_rate,
)
from metatalk.media.colour import ColourTags
from metatalk.media.picture import Picture
from metatalk.stages.lipsync_glimpses import GlimpsedFaces, reduce_picture

# -- times -----------------------------------------------------------------------------------------


def test_25_frames_a_second_stay_as_they_are() -> None:
    np.testing.assert_array_equal(frames_at_rate(7 + np.arange(50) / 25), np.arange(50))


@given(st.lists(st.integers(1, 90), min_size=2, max_size=120), st.floats(0, 3), st.floats(0.1, 9))
def test_each_frame_is_the_nearest_one(steps: list[int], start: float, end: float) -> None:
    seconds = start + np.cumsum([0, *steps]) / 1000
    frames = frames_at_rate(seconds, start + end)
    wanted = seconds[0] + np.arange(len(frames)) / 25
    off = np.abs(seconds[frames] - wanted)
    assert np.all(off <= np.abs(seconds[:, None] - wanted).min(axis=0) + 1e-6)
    assert len(frames) <= end * 25 + 1
    assert np.all(np.diff(frames) >= 0)


def test_every_rate_is_seen_at_25_frames_a_second() -> None:
    assert frames_at_rate(np.arange(6) / 30).tolist() == [0, 1, 2, 4, 5]  # 0, 1.2, 2.4, 3.6, 4.8
    assert frames_at_rate(np.arange(7) / 50).tolist() == [0, 2, 4]
    assert frames_at_rate(np.arange(3) / 12.5).tolist() == [0, 0, 1, 1, 2, 2]
    assert len(frames_at_rate(np.arange(300) * 1001 / 30_000)) == 250
    uneven = np.array([0.0, 0.01, 0.09, 0.12])
    assert frames_at_rate(uneven).tolist() == [0, 1, 2]
    assert frames_at_rate(uneven, 0.08).tolist() == [0, 1]
    assert frames_at_rate(np.zeros(0)).tolist() == []


def test_a_slow_clip_repeats_its_frames_and_keeps_its_length() -> None:
    frames = frames_at_rate(np.arange(135) * 61 / 1350)
    assert len(frames) == int(135 * 61 / 1350 * 25)
    assert set(frames.tolist()) == set(range(135))
    assert np.bincount(frames).max() == 2


# -- stretches -------------------------------------------------------------------------------------

LOUD = np.random.default_rng(0).normal(0, 0.1, 16_000 * 8).astype(np.float32)


def stretches(runs: list[tuple[int, int]], sound: np.ndarray = LOUD, side: float = 80.0):
    boxes = np.tile(np.array([0, 0, side, side], np.float32), (200, 1))
    return choose_stretches(runs, boxes, np.arange(200) / 25, sound, 1.0)


def test_short_stretches_are_left_out() -> None:
    found, fault = stretches([(0, 24), (30, 80), (90, 115)])
    assert [(s.frames[0], len(s.frames)) for s in found] == [(30, 50), (90, 25)]
    assert found[0].start_s == pytest.approx(30 / 25)
    assert fault == ""


@pytest.mark.parametrize(
    ("runs", "sound", "side", "fault"),
    [
        ([(0, 24), (30, 42)], LOUD, 80.0, "seen and heard for 0.96 s at a stretch, not 1 s"),
        ([], LOUD, 80.0, "no face"),
        ([(0, 75)], LOUD * 1e-4, 80.0, "silent"),
        ([(0, 75)], LOUD, 28.0, "28 pixels"),
        ([(50, 125)], LOUD[: 16_000 * 2], 80.0, "heard for 0.00 s"),
    ],
)
def test_of_no_stretch_it_is_said_why(runs, sound, side, fault) -> None:  # type: ignore[no-untyped-def]
    found, said = stretches(runs, sound, side)
    assert found == []
    assert fault in said


def test_a_track_ends_where_its_sound_does() -> None:
    found, _ = stretches([(25, 150)], LOUD[: 16_000 * 3])
    assert len(found[0].frames) == 50


def test_sound_begins_with_the_first_frame_and_is_filled_up() -> None:
    samples = np.arange(1, 32_001, dtype=np.float32)
    cut = cut_sound(samples, Stretch(1.5, tuple(range(10))))
    assert len(cut) == round((10 / 25 + 0.2) * 16_000)
    assert cut[0] == 24_001
    assert cut[7999] == 32_000
    assert not cut[8000:].any()


# -- pixels ----------------------------------------------------------------------------------------


def natural(height: int, width: int) -> np.ndarray:
    """(H, W, 3) uint8 with about as much detail at every size as photographs have."""
    chance = np.random.default_rng(5)
    total = np.zeros((height, width, 3), np.float32)
    for step in (2, 4, 8, 16, 32, 64, 128):
        coarse = chance.normal(0, step**0.7, (height // step + 2, width // step + 2, 4))
        grown = cv2.resize(coarse.astype(np.float32), None, fx=step, fy=step)[:height, :width]
        total += 1.5 * grown[..., 3:] + 0.3 * grown[..., :3]
    return np.clip(128 + total, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("side", [52.4, 75.6, 130.2, 301.7])
def test_the_middle_of_a_stored_face_is_the_generators_crop(side: float) -> None:
    picture = natural(600, 700)
    box = (201.3, 142.8, 201.3 + side, 142.8 + 1.25 * side)
    middle = cut_face(picture, box)[16:112, 16:112]
    assert np.abs(middle - crop_face(picture, box).astype(float)).mean() < 2
    elsewhere = crop_face(picture, [edge + 0.08 * side for edge in box])
    assert np.abs(middle - elsewhere.astype(float)).mean() > 4  # the measure can tell


def test_beyond_the_picture_its_edge_is_repeated() -> None:
    picture = natural(100, 100)
    cut = cut_face(picture, (-10.0, -10.0, 86.0, 86.0))  # one pixel to one, 26 of them outside
    assert np.ptp(cut[:26].astype(int), axis=0).max() == 0
    np.testing.assert_array_equal(cut[26:126, 26:126], picture[:100, :100])


def from_rgb(rgb: np.ndarray) -> Picture:
    """A picture of BT.601 4:2:0 planes, of even size."""
    height, width = rgb.shape[:2]
    planes = cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420).reshape(-1)
    luma, rest = planes[: height * width], planes[height * width :]
    u, v = rest.reshape(2, height // 2, width // 2)
    return Picture(0, 0, (luma.reshape(height, width), u, v), ColourTags(6, 6, 6, False))


@pytest.mark.parametrize("scale", [2, 3])
def test_a_reduced_picture_is_the_average_of_the_whole(scale: int) -> None:
    picture = from_rgb(natural(240, 360))
    reduced = reduce_picture(picture, scale).rgb()
    whole = cv2.resize(picture.rgb(), reduced.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert reduced.shape == (240 // scale, 360 // scale, 3)
    assert np.abs(reduced - whole.astype(float)).mean() < 1
    assert reduce_picture(picture, 1) is picture


class _OneFace:
    layout = "ibug68"

    def __init__(self, face: Face | None) -> None:
        self.face = face

    def detect(self, picture: np.ndarray) -> list[Face]:
        return [self.face] if self.face else []

    def reset(self) -> None: ...


@pytest.mark.parametrize(
    ("height", "side"), [(400, 60), (400, 210), (960, 110), (960, 400), (1920, 300)]
)
def test_a_kept_face_is_as_good_as_the_picture(tmp_path: Path, height: int, side: int) -> None:
    picture = from_rgb(natural(height, height + 40))
    left, top = height * 0.31, height * 0.27
    box = [left, top, left + side, top + 1.2 * side]
    scale = max(height // 480, 1)
    face = face_in((box[0], box[1], box[2], box[3]), 1 / scale)
    with GlimpsedFaces(_OneFace(face), tmp_path) as glimpsed:
        for reduced in glimpsed.pictures([picture]):
            glimpsed.detect(reduced)
        assert glimpsed.scale == scale
        assert glimpsed.covers(0, box)
        moved = [edge + 0.1 * side for edge in box]
        for each in (box, moved):
            kept = glimpsed.cut(0, each)
            exact = cut_face(picture.rgb(), each)
            assert np.abs(kept - exact.astype(float)).mean() < 2
        assert not glimpsed.covers(0, [edge + side for edge in box])


def test_at_the_pictures_edge_nothing_is_missing(tmp_path: Path) -> None:
    picture = from_rgb(natural(200, 300))
    box = [230.0, 120.0, 296.0, 196.0]
    _, _, right, bottom = face_window(box)
    assert right > 300
    assert bottom > 200
    with GlimpsedFaces(_OneFace(face_in((230.0, 120.0, 296.0, 196.0))), tmp_path) as glimpsed:
        for reduced in glimpsed.pictures([picture]):
            glimpsed.detect(reduced)
        assert glimpsed.covers(0, box)
        np.testing.assert_array_equal(glimpsed.cut(0, box), cut_face(picture.rgb(), box))


def test_a_face_out_of_sight_is_kept_where_it_was(tmp_path: Path) -> None:
    pictures = [from_rgb(natural(200, 300))] * 3
    found = face_in((100.0, 60.0, 160.0, 130.0))
    detector = _OneFace(found)
    box = [104.0, 60.0, 164.0, 130.0]
    with GlimpsedFaces(detector, tmp_path) as glimpsed:
        for number, reduced in enumerate(glimpsed.pictures(pictures)):
            detector.face = found if number == 0 else None
            if number == 2:
                glimpsed.reset()  # another scene
            glimpsed.detect(reduced)
        assert [glimpsed.covers(frame, box) for frame in range(3)] == [True, True, False]
    assert list(tmp_path.iterdir()) == []
