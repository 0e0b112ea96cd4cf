"""The actors that a prior learns from: windows for its networks, moments for its kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from metatalk.a2e.architectures.interface import STRIDE
from metatalk.a2e.augment import augment_mel, drop_mel, mask_features
from metatalk.a2e.features import LIMIT, FeatureStats, measure_stats, normalise_mel
from metatalk.a2e.kernel import find_axes, fit_kernel
from metatalk.a2e.prior import Prior, PriorRecord
from metatalk.a2e.prior_config import PriorConfig
from metatalk.a2e.windows import Lesson, Windows, draw_windows
from metatalk.lipsync.mel import COLUMNS_PER_SECOND

_MOMENTS = 12_000  # of all clips, that the kernel is solved on; those of hours would not fit


@dataclass(frozen=True, eq=False)
class Pupil:
    """One actor to learn from."""

    lesson: Lesson
    stats: FeatureStats  # of the actor's own speech

    @classmethod
    def of(cls, lesson: Lesson) -> Pupil:
        """Measure the actor's speech."""
        return cls(lesson, measure_stats(np.asarray(lesson.mel[:, lesson.known])))

    @property
    def seconds(self) -> float:
        """For how long the mouth is known."""
        return float(self.lesson.known.sum()) / COLUMNS_PER_SECOND


def prepare_prior(pupils: Sequence[Pupil], record: PriorRecord, seed: int) -> Prior:
    """Build a prior that knows the streams' norms and principal axes.

    Args:
        pupils: the actors.
        record: what goes into it.
        seed: of the networks' weights.

    Returns:
        The prior, untrained.
    """
    most = _largest_share([int(p.lesson.known.sum()) for p in pupils], _MOMENTS * STRIDE)
    rows = [p.lesson.sound.heard[:, _some(p, most)] for p in pupils]
    heard = torch.from_numpy(np.concatenate(rows, axis=1).astype(np.float32))
    mean, deviation = torch.zeros(len(heard)), torch.ones(len(heard))
    first = 0
    for name, size in record.hears:  # as `preparation.measure_heard` does for one actor
        part = slice(first, first := first + size)
        if name == "mfcc":
            mean[part], deviation[part] = heard[part].mean(dim=1), heard[part].std(dim=1)
        else:
            deviation[part] = heard[part].square().mean().sqrt()
    deviation = deviation.clamp(min=1e-3)
    axes = find_axes((heard - mean[:, None]) / deviation[:, None], record.config.kernel.axes)
    prior = Prior(record, (axes.shape[1], 0), seed)
    prior.heard_mean, prior.heard_deviation, prior.kernel.axes = mean, deviation, axes
    return prior


def draw_batch(
    pupils: Sequence[Pupil],
    prior: Prior,
    config: PriorConfig,
    generator: torch.Generator,
    count: int,
) -> tuple[Tensor, Windows]:
    """Draw windows of actors chosen evenly, in other rooms and voices.

    Args:
        pupils: the actors.
        prior: whose norms the streams are brought to.
        config: of windows and augmentation.
        generator: source of the random numbers.
        count: B, how many.

    Returns:
        (B, 80 + D, W) features and the windows that they were made of.
    """
    width = max(STRIDE, int(config.window_s * COLUMNS_PER_SECOND) // STRIDE * STRIDE)
    chosen = torch.randint(len(pupils), (count,), generator=generator).tolist()
    drawn, mels = [], []
    for number in chosen:
        lesson, stats = pupils[number].lesson, pupils[number].stats
        windows = draw_windows(lesson, lesson.known, (1, width), config.augment.tempo, generator)
        mel = augment_mel(windows.mel, config.augment, generator)
        mel = (mel - stats.mean[:, None]) / stats.deviation[:, None]
        drawn.append(windows)
        mels.append(mel.clamp(-LIMIT, LIMIT).float())
    mel = mask_features(torch.cat(mels), config.augment, generator)
    if prior.record.heard:
        mel = drop_mel(mel, config.augment.drop_mel, generator)
    columns = zip(*((w.mel, w.heard, w.mouth, w.known) for w in drawn), strict=True)
    joined = Windows(*(torch.cat(part) for part in columns))
    mean, deviation = prior.heard_mean.cpu()[:, None], prior.heard_deviation.cpu()[:, None]
    return torch.cat([mel, (joined.heard - mean) / deviation], dim=1), joined


@torch.no_grad()
def finish_prior(prior: Prior, pupils: Sequence[Pupil]) -> float:
    """Solve the kernel regression, and measure how large the answers are.

    Args:
        prior: its networks trained; its kernel and spread are set.
        pupils: the actors.

    Returns:
        Squared error on what was learned, relative to always showing the mean.
    """
    most = _largest_share([int(p.lesson.known.sum()) for p in pupils], _MOMENTS * STRIDE)
    parts = [_moments(prior, pupil, most) for pupil in pupils]
    sounds, mouths = (torch.cat(part) for part in zip(*parts, strict=True))
    if prior.record.config.kernel.share > 0:
        fit_kernel(prior.kernel, sounds, mouths)
    made = []
    for pupil in pupils:
        features, chosen = _stretch(prior, pupil, most)
        made.append(prior(features[None])[0].T[chosen])
    answers = torch.cat(made)
    prior.spread.copy_(answers.square().mean().sqrt().clamp(min=1e-3))
    return float((answers - mouths).square().sum() / mouths.square().sum().clamp(min=1e-6))


def _moments(prior: Prior, pupil: Pupil, most: int) -> tuple[Tensor, Tensor]:
    """(N, S) sounds of one actor and (N, U) the mouths that go with them."""
    features, chosen = _stretch(prior, pupil, most)
    mouths = torch.from_numpy(np.array(pupil.lesson.targets[: features.shape[1] : STRIDE]))
    return prior.kernel.describe(features[None])[0][chosen], mouths[chosen].float()


def _stretch(prior: Prior, pupil: Pupil, most: int) -> tuple[Tensor, Tensor]:
    """Features of an actor's share of the moments, and at which of their steps it is known."""
    lesson = pupil.lesson
    columns = min(lesson.sound.columns, _last_column(lesson, most))
    mel = torch.from_numpy(normalise_mel(np.asarray(lesson.mel[:, :columns]), pupil.stats))
    heard = torch.from_numpy(np.array(lesson.sound.heard[:, :columns], np.float32))
    return prior.features(mel, heard), torch.from_numpy(np.array(lesson.known[:columns:STRIDE]))


def _some(pupil: Pupil, most: int) -> np.ndarray:
    """The known columns of an actor's share of the moments."""
    last = _last_column(pupil.lesson, most)
    places: np.ndarray = np.flatnonzero(pupil.lesson.known[:last])
    return places


def _largest_share(sizes: Sequence[int], total: int) -> int:
    """How many columns an actor may bring so that all bring no more than a total.

    Those who have less bring all; what they leave is for the others.

    >>> _largest_share([10, 100, 100], 150)
    70
    """
    left = total
    for place, size in enumerate(sorted(sizes)):
        even = left // (len(sizes) - place)
        if size > even:
            return max(even, STRIDE)
        left -= size
    return max(sizes)


def _last_column(lesson: Lesson, most: int) -> int:
    """One past the last of the first so many known columns."""
    places = np.flatnonzero(lesson.known)
    return int(places[min(most, len(places)) - 1]) + 1
