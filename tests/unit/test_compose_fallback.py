"""Where the filmed mouth is kept: limits, hysteresis, fades, words."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from metatalk.compose.fallback.config import FallbackConfig
from metatalk.compose.fallback.foreground_masks import Foreground
from metatalk.compose.fallback.occlusion import Hidden
from metatalk.compose.fallback.stretches import (
    Fallback,
    Poses,
    fade_in_order,
    fallback_strength,
    find_fallbacks,
    measure_poses,
    measure_sharpness,
)
from metatalk.errors import ConfigError
from metatalk.morphable.coefficients import TrackCoefficients

FRAMES, RATE = 40, 25.0
ONE_SHOT = np.array([[0, FRAMES]])
CONFIG = FallbackConfig()
WIDE = Poses((-90.0, 90.0), (-90.0, 90.0))


def track(
    confidence: float | np.ndarray = 0.8, yaw_deg: np.ndarray | None = None
) -> TrackCoefficients:
    rotation = torch.zeros(FRAMES, 3)
    if yaw_deg is not None:
        rotation[:, 1] = torch.deg2rad(torch.as_tensor(yaw_deg, dtype=torch.float32))
    sure = np.broadcast_to(np.asarray(confidence, np.float32), FRAMES).copy()
    return TrackCoefficients(
        torch.zeros(FRAMES, 2), rotation, torch.zeros(FRAMES, 3), torch.zeros(FRAMES, 3, 9),
        torch.from_numpy(sure),
    )  # fmt: skip


def nothing_hidden() -> Hidden:
    zeros = np.zeros(FRAMES, np.float32)
    return Hidden(
        zeros, np.full(FRAMES, np.nan, np.float32), zeros, zeros,
        np.full(FRAMES, 0.7, np.float32), np.ones((FRAMES, 8), np.float32), np.ones(FRAMES, bool),
        zeros, zeros,
    )  # fmt: skip


def raised(first: int, end: int, value: float) -> np.ndarray:
    values = np.zeros(FRAMES, np.float32)
    values[first:end] = value
    return values


def found(
    hidden: Hidden | None = None, config: FallbackConfig = CONFIG, **more: object
) -> list[Fallback]:
    settings = {"track": track(), "shots": ONE_SHOT, "trained": WIDE} | more
    return find_fallbacks(
        settings["track"], settings["shots"], RATE, config, hidden, settings["trained"]
    )


def test_an_open_face_is_painted_over_throughout() -> None:
    assert found(nothing_hidden()) == []
    assert (fallback_strength([], ONE_SHOT, 4) == 1).all()


def test_a_hand_is_found_with_a_guard_around_it_and_told_by_its_worst_frame() -> None:
    share = raised(10, 16, 0.02)
    share[13] = 0.2
    away = np.full(FRAMES, 3.0, np.float32)
    (hand,) = found(replace(nothing_hidden(), hand_share=share, hand_away=away))
    assert (hand.kind, hand.first, hand.end) == ("hand", 8, 18)
    assert "20 %" in hand.words
    assert hand.severity == pytest.approx(0.2 / CONFIG.hand_share)


def test_what_is_taken_for_a_hand_but_looks_like_the_face_is_none() -> None:
    away = np.full(FRAMES, 0.4, np.float32)
    ghost = replace(nothing_hidden(), hand_share=raised(10, 16, 0.3), hand_away=away)
    assert found(ghost) == []
    # A touch at the edge shows no cell of the face to be told by.
    touch = replace(nothing_hidden(), hand_share=raised(10, 16, 0.02))
    assert [one.kind for one in found(touch)] == ["hand"]


def test_one_frame_alone_is_a_mistake_of_the_measure() -> None:
    assert found(replace(nothing_hidden(), strange_blob=raised(10, 11, 0.3))) == []
    assert len(found(replace(nothing_hidden(), strange_blob=raised(10, 12, 0.3)))) == 1
    # A hand is sought with care enough: a fingertip that passes by counts at once.
    assert len(found(replace(nothing_hidden(), hand_share=raised(10, 11, 0.01)))) == 1


def test_a_covering_counts_until_it_falls_below_a_third_of_its_limit() -> None:
    blob = raised(10, 20, 0.4 * CONFIG.covered_share)  # too short to count for itself
    assert found(replace(nothing_hidden(), strange_blob=blob)) == []
    blob[12] = 1.2 * CONFIG.covered_share
    (covered,) = found(replace(nothing_hidden(), strange_blob=blob))
    assert (covered.first, covered.end) == (8, 22)
    assert covered.words == "something covers 6 % of the lower face"


def test_what_is_left_of_a_covering_near_by_belongs_to_it() -> None:
    """A caption whose few letters are seen better in one frame than in the next."""
    blob = raised(5, 8, 0.06) + raised(9, 20, 0.02) + raised(24, 26, 0.03)
    blob[8] = 0.0  # and in one not at all
    (caption,) = found(replace(nothing_hidden(), strange_blob=blob))
    assert (caption.first, caption.end) == (3, 28)
    # A lone frame near by may be a mistake, and what is far away never was a covering.
    blob = raised(10, 13, 0.06) + raised(16, 17, 0.03) + raised(28, 33, 0.03)
    (covered,) = found(replace(nothing_hidden(), strange_blob=blob))
    assert (covered.first, covered.end) == (8, 15)


def test_what_covers_little_counts_if_it_lasts() -> None:
    """A caption's letters, or its shadowless white on light skin, never cover a twentieth."""
    letters = raised(8, 32, 0.02)
    letters[28] = 0.03
    (caption,) = found(replace(nothing_hidden(), strange_blob=letters))
    assert (caption.first, caption.end) == (6, 34)
    assert caption.words == "something covers 3 % of the lower face"
    assert found(replace(nothing_hidden(), strange_blob=raised(8, 16, 0.02))) == []
    assert found(replace(nothing_hidden(), strange_blob=raised(0, FRAMES, 0.012))) == []
    noise = raised(8, 32, 0.04)
    noise[::2] = 0.0
    noise[1::4] = 0.0  # every fourth frame
    assert found(replace(nothing_hidden(), strange_blob=noise)) == []


