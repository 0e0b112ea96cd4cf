"""The stage of live streams: what it hears with, and what it tells of a stream that never began."""

from __future__ import annotations

import logging
import threading
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from metatalk.a2e import activity
from metatalk.a2e.level_detector import LevelDetector
from metatalk.a2e.targets import MouthSpace
from metatalk.compose.live import frame_behind
from metatalk.compose.mouth import tune_mouth
from metatalk.config import Config, load_config
from metatalk.errors import MissingAssetError
from metatalk.media.audio import SoundBlock
from metatalk.media.live import ReaderGoneError
from metatalk.media.live_sound import SoundFeed
from metatalk.stages import live
from metatalk.stages.keeping import Kept
from metatalk.stages.live_order import LiveOrder

# Two coordinates move two units; a third unit is the upper face's.
SPACE = MouthSpace(
    mean=np.array([0.1, 0.2, 0.0], np.float32),
    directions=np.array([[0.3, 0.0, 0.0], [0.1, 0.4, 0.0]], np.float32),
    encoder=np.linalg.pinv(np.array([[0.3, 0.0, 0.0], [0.1, 0.4, 0.0]])).astype(np.float32),
    scale=np.ones(2, np.float32),
    low=np.array([-1.0, -1.0], np.float32),
    high=np.array([2.0, 2.0], np.float32),
    lower_units=np.array([True, True, False]),
)
REST = np.array([-0.5, 0.25], np.float32)
FILMED = np.random.default_rng(1).uniform(0, 1, (4, 3)).astype(np.float32)


class Times:
    """Of four frames."""

    rate = Fraction(25)

    def __len__(self) -> int:
        return 4


def settings(*words: str) -> Config:
    return load_config("draft", None, list(words))


