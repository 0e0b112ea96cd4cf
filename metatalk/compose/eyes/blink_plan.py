"""Whose eyes each frame of a result shows: filmed blinks taken out, others put in.

A blink is taken out by showing the eyes of the open frames on either side of it in the result,
whatever the order in which the footage is shown there. Gaze that has moved meanwhile jumps in
its middle: eyes do that in a fiftieth of a second, mostly in a blink.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from metatalk.compose.eyes.blink_times import blink_rate, choose_moments, find_moments
from metatalk.compose.eyes.blinks import (
    Blink,
    find_blinks,
    gaze,
    in_blink,
    long_shut,
    relative_opening,
)
from metatalk.compose.eyes.config import EyesConfig
from metatalk.compose.eyes.plan import NOTHING, EyeEvent, EyePlan, Refused, keep_eyes
from metatalk.compose.retiming.plan import FramePlan
from metatalk.landmarks.track import LandmarkTrack
from metatalk.morphable.coefficients import TrackCoefficients
from metatalk.shapes import check_shape
from metatalk.timing import true_runs

STEADY_GAZE = 0.03  # eye widths: gaze that moves by less drifts, by more it jumps: no ghosts
LONGEST_S = 0.5  # blinks that are put elsewhere are no longer
SHUTTING = 0.4  # and shut the eyes at least to this share of their opening
NEAR_S = 0.25  # of a pause: a blink so near to one is timed well
POSE_RAD, DEPTH, GAZE = 0.12, 0.1, 0.06  # what makes two heads unlike: turn, relative size, gaze
AGAIN = 1.0  # cost of the blink that was put in last, in those units
OTHER_SHOT = 3.0


@dataclass(frozen=True, eq=False)
class EyeFootage:
    """What is known of the eyes in a clip's frames."""

    blinks: list[Blink]
    opening: np.ndarray  # (T,) see `relative_opening`
    usable: np.ndarray  # (T,) bool: a face that is trusted, whose eyes are not shut for long
    shots: np.ndarray  # (T,) int64 number of the shot
    look: np.ndarray  # (T, D) pose and gaze, in units of what makes two heads unlike
    gaze: np.ndarray  # (T, 2) eye widths
    rate: float  # frames a second


def look_at_eyes(landmarks: LandmarkTrack, track: TrackCoefficients, rate: float) -> EyeFootage:
    """Learn what a clip shows of the eyes.

    Args:
        landmarks: of the clip.
        track: the head in it.
        rate: frames a second.

    Returns:
        Blinks, poses and gaze.
    """
    blinks, seen = find_blinks(landmarks, rate), gaze(landmarks)
    depth = np.log(np.maximum(track.translation[:, 2].numpy(), 1.0))
    look = np.column_stack([track.rotation.numpy() / POSE_RAD, depth / DEPTH, seen / GAZE])
    shots = np.searchsorted(landmarks.shots[:, 1], np.arange(len(landmarks)), side="right")
    usable = track.is_trusted.numpy() & ~long_shut(landmarks, blinks)
    opening = relative_opening(landmarks, rate)
    return EyeFootage(blinks, opening, usable, shots, look, seen, rate)


def plan_eyes(
    shown: FramePlan,
    footage: EyeFootage,
    speaking: np.ndarray | None,
    config: EyesConfig,
    seed: int = 0,
    refused: Refused = NOTHING,
    may_change: np.ndarray | None = None,
) -> EyePlan:
    """Decide whose eyes each frame of a result shows.

    Args:
        shown: the footage frames that it shows, and when.
        footage: what is known of them.
        speaking: (N,) bool: whether the recording speaks; None: not known, any moment will do.
        config: what is to happen to blinks.
        seed: of the chance by which intervals between blinks differ.
        refused: what is known to be no use, from `judge_plan`.
        may_change: (N,) bool: frames whose eyes may be others; None: all.

    Returns:
        The plan; the same for the same arguments.
    """
    frames, count = np.asarray(shown.frames), len(shown.frames)
    if config.blinks == "keep":
        return keep_eyes(count)
    silent = np.ones(count, bool) if speaking is None else ~np.asarray(speaking, bool)
    may = np.ones(count, bool) if may_change is None else np.asarray(may_change, bool)
    check_shape("speaking", silent, "N", N=count)
    check_shape("may_change", may, "N", N=count)
    numbers = _blinking(shown, footage)
    runs = true_runs(numbers >= 0)
    kept = [run for run in runs if not may[slice(*run)].all()]
    if config.blinks == "replace":
        near = _near(silent, round(NEAR_S * footage.rate))
        kept += [
            run
            for run in runs
            if run not in kept and _is_timed(run, frames, numbers, footage, near)
        ]
    plan, events = keep_eyes(count), [EyeEvent(*run, "kept") for run in kept]
    for run in runs:
        if run not in kept:
            done = run[0] not in refused.removed and _take_out(plan, run, frames, numbers, footage)
            events.append(EyeEvent(*run, "removed" if done else "left"))
    if config.blinks == "replace":
        stay = sorted((event.first, event.end) for event in events if event.kind != "removed")
        rhythm = _Rhythm(shown.seconds(), silent, (numbers >= 0) | ~may, stay)
        events += _put_in(plan, frames, rhythm, footage, config, seed, refused)
    return replace(plan, events=tuple(sorted(events, key=lambda event: event.first)))


