"""Lips that close on p, b and m, and come near the teeth on f and v."""

from __future__ import annotations

import numpy as np

from metatalk.a2e.closure_config import ClosureConfig
from metatalk.a2e.lip_meter import LipMeter
from metatalk.a2e.phone_times import PhoneTimes
from metatalk.a2e.targets import MouthSpace
from metatalk.shapes import check_shape

# When lips touch within a bilabial, measured on footage whose sound is in sync: from the moment
# it is heard until well before it ends, which is when the mouth is half open again.
_RELEASE_S = 0.05
_QUICK = 0.3  # how much of a phone shorter than its release has passed when lips touch
_LONGEST_STOP_S = 0.16  # a stop that follows a pause is heard as long as the pause
_LONGEST_HELD = frozenset(["M", "EM"])  # a hum may last
# Log-odds that lips close: fitted to 222 bilabials heard in three minutes of one speaker, judged
# by the real lips (area under the curve .92 on the minute left out; .71 without the gap).
_ODDS, _ODDS_HEARD, _ODDS_PER_MM = 2.8, 0.42, -0.75
_LOOK_S = 0.02  # how far around a hold the predicted mouth is asked
_SURE = 0.999
_LEAST = 1e-3
_CLOSE_ENOUGH_MM = 1e-3


def close_lips(
    expression: np.ndarray,
    frame_seconds: np.ndarray,
    phones: PhoneTimes,
    space: MouthSpace,
    meter: LipMeter,
    config: ClosureConfig,
    predicted: np.ndarray | None = None,
) -> np.ndarray:
    """Close the lips of a predicted face where its speech asks for it.

    Lips are never opened, and nothing is done where they are closed already. Phones that
    somebody wrote down are taken at their word; those that were only heard must be borne out by
    the predicted mouth: a gap that is narrow there anyway.

    Args:
        expression: (T, E) as it is to be, but for its closures.
        frame_seconds: (T,) increasing, on the phones' clock.
        phones: when each is spoken.
        space: the actor's mouth; the change is the smallest in it, in millimetres of lips and
            chin, that keeps inside what the actor was seen to do.
        meter: of the actor's lips.
        config: strength and speed.
        predicted: (T, E) the face that bears phones out, where `expression` is tuned and says no
            more how narrow the mouth would be; None: `expression`.

    Returns:
        (T, E) float32; units outside the mouth space are untouched.

    Raises:
        ShapeError: arrays disagree about frames or units.
    """
    frames = check_shape("expression", expression, "T E", E=len(space.mean))["T"]
    check_shape("frame_seconds", frame_seconds, "T", T=frames)
    gap = meter.gap_mm(expression)
    judged = gap
    if predicted is not None:
        check_shape("predicted", predicted, "T E", T=frames, E=len(space.mean))
        judged = meter.gap_mm(predicted)
    wanted = wanted_gap(gap, frame_seconds, phones, config, judged)
    cut = gap - wanted
    if not (cut > 0).any():
        return expression.astype(np.float32)
    mouth = space.expression_to_mouth(expression)
    change = smallest_change(mouth, cut, space, space.directions @ meter.per_unit_mm)
    return (expression + change @ space.directions).astype(np.float32)


def wanted_gap(
    gap_mm: np.ndarray,
    frame_seconds: np.ndarray,
    phones: PhoneTimes,
    config: ClosureConfig,
    judged_mm: np.ndarray | None = None,
) -> np.ndarray:
    """Narrow a track of lip gaps around the phones that ask for it.

    Args:
        gap_mm: (T,) 0 where lips touch.
        frame_seconds: (T,) increasing.
        phones: when each is spoken.
        config: strength and speed.
        judged_mm: (T,) the gap that bears phones out; None: `gap_mm`.

    Returns:
        (T,) mm, nowhere more than `gap_mm`; the order of the phones does not matter.
    """
    wanted = gap_mm.astype(np.float64)
    judged_mm = gap_mm if judged_mm is None else judged_mm
    check_shape("judged_mm", judged_mm, "T", T=len(gap_mm))
    if len(frame_seconds) == 0:
        return wanted
    step = float(np.median(np.diff(frame_seconds))) if len(frame_seconds) > 1 else 1.0
    reach = _ramp_s(float(gap_mm.max(initial=0.0)), config) + _LOOK_S + step
    for kind, target in (("bilabial", 0.0), ("labiodental", config.teeth_gap_mm)):
        asked = phones.of_kind(kind)
        for phone in range(len(asked)):
            hold = held_seconds(asked, phone)
            first, end = np.searchsorted(frame_seconds, (hold[0] - reach, hold[1] + reach))
            near = slice(int(first), int(end))
            seconds, gap = frame_seconds[near], gap_mm[near]
            if not len(seconds) or hold[1] < seconds[0] - step or hold[0] > seconds[-1] + step:
                continue
            hold = _reach_a_frame(hold, seconds)
            above = np.maximum(gap - target, 0.0)
            share = _credence(
                float(asked.confidence[phone]), judged_mm[near], seconds, hold, config
            )
            pull = config.strength * share * closing(seconds, hold, above, config)
            wanted[near] = np.minimum(wanted[near], gap - pull * above)
    return wanted


