"""Which frames of a fit to distrust, and why, in words.

Every check gives each frame a severity: the measure by its limit, so that 1 and more is a doubt
and frames can be ranked. Limits are absolute where the goal is, and elsewhere relative to what
is usual in the clip: a beard or a coarse picture is no reason to distrust all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from metatalk.evaluate.fit_curves import FitCurves
from metatalk.shapes import check_shape

ERROR_MM = 2.5  # 1.4 % of a face's height, where 0.9 % is the goal for a whole clip
ERROR_FLOOR_MM = 1.5  # an outlier below it is still a good fit
LIPS_MM = 2.0  # 1.1 % of a face's height, where 0.6 % is the goal
GAP_MM = 2.0  # a viewer sees lips that should touch and are 2 mm apart
CONFIDENCE = 0.35  # below it later stages hardly count a frame
YAW_DEG, PITCH_DEG = 40.0, 30.0  # how far the fit has been measured against the truth
OUTSIDE = 0.05  # share of the landmarks beyond the picture's edge
FACE_PX = 60.0  # the detector sees faces at 192 px: much less is guessed
COLOUR_RISE = 0.03  # of full scale, above what a beard or a coarse light model costs all along
VISIBLE = 0.6  # share of the face whose colours can be believed
VISIBLE_DROP = 0.1  # below what is usual in the clip: something came before the face
MOTION_MM = 2.0  # in one frame at 25 a second, more than the detector's noise
TURN_DEG_S, APPROACH_MM_S = 600.0, 1500.0  # faster than heads turn, and come nearer
BOUND = 0.15  # a unit so far outside 0 to 1 stands in for something that the model lacks
DEVIATIONS = 3.5  # the same for statistical modes
OUTLIER = 6.0  # robust standard deviations from the clip's median
MERGE_S = 0.2  # doubts with less than this between them are one


@dataclass(frozen=True, eq=False)
class Judgement:
    """One check of every frame."""

    kind: str
    severity: np.ndarray  # (T,) 1 and more is a doubt; NaN: nothing to judge
    words: Callable[[int], str]  # the reason, told of one frame

    def __post_init__(self) -> None:
        check_shape("severity", self.severity, "T")

    @property
    def doubtful(self) -> np.ndarray:
        """(T,) bool."""
        return np.asarray(np.nan_to_num(self.severity) >= 1.0)


@dataclass(frozen=True)
class Reason:
    """Why frames of a range are in doubt."""

    kind: str
    words: str  # told of the worst frame
    frames: int  # of the range, to which it applies
    worst_frame: int


@dataclass(frozen=True)
class DoubtRange:
    """Frames to distrust, all of one shot."""

    first: int
    end: int  # one past the last
    reasons: tuple[Reason, ...]  # the most severe first

    @property
    def words(self) -> str:
        """All reasons in a line."""
        return "; ".join(reason.words for reason in self.reasons)


def judge_frames(curves: FitCurves) -> list[Judgement]:
    """Make all checks.

    Args:
        curves: of the fit.

    Returns:
        One judgement a check.
    """
    return [
        *_judge_faces(curves),
        *_judge_landmarks(curves),
        *_judge_pose(curves),
        *_judge_motion(curves),
        *_judge_expression(curves),
        *_judge_colours(curves),
    ]


def worst_words(judgements: Sequence[Judgement], frame: int) -> str:
    """Tell the most severe doubt about a frame; how good its landmarks are where there is none."""
    doubts = [judgement for judgement in judgements if judgement.doubtful[frame]]
    if not doubts:
        doubts = [judgement for judgement in judgements if judgement.kind == "landmarks"]
    return max(doubts, key=lambda judgement: float(judgement.severity[frame])).words(frame)


def rank_frames(judgements: Sequence[Judgement]) -> np.ndarray:
    """How bad each frame with a face is: (T,) the worst severity; NaN where there is no face."""
    severity = np.stack([judgement.severity for judgement in judgements])
    no_face = np.nan_to_num(judgements[0].severity) >= 1.0
    return np.where(no_face, np.nan, np.nan_to_num(severity).max(0))


def worst_frames(badness: np.ndarray, count: int, apart: int) -> list[int]:
    """Pick the worst frames, not all from one moment.

    Args:
        badness: (T,) from `rank_frames`.
        count: how many at most.
        apart: frames from one to the next, at least.

    Returns:
        Frame numbers, the worst first.
    """
    left = np.where(np.isfinite(badness), badness, -np.inf)
    chosen: list[int] = []
    while len(chosen) < count and np.isfinite(left.max()):
        frame = int(left.argmax())
        chosen.append(frame)
        left[max(0, frame - apart + 1) : frame + apart] = -np.inf
    return chosen


def doubtful_ranges(judgements: Sequence[Judgement], curves: FitCurves) -> list[DoubtRange]:
    """Gather doubtful frames into ranges, never across a cut.

    Args:
        judgements: from `judge_frames`.
        curves: of the same clip.

    Returns:
        The ranges in order.
    """
    doubtful = np.stack([judgement.doubtful for judgement in judgements]).any(0)
    gap = round(MERGE_S * curves.rate)
    ranges = []
    for first, end in curves.shots.tolist():
        for a, b in _runs(doubtful[first:end], gap):
            reasons = _reasons(judgements, first + a, first + b)
            ranges.append(DoubtRange(first + a, first + b, reasons))
    return ranges


def _runs(doubtful: np.ndarray, gap: int) -> Iterator[tuple[int, int]]:
    """Stretches of doubtful frames; those with at most `gap` frames between them are one."""
    frames = np.flatnonzero(doubtful)
    if not len(frames):
        return
    breaks = np.flatnonzero(np.diff(frames) > gap + 1)
    firsts, lasts = frames[np.r_[0, breaks + 1]], frames[np.r_[breaks, len(frames) - 1]]
    yield from zip(firsts.tolist(), (lasts + 1).tolist(), strict=True)


def _reasons(judgements: Sequence[Judgement], first: int, end: int) -> tuple[Reason, ...]:
    found = []
    for judgement in judgements:
        frames = int(judgement.doubtful[first:end].sum())
        if frames:
            severity = np.nan_to_num(judgement.severity[first:end])
            worst = first + int(severity.argmax())
            reason = Reason(judgement.kind, judgement.words(worst), frames, worst)
            found.append((-float(severity.max()), reason))
    return tuple(reason for _, reason in sorted(found, key=lambda pair: pair[0]))


def _judge_faces(curves: FitCurves) -> Iterator[Judgement]:
    state = curves.state
    yield Judgement("no face", (state == 0).astype(float), lambda t: "no face found")
    yield Judgement(
        "interpolated",
        (state == 2).astype(float),
        lambda t: "the detector lost the face; landmarks are interpolated",
    )
    yield Judgement(
        "edge",
        curves.outside / OUTSIDE,
        lambda t: f"{100 * curves.outside[t]:.0f} % of the face outside the picture",
    )
    yield Judgement(
        "small", FACE_PX / curves.face_px, lambda t: f"the face is {curves.face_px[t]:.0f} px high"
    )


def _judge_landmarks(curves: FitCurves) -> Iterator[Judgement]:
    error, lips = curves.error_mm, curves.part_mm["lips"]
    gap = curves.lip_gap_mm - curves.seen_gap_mm
    yield Judgement(
        "landmarks",
        error / min(ERROR_MM, max(ERROR_FLOOR_MM, _usual_limit(error))),
        lambda t: f"landmarks {error[t]:.1f} mm off, most unusual at the {curves.worst_part(t)}",
    )
    yield Judgement("lips", lips / LIPS_MM, lambda t: f"lips {lips[t]:.1f} mm off")
    yield Judgement(
        "lip gap",
        np.abs(gap) / GAP_MM,
        lambda t: (
            f"lips {abs(gap[t]):.1f} mm {'further apart' if gap[t] > 0 else 'nearer'} than seen"
        ),
    )
    sure = np.where(curves.has_face, np.maximum(curves.confidence, 1e-3), np.nan)
    yield Judgement(
        "confidence", CONFIDENCE / sure, lambda t: f"confidence {curves.confidence[t]:.2f}"
    )


def _judge_pose(curves: FitCurves) -> Iterator[Judgement]:
    pitch, yaw = curves.rotation_deg[:, 0], curves.rotation_deg[:, 1]
    yield Judgement(
        "turned", np.abs(yaw) / YAW_DEG, lambda t: f"head turned {abs(yaw[t]):.0f} degrees aside"
    )
    yield Judgement(
        "tilted", np.abs(pitch) / PITCH_DEG, lambda t: f"head tilted {abs(pitch[t]):.0f} degrees"
    )


def _judge_motion(curves: FitCurves) -> Iterator[Judgement]:
    motion = curves.motion_mm
    limit = max(MOTION_MM * 25.0 / curves.rate, _usual_limit(motion))
    yield Judgement(
        "jump",
        motion / limit,
        lambda t: f"the fit moves {motion[t]:.1f} mm otherwise than the detector",
    )
    turn = _speed(curves.rotation_deg, curves)
    yield Judgement(
        "turns", turn / TURN_DEG_S, lambda t: f"the head jumps round at {turn[t]:.0f} degrees/s"
    )
    approach = _speed(curves.translation_mm[:, 2:], curves)
    yield Judgement(
        "approach",
        approach / APPROACH_MM_S,
        lambda t: f"the head jumps in depth at {approach[t] / 1000:.1f} m/s",
    )


def _judge_expression(curves: FitCurves) -> Iterator[Judgement]:
    values = curves.expression
    if curves.has_units:
        excess = np.maximum(values - 1.0, -values) / BOUND
    else:
        excess = np.abs(values) / DEVIATIONS
    filled = np.nan_to_num(excess, nan=-np.inf)
    worst = filled.argmax(1)
    yield Judgement(
        "bounds",
        np.where(curves.has_face, filled.max(1).clip(0.0), np.nan),
        lambda t: (
            f"{curves.expression_names[worst[t]]} at {values[t, worst[t]]:.2f}, out of its bounds"
        ),
    )


def _judge_colours(curves: FitCurves) -> Iterator[Judgement]:
    error, visible = curves.colour_error, curves.visible_share
    rise = error - _median(error)
    yield Judgement(
        "colours",
        rise / max(COLOUR_RISE, _usual_limit(rise)),
        lambda t: f"the skin's colours are {100 * error[t]:.0f} % of full scale off",
    )
    missing = _median(visible) - visible
    drop = max(VISIBLE_DROP, _usual_limit(missing))
    yield Judgement(
        "hidden",
        np.maximum(missing / drop, VISIBLE / np.maximum(visible, 1e-3)),
        lambda t: f"only {100 * visible[t]:.0f} % of the face can be seen",
    )


def _usual_limit(values: np.ndarray) -> float:
    """Where outliers begin: the median and so many robust standard deviations."""
    median = _median(values)
    return median + OUTLIER * 1.4826 * _median(np.abs(values - median))


def _median(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else 0.0


def _speed(values: np.ndarray, curves: FitCurves) -> np.ndarray:
    """(T,) length of (T, C) values' change a second from the frame before, inside shots."""
    speed = np.where(curves.has_face, 0.0, np.nan)
    for first, end in curves.shots.tolist():
        step = np.linalg.norm(np.diff(values[first:end], axis=0), axis=1)
        passed = np.diff(curves.seconds[first:end])
        speed[first + 1 : end] = np.where(curves.has_face[first + 1 : end], step / passed, np.nan)
    return np.where(curves.has_face, np.nan_to_num(speed), np.nan)
