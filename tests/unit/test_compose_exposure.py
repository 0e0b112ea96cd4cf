"""A flash and a fade are told from a light that is switched, turns, or is always so."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metatalk.compose.fallback.exposure import (
    SHORT_S,
    colour_logarithms,
    compare_exposure,
    measure_exposure,
    weighted_median,
)
from metatalk.errors import ShapeError

RATE, CELLS, FRAMES = 25.0, 60, 200
ALL = np.array([[0, FRAMES]])
USUAL = np.random.default_rng(0).integers(60, 200, (CELLS, 3))


def film(gain: float) -> np.ndarray:
    return np.clip(USUAL * gain, 0, 255).astype(np.uint8)


def measure(colours: np.ndarray, weights: np.ndarray | None = None) -> tuple[float, float]:
    usual = colour_logarithms(USUAL.astype(np.uint8))
    area = np.ones((1, CELLS)) if weights is None else weights
    level, clipped = measure_exposure(colours[None], area, usual)[0]
    return float(level), float(clipped)


def change(level: np.ndarray, shots: np.ndarray = ALL, rate: float = RATE) -> np.ndarray:
    looked = np.ones(len(level), bool)
    return compare_exposure(level, np.zeros_like(level), looked, shots, rate).brightness


def test_a_face_as_usual_is_neither_lighter_nor_clipped() -> None:
    assert measure(film(1.0)) == (pytest.approx(0.0, abs=1e-6), 0.0)


@given(st.floats(0.3, 1.2))
def test_a_gain_is_read_back(gain: float) -> None:
    # A cell of a middle brightness m: ln((gain m + DARK) / (m + DARK)) lies between these.
    level, _ = measure(film(gain))
    ends = sorted((np.log(gain), 0.7 * np.log(gain)))
    assert ends[0] - 0.03 <= level <= ends[1] + 0.03


def test_what_covers_less_than_half_of_a_face_is_no_exposure() -> None:
    covered = film(0.7)
    covered[: CELLS * 2 // 5] = 255
    level, clipped = measure(covered)
    assert level < -0.1
    assert clipped == pytest.approx(0.4)


def test_a_flash_is_clipped_and_light() -> None:
    level, clipped = measure(film(4.5))
    assert level > 0.4
    assert clipped > 0.95


def test_cells_that_are_not_seen_do_not_count() -> None:
    half = film(1.0)
    half[CELLS // 2 :] = 255
    weights = np.zeros((1, CELLS))
    weights[:, : CELLS // 2] = 1.0
    assert measure(half, weights) == (pytest.approx(0.0, abs=1e-6), 0.0)
    assert measure(half, 0 * weights) == (0.0, 0.0)


def test_a_weighted_median_is_that_of_repeated_values() -> None:
    values, weights = np.array([[5.0, 1.0, 3.0, 9.0]]), np.array([[1.0, 2.0, 4.0, 0.0]])
    assert weighted_median(values, weights) == [np.median(np.repeat(values, [1, 2, 4, 0]))]


def test_a_fade_and_a_flash_are_changes_and_the_frames_beside_them_are_not() -> None:
    level = np.full(FRAMES, 0.3, np.float32)  # the clip's median lies elsewhere
    level[60:70] = 0.3 - np.linspace(0.1, 1.5, 10)
    level[120:122] = 1.0
    found = change(level)
    np.testing.assert_allclose(found[60:70], -np.linspace(0.1, 1.5, 10), atol=1e-5)
    np.testing.assert_allclose(found[120:122], 0.7, atol=1e-5)
    rest = np.ones(FRAMES, bool)
    rest[60:70] = rest[120:122] = False
    assert np.abs(found[rest]).max() < 1e-5


def test_a_fade_at_the_end_of_a_clip_is_told() -> None:
    level = np.zeros(FRAMES, np.float32)
    level[-20:] = -np.linspace(0.1, 2.0, 20)
    assert (change(level)[-18:] < -0.15).all()


def test_a_light_that_is_switched_for_good_is_no_change() -> None:
    level = np.repeat(np.float32([0.0, -0.5]), 1000)
    assert np.abs(change(level, np.array([[0, 2000]]))).max() == pytest.approx(0.0, abs=0.26)
    beside = np.r_[0:994, 1006:2000]
    assert np.abs(change(level, np.array([[0, 2000]]))[beside]).max() < 1e-6


def test_a_minute_s_cloud_is_followed() -> None:
    level = (-0.5 * np.sin(np.linspace(0, np.pi, 3000)) ** 2).astype(np.float32)
    assert np.abs(change(level, np.array([[0, 3000]]))).max() < 0.1


def test_every_shot_has_a_light_of_its_own() -> None:
    level = np.repeat(np.float32([0.0, -0.8]), FRAMES // 2)
    cut = np.array([[0, FRAMES // 2], [FRAMES // 2, FRAMES]])
    assert np.abs(change(level, cut)).max() == 0.0


def test_a_shot_as_short_as_a_flash_is_compared_with_those_around() -> None:
    short = int(SHORT_S * RATE) - 1
    level = np.zeros(FRAMES, np.float32)
    level[80 : 80 + short] = 0.6
    shots = np.array([[0, 80], [80, 80 + short], [80 + short, FRAMES]])
    np.testing.assert_allclose(change(level, shots)[80 : 80 + short], 0.6)


def test_frames_without_a_face_say_nothing() -> None:
    level = np.zeros(FRAMES, np.float32)
    level[50:] = -2.5  # whatever was read there
    looked = np.arange(FRAMES) < 50
    found = compare_exposure(level, level, looked, ALL, RATE)
    assert (found.brightness == 0).all()
    assert (found.clipped == 0).all()
    nobody = compare_exposure(level, level, ~np.ones(FRAMES, bool), ALL, RATE)
    assert (nobody.brightness == 0).all()


def test_skin_that_is_always_clipped_is_usual() -> None:
    clipped = np.full(FRAMES, 0.4, np.float32)
    clipped[30:33] = 0.9
    none, looked = np.zeros(FRAMES, np.float32), np.ones(FRAMES, bool)
    found = compare_exposure(none, clipped, looked, ALL, RATE).clipped
    np.testing.assert_allclose(found[30:33], 0.5, atol=1e-6)
    assert np.abs(np.delete(found, range(30, 33))).max() < 1e-6


def test_rows_of_another_clip_are_refused() -> None:
    with pytest.raises(ShapeError):
        compare_exposure(np.zeros(5), np.zeros(4), np.ones(5, bool), ALL, RATE)
    with pytest.raises(ShapeError):
        measure_exposure(film(1.0)[None], np.ones((1, CELLS + 1)), np.zeros((CELLS, 3)))
