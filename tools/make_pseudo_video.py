"""Let the Wav2Lip teacher make the actor speak other recordings."""

from metatalk.cli import main

if __name__ == "__main__":
    raise SystemExit(main(last="pseudo"))
