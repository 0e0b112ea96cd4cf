"""Lightning Fabric: one training loop for one processor, one GPU or several."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any, Literal

import torch

from metatalk.errors import MissingAssetError
from metatalk.precision import choose_precision


def open_fabric(
    section: str, devices: int, precision: Literal["auto", "full", "mixed"], accelerator: str
) -> Any:
    """Open Fabric for a training.

    Args:
        section: of the configuration, named in complaints.
        devices: processes side by side, each with a GPU where `accelerator` is cuda.
        precision: "auto" computes in bfloat16 where the device does so by itself.
        accelerator: "cpu" or "cuda".

    Returns:
        A `lightning_fabric.Fabric`.

    Raises:
        MissingAssetError: Fabric is not installed, or there are too few GPUs.
    """
    library = _lightning_fabric()
    if accelerator == "cuda" and torch.cuda.device_count() < devices:
        raise MissingAssetError(
            f"{section}.devices is {devices}, but there are {torch.cuda.device_count()} GPUs",
            f"set {section}.devices to what is there, or device=cpu",
        )
    able = choose_precision(torch.device(accelerator)) == torch.bfloat16
    mixed = precision == "mixed" or (precision == "auto" and able)
    return library.Fabric(
        accelerator=accelerator,
        devices=devices,
        # Spawned, not started anew: the command has opened files before that are one process's.
        strategy="ddp_spawn" if devices > 1 else "auto",
        precision="bf16-mixed" if mixed else "32-true",
    )


def _lightning_fabric() -> ModuleType:
    try:
        return importlib.import_module("lightning_fabric")
    except ImportError as error:
        raise MissingAssetError(
            "Lightning Fabric, which trains on one device or several, is not installed",
            "pip install 'metatalk[training]'",
        ) from error
