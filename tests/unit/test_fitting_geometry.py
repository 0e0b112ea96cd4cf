"""Identity, pose and expression of a whole clip from its landmarks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from face_toys import CAMERA, FREE, toy_clip, toy_model
from hypothesis import given, settings
from hypothesis import strategies as st

from metatalk.errors import FittingError, ShapeError
from metatalk.fitting.config import FitConfig
from metatalk.fitting.geometry import Geometry, fit_geometry, prepare_clip
from metatalk.fitting.keyframes import choose_keyframes
from metatalk.fitting.smoothing import smooth
from metatalk.landmarks.track import LandmarkTrack

MODEL = toy_model()
IDENTITY = torch.tensor([0.8, -0.6, 0.4])
CLIP = toy_clip(MODEL, 14, IDENTITY)
WITH_GAP = replace(
    CLIP.landmarks,
    points=np.where(np.arange(14)[:, None, None] // 3 == 2, np.nan, CLIP.landmarks.points),
    state=np.where(np.arange(14) // 3 == 2, 0, 1).astype(np.uint8),
    confidence=np.where(np.arange(14) // 3 == 2, 0, 1).astype(np.float32),
)  # no face in frames 6, 7 and 8


def fit(landmarks: LandmarkTrack, config: FitConfig = FREE, **words) -> Geometry:
    return fit_geometry(MODEL, landmarks, CAMERA.width, CAMERA.height, 25.0, config, **words)


def keyframes_of(landmarks: LandmarkTrack) -> list[int]:
    size = (CAMERA.width, CAMERA.height)
    return prepare_clip(MODEL, landmarks, size, 25.0, FREE).keyframes.tolist()


@pytest.fixture(scope="module")
def found() -> Geometry:
    return fit(CLIP.landmarks)


def test_a_clip_is_taken_apart(found: Geometry):
    assert found.error_mm.max() < 0.3
    torch.testing.assert_close(found.rotation, CLIP.track.rotation, atol=0.03, rtol=0)
    torch.testing.assert_close(
        found.expression[:, :3], CLIP.track.expression[:, :3], atol=0.1, rtol=0
    )
    assert found.focal_px == pytest.approx(CAMERA.focal_px, rel=0.15)


def test_a_known_identity_is_not_touched(found: Geometry):
    known = IDENTITY.clone()
    again = fit(CLIP.landmarks, identity=known)
    assert again.identity.equal(IDENTITY)
    assert known.equal(IDENTITY)
    assert not found.identity.equal(IDENTITY)
    assert again.error_mm.max() < 0.3


def test_batches_do_not_change_the_answer(found: Geometry):
    small = fit(CLIP.landmarks, replace(FREE, batch=3))
    for name in ("expression", "rotation", "translation", "error_mm"):
        torch.testing.assert_close(getattr(small, name), getattr(found, name), atol=2e-2, rtol=1e-4)


def test_progress_rises_to_the_end():
    told: list[tuple[int, int]] = []
    fit(CLIP.landmarks, replace(FREE, batch=5), report=lambda *step: told.append(step))
    done = [step for step, _ in told]
    assert done == sorted(done)
    assert done[-1] == 14
    assert {total for _, total in told} == {14}


def test_frames_without_a_face_take_their_neighbours_values():
    found = fit(WITH_GAP)
    assert found.error_mm.isnan().tolist() == [frame // 3 == 2 for frame in range(14)]
    for values in (found.expression, found.rotation, found.translation):
        assert values.isfinite().all()
        assert values[6].equal(values[5])
        assert values[8].equal(values[9])
    assert not set(keyframes_of(WITH_GAP)) & {6, 7, 8}


def test_smoothing_stays_within_the_runs():
    """What happens behind a gap or a cut leaves no trace before it."""
    config = replace(FREE, pose_smoothing_s=0.08, expression_smoothing_s=0.08)
    cut = replace(WITH_GAP, shots=np.array([[0, 11], [11, 14]]))
    moved = cut.points.copy()
    moved[11:, :, :2] += 8.0  # px
    one = fit(cut, config, identity=IDENTITY)
    other = fit(replace(cut, points=moved), replace(config, keyframes=14), identity=IDENTITY)
    # The focal length is shared: compare what it hardly touches.
    jump = (other.translation - one.translation)[:, 0]
    assert jump[:11].abs().max() < 0.3 * jump[11:].abs().min()


def test_interpolated_frames_are_no_keyframes():
    state = CLIP.landmarks.state.copy()
    state[2:5] = 2
    landmarks = replace(CLIP.landmarks, state=state)
    assert not set(keyframes_of(landmarks)) & {2, 3, 4}
    assert fit(landmarks, identity=IDENTITY).error_mm.isfinite().all()


def test_no_face_is_an_error_with_a_remedy():
    blind = replace(CLIP.landmarks, state=np.zeros(14, np.uint8))
    with pytest.raises(FittingError, match="none of the 14 frames") as caught:
        fit(blind)
    assert caught.value.remedy


def test_one_frame_is_enough():
    single = toy_clip(MODEL, 1, torch.zeros(3))
    found = fit(single.landmarks, FitConfig())
    assert found.expression.shape == (1, 4)
    assert found.error_mm.max() < 2


def test_smooth_keeps_constants_means_and_what_lies_outside():
    values = torch.randn(20, 2, generator=torch.Generator().manual_seed(0))
    out = smooth(values, [(3, 11), (12, 20)], 2.0)
    assert out[:3].equal(values[:3])
    assert out[11].equal(values[11])
    assert out[3:11].std() < values[3:11].std()
    assert smooth(values, [(0, 20)], 0.0).equal(values)
    torch.testing.assert_close(smooth(torch.ones(9, 1), [(0, 9)], 3.0), torch.ones(9, 1))


def test_smoothing_is_zero_phase():
    pulse = torch.zeros(21, 1)
    pulse[10] = 1.0
    out = smooth(pulse, [(0, 21)], 1.5)
    torch.testing.assert_close(out, out.flip(0))
    assert out.argmax() == 10


def test_smoothing_twice_keeps_an_even_acceleration():
    times = torch.arange(41.0)[:, None]
    parabola = 0.5 * times.square() - 3.0 * times
    once, twice = (smooth(parabola, [(0, 41)], 2.0, twice=again) for again in (False, True))
    inner = slice(14, 27)
    torch.testing.assert_close(twice[inner], parabola[inner], atol=1e-2, rtol=0)
    assert (once - parabola)[inner].abs().min() > 1.0
    chance = torch.randn(41, 1, generator=torch.Generator().manual_seed(0))
    assert smooth(chance, [(0, 41)], 2.0, twice=True).std() < 0.7 * chance.std()


def test_keyframes_are_as_different_as_can_be():
    chance = np.random.default_rng(0)
    points = np.tile(chance.normal(size=(1, 68, 2)), (40, 1, 1))
    points += 1e-4 * chance.normal(size=points.shape)
    points[17, 60:] += 3.0
    points[31, :8] -= 3.0
    chosen = choose_keyframes(100 * points + 50, np.ones(40, bool), 3)
    assert {17, 31} < set(chosen.tolist())


def test_where_the_face_is_and_how_large_makes_no_keyframe():
    face = np.random.default_rng(0).normal(size=(68, 2))
    points = np.stack([face * (10 + step) + 7 * step for step in range(20)])
    points[13, 40:] += 40.0
    assert 13 in choose_keyframes(points, np.ones(20, bool), 2)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=25), st.integers(1, 10), st.booleans())
def test_keyframes_are_usable_ascending_and_different(usable: list[bool], count: int, still: bool):
    points = np.random.default_rng(1).normal(size=(len(usable), 5, 2))
    chosen = choose_keyframes(np.zeros_like(points) if still else points, np.array(usable), count)
    assert len(chosen) == min(count, sum(usable))
    assert (np.diff(chosen) > 0).all()
    assert np.array(usable)[chosen].all()


def test_keyframes_check_their_shapes():
    with pytest.raises(ShapeError, match="usable"):
        choose_keyframes(np.zeros((4, 5, 2)), np.ones(3, bool), 2)
