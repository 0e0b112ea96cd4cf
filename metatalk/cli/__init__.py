"""The command line; everything it does can be called from Python one level down."""

from metatalk.cli import export, face_model, fit, render  # noqa: F401 (they add their commands)
from metatalk.cli.app import main

__all__ = ["main"]
