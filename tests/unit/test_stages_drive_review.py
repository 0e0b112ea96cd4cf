"""What of a drive is told and marked: kept mouths, jumps, turns and segments, frame by frame."""

from __future__ import annotations

import csv
import logging
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import opentimelineio as otio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metatalk.compose.fallback.stretches import Fallback
from metatalk.compose.retiming.plan import FramePlan, forth_and_back
from metatalk.compose.segments import SegmentRamps, segment_ramps
from metatalk.compose.segments_config import SegmentsConfig
from metatalk.interchange.markers import Marker
from metatalk.interchange.ranges import TimeRange
from metatalk.media.audio import Sound, write_wav
from metatalk.stages import drive_review
from metatalk.stages.drive_parts import Segments
from metatalk.stages.drive_preparation import Drive
from metatalk.stages.drive_review import review_drive, tell_filmed, write_review
from metatalk.stages.review import Findings, FitDoubts, Review
from metatalk.timing import FrameIndex

RATE = Fraction(25)


def drive_of(
    frames: Sequence[int] | np.ndarray,
    *,
    pts: Sequence[int] | None = None,
    fallbacks: Sequence[Fallback] = (),
    parts: Sequence[TimeRange] = (),
    sound: Path | None = None,
    rate: Fraction = RATE,
) -> Drive:
    """A result that shows these footage frames; what would draw it is not there."""
    count = len(frames)
    times = np.arange(count) if pts is None else np.array(pts)
    plan = FramePlan(np.array(frames), times, 1 / rate if pts is None else Fraction(1, 1000))
    some: Any = SimpleNamespace
    index = FrameIndex(np.arange(1000), 1 / rate, rate)
    new = np.linspace(0, 1, count, dtype=np.float32)
    return Drive(
        some(clip=Path("clip.mp4"), index=index, root=Path("actor")),
        plan,
        some(strength=new),
        some(scene=some(model=None)),
        sound,
        Segments(list(parts), SegmentRamps(new, new)) if parts else None,
        tuple(fallbacks),
    )


def gathered(drive: Drive) -> Findings:
    """What a review is made of."""
    with (
        mock.patch.object(drive_review, "find_fit_doubts", return_value=FitDoubts()) as doubts,
        mock.patch.object(drive_review, "review_result") as review,
    ):
        review_drive(drive)
    assert doubts.call_args.args[0] == Path("actor")
    found, rate = review.call_args.args
    assert rate == 25.0
    np.testing.assert_array_equal(found.frames, drive.plan.frames)
    np.testing.assert_array_equal(found.strength, drive.strength)
    assert isinstance(found, Findings)
    return found


def kept(first: int, end: int, words: str = "a hand") -> Fallback:
    return Fallback(first, end, "hand", words, 1.0)


def test_parts_are_counted_in_frames_of_the_result() -> None:
    parts = [TimeRange(0.4, 0.8, "hello"), TimeRange(1.0, 1.03)]
    found = gathered(drive_of(range(50), fallbacks=[kept(3, 7)], parts=parts))
    assert found.segments == [(10, 20, "hello"), (25, 26, "")]
    assert found.fallbacks == [(3, 7, "a hand")]
    assert gathered(drive_of(range(50))).segments == []


@pytest.mark.parametrize(
    ("first_s", "end_s", "marked"),
    [
        (0.81, 1.2, (20, 30)),  # the frame that is shown then is a part of it
        (0.8, 1.21, (20, 31)),
        (0.8 + 1e-9, 1.2 + 1e-9, (20, 30)),  # nor does rounding move it by a frame
        (0.8 - 1e-9, 1.2 - 1e-9, (20, 30)),
        (1.95, 9.0, (48, 50)),
    ],
)
def test_a_part_is_marked_from_the_frame_that_is_shown_then(
    first_s: float, end_s: float, marked: tuple[int, int]
) -> None:
    """As `segment_ramps` has it: a frame is new when any moment of it is."""
    part = TimeRange(first_s, end_s)
    assert gathered(drive_of(range(50), parts=[part])).segments == [(*marked, "")]
    now = SegmentsConfig(ramp_s=0.0)
    new = segment_ramps(np.arange(50) / 25, np.array([[first_s, end_s]]), now).picture > 0
    assert np.flatnonzero(new).tolist() == list(range(*marked))


def test_a_result_that_follows_the_footage_neither_jumps_nor_turns() -> None:
    for frames in (range(10, 60), [5] * 9, [7], [0, 0, 1, 1, 2, 2, 3]):
        found = gathered(drive_of(frames))
        assert (found.jumps, found.turns) == ([], []), frames


def test_jumps_and_turns_are_told_apart() -> None:
    #        0  1  2  3   4   5   6   7   8  9 10
    frames = [4, 5, 6, 20, 21, 21, 20, 19, 3, 4, 5]
    found = gathered(drive_of(frames))
    assert found.jumps == [3, 8]
    assert found.turns == [5]  # where it stands still first; after the jump it only goes on


@given(st.integers(2, 40), st.integers(1, 200))
def test_to_and_fro_turns_at_every_end_and_never_jumps(length: int, count: int) -> None:
    found = gathered(drive_of(forth_and_back(length, count)))
    assert found.jumps == []
    ends = list(range(length - 1, count - 1, length - 1))
    assert found.turns == ends
    shown = forth_and_back(length, count)
    assert {int(shown[n]) for n in ends} <= {0, length - 1}


walks = st.lists(
    st.one_of(st.sampled_from([-1, 0, 1]), st.integers(-30, 30)), min_size=1, max_size=60
).map(lambda steps: 500 + np.cumsum([0, *steps]))


