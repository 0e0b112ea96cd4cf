"""A redrawn face meets its film: the mask's shape, the seam's colours, the untouched rest."""

from __future__ import annotations

import numpy as np
import pytest

from metatalk.errors import ConfigError, ShapeError
from metatalk.landmarks.points import IBUG68
from metatalk.lipsync.faces import crop_face, cut_box, shrink_face, whole_pixels
from metatalk.lipsync.seam import blend_face, lower_face_mask, lower_outlines
from metatalk.lipsync.wav2lip_config import Wav2LipConfig

BOX = np.array([20.0, 10.0, 220.0, 234.0], np.float32)
CONFIG = Wav2LipConfig()


def toy_points() -> np.ndarray:
    """(68, 3) landmarks of an upright face in `BOX`."""
    points = np.zeros((68, 3), np.float32)
    across = np.linspace(-1, 1, 17)
    points[:17, 0], points[:17, 1] = 90 * across, 100 * np.sqrt(1 - across**2)  # jaw
    points[31:36, 1] = 30  # base of the nose
    points[:, :2] += (120, 120)
    return points


def toy_film(seed: int = 0) -> np.ndarray:
    """(224, 200, 3) uint8: smooth colours with fine texture on top."""
    y, x = np.mgrid[:224, :200].astype(np.float32)
    noise = np.random.default_rng(seed).integers(-12, 12, (224, 200, 1))
    return (np.stack([80 + x / 4, 70 + y / 4, 90 + x / 8], axis=2) + noise).astype(np.uint8)


def outline() -> np.ndarray:
    return lower_outlines(toy_points()[None], IBUG68.layout, CONFIG.chin_reach)[0]


def test_a_box_that_leaves_the_picture_repeats_its_edge() -> None:
    picture = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    cut = cut_box(picture, (-2, 1, 3, 6))
    assert cut.shape == (5, 5, 3)
    np.testing.assert_array_equal(cut[:3, 2:], picture[1:, :3])
    np.testing.assert_array_equal(cut[:3, 0], picture[1:, 0])
    np.testing.assert_array_equal(cut[4], cut[2])
    np.testing.assert_array_equal(crop_face(picture, (-2, 1, 3, 6)), shrink_face(cut))


def test_boxes_round_to_at_least_one_pixel() -> None:
    assert whole_pixels((1.6, 2.4, 1.7, 2.4)) == (2, 2, 3, 3)


def test_the_outline_reaches_below_the_chin_and_not_beyond_the_ears() -> None:
    points = toy_points()
    line = lower_outlines(points[None], IBUG68.layout, reach=0.5)[0]
    jaw = points[list(IBUG68.jaw), :2]
    np.testing.assert_allclose(line[[0, 16]], jaw[[0, 16]], atol=1e-4)
    nose_y = 150.0
    assert line[8, 1] == pytest.approx(nose_y + 1.5 * (jaw[8, 1] - nose_y))


def test_the_mask_follows_the_jaw_and_is_soft() -> None:
    line = (outline() - BOX[:2]) / (BOX[2:] - BOX[:2])
    mask = lower_face_mask(line, feather=0.06)
    assert mask[:40].max() == 0  # the generator draws from row 39 on
    assert mask[60, 48] == 1
    assert mask[92, 8] == mask[92, 88] == 0  # the corners under the jaw, which a rectangle has
    assert mask[92, 48] > mask[92, 20]
    assert np.abs(np.diff(mask, axis=1)).max() < 0.35
    assert np.abs(np.diff(mask, axis=0)).max() < 0.35
    assert mask[-1].max() < 0.05
    assert mask[:, [0, -1]].max() < 0.05


def test_a_face_drawn_as_it_was_filmed_changes_nothing() -> None:
    film = toy_film()
    target = shrink_face(film)
    patch = blend_face(film, target, target, outline(), BOX, CONFIG)
    expected = film[patch.top - 10 :].astype(np.float32) / 255
    inside = patch.alpha > 0
    assert inside.any()
    np.testing.assert_allclose(patch.picture[inside], expected[inside], atol=0.5 / 255)


def test_the_seams_colours_are_matched() -> None:
    film = toy_film()
    target = shrink_face(film)
    tinted = np.clip(target + np.array([25, 12, -10]), 0, 255).astype(np.uint8)
    rim_error = {}
    for strength in (0.0, 1.0):
        config = Wav2LipConfig(colour_match=strength)
        patch = blend_face(film, target, tinted, outline(), BOX, config)
        error = patch.picture - film[patch.top - 10 :].astype(np.float32) / 255
        rim = (patch.alpha > 0.2) & (patch.alpha < 0.8)
        rim_error[strength] = np.abs(255 * error[rim].mean(axis=0)).max()
    assert rim_error[0.0] > 20
    assert rim_error[1.0] < 2


def test_a_wall_behind_the_cheek_does_not_tint_the_face() -> None:
    film = np.full((224, 200, 3), 120, np.uint8)
    target = shrink_face(film)
    drawn = target.copy()
    drawn[:, :14] = 250  # the drawn cheek ends earlier, the wall behind is bright
    patch = blend_face(film, target, drawn, outline(), BOX, CONFIG)
    middle = patch.picture[40:60, 90:110] * 255
    assert np.abs(middle - 120).max() < 6


def test_fine_texture_is_kept_where_the_drawing_agrees_and_not_on_a_new_mouth() -> None:
    film = toy_film()
    target = shrink_face(film)
    drawn = target.copy()
    drawn[65:80, 30:66] = 20  # an open mouth
    sharp = blend_face(film, target, drawn, outline(), BOX, CONFIG).picture
    plain = blend_face(film, target, drawn, outline(), BOX, Wav2LipConfig(detail=0.0)).picture
    skin, mouth = np.s_[10:30, 90:110], np.s_[70:80, 80:120]

    def texture(picture: np.ndarray, part: tuple[slice, slice]) -> float:
        return float(np.diff(picture[part], axis=1).std())

    assert texture(sharp, skin) > 3 * texture(plain, skin)
    assert texture(sharp, mouth) == pytest.approx(texture(plain, mouth), abs=0.002)
    assert sharp[mouth].mean() * 255 == pytest.approx(20, abs=12)


def test_faces_of_another_size_are_refused() -> None:
    film = toy_film()
    with pytest.raises(ShapeError, match="drawn"):
        blend_face(film, shrink_face(film), np.zeros((95, 96, 3), np.uint8), outline(), BOX, CONFIG)
    with pytest.raises(ShapeError, match="filmed"):
        blend_face(film[1:], shrink_face(film), shrink_face(film), outline(), BOX, CONFIG)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("batch", 0),
        ("reference_pool", 0),
        ("box_smooth_s", -1.0),
        ("chin_reach", -0.1),
        ("colour_match", 1.5),
        ("detail", -0.5),
        ("feather", 0.0),
        ("feather", 0.5),
    ],
)
def test_settings_out_of_range_are_refused_by_name(key: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"wav2lip.{key}"):
        Wav2LipConfig(**{key: value})
