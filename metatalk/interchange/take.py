"""A clip's coefficients with the times they belong to, and the same ones at other times."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from metatalk.errors import CurvesError
from metatalk.morphable.camera import Camera
from metatalk.morphable.coefficients import TrackCoefficients
from metatalk.shapes import check_shape
from metatalk.timing import FrameIndex

NAMED_RATES = {  # what people write for rates that no decimal number holds
    "23.976": Fraction(24000, 1001),
    "23.98": Fraction(24000, 1001),
    "29.97": Fraction(30000, 1001),
    "47.95": Fraction(48000, 1001),
    "59.94": Fraction(60000, 1001),
    "119.88": Fraction(120000, 1001),
}
_FASTEST = 1000  # frames a second; more is a slip of the keyboard


@dataclass(frozen=True, eq=False)
class Take:
    """What a face did, frame by frame, and when."""

    names: tuple[str, ...]  # E names of the expression's coefficients
    track: TrackCoefficients  # (T) rows
    index: FrameIndex  # (T) exact times
    shots: np.ndarray  # (T,) int64 number of the shot that a frame belongs to
    camera: Camera

    def __post_init__(self) -> None:
        frames = len(self.index)
        check_shape("expression", self.track.expression, "T E", T=frames, E=len(self.names))
        check_shape("shots", self.shots, "T", T=frames)

    def __len__(self) -> int:
        return len(self.index)


def parse_rate(text: str) -> Fraction:
    """Read a frame rate as people write it.

    Args:
        text: such as "25", "30000/1001" or "29.97", which means 30000/1001.

    Returns:
        Frames a second, exact.

    Raises:
        CurvesError: that is no rate.

    >>> parse_rate("23.976"), parse_rate("60")
    (Fraction(24000, 1001), Fraction(60, 1))
    """
    word = text.strip()
    try:
        rate = NAMED_RATES.get(word) or Fraction(word).limit_denominator(100_000)
    except (ValueError, ZeroDivisionError) as error:
        raise _no_rate(text) from error
    if not 0 < rate <= _FASTEST:
        raise _no_rate(text)
    return rate


def _no_rate(text: str) -> CurvesError:
    return CurvesError(f"{text!r} is not a frame rate", "write 25, 29.97 or 30000/1001")


def number_shots(shots: Iterable[tuple[int, int]] | np.ndarray, frames: int) -> np.ndarray:
    """Tell for every frame which shot it belongs to.

    Args:
        shots: (N, 2) first frame and one past the last of each, in order.
        frames: T, frames of the clip.

    Returns:
        (T,) int64 numbers from 0.
    """
    numbers = np.zeros(frames, np.int64)
    for number, (first, end) in enumerate(shots):
        numbers[int(first) : int(end)] = number
    return numbers


def regular_index(duration_s: Fraction, rate: Fraction) -> FrameIndex:
    """Frames at a constant rate, as many as begin within a duration.

    Args:
        duration_s: exact seconds.
        rate: frames a second.

    Returns:
        The times; frame n is shown at exactly n / rate.

    >>> len(regular_index(Fraction(3), Fraction(30000, 1001)))
    90
    """
    count = max(math.ceil(duration_s * rate), 1)
    return FrameIndex(np.arange(count), 1 / rate, rate)


def resample_take(take: Take, index: FrameIndex) -> Take:
    """Read a take at other times.

    Values run linearly between the two frames around a time and rotations along the shortest
    way on the sphere; nothing runs across a cut: up to it the last frame of the shot is held.
    Confidence is that of the nearer frame. A time that is a frame's own gives that frame.

    Args:
        take: as fitted.
        index: (N) the times that are wanted; past the last frame it is held.

    Returns:
        (N) the take at those times.
    """
    earlier, weight = _place_times(take.index.seconds(), index.seconds())
    later = np.minimum(earlier + 1, len(take) - 1)
    weight = np.where(take.shots[earlier] == take.shots[later], weight, 0.0)
    mix = lambda values: mix_rows(values.numpy(), earlier, later, weight)  # noqa: E731
    nearer = torch.from_numpy(np.where(weight < 0.5, earlier, later))
    track = take.track
    resampled = TrackCoefficients(
        expression=_single(mix(track.expression)),
        rotation=_single(mix_rotations(track.rotation.numpy(), earlier, later, weight)),
        translation=_single(mix(track.translation)),
        lighting=_single(mix(track.lighting)),
        confidence=track.confidence[nearer],
    )
    return replace(take, track=resampled, index=index, shots=take.shots[earlier])


def mix_rows(
    values: np.ndarray, earlier: np.ndarray, later: np.ndarray, weight: np.ndarray
) -> np.ndarray:
    """Mix pairs of rows linearly.

    Args:
        values: (T, ...) rows.
        earlier: (N,) row numbers.
        later: (N,) row numbers.
        weight: (N,) share of the later row, 0 to 1.

    Returns:
        (N, ...) float64.
    """
    share = weight.reshape(-1, *[1] * (values.ndim - 1))
    mixed: np.ndarray = (1.0 - share) * values[earlier] + share * values[later]
    return mixed


def mix_rotations(
    angles: np.ndarray, earlier: np.ndarray, later: np.ndarray, weight: np.ndarray
) -> np.ndarray:
    """Mix pairs of rotations along the shortest way between them.

    Args:
        angles: (T, 3) Euler angles XYZ, radians, as `metatalk.morphable.pose` has them.
        earlier: (N,) row numbers.
        later: (N,) row numbers.
        weight: (N,) share of the later row, 0 to 1.

    Returns:
        (N, 3) Euler angles XYZ, radians, float64.

    Source: Shoemake 1985, spherical linear interpolation, by way of the rotation vector.
    """
    first, last = (euler_to_rotation(angles[rows]) for rows in (earlier, later))
    step = (first.inv() * last).as_rotvec()  # (N, 3) in the earlier head's own frame
    return rotation_to_euler(first * Rotation.from_rotvec(step * weight[:, None]))


def euler_to_rotation(angles: np.ndarray) -> Rotation:
    """Rotations of (T, 3) Euler angles XYZ in radians: R = Rz @ Ry @ Rx, as everywhere."""
    return Rotation.from_euler("xyz", np.asarray(angles, np.float64))


def rotation_to_euler(rotation: Rotation) -> np.ndarray:
    """(T, 3) Euler angles XYZ in radians; the inverse of `euler_to_rotation`."""
    angles: np.ndarray = rotation.as_euler("xyz")
    return angles


def _place_times(source: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N,) the source frame shown at each wanted time, and (N,) how far it is to the next.

    Both come from `FrameIndex.seconds`, where whole numbers are divided once: equal times are
    equal floats, whatever clocks they were counted on.
    """
    earlier = np.searchsorted(source, wanted, side="right") - 1
    later = np.minimum(earlier + 1, len(source) - 1)
    length = np.where(later > earlier, source[later] - source[earlier], 1.0)
    return earlier, np.where(later > earlier, (wanted - source[earlier]) / length, 0.0)


def _single(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, np.float32))
