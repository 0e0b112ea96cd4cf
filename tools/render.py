"""Render the synthetic lower face beside the aligned crops of one video."""

from metatalk.cli import main

if __name__ == "__main__":
    raise SystemExit(main(last="render"))
