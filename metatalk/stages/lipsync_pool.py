"""Clips prepared side by side: a process each, whose death costs one clip and not the run."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing import connection
from pathlib import Path
from typing import Any

from metatalk.errors import ConfigError, MissingAssetError
from metatalk.stages.lipsync_corpus import DISK_REMEDIES, Source
from metatalk.stages.lipsync_tracks import Preparation, prepare_clip, remove_tracks

LOG = logging.getLogger(__name__)
_POLL_S = 0.5  # between two looks at how many frames are done
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")

_count: Any = None  # of frames looked at by all workers; a process's own handle on it

Report = Callable[[int], None]


def prepare_side_by_side(
    sources: Sequence[Source], corpus: Path, preparation: Preparation, workers: int, report: Report
) -> Iterator[Source]:
    """Prepare clips on several cores.

    Args:
        sources: the clips.
        corpus: the folder.
        preparation: how.
        workers: clips at a time; each takes one core and a few pictures of memory. 1 works in
            this process.
        report: told now and then how many frames have been looked at in all.

    Yields:
        Each clip when it is done, in no fixed order.

    Raises:
        OSError: the corpus cannot be written.
        MissingAssetError: the detector's package or weights are not there.
    """
    if workers == 1:
        yield from _in_turn(sources, corpus, preparation, report)
        return
    context = multiprocessing.get_context("spawn")
    todo, suspects = deque(sources), deque[Source]()
    before = 0  # frames that earlier pools have looked at
    with _one_thread_each():
        while todo or suspects:
            queue, ahead = (todo, workers) if todo else (suspects, 1)
            # A pool's own, and read without its lock: a process that dies may hold that for ever.
            count = context.Value("q", 0)
            pool = ProcessPoolExecutor(ahead, context, _begin_worker, (count,))
            with _ended(pool):
                for source in _through(pool, queue, ahead, corpus, preparation):
                    report(before + count.get_obj().value)
                    if source is None:
                        continue
                    if source.error == _DIED and ahead > 1:
                        suspects.append(source)  # one of several: each is tried by itself
                    else:
                        yield source
            before += count.get_obj().value


_DIED = "the process that worked on it died: too little memory, or damage that a decoder chokes on"


def _in_turn(
    sources: Sequence[Source], corpus: Path, preparation: Preparation, report: Report
) -> Iterator[Source]:
    frames = 0

    def add(more: int) -> None:
        nonlocal frames
        frames += more
        report(frames)

    for source in sources:
        yield _prepare(source, corpus, preparation, add)


def _through(
    pool: ProcessPoolExecutor,
    queue: deque[Source],
    ahead: int,
    corpus: Path,
    preparation: Preparation,
) -> Iterator[Source | None]:
    """Clips as they are done, and None while waiting; ends early where the pool breaks.

    No more clips are handed out than are worked on, so that a pool that breaks names suspects.
    """
    running: dict[Future[Source], Source] = {}
    is_broken = False
    while running or (queue and not is_broken):
        while queue and len(running) < ahead and not is_broken:
            source = queue.popleft()
            try:
                running[pool.submit(_prepare, source, corpus, preparation, None)] = source
            except BrokenProcessPool:
                queue.appendleft(source)
                is_broken = True
        done, _ = wait(running, _POLL_S, FIRST_COMPLETED)
        for future in done:
            source = running.pop(future)
            try:
                yield future.result()
            except BrokenProcessPool:
                is_broken = True
                remove_tracks(corpus, source.digest)
                yield replace(source, error=_DIED, again=True)
        if not done:
            yield None


def _prepare(
    source: Source, corpus: Path, preparation: Preparation, report: Report | None
) -> Source:
    """Prepare a clip; whatever its content does to a library is its own fault, not the run's."""
    try:
        return prepare_clip(source, corpus, preparation, report or _add_to_count)
    except (MissingAssetError, ConfigError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in DISK_REMEDIES:
            raise
        LOG.debug("%s:\n%s", source.path, traceback.format_exc())
        remove_tracks(corpus, source.digest)
        return replace(source, error=f"unexpected: {type(error).__name__}: {error}", again=True)


def _begin_worker(count: Any) -> None:
    """Make a fresh process a quiet worker with one thread that ends with its parent."""
    import cv2
    import torch

    global _count
    _count = count
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent answers to Ctrl-C
    logger = logging.getLogger("metatalk")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False  # warnings come back with the clip
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _add_to_count(frames: int) -> None:
    with _count.get_lock():
        _count.value += frames


@contextmanager
def _ended(pool: ProcessPoolExecutor) -> Iterator[None]:
    """See a pool to its end; after an error its workers stop at once."""
    before = set(multiprocessing.active_children())
    try:
        yield
    except BaseException:
        for child in set(multiprocessing.active_children()) - before:
            child.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Let processes that are started meanwhile compute with one thread."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
