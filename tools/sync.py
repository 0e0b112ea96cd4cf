"""Judge how well lips and sound of one video fit."""

import sys

from metatalk.cli import main

if __name__ == "__main__":
    raise SystemExit(main(["sync", *sys.argv[1:]]))
