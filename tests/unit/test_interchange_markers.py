"""Lists of markers, read back by OpenTimelineIO: the same frames, names and comments."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import opentimelineio as otio
import pytest

from metatalk.errors import ShapeError
from metatalk.interchange.markers import (
    Marker,
    Reel,
    write_avid_list,
    write_edl,
    write_resolve_edl,
    write_table,
)
from metatalk.interchange.timecode import count_frames
from metatalk.interchange.timelines import write_fcpxml, write_otio

NTSC = Fraction(30000, 1001)
MARKERS = [
    Marker(1800, 1801, "fit", 'lips 3.1 mm off | <turned> & "tilted"', 1.2),
    Marker(70, 95, "filmed", "a hand\nbefore the mouth", 2.5),
    Marker(10, 40, "segment", "begins", 0.3),
]
IN_TIME = [MARKERS[2], MARKERS[1], MARKERS[0]]
RATES = [
    (Fraction(24000, 1001), None),
    (Fraction(24), "01:00:00:00"),
    (Fraction(25), "09:58:30:12"),
    (NTSC, "01:00:00:00"),
    (NTSC, "00:59:59;28"),
    (Fraction(30), None),
    (Fraction(50), "10:00:00:00"),
    (Fraction(60000, 1001), "10:00:00;00"),
    (Fraction(60), None),
]
WHOLE = [(rate, code) for rate, code in RATES if rate.denominator == 1]
COUNTED = [(rate, code) for rate, code in RATES if not (code and ";" in code)]


def reel(rate: Fraction, timecode: str | None, **more: Any) -> Reel:
    return Reel(Path("a dub.mov"), 2000, rate, timecode, 1080, 1920, **more)


def only_clip(timeline: Any) -> Any:
    clips = list(timeline.find_clips())
    return clips[-1]


@pytest.mark.parametrize(("rate", "timecode"), COUNTED)
def test_opentimelineio_reads_the_edit_list(rate: Fraction, timecode: str | None) -> None:
    film = reel(rate, timecode)
    text = write_edl(MARKERS, film)
    clip = only_clip(otio.adapters.read_from_string(text, "cmx_3600", rate=float(rate)))
    start = clip.source_range.start_time
    assert clip.name == "a dub.mov"
    assert start.to_timecode(float(rate), False) == (timecode or "00:00:00:00")
    assert clip.source_range.duration.value == 2000
    found = [(m.marked_range.start_time - start).value for m in clip.markers]
    assert found == [10, 70, 1800]
    assert [m.color for m in clip.markers] == ["GREEN", "RED", "YELLOW"]
    assert clip.markers[1].name == "filmed: a hand before the mouth (25 frames)"
    assert clip.markers[2].name == IN_TIME[2].line


@pytest.mark.parametrize("rate", [NTSC, Fraction(60000, 1001)])
def test_a_drop_frame_list_says_so_and_counts_so(rate: Fraction) -> None:
    text = write_edl(MARKERS, reel(rate, "01:00:00;00"))
    assert "FCM: DROP FRAME" in text
    clip = only_clip(otio.adapters.read_from_string(text, "cmx_3600", rate=float(rate)))
    assert clip.source_range.duration.value == 2000
    codes = [line.split()[2] for line in text.splitlines() if line.startswith("* LOC:")]
    frames = [otio.opentime.from_timecode(code, float(rate)).value for code in codes]
    first = otio.opentime.from_timecode("01:00:00;00", float(rate)).value
    assert [frame - first for frame in frames] == [10, 70, 1800]


@pytest.mark.parametrize(("rate", "timecode"), [*RATES, (Fraction(1350, 61), None)])
def test_a_timeline_holds_every_rate(tmp_path: Path, rate: Fraction, timecode: str | None) -> None:
    path = tmp_path / "review.otio"
    path.write_text(write_otio(MARKERS, reel(rate, timecode)))
    timeline = otio.adapters.read_from_file(str(path))
    clip = only_clip(timeline)
    start = clip.source_range.start_time
    assert timeline.global_start_time == start
    assert clip.media_reference.available_range == clip.source_range
    assert clip.media_reference.target_url.endswith("/a%20dub.mov")
    if timecode:
        assert start.to_timecode(float(rate), ";" in timecode) == timecode
    for read, marker in zip(clip.markers, IN_TIME, strict=True):
        marked = read.marked_range
        assert (marked.start_time - start).value == marker.first_frame
        assert marked.duration.value == marker.end_frame - marker.first_frame
        assert marked.start_time.rate == pytest.approx(float(rate))
        assert (read.name, read.comment) == (marker.kind, marker.words)
        assert read.metadata["metatalk"]["severity"] == marker.severity
    assert [m.color for m in clip.markers] == ["GREEN", "RED", "YELLOW"]


@pytest.mark.parametrize(("rate", "timecode"), WHOLE)
def test_opentimelineio_reads_the_project(rate: Fraction, timecode: str | None) -> None:
    """Its adapter cuts binary fractions off, so that a time may read as the frame before."""
    text = write_fcpxml(MARKERS, reel(rate, timecode))
    clip = only_clip(otio.adapters.read_from_string(text, "fcpx_xml"))
    start = clip.source_range.start_time
    assert start.value == pytest.approx(count_frames(rate, timecode).start, abs=1)
    assert clip.source_range.duration.value == 2000
    for read, marker in zip(clip.markers, IN_TIME, strict=True):
        away = (read.marked_range.start_time - start).value - marker.first_frame
        assert abs(away) <= (1 if timecode else 0)
        assert read.marked_range.duration.value == marker.end_frame - marker.first_frame
        assert read.name == marker.line


@pytest.mark.parametrize(("rate", "timecode"), [*RATES, (Fraction(1350, 61), None)])
def test_a_projects_times_are_exact(rate: Fraction, timecode: str | None) -> None:
    """OpenTimelineIO's adapter reads 29.97 as 29: the fractions themselves are checked."""
    root = ElementTree.fromstring(write_fcpxml(MARKERS, reel(rate, timecode)))
    clip = next(root.iter("asset-clip"))
    exact = lambda element, name: Fraction(element.get(name)[:-1])  # noqa: E731
    assert exact(next(root.iter("format")), "frameDuration") == 1 / rate
    for marker, read in zip(IN_TIME, clip.iter("marker"), strict=True):
        assert (exact(read, "start") - exact(clip, "start")) * rate == marker.first_frame
        assert exact(read, "duration") * rate == marker.end_frame - marker.first_frame
    sequence = next(root.iter("sequence"))
    drop = bool(timecode and ";" in timecode)
    assert sequence.get("tcFormat") == ("DF" if drop else "NDF")
    assert sequence.get("tcStart") == clip.get("offset") == clip.get("start")
    assert [m.get("completed") for m in clip.iter("marker")] == [None, "0", "0"]


