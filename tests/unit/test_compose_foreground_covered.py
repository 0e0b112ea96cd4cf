"""A sheet of paper before a face leads its fit astray: its frames tell nothing of what stands."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from face_toys import CAMERA
from mouth_toys import PERSON, facing_track, mouth_model

from metatalk.compose.fallback.foreground import tell_bare
from metatalk.compose.fallback.foreground_masks import Foreground
from metatalk.compose.fallback.foreground_watch import FINE_SIDE, ForegroundWatch
from metatalk.compose.fallback.surface_grid import build_grid
from metatalk.errors import ShapeError

FRAMES = 60
WANDER_PX = np.rint(8 * np.sin(0.7 * np.arange(FRAMES))).astype(int)
COVERED = (np.arange(FRAMES) >= 20) & (np.arange(FRAMES) < 36)


class Frame:
    """A textured head before a wall; paper may cover the mouth, a microphone its side."""

    width, height = 320, 240

    def __init__(self, shift_px: int, paper: bool, microphone: bool = False) -> None:
        wall, skin = (np.random.default_rng(n).normal(size=(240, 320, 3)) for n in (3, 4))
        back, face = (
            0.45 + 0.12 * soft / soft.std()
            for soft in (cv2.GaussianBlur(noise, (0, 0), 3.0) for noise in (wall, skin))
        )
        head = np.zeros((240, 320), np.uint8)
        cv2.circle(head, (160 + shift_px, 120), 60, (255,), -1)
        picture = np.where(head[..., None] > 0, np.roll(face, shift_px, 1), back)
        if microphone:
            picture[125:200, 128:148] = 0.08
        if paper:
            picture[130:] = 0.9
        self._picture = (picture.clip(0, 1) * 255).astype(np.uint8)

    def rgb(self, box: tuple[int, int, int, int] | None = None) -> np.ndarray:
        left, top, right, bottom = box or (0, 0, self.width, self.height)
        return self._picture[top:bottom, left:right]


def watch(fitted_px: np.ndarray, frames: list[Frame]) -> Foreground:
    """Look at frames whose heads were found so far to the right."""
    track = facing_track(torch.zeros(len(frames)))
    translation = track.translation.clone()
    translation[:, 0] = torch.from_numpy(fitted_px * 700.0 / 480.0)
    track, shots = replace(track, translation=translation), np.array([[0, len(frames)]])
    looker = ForegroundWatch(build_grid(mouth_model(), PERSON, FINE_SIDE), track, CAMERA, shots)
    for number, frame in enumerate(frames):
        looker.look(frame, number)
    return looker.finish()


def test_skin_beside_a_sheet_of_paper_does_not_stand_before_the_face() -> None:
    """The head is still; where it is covered the fit wanders."""
    frames = [Frame(0, bool(paper)) for paper in COVERED]
    assert not watch(np.where(COVERED, WANDER_PX, 0), frames)


def test_what_stands_there_is_found_though_paper_comes_before_it() -> None:
    frames = [
        Frame(int(shift), bool(paper), microphone=True)
        for shift, paper in zip(WANDER_PX, COVERED, strict=True)
    ]
    share = watch(WANDER_PX, frames).film_share(40, 0, 0, 320, 240)
    assert share is not None
    assert share[130:145, 132:144].mean() > 0.9
    assert share[100:125, 155:].max() == 0


def sunk(cells: np.ndarray, last: int) -> np.ndarray:
    """The same, but in the last pictures half of the face has left the picture below."""
    moved = cells.copy()
    moved[-last:, :, 1] += 30
    return moved


def test_pictures_in_which_much_is_covered_are_told_apart() -> None:
    random = np.random.default_rng(0)
    windows = random.integers(90, 110, (30, 60, 80, 3)).astype(np.uint8)
    windows[4:9, 20:] = 240
    windows[12] = np.minimum(windows[12] * 1.3, 255).astype(np.uint8)  # another exposure
    windows[20, :6] = 240  # next to nothing
    rows, columns = np.mgrid[2:58:3, 2:78:3]
    cells = np.stack([columns.ravel(), rows.ravel()], -1).astype(np.float32)
    cells, seen = np.tile(cells, (30, 1, 1)), np.ones((30, rows.size), bool)
    bare = tell_bare(windows, cells, seen)
    assert np.flatnonzero(~bare).tolist() == [4, 5, 6, 7, 8]
    assert tell_bare(windows[[0] * 30], sunk(cells, 10), seen).all()
    assert tell_bare(windows[[0] * 30], sunk(cells, 20), seen).all()
    seen[6] = False  # nothing of it is turned to the camera
    assert tell_bare(windows, cells, seen)[6]
    with pytest.raises(ShapeError):
        tell_bare(windows, cells[:-1], seen)
