"""Training windows: sound and mouth on one clock, at any speed and in any voice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from metatalk.a2e.hearing import Sound
from metatalk.a2e.windows import Lesson, Windows, draw_windows, targets_at_columns
from metatalk.errors import ShapeError
from metatalk.lipsync.mel import SILENCE


def test_the_mouth_is_read_linearly_between_frames() -> None:
    seconds = np.array([0.0, 0.04, 0.1, 0.14])
    mouth = np.stack([seconds * 3, 1 - seconds], axis=1)
    values, known = targets_at_columns(seconds, mouth, np.ones(4, bool), [(0, 4)], 20)
    times = np.arange(20) / 80
    assert known.tolist() == (times <= 0.14).tolist()
    np.testing.assert_allclose(values[known, 0], 3 * times[known], atol=1e-6)


def test_nothing_is_known_across_a_cut_or_without_a_face() -> None:
    seconds, face = np.arange(10) / 25, np.ones(10, bool)
    face[7] = False
    _, known = targets_at_columns(seconds, np.zeros((10, 1)), face, [(0, 4), (4, 10)], 29)
    times = np.arange(29) / 80
    unknown = ((times >= 0.12) & (times < 0.16)) | ((times >= 0.24) & (times < 0.32))
    np.testing.assert_array_equal(known, ~unknown)


def test_nothing_is_known_in_a_long_gap() -> None:
    seconds = np.array([0.0, 0.04, 0.4, 0.44])
    _, known = targets_at_columns(seconds, np.zeros((4, 1)), np.ones(4, bool), [(0, 4)], 36)
    times = np.arange(36) / 80
    np.testing.assert_array_equal(known, (times < 0.04) | ((times >= 0.4) & (times <= 0.44)))


def toy_lesson(columns: int = 400, voices: int = 1, heard: int = 2) -> Lesson:
    """A ramp that is heard and seen; voice n's mel lies n / 100 above it."""
    ramp = np.linspace(-3, 3, columns, dtype=np.float32)
    takes = tuple(
        Sound(np.tile(ramp + voice / 100, (80, 1)), np.tile(ramp + voice / 10, (heard, 1)))
        for voice in range(voices)
    )
    return Lesson(takes, ramp[:, None], np.ones(columns, bool))


def draw(lesson: Lesson, batch: int, width: int, tempo: float = 0.0) -> Windows:
    generator = torch.Generator().manual_seed(0)
    return draw_windows(lesson, lesson.known, (batch, width), tempo, generator)


def test_windows_keep_sound_and_mouth_together_at_any_speed() -> None:
    drawn = draw(toy_lesson(), 16, 80, tempo=0.3)
    assert drawn.mel.shape == (16, 80, 80)
    assert drawn.heard.shape == (16, 2, 80)
    assert drawn.mouth.shape == (16, 1, 40)
    seen = drawn.known > 0
    for rows in (drawn.mel, drawn.heard):
        at_steps = rows[:, 0, ::2][seen]
        torch.testing.assert_close(at_steps, drawn.mouth[:, 0][seen], atol=1e-4, rtol=0)
    inside = seen.all(dim=1)
    speeds = drawn.mouth[inside, 0].diff(dim=1)[:, 0] / (2 * 6 / 399)
    assert speeds.min() < 0.9 < 1.1 < speeds.max()
    assert (speeds - 1).abs().max() <= 0.3 + 1e-3


def test_windows_teach_known_columns_only() -> None:
    lesson = toy_lesson()
    usable = lesson.known & (np.arange(400) < 100)
    generator = torch.Generator().manual_seed(0)
    drawn = draw_windows(lesson, usable, (64, 40), 0.0, generator)
    assert drawn.mouth[:, 0][drawn.known > 0].max() < lesson.targets[101, 0]
    assert 0 < drawn.known.mean() < 1


def test_outside_the_footage_there_is_silence() -> None:
    lesson = toy_lesson(30)
    drawn = draw(lesson, 32, 80)
    outside = (drawn.mel == SILENCE).all(dim=1)
    assert outside.any(dim=1).all()
    assert (drawn.heard.transpose(1, 2)[outside] == 0).all()
    assert (drawn.known[outside[:, ::2]] == 0).all()


