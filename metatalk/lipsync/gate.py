"""Which pseudo sentences are fit to learn from: does the mouth go with the sound?

A small ridge regression foretells how far the lips are apart from a quarter of a second of mel.
It is learned twice: from the actor's own clip, and from all sentences but the one in question.
The first knows what in sync means and says, over all sentences together, whether the teacher
keeps time; the second has heard minutes of many voices and tells which single sentences do not go
with their sound. Neither says anything where it foretells nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metatalk.lipsync.config import GateConfig
from metatalk.lipsync.mel import BANDS, COLUMNS_PER_SECOND
from metatalk.shapes import check_shape

_WIDE_BANDS = 16  # of five mel bands each
_OFFSETS_S = (-0.12, -0.08, -0.04, 0.0, 0.04, 0.08, 0.12)  # of the sound around a frame
_REACH_S = 0.4  # lags that are looked at, either way
_RIDGE = 3.0  # per hundred frames
_LEAST_FRAMES = 20  # of a sentence, to be judged
_LEAST_SENTENCES = 8  # below which they do not teach each other
_ENOUGH_S = 60.0  # of sentences, which a teacher's mouths foretell each other in; or they are noise
_LEAST_PHONES = 3  # of p, b and m, before lips that stay apart say anything
_AROUND_S = (0.06, 0.02)  # before and after a phone: in which lips may have met
_OWN_WEIGHT = 0.5  # of a frame of the clip beside a frame of pseudo video
_LEAST_LIKENESS = 0.25  # median r over the sentences, below which the foretelling knows too little
FLAT, LATE, ASIDE, UNLIKE = SCREEN_REASONS = (
    "the mouth hardly moves",
    "the teacher is out of sync",
    "it is out of sync",
    "the mouth does not go with the sound",
)
_SIZE = _WIDE_BANDS * len(_OFFSETS_S)


@dataclass(frozen=True, eq=False)
class Spoken:
    """Sound and lips of one sentence, or of the clip, on the frames' clock."""

    features: np.ndarray  # (T, F) of the sound around each frame, standardised
    opening: np.ndarray  # (T,) gap of the lips, mean 0
    rate: float  # frames a second

    def __post_init__(self) -> None:
        frames = check_shape("features", self.features, f"T {_SIZE}")["T"]
        check_shape("opening", self.opening, "T", T=frames)

    @property
    def deviation(self) -> float:
        """Standard deviation of the gap, in its own unit."""
        return float(self.opening.std()) if len(self.opening) else 0.0


@dataclass(frozen=True)
class Sync:
    """How a sentence's lips go with its sound."""

    likeness: float  # correlation with what the sound foretells, at the best lag allowed
    lag_s: float  # at which it is highest; positive: the lips come late
    advantage: float  # by which it is higher there than at any lag allowed


@dataclass(frozen=True)
class Screening:
    """What was found about all sentences."""

    reasons: tuple[str, ...]  # for each sentence why it is dropped, or ""
    syncs: tuple[Sync | None, ...]  # None: too short to say, or nothing moves
    common_lag_s: float  # of all sentences together, as the actor's own clip judges
    common_likeness: float
    knows: bool  # whether single sentences could be judged


