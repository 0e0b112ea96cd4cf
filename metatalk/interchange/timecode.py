"""SMPTE time code: numbers of frames, written as hours, minutes, seconds and frames.

Non-drop-frame code counts every frame, so that at 30000/1001 a second it falls behind the clock
by 3.6 s an hour. Drop-frame code leaves out numbers, never frames, to keep up: at 30000/1001 the
first two of every minute but each tenth, at 60000/1001 the first four. Its last separator is ";".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from metatalk.errors import CurvesError, MediaError

_WORD = re.compile(r"(\d+):(\d+):(\d+)[:;](\d+(?:\.\d*)?)")
_WHOLE = re.compile(r"(\d{1,2})[:;](\d{1,2})[:;](\d{1,2})[:;.](\d{1,3})")
_COUNTED = (24, 25, 30, 48, 50, 60, 100, 120)  # frames a second that time codes count
_DAY_S = 24 * 3600
_MINUTE_S, _TEN_S = 60, 600
_DROPPED_S = Fraction(1, 15)  # a minute leaves out two numbers of thirty
_STANDARD = tuple(
    Fraction(rate)
    for rate in ("24000/1001", "24", "25", "30000/1001", "30", "48000/1001", "48", "50",
                 "60000/1001", "60", "100", "120000/1001", "120")
)  # fmt: skip
_SAME = Fraction(1, 5000)  # measured averages such as 29.969 are 30000/1001, which 30 is not


@dataclass(frozen=True)
class FrameCount:
    """How the frames of a film are numbered.

    Args:
        rate: frames a second.
        start: number of the film's first frame, from 00:00:00:00.
        drop: whether its time code is drop-frame.

    Raises:
        MediaError: drop-frame at a rate that has no such code.
    """

    rate: Fraction
    start: int = 0
    drop: bool = False

    def __post_init__(self) -> None:
        if self.drop:
            _dropped(self.rate)

    def word(self, frame: int) -> str:
        """The time code of the film's frame `frame`; midnight follows 23:59:59."""
        number = (self.start + frame) % _day_frames(self.rate, self.drop)
        return frame_timecode(Fraction(number), self.rate, self.drop)

    def frame(self, word: str) -> int:
        """The film's frame that bears a time code; below 0 before its beginning.

        Args:
            word: HH:MM:SS:FF, or HH:MM:SS;FF for drop-frame. Where the film's own is drop-frame
                a colon is taken for it, too; a film that begins at 00:00:00 can be read as either.

        Raises:
            MediaError: no time code, or not one of this film's count.
        """
        drop = self.drop or ";" in word
        if drop and not self.drop and self.start:
            raise MediaError(
                f"{word} is drop-frame time code, and the film's own is not",
                f"write its last separator as a colon; the film begins at {self.word(0)}",
            )
        day = _day_frames(self.rate, drop)
        return (timecode_frame(word, self.rate, drop) - self.start + day // 2) % day - day // 2


def count_frames(rate: Fraction, timecode: str | None) -> FrameCount:
    """Number a film's frames as its file says.

    Args:
        rate: frames a second.
        timecode: of the first frame; None or unreadable: 00:00:00:00.

    Returns:
        The count; a rate that is no standard one counts the nearest whole number a second.
    """
    if timecode is None:
        return FrameCount(rate)
    try:
        drop = ";" in timecode
        return FrameCount(rate, timecode_frame(timecode, rate, drop), drop)
    except MediaError:
        return FrameCount(rate)


def standard_rate(rate: Fraction) -> Fraction:
    """The nearest rate that editing programs know; itself where it is one."""
    return min(_STANDARD, key=lambda known: abs(known - rate))


def is_standard_rate(rate: Fraction) -> bool:
    """Whether a rate is one that editing programs know, but for the error of measuring it."""
    known = standard_rate(rate)
    return abs(rate - known) <= known * _SAME


def frame_timecode(place: Fraction, rate: Fraction, drop: bool = False) -> str:
    """Word a time code.

    Args:
        place: frames since 00:00:00:00; thousandths of a frame are written where it has some.
        rate: frames a second; at 30000/1001 thirty are counted to the second.
        drop: drop-frame.

    Returns:
        HH:MM:SS:FF, or HH:MM:SS:FF.sss; HH:MM:SS;FF where it is drop-frame.

    Raises:
        MediaError: drop-frame at a rate that has no such code.

    >>> frame_timecode(Fraction(1830), Fraction(30000, 1001))
    '00:01:01:00'
    >>> frame_timecode(Fraction(1830), Fraction(30000, 1001), drop=True)
    '00:01:01;02'
    >>> frame_timecode(Fraction(7, 4), Fraction(25))
    '00:00:00:01.750'
    """
    thousandths = int(place * 1000 + Fraction(1, 2))
    frames, part = divmod(thousandths, 1000)
    if drop:
        frames += _left_out(frames, rate)
    seconds, frame = divmod(frames, round(rate))
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    whole = f"{hours:02d}:{minute:02d}:{second:02d}{';' if drop else ':'}{frame:02d}"
    return f"{whole}.{part:03d}" if part else whole


def timecode_frame(word: str, rate: Fraction, drop: bool = False) -> int:
    """The frame that a time code names.

    Args:
        word: HH:MM:SS:FF; separators are ":" or ";".
        rate: frames a second.
        drop: drop-frame.

    Returns:
        Frames since 00:00:00:00.

    Raises:
        MediaError: no time code, one that counts further than the rate goes, or a number that
            drop-frame code leaves out.

    >>> timecode_frame("01:00:00;00", Fraction(30000, 1001), drop=True)
    107892
    """
    counted, match = round(rate), _WHOLE.fullmatch(word.strip())
    if match is None:
        raise MediaError(f"{word!r} is not a time code", "write it as 01:00:02:10")
    hour, minute, second, frame = (int(part) for part in match.groups())
    if hour > 23 or minute > 59 or second > 59 or frame >= counted:
        raise MediaError(
            f"there is no time code {word} at {float(rate):g} frames a second",
            f"count seconds and minutes to 59, frames to {counted - 1}",
        )
    seconds = hour * 3600 + minute * 60 + second
    number = seconds * counted + frame
    if not drop:
        return number
    dropped = _dropped(rate)
    if second == 0 and minute % 10 and frame < dropped:
        raise MediaError(
            f"drop-frame time code leaves out {word}",
            f"the minute begins with {hour:02d}:{minute:02d}:00;{dropped:02d}",
        )
    minutes = seconds // _MINUTE_S
    return number - dropped * (minutes - minutes // 10)


def _dropped(rate: Fraction) -> int:
    """Numbers that a minute leaves out."""
    known = standard_rate(rate)
    if known.denominator != 1001 or round(rate) % 30 or not is_standard_rate(rate):
        raise MediaError(
            f"there is no drop-frame time code at {float(rate):g} frames a second",
            "write its last separator as a colon: only 29.97, 59.94 and 119.88 have one",
        )
    return round(rate * _DROPPED_S)


def _left_out(frames: int, rate: Fraction) -> int:
    """Numbers left out before a frame."""
    dropped, counted = _dropped(rate), round(rate)
    ten = _TEN_S * counted - 9 * dropped  # frames in ten minutes
    tens, rest = divmod(frames, ten)
    first = _MINUTE_S * counted  # the only minute of the ten that leaves out nothing
    minutes = 0 if rest < first else 1 + (rest - first) // (first - dropped)
    return dropped * (9 * tens + minutes)


def _day_frames(rate: Fraction, drop: bool) -> int:
    day = _DAY_S * round(rate)
    return day - _dropped(rate) * 9 * (_DAY_S // _TEN_S) if drop else day


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
