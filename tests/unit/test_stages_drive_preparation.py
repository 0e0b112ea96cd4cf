"""What comes before the first frame: asked once, in an order that fails early."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from eye_toys import eye_track
from face_toys import CAMERA, toy_model, toy_track

from metatalk.compose.config import DriveConfig
from metatalk.compose.eyes.config import EyesConfig
from metatalk.compose.eyes.patches import EyeClip
from metatalk.compose.mouth_config import MouthConfig
from metatalk.compose.retiming.config import RetimingConfig
from metatalk.compose.segments_config import SegmentsConfig
from metatalk.config import Config
from metatalk.errors import ConfigError, MetatalkError
from metatalk.media.colour import ColourTags
from metatalk.media.picture import Picture
from metatalk.stages import drive_parts, drive_preparation, retiming
from metatalk.stages.drive_order import DriveOrder
from metatalk.stages.drive_preparation import Drive, prepare_drive
from metatalk.stages.footage import Footage
from metatalk.stages.keeping import Kept
from metatalk.stages.performer import Performer
from metatalk.timing import FrameIndex

MODEL, FRAMES, RATE = toy_model(), 30, Fraction(25)
LOWER = MODEL.lower_units.numpy()
WORDS = Path("words.wav")


class Saying:
    """A mouth that opens with the time, and remembers what it was asked."""

    rest = np.zeros(len(LOWER), np.float32)

    def __init__(self, heard_s: Fraction) -> None:
        self.heard_s = heard_s
        self.asked: list[np.ndarray] = []

    def move(self, seconds: np.ndarray) -> np.ndarray:
        self.asked.append(seconds)
        return np.repeat(seconds[:, None], len(LOWER), 1).astype(np.float32)

    def finish(self, shown: np.ndarray, seconds: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        assert len(shown) == len(seconds)
        self.predicted = predicted
        return shown


def footage() -> Footage:
    index = FrameIndex(np.arange(FRAMES), 1 / RATE, RATE)
    landmarks = eye_track(np.full(FRAMES, 0.3))
    return Footage(Path("clip.mp4"), index, landmarks, toy_track(FRAMES), CAMERA, Path())


def blank(clip: Path) -> list[Picture]:
    planes = np.full((64, 64), 100, np.uint8), *(np.full((32, 32), 128, np.uint8),) * 2
    return [Picture(n, n, planes, ColourTags()) for n in range(FRAMES)]


class Bench:
    """A trained actor that is not there, and what was asked of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.mouth = Saying(Fraction(2))
        self.steps: list[str] = []
        self.standing: Any = None
        self.staged: list[tuple[Any, ...]] = []
        self.read: list[Path] = []
        self.eyes: list[tuple[Any, ...]] = []
        self.taken_apart: list[frozenset[str]] = []  # anew
        self.measured: list[frozenset[str]] = []
        self.clip = footage()
        transforms = np.tile(np.array([[1.0, 0, 0], [0, 1, 0]]), (FRAMES, 1, 1))
        opened = SimpleNamespace(
            transforms=transforms, studio=SimpleNamespace(scene=None), library=None
        )
        made: dict[str, Callable[..., Any]] = {
            "require_trained": lambda *_: None,
            "require_face_model": lambda *_: None,
            "actor_config": lambda folder, config: config,
            "open_face_model": lambda *_: MODEL,
            "audio_duration": lambda path: self.mouth.heard_s,
            "open_footage": lambda *words: self._open(words[3], self.clip),
            "open_spoken_mouth": lambda *_: self.mouth,
            "keep_filmed": lambda *words: self._keep(words[3]),
            "open_grades": lambda *words: self.measured.append(words[4]),
            "open_studio": lambda *words: self.staged.append(words) or opened,
            "prepare_eyes": lambda *words: self.eyes.append(words),
        }
        for name, instead in made.items():
            monkeypatch.setattr(drive_preparation, name, instead)
        monkeypatch.setattr(retiming, "read_pictures", blank)
        monkeypatch.setattr(retiming, "read_sound", self._read)

    def _open(self, rerun: frozenset[str], clip: Footage) -> Footage:
        self.taken_apart.append(rerun)
        return clip

    def _keep(self, rerun: frozenset[str]) -> Any:
        self.steps.append("keep")
        self.measured.append(rerun)
        return Kept([], np.ones(FRAMES, np.float32), self.standing)

    def _read(self, path: Path) -> Any:
        self.read.append(path)
        return SimpleNamespace(samples=np.zeros(32000, np.float32))

    def prepare(self, order: DriveOrder | None = None, *rerun: str, **drive: Any) -> Drive:
        asked = order or DriveOrder(Path("actor"), Path("out.mp4"), WORDS)
        weights = {"retiming": RetimingConfig(run_s=0.2), **drive}
        config = Config(drive=DriveConfig(**weights))
        return prepare_drive(asked, config, Path("scratch"), frozenset(rerun))


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(monkeypatch)


@pytest.mark.parametrize("retime", ["loop", "speech", "pose"])
def test_the_mouth_is_asked_once_and_for_the_times_that_are_shown(
    bench: Bench, retime: str
) -> None:
    drive = bench.prepare(retime=retime)
    (asked,) = bench.mouth.asked
    np.testing.assert_array_equal(asked, drive.plan.seconds())
    assert len(drive.plan) == 50
    shown = drive.performance.expression.numpy()
    said = np.repeat(asked[:, None].astype(np.float32), LOWER.sum(), 1)
    np.testing.assert_array_equal(shown[:, LOWER], said)
    filmed = drive.performance.filmed.expression.numpy()
    np.testing.assert_array_equal(shown[:, ~LOWER], filmed[:, ~LOWER])


