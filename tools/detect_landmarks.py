"""Find the face's points in every frame of one video."""

from metatalk.cli import main

if __name__ == "__main__":
    raise SystemExit(main(last="landmarks"))
