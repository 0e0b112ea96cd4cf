"""Time codes against OpenTimelineIO's, which count the same numbers by another way."""

from __future__ import annotations

from fractions import Fraction

import opentimelineio as otio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metatalk.errors import MediaError
from metatalk.interchange.timecode import (
    FrameCount,
    count_frames,
    frame_timecode,
    is_standard_rate,
    standard_rate,
    timecode_frame,
)

NTSC = {30: Fraction(30000, 1001), 60: Fraction(60000, 1001)}
RATES = (Fraction(24000, 1001), 24, 25, NTSC[30], 30, 48, 50, NTSC[60], 60)
KINDS = [(Fraction(rate), False) for rate in RATES] + [(rate, True) for rate in NTSC.values()]


def day(rate: Fraction, drop: bool) -> int:
    """Frames in 24 hours of code; OpenTimelineIO begins anew after 24 hours by the clock."""
    return 86_400 * round(rate) - (round(rate) // 15 * 9 * 144 if drop else 0)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(KINDS), st.floats(0, 0.99))
def test_codes_are_opentimelineios(kind: tuple[Fraction, bool], place: float) -> None:
    rate, drop = kind
    frame = int(place * day(rate, drop))
    word = frame_timecode(Fraction(frame), rate, drop)
    time = otio.opentime.RationalTime(frame, float(rate))
    assert word == time.to_timecode(float(rate), drop)
    assert timecode_frame(word, rate, drop) == frame


@pytest.mark.parametrize("rate", NTSC.values())
def test_every_frame_about_a_minute_has_a_code_of_its_own(rate: Fraction) -> None:
    for minute in (0, 1, 9, 10, 59):
        start = int(minute * 60 * rate) - 10
        frames = range(max(start, 0), start + 20)
        words = [frame_timecode(Fraction(frame), rate, True) for frame in frames]
        assert len(set(words)) == len(frames)
        assert [timecode_frame(word, rate, True) for word in words] == list(frames)


def test_drop_frame_code_keeps_up_with_the_clock() -> None:
    for rate in NTSC.values():
        hour = timecode_frame("01:00:00;00", rate, True)
        assert abs(hour / rate - 3600) < Fraction(1, 100)


@pytest.mark.parametrize(
    ("word", "rate", "drop", "said"),
    [
        ("1:02.5", Fraction(25), False, "not a time code"),
        ("00:00:00:25", Fraction(25), False, "frames to 24"),
        ("00:00:60:00", Fraction(25), False, "no time code"),
        ("00:01:00;01", NTSC[30], True, "begins with 00:01:00;02"),
        ("00:01:00;03", NTSC[60], True, "begins with 00:01:00;04"),
        ("00:01:00;03", Fraction(25), True, "no drop-frame time code at 25"),
        ("00:01:00;03", Fraction(24000, 1001), True, "no drop-frame"),
    ],
)
def test_what_is_no_code_is_refused(word: str, rate: Fraction, drop: bool, said: str) -> None:
    with pytest.raises(MediaError) as refused:
        timecode_frame(word, rate, drop)
    assert said in str(refused.value)


def test_a_films_frames_count_from_its_first() -> None:
    film = count_frames(NTSC[30], "01:00:00;00")
    assert film.drop
    assert film.frame("01:00:02;10") == 70
    assert film.frame("01:00:02:10") == 70  # editors type colons
    assert film.frame("00:59:59;29") == -1
    assert film.word(1800) == "01:01:00;02"


def test_a_film_passes_midnight() -> None:
    film = count_frames(Fraction(25), "23:59:58:00")
    assert film.word(50) == "00:00:00:00"
    assert film.frame("00:00:01:00") == 75


def test_a_film_without_code_can_be_read_as_either() -> None:
    film = count_frames(NTSC[30], None)
    assert film.frame("00:01:00;02") == 1800
    assert film.frame("00:01:00:02") == 1802
    assert count_frames(NTSC[30], "nonsense") == film


def test_a_films_count_is_not_mixed_with_another() -> None:
    with pytest.raises(MediaError, match="drop-frame"):
        count_frames(NTSC[30], "01:00:00:00").frame("01:00:02;10")
    with pytest.raises(MediaError, match="no drop-frame"):
        FrameCount(Fraction(25), 0, True)


def test_the_nearest_rate_an_editor_knows() -> None:
    assert standard_rate(Fraction(1350, 61)) == Fraction(24000, 1001)
    assert not is_standard_rate(Fraction(1350, 61))
    assert standard_rate(Fraction(2997, 100)) == NTSC[30]
    assert is_standard_rate(Fraction(29969, 1000))
    assert is_standard_rate(Fraction(30))
    assert not is_standard_rate(Fraction(2998, 100) + Fraction(1, 100))
    assert standard_rate(Fraction(25)) == 25
