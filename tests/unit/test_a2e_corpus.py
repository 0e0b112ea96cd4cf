"""Several pieces of footage on one timeline: nothing moves, and the clip's end stays held out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from a2e_toys import QUICK, toy_footage

from metatalk.a2e.config import PseudoMixConfig
from metatalk.a2e.corpus import join_footage, known_seconds, match_level, train_with_corpus
from metatalk.a2e.features import blend_stats, measure_stats, normalise_mel
from metatalk.a2e.hearing import open_ears
from metatalk.a2e.learner import Learner
from metatalk.a2e.preparation import prepare_model
from metatalk.a2e.rest import find_rest
from metatalk.a2e.training import make_lesson, split_known, train_a2e
from metatalk.a2e.windows import draw_windows
from metatalk.errors import ConfigError, ShapeError
from metatalk.lipsync.mel import COLUMNS_PER_SECOND

BRIEF = replace(QUICK, steps=8)


def test_the_share_of_pseudo_video_falls_over_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def watched(*how):
        asked.append(how[-1])
        return draw_windows(*how)

    monkeypatch.setattr("metatalk.a2e.learner.draw_windows", watched)
    lesson = make_lesson(join_footage([toy_footage(4.0, 1), toy_footage(4.0, 2)]), BRIEF)
    model = prepare_model(lesson, lesson.known, BRIEF, open_ears(BRIEF))
    weights = toy_footage(4.0).weights()
    learner = Learner(lesson, lesson.known, weights, model, BRIEF, 0)
    list(learner.run(learner.most, 3))
    assert asked[0] == pytest.approx(0.8)
    assert asked[-1] == pytest.approx(0.2 + 0.6 / learner.most)
    assert (np.diff(asked) < 0).all()


def test_a_share_outside_0_to_1_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"a2e\.pseudo\.begin"):
        PseudoMixConfig(begin=1.2)


def test_the_actors_own_norms_and_memories_are_of_the_own_clip_alone() -> None:
    own, other = toy_footage(6.0, 1), toy_footage(6.0, 2)
    alone = make_lesson(own, QUICK)
    mixed = make_lesson(join_footage([other, own]), QUICK)
    forgetful = replace(QUICK, pseudo=PseudoMixConfig(kernel=0.0))
    models = [
        prepare_model(lesson, lesson.known, forgetful, open_ears(forgetful))
        for lesson in (alone, mixed)
    ]
    for name in ("speech_mean", "speech_deviation", "seen", "rest"):
        one, two = (getattr(model, name) for model in models)
        torch.testing.assert_close(one, two, atol=1e-3, rtol=1e-3)
    assert len(models[0].kernel.centres) == len(models[1].kernel.centres)
    weighed = replace(QUICK, pseudo=PseudoMixConfig(kernel=0.5))
    remembers = prepare_model(mixed, mixed.known, weighed, open_ears(weighed))
    assert len(remembers.kernel.centres) > 1.8 * len(models[0].kernel.centres)


def test_a_single_piece_comes_back_as_it_is() -> None:
    own = toy_footage(2.0)
    assert join_footage([own]) is own


def standard(mel: np.ndarray) -> np.ndarray:
    """Each band about its own mean: what is left where only level and colour may change."""
    return (mel - mel.mean(axis=1, keepdims=True)) / (mel.std(axis=1, keepdims=True) + 1e-3)


def test_every_piece_keeps_its_sound_its_mouth_and_its_clock() -> None:
    parts = [toy_footage(1.3, 1), toy_footage(2.07, 2, 30.0), toy_footage(3.0, 3)]
    whole = join_footage(parts)
    joined = make_lesson(whole, QUICK)
    assert len(whole.begins_s) == 3
    for part, begin_s in zip(parts, whole.begins_s, strict=True):
        alone = make_lesson(part, QUICK)
        start, columns = round(begin_s * COLUMNS_PER_SECOND), alone.mel.shape[1]
        assert start == begin_s * COLUMNS_PER_SECOND
        assert start % 2 == 0  # the networks' steps fall on the same columns
        place = slice(start, start + columns)
        inner = slice(4, columns - 4)
        heard = joined.mel[:, place][:, inner]
        apart = np.abs(standard(heard) - standard(alone.mel[:, inner]))
        assert np.percentile(apart, 85) < 0.02  # far values are clipped
        np.testing.assert_array_equal(joined.known[place], alone.known)
        np.testing.assert_allclose(
            joined.targets[place][alone.known], alone.targets[alone.known], atol=1e-4
        )
    assert joined.known.sum() == sum(make_lesson(part, QUICK).known.sum() for part in parts)
    assert joined.own is not None
    assert np.flatnonzero(joined.own)[0] == round(whole.begins_s[-1] * COLUMNS_PER_SECOND)
    own = make_lesson(parts[-1], QUICK).mel
    np.testing.assert_allclose(joined.mel[:, joined.own], own, atol=1e-5)  # untouched


def test_every_voice_is_learned_from_as_it_will_be_heard_when_it_drives() -> None:
    own, other = toy_footage(4.0, 1), toy_footage(4.0, 2)
    loud = replace(other, samples=0.3 * other.samples)
    lesson = make_lesson(join_footage([loud, own]), QUICK)
    stats = measure_stats(lesson.mel[:, lesson.own])
    alone = make_lesson(loud, QUICK).mel
    driven = normalise_mel(alone, blend_stats(alone, stats, QUICK.features.prior_s))
    learned = normalise_mel(lesson.mel[:, : alone.shape[1]], stats)
    inner = slice(4, alone.shape[1] - 4)
    apart = np.abs(driven[:, inner] - learned[:, inner])
    assert np.percentile(apart, 90) < 0.1
    assert np.abs(normalise_mel(alone, stats)[:, inner] - learned[:, inner]).mean() > 0.3


def test_silence_between_pieces_teaches_nothing() -> None:
    joined = join_footage([toy_footage(1.0, 1), toy_footage(1.0, 2)], silence_s=0.5)
    lesson = make_lesson(joined, QUICK)
    second = round(float(joined.frame_seconds[25]) * COLUMNS_PER_SECOND)
    assert joined.frame_seconds[25] >= 1.5
    assert not lesson.known[COLUMNS_PER_SECOND + 1 : second].any()
    assert np.asarray(joined.shots).tolist() == [[0, 25], [25, 50]]


def test_frames_behind_the_end_of_the_sound_do_not_run_into_the_next_piece() -> None:
    short = toy_footage(1.0, 1)
    short = replace(short, samples=short.samples[:4000])
    times = join_footage([short, toy_footage(1.0, 2)]).frame_seconds
    assert (np.diff(times) > 0).all()


def test_pieces_are_weighed_as_the_clip_says() -> None:
    lips = np.arange(6, dtype=np.float32).reshape(3, 2)
    own = replace(toy_footage(1.0), scale=np.array([2.0, 1.0]), lips=lips, gap_mm=0.7)
    joined = join_footage([toy_footage(1.0, 1), own])
    assert joined.scale is own.scale
    assert joined.lips is own.lips
    assert joined.gap_mm == 0.7


def test_what_does_not_go_together_is_refused() -> None:
    own = toy_footage(1.0)
    with pytest.raises(ShapeError, match="no footage"):
        join_footage([])
    with pytest.raises(ShapeError, match="coordinates"):
        join_footage([replace(own, mouth=own.mouth[:, :1]), own])


def test_voices_are_made_equally_loud() -> None:
    own, other = toy_footage(2.0, 1).samples, toy_footage(2.0, 2).samples
    np.testing.assert_allclose(match_level(0.01 * other, own), match_level(other, own), rtol=1e-4)
    np.testing.assert_allclose(match_level(own, own), own, rtol=1e-5)
    silence = np.zeros(8000, np.float32)
    np.testing.assert_array_equal(match_level(silence, own), silence)
    np.testing.assert_array_equal(match_level(own, silence), own)


def test_without_other_voices_nothing_changes() -> None:
    own = toy_footage(3.0)
    model, metrics = train_with_corpus(own, [], BRIEF)
    plain, plain_metrics = train_a2e(own, BRIEF)
    for name, value in plain.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name
    assert metrics.keys() == plain_metrics.keys()


def test_what_is_held_out_and_the_rest_stay_the_clips_own(monkeypatch: pytest.MonkeyPatch) -> None:
    own, others = toy_footage(8.0), [toy_footage(4.0, seed) for seed in range(1, 7)]
    asked = {}

    def watched(footage, config, *how):
        _, asked["known"] = split_known(make_lesson(footage, config).known, config.held_out)
        return train_a2e(footage, config, *how)

    monkeypatch.setattr("metatalk.a2e.corpus.train_a2e", watched)
    model, metrics = train_with_corpus(
        own, others, replace(BRIEF, steps=2, kernel=replace(BRIEF.kernel, share=0.0))
    )
    held_out_s = asked["known"].sum() / COLUMNS_PER_SECOND
    assert held_out_s == pytest.approx(QUICK.held_out * known_seconds(own), abs=0.05)
    assert metrics["corpus_s"] == pytest.approx(24.0)
    lesson = make_lesson(own, QUICK)
    rest = find_rest(lesson.mel, lesson.targets, lesson.known)
    np.testing.assert_allclose(model.rest.numpy(), rest, atol=1e-6)
