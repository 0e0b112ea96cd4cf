"""Whether lips close where speech closes them, and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metatalk.a2e.phone_times import PhoneTimes
from metatalk.errors import MediaError
from metatalk.landmarks.points import MEDIAPIPE478
from metatalk.shapes import check_shape

CLOSED_FACE_HEIGHTS = 0.0125  # gap below which lips count as closed: 1.8 mm of a face
REACH_S = 0.04  # either side of the moment at which lips should be closed
_FOREHEAD = MEDIAPIPE478.oval[8]  # its top
_BILABIAL_LETTERS = ("b", "p", "m")
_SPELT_OTHERWISE = frozenset(["m"])  # the letter's name begins with a vowel
_LEAST_VOWEL_S = 0.06  # a shorter vowel is passed through


@dataclass(frozen=True)
class ClosureFigures:
    """Closures of one track of lips."""

    asked: int  # moments at which lips should be closed
    closed: int  # of them, those at which they are
    vowels: int  # open vowels
    shut_vowels: int  # of them, those at whose middle the lips are closed

    @property
    def closed_share(self) -> float | None:
        """Share of the moments at which lips close as they should; None where there is none."""
        return self.closed / self.asked if self.asked else None

    @property
    def false_share(self) -> float | None:
        """Share of the open vowels that are spoken with closed lips; None without vowels."""
        return self.shut_vowels / self.vowels if self.vowels else None


def face_gap(track: np.ndarray) -> np.ndarray:
    """Measure the gap of the inner lips in a track of landmarks.

    Args:
        track: (T, 478, 2) mediapipe landmarks, pixels.

    Returns:
        (T,) in heights of the face, from the forehead's top to the chin, the clip's median.

    Raises:
        ShapeError: the track has another shape.
    """
    check_shape("track", track, "T 478 2")
    above, below = MEDIAPIPE478.lip_gap
    height = np.linalg.norm(track[:, _FOREHEAD] - track[:, MEDIAPIPE478.chin], axis=1)
    gap = np.linalg.norm(track[:, above] - track[:, below], axis=1)
    return np.asarray(gap / np.nanmedian(height)) if len(track) else gap


def score_closures(
    gap: np.ndarray,
    frame_seconds: np.ndarray,
    moments: np.ndarray,
    vowels: PhoneTimes,
    below: float = CLOSED_FACE_HEIGHTS,
    real_gap: np.ndarray | None = None,
) -> ClosureFigures:
    """Count kept and false closures.

    Args:
        gap: (T,) of the lips, in any unit.
        frame_seconds: (T,) increasing.
        moments: (N,) seconds at which lips should be closed, such as `bilabial_starts`.
        vowels: phones, of which the open vowels count that are long enough.
        below: gap under which lips are closed, in the unit of `gap`.
        real_gap: (T,) of the real lips: vowels in which they are closed too do not count.

    Returns:
        The counts; moments and vowels outside the video do not count.

    Raises:
        ShapeError: the tracks disagree about the number of frames.
    """
    frames = check_shape("gap", gap, "T")
    check_shape("frame_seconds", frame_seconds, "T", **frames)
    if real_gap is not None:
        check_shape("real_gap", real_gap, "T", **frames)
    step = float(np.median(np.diff(frame_seconds))) if len(frame_seconds) > 1 else 0.0
    reach = max(REACH_S, step / 2) + 1e-6
    lowest = [
        gap[near].min()
        for near in (np.abs(frame_seconds - moment) <= reach for moment in moments)
        if near.any()
    ]
    frame = _middle_frames(vowels, frame_seconds)
    if real_gap is not None:
        frame = frame[real_gap[frame] >= below]
    return ClosureFigures(
        asked=len(lowest),
        closed=int(sum(low < below for low in lowest)),
        vowels=len(frame),
        shut_vowels=int((gap[frame] < below).sum()),
    )


def parse_word_times(text: str) -> list[tuple[float, float, str]]:
    """Read words with their times.

    Args:
        text: lines of start and end in seconds and the word, parted by tabs.

    Returns:
        The same.

    Raises:
        MediaError: a line is something else.

    >>> parse_word_times("0.95\\t1.18\\tbin")
    [(0.95, 1.18, 'bin')]
    """
    words = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            start, end, word = line.split("\t")
            words.append((float(start), float(end), word.strip()))
        except ValueError as error:
            raise MediaError(
                f"word times, line {number}: not a start, an end and a word",
                "part them by tabs, times in seconds",
            ) from error
    return words


def bilabial_starts(words: Sequence[tuple[float, float, str]]) -> np.ndarray:
    """(N,) seconds at which words begin that begin with closed lips, as English spells them.

    >>> bilabial_starts([(0.5, 0.7, "bin"), (0.7, 0.8, "at"), (0.8, 0.9, "m")])
    array([0.5])
    """
    begin = [
        start
        for start, _, word in words
        if word[:1].lower() in _BILABIAL_LETTERS and word.lower() not in _SPELT_OTHERWISE
    ]
    return np.array(begin, float)


def _middle_frames(vowels: PhoneTimes, frame_seconds: np.ndarray) -> np.ndarray:
    """(N,) the frame nearest to the middle of every open vowel that lasts."""
    opened = vowels.of_kind("vowel_open")
    lasting = opened.ends - opened.starts >= _LEAST_VOWEL_S
    middle = ((opened.starts + opened.ends) / 2)[lasting]
    if not len(frame_seconds):
        return np.zeros(0, int)
    middle = middle[(middle >= frame_seconds[0]) & (middle <= frame_seconds[-1])]
    away = np.abs(frame_seconds[None] - middle[:, None])
    return np.asarray(away.argmin(axis=1), int)