def test_what_lasts_is_no_worse_than_it_is_and_told_by_its_worst_frame() -> None:
    letters = raised(4, 28, 0.02)
    (caption,) = found(replace(nothing_hidden(), strange_blob=letters))
    assert caption.severity == 1
    letters[15] = 1.5 * CONFIG.covered_share
    (caption,) = found(replace(nothing_hidden(), strange_blob=letters))
    assert caption.severity == pytest.approx(1.5)
    # The last frames are worse, but too far from the others to go on with them.
    apart = raised(4, 22, 0.016) + raised(26, 28, 0.03)
    (caption,) = found(replace(nothing_hidden(), strange_blob=apart))
    assert (caption.end, caption.severity) == (30, 1)
    assert caption.words == "something covers 3 % of the lower face"


def test_a_covering_before_a_cut_does_not_go_on_after_it() -> None:
    cut, share = np.array([[0, 20], [20, FRAMES]]), CONFIG.covered_share
    before, after = raised(10, 20, 3.0 * share), raised(20, 24, 0.32 * share)
    kept = found(replace(nothing_hidden(), strange_blob=before + after), shots=cut)
    assert [(one.first, one.end) for one in kept] == [(8, 20)]
    assert kept[0].severity == pytest.approx(3.0)
    # Nor does one after a cut begin before it; what lasts in its own shot counts in both.
    kept = found(replace(nothing_hidden(), strange_blob=(before + after)[::-1].copy()), shots=cut)
    assert [(one.first, one.end) for one in kept] == [(20, 32)]
    lasting = raised(2, 38, 0.4 * share)
    kept = found(replace(nothing_hidden(), strange_blob=lasting), shots=cut)
    assert [(one.first, one.end) for one in kept] == [(0, 20), (20, 40)]


def test_a_fade_is_left_alone_from_its_first_frames_on_and_told_by_its_darkest() -> None:
    level = raised(20, 30, 0.0)
    level[20:30] = -np.linspace(0.08, 0.9, 10)
    (fade,) = found(replace(nothing_hidden(), level=level))
    assert (fade.kind, fade.first, fade.end) == ("exposure", 19, 32)
    assert fade.words == "41 % as light as in the seconds around"
    assert found(replace(nothing_hidden(), level=0.25 * level)) == []
    bright = replace(nothing_hidden(), level=-level)
    assert found(bright)[0].words == "246 % as light as in the seconds around"


