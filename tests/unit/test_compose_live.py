"""A live show keeps the order and its pace, whatever drawing costs."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from metatalk.cli import main
from metatalk.compose.live import LatencyMeter, LiveShow, frame_behind
from metatalk.compose.live_config import LiveConfig
from metatalk.compose.retiming.plan import forth_and_back
from metatalk.errors import ConfigError

RATE = 25.0


@pytest.mark.parametrize("length", [1, 2, 3, 10])
def test_the_footage_plays_as_it_does_behind_a_recording(length: int) -> None:
    frames = [frame_behind(length, number) for number in range(50)]
    assert frames == forth_and_back(length, 50).tolist()


def test_latency_is_told_by_its_percentiles() -> None:
    meter = LatencyMeter()
    assert meter.percentile_ms(0.5) == 0
    delays = np.random.default_rng(0).uniform(0.1, 0.4, 1001)
    for delay in delays:
        meter.add(delay)
    for share in (0.05, 0.5, 0.95):
        assert meter.percentile_ms(share) == pytest.approx(
            1e3 * np.quantile(delays, share), abs=1.5
        )
    meter.add(1e9)
    assert meter.percentile_ms(1.0) == 60_000


class Audience:
    """Sees what is shown, and draws only when it is let."""

    def __init__(self, is_open: bool = True) -> None:
        self.seen: list[tuple[str, int]] = []
        self._doors = threading.Semaphore(1000 if is_open else 0)

    def draw(self, job: int) -> int:
        self._doors.acquire()
        return job

    def show(self, made: int, job: int) -> None:
        assert made == job
        self.seen.append(("shown", job))

    def hold(self, job: int) -> None:
        self.seen.append(("held", job))

    def let(self, count: int) -> None:
        self._doors.release(count)


@pytest.fixture
def open_show() -> Iterator[Callable[..., LiveShow[int, int]]]:
    def make(
        audience: Audience,
        *,
        late: str = "drop",
        live: bool = True,
        slack_s: float = 0.08,
        is_live: Callable[[], bool] | None = None,
    ) -> LiveShow[int, int]:
        config = LiveConfig(late=late, slack_s=slack_s)  # type: ignore[arg-type]
        told = is_live or (lambda: live)
        return LiveShow(audience.draw, audience.show, audience.hold, 2, config, RATE, told)

    return make


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "it never came about"
        time.sleep(0.001)


def test_frames_are_shown_in_order(open_show) -> None:
    audience = Audience()
    with open_show(audience, live=False) as show:
        for job in range(100):
            show.put(job)
    assert audience.seen == [("shown", job) for job in range(100)]
    assert (show.drawn, show.dropped) == (100, 0)


def test_late_frames_leave_the_last_picture(open_show) -> None:
    audience = Audience(is_open=False)
    with open_show(audience) as show:  # two are drawn, two may wait
        for job in range(10):
            show.put(job)
        assert (show.drawn, show.dropped) == (4, 6)
        audience.let(4)
        wait_until(lambda: len(audience.seen) == 10)
        show.put(10)
        audience.let(1)
    kinds = [kind for kind, _ in audience.seen]
    assert [job for _, job in audience.seen] == list(range(11))
    assert kinds == ["shown"] * 4 + ["held"] * 6 + ["shown"]


@pytest.mark.parametrize(("late", "live"), [("wait", True), ("drop", False)])
def test_nothing_is_left_out_where_one_may_wait(open_show, late: str, live: bool) -> None:
    audience = Audience(is_open=False)
    with open_show(audience, late=late, live=live) as show:
        feeder = threading.Thread(target=lambda: [show.put(job) for job in range(10)])
        feeder.start()
        wait_until(lambda: show.drawn == 4)
        time.sleep(0.05)
        assert show.drawn == 4  # it waits: memory stays bounded
        audience.let(100)
        feeder.join()
    assert audience.seen == [("shown", job) for job in range(10)]


def test_what_is_overdue_is_left_out_but_not_for_ever(open_show) -> None:
    audience = Audience()
    with open_show(audience, slack_s=1.0) as show:
        for job in range(24):
            show.put(job, is_overdue=True)
    shown = [job for kind, job in audience.seen if kind == "shown"]
    assert shown == [7, 15, 23]


def test_an_error_of_drawing_is_raised_where_frames_are_put(open_show) -> None:
    audience = Audience()

    def fail(job: int) -> int:
        raise ZeroDivisionError(job)

    audience.draw = fail  # type: ignore[method-assign]

    def play() -> None:
        with open_show(audience, late="wait") as show:
            for job in range(1000):
                show.put(job)

    with pytest.raises(ZeroDivisionError):
        play()


def test_an_error_of_holding_ends_the_wait_of_a_later_frame(open_show) -> None:
    audience, may_fail, told = Audience(), threading.Event(), threading.Event()
    live = [True]

    def fail(job: int) -> None:
        may_fail.wait(60)
        raise ZeroDivisionError(job)

    audience.hold = fail  # type: ignore[method-assign]

    def put_one_more(show: LiveShow[int, int]) -> None:
        with pytest.raises(ZeroDivisionError):
            show.put(5)
        told.set()

    def play() -> None:
        with open_show(audience, is_live=lambda: live[0]) as show:
            show.put(0, is_overdue=True)
            for job in range(1, 5):  # all places, behind the frame that is being held
                show.put(job)
            live[0] = False
            threading.Thread(target=put_one_more, args=(show,), daemon=True).start()
            time.sleep(0.05)
            may_fail.set()
            assert told.wait(60), "it waits for ever"

    with pytest.raises(ZeroDivisionError):
        play()


def test_slowness_is_told_once(open_show, caplog, monkeypatch) -> None:
    clock = itertools.count()
    ticking = SimpleNamespace(monotonic=lambda: 0.04 * next(clock))
    monkeypatch.setattr("metatalk.compose.live.time", ticking)
    audience = Audience(is_open=False)
    with caplog.at_level(logging.WARNING), open_show(audience) as show:
        for job in range(200):
            show.put(job)
            if job % 2:  # every other one is drawn
                audience.let(1)
            threading.Event().wait(0.001)
        audience.let(1000)
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 1
    assert "of 25.0" in told[0]


def test_what_comes_at_once_is_no_slowness(open_show, caplog, monkeypatch) -> None:
    monkeypatch.setattr("metatalk.compose.live.time", SimpleNamespace(monotonic=lambda: 0.0))
    audience = Audience(is_open=False)
    with caplog.at_level(logging.WARNING), open_show(audience) as show:
        for job in range(70):
            show.put(job)
            if job > 20:
                audience.let(1)
        audience.let(100)
    assert not caplog.records


@pytest.mark.parametrize(
    "wrong", [{"late": "never"}, {"slack_s": -1.0}, {"slack_s": 11.0}, {"encoder_preset": "x"}]
)
def test_impossible_settings_are_refused(wrong) -> None:
    with pytest.raises(ConfigError, match=r"drive\.live"):
        LiveConfig(**wrong)


def test_the_command_s_word_on_lateness_wins_over_the_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[str] = []

    def play(**asked: Any) -> dict[str, float]:
        given.append(asked["config"].drive.live.late)
        return {}

    monkeypatch.setattr("metatalk.stages.live.drive_live", play)
    words = ["live", str(tmp_path), "-", "drive.live.late=wait", "-o", str(tmp_path / "out.mkv")]
    assert main([*words, "--preset", "draft"]) == 0
    assert main([*words, "--preset", "draft", "--late", "drop"]) == 0
    assert given == ["wait", "drop"]


def test_the_command_s_knobs_of_the_mouth_are_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[float, float, float]] = []

    def play(**asked: Any) -> dict[str, float]:
        mouth = asked["config"].drive.mouth
        given.append((mouth.amplitude, mouth.smoothing_s, mouth.consonants))
        return {}

    monkeypatch.setattr("metatalk.stages.live.drive_live", play)
    words = ["live", str(tmp_path), "-", "-o", str(tmp_path / "out.mkv"), "--preset", "draft"]
    assert main([*words, "drive.mouth.amplitude=2"]) == 0
    knobs = ["--amplitude", "1.2", "--smoothing", "0.04", "--consonants", "0.5"]
    assert main([*words, *knobs, "drive.mouth.amplitude=2"]) == 0
    assert main([*words, "--amplitude", "4"]) == 2
    assert given == [(2, 0, 0), (1.2, 0.04, 0.5)]
