"""The command line; everything it does can be called from Python one level down."""

import os

# Threads of PyTorch that wait for each other are to sleep soon, not to spin. Beside another program
# on the same cores a step of training was seen to take 1.2 s of processor with the usual spinning
# and 0.13 s with this; with free cores this is no slower. GNU's OpenMP reads it when it is loaded,
# so it stands before all else; the user's own setting wins.
os.environ.setdefault("GOMP_SPINCOUNT", "20000")

from metatalk.cli import (  # noqa: F401 (they add their commands)
    drive,
    export,
    face_model,
    fit,
    ledger,
    lipsync_training,
    live,
    prepare,
    prior,
    render,
    sync,
    wav2lip,
)
from metatalk.cli.app import main

__all__ = ["main"]
