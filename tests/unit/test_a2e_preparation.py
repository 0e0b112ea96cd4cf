"""What a model knows before any training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from a2e_toys import HEARD, QUICK, toy_ears, toy_footage

from metatalk.a2e.features import measure_stats
from metatalk.a2e.footage import Footage
from metatalk.a2e.hearing import Ears, Stream
from metatalk.a2e.preparation import measure_heard, prepare_model
from metatalk.a2e.training import make_lesson
from metatalk.a2e.windows import Lesson


def toy_lesson(footage: Footage | None = None) -> Lesson:
    return make_lesson(footage or toy_footage(4.0), QUICK, ears=toy_ears())


def in_two_voices(lesson: Lesson) -> Lesson:
    """The same words again, all ranges of frequency as loud as the others were."""
    other = replace(lesson.sound, mel=lesson.mel[::-1].copy(), heard=lesson.sound.heard * 0.5)
    return replace(lesson, takes=(lesson.sound, other))


def test_streams_keep_their_proportions_and_mfcc_has_norms_of_its_own() -> None:
    hear = lambda samples, columns: np.zeros((2, columns))  # noqa: E731
    ears = Ears((Stream("speech", 2, hear, "a"), Stream("mfcc", 2, hear, "b")))
    heard = np.random.default_rng(0).normal(size=(4, 500)).astype(np.float32)
    heard = heard * [[1], [3], [10], [0.1]] + [[0], [0], [50], [-2]]
    mean, deviation = (part.numpy() for part in measure_heard(heard, ears))
    np.testing.assert_allclose(mean[:2], 0)
    assert deviation[0] == deviation[1]
    normal = (heard - mean[:, None]) / deviation[:, None]
    np.testing.assert_allclose(np.square(normal[:2]).mean(), 1, atol=1e-4)
    np.testing.assert_allclose(normal[2:].mean(axis=1), 0, atol=1e-4)
    np.testing.assert_allclose(normal[2:].std(axis=1), 1, atol=1e-4)


def test_streams_that_say_nothing_are_not_blown_up() -> None:
    mean, deviation = measure_heard(np.zeros((HEARD, 50), np.float32), toy_ears())
    assert mean.tolist() == [0] * HEARD
    assert (deviation > 0).all()


def test_it_knows_the_footage_and_its_ears() -> None:
    lesson = toy_lesson()
    model = prepare_model(lesson, lesson.known, QUICK, toy_ears())
    assert not model.training
    model.require_ears(toy_ears())
    stats = measure_stats(lesson.mel[:, lesson.known])
    np.testing.assert_allclose(model.stats.mean, stats.mean)
    np.testing.assert_allclose(model.stats.deviation, stats.deviation)
    assert len(model.seen) == len(lesson.targets[lesson.known][::2])
    assert len(model.kernel.centres) == lesson.known[::2].sum()


def test_only_what_may_be_learned_is_looked_at() -> None:
    lesson = toy_lesson()
    usable = lesson.known & (np.arange(len(lesson.known)) < 160)
    spoiled = replace(lesson, targets=lesson.targets.copy())
    spoiled.targets[~usable] = 1e3
    model, same = (prepare_model(each, usable, QUICK, toy_ears()) for each in (lesson, spoiled))
    for name, value in model.state_dict().items():
        assert torch.equal(value, same.state_dict()[name]), name


def test_the_kernel_remembers_the_actors_own_voice_alone() -> None:
    lesson = toy_lesson()
    model, same = (
        prepare_model(each, lesson.known, QUICK, toy_ears())
        for each in (lesson, in_two_voices(lesson))
    )
    assert torch.equal(model.kernel.centres, same.kernel.centres)
    # What it remembers it can repeat, as far as the ridge lets it.
    features = model.normalise(lesson.sound, model.stats)[None]
    made = model.kernel(features)[0].T.numpy()[lesson.known[::2]]
    real = lesson.targets[::2][lesson.known[::2]]
    assert np.square(made - real).mean() < 0.1 * real.var()


def test_without_a_kernel_nothing_is_remembered() -> None:
    lesson = toy_lesson()
    alone = replace(QUICK, kernel=replace(QUICK.kernel, share=0.0))
    for config in (replace(QUICK, network="tcn"), alone):
        model = prepare_model(lesson, lesson.known, config, toy_ears())
        assert model.kernel.centres.numel() == model.kernel.axes.numel() == 0


def test_the_mouth_rests_as_closed_as_the_actor_rests_it() -> None:
    footage = toy_footage(6.0)
    samples, mouth = footage.samples.copy(), footage.mouth.copy()
    samples[: 3 * 16_000] = 0
    mouth[:75] = np.linspace(0, 2, 75)[:, None]  # coordinate 0 opens the lips over the pause
    quiet = replace(footage, samples=samples, mouth=mouth)
    lips = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]], np.float32)
    rests = []
    for known in (None, lips, -lips):
        lesson = toy_lesson(replace(quiet, lips=known))
        assert (lesson.opening is None) == (known is None)
        rests.append(prepare_model(lesson, lesson.known, QUICK, toy_ears()).rest.tolist())
    settled = 1.83  # the pause without the moments before the first word
    np.testing.assert_allclose(rests[0], settled / 2, atol=0.05)
    np.testing.assert_allclose(rests[1], settled / 4, atol=0.05)
    np.testing.assert_allclose(rests[2], 3 * settled / 4, atol=0.05)
