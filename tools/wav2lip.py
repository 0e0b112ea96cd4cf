"""Make the face in a film say a recording with a Wav2Lip generator."""

import sys

from metatalk.cli import main

if __name__ == "__main__":
    raise SystemExit(main(["wav2lip", *sys.argv[1:]]))
