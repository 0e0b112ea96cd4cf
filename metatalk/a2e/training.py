"""Teach the model the actor's mouth from the footage's own sound."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Protocol

import numpy as np
import torch

from metatalk.a2e.config import A2EConfig
from metatalk.a2e.features import measure_stats, normalise_mel, speech_columns
from metatalk.a2e.kernel import describe_sound, fit_kernel
from metatalk.a2e.learner import Checkpoint, Learner, one_thread
from metatalk.a2e.model import MouthModel
from metatalk.a2e.networks import STRIDE
from metatalk.a2e.predict import predict_steps
from metatalk.a2e.rest import find_rest
from metatalk.a2e.windows import Lesson, targets_at_columns
from metatalk.errors import FittingError, MediaError
from metatalk.lipsync.mel import COLUMNS_PER_SECOND, wav2lip_mel
from metatalk.shapes import check_shape

log = logging.getLogger(__name__)

LEAST_SECONDS = 1.0  # of footage with a face and sound, below which nothing can be learned

_LEAST_HELD_OUT_S = 1.0  # less than this measures nothing
_CHECKS = 10  # times the held-out footage is measured on the way
_EARLIEST_STOP = 0.4  # share of the steps: a short held-out piece must not stop it by chance
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

    def metrics(self) -> dict[str, float]:
        """The marks as a flat record; an exam that was not sat leaves out its marks."""
        marks: dict[str, float] = {"steps": self.steps}
        if math.isfinite(self.error):
            marks["held_out_error"] = self.error
            marks.update({f"held_out_r_{k + 1}": value for k, value in enumerate(self.r)})
        return marks


@dataclass(frozen=True, eq=False)
class Footage:
    """The actor's sound and mouth, frame by frame."""

    samples: np.ndarray  # (S,) speech at 16 kHz; sample 0 is at the time of frame 0
    frame_seconds: np.ndarray  # (T,) increasing
    mouth: np.ndarray  # (T, K) standardised mouth coordinates
    has_face: np.ndarray  # (T,) bool
    shots: Sequence[tuple[int, int]] | np.ndarray  # (N, 2) first frame and one past the last
    scale: np.ndarray | None = None  # (K,) weight of each coordinate, such as its millimetres

    def __post_init__(self) -> None:
        check_shape("samples", self.samples, "S")
        sizes = check_shape("mouth", self.mouth, "T K")
        check_shape("frame_seconds", self.frame_seconds, "T", **sizes)
        check_shape("has_face", self.has_face, "T", **sizes)
        if self.scale is not None:
            check_shape("scale", self.scale, "K", **sizes)


def train_a2e(
    footage: Footage, config: A2EConfig, seed: int = 0, journal: Journal | None = None
) -> tuple[MouthModel, dict[str, float]]:
    """Learn one actor's way from sound to mouth.

    The footage's end is held out to measure the model and to choose how long to train; then a
    model is trained on everything for that long.

    Args:
        footage: sound and mouth.
        config: features, augmentation, networks, schedule.
        seed: of weights, windows, augmentation and dropout; the same seed gives the same model.
        journal: progress and checkpoints; a training that was cut off goes on from its last one.

    Returns:
        The model, and its metrics: `held_out_error` (squared error relative to always showing
        the mean), `held_out_r_1`.. (correlation of each coordinate), `steps`, `seconds`,
        `footage_s`.

    Raises:
        FittingError: less than a second of footage with both face and sound.
        MediaError: the footage's sound is silent.
    """
    started, journal = time.monotonic(), journal or Journal()
    lesson = make_lesson(footage)
    weight = mouth_weight(footage)
    learned_s = float(lesson.known.sum()) / COLUMNS_PER_SECOND
    most = config.steps_for(learned_s)
    checkpoint = journal.load() or {"exam": None}
    if checkpoint["exam"] is None:
        exam = _sit_exam(lesson, weight, (config, seed), most, journal, checkpoint)
        checkpoint = {"exam": asdict(exam)}
        journal.save(checkpoint)
    exam = Exam(**checkpoint["exam"])
    learner = Learner(lesson, lesson.known, weight, config, seed)
    learner.resume(checkpoint)
    for step in learner.run(exam.steps, math.ceil(most / _CHECKS)):
        journal.save({**learner.checkpoint(), "exam": asdict(exam)})
        journal.progress(most + step, most + exam.steps, "learning from all of the footage")
    model = prepare_model(lesson, lesson.known, config)
    model.networks.load_state_dict(learner.average.state_dict())
    model.gain.copy_(torch.tensor(exam.gain) ** config.liveliness)
    spent = {"seconds": time.monotonic() - started, "footage_s": learned_s}
    return model, {**exam.metrics(), **spent}


