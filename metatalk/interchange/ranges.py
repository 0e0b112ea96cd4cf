"""Parts of a film as an editor names them: clock times, time codes, or subtitles."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pysubs2

from metatalk.errors import ConfigError, MediaError
from metatalk.interchange.timecode import FrameCount

LOG = logging.getLogger(__name__)
SUBTITLES = (".srt", ".vtt", ".ass", ".ssa", ".ttml")
_HOW = "give 0:01:02.10-0:01:05, 62.1-65, by time code 01:00:02:10-01:00:05:00, or an .srt file"
_CLOCK = re.compile(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d*)?)")
_CODE = re.compile(r"\d{1,2}[:;]\d{1,2}[:;]\d{1,2}[:;]\d{1,3}")
_BETWEEN = re.compile(r"\s*(?:-->|-|–|—|\bto\b)\s*")
# As subtitles write them. Alone a comma stands between two parts.
_PASTED = re.compile(r"(\d+:\d\d:\d\d),(\d{3}\s*(?:-->|-|–|—|\bto\b)\s*\d+:\d\d:\d\d),(\d{3})")
_CUE = re.compile(r"^[ \t]*(\d+[:;][\d:;.,]*)[ \t]*-->[ \t]*(\d+[:;][\d:;.,]*)", re.MULTILINE)
_CUE_TIME = re.compile(r"(?:\d+:)?\d+:\d+[.,]\d+")
_LABEL = 60  # characters of a subtitle that are kept
_LEAST_LABEL_S = 600.0  # a film whose time code begins sooner may well have cues later than that


@dataclass(frozen=True)
class TimeRange:
    """A part of a film.

    Args:
        first_s: seconds from the film's first frame.
        end_s: where it is over.
        words: what is known of it, such as a subtitle.
    """

    first_s: float
    end_s: float
    words: str = ""


def as_array(ranges: Sequence[TimeRange]) -> np.ndarray:
    """(R, 2) float64 seconds: beginnings and ends."""
    return np.array([(part.first_s, part.end_s) for part in ranges], np.float64).reshape(-1, 2)


def read_moment(word: str, count: FrameCount) -> float:
    """Read one time.

    Args:
        word: seconds (62.1), minutes (1:02.1) or hours (0:01:02.1) from the film's first frame, or
            a time code of four numbers (01:00:02:10), by which the film's own is meant.
        count: how the film's frames are numbered.

    Returns:
        Seconds from the film's first frame; below 0 for a time code before it.

    Raises:
        ConfigError: no time, or not one of this film's time codes.
    """
    word = word.strip()
    if _CODE.fullmatch(word):
        try:
            return float(count.frame(word) / count.rate)
        except MediaError as error:
            raise ConfigError(error.problem, error.remedy) from error
    match = _CLOCK.fullmatch(word)
    if match is None:
        raise ConfigError(f"{word!r} is not a time", _HOW)
    hours, minutes, seconds = match.groups()
    number = float(seconds)
    if minutes is not None and number >= 60:
        raise ConfigError(f"{word!r} is not a time: it counts {seconds} seconds", _HOW)
    if hours is not None and int(minutes) >= 60:
        raise ConfigError(f"{word!r} is not a time: it counts {minutes} minutes", _HOW)
    return int(hours or 0) * 3600 + int(minutes or 0) * 60 + number


def read_ranges(words: str, count: FrameCount, duration_s: float) -> list[TimeRange]:
    """Read the parts of a film that somebody names.

    Args:
        words: such as "0:01:02.10-0:01:05,62.1-65", or the path of a subtitle file.
        count: how the film's frames are numbered.
        duration_s: how long the film is.

    Returns:
        The parts in order, apart from each other and inside the film.

    Raises:
        ConfigError: no times, a part that ends before it begins, or none inside the film.
        MediaError: a subtitle file that cannot be read or holds no times.
    """
    if not words.strip():
        raise ConfigError("no segment is named", _HOW)
    path = Path(words.strip())
    if path.suffix.lower() in SUBTITLES:
        found = _shifted_to_film(_read_subtitles(path), count, duration_s)
    else:
        plain = _PASTED.sub(r"\1.\2.\3", words.strip(" ,"))
        found = [_read_range(part, count) for part in re.split(r"[,\n]\s*(?=\S)", plain)]
    return tidy_ranges(found, duration_s)


def tidy_ranges(ranges: Iterable[TimeRange], duration_s: float) -> list[TimeRange]:
    """Put parts of a film in order: those that touch become one, those beyond it are cut off.

    Args:
        ranges: in any order.
        duration_s: how long the film is.

    Returns:
        The parts inside the film.

    Raises:
        ConfigError: none is.
    """
    ranges = list(ranges)
    inside = list(_inside(ranges, duration_s))
    if not inside:
        raise ConfigError(
            f"no segment lies in the film, which is {clock_word(duration_s)} long", _HOW
        )
    tidy: list[TimeRange] = []
    for part in sorted(inside, key=lambda part: (part.first_s, part.end_s)):
        if tidy and part.first_s <= tidy[-1].end_s:
            last = tidy[-1]
            words = " / ".join(word for word in (last.words, part.words) if word)
            end_s = max(last.end_s, part.end_s)
            tidy[-1] = replace(last, end_s=end_s, words=words[: 2 * _LABEL])
        else:
            tidy.append(part)
    if len(tidy) < len(inside):
        LOG.info("%d segments touch each other and make %d", len(inside), len(tidy))
    return tidy


def clock_word(seconds: float) -> str:
    """A time as it can be given: 0:01:02.100.

    >>> clock_word(62.1)
    '0:01:02.100'
    """
    minutes, thousandths = divmod(round(1000 * seconds), 60_000)
    return f"{minutes // 60}:{minutes % 60:02d}:{thousandths / 1000:06.3f}"


def _inside(ranges: Iterable[TimeRange], duration_s: float) -> Iterator[TimeRange]:
    for part in ranges:
        name = f"{clock_word(part.first_s)}-{clock_word(part.end_s)}"
        if part.first_s >= duration_s:
            LOG.warning("the film ends at %s: no segment %s", clock_word(duration_s), name)
            continue
        if part.end_s > duration_s + 1e-3:
            LOG.warning("the film ends at %s, inside segment %s", clock_word(duration_s), name)
        yield replace(part, end_s=min(part.end_s, duration_s))


def _read_range(words: str, count: FrameCount) -> TimeRange:
    ends = _BETWEEN.split(words.strip())
    if len(ends) != 2:
        raise ConfigError(f"{words.strip()!r} is not a segment, which is two times", _HOW)
    first_s, end_s = (read_moment(word, count) for word in ends)
    if min(first_s, end_s) < 0:
        raise ConfigError(
            f"segment {words.strip()} begins before the film, whose first frame is {count.word(0)}",
            "give its own time codes, or clock times from its first frame, such as 0:02.4",
        )
    if end_s <= first_s:
        raise ConfigError(f"segment {words.strip()} ends before it begins", "swap its times")
    return TimeRange(first_s, end_s)


def _read_subtitles(path: Path) -> list[TimeRange]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise MediaError(
            f"{path}: {error.strerror or 'cannot be read'}", "check the name of the subtitles"
        ) from error
    remedy = "give an .srt, .vtt, .ass or .ttml file whose cues are the segments, or the times"
    text = _decoded(content)
    _require_clock_times(path, text)
    try:
        cues = list(pysubs2.SSAFile.from_string(text)) if text.strip() else []
    except (pysubs2.exceptions.Pysubs2Error, ValueError) as error:
        raise MediaError(f"{path} is not a subtitle file", remedy) from error
    cues = [cue for cue in cues if not cue.is_comment]
    if not cues:
        raise MediaError(f"{path} holds no subtitles", remedy)
    backward = next((cue for cue in cues if cue.end <= cue.start), None)
    if backward is not None:
        at = clock_word(backward.start / 1000)
        raise MediaError(f"{path}: the cue at {at} ends before it begins", "mend that cue")
    return [
        TimeRange(cue.start / 1000, cue.end / 1000, " ".join(cue.plaintext.split())[:_LABEL])
        for cue in cues
    ]


def _require_clock_times(path: Path, text: str) -> None:
    """Refuse cues timed by frames, which readers of subtitles take for words or read wrong."""
    for cue in _CUE.finditer(text):
        if not all(_CUE_TIME.fullmatch(time) for time in cue.groups()):
            raise MediaError(
                f"{path}: the times of {cue[0].strip()!r} are not read",
                "write times of subtitles as 00:01:02,400; time codes are read as --segments"
                " 01:00:02:10-01:00:05:00,...",
            )


def _decoded(content: bytes) -> str:
    """Subtitles are of any age: the times are plain letters in every encoding but UTF-16."""
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16", "replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")


def _shifted_to_film(
    cues: list[TimeRange], count: FrameCount, duration_s: float
) -> list[TimeRange]:
    """Cues as times from the film's first frame, where they are timed by its time code.

    Editing programs write subtitles so: of a film that begins at 01:00:00:00 the first cue is at
    01:00:05. In a film of more than an hour that could be a time from its first frame, too.
    """
    label_s, least_s = _label_clock(count), min(cue.first_s for cue in cues)
    is_certain = least_s >= duration_s
    if not (is_certain or least_s >= label_s >= _LEAST_LABEL_S):
        return cues
    # Time code that drops no frames counts whole seconds that are longer than the clock's.
    longer = 1.0 if count.drop else float(round(count.rate) / count.rate)
    moved = [_moved(cue, label_s, longer) for cue in cues]
    inside = [k for k, cue in enumerate(moved) if cue.end_s > 0 and cue.first_s < duration_s]
    if not label_s or not inside:
        return cues
    LOG.warning(
        "the subtitles are taken for timed by the film's time code, which begins at %s: the cue at"
        " %s for %s of the film%s",
        count.word(0),
        clock_word(cues[inside[0]].first_s),
        clock_word(moved[inside[0]].first_s),
        "" if is_certain else "; if they count from its first frame, give the times themselves",
    )
    return [cue for cue in moved if cue.end_s > 0]


def _moved(cue: TimeRange, label_s: float, longer: float) -> TimeRange:
    first_s, end_s = ((time_s - label_s) * longer for time_s in (cue.first_s, cue.end_s))
    return replace(cue, first_s=max(first_s, 0.0), end_s=end_s)


def _label_clock(count: FrameCount) -> float:
    """Seconds that the time code of the film's first frame reads as."""
    hours, minutes, seconds, frames = (int(part) for part in re.split("[:;]", count.word(0)))
    return hours * 3600 + minutes * 60 + seconds + frames / round(count.rate)