@pytest.mark.parametrize(
    ("retime", "blinks", "times"),
    [("loop", "keep", 0), ("loop", "remove", 1), ("pose", "keep", 1), ("speech", "replace", 1)],
)
def test_the_recording_is_listened_to_once_if_at_all(
    bench: Bench, retime: str, blinks: Any, times: int
) -> None:
    drive = bench.prepare(retime=retime, eyes=EyesConfig(blinks))
    drive.part(10, 20)
    assert bench.read == [WORDS] * times
    assert drive.hearing.sound == WORDS


def test_eyes_are_planned_for_what_is_shown(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = np.ones(FRAMES, np.float32)
    kept[10:20] = 0
    monkeypatch.setattr(drive_preparation, "keep_filmed", lambda *_: Kept([], kept))
    drive = bench.prepare(eyes=EyesConfig("remove"))
    ((task, clip, config, _),) = bench.eyes
    assert task.shown is drive.plan
    np.testing.assert_array_equal(task.may_change, drive.strength > 0)
    assert not task.may_change[10:20].any()
    assert isinstance(clip, EyeClip)
    assert clip.track is bench.clip.track
    assert config == EyesConfig("remove")


def test_closures_know_the_mouth_as_it_was_before_the_knobs(bench: Bench) -> None:
    plain = bench.prepare().performance.expression.numpy()
    drive = bench.prepare(mouth=MouthConfig(amplitude=0.5))
    np.testing.assert_array_equal(bench.mouth.predicted, plain)
    assert np.abs(drive.performance.expression.numpy() - plain)[:, LOWER].max() > 0.1


def test_what_stands_before_the_face_is_looked_up_once(bench: Bench) -> None:
    bench.standing = object()
    bench.prepare()
    assert bench.steps == ["keep"]
    ((*_, handed),) = bench.staged
    assert handed is bench.standing


def test_footage_that_is_too_short_is_told_before_it_is_looked_at(bench: Bench) -> None:
    with pytest.raises(ConfigError, match="drive.retime is off"):
        bench.prepare(retime="off")
    assert not bench.steps
    assert not bench.mouth.asked
    bench.prepare(retime="off", length="video")
    assert bench.steps == ["keep"]


@pytest.mark.parametrize("asked", [{"segments": "5-6"}, {"preview": "0:05"}], ids=str)
def test_so_are_times_that_the_result_does_not_have(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, asked: dict[str, str]
) -> None:
    info = SimpleNamespace(timecode=None)
    monkeypatch.setattr(drive_parts, "probe_video", lambda path: info)
    order = DriveOrder(Path("actor"), Path("out.mp4"), WORDS, **asked)  # type: ignore[arg-type]
    with pytest.raises(MetatalkError):
        bench.prepare(order)
    assert not bench.steps
    assert not bench.mouth.asked


def test_parts_are_new_and_the_rest_is_as_filmed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drive_parts, "probe_video", lambda path: SimpleNamespace(timecode=None))
    bench.mouth.heard_s = Fraction(FRAMES, 25)
    for words, new in (("0-0.2", range(5)), ("1-9", range(25, 30)), ("0.4-0.6", range(10, 15))):
        drive = bench.prepare(
            DriveOrder(Path("actor"), Path("out.mp4"), WORDS, segments=words),
            segments=SegmentsConfig(ramp_s=0.0),
        )
        assert np.flatnonzero(drive.strength).tolist() == list(new)
        shown, filmed = drive.performance.expression.numpy(), bench.clip.track.expression.numpy()
        still = drive.strength == 0
        np.testing.assert_array_equal(shown[still], filmed[still])


@pytest.mark.parametrize("own_sound", [True, False])
def test_what_is_acted_is_heard_where_nothing_else_is_given(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, own_sound: bool
) -> None:
    performed, opened = footage(), []
    monkeypatch.setattr(drive_preparation, "open_performance", lambda *_: performed)
    monkeypatch.setattr(drive_preparation, "align_sound", lambda clip, length_s, copy: copy)

    def open_acted(folder: Any, clip: Footage, who: Performer, heard_s: Fraction, _: Any) -> Saying:
        opened.append((clip, heard_s))
        return Saying(heard_s)

    monkeypatch.setattr(drive_preparation, "open_acted_mouth", open_acted)
    order = DriveOrder(
        Path("actor"), Path("out.mp4"), None if own_sound else WORDS,
        performer=Performer(Path("act.mp4")),
    )  # fmt: skip
    drive = bench.prepare(order)
    ((clip, heard_s),) = opened
    assert clip is performed
    assert heard_s == (Fraction(FRAMES, 25) if own_sound else Fraction(2))
    assert drive.sound == (Path("scratch/sound.flac") if own_sound else WORDS)
    assert len(drive.plan) == 25 * heard_s


@pytest.mark.parametrize("word", ["occlusion", "grades"])
def test_what_is_measured_later_is_no_stage_of_taking_a_clip_apart(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    performed = footage()
    monkeypatch.setattr(
        drive_preparation, "open_performance", lambda *words: bench._open(words[4], performed)
    )
    monkeypatch.setattr(drive_preparation, "open_acted_mouth", lambda *_: Saying(Fraction(1)))
    acted = DriveOrder(Path("actor"), Path("out.mp4"), WORDS, performer=Performer(Path("act.mp4")))
    bench.prepare(acted, word, "fit")
    assert bench.taken_apart == [{"fit"}] * 2
    assert bench.measured == [{word, "fit"}] * 2
