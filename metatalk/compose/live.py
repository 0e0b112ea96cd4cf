"""Pictures of a result that is not known in advance: drawn side by side, shown in time."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Generic, TypeVar

import numpy as np
import torch

from metatalk.compose.ahead import WriteBehind
from metatalk.compose.live_config import LiveConfig
from metatalk.compose.revoice import Patchable, Performance, Studio, revoice
from metatalk.morphable.coefficients import TrackCoefficients

LOG = logging.getLogger(__name__)
Job = TypeVar("Job")
Made = TypeVar("Made")

_JUDGED = 50  # frames that are looked at to tell whether they are made too slowly,
_TOO_MANY = 0.1  # which is so where so great a share of them were late
_PACE = 0.8  # and the frames came at no more than their own pace
_MOST_HELD = 7  # frames dropped for being overdue, before one is drawn all the same
_POLL_S = 0.1
_MOST_MS = 60_000


def frame_behind(length: int, number: int) -> int:
    """Find the footage frame behind a frame of a result that plays it forth and back for ever.

    >>> [frame_behind(3, number) for number in range(7)]
    [0, 1, 2, 1, 0, 1, 2]
    """
    step = number % max(2 * (length - 1), 1)
    return min(step, 2 * (length - 1) - step)


def draw_frame(
    picture: Patchable,
    frame: int,
    filmed: TrackCoefficients,
    transform: np.ndarray,
    expression: np.ndarray,
    strength: float,
    source: int | None,
    studio: Studio,
) -> Any:
    """Give one picture another mouth.

    Args:
        picture: of the footage.
        frame: its number.
        filmed: (1) the face in it.
        transform: (2, 3) its px to crop px.
        expression: (E,) the new face.
        strength: 1 shows the new face, 0 the filmed one.
        source: row of the library whose texture is carried to it; None where there is none.
        studio: actor and networks. A network that looks at the frames before and
            after sees this one in their place.

    Returns:
        The picture; for strength 0 the very one given.
    """
    performance = Performance(
        np.array([frame]),
        filmed,
        transform[None],
        torch.from_numpy(expression[None]),
        np.array([strength], np.float32),
        None if source is None else np.array([source]),
        first=frame,
    )
    return next(revoice([picture], performance, studio)).picture


class LatencyMeter:
    """Remembers how long frames took, to the millisecond; what it keeps does not grow."""

    def __init__(self) -> None:
        self._counts = np.zeros(_MOST_MS + 1, np.int64)

    def add(self, seconds: float) -> None:
        """Count one frame."""
        self._counts[int(np.clip(round(1e3 * seconds), 0, _MOST_MS))] += 1

    def percentile_ms(self, share: float) -> float:
        """Milliseconds that a share (0 to 1) of the frames did not exceed; 0 without frames."""
        total = int(self._counts.sum())
        if total == 0:
            return 0.0
        return float(np.searchsorted(self._counts.cumsum(), max(share * total, 1)))


class LiveShow(Generic[Job, Made]):
    """Draws frames on several threads and shows them in order, as soon as each is done.

    Use it as a context manager: leaving it waits for the last frame.

    Args:
        draw: makes a frame; called by several threads at once.
        show: takes what was drawn, and its job.
        hold: takes the job of a frame that was dropped; the last picture stays.
            `show` and `hold` are called by one thread, in the order of the frames.
        workers: frames drawn at once.
        config: what happens to frames that would come late.
        rate: frames a second that are to be shown.
        is_live: whether the frames come as slowly as they are shown; where they do not, `put`
            waits until there is room.
    """

    def __init__(
        self,
        draw: Callable[[Job], Made],
        show: Callable[[Made, Job], None],
        hold: Callable[[Job], None],
        workers: int,
        config: LiveConfig,
        rate: float,
        is_live: Callable[[], bool],
    ) -> None:
        self.dropped = self.drawn = 0
        self._draw, self._show, self._hold = draw, show, hold
        self._drops, self._rate, self._is_live = config.late == "drop", rate, is_live
        limit = workers + math.ceil(config.slack_s * rate)
        self._free = threading.Semaphore(limit)  # places for frames that are not shown yet
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="live-draw")
        # Dropped frames wait here, too, behind those that are being drawn.
        self._behind = WriteBehind[tuple[Future[Made] | None, Job]](self._take, 8 * limit)
        self._failed = False
        self._held = 0  # frames dropped since one was drawn
        self._recent: deque[tuple[float, bool]] = deque(maxlen=_JUDGED)  # when, and if too late
        self._told = False

    def __enter__(self) -> LiveShow[Job, Made]:
        self._behind.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._behind.__exit__(kind, error, traceback)
        finally:
            self._pool.shutdown(cancel_futures=True)

    def put(self, job: Job, is_overdue: bool = False) -> None:
        """Let the next frame be drawn, or drop it; an exception of an earlier one is raised.

        Args:
            job: what is to be drawn.
            is_overdue: it comes too late already. It is dropped if a picture was drawn lately.
        """
        may_drop = self._drops and self._is_live()
        is_skipped = may_drop and is_overdue and self._held < _MOST_HELD
        is_late = is_skipped or not self._free.acquire(blocking=False)
        self._recent.append((time.monotonic(), is_late))
        if is_late:
            self._judge_speed()
        if is_late and may_drop:
            self.dropped += 1
            self._held += 1
            self._behind.put((None, job))
            return
        self._held = 0
        while is_late and not self._failed:
            is_late = not self._free.acquire(timeout=_POLL_S)
        self.drawn += 1
        self._behind.put((self._pool.submit(self._draw, job), job))

    def _take(self, item: tuple[Future[Made] | None, Job]) -> None:
        future, job = item
        try:
            if future is None:
                self._hold(job)
            else:
                self._show(future.result(), job)
        except BaseException:
            self._failed = True
            raise
        finally:
            if future is not None:  # a dropped frame took no place
                self._free.release()

    def _judge_speed(self) -> None:
        """Say once that pictures are made too slowly, and how fast they are made."""
        late = sum(is_late for _, is_late in self._recent)
        seconds = max(time.monotonic() - self._recent[0][0], 1e-6)
        if self._told or late < _TOO_MANY * _JUDGED or not self._is_live():
            return
        if len(self._recent) < _JUDGED or seconds < _PACE * _JUDGED / self._rate:
            return  # what came all at once is no measure
        self._told = True
        made = _JUDGED - late if self._drops else _JUDGED
        LOG.warning(
            "only %.1f frames/s can be made here, of %.1f: %s",
            made / seconds,
            self._rate,
            "where one would come late, the last picture stays (--late wait makes them all)"
            if self._drops
            else "the result falls behind (--late drop keeps up, by leaving pictures out)",
        )