def hear_and_see(mel: np.ndarray, gap_mm: np.ndarray, frame_seconds: np.ndarray) -> Spoken:
    """Lay out a sentence's sound and lips for comparison.

    Args:
        mel: (80, M) from `wav2lip_mel`.
        gap_mm: (T,) distance of the lips; not a number where no face is seen.
        frame_seconds: (T,) times of the frames on the sound's clock.

    Returns:
        Both, of the frames with a face; each sentence is brought to its own mean and loudness.
    """
    check_shape("mel", mel, f"{BANDS} M")
    frames = check_shape("gap_mm", gap_mm, "T")["T"]
    check_shape("frame_seconds", frame_seconds, "T", T=frames)
    step_s = float(np.median(np.diff(frame_seconds))) if frames > 1 else 0.04
    wide = mel.reshape(_WIDE_BANDS, BANDS // _WIDE_BANDS, -1).mean(axis=1)  # (16, M)
    wide = (wide - wide.mean(axis=1, keepdims=True)) / (wide.std(axis=1, keepdims=True) + 0.3)
    times = frame_seconds[:, None] + np.array(_OFFSETS_S)  # (T, O)
    columns = np.clip(np.rint(times * COLUMNS_PER_SECOND), 0, mel.shape[1] - 1).astype(int)
    features = wide[:, columns].transpose(1, 0, 2).reshape(frames, -1)
    seen = np.isfinite(gap_mm)
    gap = gap_mm[seen]
    return Spoken(features[seen], gap - gap.mean() if len(gap) else gap, 1 / step_s)


def compare(foretold: np.ndarray, opening: np.ndarray, rate: float, max_lag_s: float) -> Sync:
    """Find at which lag the lips go with what the sound foretells.

    Args:
        foretold: (T,).
        opening: (T,).
        rate: frames a second.
        max_lag_s: lags up to this are allowed.

    Returns:
        The best of the allowed lags, and by how much another is better.
    """
    lags = np.arange(-round(_REACH_S * rate), round(_REACH_S * rate) + 1)
    lags = lags[np.abs(lags) <= len(opening) // 3]
    values = np.array([_lagged_r(foretold, opening, int(lag)) for lag in lags])
    allowed = np.abs(lags) <= max_lag_s * rate + 1e-6
    best = float(values[allowed].max())
    return Sync(best, float(lags[values.argmax()] / rate), float(values.max()) - best)


def open_share(
    gap_mm: np.ndarray,
    frame_seconds: np.ndarray,
    phones_s: np.ndarray,
    near_mm: float,
) -> float | None:
    """Say at how many of a sentence's p, b and m the lips stay apart.

    Args:
        gap_mm: (T,) distance of the lips; not a number where no face is seen.
        frame_seconds: (T,) increasing.
        phones_s: (N, 2) start and end of each of these phones.
        near_mm: lips this near count as closed.

    Returns:
        The share, or None: too few are said to tell.
    """
    check_shape("phones_s", phones_s, "N 2")
    before, after = _AROUND_S
    nearest = []
    for start, end in phones_s:
        at = (frame_seconds >= start - before) & (frame_seconds <= end + after)
        gap = gap_mm[at & np.isfinite(gap_mm)]
        if len(gap):
            nearest.append(float(gap.min()))
    if len(nearest) < _LEAST_PHONES:
        return None
    return float(np.mean(np.array(nearest) > near_mm))


def screen(
    sentences: Sequence[Spoken], own: Spoken, config: GateConfig, in_sync: bool = True
) -> Screening:
    """Judge all sentences by their sound.

    Args:
        sentences: as the actor was shown saying them.
        own: the actor's own clip.
        config: what is dropped.
        in_sync: whether the clip is known to be in sync; if not, it cannot say that the teacher
            is not.

    Returns:
        A reason for each that is to be dropped, and the figures behind it.
    """
    long_enough = [len(said.opening) >= _LEAST_FRAMES for said in sentences]
    flat = [said.deviation < config.min_movement * own.deviation for said in sentences]
    judged = [place for place, ok in enumerate(long_enough) if ok and not flat[place]]
    sums = [_sums(said, own.deviation) for said in sentences]
    own_sums = _sums(own, own.deviation)
    common = _common_sync([sentences[place] for place in judged], _solve(*own_sums), config)
    syncs: list[Sync | None] = [None] * len(sentences)
    total = tuple(
        _OWN_WEIGHT * part + sum(sums[place][number] for place in judged)
        for number, part in enumerate(own_sums)
    )
    for place in judged:
        others = tuple(part - mine for part, mine in zip(total, sums[place], strict=True))
        said = sentences[place]
        foretold = said.features @ _solve(*others)
        syncs[place] = compare(foretold, said.opening, said.rate, config.max_lag_s)
    found = [sync.likeness for sync in syncs if sync is not None]
    usual = float(np.median(found)) if found else 0.0
    heard_s = sum(len(sentences[place].opening) / sentences[place].rate for place in judged)
    enough = len(found) >= _LEAST_SENTENCES
    knows = enough and (usual >= _LEAST_LIKENESS or heard_s >= _ENOUGH_S)
    # Sentences that do not bear each other out are not held to what is usual among them.
    least = max(config.min_likeness * usual, _LEAST_LIKENESS if usual < _LEAST_LIKENESS else 0.0)
    late = in_sync and _is_late(common, config)
    reasons = tuple(
        _reason(flat[place], syncs[place] if knows else None, late, least, config)
        for place in range(len(sentences))
    )
    return Screening(reasons, tuple(syncs), common.lag_s, common.likeness, knows)


def _reason(flat: bool, sync: Sync | None, late: bool, least: float, config: GateConfig) -> str:
    if flat:
        return FLAT
    if late:
        return LATE
    if sync is None:
        return ""
    if sync.advantage > config.max_advantage:
        return ASIDE
    return UNLIKE if sync.likeness < least else ""


def _is_late(common: Sync, config: GateConfig) -> bool:
    """Only what is sure drops all sentences: another lag must fit clearly better."""
    return common.likeness + common.advantage >= _LEAST_LIKENESS and (
        common.advantage > config.max_advantage
    )


def _common_sync(sentences: Sequence[Spoken], weights: np.ndarray, config: GateConfig) -> Sync:
    """All sentences laid end to end, as the actor's own clip foretells them."""
    if not sentences:
        return Sync(0.0, 0.0, 0.0)
    foretold = np.concatenate([_standard(said.features @ weights) for said in sentences])
    opening = np.concatenate([_standard(said.opening) for said in sentences])
    return compare(foretold, opening, sentences[0].rate, config.max_lag_s)


def _sums(said: Spoken, unit: float) -> tuple[np.ndarray, np.ndarray]:
    """What a regression has to know of a sentence: (F, F) and (F,)."""
    gap = said.opening / max(unit, 1e-6)
    return said.features.T @ said.features, said.features.T @ gap


def _solve(square: np.ndarray, cross: np.ndarray) -> np.ndarray:
    # The ridge grows with what was heard: standardised features' squares are about the frames.
    ridge = _RIDGE + _RIDGE / 100 * float(np.trace(square)) / len(square)
    solved: np.ndarray = np.linalg.solve(square + ridge * np.eye(len(square)), cross)
    return solved


def _lagged_r(foretold: np.ndarray, opening: np.ndarray, lag: int) -> float:
    """Correlation with the lips `lag` frames later."""
    count = len(opening) - abs(lag)
    first = foretold[max(-lag, 0) :][:count]
    second = opening[max(lag, 0) :][:count]
    return float((_standard(first) * _standard(second)).mean())


def _standard(values: np.ndarray) -> np.ndarray:
    deviation = values.std()
    moved: np.ndarray = (values - values.mean()) / max(float(deviation), 1e-9)
    return moved
