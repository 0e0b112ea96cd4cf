"""Predict the actor's mouth for any recording."""

from __future__ import annotations

import logging

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from metatalk.a2e.activity import hear_speech
from metatalk.a2e.architectures.interface import STEPS_PER_SECOND, STRIDE
from metatalk.a2e.config import A2EConfig
from metatalk.a2e.features import FeatureStats, blend_stats
from metatalk.a2e.hearing import Ears, Sound, reopen_ears
from metatalk.a2e.model import MouthModel
from metatalk.a2e.rest import speaking_gate
from metatalk.lipsync.mel import COLUMNS_PER_SECOND
from metatalk.shapes import check_shape

log = logging.getLogger(__name__)

_BLOCK_COLUMNS = 4800  # one minute at a time: beside what is heard, memory stays flat
_BLOCK_FRAMES = 2048  # that are compared with the mouths seen at once


def predict_mouth(
    model: MouthModel,
    samples: np.ndarray,
    frame_seconds: np.ndarray,
    config: A2EConfig,
    ears: Ears | None = None,
) -> np.ndarray:
    """Predict the mouth at the times of video frames.

    Args:
        model: trained on the actor.
        samples: (S,) speech at 16 kHz in [-1, 1]; sample 0 is at second 0.
        frame_seconds: (T,) times of the frames, any rate; past the sound the mouth rests.
        config: smoothing, amplitude and normalisation.
        ears: what listens, as it listened to the footage; by default what the settings name.

    Returns:
        (T, K) float32 standard deviations of the actor's mouth space; the rest pose in silence.

    Raises:
        ShapeError: samples or times are not one-dimensional, or the sound is not finite.
        MissingAssetError: the ears are not those that the model was trained with.
    """
    check_shape("frame_seconds", frame_seconds, "T")
    ears = ears or reopen_ears(config, model.fingerprint)
    model.require_ears(ears)
    last_s = float(frame_seconds.max(initial=0.0))
    sound = ears.listen(samples, int(np.ceil(last_s * COLUMNS_PER_SECOND)) + 1)
    speech = np.zeros(sound.columns, np.float32)
    known = hear_speech(samples, config.activity)[: sound.columns]
    speech[: len(known)] = known
    gate = speaking_gate(sound.mel, speech, config.activity)
    stats = blend_stats(sound.mel, model.stats, config.features.prior_s)
    foreign = model.foreignness(sound, stats, speech)
    log.info("the driving voice is %.0f%% foreign to the footage", 100 * foreign)
    steps = predict_steps(model, sound, stats, foreign)
    if config.smooth_s > 0:
        smooth = gaussian_filter1d(steps.numpy(), config.smooth_s * STEPS_PER_SECOND, axis=1)
        steps = torch.from_numpy(smooth)
    steps = perform_steps(model, steps, torch.from_numpy(gate[None, ::STRIDE]), config)
    return sample_steps(steps, torch.as_tensor(frame_seconds)).numpy().astype(np.float32)


def perform_steps(model: MouthModel, steps: Tensor, gate: Tensor, config: A2EConfig) -> Tensor:
    """Turn what the model says into what the actor does.

    Args:
        model: of the actor.
        steps: (K, N) its prediction.
        gate: (1, N) how much of the movement belongs to speech.
        config: amplitude, and how far to keep to what was seen.

    Returns:
        (K, N): stretched about the actor's rest, near what the actor was seen to do, at rest
        where nobody speaks.
    """
    rest = model.rest[:, None]
    steps = rest + model.gain[:, None] * (steps - rest)
    if config.seen > 0 and len(model.seen):
        near = nearest_seen(steps.T, model.seen, config.neighbours).T
        steps = torch.lerp(steps, near, config.seen)
    return rest + gate * (steps - rest) * config.amplitude


def nearest_seen(mouths: Tensor, seen: Tensor, neighbours: int) -> Tensor:
    """Find for mouths what the actor was seen to do that is most like them.

    Args:
        mouths: (N, K).
        seen: (F, K) mouths of the footage.
        neighbours: how many of them to weigh, by their distance.

    Returns:
        (N, K).

    Source: Roweis & Saul 2000 (locally linear embedding), as Live Speech Portraits (Lu et al.
        2021) keep to a speaker's features. Departs: weights fall off with the distance, so they
        are never negative, and a prediction between two postures stays between them.
    """
    parts = []
    for first in range(0, len(mouths), _BLOCK_FRAMES):
        distances = torch.cdist(mouths[first : first + _BLOCK_FRAMES], seen)
        nearest, places = distances.topk(min(neighbours, len(seen)), largest=False)
        weight = torch.exp(-0.5 * (nearest / nearest[:, -1:].clamp(min=1e-6)) ** 2 * 4)
        weight = weight / weight.sum(dim=1, keepdim=True)
        parts.append((seen[places] * weight[..., None]).sum(dim=1))
    return torch.cat(parts) if parts else mouths


@torch.inference_mode()
def predict_steps(
    model: MouthModel, sound: Sound, stats: FeatureStats, foreign: float = 0.0
) -> Tensor:
    """Run the model over a recording, block by block, each with the sound around it.

    Args:
        model: trained on the actor.
        sound: what is heard.
        stats: what to normalise the mel by.
        foreign: how unlike the actor's own voice it is, 0 to 1.

    Returns:
        (K, ceil(M / 2)) at 40 steps a second; the same as in one piece.
    """
    model.eval()
    columns, parts = sound.columns, []
    back, ahead = model.reach
    for first in range(0, columns, _BLOCK_COLUMNS):
        start = max(first - back, 0)
        stop = first + _BLOCK_COLUMNS + ahead
        piece = Sound(sound.mel[:, start:stop], sound.heard[:, start:stop])
        values = model(model.normalise(piece, stats)[None], foreign)[0]
        skip, steps = (first - start) // STRIDE, _BLOCK_COLUMNS // STRIDE
        parts.append(values[:, skip : skip + steps])
    return torch.cat(parts, dim=1)


def sample_steps(values: Tensor, seconds: Tensor) -> Tensor:
    """Read a prediction at exact times, linearly between its steps.

    Args:
        values: (K, N) at `STEPS_PER_SECOND`, the first at second 0.
        seconds: (T,) times in seconds; outside the prediction its ends are held.

    Returns:
        (T, K).
    """
    check_shape("values", values, "K N")
    position = (seconds * STEPS_PER_SECOND).clamp(0, values.shape[1] - 1)
    low = position.floor().long().clamp(max=max(values.shape[1] - 2, 0))
    high = (low + 1).clamp(max=values.shape[1] - 1)
    weight = (position - low).to(values.dtype)
    return (values[:, low] * (1 - weight) + values[:, high] * weight).T