# What version 1.8 of Apple's document type lets these elements say.
ALLOWED = {
    "fcpxml": "version",
    "format": "id name frameDuration fieldOrder width height paspH paspV colorSpace",
    "asset": "id name uid src start duration hasVideo format hasAudio audioSources audioChannels"
    " audioRate colorSpaceOverride",
    "project": "name uid id modDate",
    "sequence": "format duration tcStart tcFormat audioLayout audioRate",
    "asset-clip": "ref lane offset name start duration enabled format tcStart tcFormat",
    "marker": "start duration value completed note",
}
WITHIN = {"resources": "format asset", "event": "project", "project": "sequence"}


def test_a_project_is_what_its_version_declares() -> None:
    film = replace(reel(NTSC, "01:00:00:00"), pixel_aspect=Fraction(16, 15))
    root = ElementTree.fromstring(write_fcpxml(MARKERS, film))
    assert root.get("version") == "1.8"
    for element in root.iter():
        assert set(element.keys()) <= set(ALLOWED.get(element.tag, "name").split()), element.tag
        if element.tag in WITHIN:
            assert {child.tag for child in element} <= set(WITHIN[element.tag].split())
    assert [child.tag for child in root] == ["resources", "event"]
    assert next(root.iter("asset")).get("src", "").startswith("file:///")
    assert next(root.iter("format")).get("paspH") == "16"
    assert next(root.iter("format")).get("paspV") == "15"
    assert "pasp" not in write_fcpxml([], reel(NTSC, None))


def test_a_silent_film_has_no_sound_in_the_project() -> None:
    text = write_fcpxml([], reel(Fraction(25), None, channels=0))
    assert "hasAudio" not in text
    assert 'audioChannels="2"' in write_fcpxml([], reel(Fraction(25), None))


