"""Score a result against the real footage of the same words."""

import sys

from metatalk.cli import main

if __name__ == "__main__":
    raise SystemExit(main(["evaluate", *sys.argv[1:]]))
