"""Sharing the rows of a batch of pictures among threads."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

SMALLEST_BAND = 32  # rows; below this, starting a thread costs more than it saves


def share_rows(
    work: Callable[[int, int, int], None], pictures: int, height: int, threads: int | None = None
) -> None:
    """Call `work(picture, first_row, end_row)` until every row of every picture is done.

    The threads live for one call, so nothing is left behind that a fork could break, and
    callers on several threads do not meet. `work` must release the interpreter lock to gain.

    Args:
        work: fills rows first_row..end_row-1 of one picture; pieces never overlap.
        pictures: number of pictures B.
        height: rows of each picture.
        threads: at most this many at once; None means one for each core.
    """
    count = count_cores() if threads is None else threads
    pieces = _pieces(pictures, height, max(1, count))
    workers = min(count, len(pieces))
    if workers <= 1:
        for piece in pieces:
            work(*piece)
        return
    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(lambda piece: work(*piece), pieces):
            pass


def count_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _pieces(pictures: int, height: int, count: int) -> list[tuple[int, int, int]]:
    """Whole pictures while there are enough to keep `count` threads busy, else bands of rows."""
    bands = 1 if pictures >= 2 * count or pictures % count == 0 else count
    bands = max(1, min(bands, height // SMALLEST_BAND))
    edges = [height * band // bands for band in range(bands + 1)]
    return [
        (picture, edges[band], edges[band + 1])
        for picture in range(pictures)
        for band in range(bands)
    ]
