"""Fit the morphable model to every frame of one video, and say which frames to distrust."""

import sys

from metatalk.cli import main

if __name__ == "__main__":
    raise SystemExit(main(["fit", *sys.argv[1:]]))
