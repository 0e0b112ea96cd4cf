"""Learn from several pieces of footage at once: other voices first, the actor's own clip last."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from metatalk.a2e.config import A2EConfig
from metatalk.a2e.footage import Footage
from metatalk.a2e.hearing import Ears, open_ears
from metatalk.a2e.model import MouthModel
from metatalk.a2e.rest import find_rest
from metatalk.a2e.training import Journal, make_lesson, train_a2e
from metatalk.errors import ShapeError
from metatalk.lipsync.mel import HOP, SAMPLE_RATE

log = logging.getLogger(__name__)

_SILENCE_S = 0.5  # between two pieces: further than the networks hear to either side
_GRID = 2 * HOP  # samples; pieces begin on it, so that their mel columns and steps stay the same
_BLOCK = SAMPLE_RATE // 40  # samples over which the level is measured
_LOUD_PERCENTILE = 90


def train_with_corpus(
    own: Footage,
    others: Sequence[Footage],
    config: A2EConfig,
    seed: int = 0,
    journal: Journal | None = None,
    ears: Ears | None = None,
) -> tuple[MouthModel, dict[str, float]]:
    """Learn one actor's way from sound to mouth, helped by the actor in other voices.

    What is held out, and how the mouth rests, stay the clip's own.

    Args:
        own: the clip's own sound and mouth.
        others: pseudo video in the same mouth coordinates; none: as `train_a2e`.
        config: features, augmentation, networks, schedule.
        seed: see `train_a2e`.
        journal: progress and checkpoints.
        ears: what listens; by default what the settings name.

    Returns:
        The model and its metrics, see `train_a2e`; with others also `corpus_s`, their seconds.

    Raises:
        FittingError: less than a second of footage with both face and sound.
        MediaError: the footage's sound is silent.
    """
    ears = ears or open_ears(config)
    if not others:
        return train_a2e(own, config, seed, journal, ears)
    alone = replace(config, voices=replace(config.voices, copies=0))
    lesson = make_lesson(own, alone, seed, ears)  # complains of the clip before it is learned
    levelled = [replace(part, samples=match_level(part.samples, own.samples)) for part in others]
    own_s, corpus_s = known_seconds(own), sum(known_seconds(part) for part in others)
    log.info("learning from %.0f s of the clip and %.0f s of other voices", own_s, corpus_s)
    share = config.held_out * own_s / (own_s + corpus_s)
    joined = join_footage([*levelled, own])
    model, metrics = train_a2e(joined, replace(config, held_out=share), seed, journal, ears)
    rest = find_rest(
        *(lesson.mel, lesson.targets, lesson.known, lesson.speech),
        *(config.activity, lesson.opening),
    )
    with torch.no_grad():
        model.rest.copy_(torch.from_numpy(rest))
    return model, {**metrics, "corpus_s": corpus_s}


def join_footage(parts: Sequence[Footage], silence_s: float = _SILENCE_S) -> Footage:
    """Lay pieces of footage one behind the other on one timeline, silence between them.

    Args:
        parts: at least one, all in the same mouth coordinates.
        silence_s: at least this much between two pieces, seconds.

    Returns:
        One footage, each piece in shots of its own, weighed as the last piece says; a single
        piece comes back as it is.

    Raises:
        ShapeError: there is no piece, or they differ in their number of coordinates.
    """
    if not parts:
        raise ShapeError("no footage to join")
    if len({part.mouth.shape[1] for part in parts}) > 1:
        raise ShapeError("the pieces of footage have mouths of different numbers of coordinates")
    if len(parts) == 1:
        return parts[0]
    lengths = [_padded_length(part, silence_s) for part in parts[:-1]]
    starts = np.cumsum([0, *lengths])
    frames = np.cumsum([0, *(len(part.frame_seconds) for part in parts)])
    samples = np.zeros(starts[-1] + len(parts[-1].samples), np.float32)
    for start, part in zip(starts, parts, strict=True):
        samples[start : start + len(part.samples)] = part.samples
    placed = list(zip(parts, starts, frames[:-1], strict=True))
    return Footage(
        samples,
        np.concatenate([part.frame_seconds + start / SAMPLE_RATE for part, start, _ in placed]),
        np.concatenate([part.mouth for part in parts]),
        np.concatenate([part.has_face for part in parts]),
        np.concatenate([np.reshape(part.shots, (-1, 2)) + frame for part, _, frame in placed]),
        parts[-1].scale,
        parts[-1].lips,
        parts[-1].gap_mm,
        tuple(float(start) / SAMPLE_RATE for start in starts),
    )


def match_level(samples: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Make speech as loud as other speech.

    Args:
        samples: (S,) to be made louder or quieter.
        like: (R,) speech of the wanted level.

    Returns:
        (S,) float32, which may exceed 1; unchanged where either is silent.
    """
    now, wanted = _level(samples), _level(like)
    gain = wanted / now if min(now, wanted) > 0 else 1.0
    return (samples * gain).astype(np.float32)


def known_seconds(footage: Footage) -> float:
    """Measure for how long a face is seen."""
    if len(footage.frame_seconds) < 2:
        return 0.0
    step = float(np.median(np.diff(footage.frame_seconds)))
    return float(footage.has_face.sum()) * step


def _padded_length(part: Footage, silence_s: float) -> int:
    """Samples until the next piece begins."""
    last_s = float(part.frame_seconds.max(initial=0.0))
    end = max(len(part.samples), int(np.ceil(last_s * SAMPLE_RATE)))
    return -(-(end + round(silence_s * SAMPLE_RATE)) // _GRID) * _GRID


def _level(samples: np.ndarray) -> float:
    """Root-mean-square of the loud parts."""
    whole = len(samples) // _BLOCK * _BLOCK
    if whole == 0:
        return 0.0
    power = np.square(samples[:whole].reshape(-1, _BLOCK), dtype=np.float32).mean(axis=1)
    return float(np.sqrt(np.percentile(power, _LOUD_PERCENTILE)))
