"""Build a model with all that needs no training: kernel regression and the actor's norms."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from metatalk.a2e.architectures.interface import STRIDE
from metatalk.a2e.config import A2EConfig
from metatalk.a2e.features import FeatureStats, measure_stats, normalise_mel
from metatalk.a2e.hearing import Ears, Sound
from metatalk.a2e.kernel import find_axes, fit_kernel
from metatalk.a2e.model import MouthModel, keep_seen
from metatalk.a2e.rest import find_rest
from metatalk.a2e.threads import one_thread
from metatalk.a2e.windows import Lesson

_LEAST_DEVIATION = 1e-3


def prepare_model(
    lesson: Lesson, usable: np.ndarray, config: A2EConfig, ears: Ears, seed: int = 0
) -> MouthModel:
    """Build a model with all that needs no training.

    Args:
        lesson: sound and mouth.
        usable: (M,) bool, the columns learned from.
        config: of kernel and networks.
        ears: what listened to the lesson.
        seed: of the networks' weights.

    Returns:
        The model, in evaluation mode; its networks are untrained.
    """
    mean, deviation = measure_heard(lesson.sound.heard[:, usable], ears)
    own = lesson.own_among(usable)
    stats = measure_stats(lesson.mel[:, own])
    heard = _rows_beside_mel(lesson.sound, stats, (mean, deviation), ears)[:, usable]
    uses_kernel = config.network == "ours" and config.kernel.share > 0
    axes = find_axes(heard[:, ::STRIDE], config.kernel.axes) if uses_kernel else heard[:, :0]
    seen = keep_seen(torch.from_numpy(lesson.targets[own][::STRIDE]))
    sizes = (axes.shape[1], 0, len(seen))
    components, prior = lesson.targets.shape[1], ears.prior
    model = MouthModel(components, config, len(mean), sizes, seed, prior).eval()
    model.speech_mean.copy_(torch.from_numpy(stats.mean))
    model.speech_deviation.copy_(torch.from_numpy(stats.deviation))
    model.heard_mean, model.heard_deviation, model.seen = mean, deviation, seen
    model.ears.copy_(torch.tensor(list(ears.fingerprint), dtype=torch.uint8))
    rest = find_rest(
        lesson.mel, lesson.targets, own, lesson.speech, config.activity, lesson.opening
    )
    model.rest.copy_(torch.from_numpy(rest))
    if uses_kernel:
        model.kernel.axes = axes
        with one_thread():
            _remember(model, lesson, usable, config.pseudo.kernel)
    return model


def measure_heard(heard: np.ndarray, ears: Ears) -> tuple[Tensor, Tensor]:
    """Measure mean and deviation that the streams' rows are brought to.

    An encoder's rows, and posteriors, keep their zero and their proportions; those of MFCC have
    units of their own, so each has its own norms.

    Args:
        heard: (D, N) columns with a mouth.
        ears: whose streams they are.

    Returns:
        (D,) and (D,).
    """
    mean, deviation = np.zeros(len(heard)), np.ones(len(heard))
    first = 0
    for stream in ears.streams:
        rows = slice(first, first := first + stream.size)
        if stream.name == "mfcc":
            mean[rows], deviation[rows] = heard[rows].mean(axis=1), heard[rows].std(axis=1)
        else:
            deviation[rows] = np.sqrt(np.square(heard[rows], dtype=np.float64).mean())
    deviation = np.maximum(deviation, _LEAST_DEVIATION)
    return torch.tensor(mean, dtype=torch.float32), torch.tensor(deviation, dtype=torch.float32)


def _rows_beside_mel(
    sound: Sound, stats: FeatureStats, norms: tuple[Tensor, Tensor], ears: Ears
) -> Tensor:
    """(D + U, M): the normalised streams, and what the prior makes of them."""
    heard = torch.from_numpy(sound.heard)
    rows = [(heard - norms[0][:, None]) / norms[1][:, None]]
    if ears.prior is not None:
        mel = torch.from_numpy(normalise_mel(sound.mel, stats))
        rows.append(ears.prior.foretell(mel, heard))
    return torch.cat(rows)


def _remember(model: MouthModel, lesson: Lesson, usable: np.ndarray, pseudo: float) -> None:
    """Fit the kernel regression on the actor's own voice, and on pseudo video by its weight.

    Other voices that say the same words were tried as further moments to remember: the actor's
    own voice was then followed less well, and unheard ones no better.
    """
    own = lesson.own_among(usable)
    chosen = torch.from_numpy((usable if pseudo > 0 else own)[::STRIDE].copy())
    features = model.normalise(lesson.sound, model.stats)[None]
    mouth = torch.from_numpy(lesson.targets[::STRIDE])[chosen]
    is_own = torch.from_numpy(own[::STRIDE].copy())[chosen]
    importance = None if bool(is_own.all()) else torch.where(is_own, 1.0, pseudo)
    fit_kernel(model.kernel, model.kernel.describe(features)[0][chosen], mouth, importance)
