"""Whether sound is spoken as it is heard: by the wait for it, not by the time that it takes."""

from __future__ import annotations

import itertools
import os
import select
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from metatalk.media.audio import Sound, SoundBlock, write_wav
from metatalk.media.live_sound import SoundFeed, open_live_sound

BLOCKS = [SoundBlock(np.zeros((1, 640), np.float32), 16000, "mono")] * 25


@pytest.fixture
def stop() -> threading.Event:
    return threading.Event()


@pytest.mark.parametrize(("pause_s", "is_live"), [(0.04, True), (0.0, False)])
def test_a_source_that_speaks_is_told_from_one_that_is_read(
    stop: threading.Event, monkeypatch: pytest.MonkeyPatch, pause_s: float, is_live: bool
) -> None:
    now_s = 0.0

    def speak() -> Iterator[SoundBlock]:
        nonlocal now_s
        now_s += 0.3  # before its first word
        for block in BLOCKS:
            yield block
            now_s += pause_s

    clock = SimpleNamespace(monotonic=lambda: now_s)
    monkeypatch.setattr("metatalk.media.live_sound.time", clock)

    feed = SoundFeed(speak(), stop)
    assert sum(block.samples.shape[1] for block, _ in feed) == 16000
    assert feed.is_live == is_live


@pytest.mark.parametrize("kind", ["file", "pipe"])
def test_a_busy_machine_makes_no_file_live(
    tmp_path: Path, stop: threading.Event, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """However late each block is had: it was there, and only what is not is waited for."""
    place = tmp_path / "sound.wav"
    write_wav(place, Sound(np.zeros(16000, np.float32), 16000))
    pipe = os.pipe()
    try:
        if kind == "pipe":
            place = Path(f"/dev/fd/{pipe[0]}")
            os.write(pipe[1], bytes(32000))  # less than it holds
        os.close(pipe[1])
        clock = SimpleNamespace(monotonic=itertools.count().__next__)  # a second at each look
        monkeypatch.setattr("metatalk.media.live_sound.time", clock)
        with open_live_sound(str(place), stop) as sound:
            feed = SoundFeed(sound, stop)
            assert sum(block.samples.shape[1] for block, _ in feed) == 16000
            assert not feed.is_live
    finally:
        os.close(pipe[0])


def test_a_pipe_whose_speaker_pauses_is_live(
    stop: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = os.pipe()
    asked = threading.Semaphore(0)  # as often as a look found nothing

    def looks(*given: Any) -> Any:
        if given[3] == 0:
            return [], [], []  # not there yet
        asked.release()
        return select.select(*given)

    monkeypatch.setattr("metatalk.media.live_sound.select", SimpleNamespace(select=looks))
    clock = SimpleNamespace(monotonic=itertools.count().__next__)
    monkeypatch.setattr("metatalk.media.live_sound.time", clock)
    try:
        with open_live_sound(f"/dev/fd/{reader}", stop) as sound:
            feed = SoundFeed(sound, stop)
            for _ in range(5):
                assert asked.acquire(timeout=60)
                os.write(writer, bytes(3200))  # a tenth of a second
            os.close(writer)
            assert sum(block.samples.shape[1] for block, _ in feed) == 8000
            assert feed.is_live
    finally:
        os.close(reader)
