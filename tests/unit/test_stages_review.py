"""What is marked for review: the places that matter, few, and in files of every kind."""

from __future__ import annotations

import logging
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import opentimelineio as otio
import pytest
import torch
from face_toys import toy_clip, toy_model
from fit_folders import keep_fit

from metatalk.compose.retiming.plan import forth_and_back
from metatalk.errors import MediaError, ShapeError
from metatalk.evaluate.doubts import DoubtRange, Reason
from metatalk.interchange.markers import Marker, Reel
from metatalk.landmarks.track import LandmarkTrack
from metatalk.stages.artefacts import save_index, save_landmarks
from metatalk.stages.review import (
    ENDINGS,
    Findings,
    FitDoubts,
    find_fit_doubts,
    require_marker_names,
    review_result,
    write_markers,
)
from metatalk.timing import FrameIndex
from metatalk.workspace.manifest import Cause, finish_manifest, write_manifest

MODEL = toy_model()
CLIP = toy_clip(MODEL, 12, torch.tensor([0.4, -0.2, 0.1]))
FRAMES = np.arange(100)
NEW = np.ones(100, np.float32)
RATE = 25.0


def doubt(first: int, end: int, severity: float, length: int = 100) -> FitDoubts:
    reasons = tuple(Reason(kind, f"{kind} is off", end - first, first) for kind in "abc")
    badness = np.full(length, 0.5)
    badness[first:end] = severity
    return FitDoubts((DoubtRange(first, end, reasons),), badness)


def spans(markers: tuple[Marker, ...]) -> list[tuple[str, int, int]]:
    return sorted((marker.kind, marker.first_frame, marker.end_frame) for marker in markers)


def test_every_source_makes_its_markers() -> None:
    found = Findings(
        FRAMES,
        NEW,
        fallbacks=[(5, 10, "a hand before the mouth")],
        segments=[(0, 60, "")],
        doubts=doubt(30, 34, 2.0),
        jumps=[70],
        turns=[90],
    )
    review = review_result(found, RATE)
    assert spans(review.markers) == [
        ("filmed", 5, 10), ("fit", 30, 34), ("jump", 70, 71), ("segment", 0, 60), ("turn", 90, 91),
    ]  # fmt: skip
    kinds = [marker.kind for marker in review.markers]
    assert kinds == ["fit", "filmed", "jump", "turn", "segment"]  # the gravest first
    words = {marker.kind: marker.words for marker in review.markers}
    assert words["filmed"] == "a hand before the mouth"
    assert words["fit"] == "a is off; b is off"
    assert review.rows(RATE)[0] == ("0:00:01.200 frame 30-33", "fit: a is off; b is off")


def test_a_doubt_is_marked_wherever_its_footage_is_shown() -> None:
    frames = forth_and_back(40, 100)
    review = review_result(Findings(frames, NEW, doubts=doubt(10, 14, 1.5, 40)), RATE)
    shown = [np.flatnonzero((frames >= 10) & (frames < 14))]
    marked = np.concatenate([np.arange(m.first_frame, m.end_frame) for m in review.markers])
    assert set(np.concatenate(shown)) <= set(marked)
    assert len(review.markers) == 3


def test_a_doubt_under_the_filmed_mouth_is_none() -> None:
    strength = NEW.copy()
    strength[:50] = 0
    assert not review_result(Findings(FRAMES, strength, doubts=doubt(30, 34, 2.0)), RATE).markers
    half = review_result(Findings(FRAMES, strength, doubts=doubt(45, 55, 2.0)), RATE)
    assert spans(half.markers) == [("fit", 50, 55)]


def test_a_single_slight_doubt_is_not_worth_a_look() -> None:
    assert not review_result(Findings(FRAMES, NEW, doubts=doubt(30, 31, 1.1)), RATE).markers
    assert review_result(Findings(FRAMES, NEW, doubts=doubt(30, 34, 1.1)), RATE).markers
    assert review_result(Findings(FRAMES, NEW, doubts=doubt(30, 31, 1.6)), RATE).markers


def test_a_longer_fallback_is_graver() -> None:
    short, long = (
        review_result(Findings(FRAMES, NEW, [(0, end, "hand")]), RATE).markers[0] for end in (3, 50)
    )
    assert short.severity < 2 <= long.severity
    assert long.colour == "RED"


