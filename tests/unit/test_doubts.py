"""Which frames to distrust: clean curves, and what is done to them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from metatalk.errors import ShapeError
from metatalk.evaluate.doubts import (
    DoubtRange,
    doubtful_ranges,
    judge_frames,
    rank_frames,
    worst_frames,
    worst_words,
)
from metatalk.evaluate.fit_curves import PARTS, FitCurves

FRAMES = 100


def clean_curves(**changes: Any) -> FitCurves:
    """A hundred frames of a good fit, with some noise in every measure."""
    chance = np.random.default_rng(4)
    noise = lambda level, spread: level + spread * chance.random(FRAMES)  # noqa: E731
    gap = 5 + 5 * np.sin(np.arange(FRAMES) / 4)
    values: dict[str, Any] = {
        "seconds": np.arange(FRAMES) / 25,
        "rate": 25.0,
        "shots": np.array([[0, FRAMES]]),
        "state": np.ones(FRAMES, np.uint8),
        "lip_gap_mm": gap + noise(0, 0.2),
        "seen_gap_mm": gap,
        "width_mm": noise(50, 2),
        "seen_width_mm": noise(50, 2),
        "jaw_mm": noise(3, 1),
        "rotation_deg": np.stack([noise(-5, 2), noise(5, 2), noise(0, 1)], 1),
        "translation_mm": np.stack([noise(0, 5), noise(0, 5), noise(700, 5)], 1),
        "error_mm": noise(0.8, 0.3),
        "part_mm": {part: noise(0.8, 0.4) for part in PARTS},
        "motion_mm": noise(0.2, 0.3),
        "confidence": noise(0.8, 0.1),
        "colour_error": noise(0.02, 0.02),
        "visible_share": noise(0.9, 0.05),
        "light": noise(0.9, 0.02),
        "face_px": noise(300, 5),
        "outside": np.zeros(FRAMES),
        "focal_px": 1500.0,
        "expression": chance.random((FRAMES, 3)),
        "expression_names": ("jawOpen", "mouthPucker", "browInnerUp"),
        "has_units": True,
    }
    return FitCurves(**{**values, **changes})


CLEAN = clean_curves()


def changed(name: str, frames: Any, value: float) -> FitCurves:
    """The clean curves with another value in some frames of one measure."""
    values = getattr(CLEAN, name).astype(float)
    values[frames] = value
    return replace(CLEAN, **{name: values})


def found(curves: FitCurves) -> list[DoubtRange]:
    return doubtful_ranges(judge_frames(curves), curves)


def test_a_good_fit_is_not_doubted() -> None:
    assert found(CLEAN) == []


CASES = {
    "no face": changed("state", 40, 0),
    "interpolated": changed("state", 40, 2),
    "edge": changed("outside", 40, 0.2),
    "small": changed("face_px", 40, 30.0),
    "landmarks": changed("error_mm", 40, 2.0),
    "lips": replace(CLEAN, part_mm={**CLEAN.part_mm, "lips": np.eye(FRAMES)[40] * 3.0}),
    "lip gap": changed("lip_gap_mm", 40, float(CLEAN.seen_gap_mm[40]) + 3.0),
    "confidence": changed("confidence", 40, 0.1),
    "turned": changed("rotation_deg", (slice(None), 1), -55.0),
    "tilted": changed("rotation_deg", (slice(None), 0), 40.0),
    "jump": changed("motion_mm", 40, 6.0),
    "turns": changed("rotation_deg", (slice(40, None), 2), 35.0),
    "approach": changed("translation_mm", (slice(40, None), 2), 900.0),
    "bounds": changed("expression", (40, 1), -0.3),
    "colours": changed("colour_error", 40, 0.2),
    "hidden": changed("visible_share", 40, 0.65),
}


@pytest.mark.parametrize("kind", CASES)
def test_each_fault_is_found_for_its_own_reason(kind: str) -> None:
    ranges = found(CASES[kind])
    assert [reason.kind for doubt in ranges for reason in doubt.reasons] == [kind]
    whole_clip = kind in ("turned", "tilted")
    assert (ranges[0].first, ranges[0].end) == ((0, FRAMES) if whole_clip else (40, 41))
    assert all(ord(letter) < 128 for letter in ranges[0].words)  # films are lettered in ASCII


@pytest.mark.parametrize(("unit", "mode"), [(1.1, 1.1), (0.0, 0.0), (-0.1, -3.0)])
def test_expression_within_its_bounds_is_not_doubted(unit: float, mode: float) -> None:
    assert found(changed("expression", (40, 1), unit)) == []
    assert found(replace(changed("expression", (40, 1), mode), has_units=False)) == []


def test_statistical_modes_are_counted_in_deviations() -> None:
    ranges = found(replace(changed("expression", (40, 1), -4.0), has_units=False))
    assert [reason.kind for reason in ranges[0].reasons] == ["bounds"]


def test_a_coarse_clip_is_not_doubted_as_a_whole() -> None:
    assert found(replace(CLEAN, error_mm=CLEAN.error_mm + 1.0)) == []
    whole = found(replace(CLEAN, error_mm=CLEAN.error_mm + 3.0))
    assert [(doubt.first, doubt.end) for doubt in whole] == [(0, FRAMES)]


def test_neighbouring_doubts_are_one_and_distant_ones_are_two() -> None:
    near, far = changed("error_mm", [40, 44], 2.9), changed("error_mm", [40, 60], 2.9)
    assert [(doubt.first, doubt.end) for doubt in found(near)] == [(40, 45)]
    assert found(near)[0].reasons[0].frames == 2
    assert [(doubt.first, doubt.end) for doubt in found(far)] == [(40, 41), (60, 61)]


def test_no_doubt_runs_across_a_cut() -> None:
    curves = replace(
        changed("error_mm", [48, 49, 50, 51], 2.9), shots=np.array([[0, 50], [50, FRAMES]])
    )
    assert [(doubt.first, doubt.end) for doubt in found(curves)] == [(48, 50), (50, 52)]


def test_a_cut_is_no_jump() -> None:
    moved = changed("translation_mm", (slice(50, None), 2), 1200.0)
    assert found(moved) != []
    assert found(replace(moved, shots=np.array([[0, 50], [50, FRAMES]]))) == []


def test_the_most_severe_reason_comes_first() -> None:
    curves = replace(changed("error_mm", 40, 2.6), outside=np.eye(FRAMES)[40])
    assert [reason.kind for reason in found(curves)[0].reasons] == ["edge", "landmarks"]
    assert "100 % of the face outside" in found(curves)[0].words


def test_the_reason_names_the_part() -> None:
    parts = {**CLEAN.part_mm, "brows": CLEAN.part_mm["brows"] + 1.5 * np.eye(FRAMES)[40]}
    curves = replace(changed("error_mm", 40, 3.1), part_mm=parts)
    assert found(curves)[0].words == "landmarks 3.1 mm off, most unusual at the brows"


def test_a_frame_in_no_doubt_is_told_by_its_landmarks() -> None:
    judgements = judge_frames(changed("outside", 40, 0.2))
    assert worst_words(judgements, 40) == "20 % of the face outside the picture"
    assert worst_words(judgements, 41).startswith("landmarks ")


def test_colours_that_are_off_all_along_are_no_doubt() -> None:
    assert found(replace(CLEAN, colour_error=CLEAN.colour_error + 0.1)) == []


def test_frames_without_a_face_are_not_ranked_and_have_nan() -> None:
    nan = np.where(np.arange(FRAMES) < 10, np.nan, 1.0)
    curves = replace(
        CLEAN,
        state=np.where(np.arange(FRAMES) < 10, 0, 1),
        error_mm=CLEAN.error_mm * nan,
        rotation_deg=CLEAN.rotation_deg * nan[:, None],
        expression=CLEAN.expression * nan[:, None],
    )
    assert [(doubt.first, doubt.end) for doubt in found(curves)] == [(0, 10)]
    badness = rank_frames(judge_frames(curves))
    assert np.isnan(badness[:10]).all()
    assert np.isfinite(badness[10:]).all()
    assert min(worst_frames(badness, FRAMES, 1)) == 10


def test_the_worst_frames_are_the_worst_and_apart() -> None:
    badness = np.zeros(50)
    badness[[10, 11, 12, 30, 40]] = [3.0, 4.0, 3.5, 2.0, 5.0]
    assert worst_frames(badness, 3, apart=3) == [40, 11, 30]
    assert worst_frames(badness, 4, apart=1)[:4] == [40, 11, 12, 10]
    assert worst_frames(np.full(5, np.nan), 4, apart=1) == []


def test_curves_of_different_lengths_are_refused() -> None:
    with pytest.raises(ShapeError, match="error_mm"):
        clean_curves(error_mm=np.zeros(3))
    with pytest.raises(ShapeError, match="colour_error"):
        clean_curves(colour_error=np.zeros(3))
