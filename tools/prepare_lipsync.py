"""Cut faces and sound out of talking clips, for lip-sync training."""

import sys

import metatalk.cli.prepare  # noqa: F401 (it adds its command)
from metatalk.cli import main

if __name__ == "__main__":
    raise SystemExit(main(["lipsync", "prepare", *sys.argv[1:]]))