def test_near_markers_of_a_kind_are_one() -> None:
    stays = [(0, 5, "blur"), (8, 20, "a hand"), (80, 85, "blur")]
    review = review_result(Findings(FRAMES, NEW, stays), RATE)
    assert spans(review.markers) == [("filmed", 0, 20), ("filmed", 80, 85)]
    assert {m.words for m in review.markers} == {"a hand (and 1 more)", "blur"}


def test_there_are_few_and_the_gravest_stay() -> None:
    frames, new = np.arange(50_000), np.ones(50_000, np.float32)
    turns = list(range(0, 50_000, 150))
    found = Findings(frames, new, turns=turns, fallbacks=[(40_000, 40_100, "hand")])
    review = review_result(found, RATE)
    assert len(review.markers) == 20
    assert review.markers[0].kind == "filmed"
    assert review.left_out == len(turns) + 1 - 20
    assert f"{review.left_out} slighter" in review.rows(RATE)[-1][1]
    close = review_result(Findings(frames, new, turns=list(range(0, 2000, 20))), RATE)
    assert len(close.markers) <= 20  # a wider gap makes one of many
    assert not close.left_out


def test_findings_belong_to_one_result() -> None:
    with pytest.raises(ShapeError, match="strength"):
        Findings(FRAMES, NEW[1:])


@pytest.mark.parametrize("ending", ENDINGS)
def test_lists_are_written_by_their_ending(tmp_path: Path, ending: str) -> None:
    reel = Reel(tmp_path / "dub.mp4", 100, Fraction(25), "01:00:00:00")
    path = tmp_path / f"review{ending}"
    write_markers(path, [Marker(10, 20, "filmed", "hånd", 2.0)], reel)
    assert "hånd" in path.read_text(encoding="utf-8")
    if ending == ".txt" or ending == ".csv":
        return
    rate = {"rate": 25} if ending.endswith(".edl") else {}
    timeline = otio.adapters.read_from_file(str(path), **rate)
    assert list(timeline.find_clips())


def test_an_unknown_ending_is_refused_before_work(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"\.otio"):
        require_marker_names([tmp_path / "a.edl", tmp_path / "b.xml"])
    require_marker_names([tmp_path / "A.EDL"])


def test_an_edit_list_of_an_odd_rate_is_told_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    reel = Reel(tmp_path / "dub.mp4", 100, Fraction(1350, 61))
    with caplog.at_level(logging.WARNING):
        write_markers(tmp_path / "a.otio", [], reel)
        assert not caplog.text
        write_markers(tmp_path / "a.edl", [], reel)
    assert "22.131" in caplog.text
    assert "23.976" in caplog.text


def keep_clip(root: Path, landmarks: LandmarkTrack) -> Path:
    """A toy clip taken apart, as its folder is left."""
    keep_fit(root, CLIP.track, CLIP.person)
    frames = len(CLIP.track)
    np.savez(
        root / "fit" / "errors.npz",
        landmark_error_mm=np.zeros(frames),
        colour_error=np.full(frames, 0.02),
        visible_share=np.full(frames, 0.9),
    )
    for stage in ("ingest", "landmarks"):
        (root / stage).mkdir()
        write_manifest(root / stage, finish_manifest(Cause(stage, 1, {}, {}), "", {}, 1.0))
    index = FrameIndex(np.arange(frames), Fraction(1, 25), Fraction(25))
    save_index(root / "ingest" / "frames.npz", index)
    save_landmarks(root / "landmarks" / "landmarks.npz", landmarks)
    return root


def test_the_fit_of_a_folder_is_judged(tmp_path: Path) -> None:
    points = CLIP.landmarks.points.copy()
    points[6:9, :, :2] += 30.0  # the detector sees three frames elsewhere
    off = find_fit_doubts(
        keep_clip(tmp_path / "off", replace(CLIP.landmarks, points=points)), MODEL
    )
    good = find_fit_doubts(keep_clip(tmp_path / "good", CLIP.landmarks), MODEL)
    assert off.badness is not None
    assert good.badness is not None
    assert (off.badness[6:9] > 2).all()
    assert any(doubt.first <= 6 and doubt.end >= 9 for doubt in off.ranges)
    assert not any("landmarks" in doubt.words for doubt in good.ranges)
    assert good.badness[6] < off.badness[6]
