"""Batches drawn in a thread of their own, while the networks learn from those before."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

Item = TypeVar("Item")


class DrawAhead(Generic[Item]):
    """Hands out the batches of consecutive steps.

    Args:
        draw: makes the batch of a step; what it returns must depend on the step alone.
        first: the first step.
        depth: how many batches may wait; bounds the memory.
    """

    def __init__(self, draw: Callable[[int], Item], first: int, depth: int = 2) -> None:
        self._draw, self._next = draw, first
        self._pool = ThreadPoolExecutor(1, "draw-ahead")
        self._waiting: deque[Future[Item]] = deque()
        for _ in range(depth):
            self._order()

    def take(self) -> Item:
        """The next step's batch; an exception of `draw` is raised where it falls."""
        self._order()
        return self._waiting.popleft().result()

    def close(self) -> None:
        """Stop drawing and wait for the batch that is being drawn."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _order(self) -> None:
        self._waiting.append(self._pool.submit(self._draw, self._next))
        self._next += 1
