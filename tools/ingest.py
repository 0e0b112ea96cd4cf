"""Read one video's frame times and its sound."""

from metatalk.cli import main

if __name__ == "__main__":
    raise SystemExit(main(last="ingest"))
