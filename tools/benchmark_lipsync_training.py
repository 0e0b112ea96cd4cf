"""How fast windows are read, and how fast the lip-sync networks learn from them.

    python tools/benchmark_lipsync_training.py CORPUS

One process reads; a training has `expert.workers` and `teacher.workers` of them. The networks take
the same steps in float32 and in bfloat16, in turn, so that a busy machine slows both alike.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch

import metatalk.cli  # noqa: F401 (how threads wait is set before PyTorch is loaded)
from metatalk.fabric import open_fabric
from metatalk.lipsync.learning.config import ExpertConfig, TeacherConfig
from metatalk.lipsync.learning.expert import ExpertCourse
from metatalk.lipsync.learning.generator import TeacherCourse
from metatalk.lipsync.learning.windows import Draw, split_spans
from metatalk.lipsync.syncnet import ColourExpert
from metatalk.stages.lipsync_corpus import open_corpus


def main() -> None:
    """Print windows and steps a second."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    given = parser.parse_args()
    tracks = open_corpus(given.corpus)
    learned, _ = split_spans(tracks, 0.2)
    expert, teacher = ExpertConfig(), TeacherConfig()
    draws = {
        "expert": Draw(learned, expert.batch, expert.group, expert.least_shift, expert.jitter),
        "teacher": Draw(learned, teacher.batch, 1, teacher.reference_apart, teacher.jitter),
    }
    readers = {
        "expert": draws["expert"].expert_batch,
        "teacher": draws["teacher"].teacher_batch,
    }
    for name, read in readers.items():
        seconds = _median_seconds(lambda step, read=read: read(np.random.default_rng(step)), 20)
        print(f"{name}: {draws[name].batch / seconds:.0f} windows a second are read by one process")
    for name in readers:
        steps = {}
        for precision in ("full", "mixed"):
            config = {"precision": precision, "workers": 0}
            course: ExpertCourse | TeacherCourse
            if name == "expert":
                course = ExpertCourse(tracks, ExpertConfig(**config), 0)
            else:
                course = TeacherCourse(tracks, ColourExpert(), TeacherConfig(**config), 0)
                course.sync_weight = teacher.sync_weight  # the expert takes part: the dearest case
            course.begin(open_fabric(name, 1, precision, given.device))
            batch = next(iter(course.batches(range(1))))
            steps[precision] = lambda step, course=course, batch=batch: course.learn(batch, 0.5)
        for step in steps.values():
            step(0)
        taken: dict[str, list[float]] = {precision: [] for precision in steps}
        for number in range(given.steps):
            for precision, step in steps.items():
                taken[precision].append(_seconds(step, number))
        full, mixed = (median(taken[precision]) for precision in ("full", "mixed"))
        windows = draws[name].batch
        print(
            f"{name}: {windows / full:.1f} windows a second are learned from in float32, "
            f"{windows / mixed:.1f} in bfloat16 ({full / mixed:.1f} times)"
        )


def _median_seconds(call: Callable[[int], object], repeats: int) -> float:
    return median(_seconds(call, repeat) for repeat in range(repeats))


def _seconds(call: Callable[[int], object], number: int) -> float:
    started = time.perf_counter()
    call(number)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
