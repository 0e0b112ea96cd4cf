"""The photometric part of the fit: the actor's albedo and each frame's light.

Colour is albedo times shading, so with one known the other is linear: the two are solved in
turn, in closed form, from the colours seen at the mesh's vertices.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from metatalk.fitting.config import FitConfig
from metatalk.morphable.lighting import BANDS, ambient_light, sh_basis
from metatalk.morphable.model import MorphableModel
from metatalk.shapes import check_shape

LIGHT_PRIOR = 0.02  # share of the data's weight that pulls light to its neighbour or to ambient
ALBEDO_PRIOR = 0.004  # per squared standard deviation and observed vertex
ALBEDO_SPREAD = 0.12  # of a mode of the default texture basis
LEAST_RIDGE = 1e-6
ROBUST_COLOUR = 0.12  # shadows, highlights and hands: colours further off count less
BATCH_FRAMES = 64  # looked at together: intermediates hold 27 numbers a vertex and frame


@dataclass(frozen=True, eq=False)
class ColourSamples:
    """Colours seen at K vertices in N frames of a clip."""

    frames: np.ndarray  # (N,) frame numbers, ascending
    vertices: Tensor  # (K,) numbers of the vertices that were looked at
    colours: Tensor  # (N, K, 3) RGB in [0, 1]
    normals: Tensor  # (N, K, 3) camera frame
    weights: Tensor  # (N, K) 0 where hidden or outside the picture

    def take(self, rows: np.ndarray) -> ColourSamples:
        """The samples of some frames, each once, by their ascending rows."""
        at = np.unique(rows)
        return ColourSamples(
            self.frames[at], self.vertices, self.colours[at], self.normals[at], self.weights[at]
        )

    def __post_init__(self) -> None:
        sizes = check_shape("colours", self.colours, "N K 3")
        check_shape("frames", self.frames, "N", **sizes)
        check_shape("normals", self.normals, "N K 3", **sizes)
        check_shape("weights", self.weights, "N K", **sizes)
        check_shape("vertices", self.vertices, "K", **sizes)


def sample_colours(
    picture: np.ndarray, pixels: np.ndarray, normals: np.ndarray, blur_px: float
) -> tuple[np.ndarray, np.ndarray]:
    """Read a picture's colours at projected vertices.

    Args:
        picture: (H, W, 3) uint8 RGB.
        pixels: (K, 2) projected vertices, pixel centres at half integers.
        normals: (K, 3) camera frame.
        blur_px: standard deviation of a blur that makes noise and misfit matter less.

    Returns:
        (K, 3) float32 colours in [0, 1] and (K,) float32 weights, 0 for vertices that face
        away or lie outside the picture.
    """
    height, width = picture.shape[:2]
    left, top = np.floor(pixels.min(0) - 4 * blur_px - 2).astype(int).clip(0)
    right, bottom = np.ceil(pixels.max(0) + 4 * blur_px + 2).astype(int)
    window = picture[top : min(bottom, height), left : min(right, width)]
    inside = ((pixels > 0.5) & (pixels < (width - 0.5, height - 0.5))).all(1)
    facing = np.clip(-normals[:, 2], 0.0, 1.0)
    weights = (inside * np.where(facing > 0.25, facing, 0.0)).astype(np.float32)
    if not window.size or not inside.any():
        return np.zeros((len(pixels), 3), np.float32), np.zeros(len(pixels), np.float32)
    soft = cv2.GaussianBlur(window, (0, 0), blur_px) if blur_px > 0.3 else window
    grid = (pixels - (left + 0.5, top + 0.5)).astype(np.float32)[None]  # OpenCV: centres at 0
    x, y = grid[..., 0], grid[..., 1]
    colours = cv2.remap(soft, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[0]
    return colours.astype(np.float32) / 255.0, weights


def fit_albedo_and_light(
    model: MorphableModel, samples: ColourSamples, config: FitConfig
) -> tuple[Tensor, Tensor]:
    """Find the texture coefficients and the light that explain the colours.

    Args:
        model: the face model.
        samples: colours of N frames.
        config: how many turns to take.

    Returns:
        (X,) texture coefficients and (N, 3, 9) lighting.
    """
    texture = samples.colours.new_zeros(len(model.texture_basis))
    lighting = ambient_light().to(samples.colours).expand(len(samples.frames), 3, BANDS)
    for _ in range(config.photo.steps):
        albedo = model.albedo(texture)[samples.vertices]  # (K, 3)
        lighting = solve_light(samples, albedo, lighting)
        texture = solve_albedo(model, samples, albedo, lighting)
    return texture, solve_light(samples, model.albedo(texture)[samples.vertices], lighting)


def fit_light(model: MorphableModel, samples: ColourSamples, texture: Tensor) -> Tensor:
    """Light of frames of a known actor: (X,) texture to (N, 3, 9) lighting."""
    albedo = model.albedo(texture)[samples.vertices]
    lighting = ambient_light().to(samples.colours).expand(len(samples.frames), 3, BANDS)
    for _ in range(3):  # the robust weights need a first answer
        lighting = solve_light(samples, albedo, lighting)
    return lighting


def batches(samples: ColourSamples) -> Iterator[tuple[slice, ColourSamples, Tensor]]:
    """Go through samples some frames at a time.

    Args:
        samples: of N frames.

    Yields:
        Runs of B frames: their rows, their samples and their (B, K, 9) SH basis.
    """
    for first in range(0, len(samples.frames), BATCH_FRAMES):
        rows = slice(first, first + BATCH_FRAMES)
        part = ColourSamples(
            samples.frames[rows],
            samples.vertices,
            samples.colours[rows],
            samples.normals[rows],
            samples.weights[rows],
        )
        yield rows, part, sh_basis(part.normals)


def _robust_weights(samples: ColourSamples, predicted: Tensor) -> Tensor:
    """(N, K): the samples' own weights, less where the picture disagrees in any colour."""
    error = (samples.colours - predicted).abs().amax(-1)
    return samples.weights / (1.0 + (error / ROBUST_COLOUR) ** 2)


