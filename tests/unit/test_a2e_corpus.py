"""Several pieces of footage on one timeline: nothing moves, and the clip's end stays held out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from a2e_toys import QUICK, toy_footage

from metatalk.a2e.corpus import join_footage, known_seconds, match_level, train_with_corpus
from metatalk.a2e.rest import find_rest
from metatalk.a2e.training import make_lesson, split_known, train_a2e
from metatalk.errors import ShapeError
from metatalk.lipsync.mel import COLUMNS_PER_SECOND

BRIEF = replace(QUICK, steps=8)


def test_a_single_piece_comes_back_as_it_is() -> None:
    own = toy_footage(2.0)
    assert join_footage([own]) is own


def test_every_piece_keeps_its_sound_its_mouth_and_its_clock() -> None:
    parts = [toy_footage(1.3, 1), toy_footage(2.07, 2, 30.0), toy_footage(3.0, 3)]
    joined = make_lesson(join_footage(parts), QUICK)
    end = joined.mel.shape[1]
    for part in reversed(parts):
        alone = make_lesson(part, QUICK)
        columns = alone.mel.shape[1]
        inner = alone.mel[:, 4:-4]
        starts = [
            start
            for start in range(end - columns + 1)
            if np.allclose(joined.mel[:, start + 4 : start + columns - 4], inner, atol=1e-3)
        ]
        assert starts, "the piece's sound is not found again"
        place = slice(starts[-1], starts[-1] + columns)
        np.testing.assert_array_equal(joined.known[place], alone.known)
        np.testing.assert_allclose(
            joined.targets[place][alone.known], alone.targets[alone.known], atol=1e-4
        )
        assert starts[-1] % 2 == 0  # the networks' steps fall on the same columns
        end = starts[-1]
    assert joined.known.sum() == sum(make_lesson(part, QUICK).known.sum() for part in parts)


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
