"""When nobody speaks: the gate, offline and on a stream, and the actor's own rest."""

from __future__ import annotations

import numpy as np
import pytest

from metatalk.a2e.activity_config import ActivityConfig
from metatalk.a2e.rest import SpeechGate, find_rest, speaking_gate
from metatalk.lipsync.mel import BANDS, SILENCE

SETTINGS = ActivityConfig(
    threshold=0.5,
    hold=0.3,
    shortest_s=0.1,  # 8 columns
    lead_s=0.25,  # 20
    trail_s=0.05,  # 4
    attack_s=0.1,  # 8
    release_s=0.2,  # 16
)


def silent_mel(columns: int) -> np.ndarray:
    return np.full((BANDS, columns), SILENCE, np.float32)


def spoken(columns: int, *runs: tuple[int, int], probability: float = 0.9) -> np.ndarray:
    speech = np.full(columns, 0.05, np.float32)
    for first, last in runs:
        speech[first:last] = probability
    return speech


def gate_of(speech: np.ndarray, config: ActivityConfig = SETTINGS) -> np.ndarray:
    return speaking_gate(silent_mel(len(speech)), speech, config)


def test_it_opens_ahead_and_closes_behind_in_the_times_that_are_set() -> None:
    gate = gate_of(spoken(300, (100, 160)))
    assert gate.dtype == np.float32
    assert gate[:80].max() == 0.0
    assert 0 < gate[80] < 0.1
    assert gate[87:164].min() == pytest.approx(1.0)
    assert 0.9 < gate[164] < 1.0
    assert gate[180:].max() == 0.0
    assert np.diff(gate[80:88]).min() > 0
    assert np.diff(gate[164:180]).max() < 0


def test_its_way_has_no_jolt() -> None:
    gate = gate_of(spoken(300, (100, 160)))
    assert np.abs(np.diff(gate, 2)).max() < 6 / 8**2 + 1e-6  # of a smooth step over 8 columns


@pytest.mark.parametrize("length", [1, 7])
def test_what_is_too_short_to_be_speech_moves_nothing(length: int) -> None:
    assert gate_of(spoken(200, (100, 100 + length))).max() == 0.0


def test_the_shortest_speech_opens_it_in_full() -> None:
    assert gate_of(spoken(200, (100, 108))).max() == pytest.approx(1.0)


def test_doubt_holds_it_open_but_does_not_open_it() -> None:
    doubtful = spoken(300, (100, 160), probability=0.4)
    assert gate_of(doubtful).max() == 0.0
    doubtful[90:100] = 0.9
    assert gate_of(doubtful)[100:160].min() == pytest.approx(1.0)


def test_a_pause_within_a_sentence_is_bridged() -> None:
    gate = gate_of(spoken(300, (60, 120), (144, 200)))
    assert gate[60:200].min() == pytest.approx(1.0)


def test_speech_from_the_first_column_finds_it_open() -> None:
    assert gate_of(spoken(200, (0, 60)))[0] == pytest.approx(1.0)


@pytest.mark.parametrize("size", [1, 3, 50])
def test_a_stream_is_answered_as_the_recording(size: int) -> None:
    generator = np.random.default_rng(1)
    speech = np.repeat(generator.uniform(size=40), 13).astype(np.float32)
    gate = SpeechGate(SETTINGS)
    parts = [gate.push(speech[first : first + size]) for first in range(0, len(speech), size)]
    assert sum(map(len, parts)) == len(speech) - gate.lookahead
    np.testing.assert_array_equal(np.concatenate([*parts, gate.finish()]), gate_of(speech))


@pytest.mark.parametrize("lookahead", [0, 5, 15])
def test_a_short_lookahead_only_starts_it_later(lookahead: int) -> None:
    speech = spoken(300, (100, 160))
    gate = SpeechGate(SETTINGS, lookahead)
    late = np.concatenate([gate.push(speech), gate.finish()])
    # Speech is known for such in column 107, when `lookahead` columns are still undecided.
    assert np.flatnonzero(late)[0] == 107 - lookahead
    np.testing.assert_allclose(late[164:], gate_of(speech)[164:])


def test_numbers_that_are_none_close_it() -> None:
    speech = spoken(300, (100, 160))
    speech[120:] = np.nan
    gate = gate_of(speech)
    assert np.isfinite(gate).all()
    assert gate[150:].max() == 0.0


@pytest.mark.parametrize("columns", [0, 1, 9])
def test_a_moment_of_sound_gets_its_gate(columns: int) -> None:
    assert gate_of(np.zeros(columns, np.float32)).tolist() == [0.0] * columns


def test_digital_silence_is_rest_by_its_level_too() -> None:
    gate = speaking_gate(silent_mel(100))
    assert gate.tolist() == [0.0] * 100


def test_rest_is_what_the_mouth_does_long_after_and_before_speech() -> None:
    speech = spoken(800, (0, 200), (500, 700))
    targets = np.zeros((800, 2), np.float32)
    targets[200:215] = targets[485:500] = 9.0  # on its way out of speech and into it
    targets[215:485] = (3.0, -1.0)  # held open
    targets[700:715] = 9.0
    targets[715:] = (3.0, -1.0)
    known = np.ones(800, bool)
    rest = find_rest(silent_mel(800), targets, known, speech)
    assert rest.dtype == np.float32
    assert rest.tolist() == [3.0, -1.0]


def test_noise_between_sentences_does_not_hide_the_rest() -> None:
    mel = silent_mel(800)
    mel[:, :200] = mel[:, 500:] = 0.0
    mel[:, 200:500] = 1.5  # a louder fan than the voice
    targets = np.zeros((800, 1), np.float32)
    targets[200:500] = -2.0
    known = np.ones(800, bool)
    assert find_rest(mel, targets, known, spoken(800, (0, 200), (500, 800))) == -2.0
    assert find_rest(mel, targets, known) == 0.0  # by level it would be hidden


def test_short_pauses_serve_where_there_are_no_long_ones() -> None:
    runs = [(start, start + 60) for start in range(0, 800, 100)]
    speech, targets = spoken(800, *runs), np.full((800, 1), 5.0, np.float32)
    for _, stop in runs:
        targets[stop + 9 : stop + 31] = 1.0
    assert find_rest(silent_mel(800), targets, np.ones(800, bool), speech) == 1.0


def test_without_any_pause_the_quietest_tenth_is_the_rest() -> None:
    mel, speech = np.zeros((BANDS, 400), np.float32), spoken(400, (0, 400))
    targets = np.full((400, 1), 4.0, np.float32)
    mel[:, ::10], targets[::10] = -1.0, 0.5
    assert find_rest(mel, targets, np.ones(400, bool), speech) == 0.5


def test_what_is_not_known_is_not_learned() -> None:
    speech, targets = spoken(800, (0, 200)), np.zeros((800, 1), np.float32)
    targets[500:] = 7.0
    assert find_rest(silent_mel(800), targets, np.arange(800) < 500, speech) == 0.0
