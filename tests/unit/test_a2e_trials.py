"""Trials on fitted footage: pieces are cut as a whole, and marks mean what they say."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from a2e_toys import QUICK
from a2e_trial_toys import TINY, keep_film, toy_film, trial_tools
from mouth_toys import mouth_model

from metatalk.a2e.lip_meter import LipMeter
from metatalk.a2e.targets import fit_mouth_space
from metatalk.errors import MediaError


@pytest.fixture(scope="module")
def tools() -> Iterator[SimpleNamespace]:
    with trial_tools() as found:
        yield found


@pytest.fixture(scope="module")
def film(tools: SimpleNamespace) -> Any:
    return toy_film(tools.footage)


@pytest.fixture(scope="module")
def other(tools: SimpleNamespace) -> Any:
    return toy_film(tools.footage, "other", 4.0, 5)


@pytest.fixture(scope="module")
def bench(tools: SimpleNamespace) -> Any:
    return tools.trial.Bench(mouth_model(), QUICK, offset_s=0.0)


@pytest.fixture(scope="module")
def tiny(bench: Any) -> Any:
    return replace(bench, config=TINY)


@pytest.fixture
def space() -> Any:
    chance = np.random.default_rng(0)
    expression = chance.standard_normal((200, 2))
    return fit_mouth_space(expression, np.ones(200, bool), np.eye(2, 6), np.ones(2, bool), 2)


# -- footage ---------------------------------------------------------------------------------------


def test_a_part_is_cut_as_a_whole(film: Any) -> None:
    part = film.part(2.0, 6.0)
    assert (part.seconds[0], len(part.seconds), len(part.track)) == (0, 100, 100)
    np.testing.assert_array_equal(part.samples, film.samples[32_000:96_000])
    np.testing.assert_array_equal(part.expression, film.expression[50:150])
    assert part.shots().tolist() == [[0, 50], [50, 100]]


def test_a_part_beyond_the_end_is_refused(film: Any) -> None:
    with pytest.raises(MediaError, match="no footage from second 9 to"):
        film.part(9.0, math.inf)


def test_every_stretch_is_asked_about_once(tools: SimpleNamespace, film: Any) -> None:
    seen = np.zeros(200, int)
    for number in range(4):
        own, asked = tools.tables.parted(film, tools.tables.Fold(number, 4))
        seen += ~own.is_trusted
        hidden = np.flatnonzero(~own.is_trusted)
        np.testing.assert_array_equal(asked.expression, film.expression[hidden])
        stretch = slice(number * 32_000, (number + 1) * 32_000)
        np.testing.assert_array_equal(asked.samples, film.samples[stretch])
        assert not own.samples[stretch].any()
        assert np.count_nonzero(own.samples) > 90_000
    assert (seen == 1).all()
    assert film.is_trusted.all()


def test_a_fitted_folder_is_read(tools: SimpleNamespace, film: Any, tmp_path: Path) -> None:
    keep_film(film, tmp_path / "clip.v2")
    read = tools.footage.read_filmed(tmp_path / "clip.v2", tmp_path)
    assert read.name == "clip.v2"
    np.testing.assert_allclose(read.samples, film.samples, atol=1e-4)
    np.testing.assert_allclose(read.seconds, film.seconds)
    np.testing.assert_array_equal(read.shot, film.shot)
    np.testing.assert_array_equal(read.expression, film.expression)


def test_a_folder_without_a_fit_is_refused(tools: SimpleNamespace, tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="holds no fitted clip"):
        tools.footage.read_filmed(tmp_path, tmp_path)


def test_joined_tracks_have_the_last_ones_mean(
    tools: SimpleNamespace, film: Any, other: Any
) -> None:
    moved = replace(other, track=replace(other.track, expression=other.track.expression + 0.3))
    joined = tools.footage.join_tracks([moved, film])
    count = len(other.seconds)
    torch.testing.assert_close(joined.expression[count:], film.track.expression)
    torch.testing.assert_close(
        joined.expression[:count].mean(dim=0), film.track.expression.mean(dim=0)
    )


# -- marks -----------------------------------------------------------------------------------------


def test_the_gap_runs_down_the_face_and_below_zero(tools: SimpleNamespace, film: Any) -> None:
    lips = tools.marks.Lips.of(mouth_model(), film)
    gap, _ = lips.measure(np.array([[0.0, 0, 0], [1, 0, 0], [-1, 0, 0], [0, 1, 0]]))
    assert gap[1] - gap[0] == pytest.approx(gap[0] - gap[2])
    assert gap[2] < 0 < gap[1]
    assert gap[3] == pytest.approx(gap[0])


def test_the_width_is_a_distance_in_space(tools: SimpleNamespace) -> None:
    corners = np.array([[0.0, 0, 0], [3, 4, 0]])
    turn = np.array([[[0.0, 0, 0], [0, 0, 12]]])  # one unit moves one corner 12 mm into the face
    lips = tools.marks.Lips(LipMeter(0.0, np.zeros(1)), corners, turn)
    assert lips.measure(np.array([[0.0], [1.0]]))[1].tolist() == [5.0, 13.0]


def test_lips_that_follow_late_are_told(tools: SimpleNamespace) -> None:
    chance = np.random.default_rng(0)
    gap, width = chance.standard_normal((2, 100))
    trusted = np.ones(100, bool)
    same = tools.marks.mark_lips((gap, width), (gap, width), trusted)
    assert (same.r_gap, same.r_width, same.lag) == (pytest.approx(1), pytest.approx(1), 0)
    late = tools.marks.mark_lips((np.roll(gap, 3), -width), (gap, width), trusted)
    assert (late.lag, late.r_width) == (3, pytest.approx(-1))
    few = tools.marks.mark_lips((gap[:1], width[:1]), (gap[:1], width[:1]), trusted[:1])
    assert few.lag == 0


def test_frames_that_show_no_mouth_do_not_count(tools: SimpleNamespace) -> None:
    gap = np.random.default_rng(0).standard_normal(40)
    wrong, trusted = gap.copy(), np.ones(40, bool)
    wrong[:5], trusted[:5] = 99, False
    assert tools.marks.mark_lips((wrong, wrong), (gap, gap), trusted).r_gap == pytest.approx(1)


def test_a_constant_error_counts_in_millimetres_and_has_no_change(
    tools: SimpleNamespace, film: Any, bench: Any
) -> None:
    space = tools.trial.measure_mouth(bench.model, film.track, QUICK)
    real = space.expression_to_mouth(film.expression)
    none = tools.marks.mark_errors(real, film, space)
    assert (none.mse, none.mae, none.change_mse) == (0, 0, 0)
    off = tools.marks.mark_errors(real + 0.5, film, space)
    assert off.mse == pytest.approx(float(((0.5 * space.scale) ** 2).mean()), rel=1e-4)
    assert off.mae == pytest.approx(float((0.5 * space.scale).mean()), rel=1e-4)
    assert off.change_mse == pytest.approx(0, abs=1e-9)


def test_a_cut_between_two_shots_is_no_change(
    tools: SimpleNamespace, film: Any, bench: Any
) -> None:
    space = tools.trial.measure_mouth(bench.model, film.track, QUICK)
    real = space.expression_to_mouth(film.expression)
    at_the_cut = real + (np.arange(200) >= 100)[:, None]
    assert tools.marks.mark_errors(at_the_cut, film, space).change_mse == pytest.approx(0, abs=1e-9)
    later = real + (np.arange(200) >= 101)[:, None]
    assert tools.marks.mark_errors(later, film, space).change_mse > 1e-4


def test_movement_is_a_speed(tools: SimpleNamespace, space: Any) -> None:
    mouth = np.outer(np.arange(50), [0.1, 0.0])
    chosen = np.arange(50) < 20
    speed = tools.marks.movement(mouth, 25.0, space, chosen)
    assert speed == pytest.approx(0.1 * space.scale[0] * 25)
    mouth[30:] += 9  # where nobody looks
    assert tools.marks.movement(mouth, 25.0, space, chosen) == pytest.approx(speed)
    assert math.isnan(tools.marks.movement(mouth, 25.0, space, np.zeros(50, bool)))


# -- trials ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pupil(tools: SimpleNamespace, bench: Any, film: Any) -> Any:
    return tools.trial.teach(bench, tools.tables.parted(film, None)[0])


def test_a_pupil_is_asked_what_it_never_heard(
    tools: SimpleNamespace, pupil: Any, film: Any
) -> None:
    own, asked = tools.tables.parted(film, None)
    assert len(own.seconds) == len(pupil.footage.frame_seconds) == 160
    np.testing.assert_array_equal(asked.expression, film.expression[160:])
    answer = pupil.ask(asked, pupil.offset_s)
    assert answer.lips.r_gap > 0.7
    assert answer.lips.lag == 0
    still = tools.marks.mark_errors(np.zeros_like(answer.mouth), asked, pupil.space)
    assert answer.errors.mse < 0.7 * still.mse


@pytest.mark.parametrize("live", [False, True])
def test_late_sound_is_heard_late(pupil: Any, other: Any, live: bool) -> None:
    late = replace(other, samples=np.pad(other.samples, (3200, 0)))
    assert pupil.ask(late, 0.2, live=live).lips.lag == 0
    assert pupil.ask(late, 0.0, live=live).lips.lag == 5


def test_what_a_network_costs_is_measured(tools: SimpleNamespace, tiny: Any, film: Any) -> None:
    pupil = tools.trial.teach(tiny, film)
    assert pupil.spent_s > 0
    assert tools.trial.batch_ms(pupil) > 0
    assert min(tools.trial.minute_ms(pupil)) > 0


def test_an_offset_moves_what_is_learned(tools: SimpleNamespace, tiny: Any, film: Any) -> None:
    pupil = tools.trial.teach(replace(tiny, offset_s=0.1), film)
    assert pupil.offset_s == pytest.approx(0.1)
    assert pupil.footage.frame_seconds[0] == pytest.approx(0.1)
    assert tools.trial.offset_of(tiny, film, pupil.space) == 0


def test_others_are_learned_from_beside_the_own(
    tools: SimpleNamespace, tiny: Any, film: Any, other: Any
) -> None:
    pupil = tools.trial.teach(tiny, film, [other])
    assert pupil.metrics["corpus_s"] == pytest.approx(4.0, abs=0.1)
    assert len(pupil.footage.frame_seconds) == len(film.seconds)