def _blinking(shown: FramePlan, footage: EyeFootage) -> np.ndarray:
    """(N,) number of the blink that a frame of the result shows; -1 for none."""
    numbers = in_blink(footage.blinks, len(footage.usable))
    own: np.ndarray = numbers[shown.frames]
    towards, share = getattr(shown, "towards", None), getattr(shown, "share", None)
    if towards is None or share is None:
        return own
    mixed = np.where(share > 0, numbers[towards], -1)
    return np.where(own >= 0, own, mixed)


def _near(mask: np.ndarray, reach: int) -> np.ndarray:
    """(N,) bool: frames no further than `reach` from where a mask holds."""
    wide = np.convolve(mask.astype(np.int64), np.ones(2 * reach + 1, np.int64), "same")
    return np.asarray(wide[: len(mask)] > 0)


def _is_timed(
    run: tuple[int, int],
    frames: np.ndarray,
    numbers: np.ndarray,
    footage: EyeFootage,
    near: np.ndarray,
) -> bool:
    """Whether a filmed blink is shown whole, forwards, and near a pause."""
    first, end = run
    blink = footage.blinks[numbers[first]]
    whole = np.array_equal(frames[first:end], np.arange(blink.first, blink.end))
    return whole and blink.is_whole and bool(near[first + blink.apex - blink.first])


def _take_out(
    plan: EyePlan,
    run: tuple[int, int],
    frames: np.ndarray,
    numbers: np.ndarray,
    footage: EyeFootage,
) -> bool:
    """Show the open eyes from before and after in a run; False where there are none."""
    first, end = run
    sides = [row for row in (first - 1, end) if 0 <= row < len(frames)]
    opened = {
        row: int(frames[row]) for row in sides if numbers[row] < 0 and footage.usable[frames[row]]
    }
    before, after = opened.get(first - 1), opened.get(end)
    for row in range(first, end):
        shot = footage.shots[frames[row]]
        in_shot = lambda frame: frame is not None and footage.shots[frame] == shot  # noqa: E731, B023
        early, late = (frame if in_shot(frame) else None for frame in (before, after))
        if early is None and late is None:
            plan.first[first:end], plan.second[first:end] = -1, -1
            return False
        plan.first[row] = early if early is not None else late
        if early is not None and late is not None and early != late:
            plan.second[row] = late
            moved = float(np.abs(footage.gaze[early] - footage.gaze[late]).max())
            step, steps = row - first + 1, end - first + 1
            plan.share[row] = step / steps if moved < STEADY_GAZE else float(2 * step > steps)
    return True


@dataclass(frozen=True, eq=False)
class _Rhythm:
    """What the moments of blinks in a result are chosen by."""

    times: np.ndarray  # (N,) seconds
    silent: np.ndarray  # (N,) bool
    taken: np.ndarray  # (N,) bool: the footage shown blinks here, or must stay as it is
    stay: list[tuple[int, int]]  # blinks that are seen as filmed


def _put_in(
    plan: EyePlan,
    frames: np.ndarray,
    rhythm: _Rhythm,
    footage: EyeFootage,
    config: EyesConfig,
    seed: int,
    refused: Refused,
) -> list[EyeEvent]:
    """Put blinks in where they are due."""
    donors = _good_blinks(footage)
    if not donors or not len(frames):
        return []
    free = _free(frames, rhythm.taken, footage, max(len(blink) for blink in donors))
    suit = lambda start: [blink for blink in donors if (start, blink.first) not in refused.placed]  # noqa: E731
    moments = {
        start: bonus
        for start, bonus in find_moments(rhythm.silent, free, footage.rate).items()
        if suit(start)
    }
    usable_s = float(footage.usable.sum()) / footage.rate
    per_minute = blink_rate(len(footage.blinks), usable_s, config)
    events: list[EyeEvent] = []
    last: Blink | None = None
    for start in choose_moments(
        moments, rhythm.times, rhythm.stay, LONGEST_S, per_minute, config, seed
    ):
        costs = [_unlike(b, start, frames, footage) + AGAIN * (b is last) for b in suit(start)]
        last = suit(start)[int(np.argmin(costs))]
        rows = slice(start, start + len(last))
        plan.first[rows] = np.arange(last.first, last.end)
        events.append(EyeEvent(start, start + len(last), "placed"))
    return events


def _good_blinks(footage: EyeFootage) -> list[Blink]:
    """Blinks that may be shown elsewhere: seen whole, swift, and wholly shut."""
    return [
        blink
        for blink in footage.blinks
        if blink.is_whole
        and len(blink) <= LONGEST_S * footage.rate
        and footage.opening[blink.apex] <= SHUTTING
        and footage.usable[blink.first : blink.end].all()
    ]


def _free(frames: np.ndarray, taken: np.ndarray, footage: EyeFootage, length: int) -> np.ndarray:
    """(N,) bool: frames at which a blink of a length may begin: the face is there throughout."""
    # The lids move a little just before and after a blink: not there.
    good = footage.usable[frames] & ~_near(taken, 1)
    shots = footage.shots[frames]
    good[1:] &= shots[1:] == shots[:-1]  # no cut within
    good = np.concatenate([good, np.zeros(length, bool)])
    windows = np.lib.stride_tricks.sliding_window_view(good, length + 1)
    return np.asarray(windows[: len(frames)].all(1))


def _unlike(blink: Blink, start: int, frames: np.ndarray, footage: EyeFootage) -> float:
    """How badly a filmed blink suits a place in the result."""
    here = frames[[start, min(start + len(blink), len(frames) - 1)]]
    there = np.array([blink.first - 1, min(blink.end, len(footage.look) - 1)])
    away = float(((footage.look[here] - footage.look[there]) ** 2).sum(1).mean())
    other = footage.shots[here[0]] != footage.shots[blink.first]
    return away + OTHER_SHOT * bool(other)
