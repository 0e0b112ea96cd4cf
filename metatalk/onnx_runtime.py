"""onnxruntime, which runs networks from files, without its reports to its makers."""

from __future__ import annotations

import importlib
import os
from types import ModuleType


def open_onnx_runtime(module: str = "onnxruntime") -> ModuleType:
    """Import onnxruntime so that it sends nothing away.

    By itself a recent one tells its makers over the network what it is used for, from a thread of
    its own and a database in the home folder that all processes share. Footage is other people's.
    Who wants it told all the same sets ORT_DISABLE_TELEMETRY=0.

    Args:
        module: onnxruntime, or a part of it.

    Returns:
        The module.

    Raises:
        ImportError: it is not installed.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read when it is first loaded
    return importlib.import_module(module)
