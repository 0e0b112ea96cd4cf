"""When a person who says a recording would blink: in pauses and at the ends of phrases."""

from __future__ import annotations

import numpy as np

from metatalk.compose.eyes.config import EyesConfig
from metatalk.timing import true_runs

USUAL_PER_MINUTE = 17.0  # of people who speak, where the footage is too short to tell
LEAST_FOOTAGE_S = 8.0
PER_MINUTE = (5.0, 30.0)  # rates that are taken over from the footage
PAUSE_S = 0.15  # shorter silences do not end a phrase
AFTER_S = 0.04  # a phrase's end at which its blink begins
STEP_S = 0.2  # between the moments within a pause that are tried
SPREAD = 0.35  # of the mean interval: how far a blink may lie from when it is due
BONUS_END, BONUS_PAUSE, BONUS_SPEECH = 1.0, 0.5, -4.0  # in squares of that
SHAPE = 4.0  # of the gamma law of intervals: their deviation is half their mean


def blink_rate(blinks: int, seconds: float, config: EyesConfig) -> float:
    """Tell how many blinks a minute there are to be: as asked for, as filmed, or as is usual.

    Args:
        blinks: how many the footage shows.
        seconds: for how long it shows the eyes.
        config: what is asked for.

    Returns:
        Blinks a minute, above 0.
    """
    if config.per_minute:
        return config.per_minute
    if seconds < LEAST_FOOTAGE_S:
        return USUAL_PER_MINUTE
    return float(np.clip(60 * blinks / seconds, *PER_MINUTE))


def find_moments(silent: np.ndarray, free: np.ndarray, rate: float) -> dict[int, float]:
    """Find where blinks may begin.

    Args:
        silent: (N,) bool: the recording pauses.
        free: (N,) bool: a blink that begins here would be seen whole.
        rate: frames a second.

    Returns:
        By frame of the result, in order: what speaks for it.
    """
    moments = {int(row): BONUS_SPEECH for row in np.flatnonzero(free & ~silent)}
    for first, end in true_runs(silent):
        if end - first < PAUSE_S * rate:
            continue
        after = first + round(AFTER_S * rate) if first else first
        for row in range(after, end, max(1, round(STEP_S * rate))):
            if free[row]:
                moments[row] = BONUS_END if row == after and first else BONUS_PAUSE
    return dict(sorted(moments.items()))


def choose_moments(
    moments: dict[int, float],
    times: np.ndarray,
    kept: list[tuple[int, int]],
    lasting_s: float,
    per_minute: float,
    config: EyesConfig,
    seed: int,
) -> list[int]:
    """Choose where blinks begin: at about the rate, at the best moments, never too near.

    Args:
        moments: from `find_moments`.
        times: (N,) seconds of the result's frames.
        kept: ranges of frames that blink already.
        lasting_s: the longest that a blink may last.
        per_minute: the rate.
        config: the least gap.
        seed: of the chance by which intervals differ.

    Returns:
        Frames of the result, in order.
    """
    chance = np.random.default_rng(seed)
    mean, gap = 60.0 / per_minute, config.least_gap_s
    rows = np.array(list(moments), np.int64)
    bonus = np.array(list(moments.values()))
    ends = times[rows] + lasting_s
    fixed = [(times[first], times[end - 1]) for first, end in kept]
    chosen: list[int] = []
    last = float(times[0]) - mean * float(chance.uniform(0.2, 0.8))
    while last < times[-1]:
        due = last + max(gap, float(chance.gamma(SHAPE, mean / SHAPE)))
        following = next((span for span in fixed if span[0] > last), (np.inf, np.inf))
        if following[0] <= due + SPREAD * mean:
            last = float(following[1])
            continue
        can = (times[rows] >= last + gap) & (ends + gap <= following[0])
        can &= np.abs(times[rows] - due) <= mean
        if can.any():
            cost = ((times[rows] - due) / (SPREAD * mean)) ** 2 - bonus
            best = int(np.argmin(np.where(can, cost, np.inf)))
            chosen.append(int(rows[best]))
            last = float(ends[best])
        else:
            last = due
    return chosen
