"""Who moves the mouth: a recording's network, or another performance, asked at any times."""

from __future__ import annotations

import logging
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from face_toys import toy_model, toy_track
from fit_folders import keep_fit

from metatalk.a2e.targets import MouthSpace
from metatalk.compose.mouth_config import MouthConfig
from metatalk.config import Config
from metatalk.stages import mouths
from metatalk.stages.mouths import ActedMouth, SpokenMouth, open_acted_mouth, open_spoken_mouth
from metatalk.stages.performance import Act
from metatalk.stages.performer import Performer
from metatalk.stages.script import Script
from metatalk.workspace.actor import ActorFolder

MODEL = toy_model()
LOWER = np.array([True, True, False, False])
SPACE = MouthSpace(
    mean=np.array([0.1, 0.2, 0.3, 0.4], np.float32),
    directions=np.array([[1.0, 0, 0, 0], [0, 0.5, 0, 0]], np.float32),
    encoder=np.array([[1.0, 0], [0, 2.0], [0, 0], [0, 0]], np.float32),
    scale=np.ones(2, np.float32),
    low=np.array([-1.0, -1.0], np.float32),
    high=np.array([2.0, 1.0], np.float32),
    lower_units=LOWER,
)
WORDS = Path("words.wav")


def network(rest: list[float]) -> Any:
    return SimpleNamespace(rest=SimpleNamespace(numpy=lambda: np.array(rest, np.float32)))