def test_other_voices_say_the_same_at_the_same_time() -> None:
    drawn = draw(toy_lesson(voices=4), 400, 40, tempo=0.2)
    seen = drawn.known > 0
    above = drawn.mel[:, 0, ::2] - drawn.mouth[:, 0]
    voice = torch.stack([100 * row[known].mean() for row, known in zip(above, seen, strict=True)])
    assert set(voice.round().int().tolist()) == {0, 1, 2, 3}
    expected = voice.round()[:, None].expand_as(above) / 100
    torch.testing.assert_close(above[seen], expected[seen], atol=1e-3, rtol=0)
    heard = drawn.heard[:, 0, ::2] - drawn.mouth[:, 0]  # of the same voice as the mel
    torch.testing.assert_close(heard[seen], 10 * expected[seen], atol=1e-3, rtol=0)


@pytest.mark.parametrize("voices", [2, 5])
def test_the_actors_own_voice_is_half_of_the_lesson_and_more(voices: int) -> None:
    drawn = draw(toy_lesson(voices=voices), 1000, 2)
    own = (drawn.mel[:, 0, 0] - drawn.mouth[:, 0, 0]).abs() < 5e-3
    assert own.float().mean().item() == pytest.approx(0.5 + 0.5 / voices, abs=0.05)


def test_the_same_dice_draw_the_same_windows() -> None:
    first, again = draw(toy_lesson(voices=3), 8, 20, 0.1), draw(toy_lesson(voices=3), 8, 20, 0.1)
    for name, value in vars(first).items():
        assert torch.equal(value, getattr(again, name)), name


def test_what_was_known_before_a_time() -> None:
    lesson = toy_lesson()
    assert lesson.known_before(1.0).sum() == 80
    assert lesson.known_before(100.0).all()


def test_shapes_are_checked() -> None:
    sound = Sound(np.zeros((80, 10)), np.zeros((3, 10)))
    with pytest.raises(ShapeError):
        Lesson((sound,), np.zeros((9, 2)), np.ones(10, bool))
    with pytest.raises(ShapeError):
        Lesson((sound, Sound(np.zeros((80, 10)), np.zeros((2, 10)))), *lesson_of(10))
    with pytest.raises(ShapeError):
        Lesson((sound, Sound(np.zeros((80, 11)), np.zeros((3, 11)))), *lesson_of(10))
    with pytest.raises(ShapeError):
        Sound(np.zeros((80, 10)), np.zeros((3, 11)))


def lesson_of(columns: int) -> tuple[np.ndarray, np.ndarray]:
    return np.zeros((columns, 2)), np.ones(columns, bool)


def mixed_lesson(columns: int = 400, own: int = 100) -> Lesson:
    """The last columns are the actor's own, the others pseudo video."""
    return replace(toy_lesson(columns), own=np.arange(columns) >= columns - own)


@pytest.mark.parametrize("share", [0.0, 0.25, 0.8, 1.0])
def test_so_many_windows_are_pseudo_video_as_asked_for(share: float) -> None:
    lesson, generator = mixed_lesson(), torch.Generator().manual_seed(0)
    drawn = draw_windows(lesson, lesson.known, (2000, 2), 0.0, generator, share)
    is_own = drawn.mouth[:, 0, 0] > lesson.targets[298, 0]  # the window's first column is one off
    assert float((~is_own).float().mean()) == pytest.approx(share, abs=0.04)


def test_both_parts_are_drawn_from_evenly() -> None:
    lesson, generator = mixed_lesson(), torch.Generator().manual_seed(0)
    drawn = draw_windows(lesson, lesson.known, (4000, 2), 0.0, generator, 0.5)
    column = np.searchsorted(lesson.targets[:, 0], drawn.mouth[:, 0, 0].numpy() + 1e-4)
    counts, _ = np.histogram(column, [0, 100, 200, 300, 350, 400])
    np.testing.assert_allclose(counts / 4000, [1 / 6, 1 / 6, 1 / 6, 1 / 4, 1 / 4], atol=0.03)


def test_without_pseudo_video_the_share_changes_nothing() -> None:
    lesson = toy_lesson()
    drawn = [
        draw_windows(lesson, lesson.known, (16, 40), 0.2, torch.Generator().manual_seed(1), share)
        for share in (0.0, 0.9)
    ]
    for name in ("mel", "heard", "mouth", "known"):
        assert torch.equal(getattr(drawn[0], name), getattr(drawn[1], name))


def test_what_may_not_be_learned_from_is_not_drawn_from_either_part() -> None:
    lesson, generator = mixed_lesson(), torch.Generator().manual_seed(0)
    usable = lesson.known & (np.arange(400) % 100 < 50)
    drawn = draw_windows(lesson, usable, (500, 2), 0.0, generator, 0.5)
    column = np.searchsorted(lesson.targets[:, 0], drawn.mouth[:, 0, 0].numpy() + 1e-4)
    assert (((column + 1) % 100) <= 51).all()
