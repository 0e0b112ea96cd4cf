"""A chin that lies elsewhere is found there, by so many millimetres."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from metatalk.errors import ShapeError
from metatalk.evaluate.chin import (
    STEPS,
    ChinErrors,
    chin_offsets,
    jaw_profiles,
    usual_profiles,
)
from metatalk.render.silhouette import JawLine, trace_jaw

SIZE, FACE_PX, FACE_MM = 256, 240.0, 140.0


def face(depth: float) -> np.ndarray:
    mask = np.zeros((SIZE, SIZE), np.uint8)
    cv2.ellipse(mask, (128, 90), (80, round(depth)), 0, 0, 360, 255, -1)
    return mask


def picture(depth: float, seed: int, rim: int = 8) -> np.ndarray:
    """Skin on a neck, with a dark beard that reaches `rim` pixels beyond the mesh's chin."""
    chance = np.random.default_rng(seed)
    seen = np.full((SIZE, SIZE), 150.0)
    seen[face(depth + rim) > 0] = 60
    seen[face(depth - 12) > 0] = 130
    seen = cv2.GaussianBlur(seen, (0, 0), 1.5) + chance.normal(0, 6, seen.shape)
    return np.repeat(np.clip(seen, 0, 255).astype(np.uint8)[..., None], 3, 2)


def real() -> tuple[list[np.ndarray], list[JawLine], np.ndarray]:
    depths = [92, 96, 100, 104, 108]
    pictures = [picture(depth, number) for number, depth in enumerate(depths)]
    lines = [trace_jaw(face(depth)) for depth in depths]
    usual = usual_profiles(
        [jaw_profiles(seen, line, FACE_PX) for seen, line in zip(pictures, lines, strict=True)]
    )
    return pictures, lines, usual


def errors(pictures: list[np.ndarray], lines: list[JawLine], usual: np.ndarray) -> ChinErrors:
    """How far the chins of some frames lie from the jaw lines that they are to show."""
    offsets = [
        chin_offsets(jaw_profiles(seen, line, FACE_PX), usual)
        for seen, line in zip(pictures, lines, strict=True)
    ]
    return ChinErrors(np.stack(offsets) * FACE_MM, FACE_MM)


def test_real_frames_have_their_chins_where_they_belong():
    made = errors(*real())
    assert made.mean_mm < 0.4
    assert made.mean_percent == pytest.approx(100 * made.mean_mm / FACE_MM)
    assert np.isfinite(made.offset_mm).mean() > 0.95


@pytest.mark.parametrize("wrong_px", [-12, -6, -3, 3, 6, 12])
def test_a_chin_that_was_left_behind_is_measured(wrong_px: int):
    _, lines, usual = real()
    pictures = [picture(100 + wrong_px, 9)]
    made = errors(pictures, [lines[2]], usual)
    middle = made.offset_mm[0, 12:21]  # around the chin's lowest point
    assert np.nanmean(middle) == pytest.approx(wrong_px * FACE_MM / FACE_PX, abs=0.9)


@pytest.mark.parametrize("moved_mm", [-6.0, -2.0, 2.0, 6.0])
def test_a_mesh_that_is_moved_is_noticed_by_as_much(moved_mm: float):
    pictures, lines, usual = real()
    step = moved_mm * FACE_PX / FACE_MM
    wrong = [JawLine(line.points + step * line.normals, line.normals) for line in lines]
    made = errors(pictures, wrong, usual)
    assert np.nanmean(made.offset_mm) == pytest.approx(-moved_mm, abs=0.3)
    assert made.mean_mm == pytest.approx(abs(moved_mm), abs=0.4)


def test_where_nothing_like_a_jaw_line_is_seen_nothing_is_said():
    _, lines, usual = real()
    chance = np.random.default_rng(5)
    noise = chance.integers(0, 255, (SIZE, SIZE, 3), dtype=np.uint8)
    made = errors([noise], [lines[0]], usual)
    assert np.isnan(made.offset_mm).mean() > 0.5


def test_a_jaw_line_outside_the_crop_is_left_out():
    _, lines, usual = real()
    low = JawLine(lines[0].points + np.array([0.0, 120.0]), lines[0].normals)
    profiles = jaw_profiles(picture(92, 1), low, FACE_PX)
    assert np.isnan(profiles[16]).all()
    assert np.isnan(chin_offsets(profiles, usual)[16])
    nothing = errors([picture(92, 1)], [JawLine(low.points + 300, low.normals)], usual)
    assert np.isnan(nothing.mean_mm)


def test_profiles_must_belong_together():
    _, _, usual = real()
    with pytest.raises(ShapeError):
        chin_offsets(usual[:5], usual)


def test_a_jaw_line_is_not_learned_from_nothing():
    with pytest.raises(ShapeError, match="no frame"):
        usual_profiles([])
    with pytest.raises(ShapeError):
        usual_profiles([np.zeros((33, STEPS - 1))])


def test_frames_in_which_too_little_is_seen_do_not_count():
    unseen = np.full((3, 20), np.nan)
    unseen[0], unseen[1, :6], unseen[2, :5] = 2.0, -4.0, 9.0
    made = ChinErrors(unseen, FACE_MM)
    np.testing.assert_allclose(made.per_frame_mm, [2.0, 4.0, np.nan])
    assert made.mean_mm == pytest.approx(3.0)
    assert np.isnan(ChinErrors(unseen[2:], FACE_MM).mean_mm)
