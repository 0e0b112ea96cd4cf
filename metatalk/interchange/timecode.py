"""SMPTE time code, non-drop-frame: every frame is counted."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from metatalk.errors import CurvesError

_WORD = re.compile(r"(\d+):(\d+):(\d+)[:;](\d+(?:\.\d*)?)")
_COUNTED = (24, 25, 30, 48, 50, 60, 100, 120)  # frames a second that time codes count
_DAY_S = 24 * 3600


def frame_timecode(place: Fraction, rate: Fraction) -> str:
    """Word a time code.

    Args:
        place: frames since 00:00:00:00; thousandths of a frame are written where it has some.
        rate: frames a second; at 30000/1001 thirty are counted to the second.

    Returns:
        HH:MM:SS:FF, or HH:MM:SS:FF.sss.

    >>> frame_timecode(Fraction(1830), Fraction(30000, 1001))
    '00:01:01:00'
    >>> frame_timecode(Fraction(7, 4), Fraction(25))
    '00:00:00:01.750'
    """
    thousandths = int(place * 1000 + Fraction(1, 2))
    frames, part = divmod(thousandths, 1000)
    seconds, frame = divmod(frames, round(rate))
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    whole = f"{hours:02d}:{minute:02d}:{second:02d}:{frame:02d}"
    return f"{whole}.{part:03d}" if part else whole


def read_timecodes(
    words: Sequence[str], places: Sequence[str], rate: Fraction | None
) -> np.ndarray:
    """Turn time codes into seconds from the first one.

    A time code does not say how many frames a second has. Where the codes run over two seconds
    the highest frame number says it; else `rate` does, and 60, a phone's, where that is None.

    Args:
        words: (N) time codes, in order.
        places: (N) where each stands, for messages.
        rate: the rate that is expected, which also tells 30000/1001 from 30.

    Returns:
        (N,) float64 seconds, the first 0; past midnight they go on.

    Raises:
        CurvesError: a word is no time code.
    """
    parts = [_parse(word, place) for word, place in zip(words, places, strict=True)]
    clock = np.array([second for second, _ in parts], np.float64)
    clock = np.unwrap(clock, period=_DAY_S)
    frames = np.array([float(frame) for _, frame in parts])
    counted = _counted_frames(clock, frames, rate)
    exact = rate if rate is not None and round(rate) == counted else Fraction(counted)
    place = clock * counted + frames
    seconds: np.ndarray = (place - place[0]) * exact.denominator / exact.numerator
    return seconds


def _parse(word: str, place: str) -> tuple[int, Fraction]:
    match = _WORD.fullmatch(word.strip())
    if match is None:
        raise CurvesError(
            f"{place}: {word!r} is not a time code", "write it as HH:MM:SS:FF, such as 00:01:30:12"
        )
    hours, minutes, seconds, frame = match.groups()
    return int(hours) * 3600 + int(minutes) * 60 + int(seconds), Fraction(frame)


def _counted_frames(clock: np.ndarray, frames: np.ndarray, rate: Fraction | None) -> int:
    least = int(frames.max()) + 1
    expected = round(rate) if rate is not None else 60
    if clock[-1] - clock[0] < 2 and expected >= least:
        return expected
    return next((counted for counted in _COUNTED if counted >= least), least)
