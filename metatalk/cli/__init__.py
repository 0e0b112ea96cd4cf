"""The command line; everything it does can be called from Python one level down."""

import os

# Threads of PyTorch that wait for each other are to sleep, not to spin: on a busy machine a step
# of training on two threads was seen to take 1.2 s of processor with spinning and 0.1 s without.
# OpenMP reads it when it is loaded, so it stands before all else; the user's own setting wins.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from metatalk.cli import export, face_model, fit, render  # noqa: F401 (they add their commands)
from metatalk.cli.app import main

__all__ = ["main"]
