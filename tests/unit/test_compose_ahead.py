"""Threads that run ahead and behind: order, exceptions, and an end in every case."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import cv2
import pytest
import torch

from metatalk.compose.ahead import WriteBehind, map_in_order, one_thread_each, read_ahead

PATIENCE_S = 60  # for what comes about at once, but on a busy machine


def running(name: str) -> int:
    return sum(thread.name.startswith(name) for thread in set(threading.enumerate()) - ELSEWHERE)


ELSEWHERE: set[threading.Thread] = set()  # begun by other tests


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    ELSEWHERE.update(threading.enumerate())
    yield
    deadline = time.monotonic() + PATIENCE_S
    names = ("read-ahead", "write-behind", "map-in-order")
    while any(running(name) for name in names) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(running(name) for name in names)


@pytest.mark.parametrize("depth", [1, 3, 100])
def test_items_come_in_order(depth: int):
    assert list(read_ahead(range(50), depth)) == list(range(50))
    assert list(read_ahead([], depth)) == []


def test_none_is_an_item():
    assert list(read_ahead([None, 0, None], 2)) == [None, 0, None]


def test_reading_runs_ahead_but_no_further_than_asked():
    drawn: list[int] = []

    def source() -> Iterator[int]:
        for number in range(100):
            drawn.append(number)
            yield number

    items = read_ahead(source(), 4)
    assert next(items) == 0
    deadline = time.monotonic() + PATIENCE_S
    while len(drawn) < 6 and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(0.05)
    assert len(drawn) == 6  # one used, four waiting, one in hand
    items.close()  # type: ignore[attr-defined]


def test_nothing_is_drawn_before_it_is_asked_for():
    def source() -> Iterator[int]:
        raise AssertionError("drawn")
        yield 0

    read_ahead(source(), 2)
    assert running("read-ahead") == 0


def test_an_exception_of_the_source_falls_where_it_belongs():
    def source() -> Iterator[int]:
        yield from range(3)
        raise OSError("the disk is gone")

    got = []
    with pytest.raises(OSError, match="disk is gone"):
        got.extend(read_ahead(source(), 1))
    items = read_ahead(source(), 10)
    assert [next(items) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(OSError, match="disk is gone"):
        next(items)


def test_stopping_early_stops_the_source():
    closed = threading.Event()

    def source() -> Iterator[int]:
        try:
            number = 0
            while True:
                yield (number := number + 1)
        finally:
            closed.set()

    for item in read_ahead(source(), 2):
        if item == 5:
            break
    assert closed.wait(PATIENCE_S)


def test_an_exception_of_the_user_stops_the_source():
    def work() -> None:
        for item in read_ahead(range(1000), 2):
            1 / (item - 3)

    with pytest.raises(ZeroDivisionError):
        work()


@pytest.mark.parametrize("depth", [1, 4])
def test_everything_is_written_in_order_before_leaving(depth: int):
    written: list[int] = []

    def slow(item: int) -> None:
        time.sleep(0.001)
        written.append(item)

    with WriteBehind[int](slow, depth) as behind:
        for item in range(30):
            behind.put(item)
    assert written == list(range(30))


def test_writing_runs_beside_the_work():
    seen: list[str] = []
    with WriteBehind[int](lambda item: seen.append(threading.current_thread().name), 2) as behind:
        behind.put(1)
    assert seen == ["write-behind"]


def test_the_last_items_exception_is_raised_on_leaving():
    def refuse(item: int) -> None:
        raise OSError("full")

    behind = WriteBehind[int](refuse, 3)
    with pytest.raises(OSError, match="full"), behind:
        behind.put(1)


def test_an_exception_is_raised_at_the_next_item_and_nothing_more_is_written():
    written: list[int] = []

    def consume(item: int) -> None:
        if item == 3:
            raise OSError("full")
        written.append(item)

    put = []

    def work() -> None:
        with WriteBehind[int](consume, 1) as behind:
            for item in range(1000):
                behind.put(item)
                put.append(item)

    with pytest.raises(OSError, match="full"):
        work()
    assert written == [0, 1, 2]
    assert len(put) < 10


def test_an_exception_of_the_work_wins_and_drops_what_waits():
    started, is_left = threading.Event(), threading.Event()
    written: list[int] = []

    def consume(item: int) -> None:
        started.set()
        assert is_left.wait(PATIENCE_S)
        written.append(item)

    class Told(WriteBehind[int]):
        """Says when it has been told of the exception: before it waits for its thread."""

        def __exit__(self, *told: Any) -> None:
            join = self._thread.join
            self._thread.join = lambda: is_left.set() or join()  # type: ignore[assignment]
            super().__exit__(*told)

    def work() -> None:
        with Told(consume, 5) as behind:
            for item in range(4):
                behind.put(item)
            assert started.wait(PATIENCE_S)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert written == [0]


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_what_is_made_at_once_comes_in_order(workers: int):
    def slower_at_first(number: int) -> int:
        time.sleep(0.002 * (number % 3 == 0))
        return number * number

    assert list(map_in_order(slower_at_first, range(20), workers)) == [n * n for n in range(20)]
    assert list(map_in_order(slower_at_first, [], workers)) == []


def test_items_are_worked_on_at_the_same_time():
    meeting = threading.Barrier(2, timeout=PATIENCE_S)
    assert list(map_in_order(lambda _: meeting.wait() >= 0, range(4), 2)) == [True] * 4


def test_no_more_is_drawn_than_can_be_worked_on():
    drawn: list[int] = []
    made = map_in_order(lambda number: number, (drawn.append(n) or n for n in range(100)), 2)  # type: ignore[func-returns-value]
    assert next(made) == 0
    assert len(drawn) == 3  # one made, two under way
    made.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_exception_of_the_work_falls_where_it_belongs(workers: int):
    got: list[float] = []
    with pytest.raises(ZeroDivisionError):
        got.extend(map_in_order(lambda number: 1 / (number - 3), range(100), workers))
    assert got == [-1 / 3, -1 / 2, -1.0]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_exception_of_the_items_comes_through(workers: int):
    def source() -> Iterator[int]:
        yield 1
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="disk is gone"):
        list(map_in_order(lambda number: number, source(), workers))


def test_threads_within_threads_are_held_back_and_given_back():
    before = torch.get_num_threads(), cv2.getNumThreads()
    try:
        torch.set_num_threads(2)
        cv2.setNumThreads(2)
        with one_thread_each():
            seen = map_in_order(lambda _: (torch.get_num_threads(), cv2.getNumThreads()), [0, 1], 2)
            assert list(seen) == [(1, 1), (1, 1)]
        assert (torch.get_num_threads(), cv2.getNumThreads()) == (2, 2)
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])
