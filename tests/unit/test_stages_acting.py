"""Another performance drives the lower face: at its own times, over gaps, not over cuts."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from metatalk.stages.performance import Act, acted_expression
from metatalk.stages.performer import Performer, performance_entry
from metatalk.workspace.consent import NOT_ON_RECORD
from metatalk.workspace.digest import digest_file
from metatalk.workspace.ledger import Entry

LOWER = np.array([True, True, False])
REST = np.array([0.05, 0.1, 0.9])


def act(rate: float, frames: int, trusted: np.ndarray | None = None, **changed: object) -> Act:
    """Two lower units that rise and fall with time, and one of the brow."""
    seconds = np.arange(frames) / rate
    values = np.stack([seconds / 10, 1 - seconds / 10, np.full(frames, 7.0)], -1)
    known = np.ones(frames, bool) if trusted is None else trusted
    given = {"expression": values.astype(np.float32), "shots": np.zeros(frames, int), **changed}
    return Act(seconds, is_trusted=known, **given)  # type: ignore[arg-type]


def played(performance: Act, seconds: np.ndarray) -> np.ndarray:
    filmed = np.full((len(seconds), 3), 0.5, np.float32)
    return acted_expression(performance, seconds, filmed, LOWER, REST)


def without(frames: int, first: int, end: int) -> np.ndarray:
    known = np.ones(frames, bool)
    known[first:end] = False
    return known


def test_the_same_frames_give_the_very_same_lower_face():
    chance = np.random.default_rng(0)
    own = chance.normal(size=(90, 3)).astype(np.float32)
    own[::3] = 0.0  # where a mix with a neighbour shows, however small its share
    rate = 30000 / 1001
    performance = act(rate, 90, expression=own)
    times = np.arange(90) * 1001 * float(Fraction(1, 30000))  # the same, rounded otherwise
    shown = played(performance, times)
    assert np.array_equal(shown[:, :2], own[:, :2])
    assert (shown[:, 2] == 0.5).all()  # the brow stays the footage's


@pytest.mark.parametrize("rates", [(25.0, 30.0), (60.0, 24.0), (30000 / 1001, 25.0)])
def test_other_rates_show_the_same_movement(rates: tuple[float, float]):
    there, here = rates
    seconds = np.arange(int(2 * here)) / here
    shown = played(act(there, int(2.2 * there)), seconds)
    np.testing.assert_allclose(shown[:, 0], seconds / 10, atol=1e-6)
    np.testing.assert_allclose(shown[:, 1], 1 - seconds / 10, atol=1e-6)


def test_a_short_gap_is_bridged():
    performance = act(25.0, 100, without(100, 40, 51))  # 0.48 s between what is known
    performance.expression[40:51] = 99.0
    seconds = np.arange(100) / 25
    np.testing.assert_allclose(played(performance, seconds)[:, 0], seconds / 10, atol=1e-6)


def test_in_a_long_gap_the_mouth_rests():
    shown = played(act(25.0, 200, without(200, 50, 125)), np.arange(200) / 25)
    np.testing.assert_allclose(shown[87, :2], REST[:2], atol=1e-6)  # 1.5 s from both sides
    assert shown[49, 0] == pytest.approx(1.96 / 10)
    assert shown[125, 0] == pytest.approx(5.0 / 10)
    assert np.abs(np.diff(shown[:, 0])).max() < 0.1  # goes there and comes back, no jump


def test_after_its_end_and_before_its_beginning_the_mouth_rests():
    shown = played(act(25.0, 100, without(100, 0, 30)), np.array([0.0, 1.2, 3.96, 4.1, 4.5, 60.0]))
    np.testing.assert_allclose(shown[[0, 4, 5], :2], [REST[:2]] * 3, atol=1e-6)
    np.testing.assert_allclose(shown[[1, 2, 3], 0], [0.12, 0.396, 0.396], atol=1e-6)


def test_nothing_runs_across_a_cut():
    shots = (np.arange(50) >= 25).astype(int)
    values = np.where(shots[:, None] > 0, 1.0, 0.0) * np.ones(3)
    performance = act(25.0, 50, expression=values, shots=shots)
    shown = played(performance, np.array([0.96, 0.98, 0.999, 1.0]))
    np.testing.assert_allclose(shown[:, 0], [0, 0, 0, 1])


def test_the_ledger_names_the_performance_on_its_own_terms(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    clip, stranger = tmp_path / "clip.mp4", tmp_path / "stranger.mp4"
    clip.write_bytes(b"known")
    stranger.write_bytes(b"unknown")
    known = [Entry("footage", "before.mp4", "Jane: all, granted by Jane", digest_file(clip))]
    entry = performance_entry(known, Performer(clip))
    assert entry == Entry("performance", "clip.mp4", known[0].terms, known[0].digest)
    assert not caplog.records
    entry = performance_entry(known, Performer(stranger, other_person=True))
    assert (entry.kind, entry.terms) == ("performance", NOT_ON_RECORD)
    assert "not on record" in caplog.text
