"""Knobs of the mouth: the defaults do nothing, and each turns what it says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metatalk.compose.mouth import QUICK_S, tune_mouth
from metatalk.compose.mouth_config import MouthConfig
from metatalk.errors import ConfigError, ShapeError

RATE, FRAMES = 25.0, 100
SECONDS = np.arange(FRAMES) / RATE
REST = np.array([0.2, -0.1, 0.5])
LOWER = np.array([True, True, False])


def moving(frequency_hz: float) -> np.ndarray:
    """(N, 3): units that swing about the rest."""
    swing = 0.3 * np.sin(2 * np.pi * frequency_hz * SECONDS)
    return (REST + swing[:, None]).astype(np.float32)


def swing_of(expression: np.ndarray) -> float:
    """Of the first unit, far from the ends."""
    return float(np.abs(expression[25:75, 0] - REST[0]).max())


def test_the_defaults_give_the_very_expression() -> None:
    expression = moving(2.0)
    assert tune_mouth(expression, SECONDS, REST, LOWER, MouthConfig()) is expression


@pytest.mark.parametrize(
    "config",
    [MouthConfig(amplitude=1.7), MouthConfig(smoothing_s=0.1), MouthConfig(consonants=1.0)],
)
def test_the_upper_face_and_the_rest_stay(config: MouthConfig) -> None:
    tuned = tune_mouth(moving(4.0), SECONDS, REST, LOWER, config)
    np.testing.assert_array_equal(tuned[:, 2], moving(4.0)[:, 2])
    assert not np.allclose(tuned[:, :2], moving(4.0)[:, :2], atol=0.01)
    still = np.tile(REST, (FRAMES, 1)).astype(np.float32)
    np.testing.assert_allclose(tune_mouth(still, SECONDS, REST, LOWER, config), still, atol=1e-6)


@given(st.floats(0, 3))
def test_amplitude_stretches_about_the_rest(amplitude: float) -> None:
    tuned = tune_mouth(moving(2.0), SECONDS, REST, LOWER, MouthConfig(amplitude=amplitude))
    wanted = REST[:2] + amplitude * (moving(2.0)[:, :2] - REST[:2])
    np.testing.assert_allclose(tuned[:, :2], wanted, atol=1e-5)


@pytest.mark.parametrize(("frequency_hz", "smoothing_s"), [(1.0, 0.05), (3.0, 0.04), (6.0, 0.03)])
def test_smoothing_is_a_gaussian_in_seconds(frequency_hz: float, smoothing_s: float) -> None:
    tuned = tune_mouth(
        moving(frequency_hz), SECONDS, REST, LOWER, MouthConfig(smoothing_s=smoothing_s)
    )
    left = np.exp(-0.5 * (2 * np.pi * frequency_hz * smoothing_s) ** 2)
    assert swing_of(tuned) == pytest.approx(swing_of(moving(frequency_hz)) * left, rel=0.05)


def test_consonants_raise_what_is_quick_and_leave_what_is_slow() -> None:
    config = MouthConfig(consonants=1.0)
    for frequency_hz in (0.5, 5.0):
        kept = np.exp(-0.5 * (2 * np.pi * frequency_hz * QUICK_S) ** 2)
        tuned = tune_mouth(moving(frequency_hz), SECONDS, REST, LOWER, config)
        wanted = swing_of(moving(frequency_hz)) * (2 - kept)
        assert swing_of(tuned) == pytest.approx(wanted, rel=0.05)


@pytest.mark.parametrize("frames", [0, 1])
def test_hardly_any_frames_are_no_matter(frames: int) -> None:
    config = MouthConfig(amplitude=2.0, smoothing_s=0.1, consonants=1.0)
    tuned = tune_mouth(moving(1.0)[:frames], SECONDS[:frames], REST, LOWER, config)
    assert tuned.shape == (frames, 3)


@pytest.mark.parametrize(
    "wrong", [{"amplitude": -0.1}, {"amplitude": 4}, {"smoothing_s": 2}, {"consonants": -1}]
)
def test_knobs_have_ends(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=f"drive.mouth.{next(iter(wrong))}"):
        MouthConfig(**wrong)


def test_shapes_are_checked() -> None:
    with pytest.raises(ShapeError, match="seconds"):
        tune_mouth(moving(1.0), SECONDS[1:], REST, LOWER, MouthConfig())
