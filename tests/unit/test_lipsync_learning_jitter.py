"""How windows are varied: geometry checked on drawn dots, colours, sound."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from lipsync_learning_toys import STILL

from metatalk.errors import ConfigError
from metatalk.lipsync.learning.config import JitterConfig
from metatalk.lipsync.learning.jitter import jitter_faces, jitter_mels, plain_faces
from metatalk.lipsync.mel import SILENCE

DRAWS = 60


def dice(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def noise(frames: int = 2) -> np.ndarray:
    return dice(9).integers(0, 256, (frames, 128, 128, 3), np.uint8)


def dotted(*dots: tuple[float, float]) -> np.ndarray:
    """(1, 128, 128, 3): soft white dots at (x, y) of the generator's 96 pixels."""
    rows, columns = np.mgrid[:128, :128]
    picture = np.zeros((128, 128))
    for x, y in dots:
        picture += 255 * np.exp(-((columns - 16 - x) ** 2 + (rows - 16 - y) ** 2) / 8)
    return np.repeat(picture.clip(0, 255)[None, ..., None], 3, 3).round().astype(np.uint8)


def find_dot(face: np.ndarray) -> np.ndarray:
    """(x, y) of the light's centre."""
    light = face[..., 0].astype(float)
    rows, columns = np.mgrid[: light.shape[0], : light.shape[1]]
    return np.array([(light * columns).sum(), (light * rows).sum()]) / light.sum()


def test_plain_faces_are_the_middle() -> None:
    faces = noise()
    np.testing.assert_array_equal(plain_faces(faces), faces[:, 16:112, 16:112])


def test_no_jitter_changes_nothing() -> None:
    faces, mels = noise(), dice(1).uniform(-4, 4, (3, 80, 16)).astype(np.float32)
    for seed in range(5):
        (same,) = jitter_faces([faces], STILL, dice(seed))
        np.testing.assert_array_equal(same, plain_faces(faces))
        np.testing.assert_array_equal(jitter_mels(mels, STILL, dice(seed)), mels)


def test_a_mirror_turns_half_of_the_windows_left_to_right() -> None:
    faces, config = noise(), replace(STILL, mirror=True)
    plain = plain_faces(faces)
    turned = 0
    for seed in range(DRAWS):
        (varied,) = jitter_faces([faces], config, dice(seed))
        is_turned = np.array_equal(varied, plain[:, :, ::-1])
        assert is_turned or np.array_equal(varied, plain)
        turned += is_turned
    assert 0.3 * DRAWS < turned < 0.7 * DRAWS


def test_a_shift_moves_the_face_by_as_much_as_is_said() -> None:
    config, dot = replace(STILL, shift_px=5), np.array([40.0, 52.0])
    drawn = [jitter_faces([dotted((40, 52))], config, dice(seed))[0] for seed in range(DRAWS)]
    moves = np.array([find_dot(faces[0]) - dot for faces in drawn])
    assert np.abs(moves).max() < 5.1
    assert (moves.max(0) > 3.5).all()
    assert (moves.min(0) < -3.5).all()
    assert abs(np.corrcoef(moves.T)[0, 1]) < 0.4


def test_a_zoom_leaves_the_middle_and_scales_what_is_around() -> None:
    config, middle = replace(STILL, zoom=0.08), 47.5
    scales = []
    for seed in range(DRAWS):
        places = [
            find_dot(jitter_faces([dotted(dot)], config, dice(seed))[0][0]) - middle
            for dot in ((17.5, 37.5), (67.5, 77.5), (middle, middle))
        ]
        np.testing.assert_allclose(places[2], 0, atol=0.1)
        ratio = np.array([places[0] / (-30, -10), places[1] / (20, 30)])
        np.testing.assert_allclose(ratio, ratio[0, 0], rtol=0.03)
        scales.append(ratio[0, 0])
    assert 1 / 1.09 < min(scales) < 0.96
    assert 1.04 < max(scales) < 1 / 0.91


def test_the_margin_is_enough_for_the_most_that_can_be_set() -> None:
    inside = np.zeros((1, 128, 128, 3), np.uint8)
    inside[:, 1:-1, 1:-1] = 200
    config = replace(STILL, zoom=0.15, shift_px=8, mirror=True)
    for seed in range(200):
        assert jitter_faces([inside], config, dice(seed))[0].min() == 200


