"""The stage of live streams: what it hears with, and what it tells of a stream that never began."""

from __future__ import annotations

import logging
import threading
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from metatalk.a2e import activity
from metatalk.a2e.level_detector import LevelDetector
from metatalk.config import Config, load_config
from metatalk.errors import MissingAssetError
from metatalk.media.audio import SoundBlock
from metatalk.media.live import ReaderGoneError
from metatalk.media.live_sound import SoundFeed
from metatalk.stages import live


def settings(*words: str) -> Config:
    return load_config("draft", None, list(words))


@pytest.fixture
def make_cast(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A cast without networks, in front of four frames."""
    network = SimpleNamespace(fingerprint="")
    monkeypatch.setattr(live, "load_mouth", lambda *_: (None, network))
    monkeypatch.setattr(live, "reopen_ears", lambda *_: None)
    track = SimpleNamespace(expression=torch.zeros(4, 2), is_trusted=torch.ones(4).bool())
    footage: Any = SimpleNamespace(
        track=track,
        landmarks=SimpleNamespace(shots=np.array([[0, 4]])),
        index=SimpleNamespace(rate=Fraction(25)),
        clip="clip.mp4",
    )
    monkeypatch.setattr(live, "known_strength", lambda *_: np.ones(4, np.float32))
    folder: Any = SimpleNamespace(path=lambda name: name)
    opened: Any = SimpleNamespace(studio=None, transforms=None, library=None)
    return lambda config: live.Cast(folder, footage, config, opened)


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
    assert "nobody reads" in caplog.text
