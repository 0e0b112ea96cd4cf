"""Phones: which sound of speech is heard when, told alike for every voice."""

from __future__ import annotations

import functools

import numpy as np
from scipy.ndimage import gaussian_filter1d

from metatalk.a2e.senones import (
    FRAME_CENTRE_S,
    FRAMES_PER_SECOND,
    SAMPLE_RATE,
    STATES,
    model_phones,
    state_scores,
)
from metatalk.lipsync.mel import COLUMNS_PER_SECOND
from metatalk.shapes import check_shape

# fmt: off
PHONES = (
    "AA", "AE", "AH", "AO", "AW", "AY", "B", "CH", "D", "DH", "EH", "ER", "EY", "F", "G", "HH",
    "IH", "IY", "JH", "K", "L", "M", "N", "NG", "OW", "OY", "P", "R", "S", "SH", "T", "TH", "UH",
    "UW", "V", "W", "Y", "Z", "ZH", "SIL",
)
# fmt: on
SILENCE = len(PHONES) - 1

_SHARPNESS = 0.15  # share of the log-likelihood that counts: neighbouring frames are no witnesses
_STAY, _STAY_SILENT = 0.5, 0.9  # chance that a state goes on for another frame
_QUIET_DB = 50.0  # below the recording's loud moments nothing is said
_INAUDIBLE_DB = -80.0  # re full scale
_LOUD_PERCENTILE = 95
_LEAST = 1e-12
_BLOCK, _AROUND = 6000, 200  # frames weighed at once, and those beside them that have a say


def phones(samples: np.ndarray, columns: int, smooth_s: float = 0.02) -> np.ndarray:
    """Tell the phones of a recording as features.

    Args:
        samples: (S,) speech at 16 kHz in [-1, 1].
        columns: M; column i is at second i / 80; past the sound there is silence.
        smooth_s: standard deviation of the filter over time.

    Returns:
        (40, M) float32 in [0, 1]: square roots of the posteriors of `PHONES`, so that a phone
        that is merely possible is heard too; the squares of a column sum to 1.

    Raises:
        MissingAssetError: pocketsphinx is not installed.
        ShapeError: the samples are not one-dimensional.
    """
    known = phone_posteriors(samples)
    clock = np.arange(columns) / COLUMNS_PER_SECOND
    out = np.zeros((len(PHONES), columns), np.float32)
    out[SILENCE] = 1.0
    if len(known) == 0:
        return out
    smooth = gaussian_filter1d(known, smooth_s * FRAMES_PER_SECOND, axis=0, mode="nearest")
    heard = clock <= len(samples) / SAMPLE_RATE
    at = posterior_seconds(len(known))
    for phone, values in enumerate(smooth.T):
        out[phone, heard] = np.interp(clock[heard], at, values)
    return np.sqrt(np.clip(out, 0.0, 1.0))


def posterior_seconds(frames: int) -> np.ndarray:
    """(T,) seconds of the rows of `phone_posteriors`."""
    return np.arange(frames) / FRAMES_PER_SECOND + FRAME_CENTRE_S


def phone_posteriors(samples: np.ndarray) -> np.ndarray:
    """Compute how likely each phone is at each moment, all that is heard considered.

    Any phone may follow any other: nothing of English goes in but how its phones sound, so that
    other languages and spoken letters are heard for what they are.

    Args:
        samples: (S,) speech at 16 kHz in [-1, 1].

    Returns:
        (T, 40) float32, read-only; rows sum to 1 and are at `posterior_seconds`.

    Raises:
        MissingAssetError: pocketsphinx is not installed.
        ShapeError: the samples are not one-dimensional.

    Source: Rabiner 1989, eqs. 19 to 27 (forward-backward).
    """
    check_shape("samples", samples, "S")
    return _heard(np.ascontiguousarray(samples, np.float32).tobytes())


@functools.lru_cache(maxsize=1)
def _heard(sound: bytes) -> np.ndarray:
    """The posteriors, read-only; the network and the lips' closures ask for the same ones."""
    samples = np.frombuffer(sound, np.float32)
    quiet = _quiet_frames(samples)
    found = np.zeros((len(quiet), len(PHONES)), np.float32)
    if not quiet.all():
        scores = state_scores(samples)
        for first in range(0, len(found), _BLOCK):
            start, end = max(first - _AROUND, 0), min(first + _BLOCK, len(found))
            states = posterior_of_states(scores[start : end + _AROUND], _stay())
            chosen = states[first - start : end - start].sum(axis=2)
            np.add.at(found[first:end].T, _places(), chosen.T)
    found[quiet] = 0.0
    found[quiet, SILENCE] = 1.0
    found.setflags(write=False)
    return found


def posterior_of_states(scores: np.ndarray, stay: np.ndarray) -> np.ndarray:
    """Weigh the states of a loop of phones by what comes before and after.

    Args:
        scores: (T, P, 3) log-likelihoods of each phone's states.
        stay: (P,) chance that a state of a phone goes on for another frame.

    Returns:
        (T, P, 3) float32 posteriors; every [t] sums to 1. A phone begins with its first state
        and ends with its last; then any phone may follow, each as likely.
    """
    sizes = check_shape("scores", scores, f"T P {STATES}")
    check_shape("stay", stay, "P", **sizes)
    frames, count = sizes["T"], sizes["P"]
    best = scores.max(axis=(1, 2), keepdims=True)
    fits = np.exp(_SHARPNESS * (scores - best).astype(np.float64)) + _LEAST
    go = 1.0 - stay
    before = np.zeros((frames, count, STATES))  # given all that was heard up to the frame
    for t in range(frames):
        if t == 0:
            state = np.zeros((count, STATES))
            state[:, 0] = 1.0
        else:
            last = before[t - 1]
            state = last * stay[:, None]
            state[:, 1:] += last[:, :-1] * go[:, None]
            state[:, 0] += (last[:, -1] * go).sum() / count
        state *= fits[t]
        before[t] = state / state.sum()
    after = np.ones((count, STATES))  # of what is heard after the frame
    for t in range(frames - 1, -1, -1):
        if t < frames - 1:
            coming = after * fits[t + 1]
            after = coming * stay[:, None]
            after[:, :-1] += coming[:, 1:] * go[:, None]
            after[:, -1] += coming[:, 0].sum() / count * go
            after /= after.sum()
        before[t] *= after
        before[t] /= before[t].sum()
    return before.astype(np.float32)


def _quiet_frames(samples: np.ndarray) -> np.ndarray:
    """(T,) bool: frames at 100 a second in which nothing can be heard."""
    hop = SAMPLE_RATE // FRAMES_PER_SECOND
    known = np.nan_to_num(samples, posinf=0.0, neginf=0.0).astype(np.float64)
    known = known[: len(known) // hop * hop].reshape(-1, hop)
    level = 10.0 * np.log10((known * known).mean(axis=1) + _LEAST)
    if not len(level):
        return np.zeros(0, bool)
    limit = max(float(np.percentile(level, _LOUD_PERCENTILE)) - _QUIET_DB, _INAUDIBLE_DB)
    quiet: np.ndarray = level < limit
    return quiet


@functools.cache
def _places() -> np.ndarray:
    """(P,) which of `PHONES` each of the model's phones is; noises are silence."""
    return np.array([PHONES.index(n) if n in PHONES else SILENCE for n in model_phones()])


def _stay() -> np.ndarray:
    """(P,) chance that a state goes on."""
    return np.where(_places() == SILENCE, _STAY_SILENT, _STAY)
