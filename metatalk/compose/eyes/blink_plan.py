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
    blinks_in,
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
    opening, seen = relative_opening(landmarks, rate), gaze(landmarks)
    blinks = blinks_in(opening, landmarks.runs(), rate)
    depth = np.log(np.maximum(track.translation[:, 2].numpy(), 1.0))
    look = np.column_stack([track.rotation.numpy() / POSE_RAD, depth / DEPTH, seen / GAZE])
    shots = np.searchsorted(landmarks.shots[:, 1], np.arange(len(landmarks)), side="right")
    usable = track.is_trusted.numpy() & ~long_shut(landmarks, blinks)
    return EyeFootage(blinks, opening, usable, shots, look, seen, rate)


@dataclass(frozen=True, eq=False)
class EyeTask:
    """A result of N frames whose eyes are to be planned."""

    shown: FramePlan  # the footage frames that it shows, and when
    speaking: np.ndarray | None = None  # (N,) bool: somebody is heard; None: any moment will do
    may_change: np.ndarray | None = None  # (N,) bool: frames whose eyes may be others; None: all

    def __post_init__(self) -> None:
        for name in ("speaking", "may_change"):
            if getattr(self, name) is not None:
                check_shape(name, getattr(self, name), "N", N=len(self.shown))

    @property
    def silent(self) -> np.ndarray:
        """(N,) bool: frames in which a blink is timed well."""
        if self.speaking is None:
            return np.ones(len(self.shown), bool)
        return np.logical_not(self.speaking)

    @property
    def fixed(self) -> np.ndarray:
        """(N,) bool: frames whose eyes must stay as they were filmed."""
        if self.may_change is None:
            return np.zeros(len(self.shown), bool)
        return np.logical_not(self.may_change)


def plan_eyes(
    task: EyeTask,
    footage: EyeFootage,
    config: EyesConfig,
    seed: int = 0,
    refused: Refused = NOTHING,
) -> EyePlan:
    """Decide whose eyes each frame of a result shows.

    Args:
        task: the result.
        footage: what is known of the frames that it shows.
        config: what is to happen to blinks.
        seed: of the chance by which intervals between blinks differ.
        refused: what is known to be no use, from `judge_plan`.

    Returns:
        The plan; the same for the same arguments.
    """
    plan = keep_eyes(len(task.shown))
    if config.blinks == "keep":
        return plan
    frames, numbers = task.shown.frames, _blinking(task.shown, footage)
    runs = true_runs(numbers >= 0)
    kept = _kept(runs, task, numbers, footage, config)
    events = [EyeEvent(*run, "kept") for run in kept]
    for run in runs:
        if run in kept:
            continue
        rows = slice(*run)
        opened = None
        if run[0] not in refused.removed:
            opened = _open_eyes(run, frames, numbers, footage)
        if opened is not None:
            plan.first[rows], plan.second[rows], plan.share[rows] = opened
        events.append(EyeEvent(*run, "left" if opened is None else "removed"))
    if config.blinks == "replace":
        stay = sorted((event.first, event.end) for event in events if event.kind != "removed")
        rhythm = _Rhythm(task.shown.seconds(), task.silent, (numbers >= 0) | task.fixed, stay)
        for start, blink in _choose_blinks(frames, rhythm, footage, config, seed, refused):
            plan.first[start : start + len(blink)] = np.arange(blink.first, blink.end)
            events.append(EyeEvent(start, start + len(blink), "placed"))
    return replace(plan, events=tuple(sorted(events, key=lambda event: event.first)))


def _blinking(shown: FramePlan, footage: EyeFootage) -> np.ndarray:
    """(N,) number of the blink that a frame of the result shows; -1 for none."""
    numbers = in_blink(footage.blinks, len(footage.usable))
    own: np.ndarray = numbers[shown.frames]
    if shown.towards is None or shown.share is None:
        return own
    mixed = np.where(shown.share > 0, numbers[shown.towards], -1)
    return np.where(own >= 0, own, mixed)


