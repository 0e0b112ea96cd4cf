"""Fit the morphable model to every frame of one video."""

from metatalk.cli import main

if __name__ == "__main__":
    raise SystemExit(main(last="fit"))
