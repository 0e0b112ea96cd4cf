"""How far a frame's fit can be trusted: what hides the face is seen in its colours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from metatalk.fitting.photometric import ColourSamples, batches
from metatalk.fitting.smoothing import spread
from metatalk.landmarks.track import LandmarkTrack
from metatalk.morphable.model import MorphableModel
from metatalk.shapes import check_shape

GOOD_ERROR_MM = 2.0  # mean landmark error at which the confidence has fallen to a half
MOST_FRAMES = 400  # that tell what is usual: enough for a median, and no burden on the memory
STRANGE = 3.5  # spreads from the usual colour at which a pixel no longer shows the face
LEAST_SPREAD = 0.03  # of a colour: what noise and the light's coarse model leave anyway


@dataclass(frozen=True, eq=False)
class Trust:
    """How well each frame's pictures agree with the fit."""

    confidence: np.ndarray  # (T,) float32, 0 without a face, 1 where the fit is as good as it gets
    colour_error: np.ndarray  # (T,) float32 mean difference of colours, 0 to 1
    visible_share: np.ndarray  # (T,) float32 of the face's area that looks like the face

    def __post_init__(self) -> None:
        frames = check_shape("confidence", self.confidence, "T")
        check_shape("colour_error", self.colour_error, "T", **frames)
        check_shape("visible_share", self.visible_share, "T", **frames)


def measure_trust(
    model: MorphableModel,
    samples: ColourSamples,
    texture: Tensor,
    lighting: Tensor,
    landmarks: LandmarkTrack,
    error_mm: Tensor,
) -> Trust:
    """Judge every frame by its landmarks and, between the measured frames, by its colours.

    Each vertex is compared with its own usual colour in this clip, so that a beard or glasses,
    which are always there, count as the face, and a hand, which is not, does not.

    Args:
        model: the face model.
        samples: colours of N frames.
        texture: (X,) the actor's.
        lighting: (N, 3, 9) of these frames.
        landmarks: of every frame.
        error_mm: (T,) mean landmark error; nan where there is no face.

    Returns:
        The trust.
    """
    albedo = model.albedo(texture)[samples.vertices]
    some = samples.take(np.linspace(0, len(samples.frames) - 1, MOST_FRAMES).astype(int))
    rows = np.searchsorted(samples.frames, some.frames)
    seen = torch.cat([
        part.colours - albedo * torch.einsum("nkb,ncb->nkc", basis, lighting[rows][at])
        for at, part, basis in batches(some)
    ])  # fmt: skip
    usual, spread_of = _usual(seen, some.weights)
    measured = np.empty((len(samples.frames), 2), np.float32)
    for at, part, basis in batches(samples):
        error = part.colours - albedo * torch.einsum("nkb,ncb->nkc", basis, lighting[at])
        measured[at] = _judge(error, part.weights, usual, spread_of).cpu().numpy()
    each = spread(measured, samples.frames, landmarks.shots, len(landmarks))
    return Trust(_confidence(error_mm, each[:, 0], landmarks), each[:, 1], each[:, 0])


def _judge(error: Tensor, weights: Tensor, usual: Tensor, spread_of: Tensor) -> Tensor:
    """(B, 2) share of the face that looks as usual, and mean difference of colours."""
    away = ((error - usual).abs() / spread_of).amax(-1)
    mass = weights.sum(1).clamp_min(1e-6)
    share = ((away < STRANGE) * weights).sum(1) / mass
    level = (error.abs().mean(-1) * weights).sum(1) / mass
    return torch.stack((share, level), 1)


def _usual(error: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """(K, 3) median difference of each vertex, and (K, 3) its robust spread over the clip."""
    unseen = (weights <= 0).unsqueeze(-1)
    known = error.masked_fill(unseen, torch.nan)
    usual = torch.nan_to_num(known.nanmedian(0).values)
    deviation = (known - usual).abs().nanmedian(0).values
    return usual, (1.4826 * torch.nan_to_num(deviation)).clamp_min(LEAST_SPREAD)


def _confidence(error_mm: Tensor, share: np.ndarray, landmarks: LandmarkTrack) -> np.ndarray:
    fit = 1.0 / (1.0 + (np.nan_to_num(error_mm.numpy()) / GOOD_ERROR_MM) ** 2)
    seen = np.where(landmarks.has_face, landmarks.confidence, 0.0).clip(0, 1)
    open_to_view = share.clip(0, 1)
    return (fit * seen * open_to_view).astype(np.float32)
