"""The expert's training: what it learns, how it is examined, how it goes on."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from typing import Any

import pytest
import torch
from lipsync_learning_toys import (
    STILL,
    Diary,
    KilledError,
    SmallExpert,
    copied,
    make_small,
    numbered_track,
    same,
    save_always,
    talking_track,
)

from metatalk.errors import FittingError
from metatalk.fabric import open_fabric
from metatalk.lipsync.learning import expert as subject
from metatalk.lipsync.learning.config import ExpertConfig
from metatalk.lipsync.learning.expert import ExpertCourse, embed_span, examine_expert
from metatalk.lipsync.learning.loop import run_course
from metatalk.lipsync.learning.tensors import lower_halves
from metatalk.lipsync.learning.windows import Span, split_spans
from metatalk.lipsync.syncnet import ColourExpert

TINY = ExpertConfig(steps=4, batch=4, group=2, checks=1, jitter=STILL, workers=0, precision="full")
LEARNING = replace(TINY, steps=60, batch=16, group=8, learning_rate=1e-2)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    make_small(monkeypatch)


def teach(config: ExpertConfig, **options: Any) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
    diary = options.pop("diary", Diary())
    tracks = [talking_track(150, seed) for seed in (0, 1)]
    return run_course(ExpertCourse(tracks, config, 3, **options), 3, diary.journal())


def begun(config: ExpertConfig = TINY, **options: Any) -> ExpertCourse:
    course = ExpertCourse([talking_track(150)], config, 3, **options)
    torch.manual_seed(0)
    course.begin(open_fabric("expert", 1, "full", "cpu"))
    return course


@pytest.fixture(scope="module")
def learned() -> SmallExpert:
    """An expert that was taught that loud mouths are bright."""
    patch = pytest.MonkeyPatch()
    make_small(patch)
    state, _ = teach(LEARNING)
    patch.undo()
    expert = SmallExpert()
    expert.load_state_dict(state, strict=True)
    return expert.eval()


def whole(*tracks: Any) -> list[Span]:
    return [Span(track, at, 0, len(track.faces)) for at, track in enumerate(tracks)]


def test_it_learns_which_sound_belongs_to_lips_it_never_saw(
    learned: SmallExpert, small: None
) -> None:
    figures = examine_expert(learned, whole(talking_track(150, 8), talking_track(150, 9)))
    assert figures["accuracy"] > 0.9
    assert figures["cosine_accuracy"] > 0.6
    assert figures["offset_found"] == 1
    untaught = examine_expert(SmallExpert(), whole(talking_track(150, 8)))
    assert untaught["accuracy"] < 0.75
    assert untaught["loss"] > figures["loss"]


def test_sound_of_somebody_else_is_at_chance(learned: SmallExpert, small: None) -> None:
    tracks = [
        replace(talking_track(150, seed), mel=talking_track(150, seed + 50).mel)
        for seed in range(20, 28)
    ]
    figures = examine_expert(learned, whole(*tracks))
    assert figures["accuracy"] == pytest.approx(0.5, abs=0.1)
    assert figures["cosine_accuracy"] == pytest.approx(0.5, abs=0.1)
    assert figures["offset_found"] < 0.5


def test_sound_that_comes_late_is_not_taken_for_sync(learned: SmallExpert, small: None) -> None:
    late = [examine_expert(learned, whole(talking_track(150, 8, late=by))) for by in (0, 1, 4)]
    assert [figures["offset_found"] for figures in late] == [1, 1, 0]
    assert late[2]["accuracy"] < late[0]["accuracy"] - 0.2


def test_spans_of_less_than_a_second_are_not_asked_for_an_offset(
    learned: SmallExpert, small: None
) -> None:
    assert "offset_found" not in examine_expert(learned, [Span(talking_track(80), 0, 0, 28)])
    assert "offset_found" in examine_expert(learned, [Span(talking_track(80), 0, 0, 29)])


def test_an_examination_changes_nothing_and_stays_within_the_span(small: None) -> None:
    expert = SmallExpert().train()
    before = copied(expert.state_dict())
    track = numbered_track(60)
    lips, sound = embed_span(expert.eval(), Span(track, 0, 10, 40))
    assert lips.shape == sound.shape == (26, 64)
    faces = torch.from_numpy(track.faces[20:25, 16:112, 16:112])[None]
    with torch.no_grad():
        mel = torch.from_numpy(track.mel[None, None, :, 64:80])
        heard, seen = expert(mel, lower_halves(faces))
    torch.testing.assert_close(lips[10:11], seen)
    torch.testing.assert_close(sound[10:11], heard)
    examine_expert(expert.train(), whole(talking_track(60)))
    assert not expert.training
    assert same(before, expert.state_dict())


def test_long_spans_are_embedded_in_parts_without_a_seam(
    small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    expert, span = SmallExpert().eval(), whole(talking_track(60))[0]
    at_once = embed_span(expert, span)
    monkeypatch.setattr("metatalk.lipsync.learning.expert._CHECK_BATCH", 7)
    for one, other in zip(at_once, embed_span(expert, span), strict=True):
        torch.testing.assert_close(one, other)


def test_only_as_many_spans_are_examined_as_there_is_time_for(
    learned: SmallExpert, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    original = embed_span

    def noted(expert: Any, span: Span, fabric: Any) -> Any:
        seen.append(span.number)
        return original(expert, span, fabric)

    monkeypatch.setattr("metatalk.lipsync.learning.expert.embed_span", noted)
    monkeypatch.setattr("metatalk.lipsync.learning.expert._MOST_CHECKED", 80)
    examine_expert(learned, whole(*(talking_track(44, seed) for seed in range(6))))
    assert seen == [0, 3]


def test_the_rate_warms_up_and_falls(small: None) -> None:
    course = begun(replace(TINY, steps=1000, learning_rate=0.01))
    batch = next(course.batches(range(1)))
    rates = {}
    for step in (0, 24, 500, 999):
        course.learn(batch, step / 1000)
        rates[step] = course.optimiser.param_groups[0]["lr"]
    assert rates[0] == pytest.approx(0.01 / 50, rel=0.01)
    assert rates[24] == pytest.approx(0.01 / 2, rel=0.01)
    assert rates[500] == pytest.approx(0.01 * 0.525, rel=0.01)
    assert rates[999] == pytest.approx(0.01 * 0.05, rel=0.01)


def test_a_step_descends_on_the_sum_of_its_losses(
    small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    course = begun(replace(TINY, contrast_weight=2.0, cosine_weight=0.5))
    losses = []
    monkeypatch.setattr(
        type(course.fabric), "backward", lambda self, loss: losses.append(float(loss.detach()))
    )
    told = course.learn(next(course.batches(range(1))), 0.0)
    assert losses == [pytest.approx(2 * told["contrast"] + 0.5 * told["cosine"])]


def test_windows_of_one_moment_do_not_count_as_wrong(small: None) -> None:
    course = begun(replace(TINY, batch=8, group=8))
    batch = next(course.batches(range(1)))
    alike = dataclasses.replace(batch, frame=torch.zeros_like(batch.frame))
    assert course.learn(alike, 0.0)["contrast"] == pytest.approx(0, abs=1e-6)
    apart = dataclasses.replace(batch, track=torch.arange(8))
    assert course.learn(apart, 0.0)["contrast"] > 0.1


def test_what_is_shifted_is_of_one_track_and_far_enough(
    small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    masks: list[torch.Tensor] = []

    def noted(scores: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        masks.append(mask)
        return scores.mean()

    monkeypatch.setattr(subject, "contrast_loss", noted)
    monkeypatch.setattr(subject, "cosine_loss", noted)
    course = begun(replace(TINY, least_shift=3))
    batch = dataclasses.replace(
        next(course.batches(range(1))),
        track=torch.tensor([0, 0, 1, 1]),
        frame=torch.tensor([4, 6, 4, 7]),
    )
    course.learn(batch, 0.0)
    near, shifted = masks
    pairs = {(0, 0), (0, 1), (1, 0), (1, 1), (2, 2), (3, 3)}
    assert {tuple(pair) for pair in near.nonzero().tolist()} == pairs
    assert shifted.nonzero().tolist() == [[2, 3], [3, 2]]


def test_it_learns_of_learned_spans_alone(small: None) -> None:
    tracks = [numbered_track(200)]
    course = ExpertCourse(tracks, replace(TINY, held_out=0.5), 3)
    course.begin(open_fabric("expert", 1, "full", "cpu"))
    frames = torch.cat([batch.frame for batch in course.batches(range(40))])
    (learned,), (held,) = split_spans(tracks, 0.5)
    assert int(frames.max()) <= learned.end - 5 < held.first
    assert [span.first for span in course.held] == [held.first]


def test_a_check_is_an_examination_of_what_is_held_out(small: None) -> None:
    course = begun()
    assert course.check() == examine_expert(course.expert, course.held)
    assert not course.expert.training
    course.learn(next(course.batches(range(1))), 0.0)
    assert course.expert.training


@pytest.mark.parametrize("die_at", [1, 3])
def test_an_expert_that_was_killed_becomes_the_same(
    die_at: int, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole_state, figures = teach(TINY)
    save_always(monkeypatch)
    learn, diary, calls = ExpertCourse.learn, Diary(), []

    def dying(self: ExpertCourse, *given: Any) -> dict[str, float]:
        calls.append(1)
        if len(calls) == die_at + 1:
            raise KilledError
        return learn(self, *given)

    monkeypatch.setattr(ExpertCourse, "learn", dying)
    with pytest.raises(KilledError):
        teach(TINY, diary=diary)
    resumed, again = teach(TINY, diary=diary)
    assert len(calls) == 5
    assert same(whole_state, resumed)
    assert again["accuracy"] == figures["accuracy"]


def test_it_goes_on_from_weights_that_are_given(small: None) -> None:
    start = SmallExpert().state_dict()
    course = begun(start=start)
    assert same(course.result(), start)
    course.learn(next(course.batches(range(1))), 0.5)
    assert not same(course.result(), start)


def test_the_whole_network_is_taught_and_kept_by_its_official_keys() -> None:
    state, figures = teach(replace(TINY, steps=1, batch=2))
    ColourExpert().load_state_dict(state, strict=True)
    assert all(value.device.type == "cpu" and value.is_contiguous() for value in state.values())
    assert {value.dtype for value in state.values()} == {torch.float32, torch.int64}
    assert set(figures) == {"accuracy", "cosine_accuracy", "loss", "steps", "seconds"}
    assert int(state["face_encoder.0.conv_block.1.num_batches_tracked"]) == 1


def test_too_little_footage_is_told_before_anything_is_built() -> None:
    with pytest.raises(FittingError, match="too short"):
        ExpertCourse([talking_track(20)], TINY, 0)
