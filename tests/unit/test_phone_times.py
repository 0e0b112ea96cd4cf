"""TextGrids in the dialects of MFA, MAUS and Praat."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from metatalk.a2e.phone_times import PhoneTimes, phone_kinds, phone_times
from metatalk.errors import MediaError, MissingAssetError
from metatalk.interchange.textgrid import read_textgrid

Tiers = dict[str, list[tuple[float, float, str]]]
WORDS = [(0.0, 0.2, ""), (0.2, 0.6, "bim")]


def write_long(path: Path, tiers: Tiers) -> Path:
    """A TextGrid as Praat writes it by default."""
    end = max(e for tier in tiers.values() for _, e, _ in tier)
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0"]
    lines += [f"xmax = {end}", "tiers? <exists>", f"size = {len(tiers)}", "item []:"]
    for number, (name, tier) in enumerate(tiers.items(), 1):
        lines += [f"    item [{number}]:", '        class = "IntervalTier"']
        lines += [f'        name = "{name}"', "        xmin = 0", f"        xmax = {end}"]
        lines += [f"        intervals: size = {len(tier)}"]
        for place, (start, stop, label) in enumerate(tier, 1):
            lines += [f"        intervals [{place}]:", f"            xmin = {start}"]
            lines += [f"            xmax = {stop}", f'            text = "{label}"']
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("phones", ("", "B", "IH1", "M")),  # Montreal Forced Aligner, ARPAbet
        ("speaker one - phones", ("", "bʲ", "i", "m")),  # the same, IPA, several speakers
        ("MAU", ("<p:>", "b", "I", "m")),  # MAUS, X-SAMPA
        ("Phone", ("sil", "p_h", "i:", "m")),
    ],
)
def test_dialects(tmp_path: Path, name: str, labels: tuple[str, ...]) -> None:
    times = (0.0, 0.2, 0.3, 0.5, 0.6)
    tier = list(zip(times, times[1:], labels, strict=False))
    found = read_textgrid(write_long(tmp_path / "a.TextGrid", {"words": WORDS, name: tier}))
    assert found.kinds == ("silence", "bilabial", "other", "bilabial")
    np.testing.assert_allclose(found.starts, times[:-1])
    np.testing.assert_allclose(found.ends, times[1:])
    assert (found.confidence == 1.0).all()


def test_the_alphabet_decides_what_a_letter_means() -> None:
    assert phone_kinds(["P", "V", "AA0"]) == ["bilabial", "labiodental", "vowel_open"]  # ARPAbet
    assert phone_kinds(["b", "V", "a"]) == ["bilabial", "vowel_open", "vowel_open"]  # X-SAMPA
    assert phone_kinds(["ˈɑ", "ɱ", "ɸ"]) == ["vowel_open", "labiodental", "bilabial"]  # IPA


def test_two_speakers_are_put_together(tmp_path: Path) -> None:
    tiers = {"a - phones": [(0.0, 0.5, "M"), (0.5, 1.0, "")], "b - phones": [(0.2, 0.4, "F")]}
    found = read_textgrid(write_long(tmp_path / "a.TextGrid", tiers))
    assert found.labels == ("M", "F", "")


def test_the_short_format_is_read(shared_clips: Path) -> None:
    found = read_textgrid(shared_clips / "audio" / "mary.TextGrid")
    lips = found.of_kind("bilabial")
    assert lips.labels == ("m", "b")
    np.testing.assert_allclose(lips.starts, [0.3154, 1.0637], atol=1e-3)


def test_what_is_no_textgrid_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingAssetError, match="no such TextGrid"):
        read_textgrid(tmp_path / "absent.TextGrid")
    noise = tmp_path / "noise.TextGrid"
    noise.write_bytes(b"\x00\x01binary")
    with pytest.raises(MediaError, match="not a TextGrid"):
        read_textgrid(noise)
    with pytest.raises(MediaError, match="call the interval tier"):
        read_textgrid(write_long(tmp_path / "w.TextGrid", {"words": WORDS}))


def test_phones_are_sorted_chosen_and_moved() -> None:
    found = phone_times([(0.5, 0.6, "M"), (0.0, 0.1, "F"), (0.1, 0.5, "AA")])
    assert found.labels == ("F", "AA", "M")
    assert found.of_kind("bilabial", "labiodental").labels == ("F", "M")
    np.testing.assert_allclose(found.later(0.25).starts, [0.25, 0.35, 0.75])
    with pytest.raises(ValueError, match="differ"):
        PhoneTimes(np.zeros(1), np.ones(1), ("B", "P"), ("bilabial",), np.ones(1))
