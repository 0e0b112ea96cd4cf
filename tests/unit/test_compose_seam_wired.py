"""The seam's parts, in the places where a frame is composed."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from metatalk.compose import revoice
from metatalk.compose.blend import DrawnFace, compose_window, find_window
from metatalk.compose.config import DriveConfig
from metatalk.compose.seam.config import SeamConfig
from metatalk.compose.seam.grain import TILE_PX, FrameGrain, Grain

SIZE = 64


def own_place(shift_px: float = 0.0) -> np.ndarray:
    """(S, S, 2) the map of a face that moved to the left."""
    rows, columns = np.mgrid[:SIZE, :SIZE].astype(np.float32) + 0.5
    return np.stack([columns + np.float32(shift_px), rows], -1)


@pytest.mark.parametrize("shift_px", [0.0, 0.5, 6.5])
def test_carried_skin_has_the_grain_of_its_footage_to_the_rim(shift_px: float) -> None:
    noise = np.random.default_rng(0).normal(scale=0.03, size=(TILE_PX, TILE_PX, 1))
    tile = np.repeat(noise, 3, 2).astype(np.float32)
    grain = FrameGrain(Grain(tile, np.ones(8, np.float32)), 5)
    filmed = 0.5 + np.random.default_rng(1).normal(scale=0.03, size=(SIZE, SIZE, 1))
    footage = np.repeat(filmed, 3, 2).astype(np.float32)
    window = find_window(np.eye(2, 3), SIZE, SIZE, SIZE)
    assert window is not None
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[4:-4, 4:-4] = 255
    flat = np.full((SIZE, SIZE, 3), 0.5, np.float32)
    face = DrawnFace(flat, mask, own_place(shift_px), np.ones((SIZE, SIZE), np.float32))
    config = DriveConfig(detail_px=40.0, seam=SeamConfig(still=0.0))
    patch = compose_window(face, footage, window, config, grain)
    assert patch is not None
    here = np.s_[patch.top :, patch.left :]
    laid = footage[here][: len(patch.alpha), : patch.alpha.shape[1]]
    mixed = laid + patch.alpha[..., None] * (patch.picture - laid)
    assert mixed[8:-8, 8:-14].std() == pytest.approx(footage.std(), rel=0.06)


def test_a_new_face_comes_without_hairlines_below_its_jaw() -> None:
    face, slit = np.zeros((SIZE, SIZE, 3), np.uint8), np.s_[40:42, 10:54]
    face[:40] = 128
    carried, picture = own_place(), np.full((SIZE, SIZE, 3), 0.5, np.float32)
    carried[slit], picture[slit] = np.nan, 0.9
    filmed, mask = np.full((SIZE, SIZE, 3), 128, np.uint8), np.full((SIZE, SIZE), 255, np.uint8)
    views = SimpleNamespace(
        mask=mask[None], carried=SimpleNamespace(source=carried[None]), geometry=face[None]
    )
    made = SimpleNamespace(picture=picture[None], passed=None)
    config = DriveConfig(colour_match=0.0)
    drawn = revoice._plain(0, SimpleNamespace(crops=filmed[None]), views, made, config)
    np.testing.assert_allclose(drawn.picture, 0.5, atol=0.01)
