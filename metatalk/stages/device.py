"""Where to compute."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from metatalk.errors import MissingAssetError


def choose_device(name: str) -> torch.device:
    """The device that `device=auto|cpu|cuda` means here.

    Raises:
        MissingAssetError: cuda is asked for and there is none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise MissingAssetError(
            "device=cuda, but PyTorch finds no CUDA device here",
            "use device=auto, or install a CUDA build of PyTorch and a driver",
        )
    available = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(available if name == "auto" else name)


@contextmanager
def one_thread() -> Iterator[None]:
    """Let PyTorch compute with one thread, and with as many as before afterwards.

    Batches of small matrices gain nothing from more, and on a busy machine threads that wait for
    each other take five times the processor's time (11 s against 60 s were seen for one clip).
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
