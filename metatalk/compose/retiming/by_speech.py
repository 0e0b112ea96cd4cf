"""Footage frames for a recording: the head is still in its pauses and moves where it sets in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from scipy.ndimage import maximum_filter1d

from metatalk.compose.retiming.config import RetimingConfig
from metatalk.compose.retiming.head_motion import HeadMotion
from metatalk.compose.retiming.moments import half_steps
from metatalk.compose.retiming.plan import FramePlan
from metatalk.compose.retiming.variety import spread_starts
from metatalk.compose.retiming.walk import WalkCosts, find_walk, no_jumps
from metatalk.shapes import check_shape
from metatalk.timing import true_runs

SPEAKING, PAUSE, START = 0, 1, 2  # what a frame of the result hears
_LEAST_USUAL = 0.05  # face widths a second; a head slower than this is still
_LONGEST_BLINK_S = 0.5
_MOST_BONUS = 3.0  # times the usual speed: faster heads blur, and blur is not rewarded


@dataclass(frozen=True, eq=False)
class Source:
    """The footage that a plan chooses from; T frames."""

    motion: HeadMotion  # (T)
    is_trusted: np.ndarray  # (T,) bool: the face is found, and may be painted over
    shots: np.ndarray  # (K, 2) first frame and one past the last
    rate: float  # frames a second

    def __post_init__(self) -> None:
        check_shape("is_trusted", self.is_trusted, "T", T=len(self.motion.speed))
        check_shape("shots", self.shots, "K 2")

    def __len__(self) -> int:
        return len(self.is_trusted)


def plan_by_speech(
    clock: FramePlan,
    speaking: np.ndarray,
    source: Source,
    config: RetimingConfig,
    avoid: np.ndarray | None = None,
    start: int | None = None,
) -> FramePlan:
    """Choose footage frames by what is heard, without a jump.

    The footage runs forwards or backwards within one shot. A frame shown twice becomes a
    moment half-way to the next the second time, and turns are soft.

    Args:
        clock: N frames and when they are shown; which ones it shows does not matter.
        speaking: (N,) bool: somebody is heard.
        source: the footage.
        config: what it all costs.
        avoid: (T,) what showing a frame costs besides.
        start: footage frame of the result's first; None: any.

    Returns:
        The plan.

    Raises:
        ShapeError: an array has another length than it should have.

    Source: Suwajanakorn, Seitz & Kemelmacher-Shlizerman 2017. Departs: the footage
        also runs backwards, so that minutes of it are enough; a turn costs the head's speed,
        which it reverses.
    """
    check_shape("speaking", speaking, "N", N=len(clock))
    if _is_stills(source):
        return replace(clock, frames=np.full(len(clock), start or 0), towards=None, share=None)
    table = frame_costs(source, config, avoid).astype(np.float32)
    heard = hear_parts(speaking, clock.seconds(), config)
    steps = step_costs(source, config, no_jumps(len(source)))
    run = round(config.run_s * source.rate)
    node = lambda first, end: table[heard[first:end]]  # noqa: E731
    review = spread_starts(true_runs(heard == START), len(source), config.variety)
    frames, _ = find_walk(len(clock), node, steps, run, start, review)
    towards, share = half_steps(frames, source.shots)
    return replace(clock, frames=frames, towards=towards, share=share)


def speaking_at(probability: np.ndarray, seconds: np.ndarray, threshold: float) -> np.ndarray:
    """Read a speech detector at a result's own times.

    Args:
        probability: (M,) of speech, eighty a second, as `hear_speech` gives it.
        seconds: (N,) times of the result's frames.
        threshold: probability from which it is speech.

    Returns:
        (N,) bool; nothing is said after the recording's end.
    """
    columns = np.rint(seconds * 80).astype(int)
    heard = probability[columns.clip(0, len(probability) - 1)] >= threshold
    return np.asarray(heard & (columns < len(probability)))


def hear_parts(speaking: np.ndarray, seconds: np.ndarray, config: RetimingConfig) -> np.ndarray:
    """Tell speech, pauses and the starts of utterances apart.

    Args:
        speaking: (N,) bool.
        seconds: (N,) times.
        config: how long a pause and a start are.

    Returns:
        (N,) int: SPEAKING, PAUSE or START.

    >>> config = RetimingConfig(pause_s=0.3, start_s=0.1)
    >>> heard = np.array([0, 1, 0, 0, 1, 1, 0, 0, 0, 1], bool)
    >>> hear_parts(heard, np.arange(10) / 10, config).tolist()
    [1, 2, 0, 0, 0, 0, 1, 1, 1, 2]
    """
    closed = close_pauses(speaking, seconds, config.pause_s)
    parts = np.where(closed, SPEAKING, PAUSE)
    begins = np.flatnonzero(closed & ~np.concatenate([[False], closed[:-1]]))
    for first in begins:
        since = seconds - seconds[first]
        parts[(since >= 0) & (since < config.start_s - 1e-9) & closed] = START
    return parts


def close_pauses(speaking: np.ndarray, seconds: np.ndarray, shortest_s: float) -> np.ndarray:
    """Take pauses between words for speech; (N,) bool, the pauses at both ends stay."""
    closed = np.asarray(speaking, bool).copy()
    spoken = np.flatnonzero(closed)
    for last, first in pairwise(spoken):
        if first > last + 1 and seconds[first] - seconds[last + 1] < shortest_s - 1e-9:
            closed[last:first] = True
    return closed


def usual_speed(source: Source) -> np.ndarray:
    """(T,) head speed, 1 where it is the actor's usual one or is not known."""
    seen = source.is_trusted & (source.motion.speed > 0)
    usual = float(source.motion.speed[seen].mean()) if seen.any() else 0.0
    relative = source.motion.speed / max(usual, _LEAST_USUAL)
    return np.asarray(np.where(source.is_trusted, relative, 1.0))


