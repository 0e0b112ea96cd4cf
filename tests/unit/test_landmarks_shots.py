"""Cuts are found, and what only looks like one is not."""

from __future__ import annotations

import numpy as np
import pytest

from metatalk.landmarks.shots import ChangeWatch, find_shots, make_thumbnail

_FRAMES = 60


def _room(seed: int) -> np.ndarray:
    """A smooth random picture, (48, 48) float."""
    coarse = np.random.default_rng(seed).uniform(40, 210, (6, 6))
    return np.kron(coarse, np.ones((8, 8)))


def _points(centres: np.ndarray) -> np.ndarray:
    """A rigid face of 12 points, 100 px wide, carried along (T, 2) centres."""
    points = np.random.default_rng(5).uniform(-50, 50, (1, 12, 2)) + centres[:, None]
    return points + np.random.default_rng(6).normal(0, 0.05, points.shape)


def _clip(background: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Thumbnails, (T, 48, 48) uint8, of a bright block that moves before a background."""
    grey = np.broadcast_to(background, (len(centres), 48, 48)).copy()
    for frame, (x, y) in enumerate((centres / 10).round().astype(int)):
        grey[frame, y - 8 : y + 8, x - 6 : x + 6] = 230
    noise = np.random.default_rng(7).normal(0, 1, grey.shape)
    return np.clip(grey + noise, 0, 255).astype(np.uint8)


def _sway(frames: int = _FRAMES) -> np.ndarray:
    time = np.arange(frames)
    return np.stack([240 + 60 * np.sin(time / 9), 240 + 20 * np.sin(time / 5)], axis=1)


def _cuts(thumbnails: np.ndarray, points: np.ndarray, sensitivity: float = 1.0) -> list[int]:
    return find_shots(thumbnails, points, sensitivity)[1:, 0].tolist()


def test_motion_is_no_cut():
    centres = _sway()
    assert _cuts(_clip(_room(0), centres), _points(centres)) == []


def test_new_scene_is_a_cut_even_without_a_face():
    centres = _sway()
    thumbnails = _clip(_room(0), centres)
    thumbnails[25:] = _clip(_room(1), centres)[25:]
    assert _cuts(thumbnails, np.full((_FRAMES, 12, 2), np.nan)) == [25]


def test_scenes_a_few_frames_apart_are_all_found():
    centres = _sway()
    clips = [_clip(_room(seed), centres) for seed in range(3)]
    thumbnails = np.concatenate([clips[0][:25], clips[1][25:28], clips[2][28:]])
    assert _cuts(thumbnails, _points(centres)) == [25, 28]


def test_jump_cut_before_the_same_background_is_found():
    centres = _sway()
    centres[30:] += [70, 20]
    assert _cuts(_clip(_room(0), centres), _points(centres)) == [30]


def test_flash_is_no_cut():
    centres = _sway()
    thumbnails = _clip(_room(0), centres)
    thumbnails[30] = 255 - thumbnails[30] // 4
    assert _cuts(thumbnails, _points(centres)) == []


def test_caption_under_a_steady_face_is_no_cut():
    centres = _sway()
    thumbnails = _clip(_room(0), centres)
    thumbnails[30:, 42:46, 8:40] = 250
    assert _cuts(thumbnails, _points(centres)) == []


def test_dropped_frames_are_no_cuts():
    centres = _sway(2 * _FRAMES)[np.r_[0:30, 32 : _FRAMES + 2]]
    assert _cuts(_clip(_room(0), centres), _points(centres)) == []


def test_sensitivity_zero_finds_nothing_and_the_shot_covers_the_clip():
    thumbnails = np.stack([np.zeros((48, 48)), np.full((48, 48), 255)]).astype(np.uint8)
    shots = find_shots(thumbnails, np.full((2, 12, 2), np.nan), 0.0)
    assert shots.tolist() == [[0, 2]]


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_very_short_clips_are_one_shot(frames: int):
    centres = _sway(frames)
    assert _cuts(_clip(_room(0), centres), _points(centres)) == []


def test_watch_reports_another_scene_at_once():
    watch = ChangeWatch()
    seen = [watch.is_new_scene(_room(0).astype(np.uint8)) for _ in range(5)]
    assert not any(seen)
    assert watch.is_new_scene(_room(1).astype(np.uint8))


@pytest.mark.parametrize("size", [(48, 48), (17, 500), (1080, 1920)])
def test_thumbnail_keeps_the_mean_of_any_picture(size: tuple[int, int]):
    picture = np.full((*size, 3), 120, np.uint8)
    thumbnail = make_thumbnail(picture)
    assert thumbnail.shape == (48, 48)
    assert np.all(np.abs(thumbnail.astype(int) - 120) <= 1)