def make_lesson(footage: Footage) -> Lesson:
    """Bring sound and mouth to one clock.

    Args:
        footage: sound and mouth.

    Returns:
        Both at 80 columns a second.

    Raises:
        FittingError: less than a second of footage with both face and sound.
        MediaError: the footage's sound is silent.
    """
    mel = wav2lip_mel(footage.samples)
    if not speech_columns(mel).any():
        raise MediaError(
            "the footage's sound track is silent, so there is no speech to learn from",
            "Give footage in which the actor is heard speaking.",
        )
    values, known = targets_at_columns(
        footage.frame_seconds, footage.mouth, footage.has_face, footage.shots, mel.shape[1]
    )
    seconds = float(known.sum()) / COLUMNS_PER_SECOND
    if seconds < LEAST_SECONDS:
        raise FittingError(
            f"the footage has {seconds:.1f} s in which a face is seen and sound is heard",
            f"Give at least {LEAST_SECONDS:.0f} s; ten seconds of speech or more serve well.",
        )
    return Lesson(mel, values, known)


def prepare_model(lesson: Lesson, usable: np.ndarray, config: A2EConfig) -> MouthModel:
    """Build a model with all that needs no training: kernel regression and the actor's norms.

    Args:
        lesson: sound and mouth.
        usable: (M,) bool, the columns learned from.
        config: of kernel and networks.

    Returns:
        The model, in evaluation mode; its networks are untrained.
    """
    stats = measure_stats(lesson.mel[:, usable])
    features = torch.from_numpy(normalise_mel(lesson.mel, stats))[None]
    chosen = torch.from_numpy(usable[::STRIDE].copy())
    sounds = describe_sound(features, config.kernel)[0][chosen]
    mouth = torch.from_numpy(lesson.targets[::STRIDE])[chosen]
    model = MouthModel(lesson.targets.shape[1], config)
    with one_thread():
        model.kernel = fit_kernel(sounds, mouth, config.kernel)
    model.speech_mean.copy_(torch.from_numpy(stats.mean))
    model.speech_deviation.copy_(torch.from_numpy(stats.deviation))
    model.rest.copy_(torch.from_numpy(find_rest(lesson.mel, lesson.targets, usable)))
    return model.eval()


def _sit_exam(
    lesson: Lesson,
    weight: torch.Tensor,
    how: tuple[A2EConfig, int],
    most: int,
    journal: Journal,
    checkpoint: Checkpoint,
) -> Exam:
    """Train on all but the footage's end, and be measured on that."""
    config, seed = how
    learned, asked = split_known(lesson.known, config.held_out)
    if asked.sum() < _LEAST_HELD_OUT_S * COLUMNS_PER_SECOND:
        log.warning("the footage is too short to hold any of it out: accuracy is not measured")
        return Exam(most, math.inf, [], [1.0] * len(weight))
    learner = Learner(lesson, learned, weight, config, seed)
    learner.resume(checkpoint)
    best = Exam(**checkpoint["best"]) if "best" in checkpoint else None
    model = prepare_model(lesson, learned, config)
    for step in learner.run(most, math.ceil(most / _CHECKS)):
        model.networks.load_state_dict(learner.average.state_dict())
        marks = mark_exam(model, lesson, asked, weight, step)
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
    model: MouthModel, lesson: Lesson, asked: np.ndarray, weight: torch.Tensor, step: int
) -> Exam:
    """Measure a model on columns it did not learn from.

    Args:
        model: the model.
        lesson: sound and mouth.
        asked: (M,) bool, the columns.
        weight: (K,) of each coordinate.
        step: how long the model was trained.

    Returns:
        Its marks.
    """
    chosen = asked[::STRIDE]
    made = predict_steps(model, lesson.mel, model.stats).numpy().T[chosen]  # (N, K)
    real = lesson.targets[::STRIDE][chosen]
    importance = weight.numpy()
    error = ((made - real) ** 2 * importance).sum() / (real**2 * importance).sum()
    made, real = made - made.mean(axis=0), real - real.mean(axis=0)
    made_spread, real_spread = made.std(axis=0) + 1e-6, real.std(axis=0)
    r = (made * real).mean(axis=0) / (made_spread * np.maximum(real_spread, 1e-6))
    gain = np.clip(real_spread / made_spread, *_GAIN_RANGE)
    return Exam(step, float(error), r.tolist(), gain.tolist())


def mouth_weight(footage: Footage) -> torch.Tensor:
    """(K,) float32 with mean 1: how visible an error of one deviation is in each coordinate."""
    scale = np.ones(footage.mouth.shape[1]) if footage.scale is None else footage.scale
    return torch.tensor(scale / scale.mean(), dtype=torch.float32)
