"""When phones that ask something of the lips are spoken, told by the sound alone."""

from __future__ import annotations

import numpy as np

from metatalk.a2e.phone_times import PhoneTimes
from metatalk.a2e.phones import PHONES, phone_posteriors
from metatalk.a2e.senones import FRAMES_PER_SECOND

_GROUPS = (
    ("bilabial", ("B", "P", "M")),
    ("labiodental", ("F", "V")),
    ("vowel_open", ("AA", "AE", "AH", "AO", "AW", "AY", "EH")),
    ("silence", ("SIL",)),
)
_LEAST = {"bilabial": 0.12, "labiodental": 0.3}  # posteriors from which a phone is noted
_LIKELY = 0.5
_EDGE = 0.5  # of a phone's peak: where it begins and ends
_LONGEST = 0.5  # seconds


def hear_phones(samples: np.ndarray) -> PhoneTimes:
    """Hear the phones that matter to the lips, in any language.

    Args:
        samples: (S,) speech at 16 kHz in [-1, 1].

    Returns:
        The phones with their confidence; bilabials are noted when they are merely possible.

    Raises:
        MissingAssetError: pocketsphinx is not installed.
        ShapeError: the samples are not one-dimensional.
    """
    return find_phones(phone_posteriors(samples))


def find_phones(posteriors: np.ndarray) -> PhoneTimes:
    """Find phones in posteriors.

    Args:
        posteriors: (T, 40) from `phone_posteriors`.

    Returns:
        Each phone's label is its likeliest of the group; `confidence` is the group's peak.
    """
    found: list[tuple[float, float, str, str, float]] = []
    for kind, members in _GROUPS:
        places = [PHONES.index(member) for member in members]
        group = posteriors[:, places]
        for first, end, peak in _runs(group.sum(axis=1), _LEAST.get(kind, _LIKELY)):
            label = members[int(group[first:end].sum(axis=0).argmax())]
            # Frame t hears the sound around t and a bit; its own stretch is a hundredth long.
            start = first / FRAMES_PER_SECOND
            found.append((start, end / FRAMES_PER_SECOND, label, kind, peak))
    found.sort(key=lambda phone: phone[:2])
    return PhoneTimes(
        np.array([phone[0] for phone in found], float),
        np.array([phone[1] for phone in found], float),
        tuple(phone[2] for phone in found),
        tuple(phone[3] for phone in found),
        np.array([phone[4] for phone in found], float).clip(0.0, 0.99),
    )


def _runs(likely: np.ndarray, least: float) -> list[tuple[int, int, float]]:
    """First frame, one past the last, and height of every peak that reaches `least`."""
    runs, place = [], 0
    above = likely >= least
    while place < len(likely):
        if not above[place]:
            place += 1
            continue
        end = place
        while end < len(likely) and above[end]:
            end += 1
        runs += _peaks(likely, place, end)
        place = end
    return runs


def _peaks(likely: np.ndarray, first: int, end: int) -> list[tuple[int, int, float]]:
    """Part a stretch above the threshold at valleys that go below half of both their peaks."""
    top = first + int(likely[first:end].argmax())
    peak = float(likely[top])
    start, stop = top, top + 1
    while start > first and likely[start - 1] >= _EDGE * peak:
        start -= 1
    while stop < end and likely[stop] >= _EDGE * peak:
        stop += 1
    out = [(start, stop, peak)]
    for a, b in ((first, start), (stop, end)):
        if b - a > 2 and _is_peak(likely, a, b):
            out += _peaks(likely, a, b)
    return out


def _is_peak(likely: np.ndarray, first: int, end: int) -> bool:
    """Whether the highest frame of a stretch lies inside it, not on its edge."""
    top = first + int(likely[first:end].argmax())
    return first < top < end - 1
