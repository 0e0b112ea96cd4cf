"""When nobody speaks: the gate that lets the mouth move, and how the actor's mouth rests."""

from __future__ import annotations

from collections import deque

import numpy as np
from scipy.ndimage import binary_dilation

from metatalk.a2e.activity_config import ActivityConfig
from metatalk.a2e.features import column_level_db, speech_columns
from metatalk.lipsync.mel import COLUMNS_PER_SECOND
from metatalk.shapes import check_shape

_SETTLED_S = (0.25, 0.12)  # from any speech on either side; the shorter where pauses are short
_LEAST_REST_S = 0.3  # of pauses in the footage, to learn the rest from
_QUIET_SHARE = 0.1  # of the footage, taken for rest where it has no pauses


class SpeechGate:
    """Opens for speech, column by column, for a recording or a live stream.

    It opens ahead of the sound, so it answers late: `lookahead` columns behind what it heard.
    """

    def __init__(self, config: ActivityConfig, lookahead: int | None = None) -> None:
        """Start at rest.

        Args:
            config: thresholds, and times of the way out of rest and back.
            lookahead: columns of 1/80 s by which the answer may be late; by default as many as
                the settings can use. With fewer the mouth starts later, and nothing else changes.
        """
        columns = lambda seconds: round(seconds * COLUMNS_PER_SECOND)  # noqa: E731
        self._config = config
        self._shortest = max(columns(config.shortest_s), 1)
        self._lead, self._trail = columns(config.lead_s), columns(config.trail_s)
        most = self._lead + self._shortest - 1
        self.lookahead = most if lookahead is None else min(lookahead, most)
        self._up, self._down = (
            1 / max(columns(time_s), 1) for time_s in (config.attack_s, config.release_s)
        )
        self._waiting: deque[bool] = deque()
        self._speaks = False
        self._run = 0  # columns that the speech has lasted
        self._held = 0  # columns for which the gate stays open without speech
        self._way: float | None = None  # 0 at rest, 1 in full movement; none before the start

    def push(self, speech: np.ndarray) -> np.ndarray:
        """Hear more columns.

        Args:
            speech: (N,) probability of speech.

        Returns:
            (n,) float32 of the columns that are decided, 0 at rest to 1.
        """
        check_shape("speech", speech, "N")
        decided = []
        for probability in speech.tolist():
            self._hear(probability)
            if len(self._waiting) > self.lookahead:
                decided.append(self._step())
        return np.array(decided, np.float32)

    def finish(self) -> np.ndarray:
        """Decide the columns that are left, as if nothing followed; (n,) float32."""
        return np.array([self._step() for _ in range(len(self._waiting))], np.float32)

    def _hear(self, probability: float) -> None:
        needed = self._config.hold if self._speaks else self._config.threshold
        self._speaks = probability >= needed
        self._run = self._run + 1 if self._speaks else 0
        if self._run >= self._shortest:
            self._held = self._trail
            self._waiting.append(True)
        else:
            self._waiting.append(self._held > 0)
            self._held -= 1
        if self._run == self._shortest:  # now it is known for speech, from its first column on
            for back in range(min(self._run + self._lead, len(self._waiting))):
                self._waiting[-1 - back] = True

    def _step(self) -> float:
        is_open = self._waiting.popleft()
        if self._way is None:
            self._way = float(is_open)
        self._way = min(max(self._way + (self._up if is_open else -self._down), 0.0), 1.0)
        return self._way**2 * (3 - 2 * self._way)  # neither end of the way is a jolt


def speaking_gate(
    mel: np.ndarray, speech: np.ndarray | None = None, config: ActivityConfig | None = None
) -> np.ndarray:
    """Tell how much of the mouth's movement belongs to speech, column by column.

    Args:
        mel: (80, M) mel units.
        speech: (M,) probability of speech, from `hear_speech`; without it the level decides.
        config: thresholds, and times of the way out of rest and back.

    Returns:
        (M,) float32 from 0, a pause, to 1: from a little before the sound to a little after it;
        no jumps.
    """
    gate = SpeechGate(config or ActivityConfig())
    heard = _known_or_level(mel, speech).astype(np.float32)
    return np.concatenate([gate.push(heard), gate.finish()])


def find_rest(
    mel: np.ndarray,
    targets: np.ndarray,
    known: np.ndarray,
    speech: np.ndarray | None = None,
    config: ActivityConfig | None = None,
    opening: np.ndarray | None = None,
) -> np.ndarray:
    """Find how the actor's mouth rests.

    Args:
        mel: (80, M) mel units.
        targets: (M, K) mouth coordinates at the mel's columns.
        known: (M,) bool, columns at which the mouth is known; at least one.
        speech: (M,) probability of speech, from `hear_speech`; without it the level decides.
        config: the threshold.
        opening: (K,) how far each coordinate opens the lips. With it only the half of the pauses
            is looked at in which they are less open: between phrases many a mouth waits open
            for the next word, and one that stays so in a long silence gapes.

    Returns:
        (K,) float32: the median mouth in the footage's pauses; without pauses, in its quietest
        tenth. An actor who holds the mouth open in all pauses rests with it open.
    """
    check_shape("targets", targets, "M K", M=mel.shape[1])
    paused = _settled_pauses(_known_or_level(mel, speech), known, config or ActivityConfig())
    if paused.sum() < _LEAST_REST_S * COLUMNS_PER_SECOND:
        level = column_level_db(mel)
        paused = known & (level <= np.quantile(level[known], _QUIET_SHARE))
    resting = targets[paused]
    if opening is not None:
        gap = resting @ opening
        resting = resting[gap <= np.median(gap)]
    # The median: an actor who breathes in through an open mouth does not rest with it open.
    rest: np.ndarray = np.median(resting, axis=0).astype(np.float32)
    return rest


def _settled_pauses(speech: np.ndarray, known: np.ndarray, config: ActivityConfig) -> np.ndarray:
    """(M,) bool: known columns in which the mouth has come to rest, if there are enough."""
    spoken = speech >= config.hold
    for distance_s in _SETTLED_S:
        reach = round(distance_s * COLUMNS_PER_SECOND)
        paused: np.ndarray = known & ~binary_dilation(spoken, iterations=reach)
        if paused.sum() >= _LEAST_REST_S * COLUMNS_PER_SECOND:
            break
    return paused


def _known_or_level(mel: np.ndarray, speech: np.ndarray | None) -> np.ndarray:
    """(M,) probability of speech, judged by the level where nobody judged it better."""
    if speech is None:
        return speech_columns(mel)
    check_shape("speech", speech, "M", M=mel.shape[1])
    return speech