def eyes_stay_shut(source: Source) -> np.ndarray:
    """(T,) bool: frames in which the eyes are shut for longer than a blink takes."""
    shut, stay = source.motion.blink > 0.5, np.zeros(len(source), bool)
    for first, end in true_runs(shut):
        stay[first:end] = end - first > _LONGEST_BLINK_S * source.rate
    return stay


def frame_costs(
    source: Source, config: RetimingConfig, avoid: np.ndarray | None = None
) -> np.ndarray:
    """What showing a footage frame costs, by what is heard.

    Args:
        source: the footage.
        config: the weights.
        avoid: (T,) costs besides.

    Returns:
        (3, T): rows SPEAKING, PAUSE, START.

    Raises:
        ShapeError: `avoid` has another length.
    """
    always = config.untrusted * ~source.is_trusted + config.shut * eyes_stay_shut(source)
    lengths = source.shots[:, 1] - source.shots[:, 0]
    short = lengths < config.short_shot_s * source.rate
    always = always + config.short_shot * np.repeat(short, lengths)
    if avoid is not None:
        check_shape("avoid", avoid, "T", T=len(source))
        always = always + avoid
    speed, table = usual_speed(source), np.tile(always, (3, 1))
    table[PAUSE] += config.still * speed + config.blink * source.motion.blink
    table[START] -= config.start * np.minimum(speed, _MOST_BONUS)
    return table


def step_costs(
    source: Source, config: RetimingConfig, jumps: tuple[np.ndarray, np.ndarray]
) -> WalkCosts:
    """What holding, turning and jumping cost; `jumps` are sources and costs, (T, J) each.

    A turn throws a head that moves the other way, and the larger of the steps at hand may be it.
    Twice as fast looks more than twice as bad: beyond what the footage does itself it is a jerk.
    """
    speed = usual_speed(source)
    turn = config.turn_each + config.turn * widen_in_shots(speed, source.shots, 3) ** 2
    return WalkCosts(source.shots, config.repeat * speed, turn, *jumps)


def widen_in_shots(values: np.ndarray, shots: np.ndarray, frames: int) -> np.ndarray:
    """The largest of (T,) values among so many `frames` around each, of the same shot."""
    parts = [maximum_filter1d(values[first:end], frames) for first, end in shots.tolist()]
    return np.concatenate(parts)


def _is_stills(source: Source) -> bool:
    """Whether no shot has two frames to walk between."""
    return bool((source.shots[:, 1] - source.shots[:, 0]).max() < 2)
