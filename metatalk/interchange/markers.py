"""Places of a film for an editor to look at, as the lists that editing programs read.

Every list counts by the film's own time code and rate. A CMX 3600 list has one event, the whole
film, with a locator a marker (`* LOC:`). Resolve's own marker list has an event a marker, Avid's a
line of tabs. Timelines with markers, FCPXML and OpenTimelineIO, are in `timelines`.
"""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from metatalk.errors import ShapeError
from metatalk.interchange.timecode import (
    FrameCount,
    count_frames,
    is_standard_rate,
    standard_rate,
)

GRAVE, NOTABLE = 2.0, 1.0  # severities from which a marker is red, and yellow; else it is green
COLUMNS = (
    "first_frame", "last_frame", "from_timecode", "to_timecode", "from_s", "to_s", "severity",
    "kind", "words",
)  # fmt: skip
_CLIP_NAME = 60  # characters


@dataclass(frozen=True)
class Marker:
    """Frames of a result to look at.

    Args:
        first_frame: number in the result.
        end_frame: one past the last.
        kind: one or two words, such as "filmed".
        words: why.
        severity: 1 and more should be looked at, 2 and more first; below 1 it only tells.

    Raises:
        ShapeError: no frame.
    """

    first_frame: int
    end_frame: int
    kind: str
    words: str
    severity: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.first_frame < self.end_frame:
            raise ShapeError(f"a marker of the frames {self.first_frame} to {self.end_frame}")

    @property
    def line(self) -> str:
        """Kind and reason in a line, of letters that every list and XML can hold."""
        told = f"{self.kind}: {self.words}"
        return " ".join("".join(one if _is_letter(one) else " " for one in told).split())

    @property
    def colour(self) -> str:
        """RED, YELLOW or GREEN."""
        if self.severity >= GRAVE:
            return "RED"
        return "YELLOW" if self.severity >= NOTABLE else "GREEN"


@dataclass(frozen=True, eq=False)
class Reel:
    """A film as an editing program sees it.

    Args:
        path: the file.
        frames: how many.
        rate: a second, as the file states it.
        timecode: of the first frame; None: 00:00:00:00.
        width: of the picture, px; 0: not known.
        height: px.
        channels: of its sound; 0: silent.
        seconds: (frames,) when each is shown, where they are not evenly spaced.
        pixel_aspect: width of a pixel by its height.
    """

    path: Path
    frames: int
    rate: Fraction
    timecode: str | None = None
    width: int = 0
    height: int = 0
    channels: int = 2
    seconds: np.ndarray | None = None
    pixel_aspect: Fraction = Fraction(1)

    @property
    def count(self) -> FrameCount:
        """How its frames are numbered."""
        return count_frames(self.rate, self.timecode)

    def place(self, frame: int) -> int:
        """Where a frame lies when frames are evenly spaced, as editing programs have them."""
        if self.seconds is None or not len(self.seconds):
            return frame
        if frame < len(self.seconds):
            return round(float(self.seconds[frame]) * float(self.rate))
        return self.place(len(self.seconds) - 1) + frame - len(self.seconds) + 1


def _is_letter(one: str) -> bool:
    # Joiners and soft hyphens have no shape of their own, but are part of their words.
    return one.isprintable() or unicodedata.category(one) == "Cf"


def write_edl(markers: Sequence[Marker], reel: Reel) -> str:
    """Word a CMX 3600 edit decision list of the whole film, with a locator a marker.

    Args:
        markers: in any order.
        reel: the film. At a rate that is no standard one the list keeps the times, at the nearest.

    Returns:
        The file's text.
    """
    times = _Times(reel)
    ends = f"{times.word(0)} {times.word(reel.frames)}"
    lines = [
        *_head(times, reel),
        f"001  AX       V     C        {ends} {ends}",
        f"* FROM CLIP NAME:  {_clip_name(reel)}",
    ]
    lines += [
        f"* LOC: {times.word(marker.first_frame)} {marker.colour:7} {_told(marker)}"
        for marker in in_time(markers)
    ]
    return "\n".join(lines) + "\n"


