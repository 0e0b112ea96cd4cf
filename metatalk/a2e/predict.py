"""Predict the actor's mouth for any recording."""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from metatalk.a2e.config import A2EConfig
from metatalk.a2e.features import FeatureStats, blend_stats, normalise_mel
from metatalk.a2e.model import MouthModel
from metatalk.a2e.networks import STEPS_PER_SECOND, STRIDE, sample_steps
from metatalk.a2e.rest import speaking_gate
from metatalk.lipsync.mel import COLUMNS_PER_SECOND, SILENCE, wav2lip_mel
from metatalk.shapes import check_shape

_BLOCK_COLUMNS = 4800  # one minute at a time: memory stays flat however long the recording


def predict_mouth(
    model: MouthModel, samples: np.ndarray, frame_seconds: np.ndarray, config: A2EConfig
) -> np.ndarray:
    """Predict the mouth at the times of video frames.

    Args:
        model: trained on the actor.
        samples: (S,) speech at 16 kHz in [-1, 1]; sample 0 is at second 0.
        frame_seconds: (T,) times of the frames, any rate; past the sound the mouth rests.
        config: smoothing, amplitude and normalisation.

    Returns:
        (T, K) float32 standard deviations of the actor's mouth space; the rest pose in silence.

    Raises:
        ShapeError: samples or times are not one-dimensional, or the sound is not finite.
    """
    check_shape("frame_seconds", frame_seconds, "T")
    mel = _reach_time(wav2lip_mel(samples), float(frame_seconds.max(initial=0.0)))
    gate = torch.from_numpy(speaking_gate(mel)[None, ::STRIDE])  # (1, N)
    steps = predict_steps(model, mel, blend_stats(mel, model.stats, config.features.prior_s))
    if config.smooth_s > 0:
        smooth = gaussian_filter1d(steps.numpy(), config.smooth_s * STEPS_PER_SECOND, axis=1)
        steps = torch.from_numpy(smooth)
    rest = model.rest[:, None]
    steps = rest + gate * (model.gain[:, None] * (steps - rest) * config.amplitude)
    return sample_steps(steps, torch.as_tensor(frame_seconds)).numpy().astype(np.float32)


@torch.inference_mode()
def predict_steps(model: MouthModel, mel: np.ndarray, stats: FeatureStats) -> Tensor:
    """Run the model over a recording, block by block, each with the sound around it.

    Args:
        model: trained on the actor.
        mel: (80, M) mel units.
        stats: what to normalise by.

    Returns:
        (K, ceil(M / 2)) at 40 steps a second; the same as in one piece.
    """
    model.eval()
    columns, parts = mel.shape[1], []
    for first in range(0, columns, _BLOCK_COLUMNS):
        start = max(first - model.reach, 0)
        piece = mel[:, start : first + _BLOCK_COLUMNS + model.reach]
        values = model(torch.from_numpy(normalise_mel(piece, stats))[None])[0]
        skip, steps = (first - start) // STRIDE, _BLOCK_COLUMNS // STRIDE
        parts.append(values[:, skip : skip + steps])
    return torch.cat(parts, dim=1)


def _reach_time(mel: np.ndarray, second: float) -> np.ndarray:
    """Lengthen the mel by silence up to a time."""
    missing = max(int(np.ceil(second * COLUMNS_PER_SECOND)) + 1 - mel.shape[1], 0)
    return np.pad(mel, ((0, 0), (0, missing)), constant_values=SILENCE)
