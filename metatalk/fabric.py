"""Lightning Fabric: one training loop for one processor, one GPU or several."""

from __future__ import annotations

import atexit
import importlib
import os
import pickle
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any, Literal

import torch
import torch.distributed as dist

from metatalk.errors import MetatalkError, MissingAssetError
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


def launch(fabric: Any, task: Callable[[Any], Any]) -> Any:
    """Do a task in every process of a training.

    Args:
        fabric: what `open_fabric` gave.
        task: called with the process's own Fabric; pickled where there are several processes.

    Returns:
        What the task of the first process returned.

    Raises:
        MetatalkError: what a task raised; of several processes' any one.
    """
    with _port_forgotten(), TemporaryDirectory() as told:
        try:
            # In a partial: Fabric searches the arguments, and stumbles over frozen dataclasses.
            return fabric.launch(partial(_do_and_leave, task, Path(told)))
        except MetatalkError:
            raise
        except Exception:  # of another process only the traceback comes back, as words
            meant = next(Path(told).glob("*.error"), None)
            if meant is None:
                raise
            raise pickle.loads(meant.read_bytes()) from None


@contextmanager
def _port_forgotten() -> Iterator[None]:
    """Forget at which port the processes met: by the next training others may have taken it.

    Fabric looks for a free one, but only where the environment names none, and names it there.
    """
    is_given = "MASTER_PORT" in os.environ
    try:
        yield
    finally:
        if not is_given:
            os.environ.pop("MASTER_PORT", None)


def _do_and_leave(task: Callable[[Any], Any], told: Path, fabric: Any) -> Any:
    """Do the task; a process that did so beside others is ended without unloading Python.

    What the user can put right is laid down in the folder `told`.

    Gloo's threads want Python when they let go of the last thing that was exchanged. Unloaded
    under them it aborts (two runs of sixty), and if they are to end first, each may wait for the
    other for ever. NCCL is ended in order, by Fabric.
    """
    try:
        found = task(fabric)
    except MetatalkError as error:
        with suppress(OSError):  # no room: then the traceback tells
            partial_file = told / f"{os.getpid()}.partial"
            partial_file.write_bytes(pickle.dumps(error))
            partial_file.replace(partial_file.with_suffix(".error"))  # another may end this process
        raise
    if dist.is_available() and dist.is_initialized() and dist.get_backend() == "gloo":
        pickle.dumps(found)  # what cannot be sent back has to fail here: `_leave` ends well
        atexit.register(_leave)
    return found


def _leave() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _lightning_fabric() -> ModuleType:
    try:
        return importlib.import_module("lightning_fabric")
    except ImportError as error:
        raise MissingAssetError(
            "Lightning Fabric, which trains on one device or several, is not installed",
            "pip install 'metatalk[training]'",
        ) from error