def test_a_list_of_an_odd_rate_keeps_the_times() -> None:
    rate = Fraction(1350, 61)
    text = write_edl(MARKERS, reel(rate, None))
    clip = only_clip(otio.adapters.read_from_string(text, "cmx_3600", rate=24000 / 1001))
    for read, marker in zip(clip.markers, IN_TIME, strict=True):
        listed_s = read.marked_range.start_time.value * 1001 / 24000
        assert listed_s == pytest.approx(float(marker.first_frame / rate), abs=0.5 / 23)
    assert clip.source_range.duration.to_seconds() == pytest.approx(float(2000 / rate), abs=0.05)


def test_an_uneven_film_is_listed_by_its_times() -> None:
    seconds = np.arange(2000) / 25.0
    seconds[50:] += 1.0  # a second without frames
    film = reel(Fraction(25), None, seconds=seconds)
    assert film.place(40) == 40
    assert film.place(70) == 95
    assert film.place(2000) == 2025
    starts = [
        m.marked_range.start_time.value
        for m in only_clip(
            otio.adapters.read_from_string(write_otio(MARKERS, film), "otio_json")
        ).markers
    ]
    assert starts == [10, 95, 1825]


def test_resolves_list_has_an_event_a_marker() -> None:
    text = write_resolve_edl(MARKERS, reel(Fraction(25), "01:00:00:00"))
    clips = list(otio.adapters.read_from_string(text, "cmx_3600", rate=25).find_clips())
    starts = [clip.source_range.start_time.value - 90_000 for clip in clips]
    assert starts == [10, 70, 1800]
    assert " |C:ResolveColorRed |M:filmed: a hand before the mouth |D:25\n" in text
    assert "lips 3.1 mm off / <turned>" in text  # a bar would end the name


def test_avids_list_is_a_line_of_tabs_a_marker() -> None:
    rows = write_avid_list(MARKERS, reel(NTSC, "01:00:00;00")).splitlines()
    assert len(rows) == 3
    assert rows[1].split("\t") == [
        "metatalk", "01:00:02;10", "V1", "red", "filmed: a hand before the mouth", "25",
    ]  # fmt: skip


def test_a_table_reads_back() -> None:
    text = write_table(MARKERS, reel(Fraction(25), "01:00:00:00"))
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [int(row["first_frame"]) for row in rows] == [10, 70, 1800]
    assert rows[1]["words"] == MARKERS[1].words
    assert rows[1]["last_frame"] == "94"
    assert rows[1]["to_timecode"] == "01:00:03:19"
    assert (rows[1]["from_s"], rows[1]["to_s"]) == ("2.800", "3.800")


def test_a_list_of_nothing_is_a_list() -> None:
    film = reel(Fraction(25), None)
    assert "LOC" not in write_edl([], film)
    assert (
        list(only_clip(otio.adapters.read_from_string(write_otio([], film), "otio_json")).markers)
        == []
    )
    assert write_avid_list([], film) == ""


def test_a_marker_has_a_frame() -> None:
    with pytest.raises(ShapeError):
        Marker(5, 5, "fit", "")


def test_no_letter_of_a_subtitle_breaks_a_list() -> None:
    told = 'न\u200dम co\u00adop \x1b[1mL\u00f6schen & <b> \x00\u200b "x"\x0b|\x7f\ttab'
    marker = Marker(3, 4, "segment", told)
    film = reel(Fraction(25), "01:00:00:00")
    assert marker.line == 'segment: न\u200dम co\u00adop [1mL\u00f6schen & <b> \u200b "x" | tab'
    project = ElementTree.fromstring(write_fcpxml([marker], film))
    assert project.findall(".//marker")[0].get("value") == marker.line
    assert otio.adapters.read_from_string(write_otio([marker], film), "otio_json")
    assert write_avid_list([marker], film).count("\t") == 5
    assert len(write_edl([marker], film).splitlines()) == len(write_edl([], film).splitlines()) + 1


def test_a_rate_from_rounded_times_is_the_standard_one_in_a_project() -> None:
    """Matroska's milliseconds make 19001/317 of 60000/1001, which no program lists."""
    text = write_fcpxml([Marker(600, 601, "jump", "here")], reel(Fraction(19001, 317), None))
    assert text == write_fcpxml(
        [Marker(600, 601, "jump", "here")], reel(Fraction(60000, 1001), None)
    )
    odd = write_fcpxml([], reel(Fraction(1350, 61), None))
    assert 'frameDuration="61/1350s"' in odd
