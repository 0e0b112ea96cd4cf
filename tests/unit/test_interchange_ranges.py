"""Parts of a film as editors write them: what is read, and what is refused with a remedy."""

from __future__ import annotations

import logging
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metatalk.errors import ConfigError, MediaError, MetatalkError
from metatalk.interchange.ranges import (
    TimeRange,
    as_array,
    clock_word,
    read_moment,
    read_ranges,
    tidy_ranges,
)
from metatalk.interchange.timecode import count_frames

NTSC = Fraction(30000, 1001)
FILM = count_frames(Fraction(25), "01:00:00:00")
DROP = count_frames(NTSC, "10:00:00;00")
HOUR_S = 3600.0

SRT = """1
00:00:02,500 --> 00:00:04,000
<i>Not a word</i> of
it is true.

2
00:00:10,000 --> 00:00:11,250
Nor this.
"""


def times(words: str, duration_s: float = HOUR_S) -> list[tuple[float, float]]:
    return [(part.first_s, part.end_s) for part in read_ranges(words, FILM, duration_s)]


@pytest.mark.parametrize(
    ("word", "seconds"),
    [
        ("00:01:02.10", 62.1),
        ("1:02.1", 62.1),
        ("62.1", 62.1),
        ("90:00", 5400.0),
        ("7", 7.0),
        ("01:00:02:10", 2.4),
        ("01:00:02;10", 2.4),
    ],
)
def test_a_moment_is_read(word: str, seconds: float) -> None:
    film = count_frames(Fraction(25), "01:00:00:00") if ";" not in word else None
    if film is None:
        film, seconds = count_frames(NTSC, "01:00:00;00"), 70 / float(NTSC)
    assert read_moment(word, film) == pytest.approx(seconds, abs=1e-9)


@given(st.floats(0, 86_000))
def test_a_written_moment_reads_back(seconds: float) -> None:
    assert read_moment(clock_word(seconds), FILM) == pytest.approx(seconds, abs=6e-4)


@given(st.integers(0, 200_000), st.sampled_from([FILM, DROP]))
def test_a_frames_time_code_is_its_time(frame: int, film: object) -> None:
    count = DROP if film is DROP else FILM
    assert read_moment(count.word(frame), count) == pytest.approx(frame / float(count.rate))


def test_parts_come_in_order() -> None:
    assert times("00:01:02.10-00:01:05.00, 3-4.5") == [(3, 4.5), (62.1, 65)]
    assert times("3 --> 4,5 – 6,\n7 to 8,") == [(3, 4), (5, 6), (7, 8)]
    assert times("01:00:02:10-01:00:05:00") == [(2.4, 5)]


def test_parts_that_touch_are_one() -> None:
    assert times("1-3,2-4,4-5,7-8") == [(1, 5), (7, 8)]


def test_drop_frame_codes_are_exact() -> None:
    part = read_ranges("10:01:00;02-10:10:00;00", DROP, HOUR_S)[0]
    assert part.first_s == pytest.approx(1800 / float(NTSC))
    assert part.end_s == pytest.approx(17_982 / float(NTSC))


