"""Train Wav2Lip's generator on a prepared corpus, under a lip-sync expert."""

import sys

from metatalk.cli import main

if __name__ == "__main__":
    raise SystemExit(main(["lipsync", "train-generator", *sys.argv[1:]]))
