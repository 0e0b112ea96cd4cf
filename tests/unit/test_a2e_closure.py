"""Lips close around p, b and m: how far, how fast, and never the other way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from mouth_toys import mouth_model

from metatalk.a2e.closure import (
    close_lips,
    closing,
    held_seconds,
    smallest_change,
    wanted_gap,
)
from metatalk.a2e.closure_config import ClosureConfig
from metatalk.a2e.lip_meter import LipMeter, make_lip_meter
from metatalk.a2e.phone_times import PhoneTimes, phone_times
from metatalk.a2e.targets import MouthSpace, fit_mouth_space
from metatalk.errors import ConfigError, ShapeError

RATE = 50.0
SECONDS = np.arange(200) / RATE
FINE = np.arange(0, 4, 0.001)
EXACT = ClosureConfig()
B = phone_times([(1.0, 1.12, "B"), (2.5, 2.6, "P")])
UNITS = 6


@pytest.fixture(scope="module")
def mouth() -> tuple[MouthSpace, LipMeter, np.ndarray]:
    """A mouth of six units, three of them the jaw and lips, and how it was filmed."""
    generator = np.random.default_rng(0)
    filmed = generator.normal(0.0, 1.0, (400, UNITS))
    basis = generator.normal(0.0, 1.0, (UNITS, 30))
    lower = np.array([True] * 4 + [False] * 2)
    space = fit_mouth_space(filmed, np.ones(400, bool), basis, lower, 4)
    slope = np.array([3.0, -1.0, 0.5, 0.0, 2.0, 0.0])
    meter = LipMeter(4.0, slope, 0.0)
    return space, meter, filmed


def spoken(space: MouthSpace, amount: float = 0.4) -> np.ndarray:
    clock = SECONDS[:, None] * np.array([3.0, 2.0, 5.0, 4.0, 0.5, 0.7])
    waves = amount * np.sin(clock + np.arange(UNITS)) + space.mean
    return waves.astype(np.float32)


def heard(phones: PhoneTimes, confidence: float) -> PhoneTimes:
    return replace(phones, confidence=np.full(len(phones), confidence))


def test_strength_zero_changes_nothing(mouth: tuple[MouthSpace, LipMeter, np.ndarray]) -> None:
    space, meter, _ = mouth
    face = spoken(space)
    out = close_lips(face, SECONDS, B, space, meter, ClosureConfig(strength=0.0))
    assert np.array_equal(out, face)


def test_the_gap_is_zero_at_the_closures_centre(
    mouth: tuple[MouthSpace, LipMeter, np.ndarray],
) -> None:
    space, meter, _ = mouth
    out = close_lips(spoken(space), SECONDS, B, space, meter, EXACT)
    gap = meter.gap_mm(out)
    for phone in range(len(B)):
        first, last = held_seconds(B, phone)
        held = np.abs(SECONDS - (first + last) / 2) <= (last - first) / 2
        assert held.any()
        assert np.abs(gap[held]).max() < 0.01
    assert meter.gap_mm(spoken(space)).min() > 1.0  # it was open before


def test_lips_are_never_opened_and_only_near_the_phones(
    mouth: tuple[MouthSpace, LipMeter, np.ndarray],
) -> None:
    space, meter, _ = mouth
    face = spoken(space)
    before, out = meter.gap_mm(face), close_lips(face, SECONDS, B, space, meter, EXACT)
    after = meter.gap_mm(out)
    assert (after <= before + 1e-4).all()
    far = (np.abs(SECONDS - 1.05) > 0.3) & (np.abs(SECONDS - 2.55) > 0.3)
    assert np.abs(out[far] - face[far]).max() < 1e-6
    assert np.array_equal(out[:, ~space.lower_units], face[:, ~space.lower_units])


def test_a_phone_that_was_heard_is_borne_out_by_the_mouth_before_it_was_tuned(
    mouth: tuple[MouthSpace, LipMeter, np.ndarray],
) -> None:
    space, meter, _ = mouth
    predicted, unsure = spoken(space), heard(B, 0.5)
    tuned = predicted + np.array([2.0, 0, 0, 0, 0, 0], np.float32)  # the unit that opens most
    held = np.abs(SECONDS - 1.035) < 0.02
    doubted = close_lips(tuned, SECONDS, unsure, space, meter, EXACT)
    believed = close_lips(tuned, SECONDS, unsure, space, meter, EXACT, predicted)
    assert meter.gap_mm(doubted)[held].min() > 5.0
    assert meter.gap_mm(believed)[held].max() < 0.01
    again = close_lips(tuned, SECONDS, unsure, space, meter, EXACT, tuned)
    np.testing.assert_array_equal(again, doubted)


def test_closed_lips_are_left_alone(mouth: tuple[MouthSpace, LipMeter, np.ndarray]) -> None:
    space, meter, _ = mouth
    shut = replace(meter, resting_mm=-20.0)
    face = spoken(space)
    assert np.array_equal(close_lips(face, SECONDS, B, space, shut, EXACT), face)


@pytest.mark.parametrize("height_mm", [2.0, 8.0, 25.0])
def test_lips_move_no_faster_than_allowed(height_mm: float) -> None:
    gap = np.full(len(FINE), height_mm)
    after = wanted_gap(gap, FINE, B, EXACT)
    speed = np.abs(np.diff(after)).max() / 0.001
    assert speed <= EXACT.speed_mm_s * 1.01
    assert after.min() == pytest.approx(0.0, abs=1e-9)
    assert speed >= 0.5 * min(EXACT.speed_mm_s, np.pi / 2 * height_mm / EXACT.ramp_s)


def test_a_ramp_begins_and_ends_without_a_corner() -> None:
    weight = closing(FINE, (1.0, 1.05), np.full(len(FINE), 4.0), EXACT)
    assert np.abs(np.diff(weight, n=2)).max() < 1.5 * (np.pi / EXACT.ramp_s) ** 2 / 2 * 1e-6
    assert weight[(FINE >= 1.0) & (FINE <= 1.05)].min() == 1.0
    assert weight[(FINE < 0.92) | (FINE > 1.13)].max() == 0.0


def test_the_order_of_the_phones_does_not_matter() -> None:
    gap = 5.0 + np.sin(7.0 * SECONDS)
    many = phone_times([(s, s + 0.08, label) for s, label in zip(
        np.arange(0.2, 3.8, 0.17), "BPMFVBPMFVBPMFVBPMFVBP", strict=True)])  # fmt: skip
    mixed = many.take(np.random.default_rng(1).permutation(len(many)))
    assert np.array_equal(
        wanted_gap(gap, SECONDS, many, EXACT), wanted_gap(gap, SECONDS, mixed, EXACT)
    )


def test_a_closure_between_two_frames_reaches_one() -> None:
    slow = np.arange(0, 4, 1 / 12.0)
    for start in np.linspace(1.0, 1.09, 10):
        quick = phone_times([(start, start + 0.05, "B")])
        assert wanted_gap(np.full(len(slow), 5.0), slow, quick, EXACT).min() < 1e-9


def test_labiodentals_narrow_the_gap_and_do_not_close_it() -> None:
    f = phone_times([(1.0, 1.12, "F")])
    after = wanted_gap(np.full(len(FINE), 6.0), FINE, f, EXACT)
    assert after.min() == pytest.approx(EXACT.teeth_gap_mm)
    narrow = np.full(len(FINE), 1.0)
    assert np.array_equal(wanted_gap(narrow, FINE, f, EXACT), narrow)


def test_phones_that_were_only_heard_must_be_borne_out_by_the_mouth() -> None:
    unsure = heard(B, 0.1)
    ajar, wide = np.full(len(SECONDS), 1.0), np.full(len(SECONDS), 9.0)
    assert wanted_gap(ajar, SECONDS, unsure, EXACT).min() == pytest.approx(0.0, abs=1e-9)
    assert np.array_equal(wanted_gap(wide, SECONDS, unsure, EXACT), wide)
    assert wanted_gap(wide, SECONDS, B, EXACT).min() == pytest.approx(0.0, abs=1e-9)


def test_a_stop_after_a_pause_is_not_held_through_the_pause() -> None:
    stop = phone_times([(0.0, 2.0, "P")])
    hum = phone_times([(0.0, 2.0, "M")])
    assert held_seconds(stop, 0)[0] > 1.5
    assert held_seconds(hum, 0)[0] < 0.1


def test_the_change_is_the_smallest_in_millimetres(
    mouth: tuple[MouthSpace, LipMeter, np.ndarray],
) -> None:
    space, meter, _ = mouth
    slope = space.directions @ meter.per_unit_mm
    cut, place = np.array([1.5]), np.zeros((1, space.components))
    wide = replace(space, low=space.low - 100, high=space.high + 100)
    change = smallest_change(place, cut, wide, slope)[0]
    assert change @ slope == pytest.approx(-1.5, abs=1e-3)
    # The shortest solution of one equation in millimetres, by another road.
    per_mm = (slope / space.scale)[None]
    shortest, *_ = np.linalg.lstsq(per_mm, np.array([-1.5]), rcond=None)
    np.testing.assert_allclose(change * space.scale, shortest, atol=2e-3)


def test_the_change_stays_in_the_actors_range(
    mouth: tuple[MouthSpace, LipMeter, np.ndarray],
) -> None:
    space, meter, _ = mouth
    slope = space.directions @ meter.per_unit_mm
    place = np.random.default_rng(3).uniform(space.low, space.high, (100, space.components))
    change = smallest_change(place, np.full(100, 4.0), space, slope)
    assert (place + change >= space.low - 1e-6).all()
    assert (place + change <= space.high + 1e-6).all()
    inside = (place + change > space.low + 1e-4) & (place + change < space.high - 1e-4)
    reached = np.abs(change @ slope + 4.0) < 0.01
    assert (reached | ~inside[:, np.abs(slope) > 0.1].any(axis=1)).all()
    assert reached.sum() > 30


def test_nothing_to_show_is_nothing_to_close(
    mouth: tuple[MouthSpace, LipMeter, np.ndarray],
) -> None:
    space, meter, _ = mouth
    empty = close_lips(np.zeros((0, UNITS)), np.zeros(0), B, space, meter, EXACT)
    assert empty.shape == (0, UNITS)
    alone = close_lips(spoken(space), SECONDS, phone_times([]), space, meter, EXACT)
    assert np.array_equal(alone, spoken(space))


def test_the_meter_reads_the_mesh_and_starts_at_the_actors_closed_lips() -> None:
    model = mouth_model()
    filmed = np.zeros((100, 3), np.float32)
    filmed[:, 0] = np.linspace(0.1, 0.9, 100)  # never quite shut
    meter = make_lip_meter(model, torch.zeros(1), filmed, np.ones(100, bool))
    half = np.array([[0.5, 0.0, 0.0]], np.float32)
    points = model.shape(torch.zeros(1), torch.from_numpy(half[0]))
    corners = model.triangles[model.landmark_triangles[[62, 66]]]
    pair = (points[corners] * model.landmark_weights[[62, 66]][..., None]).sum(1)
    gap = float(pair[1, 1] - pair[0, 1])
    assert meter.resting_mm + half @ meter.per_unit_mm == pytest.approx(gap, rel=0.35)
    assert meter.closed_mm == pytest.approx(1.0)  # not further than lips may be misfitted
    shut = make_lip_meter(model, torch.zeros(1), 0.0 * filmed, np.ones(100, bool))
    assert shut.gap_mm(np.zeros((1, 3)))[0] == pytest.approx(0.0, abs=1e-6)
    with pytest.raises(ShapeError, match="no landmarks"):
        make_lip_meter(mouth_model(""), torch.zeros(1), filmed, np.ones(100, bool))


@pytest.mark.parametrize(
    "wrong", [{"strength": -1.0}, {"ramp_s": 0.0}, {"speed_mm_s": -5.0}, {"least_odds": np.nan}]
)
def test_settings_are_checked(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        ClosureConfig(**wrong)


def test_long_videos_are_done_piece_by_piece() -> None:
    """A phone sees the frames around it alone: the same alone, and in a long video."""
    long = np.arange(0, 400, 0.04)
    gap = 6.0 + np.sin(long)
    many = phone_times([(s, s + 0.1, "B") for s in np.arange(5.0, 395.0, 0.9)])
    whole = wanted_gap(gap, long, heard(many, 0.4), EXACT)
    part = (long > 100) & (long < 103)
    piece = wanted_gap(gap[part], long[part], heard(many, 0.4), EXACT)
    inner = slice(15, -15)
    np.testing.assert_allclose(whole[part][inner], piece[inner], atol=1e-9)
