"""Several voices in one lesson, each heard as it will be when it drives: for itself."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from metatalk.a2e.config import A2EConfig
from metatalk.a2e.features import blend_stats, measure_stats, normalise_mel
from metatalk.a2e.hearing import Ears, Sound
from metatalk.lipsync.mel import HOP


def listen_apart(ears: Ears, samples: np.ndarray, begins: Sequence[int]) -> Sound:
    """Hear pieces of sound one by one: what listens to one must not adapt to another.

    Args:
        ears: what listens.
        samples: (S,) the pieces one behind the other.
        begins: sample at which each begins, whole columns; fewer than two: it is one piece.

    Returns:
        The sound of all on one clock.
    """
    if len(begins) < 2:
        return ears.listen(samples)
    parts = []
    for begin, end in pairwise([*begins, len(samples)]):
        heard = ears.listen(samples[begin:end])
        last = None if end == len(samples) else (end - begin) // HOP
        parts.append((heard.mel[:, :last], heard.heard[:, :last]))
    return Sound(*(np.concatenate(rows, axis=1) for rows in zip(*parts, strict=True)))


def even_voices(sound: Sound, starts: Sequence[int], known: np.ndarray, config: A2EConfig) -> Sound:
    """Give every piece the mel statistics of the last one, the actor's own.

    A voice that drives the actor is brought to its own mean and deviation, leaning on the
    actor's where it is short; a piece that is learned from has to sound the same way.

    Args:
        sound: of all pieces.
        starts: column at which each begins.
        known: (M,) bool, columns at which the mouth is known.
        config: how long a recording must be to be known.

    Returns:
        The sound with other mel columns before the last piece.
    """
    mel = sound.mel.copy()
    last = slice(starts[-1], None)
    learned = mel[:, last][:, known[last]]
    own = measure_stats(learned if learned.shape[1] else mel[:, last])
    for first, end in pairwise(starts):
        piece = sound.mel[:, first:end]
        stats = blend_stats(piece, own, config.features.prior_s)
        values = normalise_mel(piece, stats)
        mel[:, first:end] = values * own.deviation[:, None] + own.mean[:, None]
    return Sound(mel, sound.heard)
