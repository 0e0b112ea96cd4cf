"""metatalk learns one actor from a clip and makes that actor say anything."""

import os

# Threads of PyTorch that wait for each other are to sleep, not to spin: on a busy machine a step
# of training on two threads was seen to take 1.2 s of processor with spinning and 0.1 s without.
# Read when OpenMP is loaded, so it must stand before any import of ours; the user's own wins.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0"
