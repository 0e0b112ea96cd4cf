"""Phones are told by the sound: by ear, by a text, and by where the sound is shut off."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import numpy as np
import pytest

from metatalk.a2e import phones as phones_module
from metatalk.a2e.phone_alignment import align_transcript, split_by_phones
from metatalk.a2e.phone_hearing import find_phones, hear_phones
from metatalk.a2e.phones import (
    PHONES,
    SILENCE,
    phone_posteriors,
    phones,
    posterior_of_states,
    posterior_seconds,
)
from metatalk.a2e.stop_closures import find_stop_closures
from metatalk.errors import MediaError, MissingAssetError, ShapeError
from metatalk.evaluate.closures import bilabial_starts, parse_word_times
from metatalk.interchange.textgrid import read_textgrid
from metatalk.media.audio import read_sound

RATE = 16_000


@pytest.fixture(scope="module")
def mary(shared_clips: Path) -> np.ndarray:
    pytest.importorskip("pocketsphinx")
    return read_sound(shared_clips / "audio" / "mary.wav").samples


def noise(seconds: float, seed: int = 0, loud: float = 0.1) -> np.ndarray:
    values = np.random.default_rng(seed).standard_normal(round(seconds * RATE)) * loud
    return values.astype(np.float32)


def test_posteriors_are_those_of_all_paths_together() -> None:
    """Against every path written out, for two phones and four frames."""
    generator, count, frames = np.random.default_rng(0), 2, 4
    scores = generator.normal(0, 10, (frames, count, 3)).astype(np.float32)
    stay = np.array([0.5, 0.7])
    states = [(phone, part) for phone in range(count) for part in range(3)]

    def step(a: tuple[int, int], b: tuple[int, int]) -> float:
        chance = stay[a[0]] if a == b else 0.0
        if a[0] == b[0] and b[1] == a[1] + 1:
            chance += 1 - stay[a[0]]
        if a[1] == 2 and b[1] == 0:
            chance += (1 - stay[a[0]]) / count
        return chance

    total = np.zeros((frames, count, 3))
    for path in itertools.product(states, repeat=frames):
        chance = float(path[0][1] == 0)
        for a, b in itertools.pairwise(path):
            chance *= step(a, b)
        for t, (phone, part) in enumerate(path):
            chance *= np.exp(0.15 * float(scores[t, phone, part]))
        for t, (phone, part) in enumerate(path):
            total[t, phone, part] += chance
    total /= total.sum(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(posterior_of_states(scores, stay), total, atol=1e-5)


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(0, np.float32),
        np.zeros(3 * RATE, np.float32),
        np.zeros(50, np.float32),
        noise(0.1),
        np.full(4000, np.nan, np.float32),
        np.concatenate((noise(0.5), np.zeros(RATE, np.float32), noise(0.2))),
    ],
)
def test_features_are_whole_for_any_sound(samples: np.ndarray) -> None:
    pytest.importorskip("pocketsphinx")
    out = phones(samples, 130)
    assert out.shape == (40, 130)
    assert out.dtype == np.float32
    np.testing.assert_allclose((out * out).sum(axis=0), 1.0, atol=1e-4)
    assert (out[SILENCE, -20:] == 1.0).all() or len(samples) > 1.4 * RATE


def test_digital_silence_and_what_follows_the_sound_are_silence() -> None:
    pytest.importorskip("pocketsphinx")
    heard = phone_posteriors(np.concatenate((noise(0.5), np.zeros(RATE, np.float32))))
    assert (heard[60:, SILENCE] == 1.0).all()
    assert (phones(noise(0.5), 200)[SILENCE, 50:] == 1.0).all()


def test_a_word_is_heard(mary: np.ndarray) -> None:
    """Mary rolled the barrel: m at 0.35 s, r at 0.53 s, b at 1.09 s, by a phonetician's hand."""
    heard = phone_posteriors(mary)
    at = posterior_seconds(len(heard))
    for second, names in ((0.35, "MPB"), (0.53, "R"), (1.09, "BPM"), (0.1, ("SIL",))):
        places = [PHONES.index(name) for name in names]
        near = np.abs(at - second) < 0.03
        assert heard[near][:, places].sum(axis=1).max() > 0.4, (second, names)


