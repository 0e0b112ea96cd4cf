"""The knobs of the mouth while it is being spoken: as in a whole recording, a moment later."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metatalk.compose import live_mouth
from metatalk.compose.live_mouth import LiveMouth
from metatalk.compose.mouth import tune_mouth
from metatalk.compose.mouth_config import MouthConfig
from metatalk.errors import ShapeError

RATE, FRAMES = 25.0, 120
SECONDS = np.arange(FRAMES) / RATE
REST = np.array([0.2, -0.1, 0.5], np.float32)
LOWER = np.array([True, True, False])
TURNED = MouthConfig(amplitude=1.4, smoothing_s=0.04, consonants=0.6)
CONFIGS = [
    MouthConfig(),
    MouthConfig(amplitude=1.7),
    MouthConfig(amplitude=0.0),
    MouthConfig(smoothing_s=0.08),
    MouthConfig(consonants=1.0),
    TURNED,
]


@pytest.fixture(scope="module")
def spoken() -> np.ndarray:
    """(N, 3): movement of all that speech has, up to some 8 Hz."""
    noise = np.random.default_rng(0).standard_normal((FRAMES, 3))
    kernel = np.array([0.25, 0.5, 0.25])[:, None]
    calm = sum(kernel[k] * np.roll(noise, k - 1, axis=0) for k in range(3))
    return (REST + 0.3 * np.asarray(calm)).astype(np.float32)


def tune(expression: np.ndarray, config: MouthConfig, cuts: tuple[int, ...] = ()) -> np.ndarray:
    """All of it, in pieces."""
    mouth = LiveMouth(RATE, REST, LOWER, config)
    made = [mouth.push(piece) for piece in np.split(expression, cuts)]
    return np.concatenate([*made, mouth.flush()])


@pytest.mark.parametrize("amplitude", [0.0, 0.7, 1.0, 1.3, 3.0])
def test_the_amplitude_is_that_of_a_recording(spoken: np.ndarray, amplitude: float) -> None:
    config = MouthConfig(amplitude=amplitude)
    whole = tune_mouth(spoken, SECONDS, REST, LOWER, config)
    np.testing.assert_array_equal(tune(spoken, config, (1, 30)), whole)
    assert LiveMouth(RATE, REST, LOWER, config).delay == 0


@pytest.mark.parametrize("config", CONFIGS)
@given(cuts=st.lists(st.integers(0, FRAMES), max_size=6))
def test_it_does_not_depend_on_how_it_is_cut(config: MouthConfig, cuts: list[int]) -> None:
    wave = (REST + np.sin(9 * SECONDS)[:, None]).astype(np.float32)
    at_once = tune(wave, config)
    assert at_once.shape == wave.shape
    assert at_once.dtype == np.float32
    np.testing.assert_array_equal(tune(wave, config, tuple(sorted(cuts))), at_once)


@pytest.mark.parametrize("config", CONFIGS)
def test_the_delay_is_what_is_told(spoken: np.ndarray, config: MouthConfig) -> None:
    mouth, waiting = LiveMouth(RATE, REST, LOWER, config), 0
    for frame in spoken[:, None]:
        waiting += 1 - len(mouth.push(frame))
        assert waiting <= mouth.delay
    assert waiting == mouth.delay == len(mouth.flush())


@pytest.mark.parametrize("config", CONFIGS)
def test_a_frame_depends_on_none_after_its_delay(spoken: np.ndarray, config: MouthConfig) -> None:
    other = spoken.copy()
    other[60:, :2] += 1.0
    delay = LiveMouth(RATE, REST, LOWER, config).delay
    made, changed = tune(spoken, config), tune(other, config)
    np.testing.assert_array_equal(made[: 60 - delay], changed[: 60 - delay])
    if config.amplitude and delay:
        assert np.abs(made[60 - delay] - changed[60 - delay]).max() > 1e-3


def test_with_time_enough_it_is_the_recording_s(
    spoken: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_mouth, "AHEAD", 100.0)
    inside = slice(20, -20)  # at the ends a recording's two filters are continued one by one
    whole = tune_mouth(spoken, SECONDS, REST, LOWER, TURNED)
    np.testing.assert_allclose(tune(spoken, TURNED)[inside], whole[inside], atol=2e-6)


@pytest.mark.parametrize(
    "config", [MouthConfig(smoothing_s=0.04), MouthConfig(consonants=0.5), TURNED]
)
def test_what_is_not_waited_for_hardly_matters(spoken: np.ndarray, config: MouthConfig) -> None:
    whole = tune_mouth(spoken, SECONDS, REST, LOWER, config)
    difference, change = tune(spoken, config) - whole, whole - spoken
    assert np.sqrt((difference**2).mean()) < 0.1 * np.sqrt((change**2).mean())


def test_the_delay_is_short() -> None:
    delays = {
        (config.smoothing_s, config.consonants): LiveMouth(25.0, REST, LOWER, config).delay
        for config in (MouthConfig(smoothing_s=0.04), MouthConfig(consonants=0.5))
    }
    assert delays == {(0.04, 0.0): 2, (0.0, 0.5): 3}


@pytest.mark.parametrize("config", CONFIGS)
def test_a_still_mouth_stays_and_so_does_the_upper_face(
    spoken: np.ndarray, config: MouthConfig
) -> None:
    still = np.repeat(REST[None], 40, axis=0)
    np.testing.assert_allclose(tune(still, config), still, atol=1e-6)
    np.testing.assert_array_equal(tune(spoken, config)[:, 2], spoken[:, 2])


def test_what_is_kept_does_not_grow(spoken: np.ndarray) -> None:
    mouth = LiveMouth(RATE, REST, LOWER, TURNED)
    mouth.push(spoken)
    size = len(mouth._kept)
    for _ in range(5):
        mouth.push(spoken)
    assert len(mouth._kept) == size < 40


def test_nothing_said_is_nothing_shown() -> None:
    mouth = LiveMouth(RATE, REST, LOWER, TURNED)
    assert mouth.push(np.zeros((0, 3), np.float32)).shape == (0, 3)
    assert mouth.flush().shape == (0, 3)


def test_shapes_are_checked() -> None:
    with pytest.raises(ShapeError):
        LiveMouth(RATE, REST, LOWER[:2], TURNED)
    with pytest.raises(ShapeError):
        LiveMouth(RATE, REST, LOWER, TURNED).push(np.zeros((1, 4), np.float32))
