"""Where the filmed mouth is kept: a covered, turned, blurred or lost face is not painted over."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from metatalk.compose.fallback.config import FallbackConfig
from metatalk.compose.fallback.exposure import ExposureChange, compare_exposure
from metatalk.compose.fallback.foreground_masks import Foreground
from metatalk.compose.fallback.occlusion import Hidden
from metatalk.compose.fallback.presence import presence
from metatalk.morphable.coefficients import TRUSTED, TrackCoefficients
from metatalk.shapes import check_shape
from metatalk.timing import true_runs

HOLD_SHARE = 0.5  # a hand or a flash counts until it falls below this part of its limit
COVERED_HOLD = 0.3  # the same of other things: a caption's few letters are seen now and then
LASTING_S = 0.6  # ... and is a covering, however small, if it goes on for so long
HOLD_RATIO = 0.9  # the same of turning and of blur, which are never nought
LEAST_FRAMES = 2  # of a covering: one frame alone is a mistake of the measure
HAND_SHARE = 0.04  # of the painted area: a smaller touch need not look strange ...
HAND_AWAY = 0.9  # ... a larger one must: so many spreads from the usual
LEAST_TURN_DEG = 20.0  # heads turn so far in any conversation, whatever the training clip shows
CLIPPED_SHARE = 0.25  # of the skin, beyond what is usual: a flash
USUAL_SHARE = 0.02  # of the training frames on either side do not count as trained
BLUR_BEYOND = 0.9  # of what is least sharp in the clip: what it often has the actor knows
BLUR_OFTEN = 0.1  # of the frames


@dataclass(frozen=True)
class Fallback:
    """A stretch of frames that keep the filmed mouth, and why."""

    first: int
    end: int  # one past the last
    kind: str  # hand, covered, turned, tilted, hidden, blur, exposure, lost or no face
    words: str  # the reason, told of the worst frame
    severity: float  # the measure there by its limit; 1 where it is small but goes on


@dataclass(frozen=True)
class Poses:
    """How far a head was turned in the clip an actor was trained on, degrees."""

    yaw: tuple[float, float]  # least and greatest; positive as the fit counts
    pitch: tuple[float, float]


@dataclass(frozen=True, eq=False)
class _Reason:
    kind: str
    severity: np.ndarray  # (T,) 1 and more is a reason
    words: Callable[[int], str]
    hold: float  # it lasts until its severity falls below this
    least: int = 1  # frames
    guard: bool = False
    measure: np.ndarray | None = None  # (T,) what the severity was raised from, if it was


def measure_poses(track: TrackCoefficients) -> Poses:
    """Measure how far a head turns in its trusted frames.

    Args:
        track: of the clip that the actor was trained on.

    Returns:
        The range, a few frames at its ends left out; none where no frame is trusted.
    """
    degrees = np.degrees(track.rotation.numpy()[track.is_trusted.numpy()])
    if not len(degrees):
        return Poses((0.0, 0.0), (0.0, 0.0))
    low, high = np.quantile(degrees[:, :2], [USUAL_SHARE, 1 - USUAL_SHARE], axis=0)
    return Poses((float(low[1]), float(high[1])), (float(low[0]), float(high[0])))


def find_fallbacks(
    track: TrackCoefficients,
    shots: np.ndarray,
    rate: float,
    config: FallbackConfig,
    hidden: Hidden | None = None,
    trained: Poses | None = None,
    standing: Foreground | None = None,
) -> list[Fallback]:
    """Find the stretches of a clip that must keep their filmed mouth.

    Args:
        track: (T) the footage's fit.
        shots: (K, 2) first frame and one past the last of each shot.
        rate: frames a second.
        config: what counts.
        hidden: what was measured in the pictures; None: nothing was.
        trained: how far the actor was turned in training; None: it is not known.
        standing: what stands before the face all the while; None: it is not known.

    Returns:
        The stretches by their first frame, none across a cut; those of different kinds may
        overlap.
    """
    check_shape("shots", shots, "K 2")
    if hidden is not None:
        check_shape("hidden.looked", hidden.looked, "T", T=len(track))
    if standing is not None:
        check_shape("standing.lips_share", standing.lips_share, "T", T=len(track))
    found = []
    for reason in _reasons(track, config, hidden, trained, standing, shots, rate):
        guard, merge = (round(config.guard_s * rate), round(config.merge_s * rate))
        for first, end in shots.tolist():
            for a, b in _stretches(reason, slice(first, end), guard, merge):
                measure = reason.severity if reason.measure is None else reason.measure
                worst = first + a + int(measure[first + a : first + b].argmax())
                severity = float(reason.severity[first + a : first + b].max())
                found.append(
                    Fallback(first + a, first + b, reason.kind, reason.words(worst), severity)
                )
    return sorted(found, key=lambda one: (one.first, one.end))


def fallback_strength(
    fallbacks: Sequence[Fallback], shots: np.ndarray, fade_frames: int
) -> np.ndarray:
    """Fade the new mouth out before each stretch and in after it.

    Args:
        fallbacks: from `find_fallbacks`.
        shots: (K, 2) first frame and one past the last of each shot; a cut needs no fade.
        fade_frames: length of the fade, done before a stretch begins.

    Returns:
        (T,) float32: 0 within the stretches, rising to 1 beside them.
    """
    check_shape("shots", shots, "K 2")
    frames = int(shots[-1, 1]) if len(shots) else 0
    kept = np.zeros(frames, bool)
    for one in fallbacks:
        kept[one.first : one.end] = True
    return presence(~kept, shots, fade_frames)


def fade_in_order(strength: np.ndarray, shot: np.ndarray, fade_frames: int) -> np.ndarray:
    """Keep a result's fades as long as they are to be, in whatever order it shows its footage.

    Args:
        strength: (N,) of the footage frames behind a result's frames.
        shot: (N,) the shot that each shows; between two of them there is no fade.
        fade_frames: length of the fade.

    Returns:
        (N,) float32, nowhere more than before, rising and falling by one share a frame at most.
    """
    check_shape("shot", shot, "N", N=len(strength))
    faded, most = strength.astype(np.float32), 1.0 / (fade_frames + 1) + 1e-6
    same = shot[1:] == shot[:-1]
    for order in (range(1, len(faded)), range(len(faded) - 2, -1, -1)):
        for n in order:
            before = n - 1 if order.step > 0 else n + 1
            if same[min(n, before)] and faded[n] > faded[before] + most:
                faded[n] = faded[before] + most
    return faded


def _reasons(
    track: TrackCoefficients,
    config: FallbackConfig,
    hidden: Hidden | None,
    trained: Poses | None,
    standing: Foreground | None,
    shots: np.ndarray,
    rate: float,
) -> Iterator[_Reason]:
    has_face, sure = track.has_face.numpy(), track.confidence.numpy()
    yield _Reason("no face", (~has_face).astype(float), lambda t: "no face", 1.0)
    lost = np.where(has_face & ~track.is_trusted.numpy(), TRUSTED / np.maximum(sure, 1e-3), 0.0)
    yield _Reason(
        "lost", lost, lambda t: f"the fit is not to be trusted (confidence {sure[t]:.2f})", 1.0
    )
    if not config.enabled:
        return
    if config.turned and trained is not None:
        yield from _turned(track, config, trained)
    if hidden is not None:
        yield from _covered(hidden, config, shots, rate)
        if config.exposure:
            change = compare_exposure(hidden.level, hidden.clipped, hidden.looked, shots, rate)
            yield _exposed(change, config)
    if standing is not None and config.standing:
        lips = standing.lips_share
        yield _Reason(
            "covered",
            lips / config.mouth_share,
            lambda t: f"{100 * lips[t]:.0f} % of the lips are behind what stands before the face",
            HOLD_RATIO,
            LEAST_FRAMES,
            guard=True,
        )


def _turned(track: TrackCoefficients, config: FallbackConfig, trained: Poses) -> Iterator[_Reason]:
    degrees = np.degrees(track.rotation.numpy())
    has_face = track.has_face.numpy()
    for kind, axis, (low, high) in (("turned", 1, trained.yaw), ("tilted", 0, trained.pitch)):
        angle = degrees[:, axis]
        least = min(low - config.turn_margin_deg, -LEAST_TURN_DEG)
        most = max(high + config.turn_margin_deg, LEAST_TURN_DEG)
        severity = np.where(has_face, np.maximum(angle / most, angle / least), 0.0)
        yield _Reason(kind, severity, _tell_turn(kind, angle, low, high), HOLD_RATIO)


def _tell_turn(kind: str, angle: np.ndarray, low: float, high: float) -> Callable[[int], str]:
    def words(t: int) -> str:
        known = max(high, 0.0) if angle[t] > 0 else max(-low, 0.0)
        return f"{kind} {abs(angle[t]):.0f} degrees, trained to {known:.0f}"

    return words


def _covered(
    hidden: Hidden, config: FallbackConfig, shots: np.ndarray, rate: float
) -> Iterator[_Reason]:
    if config.hands:
        share = np.where(_is_hand(hidden), hidden.hand_share, 0.0)
        yield _Reason(
            "hand",
            share / config.hand_share,
            lambda t: f"a hand before the lower face ({100 * share[t]:.0f} % of it)",
            HOLD_SHARE,
            1,
            guard=True,
        )
    if config.covered:
        blob = hidden.strange_blob
        covering = blob / config.covered_share
        yield _Reason(
            "covered",
            _lasting(covering, shots, rate),
            lambda t: f"something covers {100 * blob[t]:.0f} % of the lower face",
            COVERED_HOLD,
            LEAST_FRAMES,
            guard=True,
            measure=covering,
        )
    if config.turned:
        usual = np.median(hidden.seen_share[hidden.looked]) if hidden.looked.any() else 1.0
        seen = np.where(hidden.looked, hidden.seen_share / max(float(usual), 1e-6), 1.0)
        severity = config.seen_share / np.maximum(seen, 1e-3)
        yield _Reason(
            "hidden",
            severity,
            lambda t: f"only {100 * hidden.seen_share[t]:.0f} % of the lower face faces the camera",
            HOLD_RATIO,
        )
    if config.blur:
        sharp = measure_sharpness(hidden)
        often = np.quantile(sharp[hidden.looked], BLUR_OFTEN) if hidden.looked.any() else 1.0
        limit = min(config.sharpness, BLUR_BEYOND * float(often))
        yield _Reason(
            "blur",
            np.where(hidden.looked, limit / np.maximum(sharp, 1e-3), 0.0),
            lambda t: f"blurred: {100 * sharp[t]:.0f} % as sharp as usual",
            HOLD_RATIO,
        )


def _lasting(severity: np.ndarray, shots: np.ndarray, rate: float) -> np.ndarray:
    """Raise what is small but goes on: noise and misfits come and go from frame to frame."""
    frames = max(round(LASTING_S * rate), 1)
    least = np.where(severity >= COVERED_HOLD, np.minimum(severity, 1.0), 0.0)
    mean, window = np.zeros(len(severity)), np.full(frames, 1 / frames)
    for first, end in shots.tolist():  # what was there before a cut does not go on after it
        mean[first:end] = np.convolve(least[first:end], window)[frames // 2 :][: end - first]
    lasts = (least > 0) & (mean >= COVERED_HOLD)
    return np.where(lasts, np.maximum(severity, 1.0), severity)


def _exposed(change: ExposureChange, config: FallbackConfig) -> _Reason:
    away = np.abs(change.brightness) / -np.log(config.brightness)
    clipped = change.clipped / CLIPPED_SHARE

    def words(t: int) -> str:
        if clipped[t] > away[t]:
            return f"overexposed: {100 * change.clipped[t]:.0f} % of the skin more than usual"
        return f"{100 * np.exp(change.brightness[t]):.0f} % as light as in the seconds around"

    return _Reason("exposure", np.maximum(away, clipped), words, HOLD_SHARE, guard=True)


def _is_hand(hidden: Hidden) -> np.ndarray:
    """(T,) bool: what was taken for a hand looks unlike the face, or only touches it."""
    away = np.nan_to_num(hidden.hand_away, nan=np.inf)
    is_hand: np.ndarray = (hidden.hand_share < HAND_SHARE) | (away >= HAND_AWAY)
    return is_hand


def measure_sharpness(hidden: Hidden) -> np.ndarray:
    """Measure how sharp each frame's face is, in the direction in which it is least so.

    Args:
        hidden: what was measured.

    Returns:
        (T,) float32 to the clip's usual; 1 where nothing was looked at.
    """
    if not hidden.looked.any():
        return np.ones(len(hidden), np.float32)
    usual = np.maximum(np.median(hidden.edges[hidden.looked], axis=0), 1e-6)
    least: np.ndarray = (hidden.edges / usual).min(1)
    return np.where(hidden.looked, least, 1.0).astype(np.float32)


def _stretches(reason: _Reason, shot: slice, guard: int, merge: int) -> Iterator[tuple[int, int]]:
    """Frames of severity 1 and more, and what hangs on to them, as (first, one past the last)."""
    severity = reason.severity[shot]
    near = merge if reason.guard else 0
    kept: list[tuple[int, int]] = []
    for first, end in true_runs(severity >= reason.hold):
        # What was worse near by is still there; one frame alone is no sign of it.
        if severity[first:end].max() < 1 and end - first < reason.least:
            continue
        if kept and first - kept[-1][1] < near:
            kept[-1] = (kept[-1][0], end)
        else:
            kept.append((first, end))
    around = guard if reason.guard else 0
    for first, end in kept:
        if severity[first:end].max() < 1:
            continue
        if end - first >= min(reason.least, len(severity)):
            yield max(first - around, 0), min(end + around, len(severity))
