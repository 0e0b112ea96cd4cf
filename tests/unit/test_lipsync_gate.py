"""The gate on made-up speech: a mouth that follows its sound passes, others do not."""

from __future__ import annotations

import numpy as np
import pytest

from metatalk.lipsync.config import GateConfig
from metatalk.lipsync.gate import (
    ASIDE,
    FLAT,
    LATE,
    UNLIKE,
    Spoken,
    compare,
    hear_and_see,
    open_share,
    screen,
)

RATE = 25.0
CONFIG = GateConfig()


def speech(seed: int, seconds: float = 4.0, noise: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """A mel whose lower bands open the mouth and whose upper ones close it, and the gap."""
    rng = np.random.default_rng(seed)
    columns = round(seconds * 80) + 40
    voice = np.convolve(rng.normal(size=columns + 30), np.hanning(16), "same")[:columns]
    hiss = np.convolve(rng.normal(size=columns + 30), np.hanning(16), "same")[:columns]
    mel = np.concatenate([np.tile(voice, (40, 1)), np.tile(hiss, (40, 1))])
    mel = mel + 0.3 * rng.normal(size=mel.shape)
    at = np.rint(np.arange(round(seconds * RATE)) / RATE * 80).astype(int)
    gap = 5 + voice[at] - 0.5 * hiss[at] + noise * rng.normal(size=len(at))
    return mel.astype(np.float32), gap


def spoken(seed: int, late: int = 0, **how: float) -> Spoken:
    mel, gap = speech(seed, **how)
    return hear_and_see(mel, np.roll(gap, late), np.arange(len(gap)) / RATE)


def flat(seed: int) -> Spoken:
    mel, gap = speech(seed)
    return hear_and_see(mel, 5 + 0.05 * (gap - gap.mean()), np.arange(len(gap)) / RATE)


def foreign(seed: int) -> Spoken:
    """The mouth of another sentence."""
    mel, gap = speech(seed)[0], speech(seed + 1000)[1]
    return hear_and_see(mel, gap, np.arange(len(gap)) / RATE)


OWN = spoken(999, seconds=30.0)
GOOD = [spoken(seed) for seed in range(20)]


def test_good_sentences_pass() -> None:
    found = screen(GOOD, OWN, CONFIG)
    assert found.reasons == ("",) * len(GOOD)
    assert found.knows
    assert found.common_lag_s == 0
    assert found.common_likeness > 0.5


@pytest.mark.parametrize("late", [-5, 5])
def test_a_sentence_out_of_sync_is_dropped_and_no_other(late: int) -> None:
    found = screen([*GOOD, spoken(50, late)], OWN, CONFIG)
    assert found.reasons == (*[""] * len(GOOD), ASIDE)
    sync = found.syncs[-1]
    assert sync is not None
    assert sync.lag_s == pytest.approx(late / RATE)


def test_the_mouth_of_another_sentence_is_dropped() -> None:
    reasons = screen([*GOOD, foreign(50), foreign(51)], OWN, CONFIG).reasons
    assert set(reasons[:-2]) == {""}
    assert set(reasons[-2:]) <= {UNLIKE, ASIDE}


def test_a_frozen_mouth_is_dropped_however_few_sentences_there_are() -> None:
    assert screen([flat(1), GOOD[0]], OWN, CONFIG).reasons == (FLAT, "")


@pytest.mark.parametrize("late", [-5, 5])
def test_a_teacher_that_is_always_out_of_sync_is_caught_by_the_own_clip(late: int) -> None:
    all_late = [spoken(seed, late) for seed in range(12)]
    found = screen(all_late, OWN, CONFIG)
    assert set(found.reasons) == {LATE}
    assert found.common_lag_s == pytest.approx(late / RATE)
    # A clip that is itself in doubt cannot say so, and the sentences agree with each other.
    assert LATE not in screen(all_late, OWN, CONFIG, in_sync=False).reasons


def test_a_teacher_whose_mouths_are_noise_is_dropped_once_there_is_enough_to_tell() -> None:
    noise = [foreign(seed) for seed in range(60, 80)]
    reasons = screen(noise, OWN, CONFIG, in_sync=False).reasons
    assert sum(reason in (UNLIKE, ASIDE) for reason in reasons) >= 15  # chance lets some pass
    few = screen(noise[:4], OWN, CONFIG, in_sync=False)
    assert not few.knows
    assert set(few.reasons) == {""}


def test_a_sentence_too_short_to_judge_is_kept() -> None:
    short = spoken(5, seconds=0.5)
    found = screen([*GOOD, short], OWN, CONFIG)
    assert found.reasons[-1] == ""
    assert found.syncs[-1] is None


def test_frames_without_a_face_are_left_out() -> None:
    mel, gap = speech(1)
    gap[10:30] = np.nan
    said = hear_and_see(mel, gap, np.arange(len(gap)) / RATE)
    assert len(said.opening) == len(gap) - 20
    assert np.isfinite(said.features).all()


def test_lips_that_come_late_have_a_positive_lag() -> None:
    track = np.convolve(np.random.default_rng(0).normal(size=200), np.ones(5), "same")
    assert compare(track, np.roll(track, 3), RATE, 0.08).lag_s == pytest.approx(3 / RATE)


def test_lips_apart_at_p_b_and_m_are_counted() -> None:
    seconds = np.arange(100) / RATE
    gap = np.full(100, 6.0)
    gap[[24, 50]] = 0.2  # at 0.96 s and 2 s
    phones = np.array([[0.9, 1.0], [1.95, 2.05], [3.0, 3.1], [3.5, 3.6]])
    assert open_share(gap, seconds, phones, near_mm=1.0) == 0.5
    assert open_share(gap, seconds, phones[:2], near_mm=1.0) is None
    gap[70:95] = np.nan
    assert open_share(gap, seconds, phones, near_mm=1.0) is None
