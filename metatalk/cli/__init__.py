"""The command line; everything it does can be called from Python one level down."""

from metatalk.cli.app import main

__all__ = ["main"]
