"""Say what choosing footage frames costs, as a markdown table.

python tools/benchmark_retiming.py [--minutes 1] [--footage-minutes 0.3 2 10]

Footage and recording are random numbers: the search's time does not depend on what they say. What
is counted is the processor's time; memory is what the process takes at its most.
"""

from __future__ import annotations

import argparse
import resource
import time
from fractions import Fraction

import numpy as np

from metatalk.compose.retiming.by_pose import Mouths, plan_by_pose
from metatalk.compose.retiming.by_speech import Source, plan_by_speech
from metatalk.compose.retiming.config import RetimingConfig
from metatalk.compose.retiming.head_motion import HeadMotion
from metatalk.compose.retiming.plan import FramePlan

RATE = 25


def make_source(frames: int, chance: np.random.Generator) -> Source:
    """Footage of one shot whose head does anything."""
    motion = HeadMotion(chance.random((frames, 16)), chance.random(frames), np.zeros(frames))
    return Source(motion, np.ones(frames, bool), np.array([[0, frames]]), float(RATE))


def measure(minutes: float, footage_minutes: float) -> tuple[float, float]:
    """Processor seconds of `speech` and of `pose`."""
    chance = np.random.default_rng(0)
    count, frames = round(minutes * 60 * RATE), round(footage_minutes * 60 * RATE)
    source, config = make_source(frames, chance), RetimingConfig()
    clock = FramePlan(np.zeros(count, np.int64), np.arange(count), Fraction(1, RATE))
    speaking = np.repeat(chance.random(count // RATE + 1) < 0.8, RATE)[:count]
    mouths = Mouths(chance.random((count, 29)), chance.random((frames, 29)))
    looks = np.cumsum(chance.normal(0, 0.1, (frames, 296)), axis=0)
    begun = time.process_time()
    plan_by_speech(clock, speaking, source, config)
    between = time.process_time()
    plan_by_pose(clock, speaking, source, mouths, looks, config)
    return between - begun, time.process_time() - between


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=1.0, help="length of the recording")
    parser.add_argument("--footage-minutes", type=float, nargs="+", default=[0.3, 2.0, 10.0])
    wanted = parser.parse_args()
    measure(0.05, 0.05)  # compiles
    print("| footage, min | recording, min | speech, s | pose, s | most memory, MB |")
    print("| --- | --- | --- | --- | --- |")
    for footage_minutes in wanted.footage_minutes:
        speech_s, pose_s = measure(wanted.minutes, footage_minutes)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"| {footage_minutes:g} | {wanted.minutes:g} | {speech_s:.2f} | {pose_s:.2f} "
            f"| {memory:.0f} |"
        )


if __name__ == "__main__":
    main()