def solve_light(samples: ColourSamples, albedo: Tensor, before: Tensor) -> Tensor:
    """Find each frame's light for a known albedo, by ridge regression towards the clip's mean.

    Args:
        samples: colours of N frames.
        albedo: (K, 3) of the vertices looked at.
        before: (N, 3, 9) light that tells which colours are outliers.

    Returns:
        (N, 3, 9).
    """
    count = len(samples.frames)
    gram = albedo.new_empty(count, 3, BANDS, BANDS)
    right = albedo.new_empty(count, 3, BANDS)
    for rows, part, basis in batches(samples):
        predicted = albedo * torch.einsum("nkb,ncb->nkc", basis, before[rows])
        weights = _robust_weights(part, predicted)
        lit = torch.einsum("kc,nkb->nckb", albedo, basis)  # (B, 3, K, 9)
        weighted = lit * weights[:, None, :, None]
        gram[rows] = weighted.mT @ lit  # into its place: kept pieces would riddle the heap
        right[rows] = torch.einsum("nckb,nkc->ncb", weighted, part.colours)
    mass = gram.diagonal(dim1=-2, dim2=-1).mean(-1, keepdim=True)  # (N, 3, 1)
    common = torch.linalg.solve(
        gram.mean(0) + 1e-4 * torch.eye(BANDS, device=gram.device), right.mean(0).unsqueeze(-1)
    ).squeeze(-1)  # (3, 9): the clip's own mean light
    ridge = LIGHT_PRIOR * mass + 1e-4
    hessian = gram + torch.diag_embed(ridge.expand(-1, -1, BANDS))
    return torch.linalg.solve(hessian, (right + ridge * common).unsqueeze(-1)).squeeze(-1)


def solve_albedo(
    model: MorphableModel, samples: ColourSamples, albedo: Tensor, lighting: Tensor
) -> Tensor:
    """Find the texture for a known light, by ridge regression over all frames at once.

    Args:
        model: the face model.
        samples: colours of N frames.
        albedo: (K, 3) as it is known, which tells which colours are outliers.
        lighting: (N, 3, 9).

    Returns:
        (X,) texture coefficients.
    """
    mass, seen = torch.zeros_like(albedo), torch.zeros_like(albedo)  # (K, 3)
    for rows, part, basis in batches(samples):
        shading = torch.einsum("nkb,ncb->nkc", basis, lighting[rows])
        weights = _robust_weights(part, albedo * shading)[..., None] * shading  # (B, K, 3)
        mass = mass + (weights * shading).sum(0)
        seen = seen + (weights * part.colours).sum(0)
    wanted = seen - mass * model.texture_mean[samples.vertices]
    modes = model.texture_basis[:, samples.vertices]  # (X, K, 3)
    gram = torch.einsum("xkc,kc,ykc->xy", modes, mass, modes)
    right = torch.einsum("xkc,kc->x", modes, wanted)
    # Where nothing is seen the prior alone must still have an answer.
    ridge = (ALBEDO_PRIOR * mass.sum() * ALBEDO_SPREAD**2).clamp_min(LEAST_RIDGE)
    return torch.linalg.solve(gram + ridge * torch.eye(len(gram), device=gram.device), right)