def test_a_longer_recording_is_heard_as_its_parts_are(mary: np.ndarray) -> None:
    """Past the length of a block, the same words give nearly the same phones."""
    many = np.tile(mary, 13)  # 24 s
    once, often = phone_posteriors(mary), phone_posteriors(many)
    assert len(often) == len(many) * 100 // RATE
    last = often[12 * len(mary) * 100 // RATE :][: len(once)]
    # the words tell, not how the block's own mean came out
    assert (last.argmax(axis=1) == once[: len(last)].argmax(axis=1)).mean() > 0.7


def test_blocks_of_a_long_recording_join(mary: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = phone_posteriors(mary)
    monkeypatch.setattr(phones_module, "_BLOCK", 40)
    monkeypatch.setattr(phones_module, "_AROUND", 40)
    phones_module._heard.cache_clear()
    np.testing.assert_allclose(phone_posteriors(mary), whole, atol=1e-3)


def test_without_pocketsphinx_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    with pytest.raises(MissingAssetError, match="pip install"):
        hear_phones(noise(0.2))
    assert len(find_stop_closures(noise(0.2))) == 0


def test_what_was_heard_is_not_heard_twice_and_cannot_be_changed() -> None:
    pytest.importorskip("pocketsphinx")
    sound = noise(0.5)
    first = phone_posteriors(sound)
    assert phone_posteriors(sound.copy()) is first
    assert phone_posteriors(noise(0.5, seed=1)) is not first
    with pytest.raises(ValueError, match="read-only"):
        first[0] = 0.0


def test_shape_is_checked() -> None:
    with pytest.raises(ShapeError):
        phone_posteriors(np.zeros((2, 100), np.float32))


def test_peaks_become_phones_with_their_height() -> None:
    likely = np.zeros((100, len(PHONES)), np.float32)
    likely[:, SILENCE] = 1.0
    for first, end, name, height in ((20, 26, "B", 0.3), (50, 58, "M", 0.9), (70, 80, "AA", 0.8)):
        likely[first:end, PHONES.index(name)] = height
        likely[first:end, SILENCE] = 1.0 - height
    found = find_phones(likely)
    lips = found.of_kind("bilabial")
    assert lips.labels == ("B", "M")
    np.testing.assert_allclose(lips.starts, [0.2, 0.5])
    np.testing.assert_allclose(lips.ends, [0.26, 0.58])
    np.testing.assert_allclose(lips.confidence, [0.3, 0.9], atol=1e-5)
    assert found.of_kind("vowel_open").labels == ("AA",)


def test_two_phones_that_touch_are_two() -> None:
    likely = np.zeros((60, len(PHONES)), np.float32)
    hump = np.concatenate((np.hanning(12), np.hanning(12))) * 0.8 + 0.1
    likely[20:44, PHONES.index("P")] = hump
    assert len(find_phones(likely).of_kind("bilabial")) == 2


def test_a_transcript_is_found_in_its_recording(mary: np.ndarray, shared_clips: Path) -> None:
    found = align_transcript(mary, "Mary rolled the barrel.")
    true = read_textgrid(shared_clips / "audio" / "mary.TextGrid").of_kind("bilabial")
    lips = found.of_kind("bilabial")
    assert lips.labels == ("M", "B")
    np.testing.assert_allclose(lips.starts, true.starts, atol=0.03)
    np.testing.assert_allclose(lips.ends, true.ends, atol=0.03)
    assert (found.confidence == 1.0).all()
    assert (found.starts[1:] >= found.ends[:-1] - 1e-9).all()


def test_words_that_no_dictionary_has_are_sounded_out(
    mary: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    found = align_transcript(mary, "Mairi roaled the baryl")
    assert found.of_kind("bilabial").labels == ("M", "B")
    assert "baryl" in caplog.text


def test_a_transcript_without_words_or_sound_is_refused(mary: np.ndarray) -> None:
    with pytest.raises(MediaError, match="no words"):
        align_transcript(mary, " ... ")
    with pytest.raises(MediaError, match="does not say"):
        align_transcript(mary[:1600], "Mary rolled the barrel over the hills and far away")


def test_a_word_is_parted_where_its_phones_fit() -> None:
    scores = np.full((20, 2, 3), -10.0, np.float32)
    for t in range(20):
        phone, part = (0, min(t // 2, 2)) if t < 7 else (1, min((t - 7) // 4, 2))
        scores[t, phone, part] = 0.0
    assert split_by_phones(scores).tolist() == [0, 7, 20]
    assert split_by_phones(scores[:4]).tolist() == [0, 2, 4]  # too short for six states


def bursts(times: list[float], seconds: float, gap_s: float = 0.07) -> np.ndarray:
    """A buzz that is shut off for a while before each of the times and comes back at once."""
    clock = np.arange(round(seconds * RATE)) / RATE
    buzz = sum(np.sin(2 * np.pi * 120 * k * clock + k * k) / k**0.5 for k in range(1, 45))
    sound = 0.03 * np.asarray(buzz)
    for time in times:
        shut = (clock >= time - gap_s) & (clock < time)
        sound[shut] *= 0.01
    return (sound + 1e-4 * np.random.default_rng(0).standard_normal(len(clock))).astype(np.float32)


def test_stops_are_found_at_their_bursts() -> None:
    times = [0.5, 0.9, 1.4, 2.0]
    found = find_stop_closures(bursts(times, 2.5))
    assert len(found) == len(times)
    np.testing.assert_allclose(found.ends, np.array(times) + 0.02, atol=0.03)
    np.testing.assert_allclose(found.starts, np.array(times) - 0.07, atol=0.03)
    assert ((found.confidence > 0) & (found.confidence < 0.6)).all()


def test_a_steady_sound_and_silence_hold_no_stops() -> None:
    assert len(find_stop_closures(bursts([], 2.0))) == 0
    assert len(find_stop_closures(np.zeros(RATE, np.float32))) == 0
    assert len(find_stop_closures(np.zeros(0, np.float32))) == 0


def test_most_word_initial_bilabials_are_heard(shared_clips: Path) -> None:
    pytest.importorskip("pocketsphinx")
    words = parse_word_times((shared_clips / "grid_s1_180s.words.tsv").read_text())
    sound = read_sound(shared_clips / "grid_s1_180s.mp4").samples[: 15 * RATE]
    lips = hear_phones(sound).of_kind("bilabial")
    asked = [start for start in bilabial_starts(words) if start < 14.5]
    found = [((lips.starts < start + 0.08) & (lips.ends > start - 0.04)).any() for start in asked]
    assert len(asked) >= 5
    assert np.mean(found) >= 0.85