@given(walks)
def test_turns_and_jumps_say_all_about_the_way(frames: np.ndarray) -> None:
    """Between them the footage runs one way or stands."""
    found = gathered(drive_of(frames))
    jumps, turns = set(found.jumps), set(found.turns)
    way = 0
    for number, step in enumerate(np.diff(frames).tolist()):
        assert (abs(step) > 1) == (number + 1 in jumps)
        assert (number in turns) == (abs(step) == 1 and way == -step)
        if abs(step) > 1:  # where it goes on from there is no turn
            way = 0
        elif step:
            way = step


@given(walks)
def test_the_way_back_has_as_many(frames: np.ndarray) -> None:
    there, back = gathered(drive_of(frames)), gathered(drive_of(frames[::-1]))
    assert len(there.turns) == len(back.turns)
    last = len(frames)
    assert sorted(there.jumps) == sorted(last - jump for jump in back.jumps)


def test_where_the_filmed_mouth_stays_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        tell_filmed(drive_of(range(50)))
        assert not caplog.text
        tell_filmed(drive_of(range(50), fallbacks=[kept(25, 36, "a hand, 60 %")]))
    assert "stays from 1.00 to 1.44 s" in caplog.text  # when its last frame is gone
    assert "a hand, 60 %" in caplog.text
    assert "--markers" not in caplog.text


def test_of_many_places_some_are_told_and_the_rest_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    many = [kept(3 * n, 3 * n + 1) for n in range(16)]
    with caplog.at_level(logging.WARNING):
        tell_filmed(drive_of(range(50), fallbacks=many))
    *told, last = [record.getMessage() for record in caplog.records]
    assert len(told) == 12
    assert "4 more places" in last
    assert "--markers" in last


MARKS = Review((Marker(10, 20, "filmed", "a hand", 2.0), Marker(30, 31, "turn", "back", 0.6)))


def write(
    folder: Path, drive: Drive, first: int = 0, timecode: str | None = None, ending: str = ".otio"
) -> Path:
    info = SimpleNamespace(timecode=timecode, width=640, height=360, pixel_aspect=Fraction(4, 3))
    with mock.patch.object(drive_review, "probe_video", return_value=info):
        write_review(
            [folder / f"m{ending}"], MARKS, replace(drive, first=first), folder / "out.mp4"
        )
    return folder / f"m{ending}"


def test_a_list_counts_by_the_results_own_time_code(tmp_path: Path) -> None:
    path = write(tmp_path, drive_of(range(50)), 75, "10:00:00:00", ".csv")
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["from_timecode"] for row in rows] == ["10:00:03:10", "10:00:04:05"]
    assert [row["first_frame"] for row in rows] == ["10", "30"]
    assert [float(row["from_s"]) for row in rows] == [0.4, 1.2]
    plain = write(tmp_path, drive_of(range(50)), 75, None, ".csv")
    assert "00:00:00:10" in plain.read_text()


def test_a_drop_frame_preview_goes_on_in_drop_frames(tmp_path: Path) -> None:
    drive = drive_of(range(50), rate=Fraction(30000, 1001))
    path = write(tmp_path, drive, 1790, "00:00:00;00", ".csv")
    assert "00:01:00;02" in path.read_text()  # frame 1800


def test_a_timeline_is_as_long_as_the_result(tmp_path: Path) -> None:
    timeline = otio.adapters.read_from_file(str(write(tmp_path, drive_of(range(50)))))
    (film,) = timeline.find_clips()
    assert film.duration() == otio.opentime.RationalTime(50, 25)
    assert [marker.marked_range.start_time.value for marker in film.markers] == [10, 30]


def test_a_timeline_has_sound_where_the_result_has(tmp_path: Path) -> None:
    silent = write(tmp_path, drive_of(range(50)), ending=".fcpxml").read_text()
    write_wav(tmp_path / "a.wav", Sound(np.zeros(160, np.float32), 16000))
    sound = drive_of(range(50), sound=tmp_path / "a.wav")
    heard = write(tmp_path, sound, ending=".fcpxml").read_text()
    assert "hasAudio" not in silent
    assert 'hasAudio="1"' in heard
    assert 'audioChannels="1"' in heard
    assert 'paspH="4" paspV="3"' in heard


def test_stretches_that_overlap_are_told_as_one(caplog: pytest.LogCaptureFixture) -> None:
    drive = drive_of(
        range(50),
        fallbacks=(
            Fallback(0, 20, "hand", "a hand", 1.0),
            Fallback(5, 10, "blur", "blurred", 1.0),
            Fallback(18, 25, "hand", "a hand", 1.0),
            Fallback(25, 30, "turned", "turned away", 1.0),
        ),
    )
    with caplog.at_level("WARNING"):
        tell_filmed(drive)
    told = [line for line in caplog.messages if "stays from" in line]
    assert told == [
        "the filmed mouth stays from 0.00 to 1.00 s: a hand; blurred",
        "the filmed mouth stays from 1.00 to 1.20 s: turned away",
    ]


def test_frames_of_a_variable_rate_are_marked_at_their_times(tmp_path: Path) -> None:
    pts = [0, *(40 + 80 * n for n in range(49))]  # one of 40 ms, then of 80 ms
    timeline = otio.adapters.read_from_file(str(write(tmp_path, drive_of(range(50), pts=pts))))
    (film,) = timeline.find_clips()
    starts = [marker.marked_range.start_time.value for marker in film.markers]
    assert starts == [round(pts[10] / 40), round(pts[30] / 40)]
    steady = [round(1000 * n / 25) for n in range(50)]
    timeline = otio.adapters.read_from_file(str(write(tmp_path, drive_of(range(50), pts=steady))))
    (film,) = timeline.find_clips()
    assert [marker.marked_range.start_time.value for marker in film.markers] == [10, 30]