def test_a_flash_of_a_single_frame_is_left_alone() -> None:
    flash = replace(nothing_hidden(), level=raised(20, 21, 0.2), clipped=raised(20, 21, 0.9))
    (one,) = found(flash)
    assert (one.kind, one.first, one.end) == ("exposure", 18, 23)
    assert one.words == "overexposed: 90 % of the skin more than usual"
    assert found(replace(flash, clipped=raised(20, 21, 0.1))) == []


def test_coverings_with_little_between_them_are_one_but_never_across_a_cut() -> None:
    blob = raised(10, 13, 0.3) + raised(18, 21, 0.3)
    hidden = replace(nothing_hidden(), strange_blob=blob)
    assert [(one.first, one.end) for one in found(hidden)] == [(8, 23)]
    cut = np.array([[0, 13], [13, FRAMES]])
    assert [(one.first, one.end) for one in found(hidden, shots=cut)] == [(8, 13), (16, 23)]


def test_a_head_turned_beyond_the_training_is_left_alone() -> None:
    yaw = np.zeros(FRAMES)
    yaw[20:25] = 58.0
    (turned,) = found(track=track(yaw_deg=yaw), trained=Poses((-5.0, 31.0), (0.0, 0.0)))
    assert (turned.kind, turned.first, turned.end) == ("turned", 20, 25)
    assert turned.words == "turned 58 degrees, trained to 31"
    assert found(track=track(yaw_deg=yaw * 0.75), trained=Poses((-5.0, 31.0), (0.0, 0.0))) == []
    # The same to the other side, to which it was hardly seen.
    (turned,) = found(track=track(yaw_deg=-0.5 * yaw), trained=Poses((-5.0, 31.0), (0.0, 0.0)))
    assert turned.words == "turned 29 degrees, trained to 5"


def test_a_conversation_s_turns_need_no_training() -> None:
    yaw = np.full(FRAMES, 18.0)
    assert found(track=track(yaw_deg=yaw), trained=Poses((0.0, 0.0), (0.0, 0.0))) == []


def test_poses_are_measured_in_trusted_frames_without_the_outermost() -> None:
    yaw = np.linspace(-10.0, 30.0, FRAMES)
    sure = np.full(FRAMES, 0.8)
    sure[30:] = 0.1  # the most turned are not to be trusted
    poses = measure_poses(track(sure, yaw))
    assert -10.0 < poses.yaw[0] < -9.0
    assert 18.0 < poses.yaw[1] < yaw[29]
    assert measure_poses(track(0.0)) == Poses((0.0, 0.0), (0.0, 0.0))


def test_blur_in_one_direction_is_blur() -> None:
    edges = np.ones((FRAMES, 8), np.float32)
    edges[15:18, 3] = 0.3
    hidden = replace(nothing_hidden(), edges=edges)
    assert measure_sharpness(hidden)[16] == pytest.approx(0.3)
    (blur,) = found(hidden)
    assert (blur.kind, blur.first, blur.end) == ("blur", 15, 18)
    assert blur.words == "blurred: 30 % as sharp as usual"
    assert found(replace(hidden, edges=edges * 0.1 + 0.9)) == []


def test_a_lower_face_turned_away_is_told_by_what_the_camera_sees_of_it() -> None:
    seen = np.full(FRAMES, 0.7, np.float32)
    seen[5:9] = 0.2
    (away,) = found(replace(nothing_hidden(), seen_share=seen))
    assert (away.kind, away.first, away.end) == ("hidden", 5, 9)