def held_seconds(phones: PhoneTimes, phone: int) -> tuple[float, float]:
    """Find from when to when lips touch within one of the phones."""
    start, end = float(phones.starts[phone]), float(phones.ends[phone])
    if phones.labels[phone].upper() not in _LONGEST_HELD:
        start = max(start, end - _LONGEST_STOP_S)
    late = end - _RELEASE_S
    if late < start:  # a quick one
        start = late = start + _QUICK * (end - start)
    return start, late


def closing(
    frame_seconds: np.ndarray,
    hold: tuple[float, float],
    above_mm: np.ndarray,
    config: ClosureConfig,
) -> np.ndarray:
    """(T,) from 0 to 1: raised cosines into and out of a hold, no faster than lips may move."""
    early, late = hold
    away = np.maximum(np.maximum(early - frame_seconds, frame_seconds - late), 0.0)
    ramp = _ramp_s(float(above_mm[away <= config.ramp_s].max(initial=0.0)), config)
    weight: np.ndarray = 0.5 + 0.5 * np.cos(np.pi * np.minimum(away / ramp, 1.0))
    return weight


def smallest_change(
    mouth: np.ndarray, cut_mm: np.ndarray, space: MouthSpace, gap_per_deviation: np.ndarray
) -> np.ndarray:
    """Find the smallest change of the mouth that narrows the lips' gap.

    Args:
        mouth: (T, K) mouth coordinates.
        cut_mm: (T,) by how much the gap is to shrink.
        space: with the millimetres that each coordinate moves the mouth, and its range.
        gap_per_deviation: (K,) mm of gap that each coordinate adds.

    Returns:
        (T, K): least sum of squares in millimetres, coordinates that would leave their range
        held at its edge and the others taking over; where all are held the gap stays.
    """
    sizes = check_shape("mouth", mouth, "T K", K=space.components)
    check_shape("cut_mm", cut_mm, "T", **sizes)
    slope = np.asarray(gap_per_deviation, np.float64)
    cheap = slope / np.maximum(space.scale.astype(np.float64), 1e-6) ** 2
    low, high = np.minimum(space.low, mouth), np.maximum(space.high, mouth)
    now, free = mouth.astype(np.float64), np.ones(mouth.shape, bool)
    left = np.maximum(cut_mm.astype(np.float64), 0.0)
    for _ in range(space.components):
        way = np.where(free, cheap, 0.0)
        yields = way @ slope
        step = np.divide(left, yields, out=np.zeros_like(left), where=yields > 1e-9)
        now = np.clip(now - step[:, None] * way, low, high)
        left = np.maximum(cut_mm + (now - mouth) @ slope, 0.0)
        free &= (now > low) & (now < high) | (slope == 0)
        if left.max(initial=0.0) < _CLOSE_ENOUGH_MM:
            break
    change: np.ndarray = now - mouth
    return change


def _ramp_s(height_mm: float, config: ClosureConfig) -> float:
    """How long a way from a height to closed lips takes."""
    # A raised cosine is steepest at its middle, where it is pi / 2 times as fast as a line.
    return max(config.ramp_s, np.pi / 2 * height_mm * config.strength / config.speed_mm_s)


def _reach_a_frame(hold: tuple[float, float], frame_seconds: np.ndarray) -> tuple[float, float]:
    """Widen a hold that falls between two frames to the nearer one."""
    early, late = hold
    away = np.maximum(early - frame_seconds, frame_seconds - late)
    nearest = float(frame_seconds[int(np.argmin(away))])
    return min(early, nearest), max(late, nearest)


def _credence(
    confidence: float,
    gap_mm: np.ndarray,
    frame_seconds: np.ndarray,
    hold: tuple[float, float],
    config: ClosureConfig,
) -> float:
    """How far a phone is believed, 0 to 1: what was heard, and how narrow the mouth is anyway."""
    if confidence >= _SURE:
        return 1.0
    near = (frame_seconds >= hold[0] - _LOOK_S) & (frame_seconds <= hold[1] + _LOOK_S)
    narrow_mm = max(float(gap_mm[near].min(initial=np.inf)), 0.0)
    heard = float(np.clip(confidence, _LEAST, 1.0 - _LEAST))
    odds = _ODDS + _ODDS_HEARD * np.log(heard / (1.0 - heard)) + _ODDS_PER_MM * narrow_mm
    return float(np.clip(odds - config.least_odds + 0.5, 0.0, 1.0))