@pytest.fixture
def make_cast(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A cast without networks, in front of four frames."""
    network = SimpleNamespace(fingerprint="", rest=torch.from_numpy(REST))
    monkeypatch.setattr(live, "load_mouth", lambda *_: (SPACE, network))
    monkeypatch.setattr(live, "reopen_ears", lambda *_: None)
    track = SimpleNamespace(expression=torch.from_numpy(FILMED), is_trusted=torch.ones(4).bool())
    footage: Any = SimpleNamespace(
        track=track,
        landmarks=SimpleNamespace(shots=np.array([[0, 4]])),
        index=Times(),
        clip="clip.mp4",
    )
    folder: Any = SimpleNamespace(path=lambda name: name)
    opened: Any = SimpleNamespace(studio=None, transforms=None, library=None)
    kept = Kept([], np.ones(4, np.float32))
    return lambda config: live.Cast(folder, footage, config, opened, kept)


@pytest.fixture
def _no_silero(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(activity, "_PACKAGE", "no_such_package")
    activity.load_silero.cache_clear()
    yield
    activity.load_silero.cache_clear()


@pytest.mark.usefixtures("_no_silero")
def test_a_detector_that_is_asked_for_and_not_installed_is_missed(make_cast) -> None:
    with pytest.raises(MissingAssetError, match="silero-vad"):
        make_cast(settings("a2e.activity.detector=silero"))


@pytest.mark.usefixtures("_no_silero")
@pytest.mark.parametrize(("detector", "warnings"), [("auto", 1), ("level", 0)])
def test_the_level_stands_in_for_the_detector(make_cast, caplog, detector, warnings) -> None:
    with caplog.at_level(logging.WARNING):
        cast = make_cast(settings(f"a2e.activity.detector={detector}"))
        assert isinstance(cast.new_detector(), LevelDetector)
    assert caplog.text.count("silero-vad is not installed") == warnings


def test_a_reader_who_left_before_the_first_byte_ends_the_run(
    make_cast, monkeypatch: pytest.MonkeyPatch, caplog
) -> None:
    def gone(*_: object) -> None:
        raise ReaderGoneError("out: nobody reads it any more", "start the reader again")

    info = SimpleNamespace(width=64, height=64, colour=None, pixel_aspect=Fraction(1))
    monkeypatch.setattr(live, "LiveWriter", gone)
    monkeypatch.setattr(live, "probe_video", lambda _: info)
    monkeypatch.setattr(live, "say_if_reduced", lambda _: None)
    monkeypatch.setattr(live, "_open_stream", lambda *_: SimpleNamespace(lookahead_s=0.2))
    config = settings("a2e.activity.detector=level")
    block = SoundBlock(np.zeros((1, 160), np.float32), 16_000, "mono")
    feed = SoundFeed(iter([block]), threading.Event())
    stage = live._Stage(make_cast(config), config, feed, lambda *_: None)
    with caplog.at_level(logging.WARNING):
        metrics = stage.run("out", "matroska")
    assert (metrics["frames"], metrics["held_frames"]) == (0, 0)
    assert metrics["lookahead_ms"] == pytest.approx(200)
    assert "nobody reads" in caplog.text


def shown(cast: live.Cast, mouths: np.ndarray) -> np.ndarray:
    """(N, E): the faces that a stage would draw, two mouths at a time."""
    tuner = cast.new_tuner()
    pieces = [tuner.push(cast.to_expression(mouths[k : k + 2])) for k in range(0, len(mouths), 2)]
    spoken = np.concatenate([*pieces, tuner.flush()])
    picture: Any = None
    return np.stack([cast.next_job(face, picture, (), 0.0).expression for face in spoken])


@pytest.mark.parametrize("amplitude", [0.0, 1.0, 1.6])
def test_a_stream_moves_its_mouth_as_far_as_a_recording(make_cast, amplitude: float) -> None:
    mouths = (
        np.random.default_rng(2).normal(0, 2, (11, 2)).astype(np.float32)
    )  # beyond what is seen
    config = settings(f"drive.mouth.amplitude={amplitude}", "a2e.activity.detector=level")
    filmed = FILMED[[frame_behind(4, number) for number in range(11)]]
    # As `drive` does: held to what was seen, turned about the rest, put on the filmed upper face.
    spoken = SPACE.mouth_to_expression(SPACE.clamp(mouths))
    rest = SPACE.mouth_to_expression(REST[None])[0]
    lower = SPACE.lower_units
    turned = tune_mouth(spoken, np.arange(11) / 25, rest, lower, config.drive.mouth)
    np.testing.assert_array_equal(shown(make_cast(config), mouths), np.where(lower, turned, filmed))


def test_filters_over_time_add_to_the_latency_that_is_told(
    make_cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "_open_stream", lambda *_: SimpleNamespace(lookahead_s=0.2))
    feed = SoundFeed(iter([]), threading.Event())
    told = {}
    for word in ("amplitude=2", "smoothing_s=0.04", "consonants=0.5"):
        config = settings(f"drive.mouth.{word}", "a2e.activity.detector=level")
        stage = live._Stage(make_cast(config), config, feed, lambda *_: None)
        told[word] = stage._metrics(1.0)["lookahead_ms"]
    assert told == pytest.approx(
        {"amplitude=2": 200, "smoothing_s=0.04": 280, "consonants=0.5": 320}
    )


class Writer:
    """Counts what is shown."""

    def __init__(self) -> None:
        self.pictures: list[Any] = []
        self.samples = 0

    def write(self, picture: Any, sound: tuple[SoundBlock, ...]) -> None:
        self.pictures.append(picture)
        self.hear(sound)

    hold = write

    def hear(self, sound: Any) -> None:
        self.samples += sum(block.samples.shape[1] for block in sound)


class Stream:
    """Decides a frame for every 640 samples that are heard, 320 samples later."""

    lookahead_s = 0.02

    def __init__(self) -> None:
        self._heard = self.frames = 0

    def push(self, samples: np.ndarray) -> np.ndarray:
        self._heard += len(samples)
        return self._until((self._heard - 320) // 640)

    def flush(self) -> np.ndarray:
        return self._until(-(-self._heard // 640))

    def _until(self, frames: int) -> np.ndarray:
        made = np.arange(self.frames, max(frames, self.frames), dtype=np.float32)
        self.frames += len(made)
        return np.stack([0.1 * made, -made], axis=1)


@pytest.mark.parametrize("word", ["amplitude=1.2", "smoothing_s=0.1", "consonants=0.5"])
def test_every_frame_is_shown_whatever_it_waits_for(
    make_cast, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    config = settings(f"drive.mouth.{word}", "a2e.activity.detector=level", "drive.live.late=wait")
    monkeypatch.setattr(live, "_open_stream", lambda *_: Stream())
    monkeypatch.setattr(live, "_footage_for_ever", lambda _: iter(range(10**6)))
    cast, writer = make_cast(config), Writer()
    monkeypatch.setattr(cast, "draw", lambda job: (job.frame, job.expression))
    blocks = [SoundBlock(np.full((1, 160), 0.1, np.float32), 16_000, "mono") for _ in range(100)]
    stage = live._Stage(cast, config, SoundFeed(iter(blocks), threading.Event()), lambda *_: None)
    stage._play(iter([(block, 0.0) for block in blocks]), writer)  # type: ignore[arg-type]
    assert [frame for frame, _ in writer.pictures] == [frame_behind(4, n) for n in range(25)]
    assert writer.samples == 16_000
    expected = shown(make_cast(config), Stream()._until(25))
    np.testing.assert_allclose(np.stack([face for _, face in writer.pictures]), expected, atol=1e-6)


def test_only_what_a_stream_cannot_follow_is_named(caplog) -> None:
    words = ("mouth.amplitude=2", "retime=speech", "eyes.blinks=remove", "closure.strength=0.1")
    with caplog.at_level(logging.WARNING):
        live._tell_idle(settings(*(f"drive.{word}" for word in words)))
        assert len(caplog.records) == 1
        live._tell_idle(settings("drive.mouth.smoothing_s=0.1", "drive.jaw.strength=0"))
        # Weights of what is off may be those of the version that trained the actor.
        how = "drive.retiming.turn=9", "drive.eyes.rim_limit=0.5", "drive.delivery.first_number=1"
        live._tell_idle(settings(*how))
    assert len(caplog.records) == 1
    told = caplog.text
    assert "drive.retime, drive.eyes.blinks, drive.closure.strength:" in told
    assert "mouth" not in told


@pytest.mark.parametrize("word", ["format=h265", "bits=10", "chroma=444"])
def test_a_delivery_that_a_stream_has_not_is_named_itself(caplog, word: str) -> None:
    with caplog.at_level(logging.WARNING):
        live._tell_idle(settings(f"drive.delivery.{word}"))
    assert f"no drive.delivery.{word.split('=')[0]}:" in caplog.text


@pytest.mark.parametrize("word", ["occlusion", "grades"])
def test_what_is_measured_later_is_no_stage_of_taking_a_clip_apart(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, word: str
) -> None:
    asked: list[frozenset[str]] = []

    class EnoughError(Exception):
        """The rest of the stream is not of interest."""

    def measure(*words: Any) -> None:
        asked.append(words[4])
        raise EnoughError

    for name in ("require_trained", "require_face_model", "open_face_model"):
        monkeypatch.setattr(live, name, lambda *_: None)
    monkeypatch.setattr(live, "actor_config", lambda folder, config: config)
    monkeypatch.setattr(live, "open_footage", lambda *words: asked.append(words[3]))
    monkeypatch.setattr(live, "open_grades", measure)
    order, rerun = LiveOrder(tmp_path, "-", "udp://nobody"), frozenset({word, "fit"})
    with pytest.raises(EnoughError):
        live.drive_live(order, Config(), threading.Event(), rerun)
    assert asked == [{"fit"}, rerun]
