"""Sound and mouth laid beside each other at every lag: how well does one foretell the other?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.fft import dct
from scipy.ndimage import binary_dilation, gaussian_filter1d

from metatalk.a2e.windows import targets_at_columns
from metatalk.lipsync.mel import COLUMNS_PER_SECOND, wav2lip_mel

if TYPE_CHECKING:
    from metatalk.a2e.footage import Footage

_BLOCK_S = 1.5  # held out, and drawn again, as a whole

_LAGS = np.arange(-36, 37, 2)  # columns
_SMOOTH = 0.7  # lags; evens out the dust on the curve
_ROW = 2  # columns between two moments that are looked at
_LONGEST_S = 60.0  # looked at: more makes the answer slower, not better
_FOLDS = 6
_NEAR_S = 0.3  # of speech: a mouth in a long pause moves of its own accord
_SPEECH = 0.3
_SLOW_S = 0.5  # head and mood move slower than this and have nothing to do with the sound
_SMOOTH_S = (0.02, 0.08)  # of the sound, symmetric, so that it brings no lag of its own
_COEFFICIENTS = 13
_WAVES = 100  # random cosines of the cepstrum: what a straight line cannot say
_WAVE_WIDTH = 0.7
_RIDGES = (0.3, 0.1, 0.1)  # of the straight line and of two sets of waves
_LEAST_ROWS = 20
_LEAST_SPREAD = 1e-3


@dataclass(frozen=True, eq=False)
class SyncTrial:
    """Sound and mouth on the mel's clock, to be compared at any lag."""

    sounds: Sequence[np.ndarray]  # (M, F) descriptions of single moments, one for each regression
    mouth: np.ndarray  # (M, K) quick movement
    known: np.ndarray  # (M,) bool
    rows: np.ndarray  # (R,) columns that are looked at
    block: np.ndarray  # (R,) which block each belongs to, from 0
    blocks: int  # N

    @classmethod
    def prepare(cls, footage: Footage, speech: np.ndarray | None) -> SyncTrial:
        """Bring footage to one clock and choose what is looked at.

        Args:
            footage: sound and mouth.
            speech: (M,) probability of speech; none: everything is looked at.
        """
        mel = wav2lip_mel(footage.samples)
        columns = mel.shape[1]
        weight = 1.0 if footage.scale is None else np.sqrt(footage.scale)
        mouth = (footage.mouth * weight).astype(np.float32)
        values, known = targets_at_columns(
            footage.frame_seconds, mouth, footage.has_face, footage.shots, columns
        )
        near = known.copy()
        if speech is not None:
            reach = round(_NEAR_S * COLUMNS_PER_SECOND)
            near &= binary_dilation(speech >= _SPEECH, iterations=reach)
        rows = np.flatnonzero(near)[::_ROW][: round(_LONGEST_S * COLUMNS_PER_SECOND / _ROW)]
        _, block = np.unique(
            (rows / COLUMNS_PER_SECOND / _BLOCK_S).astype(int), return_inverse=True
        )
        blocks = int(block.max(initial=-1)) + 1
        return cls(_describe_moments(mel), _quick_part(values, known), known, rows, block, blocks)

    @property
    def heard_s(self) -> float:
        """Seconds that are looked at."""
        return len(self.rows) * _ROW / COLUMNS_PER_SECOND

    @property
    def moves(self) -> bool:
        """Whether the mouth moves at all."""
        return bool(self.mouth[self.rows].std(axis=0).max(initial=0.0) > _LEAST_SPREAD)

    def held_out_errors(
        self, moved: int = 0, lags: np.ndarray = _LAGS
    ) -> tuple[np.ndarray, np.ndarray]:
        """Foretell every block from the sound of the others.

        Args:
            moved: columns by which the mouth is taken from another moment, round the end.
            lags: (L,) columns by which the mouth comes after the sound.

        Returns:
            (G, N, L) squared errors of each regression, in each block, at each lag, and the
            same for a guess of the mean.
        """
        mouth, known = np.roll(self.mouth, moved, axis=0), np.roll(self.known, moved)
        errors = np.zeros((len(self.sounds), self.blocks, len(lags)))
        sizes = np.zeros_like(errors)
        for place, lag in enumerate(lags):
            at = self.rows + lag
            seen = (at >= 0) & (at < len(known))
            seen[seen] = known[at[seen]]
            rows, block, said = self.rows[seen], self.block[seen], mouth[at[seen]]
            for which, (sound, ridge) in enumerate(zip(self.sounds, _RIDGES, strict=True)):
                error, size = _ask_regression(sound[rows], said, block % _FOLDS, ridge)
                errors[which, :, place] = np.bincount(block, error, self.blocks)
                sizes[which, :, place] = np.bincount(block, size, self.blocks)
        return errors, sizes

    def displaced_heights(self, count: int) -> np.ndarray:
        """(count,) how well the sound fits mouths of other moments: what chance gives."""
        far = 3 * int(_LAGS[-1])
        # Near a moment speech is like itself; a short clip has no far ones.
        far = min(far, len(self.known) // 3)
        heights = []
        for moved in np.linspace(far, len(self.known) - far, count).astype(int):
            errors, sizes = self.held_out_errors(int(moved), _LAGS[::2])
            heights.append(find_peaks(errors.sum(axis=1)[None], sizes.sum(axis=1)[None])[1][0])
        return np.array(heights)


def find_peaks(errors: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the lag at which sound and mouth fit best.

    Args:
        errors: (D, G, L) squared errors of G regressions at each lag.
        sizes: (D, G, L) the same for a guess of the mean.

    Returns:
        (D,) seconds by which the mouth comes after the sound, between the lags by a parabola,
        and (D,) the share of the movement that is foretold there, mean over the regressions;
        below 0 the mean is the better guess. Where nothing was compared, nothing is foretold.
    """
    foretold = np.where(sizes > 0, 1 - errors / np.maximum(sizes, 1e-9), 0)
    curve = foretold.mean(axis=1)  # (D, L)
    curve = gaussian_filter1d(curve, _SMOOTH, axis=1)
    top = np.clip(curve.argmax(axis=1), 1, curve.shape[1] - 2)
    before, height, after = (
        np.take_along_axis(curve, (top + side)[:, None], axis=1)[:, 0] for side in (-1, 0, 1)
    )
    bend = np.minimum(before - 2 * height + after, -1e-9)
    shift = np.clip((before - after) / (2 * bend), -1, 1)
    step = _LAGS[1] - _LAGS[0]
    return (_LAGS[top] + step * shift) / COLUMNS_PER_SECOND, height


def _ask_regression(
    sound: np.ndarray, mouth: np.ndarray, fold: np.ndarray, ridge: float
) -> tuple[np.ndarray, np.ndarray]:
    """(R,) squared errors of a ridge regression that has not seen the row's fold, and sizes."""
    error, size = np.zeros(len(sound)), np.zeros(len(sound))
    members = [fold == number for number in range(_FOLDS)]
    parts = [_moments(sound[member], mouth[member]) for member in members]
    total = [np.sum(column, axis=0) for column in zip(*parts, strict=True)]
    for member, part in zip(members, parts, strict=True):
        count, sound_sum, mouth_sum, square, product = (
            all_ - own for all_, own in zip(total, part, strict=True)
        )
        if count < _LEAST_ROWS or not member.any():
            continue
        sound_mean, mouth_mean = sound_sum / count, mouth_sum / count
        spread = square / count - np.outer(sound_mean, sound_mean)
        common = product / count - np.outer(sound_mean, mouth_mean)
        slope = np.linalg.solve(spread + ridge * np.eye(len(spread)), common)
        centred = mouth[member] - mouth_mean
        error[member] = np.square(centred - (sound[member] - sound_mean) @ slope).sum(axis=1)
        size[member] = np.square(centred).sum(axis=1)
    return error, size


def _moments(sound: np.ndarray, mouth: np.ndarray) -> tuple[np.ndarray, ...]:
    """Count, sums and products of rows: all that a ridge regression needs."""
    return (
        np.array(len(sound)),
        sound.sum(axis=0),
        mouth.sum(axis=0),
        sound.T @ sound,
        sound.T @ mouth,
    )


def _describe_moments(mel: np.ndarray) -> list[np.ndarray]:
    """(M, F) each: standardised cepstrum, and twice random cosines of it."""
    cepstrum = dct(mel, axis=0, norm="ortho")[:_COEFFICIENTS].T
    smooth = [
        gaussian_filter1d(cepstrum, width_s * COLUMNS_PER_SECOND, axis=0) for width_s in _SMOOTH_S
    ]
    plain = np.concatenate(smooth, axis=1)
    plain = (plain - plain.mean(axis=0)) / np.maximum(plain.std(axis=0), _LEAST_SPREAD)
    generator = np.random.default_rng(0)
    size = plain.shape[1]
    described = [plain]
    for _ in _RIDGES[1:]:
        turns = generator.standard_normal((size, _WAVES)) * _WAVE_WIDTH / np.sqrt(size)
        phase = generator.uniform(0, 2 * np.pi, _WAVES)
        described.append(np.sqrt(2) * np.cos(plain @ turns + phase))
    return [part.astype(np.float32) for part in described]


def _quick_part(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """(M, K) movement without what moves slowly; what is not known has no part in it."""
    seen, width = known[:, None].astype(np.float64), _SLOW_S * COLUMNS_PER_SECOND
    weight = np.maximum(gaussian_filter1d(seen, width, axis=0), 1e-3)
    slow = gaussian_filter1d(values * seen, width, axis=0) / weight
    quick: np.ndarray = (values - slow).astype(np.float32)
    return quick
