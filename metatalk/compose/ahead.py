"""Work that runs ahead of, or behind, the work that waits for it."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from types import TracebackType
from typing import Generic, TypeVar

import cv2
import torch

Item = TypeVar("Item")
Made = TypeVar("Made")
_END = object()


def read_ahead(items: Iterable[Item], depth: int) -> Iterator[Item]:
    """Draw from an iterable in a thread of its own, so that decoding overlaps with use.

    Args:
        items: what to draw from.
        depth: how many items may wait; bounds the memory.

    Returns:
        The same items in the same order; an exception of the source is raised where it falls.
    """
    waiting: queue.Queue[object] = queue.Queue(depth)
    stopped = threading.Event()

    def hand_over(item: object) -> bool:
        while not stopped.is_set():
            try:
                waiting.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def draw() -> None:
        try:
            for item in items:
                if not hand_over(item):
                    return
            hand_over(_END)
        except BaseException as error:
            hand_over(_Failure(error))

    thread = threading.Thread(target=draw, name="read-ahead", daemon=True)
    thread.start()
    try:
        while (item := waiting.get()) is not _END:
            if isinstance(item, _Failure):
                raise item.error
            yield item  # type: ignore[misc]
    finally:
        stopped.set()
        thread.join()


def map_in_order(
    work: Callable[[Item], Made], items: Iterable[Item], workers: int
) -> Iterator[Made]:
    """Work on several items at once, each whole and in a thread of its own.

    Cores that each do one item from end to end never wait for each other, whatever its steps
    cost. `work` must release the interpreter lock to gain.

    Args:
        work: what is done with an item.
        items: drawn from by the caller's thread, one more than there are workers.
        workers: how many items are worked on at once; 1 works in the caller's thread.

    Returns:
        What `work` made, in the order of the items; an exception is raised where it falls.
    """
    if workers <= 1:
        yield from map(work, items)
        return
    source, under_way = iter(items), deque[Future[Made]]()
    with ThreadPoolExecutor(workers, thread_name_prefix="map-in-order") as pool:
        try:
            for item in source:
                under_way.append(pool.submit(work, item))
                if len(under_way) > workers:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        finally:
            for left in under_way:
                left.cancel()


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Keep PyTorch and OpenCV to the thread that calls them, and as before afterwards.

    For work that is shared out whole, by `map_in_order`: threads within threads wait for each
    other, and burn the time that the others need.
    """
    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])


class _Failure:
    def __init__(self, error: BaseException) -> None:
        self.error = error


class WriteBehind(Generic[Item]):
    """Hands items to a function in a thread of its own, so that encoding overlaps with work.

    Use as a context manager: leaving it waits for the last item. An exception of the function
    is raised at the next `put`, or on leaving.
    """

    def __init__(self, consume: Callable[[Item], None], depth: int) -> None:
        self._consume = consume
        self._waiting: queue.Queue[object] = queue.Queue(depth)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="write-behind", daemon=True)

    def __enter__(self) -> WriteBehind[Item]:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None:
            self._error = self._error or error  # what still waits is dropped
        self._waiting.put(_END)
        self._thread.join()
        if error is None and self._error is not None:
            raise self._error

    def put(self, item: Item) -> None:
        """Queue an item; waits while `depth` items are queued already."""
        if self._error is not None:
            raise self._error
        self._waiting.put(item)

    def _run(self) -> None:
        while (item := self._waiting.get()) is not _END:
            if self._error is None:
                try:
                    self._consume(item)  # type: ignore[arg-type]
                except BaseException as error:
                    self._error = error
