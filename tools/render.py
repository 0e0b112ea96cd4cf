"""Draw a fitted head, or the crops that the renderer learns from."""

import sys

from metatalk.cli import main

if __name__ == "__main__":
    raise SystemExit(main(["render", *sys.argv[1:]]))
