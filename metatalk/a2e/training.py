"""Teach the model the actor's mouth from the footage's own sound."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Protocol

import numpy as np
import torch

from metatalk.a2e.activity import hear_speech
from metatalk.a2e.architectures.interface import STRIDE
from metatalk.a2e.config import A2EConfig
from metatalk.a2e.even_voices import even_voices, listen_apart
from metatalk.a2e.features import speech_columns
from metatalk.a2e.footage import Footage
from metatalk.a2e.hearing import Ears, open_ears, other_voices
from metatalk.a2e.learner import Checkpoint, Learner
from metatalk.a2e.losses import MouthWeights
from metatalk.a2e.model import MouthModel
from metatalk.a2e.predict import predict_steps
from metatalk.a2e.preparation import prepare_model
from metatalk.a2e.windows import Lesson, targets_at_columns
from metatalk.errors import FittingError, MediaError
from metatalk.lipsync.mel import COLUMNS_PER_SECOND, HOP, SAMPLE_RATE

log = logging.getLogger(__name__)

LEAST_SECONDS = 1.0  # of footage with a face and sound, below which nothing can be learned

_LEAST_HELD_OUT_S = 1.0  # less than this measures nothing
_CHECKS = 10  # times the held-out footage is measured on the way
_EARLIEST_STOP = 0.4  # share of the steps: a short held-out piece must not stop it by chance
_SPOKEN = 0.5  # probability of speech
_GAIN_RANGE = (1.0, 1.6)


class Progress(Protocol):
    """Told of steps done, steps in all and a note."""

    def __call__(self, done: int, total: int | None, note: str = "") -> None: ...


@dataclass(frozen=True)
class Journal:
    """Where training reports and keeps its checkpoints; by default nowhere."""

    progress: Progress = lambda done, total, note="": None
    save: Callable[[Checkpoint], None] = lambda checkpoint: None
    load: Callable[[], Checkpoint | None] = lambda: None


@dataclass(frozen=True)
class Exam:
    """How well a model did on the held-out end of the footage."""

    steps: int  # trained, up to the best marks
    error: float  # squared error, relative to always showing the mean; infinite: not measured
    r: list[float]  # correlation of each mouth coordinate
    gain: list[float]  # how much livelier each coordinate really is
    lips: list[float] = field(default_factory=list)  # correlation of the lips' gap and width
    distance: float = math.inf  # of the held-out sound from the sounds remembered

    def gain_given(self, liveliness: float) -> torch.Tensor:
        """(K,) stretch of each coordinate; one that is guessed wrong is not made livelier."""
        sure = torch.tensor(self.r or [0.0] * len(self.gain)).clamp(min=0)
        return torch.tensor(self.gain) ** (liveliness * sure)

    def metrics(self) -> dict[str, float]:
        """The marks as a flat record; an exam that was not sat leaves out its marks."""
        marks: dict[str, float] = {"steps": self.steps}
        if math.isfinite(self.error):
            marks["held_out_error"] = self.error
            marks.update({f"held_out_r_{k + 1}": value for k, value in enumerate(self.r)})
            marks.update(zip(("held_out_gap_r", "held_out_width_r"), self.lips, strict=False))
        return marks


def train_a2e(
    footage: Footage,
    config: A2EConfig,
    seed: int = 0,
    journal: Journal | None = None,
    ears: Ears | None = None,
) -> tuple[MouthModel, dict[str, float]]:
    """Learn one actor's way from sound to mouth.

    The footage's end is held out to measure the model and to choose how long to train; then a
    model is trained on everything for that long.

    Args:
        footage: sound and mouth.
        config: features, augmentation, networks, schedule.
        seed: of weights, windows, voices, augmentation and dropout; the same seed gives the same
            model.
        journal: progress and checkpoints; a training that was cut off goes on from its last one.
        ears: what listens; by default what the settings name.

    Returns:
        The model, and its metrics: `held_out_error` (squared error relative to always showing
        the mean), `held_out_r_1`.. (correlation of each coordinate), `held_out_gap_r` and
        `held_out_width_r` where the lips are known, `steps`, `seconds`, `footage_s`.

    Raises:
        FittingError: less than a second of footage with both face and sound.
        MediaError: the footage's sound is silent.
        MissingAssetError: what is to listen cannot be had.
    """
    started, journal = time.monotonic(), journal or Journal()
    ears = ears or open_ears(config)
    lesson = make_lesson(footage, config, seed, ears)
    weights = footage.weights()
    learned_s = float(lesson.known.sum()) / COLUMNS_PER_SECOND
    most = config.steps_for(learned_s)
    checkpoint = journal.load() or {"exam": None}
    if checkpoint["exam"] is None:
        exam = _sit_exam(lesson, weights, (config, seed, ears), most, journal, checkpoint)
        checkpoint = {"exam": asdict(exam)}
        journal.save(checkpoint)
    exam = Exam(**checkpoint["exam"])
    model = prepare_model(lesson, lesson.known, config, ears, seed)
    if model.share < 1:
        learner = Learner(lesson, lesson.known, weights, model, config, seed)
        learner.resume(checkpoint)
        for step in learner.run(exam.steps, math.ceil(most / _CHECKS)):
            journal.save({**learner.checkpoint(), "exam": asdict(exam)})
            journal.progress(most + step, most + exam.steps, "learning from all of the footage")
        model.networks.load_state_dict(learner.average.state_dict())
    model.gain.copy_(exam.gain_given(config.liveliness))
    model.own_distance.fill_(exam.distance)
    spent = {"seconds": time.monotonic() - started, "footage_s": learned_s}
    return model, {**exam.metrics(), **spent}


def make_lesson(
    footage: Footage, config: A2EConfig, seed: int = 0, ears: Ears | None = None
) -> Lesson:
    """Bring sound and mouth to one clock, and say the words in other voices.

    Args:
        footage: sound and mouth.
        config: of hearing and voices.
        seed: of the voices.
        ears: what listens; by default what the settings name.

    Returns:
        Both at 80 columns a second.

    Raises:
        FittingError: less than a second of footage with both face and sound.
        MediaError: the footage's sound is silent.
        MissingAssetError: what is to listen cannot be had.
    """
    ears = ears or open_ears(config)
    begins = [round(second * SAMPLE_RATE) for second in footage.begins_s]
    own = listen_apart(ears, footage.samples, begins)
    if not speech_columns(own.mel).any():
        raise MediaError(
            "the footage's sound track is silent, so there is no speech to learn from",
            "Give footage in which the actor is heard speaking.",
        )
    values, known = targets_at_columns(
        footage.frame_seconds, footage.mouth, footage.has_face, footage.shots, own.columns
    )
    seconds = float(known.sum()) / COLUMNS_PER_SECOND
    if seconds < LEAST_SECONDS:
        raise FittingError(
            f"the footage has {seconds:.1f} s in which a face is seen and sound is heard",
            f"Give at least {LEAST_SECONDS:.0f} s; ten seconds of speech or more serve well.",
        )
    others = [
        listen_apart(ears, samples, begins)
        for samples in other_voices(footage.samples, config, seed)
    ]
    speech = hear_speech(footage.samples, config.activity)
    opening = None if footage.lips is None else footage.lips[0]
    takes, is_own = (own, *others), None
    if len(begins) > 1:
        starts = [begin // HOP for begin in begins]
        is_own = np.arange(own.columns) >= starts[-1]
        takes = tuple(even_voices(take, starts, known, config) for take in takes)
    return Lesson(takes, values, known, speech, opening, is_own)


def _sit_exam(
    lesson: Lesson,
    weights: MouthWeights,
    how: tuple[A2EConfig, int, Ears],
    most: int,
    journal: Journal,
    checkpoint: Checkpoint,
) -> Exam:
    """Train on all but the footage's end, and be measured on that."""
    config, seed, ears = how
    learned, asked = split_known(lesson.known, config.held_out)
    if asked.sum() < _LEAST_HELD_OUT_S * COLUMNS_PER_SECOND:
        log.warning("the footage is too short to hold any of it out: accuracy is not measured")
        return Exam(most, math.inf, [], [1.0] * len(weights.coordinates))
    model = prepare_model(lesson, learned, config, ears, seed)
    if model.share == 1:
        return mark_exam(model, lesson, asked, weights, 0)
    learner = Learner(lesson, learned, weights, model, config, seed)
    learner.resume(checkpoint)
    best = Exam(**checkpoint["best"]) if "best" in checkpoint else None
    for step in learner.run(most, math.ceil(most / _CHECKS)):
        model.networks.load_state_dict(learner.average.state_dict())
        marks = mark_exam(model, lesson, asked, weights, step)
        if step >= _EARLIEST_STOP * most and (best is None or marks.error < best.error):
            best = marks
        kept = {"best": asdict(best)} if best else {}
        journal.save({**learner.checkpoint(), **kept, "exam": None})
        journal.progress(step, 2 * most, f"held-out error {marks.error:.2f}")
    assert best is not None  # the last step is always measured
    return best


