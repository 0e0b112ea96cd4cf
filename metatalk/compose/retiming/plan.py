"""Which footage frame stands behind each frame of the result, and when it is shown."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from metatalk.errors import ConfigError, MediaError, ShapeError
from metatalk.morphable.coefficients import TrackCoefficients
from metatalk.shapes import check_shape
from metatalk.timing import FrameIndex

# Containers pad or cut sound to their own blocks: a recording this near to the footage's length
# is taken to be exactly as long.
NEARLY_FRAMES = 2


@dataclass(frozen=True, eq=False)
class FramePlan:
    """The result, frame by frame.

    Where `share` is above 0, the frame shows a moment that was not filmed: that share of the way
    from footage frame `frames` to footage frame `towards`.
    """

    frames: np.ndarray  # (N,) footage frame numbers
    pts: np.ndarray  # (N,) int64 times in `time_base`, the first is 0
    time_base: Fraction
    towards: np.ndarray | None = None  # (N,) footage frame numbers; None: `frames`
    share: np.ndarray | None = None  # (N,) float32 in [0, 1); None: 0

    def __post_init__(self) -> None:
        count = check_shape("frames", self.frames, "N")
        check_shape("pts", self.pts, "N", **count)
        if (self.towards is None) != (self.share is None):
            raise ShapeError("a plan has both `towards` and `share`, or neither")
        if self.towards is not None and self.share is not None:
            check_shape("towards", self.towards, "N", **count)
            check_shape("share", self.share, "N", **count)
            if not ((self.share >= 0) & (self.share < 1)).all():
                raise ShapeError("a share of the way is not in [0, 1)")

    def __len__(self) -> int:
        return len(self.frames)

    def part(self, first: int, end: int) -> FramePlan:
        """Frames `first` up to, not with, `end`, the first of them at time 0."""
        some = slice(first, end)
        return FramePlan(
            self.frames[some],
            self.pts[some] - self.pts[some][:1],
            self.time_base,
            None if self.towards is None else self.towards[some],
            None if self.share is None else self.share[some],
        )

    @property
    def is_filmed(self) -> np.ndarray:
        """(N,) bool: frames that show a footage frame as it is."""
        return np.ones(len(self), bool) if self.share is None else self.share == 0

    def seconds(self) -> np.ndarray:
        """(N,) float64 time of each frame."""
        return self.pts * float(self.time_base)

    def jumps(self) -> np.ndarray:
        """Frames of the result that the footage does not lead to."""
        return np.flatnonzero(np.abs(np.diff(self.frames)) > 1) + 1

    def turns(self) -> np.ndarray:
        """Frames of the result after which the footage runs the other way.

        A frame that is held does not end a way. A jump does: whichever way the footage runs where
        it has jumped to, it has not turned there.
        """
        steps = np.diff(self.frames)
        going = np.flatnonzero(steps)
        ways = np.where(np.abs(steps[going]) == 1, steps[going], 0)
        return going[1:][ways[1:] * ways[:-1] < 0]

    def repeats(self) -> np.ndarray:
        """Frames of the result whose footage frame was shown just before."""
        return np.flatnonzero(np.diff(self.frames) == 0) + 1

    def shots(self, shots: np.ndarray) -> np.ndarray:
        """(N,) number, from 1, of the footage's shot behind each frame; of (K, 2), in order."""
        return np.searchsorted(shots[:, 0], self.frames, side="right")

    def cuts(self, shots: np.ndarray) -> np.ndarray:
        """Frames of the result that show another shot, of (K, 2), than the one before."""
        return np.flatnonzero(np.diff(self.shots(shots))) + 1


def plan_frames(
    index: FrameIndex,
    sound_s: Fraction,
    length: Literal["audio", "video"],
    retime: Literal["off", "loop"] = "loop",
) -> FramePlan:
    """Plan a result as long as the recording, or as long as the footage.

    The footage is shown as it is, frame for frame at its own times. Where the recording goes
    on, the footage plays backwards and forwards in turn, each frame for as long as it was
    filmed: neighbours stay neighbours, so the picture never jumps where the footage itself does
    not. A recording within two frames of the footage's length gets every frame of the footage.

    Args:
        index: the footage's frames.
        sound_s: length of the recording, seconds.
        length: "audio" ends with the recording, "video" with the footage.
        retime: "off" refuses a recording that goes on after the footage.

    Returns:
        The plan.

    Raises:
        MediaError: the recording is empty.
        ConfigError: the recording is longer than the footage, which is not to be re-timed.
    """
    if sound_s <= 0:
        raise MediaError("the recording is empty", "give a recording that lasts")
    alike = abs(sound_s - index.exact_duration) <= NEARLY_FRAMES / index.rate
    if length == "video" or alike:
        return FramePlan(np.arange(len(index)), index.pts.copy(), index.time_base)
    wanted = math.ceil(sound_s / index.time_base)  # ticks
    shown = int(np.searchsorted(index.pts, wanted))  # frames that begin before the sound ends
    if shown < len(index) or index.exact_duration >= sound_s:
        count = max(shown, 1)
        return FramePlan(np.arange(count), index.pts[:count].copy(), index.time_base)
    if retime == "off":
        raise ConfigError(
            f"the recording lasts {float(sound_s):.2f} s, the footage {index.duration:.2f} s, and "
            "drive.retime is off",
            "let the footage go on with --retime loop, speech or pose, or end the result with it: "
            "--length video",
        )
    later = _play_on(index, wanted)
    pts = np.concatenate([index.pts, np.array(later, np.int64)])
    return FramePlan(forth_and_back(len(index), len(pts)), pts, index.time_base)


