"""Time Wav2Lip's generator in plain PyTorch and as it works here, in one run, as markdown tables.

python tools/benchmark_wav2lip.py [--threads 2] [--batch 8] [--rounds 15]
    [--checkpoint FILE] [--clip FACE --audio AUDIO]

What is compared takes turns, and the median of its turns counts; processor time is that of all
threads, which stays meaningful on a busy machine. Without a checkpoint weights are random: they
do not change the time, but how far bfloat16 is off is then of no interest. With a clip, the
whole way to a redrawn film is timed, step by step, and then all steps side by side.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from metatalk.config import Config
from metatalk.lipsync.checkpoints import load_network
from metatalk.lipsync.mel import BANDS, CHUNK_COLUMNS
from metatalk.lipsync.seam import blend_face
from metatalk.lipsync.speaking import _cut_face
from metatalk.lipsync.wav2lip import FACE_PX, FIRST_DRAWN, Redrawer, Wav2Lip, prepare_redrawer
from metatalk.lipsync.wav2lip_config import Wav2LipConfig
from metatalk.media.video import index_frames, read_pictures

Contest = dict[str, Callable[[], object]]


def main() -> None:
    """Measure and print."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--threads", type=int, default=2, help="of PyTorch")
    words.add_argument("--batch", type=int, default=8, help="faces at a time")
    words.add_argument("--rounds", type=int, default=15, help="turns that each takes")
    words.add_argument("--checkpoint", type=Path, default=None, help="weights of a generator")
    words.add_argument("--clip", type=Path, default=None, help="time the whole way on this film")
    words.add_argument("--audio", type=Path, default=None, help="what is said there")
    asked = words.parse_args()
    torch.set_num_threads(asked.threads)
    network = Wav2Lip().eval().requires_grad_(False)
    if asked.checkpoint is not None:
        network, _ = load_network(Wav2Lip, asked.checkpoint)
    compare_generators(network, asked.batch, asked.rounds, asked.threads)
    if asked.clip is not None:
        time_the_way(asked.clip, asked.audio or asked.clip, asked.checkpoint, network, asked.batch)


def compare_generators(network: Wav2Lip, batch: int, rounds: int, threads: int) -> None:
    """Time the generator in its plain form and in ours, and print a table."""
    rng = np.random.default_rng(0)
    targets, references = rng.integers(0, 256, (2, batch, FACE_PX, FACE_PX, 3), np.uint8)
    chunks = rng.uniform(-4, 4, (batch, BANDS, CHUNK_COLUMNS)).astype(np.float32)
    mel, faces = torch.from_numpy(chunks)[:, None], torch.rand(batch, 6, FACE_PX, FACE_PX)
    cpu = torch.device("cpu")
    full = prepare_redrawer(network, cpu, torch.float32, batch)
    half = prepare_redrawer(network, cpu, torch.bfloat16, batch)
    pictures = (targets, references, chunks)
    contest: Contest = {
        "plain PyTorch, fp32": lambda: _plain(network, mel, faces),
        "ours, fp32, pictures in and out": lambda: full.redraw(*pictures),
        "ours, bf16, pictures in and out": lambda: half.redraw(*pictures),
    }
    walls, busy = _take_turns(contest, rounds)
    print(f"batch {batch}, {threads} threads, median of {rounds} turns\n")
    print("| form | ms a frame | frames/s | processor ms | times as fast |\n" + "| --- " * 5 + "|")
    for place, name in enumerate(contest):
        wall = 1e3 * walls[:, place] / batch
        ratio = np.median(walls[:, 0] / walls[:, place])
        processor = np.median(1e3 * busy[:, place] / batch)
        print(
            f"| {name} | {np.median(wall):.1f} | {1e3 / np.median(wall):.1f} | {processor:.1f} "
            f"| {ratio:.2f} |"
        )
    plain = Redrawer(network, batch).redraw(*pictures)[:, FIRST_DRAWN:].astype(int)
    for name, ready in (("fp32", full), ("bf16", half)):
        apart = np.abs(ready.redraw(*pictures)[:, FIRST_DRAWN:] - plain)
        print(f"\n{name} against plain on noise: {apart.mean():.3f} levels, most {apart.max()}")