def test_windows_are_varied_alike_frame_by_frame() -> None:
    picture = noise(1)
    first, second = jitter_faces(
        [np.repeat(picture, 3, 0), np.repeat(picture, 2, 0)], JitterConfig(), dice()
    )
    assert first.shape == (3, 96, 96, 3)
    assert second.shape == (2, 96, 96, 3)
    assert (first == second[0]).all()
    assert (second == second[0]).all()


def grey(value: int) -> np.ndarray:
    return np.full((1, 128, 128, 3), value, np.uint8)


def test_brightness_lifts_each_colour_by_as_much_as_is_said() -> None:
    config = replace(STILL, brightness=0.15)
    lifts = np.array([
        jitter_faces([grey(120)], config, dice(seed))[0][0, 0, 0].astype(float) - 120
        for seed in range(DRAWS)
    ])  # fmt: skip
    assert 30 < np.abs(lifts).max() <= 0.15 * 255 + 1
    assert (lifts.max(0) > 15).all()
    assert (lifts.min(0) < -15).all()
    assert np.abs(lifts[:, 0] - lifts[:, 2]).max() > 15


def test_contrast_turns_around_the_middle() -> None:
    config = replace(STILL, contrast=0.3)
    for seed in range(20):
        dark, middle, light = (
            int(jitter_faces([grey(value)], config, dice(seed))[0][0, 0, 0, 1])
            for value in (80, 128, 180)
        )
        assert abs(middle - 128) <= 1
        assert (light - dark) / 100 == pytest.approx(1, abs=0.32)
        assert light > dark


def test_colours_end_at_black_and_white() -> None:
    config = replace(STILL, contrast=0.9, brightness=2.0)
    seen = {
        int(jitter_faces([grey(value)], config, dice(seed))[0][0, 0, 0, 0])
        for seed in range(30)
        for value in (100, 130)
    }
    assert {0, 255} <= seen


def test_loudness_is_one_gain_for_all_windows_bands_and_columns() -> None:
    mels = dice(2).uniform(-2, 2, (3, 80, 16)).astype(np.float32)
    gains = []
    for seed in range(DRAWS):
        change = jitter_mels(mels, replace(STILL, loudness=0.6), dice(seed)) - mels
        np.testing.assert_allclose(change, change[0, 0, 0], atol=1e-6)
        gains.append(float(change[0, 0, 0]))
    assert -0.6 <= min(gains) < -0.4
    assert 0.4 < max(gains) <= 0.6


def test_the_equaliser_ripples_slowly_and_as_much_as_is_said() -> None:
    mels, config = np.zeros((2, 80, 16), np.float32), replace(STILL, equaliser=0.5)
    ripples = np.array([jitter_mels(mels, config, dice(seed)) for seed in range(200)])
    assert (ripples == ripples[:, :1, :, :1]).all()
    over_bands = ripples[:, 0, :, 0]
    assert over_bands.std() == pytest.approx(0.5, rel=0.15)
    neighbours = np.mean(over_bands[:, 1:] * over_bands[:, :-1]) / np.mean(over_bands**2)
    assert neighbours > 0.9


def test_silence_stays_silence_and_nothing_leaves_the_scale() -> None:
    mels = np.full((2, 80, 16), SILENCE, np.float32)
    mels[1] = 3.9
    config = replace(STILL, loudness=1.0, equaliser=1.0)
    for seed in range(20):
        varied = jitter_mels(mels, config, dice(seed))
        assert (varied[0] == SILENCE).all()
        assert varied.dtype == np.float32
        assert np.abs(varied).max() <= -SILENCE


@pytest.mark.parametrize(
    "wrong",
    [
        {"shift_px": 9.0}, {"shift_px": -1.0}, {"zoom": 0.2}, {"zoom": -0.1}, {"contrast": 1.0},
        {"brightness": -0.1}, {"loudness": -1.0}, {"equaliser": -0.5},
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="jitter") as told:
        replace(JitterConfig(), **wrong)
    assert told.value.remedy