def test_what_lies_beyond_the_film_is_cut_off_with_a_word(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        assert times("5-30,40-50", 20.0) == [(5, 20)]
    said = caplog.text
    assert "0:00:20.000" in said
    assert "0:00:40.000-0:00:50.000" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", "no segment is named"),
        ("5", "two times"),
        ("1-2-3", "two times"),
        ("5-4", "ends before it begins"),
        ("5-5", "ends before it begins"),
        ("a-b", "'a' is not a time"),
        ("0:75-0:80", "counts 75 seconds"),
        ("1:75:00-2", "counts 75 minutes"),
        ("00:59:00:00-01:00:05:00", "first frame is 01:00:00:00"),
        ("01:00:02:25-01:00:05:00", "no time code"),
        ("01:00:02;10-01:00:05;00", "drop-frame"),
        ("3700-3800", "no segment lies in the film"),
        ("list.txt", "two times"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_remedy(words: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        times(words)
    assert said in refused.value.problem
    assert refused.value.remedy


def subtitles(folder: Path, content: str | bytes, name: str = "cues.srt") -> str:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_subtitles_are_segments(tmp_path: Path, encoding: str) -> None:
    content = SRT.replace("Nor", "Ñor").replace("\n", "\r\n").encode(encoding)
    parts = read_ranges(subtitles(tmp_path, content), FILM, HOUR_S)
    assert [(part.first_s, part.end_s) for part in parts] == [(2.5, 4.0), (10.0, 11.25)]
    assert [part.words for part in parts] == ["Not a word of it is true.", "Ñor this."]


def test_web_subtitles_are_segments(tmp_path: Path) -> None:
    content = "WEBVTT\n\n00:02.500 --> 00:04.000\nNot a word\n"
    parts = read_ranges(subtitles(tmp_path, content, "cues.vtt"), FILM, HOUR_S)
    assert parts == [TimeRange(2.5, 4.0, "Not a word")]


def test_subtitles_of_a_broadcast_count_by_its_time_code(tmp_path: Path) -> None:
    path = subtitles(tmp_path, SRT.replace("00:00:", "01:00:"))
    assert as_array(read_ranges(path, FILM, 60.0)).tolist() == [[2.5, 4.0], [10.0, 11.25]]


def cues(folder: Path, film: object, duration_s: float, *starts: str) -> list[list[float]]:
    """What is read of cues of two seconds."""
    content = "".join(
        f"{k}\n{start},000 --> {start[:-2]}{int(start[-2:]) + 2:02d},000\nword\n\n"
        for k, start in enumerate(starts, 1)
    )
    return as_array(read_ranges(subtitles(folder, content), film, duration_s)).tolist()


def test_a_long_films_subtitles_by_its_time_code(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Times of ninety minutes that begin at one hour would all lie in the film as they are."""
    with caplog.at_level(logging.WARNING):
        read = cues(tmp_path, FILM, 5400.0, "01:00:05", "02:20:00")
    assert read == [[5, 7], [4800, 4802]]
    assert "begins at 01:00:00:00: the cue at 1:00:05.000 for 0:00:05.000" in caplog.text
    assert "give the times themselves" in caplog.text


@pytest.mark.parametrize(
    ("timecode", "starts"),
    [
        ("01:00:00:00", ("00:59:05", "01:10:00")),  # the first is before the film's label
        ("00:01:00:00", ("00:02:00", "01:10:00")),  # a label so small that it may be chance
        ("00:00:00:00", ("01:00:05",)),
    ],
)
def test_a_long_films_subtitles_by_the_clock(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, timecode: str, starts: tuple[str, ...]
) -> None:
    count = count_frames(Fraction(25), timecode)
    with caplog.at_level(logging.WARNING):
        read = cues(tmp_path, count, 5400.0, *starts)
    hours, minutes, seconds = (int(part) for part in starts[0].split(":"))
    assert read[0][0] == hours * 3600 + minutes * 60 + seconds
    assert not caplog.text


def test_a_part_of_a_broadcast_leaves_out_what_was_before_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    count = count_frames(Fraction(25), "10:20:00:00")
    with caplog.at_level(logging.WARNING):
        read = cues(tmp_path, count, 1800.0, "10:00:05", "10:19:59", "10:20:05")
    assert read == [[0, 1], [5, 7]]
    assert "give the times themselves" not in caplog.text


def test_cues_that_fit_neither_count_are_told_as_they_stand(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ConfigError, match="0:01:00.000 long"):
        cues(tmp_path, FILM, 60.0, "00:05:00")
    assert "no segment 0:05:00.000" in caplog.text


@pytest.mark.parametrize("rate", [NTSC, Fraction(24000, 1001)])
@given(frame=st.integers(0, 140_000))
def test_subtitles_by_time_code_that_drops_no_frames_are_its_frames(
    tmp_path_factory: pytest.TempPathFactory, rate: Fraction, frame: int
) -> None:
    """Its seconds are longer than the clock's: 3.6 s an hour."""
    count = count_frames(rate, "01:00:00:00")
    frame -= frame % round(rate)
    label = count.word(frame)
    assert label.endswith(":00")
    folder = tmp_path_factory.getbasetemp()
    content = f"1\n{label[:-3]},000 --> {label[:-3]},500\nword\n"
    part = read_ranges(subtitles(folder, content), count, 6000.0)[0]
    assert part.first_s == pytest.approx(frame / float(rate), abs=1e-6)


def test_subtitles_by_drop_frame_code_are_by_the_clock(tmp_path: Path) -> None:
    assert cues(tmp_path, DROP, 5400.0, "10:30:00")[0][0] == pytest.approx(1800, abs=0.01)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "no subtitles"),
        ("hello", "not a subtitle file"),
        (SRT.replace("00:00:04,000", "00:00:01,000"), "0:00:02.500 ends before"),
    ],
)
def test_subtitles_without_times_are_refused(tmp_path: Path, content: str, said: str) -> None:
    with pytest.raises(MediaError, match=said) as refused:
        read_ranges(subtitles(tmp_path, content), FILM, HOUR_S)
    assert refused.value.remedy


def test_times_of_subtitles_can_be_pasted() -> None:
    assert times("00:00:01,500 --> 00:00:02,250, 0:03-0:04") == [(1.5, 2.25), (3.0, 4.0)]
    assert times("0:00:01,500-0:00:02,250") == [(1.5, 2.25)]
    assert times("0:00:01-0:00:02,500-600") == [(1.0, 2.0), (500.0, 600.0)]


COUNTED = "1\n00:00:01:12 --> 00:00:02:00\nOne\n\n2\n00:00:03:12 --> 00:00:04:00\nTwo\n"


@pytest.mark.parametrize(
    "content",
    [
        COUNTED,
        COUNTED.replace(":12 ", ";12 ").replace(":00\n", ";00\n"),
        SRT + COUNTED,
        SRT + COUNTED.replace(":12 ", ";12 ").replace("\n", "\r\n"),
        "WEBVTT\n\n" + COUNTED.replace(":12 ", ";12 "),
        COUNTED.replace(":12 ", ",480 "),
        SRT + "\n3\n00:00:12 --> 00:00:13\nWhole seconds\n",
    ],
)
def test_subtitles_by_time_code_are_refused_and_not_read_wrong(
    tmp_path: Path, content: str
) -> None:
    with pytest.raises(MediaError, match="are not read") as refused:
        read_ranges(subtitles(tmp_path, content), FILM, HOUR_S)
    assert "00:01:02,400" in refused.value.remedy


@pytest.mark.parametrize("words", ["Nor this --> that.", "From 3 --> 4 we go.", "3 --> 4:20"])
def test_an_arrow_among_the_words_is_no_time(tmp_path: Path, words: str) -> None:
    arrow = SRT.replace("Nor this.", words)
    assert read_ranges(subtitles(tmp_path, arrow), FILM, HOUR_S)[1].words == words


def test_missing_subtitles_are_told_by_name(tmp_path: Path) -> None:
    with pytest.raises(MetatalkError, match=r"none\.srt"):
        read_ranges(str(tmp_path / "none.srt"), FILM, HOUR_S)


def test_labels_of_joined_parts_stay() -> None:
    joined = tidy_ranges([TimeRange(2, 3, "b"), TimeRange(1, 2, "a")], 10)
    assert joined == [TimeRange(1, 3, "a / b")]
    assert as_array([]).shape == (0, 2)
    np.testing.assert_array_equal(as_array(joined), [[1, 3]])
