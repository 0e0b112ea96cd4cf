"""Curves of a fit, on footage of the toy head whose truth is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from face_toys import CAMERA, ToyClip, toy_clip, toy_model

from metatalk.evaluate.fit_curves import PARTS, FitCurves, measure_curves
from metatalk.fitting.reconstruct import Reconstruction
from metatalk.fitting.trust import Trust
from metatalk.landmarks.points import IBUG68
from metatalk.landmarks.track import LandmarkTrack

MODEL, FRAMES, RATE = toy_model(), 12, 25.0
CLIP = toy_clip(MODEL, FRAMES, torch.tensor([0.4, -0.2, 0.1]))
MM_PER_PX = (CLIP.track.translation[:, 2] / CAMERA.focal_px).numpy()


def curves_of(clip: ToyClip, landmarks: LandmarkTrack | None = None) -> FitCurves:
    trust = Trust(clip.track.confidence.numpy(), np.full(FRAMES, 0.02), np.full(FRAMES, 0.9))
    found = Reconstruction(clip.person, clip.track, CAMERA, np.zeros(FRAMES), trust)
    seconds = np.arange(FRAMES) / RATE
    return measure_curves(MODEL, found, landmarks or clip.landmarks, seconds, RATE)


def moved(by_px: np.ndarray) -> LandmarkTrack:
    """The clip's landmarks, moved by (T, L, 2) or what broadcasts to it."""
    points = CLIP.landmarks.points.copy()
    points[..., :2] += by_px
    return replace(CLIP.landmarks, points=points)


def test_the_truth_agrees_with_what_was_seen() -> None:
    curves = curves_of(CLIP)
    np.testing.assert_allclose(curves.lip_gap_mm, curves.seen_gap_mm, atol=1e-3)
    np.testing.assert_allclose(curves.width_mm, curves.seen_width_mm, atol=1e-3)
    assert max(curves.part_mm[part].max() for part in PARTS) < 1e-3
    assert curves.motion_mm.max() < 1e-3
    np.testing.assert_allclose(curves.light, 0.8, atol=1e-5)  # the toy clip's ambient light
    np.testing.assert_allclose(
        curves.rotation_deg, np.degrees(CLIP.track.rotation.numpy()), atol=1e-5
    )


def test_an_offset_in_pixels_is_that_many_millimetres() -> None:
    curves = curves_of(CLIP, moved(np.array([3.0, 4.0])))
    for part in PARTS:
        np.testing.assert_allclose(curves.part_mm[part], 5.0 * MM_PER_PX, rtol=1e-3)
    assert curves.motion_mm.max() < 1e-2  # it is the same in every frame


def test_a_step_of_the_detector_is_motion_of_one_frame_in_each_run() -> None:
    step = (np.arange(FRAMES) >= 6)[:, None, None] * np.array([3.0, 4.0])
    motion = curves_of(CLIP, moved(step)).motion_mm
    np.testing.assert_allclose(motion[6], 5.0 * MM_PER_PX[6], rtol=1e-3)
    assert np.delete(motion, 6).max() < 1e-2
    cut = replace(moved(step), shots=np.array([[0, 6], [6, FRAMES]]))
    assert curves_of(CLIP, cut).motion_mm.max() < 1e-2


def test_the_jaw_drops_by_what_expression_does_on_the_mesh() -> None:
    resting = replace(CLIP, track=CLIP.track.with_expression(torch.zeros(FRAMES, 4)))
    assert np.abs(curves_of(resting).jaw_mm).max() < 1e-4
    turned = replace(CLIP, track=replace(CLIP.track, rotation=CLIP.track.rotation + 0.3))
    np.testing.assert_allclose(curves_of(turned).jaw_mm, curves_of(CLIP).jaw_mm, atol=1e-4)


def test_frames_without_a_face_have_no_values() -> None:
    state, points = CLIP.landmarks.state.copy(), CLIP.landmarks.points.copy()
    state[3], points[3] = 0, np.nan
    curves = curves_of(CLIP, replace(CLIP.landmarks, state=state, points=points))
    for values in (curves.lip_gap_mm, curves.light, curves.motion_mm, curves.visible_share):
        assert np.isnan(values[3])
        assert np.isfinite(np.delete(values, 3)).all()
    assert curves.worst_part(3) == "face"


def test_the_worst_part_is_the_one_that_moved() -> None:
    by = np.zeros((FRAMES, 68, 2))
    by[:, list(IBUG68.jaw)] = 8.0  # always, so nothing unusual
    by[5, list(IBUG68.brows)] = 6.0
    assert curves_of(CLIP, moved(by)).worst_part(5) == "brows"


@pytest.mark.parametrize("x_mm", [0.0, 4000.0])
def test_what_lies_beyond_the_edge_is_counted(x_mm: float) -> None:
    track = replace(CLIP.track, translation=torch.tensor([x_mm, 0.0, 900.0]).expand(FRAMES, 3))
    outside = curves_of(replace(CLIP, track=track)).outside
    np.testing.assert_allclose(outside, 1.0 if x_mm else 0.0)
