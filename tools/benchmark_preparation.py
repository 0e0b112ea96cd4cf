"""Measure what preparing clips for lip-sync training takes, as a markdown table.

python tools/benchmark_preparation.py CLIP... [--frames N]

Milliseconds of processor time a frame of the clip, on one core: `decode` makes upright pictures,
`reduce` makes them the detector's size and RGB, `landmarks` finds and follows the face, `keep` puts
a cut of it aside, `cut` makes the stored faces, `rest` is sound, mel, choosing and writing. The
decoder works ahead in threads of its own: their time counts for what runs then; the sum is right.
With --frames the sound of the whole clip falls on fewer frames.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import torch

from metatalk.errors import MetatalkError
from metatalk.landmarks.config import LandmarksConfig
from metatalk.media.picture import Picture
from metatalk.stages import lipsync_glimpses, lipsync_tracks
from metatalk.stages.lipsync_corpus import Source
from metatalk.stages.lipsync_glimpses import GlimpsedFaces

PARTS = ("decode", "reduce", "landmarks", "keep", "cut")


class Clock:
    """Adds up the processor time of each part, parts inside parts taken off."""

    def __init__(self) -> None:
        self.spent = dict.fromkeys((*PARTS, "rest"), 0.0)
        self._running = ["rest"]
        self._since = time.process_time()

    def switch(self) -> None:
        """Book the time since the last switch."""
        now = time.process_time()
        self.spent[self._running[-1]] += now - self._since
        self._since = now

    def around(self, part: str, function: Callable[..., Any], *words: Any, **more: Any) -> Any:
        """Call a function and book its time on a part."""
        self.switch()
        self._running.append(part)
        try:
            return function(*words, **more)
        finally:
            self.switch()
            self._running.pop()

    def stream(self, part: str, values: Iterable[Any], most: int | None = None) -> Iterator[Any]:
        """Pass values on and book the time that each takes to come."""
        iterator, done, end = iter(values), 0, object()
        while most is None or done < most:
            value = self.around(part, next, iterator, end)
            if value is end:
                return
            done += 1
            yield value


def measure(path: Path, frames: int | None = None) -> dict[str, float]:
    """Prepare a clip and say where the time went.

    Args:
        path: the clip.
        frames: of its beginning; None: all.

    Returns:
        Milliseconds a frame of each part and in all, and the frames.

    Raises:
        MetatalkError: nothing can be cut from the clip.
    """
    clock, seen = Clock(), [0]
    whole = {
        "read": lipsync_tracks.read_pictures,
        "reduce": lipsync_glimpses.reduce_picture,
        "rgb": Picture.rgb,
        "keep": GlimpsedFaces._keep,
        "cut": GlimpsedFaces.cut,
        "detect": GlimpsedFaces.detect,
    }
    lipsync_tracks.read_pictures = lambda clip: clock.stream("decode", whole["read"](clip), frames)
    lipsync_glimpses.reduce_picture = partial(clock.around, "reduce", whole["reduce"])
    for name, part in (("_keep", "keep"), ("cut", "cut"), ("detect", "landmarks")):
        setattr(GlimpsedFaces, name, _method(clock, part, whole[name.strip("_")]))
    Picture.rgb = _method(clock, "reduce", whole["rgb"])  # type: ignore[method-assign]
    try:
        with tempfile.TemporaryDirectory() as corpus:
            clock.switch()
            done = lipsync_tracks.prepare_clip(
                Source(path.name, "0" * 12, str(path)),
                Path(corpus),
                lipsync_tracks.Preparation(LandmarksConfig()),
                lambda more: seen.__setitem__(0, seen[0] + more),
            )
            clock.switch()
    finally:
        lipsync_tracks.read_pictures = whole["read"]
        lipsync_glimpses.reduce_picture = whole["reduce"]
        Picture.rgb = whole["rgb"]  # type: ignore[method-assign]
        for name in ("_keep", "cut", "detect"):
            setattr(GlimpsedFaces, name, whole[name.strip("_")])
    if done.error:
        raise MetatalkError(f"{path}: {done.error}")
    each = {part: 1000 * spent / seen[0] for part, spent in clock.spent.items()}
    return {"frames": seen[0], **each, "all": sum(each.values())}


def _method(clock: Clock, part: str, whole: Callable[..., Any]) -> Callable[..., Any]:
    def measured(self: Any, *words: Any) -> Any:
        return clock.around(part, whole, self, *words)

    return measured


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print.

    Args:
        argv: the words after the program's name; None: those of this process.

    Returns:
        Exit code: 0; 2 for what the user can mend.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("clips", nargs="+", type=Path, metavar="CLIP")
    parser.add_argument("--frames", type=int, help="of each clip's beginning only")
    asked = parser.parse_args(argv)
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    heads = ["clip", "frames", *PARTS, "rest", "all"]
    print("| " + " | ".join(heads) + " |\n" + "|---" * len(heads) + "|")
    try:
        measure(asked.clips[0], 75)  # compiles and opens what is needed once
        for clip in asked.clips:
            row = measure(clip, asked.frames)
            cells = [f"{row[head]:.1f}" for head in heads[2:]]
            print(f"| {clip.name} | {row['frames']} | " + " | ".join(cells) + " |", flush=True)
    except MetatalkError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
