"""Time the neural renderer alone beside Wav2Lip's generator, in one run, as a markdown table.

python tools/benchmark_renderer.py [--sizes 256,384,512] [--batches 1,8] [--threads 1,2]
    [--onnx renderer.onnx]

Weights are random: they do not change the time. "ours" renders whole crops in tensors; "ours, as
driven" is what drives an actor on a processor, from stored crops to pictures in floats, around a
mask as wide and high as usual. What is compared takes turns, and the fastest of
its runs counts, as whatever else the machine does only adds to it. The processor's time is that
of all threads, which wait for each other busily where the machine has too few cores.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from metatalk.lipsync.mel import BANDS, CHUNK_COLUMNS
from metatalk.lipsync.wav2lip import FACE_PX, Wav2Lip
from metatalk.neural.config import NeuralConfig
from metatalk.neural.generator import build_generator
from metatalk.neural.onnx_export import INPUT, channel_names, generator_to_onnx
from metatalk.neural.pictures import CropPictures
from metatalk.neural.processor import ProcessorRenderer
from metatalk.onnx_runtime import open_onnx_runtime

COLUMNS = ("network", "side, px", "form", "batch", "threads", "ms a frame", "processor ms")
COLUMNS += ("times its pixels", "times its speed")
FORMATS = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Contestant:
    """A network that waits for its turn."""

    what: str
    size: int  # px
    form: str
    run: Callable[[], object]


@dataclass(frozen=True)
class Row:
    """One measurement."""

    of: Contestant
    batch: int
    threads: int
    wall_ms: float  # a frame
    processor_ms: float  # a frame


def main() -> None:
    """Measure and print."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--sizes", default="256,384,512", help="sides of the crops, px")
    words.add_argument("--batches", default="1,8", help="frames at a time")
    words.add_argument("--threads", default="1,2", help="of PyTorch and onnxruntime")
    words.add_argument("--rounds", type=int, default=9, help="turns that each network takes")
    words.add_argument("--onnx", type=Path, default=None, help="time this model as well")
    asked = words.parse_args()
    sizes, batches, threads = (
        [int(word) for word in text.split(",")]
        for text in (asked.sizes, asked.batches, asked.threads)
    )
    models = {f"onnxruntime fp32, {size}": _random_model(size) for size in sizes}
    if asked.onnx is not None:
        models[asked.onnx.name] = asked.onnx.read_bytes()
    print(f"| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}")
    for count in threads:
        torch.set_num_threads(count)
        for batch in batches:
            contest = [*_wav2lip(batch), *_renderers(sizes, batch)]
            contest += [_onnx(model, name, batch, count) for name, model in models.items()]
            _show(_measure(contest, batch, count, asked.rounds))


def _wav2lip(batch: int) -> Iterator[Contestant]:
    for form, dtype in FORMATS.items():
        network = _ready(Wav2Lip(), dtype)
        mel = torch.rand(batch, 1, BANDS, CHUNK_COLUMNS, dtype=dtype)
        faces = _last(torch.rand(batch, 6, FACE_PX, FACE_PX, dtype=dtype))
        yield Contestant("Wav2Lip", FACE_PX, form, partial(network, mel, faces))


def _renderers(sizes: list[int], batch: int) -> Iterator[Contestant]:
    for form, dtype in FORMATS.items():
        network = _ready(build_generator(NeuralConfig()), dtype)
        for size in sizes:
            inputs = _last(torch.rand(batch, len(channel_names(network)), size, size))
            yield Contestant("ours", size, form, partial(network, inputs))
            drawer = ProcessorRenderer(network)
            yield Contestant(
                "ours, as driven", size, form, partial(drawer.draw_crops, _crops(size, batch))
            )


def _crops(size: int, batch: int) -> CropPictures:
    """Noise, with a mask that is four fifths as wide and two thirds as high as the crop."""
    random, frame = np.random.default_rng(0), (batch, size, size)
    mask = np.zeros(frame, np.uint8)
    mask[:, size // 5 : size // 5 + 2 * size // 3, size // 10 : size - size // 10] = 255
    synthetic, real, geometry = random.integers(0, 256, (3, *frame, 3), np.uint8)
    filmed, matched = random.integers(0, 256, (2, *frame, 4), np.uint8)
    return CropPictures(synthetic, real, mask, None, geometry, filmed, matched)


def _random_model(size: int) -> bytes:
    return generator_to_onnx(build_generator(NeuralConfig()), size, {})


def _onnx(content: bytes, name: str, batch: int, threads: int) -> Contestant:
    runtime = open_onnx_runtime()

    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    # threads that spin between their turns would slow whoever is next
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    channels, side = session.get_inputs()[0].shape[1:3]
    inputs = np.random.default_rng(0).random((batch, channels, side, side), np.float32)
    run = partial(session.run, None, {INPUT: inputs})
    return Contestant("ours", side, name.partition(",")[0], run)


def _ready(network: torch.nn.Module, dtype: torch.dtype) -> torch.nn.Module:
    network = network.eval().requires_grad_(False).to(dtype)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _last(pictures: torch.Tensor) -> torch.Tensor:
    return pictures.contiguous(memory_format=torch.channels_last)


@torch.inference_mode()
def _measure(contest: list[Contestant], batch: int, threads: int, rounds: int) -> list[Row]:
    """Let all run in turns, after one turn that warms up."""
    walls = np.full((rounds + 1, len(contest)), np.inf)
    processors = walls.copy()
    for turn in range(rounds + 1):
        for place, one in enumerate(contest):
            started, busy = time.perf_counter(), time.process_time()
            one.run()
            if turn:
                walls[turn, place] = time.perf_counter() - started
                processors[turn, place] = time.process_time() - busy
    best = zip(contest, walls.min(0) * 1e3 / batch, processors.min(0) * 1e3 / batch, strict=True)
    return [Row(one, batch, threads, float(wall), float(busy)) for one, wall, busy in best]


def _show(rows: list[Row]) -> None:
    """Print rows; the last columns compare with Wav2Lip in the same number format."""
    theirs = {row.of.form: row.wall_ms for row in rows if row.of.what == "Wav2Lip"}
    for row in sorted(rows, key=lambda row: (row.of.what, row.of.size)):
        other = theirs.get(row.of.form, theirs["fp32"])
        print(
            f"| {row.of.what} | {row.of.size} | {row.of.form} | {row.batch} | {row.threads} | "
            f"{row.wall_ms:.1f} | {row.processor_ms:.1f} | {(row.of.size / FACE_PX) ** 2:.1f} | "
            f"{other / row.wall_ms:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
