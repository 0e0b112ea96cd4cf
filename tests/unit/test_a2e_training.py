"""Learning a toy speaker, whole: train, store, predict."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from a2e_toys import QUICK, RATE, toy_footage, toy_speech

from metatalk.a2e.architectures.config import EnsembleConfig
from metatalk.a2e.model import MouthModel
from metatalk.a2e.predict import predict_mouth
from metatalk.a2e.rest import find_rest
from metatalk.a2e.training import Exam, Journal, make_lesson, split_known, train_a2e
from metatalk.errors import FittingError, MediaError
from metatalk.lipsync.mel import wav2lip_mel


@pytest.fixture(scope="module")
def trained() -> tuple[MouthModel, dict[str, float]]:
    return train_a2e(toy_footage(8.0), QUICK, seed=0)


def test_it_learns_speech_it_never_heard(trained) -> None:
    samples, mouth = toy_speech(4.0, seed=7)
    times = np.arange(100) / 25
    made = predict_mouth(trained[0], samples, times, QUICK)
    real = mouth[(times * RATE).astype(int)]
    assert made.shape == (100, 2)
    assert made.dtype == np.float32
    assert np.corrcoef(made[:, 0], real[:, 0])[0, 1] > 0.8


def test_it_says_how_good_it_is(trained) -> None:
    metrics = trained[1]
    assert 0 < metrics["held_out_error"] < 0.7
    assert metrics["held_out_r_1"] > 0.7
    assert metrics["footage_s"] == pytest.approx(8.0, abs=0.2)
    assert metrics["steps"] <= QUICK.steps_for(8.0)


def test_any_frame_rate_reads_the_same_movement(trained) -> None:
    samples = toy_speech(2.0, seed=3)[0]
    slow, fast = (np.arange(2 * fps) / fps for fps in (25, 50))
    made_slow, made_fast = (predict_mouth(trained[0], samples, t, QUICK) for t in (slow, fast))
    np.testing.assert_allclose(made_fast[::2], made_slow, atol=1e-5)


@pytest.mark.parametrize("seconds", [0.0, 0.01, 3.0])
def test_silence_is_the_rest_pose(trained, seconds: float) -> None:
    silent = np.zeros(int(seconds * RATE), np.float32)
    made = predict_mouth(trained[0], silent, np.arange(75) / 25, QUICK)
    np.testing.assert_allclose(made, trained[0].rest.expand(75, -1).numpy(), atol=1e-5)


def test_the_mouth_rests_after_the_recording(trained) -> None:
    made = predict_mouth(trained[0], toy_speech(1.0)[0], np.arange(75) / 25, QUICK)
    np.testing.assert_allclose(made[50:], trained[0].rest.expand(25, -1).numpy(), atol=1e-3)


def test_amplitude_stretches_about_the_rest(trained) -> None:
    samples, times = toy_speech(1.0)[0], np.arange(25) / 25
    wide = dataclasses.replace(QUICK, amplitude=1.5)
    plain, wider = (predict_mouth(trained[0], samples, times, c) for c in (QUICK, wide))
    rest = trained[0].rest.numpy()
    np.testing.assert_allclose(wider - rest, 1.5 * (plain - rest), atol=1e-4)


def test_smoothing_takes_the_jitter(trained) -> None:
    samples, times = toy_speech(2.0)[0], np.arange(50) / 25
    smooth = dataclasses.replace(QUICK, smooth_s=0.05)
    rough, calm = (predict_mouth(trained[0], samples, times, c) for c in (QUICK, smooth))
    assert np.square(np.diff(calm, 2, axis=0)).sum() < np.square(np.diff(rough, 2, axis=0)).sum()


def test_a_seed_decides_everything() -> None:
    config = dataclasses.replace(QUICK, steps=10)
    first, again, other = (
        train_a2e(toy_footage(4.0), config, seed)[0].networks.state_dict() for seed in (1, 1, 2)
    )
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


class _KilledError(Exception):
    pass


@pytest.mark.parametrize("after", [1, 6, 11, 13])
def test_a_killed_training_goes_on_where_it_was(after: int, tmp_path) -> None:
    config = dataclasses.replace(QUICK, steps=20, ensemble=EnsembleConfig(members=1))
    footage, file = toy_footage(8.0), tmp_path / "checkpoint.pt"
    whole, marks = train_a2e(footage, config)
    saves = 0

    def save(checkpoint) -> None:
        nonlocal saves
        torch.save(checkpoint, file)
        saves += 1
        if saves == after:
            raise _KilledError

    def load():
        return torch.load(file, weights_only=True) if file.exists() else None

    with pytest.raises(_KilledError):
        train_a2e(footage, config, journal=Journal(save=save, load=load))
    resumed, marks_again = train_a2e(footage, config, journal=Journal(load=load))
    state, state_again = whole.state_dict(), resumed.state_dict()
    assert all(torch.equal(state[name], state_again[name]) for name in state)
    assert marks["held_out_error"] == marks_again["held_out_error"]


def test_progress_goes_from_none_to_all() -> None:
    seen: list[tuple[int, int | None]] = []
    journal = Journal(progress=lambda done, total, note="": seen.append((done, total)))
    train_a2e(toy_footage(8.0), dataclasses.replace(QUICK, steps=20), journal=journal)
    done = [step for step, _ in seen]
    assert done == sorted(done)
    assert seen[-1][0] == seen[-1][1]


def test_footage_too_short_to_be_measured_still_teaches() -> None:
    _, metrics = train_a2e(toy_footage(3.0), dataclasses.replace(QUICK, steps=5))
    assert "held_out_error" not in metrics


def test_a_few_frames_are_refused() -> None:
    with pytest.raises(FittingError, match=r"0\.\d s"):
        make_lesson(toy_footage(0.2), QUICK)


def test_a_silent_sound_track_is_refused() -> None:
    footage = toy_footage(3.0)
    silent = dataclasses.replace(footage, samples=np.zeros_like(footage.samples))
    with pytest.raises(MediaError, match="silent"):
        make_lesson(silent, QUICK)


def test_footage_without_a_face_is_refused() -> None:
    footage = toy_footage(3.0)
    hidden = dataclasses.replace(footage, has_face=np.zeros_like(footage.has_face))
    with pytest.raises(FittingError):
        make_lesson(hidden, QUICK)


def test_the_held_out_part_is_the_end() -> None:
    known = np.ones(100, bool)
    known[20:30] = False
    learned, asked = split_known(known, 0.2)
    assert learned.sum() == 72
    assert asked.sum() == 18
    assert np.flatnonzero(learned).max() < np.flatnonzero(asked).min()


def test_visible_coordinates_weigh_more() -> None:
    footage = dataclasses.replace(toy_footage(2.0), scale=np.array([3.0, 1.0]))
    np.testing.assert_allclose(footage.weights().coordinates.numpy(), [1.5, 0.5])


def test_rest_is_learned_in_the_pauses() -> None:
    samples, mouth = toy_speech(4.0)
    samples[:24_000] = 0
    mel = wav2lip_mel(samples)
    targets = np.repeat(mouth[::200][: mel.shape[1]], 1, axis=0)
    targets = np.pad(targets, ((0, mel.shape[1] - len(targets)), (0, 0)), mode="edge")
    targets[:120] = -2.0
    known = np.ones(len(targets), bool)
    np.testing.assert_allclose(find_rest(mel, targets, known), -2.0)


def test_liveliness_is_given_back_as_far_as_the_model_is_right() -> None:
    exam = Exam(10, 0.5, [1.0, 0.5, -0.3], [1.5, 1.5, 1.5])
    np.testing.assert_allclose(exam.gain_given(1.0).numpy(), [1.5, 1.5**0.5, 1.0], rtol=1e-6)
    np.testing.assert_allclose(exam.gain_given(0.5).numpy(), [1.5**0.5, 1.5**0.25, 1.0], rtol=1e-6)
    assert exam.gain_given(0.0).tolist() == [1, 1, 1]
    not_sat = Exam(10, math.inf, [], [1.0, 1.0])
    assert not_sat.gain_given(1.0).tolist() == [1, 1]
    assert not_sat.metrics() == {"steps": 10}


def test_an_exam_says_what_it_measured() -> None:
    marks = Exam(10, 0.5, [0.9, 0.8], [1.0, 1.0], [0.7, 0.6], 0.3).metrics()
    assert marks == {
        "steps": 10,
        "held_out_error": 0.5,
        "held_out_r_1": 0.9,
        "held_out_r_2": 0.8,
        "held_out_gap_r": 0.7,
        "held_out_width_r": 0.6,
    }