def _plain(network: Wav2Lip, mel: torch.Tensor, faces: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        drawn: torch.Tensor = network(mel, faces)
    return drawn


def _take_turns(contest: Contest, rounds: int) -> tuple[np.ndarray, np.ndarray]:
    """(rounds, contestants) seconds by the clock and of the processor, after one turn to warm."""
    walls = np.zeros((rounds + 1, len(contest)))
    busy = np.zeros_like(walls)
    for turn in range(rounds + 1):
        for place, run in enumerate(contest.values()):
            started, worked = time.perf_counter(), time.process_time()
            run()
            walls[turn, place] = time.perf_counter() - started
            busy[turn, place] = time.process_time() - worked
    return walls[1:], busy[1:]


def time_the_way(
    clip: Path, audio: Path, checkpoint: Path | None, network: Wav2Lip, batch: int
) -> None:
    """Time each step to a redrawn film alone, then all of them as the command runs them."""
    from metatalk.compose.retiming.plan import plan_frames
    from metatalk.media.audio import audio_duration
    from metatalk.stages.wav2lip import plan_take, redraw_video

    settings, config = Wav2LipConfig(batch=batch), Config()
    steps: dict[str, float] = {}
    index = _timed(steps, "decode", lambda: index_frames(clip))
    shown = plan_frames(index, audio_duration(audio), "audio")
    take = _timed(
        steps, "decode and track", lambda: plan_take(clip, index, shown, config, settings)
    )
    count = int(shown.frames.max()) + 1
    faces, blended = take.faces, 0
    for picture in read_pictures(clip):
        box = faces.boxes[picture.index] if picture.index < count else np.array([np.nan])
        if np.isfinite(box).all() and blended < 100:
            _blend_once(picture, box, faces.outlines[picture.index], settings, steps)
            blended += 1
    ready = prepare_redrawer(network, torch.device("cpu"), torch.bfloat16, batch)
    noise = np.random.default_rng(0).integers(0, 256, (batch, FACE_PX, FACE_PX, 3), np.uint8)
    chunks = np.zeros((batch, BANDS, CHUNK_COLUMNS), np.float32)
    ready.redraw(noise, noise, chunks)
    _timed(steps, "redraw", lambda: [ready.redraw(noise, noise, chunks) for _ in range(5)])
    frames = {"decode": len(index), "decode and track": count, "redraw": 5 * batch}
    with tempfile.TemporaryDirectory() as folder:
        weights = checkpoint or _save(network, Path(folder) / "weights.safetensors")
        settings = replace(settings, checkpoint=str(weights))
        worked = time.process_time()
        metrics = redraw_video(clip, audio, Path(folder) / "out.mp4", config, settings)
        worked = time.process_time() - worked
    print(f"\n{clip.name}: {len(shown)} frames\n\n| step | ms a frame |\n| --- | --- |")
    for name, seconds in steps.items():
        print(f"| {name} | {1e3 * seconds / frames.get(name, max(blended, 1)):.1f} |")
    print(f"| all, as the command runs it | {1e3 * float(metrics['seconds']) / len(shown):.1f} |")
    print(f"| all, processor time | {1e3 * worked / len(shown):.1f} |")


def _blend_once(picture, box, outline, settings, steps) -> None:  # type: ignore[no-untyped-def]
    from metatalk.lipsync.faces import shrink_face

    def blend() -> None:
        cut = _cut_face(picture, box)
        target = shrink_face(cut)
        patch = blend_face(cut, target, target[:, ::-1], outline, box, settings)
        picture.with_patch(patch.picture, patch.alpha, patch.left, patch.top)

    if "crop and blend" not in steps:
        blend()  # compiles
        steps["crop and blend"] = 0.0
    _timed(steps, "crop and blend", blend)


def _timed(steps: dict[str, float], name: str, run: Callable):  # type: ignore[no-untyped-def, type-arg]
    started = time.perf_counter()
    made = run()
    steps[name] = steps.get(name, 0.0) + time.perf_counter() - started
    return made


def _save(network: Wav2Lip, path: Path) -> Path:
    from safetensors.torch import save_file

    save_file(network.state_dict(), path)
    return path


if __name__ == "__main__":
    main()