def _play_on(index: FrameIndex, wanted: int) -> list[int]:
    """When the frames begin that are shown to and fro after the footage's end, ticks.

    Of an even rate they go on by it. Of a variable one each frame is shown for as long as it was
    filmed, or what was filmed slowly would be shown faster.
    """
    tick = 1 / (index.rate * index.time_base)  # ticks a frame, exact
    end, count = index.exact_duration / index.time_base, len(index)
    if index.is_variable:
        ways = 2 * (wanted // int(index.pts[-1]) + 1)  # there, or back; one of them lasts so long
        shown = forth_and_back(count, count + ways * (count - 1))[count - 1 : -1]
        is_last = shown == count - 1  # it lasts a `tick`
        lasting = np.where(is_last, 0, np.diff(index.pts, append=index.pts[-1])[shown])
        passed, lasts = np.cumsum(lasting).tolist(), np.cumsum(is_last).tolist()
        begun = end - tick + Fraction(1, 2)  # the last frame; a half rounds up, always
        starts = [
            math.floor(begun + ticks + many * tick)
            for ticks, many in zip(passed, lasts, strict=True)
        ]
    else:
        # A clock's rounding moved the last frame, too: those that follow go on from where all lie.
        away = index.pts - np.arange(count) * float(tick)
        end = count * tick + Fraction(float(away.max() + away.min()) / 2).limit_denominator(1000)
        extra = math.ceil((Fraction(wanted) - end) / tick)
        starts = [round(end + number * tick) for number in range(extra)]
    return [start for start in starts if start < wanted]  # after rounding to the clock, too


def plan_clock(
    index: FrameIndex, sound_s: Fraction, length: Literal["audio", "video"]
) -> FramePlan:
    """Plan when the frames of a re-timed result are shown.

    As `plan_frames` does; only, footage of a variable rate is shown at its mean rate, because
    its own times mean nothing to another order of its frames.

    Args:
        index: the footage's frames.
        sound_s: length of the recording, seconds.
        length: "audio" ends with the recording, "video" with the footage.

    Returns:
        A plan whose frames are still to be chosen.

    Raises:
        MediaError: the recording is empty.
    """
    if index.is_variable:
        tick = 1 / (index.rate * index.time_base)
        pts = np.array([round(number * tick) for number in range(len(index))], np.int64)
        if (np.diff(pts) > 0).all():  # else the clock is too coarse for it
            index = FrameIndex(pts, index.time_base, index.rate)
    return plan_frames(index, sound_s, length)


def retime_track(track: TrackCoefficients, plan: FramePlan) -> TrackCoefficients:
    """The filmed face behind each frame of a result.

    Between two footage frames it is read linearly: they lie so near to each other that angles
    and light may be. It is trusted where both are.

    Args:
        track: T rows, the footage.
        plan: N frames.

    Returns:
        N rows.
    """
    first = track.take(plan.frames)
    if plan.towards is None or plan.share is None or plan.is_filmed.all():
        return first
    second, share = track.take(plan.towards), torch.from_numpy(plan.share)

    def between(one: Tensor, other: Tensor) -> Tensor:
        return torch.lerp(one, other, share.to(one.dtype).view(-1, *[1] * (one.dim() - 1)))

    return TrackCoefficients(
        between(first.expression, second.expression),
        between(first.rotation, second.rotation),
        between(first.translation, second.translation),
        between(first.lighting, second.lighting),
        torch.where(share > 0, first.confidence.minimum(second.confidence), first.confidence),
    )


def retime_transforms(transforms: np.ndarray, plan: FramePlan) -> np.ndarray:
    """The crop behind each frame of a result.

    Args:
        transforms: (T, 2, 3) frame px to crop px of the footage.
        plan: N frames.

    Returns:
        (N, 2, 3) of the same type.

    Raises:
        ShapeError: `transforms` has another shape.
    """
    check_shape("transforms", transforms, "T 2 3")
    first = transforms[plan.frames]
    if plan.towards is None or plan.share is None:
        return first
    share = plan.share[:, None, None].astype(transforms.dtype)
    between: np.ndarray = first + share * (transforms[plan.towards] - first)
    return between


def forth_and_back(length: int, count: int) -> np.ndarray:
    """Walk to and fro over a clip; no turning point is held.

    Args:
        length: frames of the clip.
        count: frames wanted.

    Returns:
        (count,) frame numbers; neighbours differ by one, or by none in a clip of one frame.

    >>> forth_and_back(3, 7).tolist()
    [0, 1, 2, 1, 0, 1, 2]
    """
    if length == 1:
        return np.zeros(count, np.int64)
    period = 2 * (length - 1)
    step = np.arange(count) % period
    return np.minimum(step, period - step)