def test_a_lost_face_is_left_alone_even_when_nothing_else_is_looked_for() -> None:
    sure = np.full(FRAMES, 0.8)
    sure[5:7], sure[30] = 0.0, 0.1
    hidden = replace(nothing_hidden(), strange_blob=raised(15, 20, 0.5))
    off = FallbackConfig(enabled=False)
    lost = found(hidden, off, track=track(sure))
    assert [(one.kind, one.first, one.end) for one in lost] == [("no face", 5, 7), ("lost", 30, 31)]
    assert lost[0].words == "no face"
    assert "0.10" in lost[1].words


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("hands", {"hand_share": raised(10, 16, 0.02)}),
        ("covered", {"strange_blob": raised(10, 16, 0.2)}),
        ("exposure", {"level": raised(10, 16, 0.5)}),
        ("turned", {"seen_share": 0.7 - raised(10, 16, 0.6)}),
        ("blur", {"edges": np.ones((FRAMES, 8), np.float32) - raised(10, 13, 0.8)[:, None]}),
    ],
)
def test_each_reason_can_be_switched_off(name: str, change: dict[str, np.ndarray]) -> None:
    hidden = replace(nothing_hidden(), **change)
    assert len(found(hidden)) == 1
    assert found(hidden, FallbackConfig(**{name: False})) == []


def test_the_fade_is_done_before_the_stretch_and_stops_at_a_cut() -> None:
    shots = np.array([[0, 20], [20, FRAMES]])
    strength = fallback_strength([Fallback(14, 20, "hand", "", 2.0)], shots, 4)
    np.testing.assert_allclose(strength[8:15], [1, 1, 0.8, 0.6, 0.4, 0.2, 0], atol=1e-6)
    assert (strength[14:20] == 0).all()
    assert (strength[20:] == 1).all()
    assert strength.dtype == np.float32


@given(
    kept=st.lists(st.booleans(), min_size=FRAMES, max_size=FRAMES),
    cut=st.integers(1, FRAMES - 1),
    fade=st.integers(0, 6),
)
def test_strength_is_the_distance_to_the_nearest_kept_frame_of_the_shot(
    kept: list[bool], cut: int, fade: int
) -> None:
    ranges = [Fallback(t, t + 1, "lost", "", 1.0) for t in range(FRAMES) if kept[t]]
    strength = fallback_strength(ranges, np.array([[0, cut], [cut, FRAMES]]), fade)
    for t in range(FRAMES):
        near = [abs(t - k) for k in range(FRAMES) if kept[k] and (k < cut) == (t < cut)]
        assert math.isclose(strength[t], min([1.0, *(a / (fade + 1) for a in near)]), abs_tol=1e-6)


@pytest.mark.parametrize(
    ("key", "value"),
    [("hand_share", 0.0), ("covered_share", 1.0), ("seen_share", -1.0), ("sharpness", 2.0),
     ("brightness", 1.0), ("turn_margin_deg", 91.0), ("guard_s", -0.1), ("merge_s", 6.0)],
)  # fmt: skip
def test_settings_that_mean_nothing_are_refused(key: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"drive.fallback.{key}"):
        FallbackConfig(**{key: value})


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from([0.0, 0.4, 1.0]), min_size=1, max_size=40), st.integers(0, 6))
def test_a_result_fades_as_long_as_its_footage_does(strength: list[float], fade: int) -> None:
    before = np.array(strength, np.float32)
    shot = np.arange(len(before)) // 15
    after = fade_in_order(before, shot, fade)
    assert (after <= before).all()
    assert (after[before == 0] == 0).all()
    steps, same = np.abs(np.diff(after)), shot[1:] == shot[:-1]
    assert (steps[same] <= 1 / (fade + 1) + 1e-4).all()


def behind(share: np.ndarray) -> Foreground:
    """Something stands before so much of the lips."""
    shot, box = np.array([[0, FRAMES]]), np.array([[0, 0, 9, 9]], np.int32)
    return Foreground(shot, box, (np.full((3, 3), 255, np.uint8),), share)


def test_lips_behind_what_stands_before_them_are_left_alone_and_others_are_not() -> None:
    share = raised(15, 25, 0.8)
    share[:15] = 0.3

    def kept(config: FallbackConfig) -> list[Fallback]:
        return find_fallbacks(track(), ONE_SHOT, RATE, config, standing=behind(share))

    only = kept(CONFIG)
    assert [one.kind for one in only] == ["covered"]
    guard = round(CONFIG.guard_s * RATE)
    assert (only[0].first, only[0].end) == (15 - guard, 25 + guard)
    assert "80 % of the lips" in only[0].words
    assert kept(replace(CONFIG, mouth_share=0.9)) == []
    assert kept(replace(CONFIG, standing=False)) == []
    assert kept(replace(CONFIG, enabled=False)) == []
