"""Train the lip-sync expert on a prepared corpus."""

import sys

from metatalk.cli import main

if __name__ == "__main__":
    raise SystemExit(main(["lipsync", "train-expert", *sys.argv[1:]]))