def split_known(known: np.ndarray, held_out: float) -> tuple[np.ndarray, np.ndarray]:
    """Part (M,) known columns in time: those to learn from, and the last share, to be asked."""
    count = round(float(known.sum()) * (1 - held_out))
    learned = known & (np.cumsum(known) <= count)
    return learned, known & ~learned


def mark_exam(
    model: MouthModel, lesson: Lesson, asked: np.ndarray, weights: MouthWeights, step: int
) -> Exam:
    """Measure a model on columns it did not learn from.

    Args:
        model: the model.
        lesson: sound and mouth.
        asked: (M,) bool, the columns.
        weights: of each coordinate, and of the lips.
        step: how long the model was trained.

    Returns:
        Its marks.
    """
    chosen = asked[::STRIDE]
    made = predict_steps(model, lesson.sound, model.stats).numpy().T[chosen]  # (N, K)
    real = lesson.targets[::STRIDE][chosen]
    importance = weights.coordinates.numpy()
    error = ((made - real) ** 2 * importance).sum() / (real**2 * importance).sum()
    lips = [] if weights.lips is None else _columns_r(
        *(values @ weights.lips.numpy()[:2].T for values in (made, real))
    )  # fmt: skip
    spread = made.std(axis=0) + 1e-6
    gain = np.clip(real.std(axis=0) / spread, *_GAIN_RANGE)
    features = model.normalise(lesson.sound, model.stats)
    distance = model.kernel.distance(features, torch.from_numpy(chosen_speech(lesson, asked)))
    return Exam(step, float(error), _columns_r(made, real), gain.tolist(), lips, distance)


def chosen_speech(lesson: Lesson, asked: np.ndarray) -> np.ndarray:
    """(ceil(M / 2),) bool: the steps of (M,) asked columns in which somebody speaks."""
    spoken = asked if lesson.speech is None else asked & (lesson.speech[: len(asked)] > _SPOKEN)
    return spoken[::STRIDE]


def _columns_r(made: np.ndarray, real: np.ndarray) -> list[float]:
    """Pearson's r of each column of two (N, C) arrays."""
    made, real = made - made.mean(axis=0), real - real.mean(axis=0)
    spreads = np.maximum(made.std(axis=0), 1e-6) * np.maximum(real.std(axis=0), 1e-6)
    r: list[float] = ((made * real).mean(axis=0) / spreads).tolist()
    return r
