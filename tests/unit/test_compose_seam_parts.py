"""Parts of the seam that stand by themselves: settings, blurs, and the weave of a network."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from metatalk.compose.blend import without_comb
from metatalk.compose.config import DriveConfig
from metatalk.compose.seam.config import SeamConfig
from metatalk.compose.seam.detail import _blur
from metatalk.errors import ConfigError


@pytest.mark.parametrize(
    "wrong",
    [{"crf": 60}, {"batch": 0}, {"fade_frames": -1}, {"detail": 2.0}, {"feather": -0.1},
     {"detail_px": 0.0}],
    ids=lambda wrong: next(iter(wrong)),
)  # fmt: skip
def test_settings_are_checked(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        DriveConfig(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"levels": 0},
        {"levels": 9},
        {"reach": 0.5},
        {"reach": 11.0},
        {"still": -1.0},
        {"still": 10.5},
        {"grain": -0.1},
        {"grain": 2.0},
    ],
    ids=lambda wrong: f"{next(iter(wrong))}-{next(iter(wrong.values()))}",
)
def test_settings_of_the_seam_are_checked(wrong):
    with pytest.raises(ConfigError, match=f"drive.seam.{next(iter(wrong))}"):
        SeamConfig(**wrong)


@pytest.mark.parametrize("width_px", [0.8, 2.0, 2.5, 3.4, 5.0, 9.7])
def test_a_blur_on_a_smaller_picture_is_that_of_the_large_one(width_px):
    noise = np.random.default_rng(0).random((90, 121, 3), np.float32)
    picture = np.clip(0.5 + 3 * (cv2.GaussianBlur(noise, (0, 0), 1.0) - 0.5), 0, 1)
    wide = int(3 * width_px)
    inner = np.s_[wide:-wide, wide:-wide]
    true = cv2.GaussianBlur(picture, (0, 0), width_px)
    off = np.abs(_blur(picture, width_px) - true)[inner]
    assert np.sqrt((off**2).mean()) < 1.0 / 255
    assert _blur(picture, width_px).shape == picture.shape


def test_a_weave_of_single_pixels_is_not_enlarged() -> None:
    rows, columns = np.mgrid[:64, :64]
    weave = np.where((rows + columns) % 2, 0.6, 0.4).astype(np.float32)[..., None].repeat(3, 2)
    stripes = np.where(rows % 2, 0.6, 0.4).astype(np.float32)[..., None].repeat(3, 2)
    for pattern in (weave, stripes):
        assert np.abs(without_comb(pattern, 2.0)[4:-4, 4:-4] - 0.5).max() < 1e-6
        half = without_comb(pattern, 1.5)[4:-4, 4:-4]
        assert np.abs(np.abs(half - 0.5) - 0.05).max() < 1e-6
        assert without_comb(pattern, 1.0) is pattern


def test_what_is_wider_than_a_pixel_stays() -> None:
    columns = np.arange(128)
    for period, kept in ((4, 0.75), (8, 0.97), (16, 0.998)):
        wave = 0.5 + 0.2 * np.cos(2 * np.pi * columns / period)
        picture = np.broadcast_to(wave[None, :, None], (128, 128, 3)).astype(np.float32)
        left = np.ptp(without_comb(picture, 3.0)[64, 16:-16, 0]) / np.ptp(wave)
        assert left >= kept - 1e-3
