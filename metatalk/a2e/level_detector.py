"""Speech told from pauses by level alone, in a live stream."""

from __future__ import annotations

import numpy as np

from metatalk.a2e.features import column_level_db
from metatalk.lipsync.mel import COLUMNS_PER_SECOND, HOP, WINDOW, wav2lip_mel
from metatalk.shapes import check_shape

_SPEECH_RANGE_DB = 35.0  # columns this far below the loud ones are not speech
_INAUDIBLE_DB = 6.0  # nor are those so close to digital silence,
_LEAST_RANGE_DB = 6.0  # nor is sound that is hardly louder than its own pauses: steady noise
_LOUD, _QUIET = 0.95, 0.05  # shares of the columns so far
_BIN_DB = 0.5
_BINS = 200
_MEMORY = 60 * COLUMNS_PER_SECOND  # columns; what was heard before counts less and less
_MARGIN = 3  # columns whose window reaches over the piece's beginning


class LevelDetector:
    """Stands in for a trained detector; what it keeps does not grow.

    However the sound is cut into pieces, the columns are the same.

    Departs: `features.speech_columns` compares with the loud and quiet parts of the whole
        recording, this with those of what came before.
    """

    def __init__(self) -> None:
        self._kept = np.zeros(0, np.float32)
        self._first = 0  # number of the first sample kept, a multiple of HOP
        self._columns = 0
        self._seen = np.zeros(_BINS)

    def push(self, samples: np.ndarray) -> np.ndarray:
        """Hear the next piece.

        Args:
            samples: (S,) at 16 kHz, any number.

        Returns:
            (N,) float32, 1 for speech, of the mel columns that have become known.
        """
        check_shape("samples", samples, "S")
        finite = np.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=-1.0).astype(np.float32)
        self._kept = np.concatenate([self._kept, finite])
        heard = self._first + len(self._kept)
        return self._judge((heard - WINDOW // 2) // HOP + 1)

    def finish(self) -> np.ndarray:
        """Judge the columns whose window reaches past the end.

        Returns:
            (N,) float32.
        """
        return self._judge(1 + (self._first + len(self._kept)) // HOP)

    def _judge(self, stop: int) -> np.ndarray:
        if stop <= self._columns:
            return np.zeros(0, np.float32)
        start = self._columns - self._first // HOP
        mel = wav2lip_mel(self._kept)[:, start : start + stop - self._columns]
        speech = [self._is_speech(float(level)) for level in column_level_db(mel)]
        self._columns = stop
        drop = max((stop - _MARGIN) * HOP - self._first, 0)
        self._kept, self._first = self._kept[drop:], self._first + drop
        return np.array(speech, np.float32)

    def _is_speech(self, level: float) -> bool:
        self._seen[min(int(max(level, 0.0) / _BIN_DB), _BINS - 1)] += 1
        if self._seen.sum() > _MEMORY:
            self._seen *= 0.5
        shares = self._seen.cumsum() / self._seen.sum()
        loud = _BIN_DB * float(np.searchsorted(shares, _LOUD))
        floor = _BIN_DB * float(np.searchsorted(shares, _QUIET))
        if loud - floor < _LEAST_RANGE_DB:
            return False
        bound = max(loud - _SPEECH_RANGE_DB, floor + 0.25 * (loud - floor), _INAUDIBLE_DB)
        return bool(level > bound)
