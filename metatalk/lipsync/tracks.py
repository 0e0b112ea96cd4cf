"""Talking tracks: one face speaking, as lip-sync networks learn from it.

A track's pictures are cut with a margin around the box that the generator is given, so that
training may move and zoom, and stand at exactly 25 a second, whatever the clip's own rate was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from metatalk.lipsync.mel import SAMPLE_RATE
from metatalk.lipsync.wav2lip import FACE_PX
from metatalk.shapes import check_shape

RATE = 25  # frames a second, of every track
INNER_PX = FACE_PX  # the generator's box, in the middle of a stored face
STORED_PX = 128  # a stored face, margin included
TAIL_S = 0.2  # of sound beyond the last frame's beginning: what its window hears

_MARGIN_SHARE = (STORED_PX - INNER_PX) / 2 / INNER_PX  # of the box, on each side
_WINDOW_FRAMES = 5
_MIN_FACE_PX = 32  # of the box's shorter side; smaller ones show no lips
_SILENCE_RMS = 1e-3  # -60 dB
_ROUNDING_S = 1e-3  # of a container's clock, such as Matroska's


@dataclass(frozen=True, eq=False)
class Track:
    """One face that speaks, in one shot, at exactly 25 frames a second.

    Window i (frames i to i + 4) goes with the mel's columns floor(80 i / 25) to + 15.
    """

    name: str  # of the track, unlike any other's
    source: str  # the clip that it was cut from
    split: str | None  # "train", "val" or "test" where the footage says so
    faces: np.ndarray  # (T, 128, 128, 3) uint8 RGB; rows and columns 16 to 111 are the face's box
    mel: np.ndarray  # (80, M) float32, from `wav2lip_mel`; column 0 at the time of frame 0
    digest: str = ""  # of the clip's content


@dataclass(frozen=True)
class Stretch:
    """Where in a clip a track is cut from."""

    start_s: float  # of its first frame, on the clip's clock
    frames: tuple[int, ...]  # for each of its pictures, the clip's frame that is shown


def choose_stretches(
    runs: Sequence[tuple[int, int]],
    boxes: np.ndarray,
    seconds: np.ndarray,
    samples: np.ndarray,
    min_seconds: float,
) -> tuple[list[Stretch], str]:
    """Choose the stretches of a clip in which one face is seen, large enough, and heard.

    Args:
        runs: frame ranges (first, one past the last) with a face throughout and no cut.
        boxes: (T, 4) the face's box, pixels.
        seconds: (T,) when each frame is shown.
        samples: (S,) the clip's sound at 16 kHz, from the moment of frame 0 on.
        min_seconds: shorter stretches are of no use.

    Returns:
        The stretches in order, and, where there is none, why.
    """
    stretches, faults = [], []
    for first, end in runs:
        frames = frames_at_rate(seconds[first:end], len(samples) / SAMPLE_RATE)
        stretch = Stretch(float(seconds[first]), tuple((first + frames).tolist()))
        fault = _find_fault(stretch, boxes[first:end], samples, min_seconds)
        if fault:
            faults.append((len(frames), fault))
        else:
            stretches.append(stretch)
    if stretches:
        return stretches, ""
    return [], max(faults)[1] if faults else "no face is seen in it"


def _find_fault(
    stretch: Stretch, boxes: np.ndarray, samples: np.ndarray, min_seconds: float
) -> str:
    length_s = len(stretch.frames) / RATE
    if len(stretch.frames) < _WINDOW_FRAMES or length_s < min_seconds:
        return f"a face is seen and heard for {length_s:.2f} s at a stretch, not {min_seconds:g} s"
    sides_px = np.median(boxes[:, 2:] - boxes[:, :2], axis=0)
    if sides_px.min() < _MIN_FACE_PX:
        return f"its face is {sides_px.min():.0f} pixels wide, not {_MIN_FACE_PX}"
    if is_too_quiet(cut_sound(samples, stretch)):
        return "its sound is silent"
    return ""


def frames_at_rate(seconds: np.ndarray, end_s: float = np.inf) -> np.ndarray:
    """Find the frame to show at each 25th of a second: the one whose time is nearest.

    Args:
        seconds: (T,) when each frame is shown, increasing; the first picture is frame 0.
        end_s: pictures that would be shown beyond this moment are left out.

    Returns:
        (N,) int64 frame numbers, not decreasing; of two equally near ones the earlier, which is
        the one on show.

    >>> frames_at_rate(np.arange(7) / 30)
    array([0, 1, 2, 4, 5])
    """
    if not len(seconds):
        return np.zeros(0, np.int64)
    usual = float(np.median(np.diff(seconds))) if len(seconds) > 1 else 1 / RATE
    lasting = min(seconds[-1] + usual, end_s) - seconds[0]
    count = max(int((lasting + _ROUNDING_S) * RATE), 0)
    wanted = seconds[0] + np.arange(count) / RATE
    after = np.searchsorted(seconds, wanted).clip(1, max(len(seconds) - 1, 1))
    before = after - 1
    if len(seconds) == 1:
        return np.zeros(count, np.int64)
    is_nearer = seconds[after] - wanted < wanted - seconds[before] - 1e-9
    return np.where(is_nearer, after, before).astype(np.int64)


def cut_sound(samples: np.ndarray, stretch: Stretch) -> np.ndarray:
    """Cut a stretch's sound out of its clip's.

    Args:
        samples: (S,) at 16 kHz, from the moment of the clip's frame 0 on.
        stretch: where.

    Returns:
        (N,) from the stretch's first frame to 0.2 s beyond its end, filled up with silence.
    """
    first = round(stretch.start_s * SAMPLE_RATE)
    count = round((len(stretch.frames) / RATE + TAIL_S) * SAMPLE_RATE)
    inside = samples[first : first + count]
    return np.pad(inside, (0, count - len(inside)))


def is_too_quiet(samples: np.ndarray) -> bool:
    """Whether sound, (S,) in [-1, 1], is nowhere loud enough to be speech."""
    return len(samples) == 0 or float(np.sqrt(np.mean(np.square(samples)))) < _SILENCE_RMS


def cut_face(picture: np.ndarray, box: Sequence[float]) -> np.ndarray:
    """Cut a face out of a picture, with the margin that training plays with.

    Args:
        picture: (H, W, 3) uint8.
        box: left, top, right, bottom of the generator's box, pixels; where the margin leaves the
            picture, its edge is repeated.

    Returns:
        (128, 128, 3) uint8; rows and columns 16 to 111 are what `crop_face` cuts.
    """
    check_shape("picture", picture, "H W 3")
    left, top, right, bottom = face_window(box)
    inside = picture[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    if inside.shape[:2] != (bottom - top, right - left):
        rows = np.clip(np.arange(top, bottom), 0, picture.shape[0] - 1)
        columns = np.clip(np.arange(left, right), 0, picture.shape[1] - 1)
        inside = picture[rows[:, None], columns]
    shrinks = max(inside.shape[:2]) > STORED_PX
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return cv2.resize(inside, (STORED_PX, STORED_PX), interpolation=interpolation)


def resample_window(picture: np.ndarray, window: Sequence[float]) -> np.ndarray:
    """Shrink or enlarge a part of a picture to the size of a stored face.

    Sampled at twice that size and averaged in pairs, so that the part need not lie on whole
    pixels and nothing aliases as long as it is at most some 400 pixels wide.

    Args:
        picture: (H, W, 3) uint8.
        window: left, top, right, bottom in pixels, fractions allowed; beyond the picture its edge
            is repeated.

    Returns:
        (128, 128, 3) uint8.
    """
    left, top, right, bottom = window
    size = 2 * STORED_PX
    across, down = (right - left) / size, (bottom - top) / size
    # where pixel 0's centre lies: the centre of its own share, less that of the picture's pixel 0
    placed = np.array([
        [across, 0.0, left + 0.5 * across - 0.5],
        [0.0, down, top + 0.5 * down - 0.5],
    ])  # fmt: skip
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    twice = cv2.warpAffine(
        picture, placed, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    return cv2.resize(twice, (STORED_PX, STORED_PX), interpolation=cv2.INTER_AREA)


def face_window(box: Sequence[float]) -> tuple[int, int, int, int]:
    """Give the whole pixels that `cut_face` cuts for a box: left, top, right, bottom."""
    left, top = round(float(box[0])), round(float(box[1]))
    right, bottom = max(round(float(box[2])), left + 1), max(round(float(box[3])), top + 1)
    across, down = round(_MARGIN_SHARE * (right - left)), round(_MARGIN_SHARE * (bottom - top))
    return left - across, top - down, right + across, bottom + down
