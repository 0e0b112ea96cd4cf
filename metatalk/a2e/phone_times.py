"""When each phone is spoken, and what it asks of the lips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metatalk.shapes import check_shape

KINDS = ("silence", "other", "vowel_open", "labiodental", "bilabial")

_SILENT = frozenset(
    ["", "sil", "sp", "spn", "nsn", "+nsn+", "+spn+", "pau", "<p:>", "<sil>", "<eps>", "#", "_",
     "<usb>", "<nib>", "..."]
)  # fmt: skip
# fmt: off
_ARPABET = frozenset((
    "AA", "AE", "AH", "AO", "AW", "AX", "AXR", "AY", "B", "CH", "D", "DH", "DX", "EH", "EL", "EM",
    "EN", "ER", "EY", "F", "G", "HH", "IH", "IX", "IY", "JH", "K", "L", "M", "N", "NG", "NX", "OW",
    "OY", "P", "Q", "R", "S", "SH", "T", "TH", "UH", "UW", "UX", "V", "W", "WH", "Y", "Z", "ZH",
))
_ARPABET_KINDS = {
    "bilabial": ("B", "P", "M", "EM"),
    "labiodental": ("F", "V"),
    "vowel_open": ("AA", "AE", "AH", "AO", "AW", "AY", "EH"),
}
# fmt: on
# IPA and X-SAMPA, told by a label's first letter; f and v are the same in both.
_IPA_KINDS = {
    "bilabial": "bpmɓʙɸβ",
    "labiodental": "fvɱⱱʋFP",  # F and P are X-SAMPA's nasal and approximant
    "vowel_open": "aɑæɐɒɔʌɛɶ" + "A{6QOVE",
}


@dataclass(frozen=True, eq=False)
class PhoneTimes:
    """Phones on the clock of the recording, by their start; they may overlap."""

    starts: np.ndarray  # (N,) seconds
    ends: np.ndarray  # (N,) seconds
    labels: tuple[str, ...]  # N, as the source writes them
    kinds: tuple[str, ...]  # N of KINDS
    confidence: np.ndarray  # (N,) from 0 to 1; 1 where somebody has written it down

    def __post_init__(self) -> None:
        count = check_shape("starts", self.starts, "N")["N"]
        check_shape("ends", self.ends, "N", N=count)
        check_shape("confidence", self.confidence, "N", N=count)
        if len(self.labels) != count or len(self.kinds) != count:
            raise ValueError("labels, kinds and times differ in number")

    def __len__(self) -> int:
        return len(self.starts)

    def of_kind(self, *kinds: str) -> PhoneTimes:
        """The phones of these kinds alone."""
        return self.take([place for place, kind in enumerate(self.kinds) if kind in kinds])

    def take(self, places: Sequence[int] | np.ndarray) -> PhoneTimes:
        """Some of the phones, by number."""
        numbers = np.asarray(places, int)
        return PhoneTimes(
            self.starts[numbers],
            self.ends[numbers],
            tuple(self.labels[place] for place in numbers),
            tuple(self.kinds[place] for place in numbers),
            self.confidence[numbers],
        )

    def later(self, seconds: float) -> PhoneTimes:
        """The same phones on another clock."""
        return PhoneTimes(
            self.starts + seconds, self.ends + seconds, self.labels, self.kinds, self.confidence
        )


def phone_times(
    intervals: Sequence[tuple[float, float, str]], kinds: Sequence[str] | None = None
) -> PhoneTimes:
    """Collect phones.

    Args:
        intervals: start and end in seconds, and label.
        kinds: of each, from `KINDS`; None: what `phone_kinds` says.

    Returns:
        The phones by their start, sure of each.
    """
    known = kinds if kinds is not None else phone_kinds([label for _, _, label in intervals])
    paired = sorted(zip(intervals, known, strict=True), key=lambda pair: pair[0][:2])
    return PhoneTimes(
        np.array([start for (start, _, _), _ in paired], float),
        np.array([end for (_, end, _), _ in paired], float),
        tuple(label for (_, _, label), _ in paired),
        tuple(kind for _, kind in paired),
        np.ones(len(paired)),
    )


def phone_kinds(labels: Sequence[str]) -> list[str]:
    """Tell what each of a recording's phones asks of the lips.

    Args:
        labels: all of them in one alphabet: ARPAbet with or without stress, IPA or X-SAMPA.
            P is a bilabial in the first and V an open vowel in the last, so the whole decides.

    Returns:
        One of `KINDS` for each.

    >>> phone_kinds(["B", "IH1", "N", "sil"])
    ['bilabial', 'other', 'other', 'silence']
    >>> phone_kinds(["bʲ", "ɑː", "f", ""])
    ['bilabial', 'vowel_open', 'labiodental', 'silence']
    """
    bare = [label.strip() for label in labels]
    spoken = [label for label in bare if label.lower() not in _SILENT]
    tell = _arpabet_kind if all(_unstressed(label) in _ARPABET for label in spoken) else _ipa_kind
    return ["silence" if label.lower() in _SILENT else tell(label) for label in bare]


def _unstressed(label: str) -> str:
    return label.rstrip("0123456789")


def _arpabet_kind(label: str) -> str:
    phone = _unstressed(label)
    return next((kind for kind, known in _ARPABET_KINDS.items() if phone in known), "other")


def _ipa_kind(label: str) -> str:
    first = label.lstrip("ˈˌ\"'%ⁿᵐ-")[:1]
    return next(
        (kind for kind, letters in _IPA_KINDS.items() if first and first in letters), "other"
    )
