"""Say what choosing footage frames costs, as a markdown table.

python tools/benchmark_retiming.py [--minutes 1] [--footage-minutes 0.3 2 10] [--runs 3]

Footage and recording are random numbers. The time depends a little on how often the footage looks
as it did before, and on how often an utterance begins: here like somebody who sits and talks. What
is counted is the processor's time, the best of some runs; memory is what the process takes at its
most.
"""

from __future__ import annotations

import argparse
import resource
import time
from fractions import Fraction

import numpy as np
from scipy.signal import lfilter

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


def make_looks(frames: int, chance: np.random.Generator) -> np.ndarray:
    """(T, 296) a head that sways and comes back: the likest other moments are just told apart."""
    sway = lfilter([0.28], [1, -0.96], chance.normal(size=(frames, 8)), axis=0)
    sway = lfilter([0.25], [1, -0.75], sway, axis=0)
    spread = chance.normal(0, 1.5 / 296**0.5, (8, 296))
    return np.asarray(sway @ spread + chance.normal(0, 0.3 / 296**0.5, (frames, 296)))


def measure(minutes: float, footage_minutes: float) -> tuple[float, float]:
    """Processor seconds of `speech` and of `pose`."""
    chance = np.random.default_rng(0)
    count, frames = round(minutes * 60 * RATE), round(footage_minutes * 60 * RATE)
    source, config = make_source(frames, chance), RetimingConfig()
    clock = FramePlan(np.zeros(count, np.int64), np.arange(count), Fraction(1, RATE))
    speaking = np.repeat(chance.random(count // RATE + 1) < 0.8, RATE)[:count]
    mouths = Mouths(chance.random((count, 29)), chance.random((frames, 29)))
    looks = make_looks(frames, chance)
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
    parser.add_argument("--runs", type=int, default=3, help="the best of them counts")
    wanted = parser.parse_args()
    measure(0.05, 0.05)  # compiles
    print("| footage, min | recording, min | speech, s | pose, s | most memory, MB |")
    print("| --- | --- | --- | --- | --- |")
    for footage_minutes in wanted.footage_minutes:
        runs = [measure(wanted.minutes, footage_minutes) for _ in range(wanted.runs)]
        speech_s, pose_s = (min(times) for times in zip(*runs, strict=True))
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"| {footage_minutes:g} | {wanted.minutes:g} | {speech_s:.2f} | {pose_s:.2f} "
            f"| {memory:.0f} |"
        )


if __name__ == "__main__":
    main()
