"""Make a trained actor say a recording."""

import sys

from metatalk.cli import main

if __name__ == "__main__":
    raise SystemExit(main(["drive", *sys.argv[1:]]))