def _kept(
    runs: list[tuple[int, int]],
    task: EyeTask,
    numbers: np.ndarray,
    footage: EyeFootage,
    config: EyesConfig,
) -> list[tuple[int, int]]:
    """Those of the blinks that are shown which stay as they were filmed."""
    fixed, near = task.fixed, _near(task.silent, round(NEAR_S * footage.rate))
    swap = config.blinks == "replace"
    return [
        run
        for run in runs
        if fixed[slice(*run)].any()
        or (swap and _is_timed(run, task.shown.frames, numbers, footage, near))
    ]


def _near(mask: np.ndarray, reach: int) -> np.ndarray:
    """(N,) bool: frames no further than `reach` from where a mask holds."""
    wide = np.convolve(mask.astype(np.int64), np.ones(2 * reach + 1, np.int64))
    return np.asarray(wide[reach : reach + len(mask)] > 0)


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


def _open_eyes(
    run: tuple[int, int], frames: np.ndarray, numbers: np.ndarray, footage: EyeFootage
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Whose open eyes, from before and after a run, its n frames show.

    Returns:
        (n,) first and second giver and share of the second, as an `EyePlan` has them; None where
        one of the frames has none.
    """
    start, end = run
    before, after = (
        int(frames[row])
        if 0 <= row < len(frames) and numbers[row] < 0 and footage.usable[frames[row]]
        else -1
        for row in (start - 1, end)
    )
    first, second = np.full(end - start, -1, np.int64), np.full(end - start, -1, np.int64)
    share = np.zeros(end - start, np.float32)
    for place, frame in enumerate(frames[start:end]):
        early, late = (
            donor if donor >= 0 and footage.shots[donor] == footage.shots[frame] else -1
            for donor in (before, after)
        )
        if early < 0 and late < 0:
            return None
        first[place] = early if early >= 0 else late
        if early >= 0 and late >= 0 and early != late:
            second[place] = late
            moved = float(np.abs(footage.gaze[early] - footage.gaze[late]).max())
            step, steps = place + 1, end - start + 1
            share[place] = step / steps if moved < STEADY_GAZE else float(2 * step > steps)
    return first, second, share


@dataclass(frozen=True, eq=False)
class _Rhythm:
    """What the moments of blinks in a result are chosen by."""

    times: np.ndarray  # (N,) seconds
    silent: np.ndarray  # (N,) bool
    taken: np.ndarray  # (N,) bool: the footage shown blinks here, or must stay as it is
    stay: list[tuple[int, int]]  # blinks that are seen as filmed


def _choose_blinks(
    frames: np.ndarray,
    rhythm: _Rhythm,
    footage: EyeFootage,
    config: EyesConfig,
    seed: int,
    refused: Refused,
) -> list[tuple[int, Blink]]:
    """Where blinks are put in, and which of the filmed ones."""
    donors = _good_blinks(footage)
    if not donors:
        return []
    free = _free(frames, rhythm.taken, footage, max(len(blink) for blink in donors))
    moments = find_moments(rhythm.silent, free, footage.rate)
    suited = {
        start: [blink for blink in donors if (start, blink.first) not in refused.placed]
        for start in moments
    }
    moments = {start: bonus for start, bonus in moments.items() if suited[start]}
    usable_s = float(footage.usable.sum()) / footage.rate
    per_minute = blink_rate(len(footage.blinks), usable_s, config)
    chosen: list[tuple[int, Blink]] = []
    last: Blink | None = None
    for start in choose_moments(
        moments, rhythm.times, rhythm.stay, LONGEST_S, per_minute, config, seed
    ):
        suits = suited[start]
        costs = [_unlike(b, start, frames, footage) + AGAIN * (b is last) for b in suits]
        last = suits[int(np.argmin(costs))]
        chosen.append((start, last))
    return chosen


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
