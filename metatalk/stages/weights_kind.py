"""Which of the lip-sync networks a file of weights holds: its keys say so, its name does not."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open

if TYPE_CHECKING:
    from torch import nn

_UNREADABLE = (SafetensorError, OSError)


def held_network(path: Path, among: Iterable[type[nn.Module]]) -> type[nn.Module] | None:
    """Tell the network whose weights a file holds, by the key that no other network has.

    Args:
        path: a safetensors file, of which the header is read, or a PyTorch checkpoint.
        among: the networks that it may be.

    Returns:
        One of them; None where it holds none of them or cannot be read: whoever loads it says so.
    """
    from metatalk.lipsync.checkpoints import KINDS

    keys = _read_keys(path)
    return next((network for network in among if KINDS[network].marker in keys), None)


def _read_keys(path: Path) -> Collection[str]:
    if path.suffix != ".safetensors":
        return _read_pytorch_keys(path)
    try:
        with safe_open(path, framework="np") as file:
            return {key.removeprefix("module.") for key in file.keys()}  # noqa: SIM118 (no mapping)
    except _UNREADABLE:
        return ()


def _read_pytorch_keys(path: Path) -> Collection[str]:
    """The keys of a checkpoint: mapped, so that no weights are read, where its layout allows."""
    import pickle

    import torch

    from metatalk.lipsync.checkpoints import unwrap_state

    for mapped in (True, False):  # files of old PyTorch cannot be mapped
        try:
            values = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
            return unwrap_state(values).keys()
        except (*_UNREADABLE, pickle.UnpicklingError, RuntimeError, EOFError, ValueError):
            continue
        except AttributeError:  # no mapping of names to weights
            return ()
    return ()