def write_resolve_edl(markers: Sequence[Marker], reel: Reel) -> str:
    """Word the list that DaVinci Resolve imports as timeline markers: an event a marker.

    Args:
        markers: in any order.
        reel: the film.

    Returns:
        The file's text.
    """
    times = _Times(reel)
    lines = _head(times, reel)
    for number, marker in enumerate(in_time(markers), start=1):
        first, end = times.place(marker.first_frame), times.place(marker.end_frame)
        begin = times.word(marker.first_frame)
        ends = f"{begin} {times.word_at(first + 1)}"
        colour = marker.colour.capitalize()
        lines += [
            f"{number:03d}  001      V     C        {ends} {ends}",
            f" |C:ResolveColor{colour} |M:{marker.line.replace('|', '/')} |D:{max(end - first, 1)}",
            "",
        ]
    return "\n".join(lines) + "\n"


def write_avid_list(markers: Sequence[Marker], reel: Reel) -> str:
    """Word the list that Avid Media Composer imports: user, time code, track, colour, comment.

    Args:
        markers: in any order.
        reel: the film.

    Returns:
        The file's text.
    """
    times = _Times(reel)
    rows = [
        "\t".join(
            [
                "metatalk",
                times.word(marker.first_frame),
                "V1",
                marker.colour.lower(),
                marker.line,
                str(max(times.place(marker.end_frame) - times.place(marker.first_frame), 1)),
            ]
        )
        for marker in in_time(markers)
    ]
    return "".join(row + "\n" for row in rows)


def write_table(markers: Sequence[Marker], reel: Reel) -> str:
    """Word a table, a row a marker.

    Args:
        markers: in any order.
        reel: the film.

    Returns:
        CSV with a head; times are seconds from the first frame, frames of the result from 0.
    """
    count, text = reel.count, io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for marker in in_time(markers):
        last = marker.end_frame - 1
        first_place, last_place = reel.place(marker.first_frame), reel.place(last)
        writer.writerow(
            [
                marker.first_frame,
                last,
                count.word(first_place),
                count.word(last_place),
                f"{float(first_place / reel.rate):.3f}",
                f"{float((last_place + 1) / reel.rate):.3f}",
                f"{marker.severity:.2f}",
                marker.kind,
                marker.words,
            ]
        )
    return text.getvalue()


def in_time(markers: Sequence[Marker]) -> list[Marker]:
    """Markers in the order of their frames."""
    return sorted(markers, key=lambda marker: (marker.first_frame, marker.end_frame))


@dataclass(frozen=True, eq=False)
class _Times:
    """Time codes at a rate that lists have."""

    reel: Reel

    @property
    def _exact(self) -> bool:
        return is_standard_rate(self.reel.rate)

    @property
    def count(self) -> FrameCount:
        own = self.reel.count
        if self._exact:
            return own
        rate = standard_rate(own.rate)
        start = Fraction(own.start, round(own.rate)) * round(rate)  # the same hours and seconds
        return FrameCount(rate, round(start))

    def place(self, frame: int) -> int:
        """The list's frame at a frame's time."""
        place = self.reel.place(frame)
        if self._exact:
            return place
        return round(place / self.reel.rate * standard_rate(self.reel.rate))

    def word(self, frame: int) -> str:
        return self.word_at(self.place(frame))

    def word_at(self, place: int) -> str:
        return self.count.word(place)


def _head(times: _Times, reel: Reel) -> list[str]:
    kind = "DROP FRAME" if times.count.drop else "NON-DROP FRAME"
    return [f"TITLE: {_clip_name(reel)}", f"FCM: {kind}", ""]


def _clip_name(reel: Reel) -> str:
    return reel.path.name[:_CLIP_NAME]


def _told(marker: Marker) -> str:
    """A locator has no length: its words tell it."""
    frames = marker.end_frame - marker.first_frame
    return f"{marker.line} ({frames} frames)" if frames > 1 else marker.line
