"""Closures that are kept, missed, and made where there should be none."""

from __future__ import annotations

import numpy as np
import pytest

from metatalk.a2e.phone_times import phone_times
from metatalk.errors import MediaError, ShapeError
from metatalk.evaluate.closures import (
    bilabial_starts,
    face_gap,
    parse_word_times,
    score_closures,
)

SECONDS = np.arange(100) / 25.0
NONE = phone_times([])


def lips(*shut: float) -> np.ndarray:
    """A gap of 0.05, closed for two frames around some moments."""
    gap = np.full(len(SECONDS), 0.05)
    for moment in shut:
        gap[np.abs(SECONDS - moment) < 0.041] = 0.001
    return gap


def test_kept_and_missed_closures_are_counted() -> None:
    found = score_closures(lips(1.0, 2.0), SECONDS, np.array([1.0, 2.0, 3.0, 99.0]), NONE)
    assert (found.asked, found.closed) == (3, 2)  # 99 s is past the video
    assert found.closed_share == pytest.approx(2 / 3)
    assert found.false_share is None


def test_a_closure_elsewhere_does_not_count() -> None:
    assert score_closures(lips(1.15), SECONDS, np.array([1.0]), NONE).closed == 0
    assert score_closures(lips(1.04), SECONDS, np.array([1.0]), NONE).closed == 1


def test_open_vowels_with_closed_lips_are_false() -> None:
    spoken = phone_times([(0.9, 1.1, "AA"), (1.9, 2.1, "AO"), (2.5, 2.52, "AE"), (2.9, 3.1, "IY")])
    found = score_closures(lips(1.0, 3.0), SECONDS, np.zeros(0), spoken)
    assert (found.vowels, found.shut_vowels) == (2, 1)  # a short one and a narrow one do not count
    real = score_closures(lips(1.0), SECONDS, np.zeros(0), spoken, real_gap=lips(1.0))
    assert (real.vowels, real.shut_vowels) == (1, 0)
    with pytest.raises(ShapeError):
        score_closures(lips(), SECONDS, np.zeros(0), spoken, real_gap=np.zeros(3))


def test_words_begin_with_lips_as_they_are_spoken() -> None:
    words = parse_word_times(
        "0.1\t0.2\tbin\n0.2\t0.3\tat\n0.3\t0.4\tm\n0.4\t0.5\tb\n0.5\t1\tplease\n"
    )
    np.testing.assert_allclose(bilabial_starts(words), [0.1, 0.4, 0.5])
    with pytest.raises(MediaError, match="line 2"):
        parse_word_times("0\t1\tbin\n1 2 at\n")


def test_the_gap_is_told_in_face_heights() -> None:
    track = np.zeros((3, 478, 2))
    track[:, 152, 1] = 200.0  # chin
    track[:, 14, 1] = [0.0, 5.0, 10.0]  # inner lower lip
    np.testing.assert_allclose(face_gap(track), [0.0, 0.025, 0.05])
    np.testing.assert_allclose(face_gap(3 * track), face_gap(track))
    with pytest.raises(ShapeError):
        face_gap(track[:, :68])