def spoken(model: Any = MODEL, script: Script | None = None, folder: Path = Path()) -> SpokenMouth:
    return SpokenMouth(
        WORDS, Fraction(2), SPACE, network([0.5, -0.5]), Config(), script or Script(),
        ActorFolder(folder), model,
    )  # fmt: skip


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A network that answers with twice the time, and with nothing; what it was asked."""
    asked: list[Any] = []

    def predict(model: Any, samples: np.ndarray, seconds: np.ndarray, config: Any) -> np.ndarray:
        asked.append((samples, config))
        return np.stack([2 * seconds, 0 * seconds], 1).astype(np.float32)

    monkeypatch.setattr(mouths, "predict_mouth", predict)
    sound = SimpleNamespace(samples=np.full(7, 0.25, np.float32))
    monkeypatch.setattr(mouths, "read_sound", lambda path: {WORDS: sound}[path])
    return asked


def test_the_rest_is_the_networks_own() -> None:
    np.testing.assert_allclose(spoken().rest, [0.6, -0.05, 0.3, 0.4], atol=1e-6)


def test_a_recording_moves_the_mouth_as_far_as_the_actor_goes(heard: list[Any]) -> None:
    seconds = np.array([0.0, 0.5, 0.75, 5.0])
    moved = spoken().move(seconds)
    assert moved.shape == (4, 4)
    np.testing.assert_allclose(moved[:, 0], [0.1, 1.1, 1.6, 2.1], atol=1e-6)  # at most `high`
    np.testing.assert_allclose(moved[:, 1:], np.tile(SPACE.mean[1:], (4, 1)), atol=1e-6)
    ((samples, config),) = heard
    assert len(samples) == 7
    assert config == Config().a2e


def test_the_answer_belongs_to_the_time_whatever_the_order(heard: list[Any]) -> None:
    seconds = np.array([0.9, 0.1, 0.4])
    np.testing.assert_array_equal(spoken().move(seconds), spoken().move(seconds[::-1])[::-1])


@pytest.mark.parametrize("script", [Script(), Script(transcript="Hello.")])
def test_lips_without_landmarks_stay_as_predicted(
    caplog: pytest.LogCaptureFixture, script: Script
) -> None:
    blind = replace(MODEL, landmark_layout="", landmark_triangles=MODEL.landmark_triangles[:0],
                    landmark_weights=MODEL.landmark_weights[:0])  # fmt: skip
    shown = np.random.default_rng(0).random((5, 4)).astype(np.float32)
    with caplog.at_level(logging.WARNING):
        finished = spoken(blind, script).finish(shown, np.arange(5) / 25, shown)
    np.testing.assert_array_equal(finished, shown)
    assert ("cannot be closed" in caplog.text) == (script != Script())


def test_lips_are_closed_by_the_actors_own_person_and_the_script(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_fit(tmp_path / "actor")
    asked: dict[str, Any] = {}

    def meter(model: Any, identity: Any, expression: np.ndarray, trusted: np.ndarray) -> str:
        asked.update(identity=identity, frames=len(expression), trusted=len(trusted))
        return "meter"

    def close(shown: np.ndarray, *words: Any) -> np.ndarray:
        asked["words"] = words
        return shown + 1

    monkeypatch.setattr(mouths, "make_lip_meter", meter)
    monkeypatch.setattr(mouths, "close_spoken_lips", close)
    script, seconds = Script(transcript="Hello."), np.arange(3) / 25
    shown = np.zeros((3, 4), np.float32)
    mouth, predicted = spoken(MODEL, script, tmp_path / "actor"), shown - 1
    finished = mouth.finish(shown, seconds, predicted)
    assert (finished == 1).all()
    assert asked["identity"].tolist() == pytest.approx([0.2, -0.1, 0.1])
    assert asked["frames"] == asked["trusted"] == 6
    audio, times, space, found, told, closure, activity, judged = asked["words"]
    assert judged is predicted
    assert (audio, space, found, told) == (WORDS, SPACE, "meter", script)
    assert times is seconds
    assert (closure, activity) == (Config().drive.closure, Config().a2e.activity)


def test_a_mouth_that_is_kept_at_rest_closes_for_nothing() -> None:
    drive = replace(Config().drive, mouth=MouthConfig(amplitude=0.0))
    shown = np.ones((2, 4), np.float32)
    mouth = replace(spoken(), config=replace(Config(), drive=drive))
    assert mouth.finish(shown, np.zeros(2), shown) is shown


def test_a_trained_actor_speaks_with_its_own_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def load(folder: Path, config: Any) -> tuple[MouthSpace, Any]:
        asked.extend([folder, config])
        return SPACE, network([0.0, 0.0])

    monkeypatch.setattr(mouths, "load_mouth", load)
    config = Config(seed=3)
    mouth = open_spoken_mouth(ActorFolder(tmp_path), WORDS, Fraction(7, 2), Script(), config, MODEL)
    assert asked == [tmp_path / "train_a2e", config.a2e]
    assert (mouth.audio, mouth.heard_s, mouth.config) == (WORDS, Fraction(7, 2), config)
    np.testing.assert_allclose(mouth.rest, SPACE.mean)


def act(count: int = 6) -> Act:
    expression = toy_track(count).expression.numpy()
    return Act(np.arange(count) / 25, expression, np.ones(count, bool), np.zeros(count, int))


REST = np.array([0.05, 0.06, 0.07, 0.08], np.float32)


def test_another_performance_moves_the_lower_face_alone() -> None:
    acted = act()
    mouth = ActedMouth(acted, Fraction(1), LOWER, REST)
    moved = mouth.move(np.array([0.0, 0.08, 0.2]))
    np.testing.assert_allclose(moved[:, LOWER], acted.expression[[0, 2, 5]][:, LOWER], atol=1e-6)
    np.testing.assert_allclose(moved[:, ~LOWER], np.tile(REST[~LOWER], (3, 1)))
    between = mouth.move(np.array([0.02]))[0, 0]
    low, high = sorted(acted.expression[:2, 0])
    assert low - 1e-6 <= between <= high + 1e-6
    gone = mouth.move(np.array([60.0]))  # long after the performance
    np.testing.assert_allclose(gone[0], REST, atol=1e-6)


def test_what_was_acted_is_finished() -> None:
    shown = np.ones((2, 4), np.float32)
    assert ActedMouth(act(), Fraction(1), LOWER, REST).finish(shown, np.zeros(2), shown) is shown


def test_a_performance_is_read_in_the_actors_own_range(monkeypatch: pytest.MonkeyPatch) -> None:
    own, asked = SimpleNamespace(rest=REST), []
    monkeypatch.setattr(mouths, "actor_range", lambda folder, units: own)
    monkeypatch.setattr(mouths, "read_act", lambda *words: asked.append(words) or act())
    performed: Any = object()
    joe, folder = Performer(Path("joe.mp4"), other_person=True), ActorFolder(Path("jane"))
    mouth = open_acted_mouth(folder, performed, joe, Fraction(3), MODEL)
    assert asked == [(performed, joe, own, MODEL.has_units)]
    assert mouth.rest is REST
    assert mouth.heard_s == 3
    np.testing.assert_array_equal(mouth.lower, MODEL.lower_units.numpy())
