"""Where to compute."""

from __future__ import annotations

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
