"""Train the neural renderer of one actor."""

from metatalk.cli import main

if __name__ == "__main__":
    raise SystemExit(main(last="train_renderer"))
