"""A kernel regression beside the networks: it remembers what the actor's mouth did at like sounds.

A few hundred frames are too few for a network to settle on; comparing a moment's sound with every
moment of the footage needs no settling, and errs elsewhere than the networks do.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from metatalk.a2e.config import KernelConfig
from metatalk.a2e.networks import STRIDE
from metatalk.lipsync.mel import BANDS, COLUMNS_PER_SECOND
from metatalk.shapes import check_shape

_SMOOTHING = 1.5  # columns, standard deviation: the footage's frames are 3.2 columns apart
_SMOOTHING_REACH = 5
_CONTEXT_SPACING = 2  # columns between the sounds that are compared


class KernelRegression(nn.Module):
    """Ridge regression in the space of a Gaussian kernel over short pieces of sound."""

    def __init__(self, components: int, config: KernelConfig, centres: int = 0) -> None:
        super().__init__()
        size = len(_context_offsets(config)) * config.coefficients
        self.config = config
        self.register_buffer("centres", torch.zeros(centres, size))
        self.register_buffer("weights", torch.zeros(centres, components))
        self.register_buffer("mean", torch.zeros(components))
        self.register_buffer("width", torch.ones(()))

    centres: Tensor
    weights: Tensor
    mean: Tensor
    width: Tensor

    def forward(self, features: Tensor) -> Tensor:
        """(B, 80, M) normalised mel -> (B, K, ceil(M / 2)); far from all footage, the mean."""
        sounds = describe_sound(features, self.config)  # (B, N, D)
        likeness = gaussian_kernel(sounds, self.centres, self.width)
        return (self.mean + likeness @ self.weights).transpose(1, 2)


def describe_sound(features: Tensor, config: KernelConfig) -> Tensor:
    """Describe the sound around every second column by smoothed cepstra.

    Args:
        features: (B, 80, M) normalised mel columns.
        config: how far around and how finely.

    Returns:
        (B, ceil(M / 2), D): cepstral coefficients at offsets around the column, the farther ones
        weighed down; mean square length about 1 on speech.
    """
    batch = check_shape("features", features, f"B {BANDS} M")["B"]
    cepstra = _cosine_basis(config.coefficients) @ features  # (B, Q, M)
    smooth = _gaussian_window().expand(config.coefficients, 1, -1)
    padded = functional.pad(cepstra, (_SMOOTHING_REACH,) * 2, mode="replicate")
    cepstra = functional.conv1d(padded, smooth, groups=config.coefficients)
    offsets = _context_offsets(config)
    taper = torch.exp(-0.25 * (offsets / (COLUMNS_PER_SECOND * config.context_s)) ** 2)
    columns = torch.arange(0, features.shape[2], STRIDE)[:, None] + offsets  # (N, O)
    context = cepstra[:, :, columns.clamp(0, features.shape[2] - 1)] * taper  # (B, Q, N, O)
    context = context / math.sqrt(BANDS * float((taper**2).sum()))
    return context.permute(0, 2, 1, 3).reshape(batch, len(columns), -1)


def gaussian_kernel(sounds: Tensor, centres: Tensor, width: Tensor) -> Tensor:
    """exp(-|a - b|^2 / width) of (..., N, D) sounds and (P, D) centres: (..., N, P)."""
    squared = (sounds**2).sum(-1, keepdim=True) + (centres**2).sum(-1) - 2 * sounds @ centres.T
    return torch.exp(-squared.clamp(min=0) / width)


def fit_kernel(sounds: Tensor, targets: Tensor, config: KernelConfig) -> KernelRegression:
    """Solve the regression on the footage's moments.

    Args:
        sounds: (N, D) from `describe_sound`, where the mouth is known.
        targets: (N, K) the mouth there.
        config: ridge, width, and the largest number of moments; more are thinned out evenly.

    Returns:
        The fitted regression.

    Source: Saunders et al. 1998 (ridge regression in dual variables), the mean left free.
    """
    moments = check_shape("sounds", sounds, "N D")["N"]
    components = check_shape("targets", targets, "N K", N=moments)["K"]
    kept = torch.from_numpy(np.unique(np.linspace(0, moments - 1, config.centres).round()))
    kept = kept.long() if moments > config.centres else torch.arange(moments)
    regression = KernelRegression(components, config, len(kept))
    centres = sounds[kept]
    regression.centres, regression.mean = centres.clone(), targets.mean(dim=0)
    regression.width = config.width * _median_squared_distance(centres)
    gram = gaussian_kernel(centres, centres, regression.width).double()
    gram.diagonal().add_(config.ridge)
    change = (targets[kept] - regression.mean).double()
    regression.weights = torch.linalg.solve(gram, change).to(sounds.dtype)
    return regression


def kernel_reach_columns(config: KernelConfig) -> int:
    """Count the mel columns that one prediction depends on to either side."""
    return int(_context_offsets(config)[-1]) + _SMOOTHING_REACH


def _median_squared_distance(points: Tensor, most: int = 1000) -> Tensor:
    some = points[:: max(1, len(points) // most)]
    return (torch.cdist(some, some) ** 2).median().clamp(min=1e-6)


def _context_offsets(config: KernelConfig) -> Tensor:
    reach = int(2 * config.context_s * COLUMNS_PER_SECOND) // _CONTEXT_SPACING * _CONTEXT_SPACING
    return torch.arange(-reach, reach + 1, _CONTEXT_SPACING)


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
