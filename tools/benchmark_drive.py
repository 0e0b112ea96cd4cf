"""Say where the processor's time goes when an actor is driven, stage by stage, as a markdown table.

python tools/benchmark_drive.py --actor ACTOR --audio WORDS.wav [--target CLIP] [--frames 100]

Every stage runs alone, one after the other and on one thread each, and what is counted is the
processor's time, not the clock's: the table says the same on a busy machine, nearly. A last run
goes as `metatalk drive` does, all stages side by side; its frames a second are the clock's.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from metatalk.compose import blend, revoice
from metatalk.compose.ahead import one_thread_each
from metatalk.config import load_config
from metatalk.media.ordered import read_pictures_in_order
from metatalk.media.picture import Picture
from metatalk.media.writer import VideoWriter
from metatalk.render import texture, views
from metatalk.render.scene import Scene
from metatalk.stages import drive as driving
from metatalk.stages.drive_order import DriveOrder
from metatalk.stages.drive_preparation import prepare_drive
from metatalk.stages.result_video import open_result

# what is told apart: its name in the table, where it is called from, and by which name
PARTS: tuple[tuple[str, Any, str], ...] = (
    ("colours of the window", Picture, "rgb"),
    ("crop", revoice, "warp_to_crop"),
    ("vertices and their projection", Scene, "vertices"),
    ("vertices and their projection", texture, "project_to_crop"),
    ("rasterised: new face, filmed, matched", texture, "see_mesh"),
    ("shading, painting", views, "paint_surface"),
    ("mask", Scene, "mask"),
    ("carry maps", texture, "trace_back"),
    ("texture fetched", revoice, "fetch_texture"),
    ("library's crops and faces", revoice, "_matched"),
    ("network, its inputs and outputs", revoice, "render_crops"),
    ("matched colours", revoice, "match_colours"),
    ("soft mask", blend, "soft_mask"),
    ("trust in what is carried", blend, "trusted_places"),
    ("warped to the frame", blend, "_to_window"),
    ("fine band", blend, "add_detail"),
    ("laid over the frame", Picture, "with_patch"),
)


class Meter:
    """Adds up the processor's time by stage; a stage within a stage counts for itself alone."""

    def __init__(self) -> None:
        self.spent: defaultdict[str, float] = defaultdict(float)
        self._inner: list[float] = []

    def wrap(self, name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, metered."""

        def metered(*words: Any, **named: Any) -> Any:
            with self.measure(name):
                return work(*words, **named)

        return metered

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Count what happens in the block."""
        started = time.process_time()
        self._inner.append(0.0)
        try:
            yield
        finally:
            whole = time.process_time() - started
            self.spent[name] += whole - self._inner.pop()
            if self._inner:
                self._inner[-1] += whole


def main() -> None:
    """Print the table."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--actor", type=Path, required=True)
    words.add_argument("--audio", type=Path, required=True)
    words.add_argument("--target", type=Path, default=None)
    words.add_argument("--frames", type=int, default=100, help="of the result, from its start")
    words.add_argument("settings", nargs="*", help="key=value, as `metatalk drive` takes them")
    asked = words.parse_args()
    config = load_config(words=asked.settings)
    order = DriveOrder(asked.actor, Path("drive.mp4"), asked.audio, asked.target)
    with tempfile.TemporaryDirectory() as folder:
        drive = _shorten(prepare_drive(order, config, Path(folder)), asked.frames)
        _run(_shorten(drive, 16), asked.audio, config, Path(folder))  # compiles, fills caches
        with one_thread_each():
            meter = _measure(drive, asked.audio, config, Path(folder))
        wall, processor = _run(drive, asked.audio, config, Path(folder))
    _tell(drive, meter, wall, processor)


def _shorten(drive: Any, frames: int) -> Any:
    frames = min(frames, len(drive.plan))
    return drive.part(0, frames)


def _measure(drive: Any, audio: Path, config: Any, folder: Path) -> Meter:
    """Stage after stage, a few frames at a time, so that memory is no matter."""
    meter, plan, footage = Meter(), drive.plan, drive.footage
    source = read_pictures_in_order(footage.clip, plan.frames.tolist(), footage.index)
    with ExitStack() as patches, ExitStack() as encoder:
        for name, place, attribute in PARTS:
            work = meter.wrap(name, getattr(place, attribute))
            patches.enter_context(patch.object(place, attribute, work))
        writer = _open_result(folder / "stages.mp4", audio, drive, config)
        encoder.enter_context(writer)
        pictures = revoice.revoice(_metered(meter, source), drive.performance, drive.studio)
        for pts in plan.pts.tolist():
            with meter.measure("all else"):
                picture = next(pictures).picture
            with meter.measure("encode"):
                writer.write(picture, pts)
        with meter.measure("encode"):
            encoder.close()  # waits for what the encoder still holds
    return meter


def _metered(meter: Meter, source: Iterator[Picture]) -> Iterator[Picture]:
    while True:
        with meter.measure("decode"):
            picture = next(source, None)
        if picture is None:
            return
        yield picture


def _open_result(output: Path, audio: Path, drive: Any, config: Any) -> VideoWriter:
    footage = drive.footage
    return open_result(output, footage.clip, footage.index.rate, drive.plan, audio, config.drive)


def _run(drive: Any, audio: Path, config: Any, folder: Path) -> tuple[float, float]:
    """As `metatalk drive` goes: seconds by the clock and of the processor."""
    started = time.monotonic(), time.process_time()
    with _open_result(folder / "drive.mp4", audio, drive, config) as writer:
        driving.stream_drive(drive, writer)
    return time.monotonic() - started[0], time.process_time() - started[1]


def _tell(drive: Any, meter: Meter, wall: float, processor: float) -> None:
    frames, camera = len(drive.plan), drive.studio.scene.camera
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    size = drive.studio.scene.size
    print(f"{frames} frames of {camera.width}x{camera.height}, crop {size}, {cores} cores\n")
    print("| stage | ms of one core a frame |\n| --- | ---: |")
    order = ["decode", *dict.fromkeys(name for name, _, _ in PARTS), "all else", "encode"]
    for name in order:
        print(f"| {name} | {1e3 * meter.spent[name] / frames:.1f} |")
    print(f"| sum | {1e3 * sum(meter.spent.values()) / frames:.1f} |")
    print(f"| side by side | {1e3 * processor / frames:.1f} |\n")
    print(f"side by side: {frames / wall:.1f} frames/s by the clock", end="")
    print(f"; {1e3 * wall / frames:.1f} ms a frame")


if __name__ == "__main__":
    main()
