"""The generator's training: its losses' weights, the expert's say, the adversary, the average."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from lipsync_learning_toys import (
    STILL,
    Diary,
    KilledError,
    SmallExpert,
    SmallGenerator,
    copied,
    make_small,
    numbered_track,
    same,
    save_always,
    talking_track,
)

from metatalk.fabric import open_fabric
from metatalk.lipsync.learning import generator as subject
from metatalk.lipsync.learning.config import TeacherConfig
from metatalk.lipsync.learning.generator import TeacherCourse, picture_loss
from metatalk.lipsync.learning.loop import run_course
from metatalk.lipsync.learning.tensors import to_bgr
from metatalk.lipsync.wav2lip import FACE_PX, QualityDiscriminator, Wav2Lip

NEVER, ALWAYS = 0.0, 1e9  # thresholds of the expert's loss
TINY = TeacherConfig(
    steps=4,
    batch=2,
    checks=2,
    held_out=0.2,
    jitter=STILL,
    workers=0,
    precision="full",
    sync_from=NEVER,
    adversary_after=1.0,
    learning_rate=1e-3,
)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    make_small(monkeypatch)
    monkeypatch.setattr(subject, "_CHECK_BATCHES", 2)
    monkeypatch.setattr(subject, "_CHECK_WINDOWS", 2)
    monkeypatch.setattr(subject, "_NORM_BATCHES", 2)
    monkeypatch.setattr(subject, "_TELLING", -1e9)  # the experts here know nothing


@pytest.fixture(scope="module")
def an_expert() -> SmallExpert:
    torch.manual_seed(11)
    return SmallExpert()


def begun(expert: SmallExpert, config: TeacherConfig = TINY, **options: Any) -> TeacherCourse:
    course = TeacherCourse([talking_track(150)], expert, config, 3, **options)
    torch.manual_seed(0)
    course.begin(open_fabric("teacher", 1, "full", "cpu"))
    return course


def first(course: TeacherCourse) -> Any:
    return next(iter(course.batches(range(1))))


def listen(course: TeacherCourse, patch: pytest.MonkeyPatch) -> list[float]:
    """What is descended on, step by step; nothing is learned."""
    losses: list[float] = []
    backward = type(course.fabric).backward

    def heard(self: Any, loss: torch.Tensor) -> None:
        losses.append(float(loss.detach()))
        backward(self, loss)

    patch.setattr(type(course.fabric), "backward", heard)
    return losses


def test_the_picture_alone_counts_at_first(
    an_expert: SmallExpert, monkeypatch: pytest.MonkeyPatch
) -> None:
    course = begun(an_expert)
    losses = listen(course, monkeypatch)
    batch = first(course)
    with torch.no_grad():
        drawn = course.bare.train()(batch.chunks.flatten(0, 1)[:, None], subject._inputs(batch))
    expected = picture_loss(drawn, to_bgr(batch.faces).flatten(0, 1), 2.0)
    told = course.learn(batch, 0.0)
    assert set(told) == {"L1"}
    assert told["L1"] == pytest.approx(float(expected), rel=1e-5)
    assert losses == [pytest.approx(told["L1"])]


def test_weights_of_the_loss_are_those_that_are_set(
    an_expert: SmallExpert, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(
        TINY, sync_weight=0.3, adversary_weight=0.2, sync_from=ALWAYS, adversary_after=0.0
    )
    course = begun(an_expert, config)
    course.check()
    losses = listen(course, monkeypatch)
    told = course.learn(first(course), 0.0)
    assert set(told) == {"L1", "sync", "quality", "critic"}
    expected = 0.5 * told["L1"] + 0.3 * told["sync"] + 0.2 * told["quality"]
    assert losses == [pytest.approx(expected), pytest.approx(told["critic"])]


def test_the_expert_speaks_once_it_is_content_enough(
    an_expert: SmallExpert, monkeypatch: pytest.MonkeyPatch
) -> None:
    course = begun(an_expert, replace(TINY, sync_from=0.75))
    loss = {"now": 0.76}
    monkeypatch.setattr(course, "_sync_loss", lambda *_: torch.tensor(loss["now"]))
    assert course.check()["sync_weight"] == 0
    assert "sync" not in course.learn(first(course), 0.0)
    loss["now"] = 0.74
    assert course.check() == {**course.check(), "sync": pytest.approx(0.74), "sync_weight": 0.03}
    assert "sync" in course.learn(first(course), 0.2)
    loss["now"] = 2.0
    assert course.check()["sync_weight"] == 0.03  # it is not silenced again
    resumed = begun(an_expert, replace(TINY, sync_from=0.75))
    resumed.restore(course.state())
    assert resumed.check()["sync_weight"] == 0.03
    assert "sync" in resumed.learn(first(resumed), 0.4)


def test_all_processes_let_the_expert_in_together(
    an_expert: SmallExpert, monkeypatch: pytest.MonkeyPatch
) -> None:
    course = begun(an_expert, replace(TINY, sync_from=0.75))
    first_found = {"L1": 0.1, "psnr": 20.0, "sync": 0.7, "sync_real": 0.5, "sync_apart": 0.9}
    monkeypatch.setattr(course, "_sync_loss", lambda *_: torch.tensor(0.8))
    monkeypatch.setattr(type(course.fabric), "broadcast", lambda self, given: first_found)
    assert course.check() == {**first_found, "sync_weight": 0.03}


def test_the_expert_itself_learns_nothing(an_expert: SmallExpert) -> None:
    before = copied(an_expert.state_dict())
    course = begun(an_expert, replace(TINY, sync_from=ALWAYS, sync_weight=0.5))
    course.check()
    for step in range(2):
        assert "sync" in course.learn(first(course), step / 4)
    assert same(before, course.expert.state_dict())
    assert not course.expert.training
    assert not any(parameter.requires_grad for parameter in course.expert.parameters())


def test_sync_moves_the_generator(an_expert: SmallExpert) -> None:
    states = []
    for sync_from in (NEVER, ALWAYS):
        course = begun(an_expert, replace(TINY, sync_from=sync_from, sync_weight=0.5))
        course.check()
        course.learn(first(course), 0.0)
        states.append(copied(course.bare.state_dict()))
    assert not same(*states)


@pytest.mark.parametrize(
    ("share", "joins"), [(0.0, False), (0.29, False), (0.3, True), (0.9, True)]
)
def test_the_adversary_joins_at_its_share(
    share: float, joins: bool, an_expert: SmallExpert
) -> None:
    course = begun(an_expert, replace(TINY, adversary_after=0.3))
    before = copied(course.critic.state_dict())
    told = course.learn(first(course), share)
    assert ({"quality", "critic"} <= set(told)) == joins
    assert same(before, course.critic.state_dict()) != joins


def test_without_a_weight_there_is_no_adversary(an_expert: SmallExpert) -> None:
    course = begun(an_expert, replace(TINY, adversary_weight=0.0, adversary_after=0.0))
    assert set(course.learn(first(course), 1.0)) == {"L1"}


def test_the_adversary_learns_to_tell_drawn_from_filmed(an_expert: SmallExpert) -> None:
    config = replace(TINY, adversary_after=0.0, learning_rate=0.03)
    course = begun(an_expert, config)
    batch = first(course)
    real = to_bgr(batch.faces).flatten(0, 1)
    drawn = torch.zeros_like(real)
    losses = [float(course._teach_critic(real, drawn).detach()) for _ in range(40)]
    assert losses[0] == pytest.approx(np.log(2), abs=0.3)
    assert losses[-1] < 0.8 * losses[0]
    right, wrong = course.critic(real).detach(), course.critic(drawn).detach()
    assert float(right.mean()) > 0.55 > 0.45 > float(wrong.mean())


def test_the_average_follows(an_expert: SmallExpert) -> None:
    course = begun(an_expert, replace(TINY, steps=1000, average=0.9))
    for step, keep in ((0, 0.1), (90, 0.9), (500, 0.9)):
        before = copied(dict(course.average.named_parameters()))
        course.learn(first(course), step / 1000)
        now, mean = dict(course.bare.named_parameters()), dict(course.average.named_parameters())
        for name, value in before.items():
            expected = keep * value + (1 - keep) * now[name].detach()
            torch.testing.assert_close(mean[name], expected, atol=1e-6, rtol=1e-5)
        assert not course.average.training
    moved = course.average.output_block[0].conv_block[0].weight
    assert not torch.equal(moved, course.bare.output_block[0].conv_block[0].weight)


def test_what_is_kept_is_the_average(an_expert: SmallExpert) -> None:
    course = begun(an_expert)
    course.learn(first(course), 0.5)
    kept = course.result()
    assert same(kept, course.average.state_dict())
    assert not same(kept, course.bare.state_dict())


def test_the_whole_networks_take_part_by_their_official_keys(
    an_expert: SmallExpert, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    course = begun(an_expert, replace(TINY, batch=1))
    drawn = torch.rand(1, 3, FACE_PX, FACE_PX)
    assert course.critic(drawn).shape == (1, 1)
    expected = Wav2Lip().state_dict(), QualityDiscriminator().state_dict()
    for found, wanted in zip((course.result(), course.critic.state_dict()), expected, strict=True):
        assert {k: v.shape for k, v in found.items()} == {k: v.shape for k, v in wanted.items()}


def test_it_goes_on_from_weights_that_are_given(an_expert: SmallExpert) -> None:
    start = SmallGenerator().state_dict()
    course = begun(an_expert, start=start)
    assert same(course.result(), start)
    assert same(dict(course.bare.state_dict()), start)


def test_a_check_is_of_the_average_and_of_the_mouth(
    an_expert: SmallExpert, monkeypatch: pytest.MonkeyPatch
) -> None:
    course = begun(an_expert)

    def almost(batch: Any) -> torch.Tensor:
        drawn = to_bgr(batch.faces).flatten(0, 1)
        drawn[:, :, :48] = 0  # the upper half is not looked at
        drawn[:, :, 48:] += 0.1
        return drawn

    monkeypatch.setattr(course, "_draw", almost)
    figures = course.check()
    assert figures["L1"] == pytest.approx(0.1, rel=1e-4)
    assert figures["psnr"] == pytest.approx(20, abs=1e-2)
    monkeypatch.undo()
    make_small(monkeypatch)
    before, real = course.check(), figures["sync_real"]
    assert before["L1"] != pytest.approx(0.1, rel=1e-2)
    with torch.no_grad():
        for parameter in course.bare.parameters():
            parameter.add_(0.1)
    assert course.check()["L1"] == before["L1"]
    with torch.no_grad():
        for parameter in course.average.parameters():
            parameter.add_(0.1)
    assert course.check()["L1"] != before["L1"]
    assert real != before["sync"]


def test_every_check_is_of_the_same_held_out_windows(
    an_expert: SmallExpert, monkeypatch: pytest.MonkeyPatch
) -> None:
    course = begun(an_expert, replace(TINY, jitter=TeacherConfig().jitter))
    shown: list[torch.Tensor] = []
    draw = course._draw
    monkeypatch.setattr(course, "_draw", lambda batch: (shown.append(batch.faces), draw(batch))[1])
    assert course.check() == course.check()
    # Two batches for the batch norms, then two that are measured on.
    assert all(torch.equal(*pair) for pair in zip(shown[:4], shown[4:], strict=True))
    assert not torch.equal(shown[2], shown[3])


def test_learning_and_checks_keep_to_their_spans(an_expert: SmallExpert) -> None:
    course = TeacherCourse([numbered_track(200)], an_expert, replace(TINY, held_out=0.5), 3)
    course.begin(open_fabric("teacher", 1, "full", "cpu"))
    frames: Callable[[Any], torch.Tensor] = lambda batches: torch.cat(  # noqa: E731
        [faces[..., 0, 0, 0].flatten() for b in batches for faces in (b.faces, b.references)]
    )
    assert int(frames(course.batches(range(30))).max()) < 100
    assert int(frames(course._held_batches()).min()) >= 105


def test_the_sheet_shows_what_is_given_and_what_comes_of_it(an_expert: SmallExpert) -> None:
    course = begun(an_expert)
    sheet = course.sheet()
    assert sheet.shape == (4 * 96, 2 * 96, 3)
    assert sheet.dtype == np.uint8
    batch = next(iter(course._held_batches()))
    shown, reference, drawn, film = sheet.reshape(4, 96, 2, 96, 3).swapaxes(1, 2)[:, 1]
    np.testing.assert_array_equal(film, batch.faces[1, 0])
    np.testing.assert_array_equal(reference, batch.references[1, 0])
    np.testing.assert_array_equal(shown[:48], batch.faces[1, 0, :48])
    assert (shown[48:] == 0).all()
    painted = course._draw(batch)[5].flip(0).permute(1, 2, 0).numpy() * 255
    np.testing.assert_allclose(drawn, painted, atol=0.51)


def teach(
    expert: SmallExpert, config: TeacherConfig, diary: Diary | None = None
) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
    course = TeacherCourse([talking_track(150)], expert, config, 3)
    return run_course(course, 3, (diary or Diary()).journal())


def test_drawn_mouths_come_nearer_to_filmed_ones(an_expert: SmallExpert) -> None:
    diary = Diary()
    teach(an_expert, replace(TINY, steps=40, checks=2, learning_rate=5e-3, average=0.5), diary)
    held = [told["held out/L1"] for _, told in diary.figures if "held out/L1" in told]
    losses = [told["L1"] for _, told in diary.figures if "L1" in told]
    assert held[-1] < 0.2
    assert losses[-1] < losses[0]


def test_a_generator_that_was_killed_becomes_the_same(
    an_expert: SmallExpert, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(TINY, sync_from=ALWAYS, adversary_after=0.25)
    whole, figures = teach(an_expert, config)
    save_always(monkeypatch)
    learn, diary, calls = TeacherCourse.learn, Diary(), []

    def dying(self: TeacherCourse, *given: Any) -> dict[str, float]:
        calls.append(1)
        if len(calls) == 4:
            raise KilledError
        return learn(self, *given)

    monkeypatch.setattr(TeacherCourse, "learn", dying)
    with pytest.raises(KilledError):
        teach(an_expert, config, diary)
    resumed, again = teach(an_expert, config, diary)
    assert len(calls) == 5
    assert again["sync_weight"] == 0.03
    assert same(whole, resumed)
    assert {**again, "seconds": 0} == {**figures, "seconds": 0}


def test_an_expert_that_cannot_tell_has_no_say(
    an_expert: SmallExpert, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    course = begun(an_expert, replace(TINY, sync_from=ALWAYS))
    figures = {"L1": 0.1, "psnr": 20.0, "sync": 0.5, "sync_real": 0.4, "sync_apart": 0.44}
    monkeypatch.setattr(course, "_check_batch", lambda batch: figures)
    monkeypatch.setattr(subject, "_TELLING", 0.05)
    assert course.check()["sync_weight"] == 0
    assert "cannot tell right sound (0.400) from wrong (0.440)" in caplog.text
    figures["sync_apart"] = 0.46
    assert course.check()["sync_weight"] == TINY.sync_weight


def test_the_averages_norms_are_measured_anew(an_expert: SmallExpert) -> None:
    course = begun(an_expert)
    norms = [part for part in course.average.modules() if isinstance(part, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.running_mean.fill_(7.0)
        norm.running_var.fill_(9.0)
    course.check()
    found = [norm.running_mean.clone() for norm in norms]
    assert norms
    assert all(
        (mean != 7.0).any() and norm.momentum == 0.1
        for mean, norm in zip(found, norms, strict=True)
    )
    course.check()
    assert all(
        torch.equal(*pair) for pair in zip(found, (n.running_mean for n in norms), strict=True)
    )
    assert not course.average.training


def test_the_discriminator_is_left_for_another_training(an_expert: SmallExpert) -> None:
    course = begun(an_expert, replace(TINY, adversary_after=0.0))
    course.learn(first(course), 0.5)
    left = copied(course.extras()["critic"])
    assert same(left, course.critic.state_dict())
    assert same(begun(an_expert, critic_start=left).critic.state_dict(), left)
    assert not same(begun(an_expert).critic.state_dict(), left)
    assert begun(an_expert, replace(TINY, adversary_weight=0.0)).extras() == {}
