"""A kernel regression beside the networks: it remembers what the actor's mouth did at like sounds.

A few hundred frames are too few for a network to settle on; comparing a moment's sound with every
moment of the footage needs no settling, and errs elsewhere than the networks do. It answers
twice: once by all that is heard, which knows the actor's own voice best, and once by the streams
that know no speaker, which fit whoever speaks.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import scipy.linalg
import torch
from torch import Tensor, nn
from torch.nn import functional

from metatalk.a2e.architectures.interface import STRIDE
from metatalk.a2e.config import KernelConfig
from metatalk.lipsync.mel import BANDS, COLUMNS_PER_SECOND
from metatalk.shapes import check_shape

_SMOOTHING = 1.5  # columns, standard deviation: the footage's frames are 3.2 columns apart
_SMOOTHING_REACH = 5
_CONTEXT_SPACING = 2  # columns between the sounds that are compared
_HEARD_PLACES = (-1.0, -2 / 3, -1 / 3, -1 / 6, 0.0, 1 / 6, 1 / 3, 2 / 3, 1.0)  # of the reach
_JITTER = 1e-3  # keeps the centres' own kernel matrix from being singular
_ASKED = 2000  # moments that a voice is judged by
_BLOCK = 4096  # moments worked on at once


class KernelRegression(nn.Module):
    """Ridge regression in the space of a Gaussian kernel over short pieces of sound.

    Args:
        components: K, size of the mouth space.
        config: of the kernel.
        heard: D, rows of the features beside the mel.
        axes: Q, principal axes of these rows.
        centres: P, moments remembered.
        lookahead: columns after a step that it may depend on; None: as many as it likes.
    """

    def __init__(
        self,
        components: int,
        config: KernelConfig,
        heard: int = 0,
        axes: int = 0,
        centres: int = 0,
        lookahead: int | None = None,
    ) -> None:
        super().__init__()
        self.config, self.lookahead = config, lookahead
        self.mel_size = len(mel_offsets(config, lookahead)) * config.coefficients
        size = self.mel_size + len(_HEARD_PLACES) * axes
        self.register_buffer("axes", torch.zeros(heard, axes))
        self.register_buffer("centres", torch.zeros(centres, size))
        self.register_buffer("weights", torch.zeros(2, centres, components))
        self.register_buffer("mean", torch.zeros(components))
        self.register_buffer("width", torch.ones(2))

    axes: Tensor
    centres: Tensor
    weights: Tensor  # of the answer by everything, and of the one by the streams alone
    mean: Tensor
    width: Tensor

    def forward(self, features: Tensor, foreign: float = 0.0) -> Tensor:
        """Answer what the mouth does.

        Args:
            features: (B, 80 + D, M) normalised columns.
            foreign: from 0, the actor's own voice, to 1, one that is nothing like it: how much
                the answer by the streams alone counts.

        Returns:
            (B, K, ceil(M / 2)); far from all footage, the mean.
        """
        sounds = self.describe(features)
        if not self.axes.shape[1]:
            foreign = 0.0
        answer = self._answer(sounds, 0) if foreign < 1 else torch.zeros(())
        if foreign > 0:
            answer = torch.lerp(answer, self._answer(sounds, 1), foreign)
        return answer.transpose(1, 2)

    def distance(self, features: Tensor, chosen: Tensor) -> float:
        """Measure how unlike all of the footage's sounds are.

        Args:
            features: (80 + D, M) normalised columns.
            chosen: (ceil(M / 2),) bool, the moments asked about.

        Returns:
            The median distance of their mel from the nearest moment remembered; infinite where
            there is none to ask about.
        """
        by_mel = describe_mel(features[None, :BANDS], self.config, self.lookahead)[0][chosen]
        if not len(by_mel) or not len(self.centres):
            return math.inf
        some = by_mel[:: max(1, len(by_mel) // _ASKED)]
        nearest = torch.cdist(some, self.centres[:, : self.mel_size]).amin(dim=1)
        return float(nearest.median())

    def describe(self, features: Tensor) -> Tensor:
        """(B, 80 + D, M) normalised -> (B, ceil(M / 2), S), what moments are compared by."""
        by_mel = describe_mel(features[:, :BANDS], self.config, self.lookahead)
        if not self.axes.shape[1]:
            return by_mel
        turned = self.axes.T @ features[:, BANDS:]
        return torch.cat([by_mel, describe_heard(turned, self.config, self.lookahead)], dim=2)

    def _answer(self, sounds: Tensor, which: int) -> Tensor:
        first = self.mel_size if which else 0
        likeness = gaussian_kernel(sounds[..., first:], self.centres[:, first:], self.width[which])
        return self.mean + likeness @ self.weights[which]


def describe_mel(features: Tensor, config: KernelConfig, lookahead: int | None = None) -> Tensor:
    """Describe the mel around every second column by smoothed cepstra.

    Args:
        features: (B, 80, M) normalised mel columns.
        config: how far around and how finely.
        lookahead: columns ahead at most.

    Returns:
        (B, ceil(M / 2), O Q): cepstral coefficients at offsets around the column, the farther
        ones weighed down; mean square length about 1 on speech.
    """
    batch = check_shape("features", features, f"B {BANDS} M")["B"]
    cepstra = _cosine_basis(config.coefficients) @ features  # (B, Q, M)
    smooth = _gaussian_window().expand(config.coefficients, 1, -1)
    padded = functional.pad(cepstra, (_SMOOTHING_REACH,) * 2, mode="replicate")
    cepstra = functional.conv1d(padded, smooth, groups=config.coefficients)
    offsets = mel_offsets(config, lookahead)
    taper = torch.exp(-0.25 * (mel_offsets(config) / (COLUMNS_PER_SECOND * config.context_s)) ** 2)
    context = _around(cepstra, offsets) * taper  # (B, Q, N, O)
    context = context / math.sqrt(BANDS * float((taper**2).sum()))
    return context.permute(0, 2, 1, 3).reshape(batch, context.shape[2], -1)


def describe_heard(turned: Tensor, config: KernelConfig, lookahead: int | None = None) -> Tensor:
    """Describe the streams around every second column by their principal coordinates.

    Args:
        turned: (B, Q, M) the streams on their principal axes; mean square length 1 a column.
        config: how far around.
        lookahead: columns ahead at most.

    Returns:
        (B, ceil(M / 2), O Q); mean square length about 1 on speech.
    """
    batch = len(turned)
    offsets = _heard_offsets(config, lookahead)
    taper = torch.exp(-0.5 * (torch.tensor(_HEARD_PLACES) / 1.5) ** 2)
    context = _around(turned, offsets) * taper / math.sqrt(float((taper**2).sum()))
    return context.permute(0, 2, 1, 3).reshape(batch, context.shape[2], -1)


def gaussian_kernel(sounds: Tensor, centres: Tensor, width: Tensor) -> Tensor:
    """exp(-|a - b|^2 / width) of (..., N, S) sounds and (P, S) centres: (..., N, P)."""
    squared = (sounds**2).sum(-1, keepdim=True) + (centres**2).sum(-1) - 2 * sounds @ centres.T
    return torch.exp(-squared.clamp(min=0) / width)


def find_axes(heard: Tensor, most: int) -> Tensor:
    """Find the principal axes of the streams' rows, as seen over the footage.

    Args:
        heard: (D, N) normalised columns.
        most: Q at most.

    Returns:
        (D, Q) orthogonal columns, scaled so that the turned streams' mean square length is 1.
    """
    if not len(heard):
        return torch.zeros(0, 0)
    _, vectors = torch.linalg.eigh((heard @ heard.T).double() / heard.shape[1])
    axes = vectors.flip(1)[:, :most].float()
    length = (axes.T @ heard).square().sum(0).mean().clamp(min=1e-9)
    return (axes / length.sqrt()).contiguous()


def fit_kernel(
    regression: KernelRegression,
    sounds: Tensor,
    targets: Tensor,
    importance: Tensor | None = None,
) -> None:
    """Solve a regression on the footage's moments.

    Args:
        regression: its axes known; its centres, weights, mean and widths are set.
        sounds: (N, S) from `describe`, where the mouth is known.
        targets: (N, K) the mouth there.
        importance: (N,) above 0, of each moment's error; the most important are remembered
            first. None: all the same.

    Source: Saunders et al. 1998 (ridge regression in dual variables), the mean left free; with
        more moments than centres, Smola & Scholkopf 2000 (subset of regressors).
    """
    config = regression.config
    moments = check_shape("sounds", sounds, "N S")["N"]
    check_shape("targets", targets, "N K", N=moments)
    kept = _choose_centres(moments, config.centres, importance)
    regression.centres, regression.mean = sounds[kept].clone(), _mean(targets, importance)
    change = (targets - regression.mean).double()
    answers = 2 if regression.axes.shape[1] else 1
    weights, widths = [], []
    for which in range(answers):
        first = regression.mel_size if which else 0
        seen, centres = sounds[:, first:], regression.centres[:, first:]
        width = config.width * _median_squared_distance(seen)
        solve = _solve_all if len(kept) == moments else _solve_subset
        found = solve(seen, centres, change, width, config.ridge, importance)
        weights.append(found.to(sounds.dtype))
        widths.append(width)
    regression.weights = torch.stack([weights[0], weights[-1]])
    regression.width = torch.stack([widths[0], widths[-1]])


def kernel_reach_columns(
    config: KernelConfig, hears: bool, lookahead: int | None = None
) -> tuple[int, int]:
    """Count the columns before and after that one prediction depends on.

    Args:
        config: of the kernel.
        hears: whether streams beside the mel are compared.
        lookahead: columns ahead at most.
    """
    offsets = mel_offsets(config, lookahead)
    back, ahead = int(-offsets[0]) + _SMOOTHING_REACH, int(offsets[-1]) + _SMOOTHING_REACH
    far = _heard_offsets(config, lookahead) if hears else torch.zeros(1)
    return max(back, int(-far[0])), max(ahead, int(far[-1]), 0)


def mel_offsets(config: KernelConfig, lookahead: int | None = None) -> Tensor:
    """(O,) columns around a step whose mel is compared; moved back until none is too far ahead."""
    reach = int(2 * config.context_s * COLUMNS_PER_SECOND) // _CONTEXT_SPACING * _CONTEXT_SPACING
    offsets = torch.arange(-reach, reach + 1, _CONTEXT_SPACING)
    over = 0 if lookahead is None else max(reach + _SMOOTHING_REACH - lookahead, 0)
    return offsets - over


def _heard_offsets(config: KernelConfig, lookahead: int | None = None) -> Tensor:
    offsets = (torch.tensor(_HEARD_PLACES) * config.heard_s * COLUMNS_PER_SECOND).round().long()
    # What may not be heard yet gives way to the last that may: the places near the step stay.
    return offsets if lookahead is None else offsets.clamp(max=lookahead)


def _around(rows: Tensor, offsets: Tensor) -> Tensor:
    """Read (B, Q, M) rows around every second column: (B, Q, N, O); the ends are held."""
    columns = torch.arange(0, rows.shape[2], STRIDE)[:, None] + offsets  # (N, O)
    return rows[:, :, columns.clamp(0, rows.shape[2] - 1)]


def _choose_centres(moments: int, most: int, importance: Tensor | None) -> Tensor:
    """Numbers of the moments remembered, ascending: evenly, those of most importance first."""
    if moments <= most:
        return torch.arange(moments)
    if importance is None:
        return _evenly(torch.arange(moments), most)
    first = torch.nonzero(importance == importance.max())[:, 0]
    rest = torch.nonzero(importance < importance.max())[:, 0]
    if len(first) >= most:
        return _evenly(first, most)
    return torch.cat([first, _evenly(rest, most - len(first))]).sort().values


def _evenly(numbers: Tensor, most: int) -> Tensor:
    places = np.unique(np.linspace(0, len(numbers) - 1, min(most, len(numbers))).round())
    return numbers[torch.from_numpy(places).long()]


def _mean(targets: Tensor, importance: Tensor | None) -> Tensor:
    if importance is None:
        return targets.mean(dim=0)
    return (targets * importance[:, None]).sum(dim=0) / importance.sum()


def _solve_all(
    seen: Tensor,
    centres: Tensor,
    change: Tensor,
    width: Tensor,
    ridge: float,
    importance: Tensor | None,
) -> Tensor:
    gram = gaussian_kernel(seen, centres, width).double()
    gram.diagonal().add_(ridge if importance is None else ridge / importance)
    return torch.linalg.solve(gram, change)


def _solve_subset(
    seen: Tensor,
    centres: Tensor,
    change: Tensor,
    width: Tensor,
    ridge: float,
    importance: Tensor | None,
) -> Tensor:
    """Weights of the centres that fit all moments best, in the kernel's own norm."""
    own = gaussian_kernel(centres, centres, width).double().numpy()
    root = scipy.linalg.cholesky(own + _JITTER * np.eye(len(own)), lower=True, overwrite_a=True)
    normal, right = ridge * np.eye(len(own)), np.zeros((len(own), change.shape[1]))
    for first in range(0, len(seen), _BLOCK):
        likeness = gaussian_kernel(seen[first : first + _BLOCK], centres, width).double().numpy()
        white = scipy.linalg.solve_triangular(root, likeness.T, lower=True, overwrite_b=True)
        weighed = white
        if importance is not None:
            weighed = white * importance[first : first + _BLOCK].numpy()
        normal += weighed @ white.T
        right += weighed @ change[first : first + _BLOCK].numpy()
    weights = scipy.linalg.solve(normal, right, assume_a="pos", overwrite_a=True)
    found = scipy.linalg.solve_triangular(root, weights, lower=True, trans="T")
    return torch.from_numpy(found)


def _median_squared_distance(points: Tensor, most: int = 1000) -> Tensor:
    some = points[:: max(1, len(points) // most)]
    return (torch.cdist(some, some) ** 2).median().clamp(min=1e-6)


@functools.cache
def _cosine_basis(coefficients: int) -> Tensor:
    """The first rows of the orthonormal DCT-II over the bands, (Q, 80)."""
    band, row = torch.arange(BANDS) + 0.5, torch.arange(coefficients)[:, None]
    basis = torch.cos(math.pi / BANDS * row * band) * math.sqrt(2 / BANDS)
    basis[0] /= math.sqrt(2)
    return basis


@functools.cache
def _gaussian_window() -> Tensor:
    place = torch.arange(-_SMOOTHING_REACH, _SMOOTHING_REACH + 1)
    window = torch.exp(-0.5 * (place / _SMOOTHING) ** 2)
    return window / window.sum()
