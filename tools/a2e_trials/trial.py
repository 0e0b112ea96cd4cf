"""Teach an actor as the product does, and ask about sound that was not learned from."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from a2e_trials.footage import Filmed, join_tracks
from a2e_trials.marks import Errors, LipMarks, Lips, mark_errors, mark_lips
from metatalk.a2e.activity import SpeechDetector, find_silero, hear_speech
from metatalk.a2e.architectures.interface import STEPS_PER_SECOND
from metatalk.a2e.config import A2EConfig
from metatalk.a2e.corpus import train_with_corpus
from metatalk.a2e.footage import Footage
from metatalk.a2e.hearing import Ears, Sound, open_ears
from metatalk.a2e.learner import Learner
from metatalk.a2e.lip_readout import read_lips
from metatalk.a2e.model import MouthModel
from metatalk.a2e.offset import correct_offset
from metatalk.a2e.predict import predict_mouth, predict_steps, sample_steps
from metatalk.a2e.preparation import prepare_model
from metatalk.a2e.stream import MouthStream
from metatalk.a2e.targets import MouthSpace
from metatalk.a2e.threads import one_thread
from metatalk.a2e.training import make_lesson
from metatalk.config import Config
from metatalk.errors import FittingError
from metatalk.fitting.utterance import Utterance
from metatalk.lipsync.mel import BANDS, COLUMNS_PER_SECOND, SAMPLE_RATE
from metatalk.morphable.model import MorphableModel
from metatalk.stages.face_model import open_face_model
from metatalk.stages.train_a2e import footage_of, measure_mouth

_BATCHES = 16  # whose time is taken
_RUNS = 3


@dataclass(frozen=True, eq=False)
class Bench:
    """What all trials of a run have in common."""

    model: MorphableModel
    config: A2EConfig
    seed: int = 0
    offset_s: float | None = None  # of all clips; none: each one's is measured

    @classmethod
    def open(cls, config: Config, offset_s: float | None) -> Bench:
        """The bench that the settings ask for."""
        model = open_face_model(config.fit.face_model, config.landmarks)
        return cls(model, config.a2e, config.seed, offset_s)

    def with_settings(self, **changes: object) -> Bench:
        """The same with other settings of section a2e."""
        return replace(self, config=replace(self.config, **changes))  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class Pupil:
    """A trained actor."""

    bench: Bench
    model: MouthModel
    space: MouthSpace
    lips: Lips
    ears: Ears
    footage: Footage  # what was learned from
    offset_s: float  # how late its sound came
    metrics: dict[str, float]
    spent_s: float  # processor time of the training

    @property
    def hears(self) -> str:
        """The streams that reach the networks, joined by +."""
        mel = ["mel"] if self.model.rows.start == 0 else []
        return "+".join([*mel, *self.ears.names])

    def predict(self, samples: np.ndarray, seconds: np.ndarray) -> np.ndarray:
        """(T, K) mouths at (T,) seconds of a recording, as drive makes them."""
        return predict_mouth(self.model, samples, seconds, self.bench.config, self.ears)

    def stream(self, samples: np.ndarray, seconds: np.ndarray) -> tuple[np.ndarray, float]:
        """The same as a live stream makes them, and how many seconds late it is."""
        config = self.bench.config
        trained = config.activity.detector != "level" and find_silero() is not None
        detector = SpeechDetector() if trained else None
        stream = MouthStream(
            self.model, config, STEPS_PER_SECOND, ears=self.ears, detector=detector
        )
        missing = max(round(seconds[-1] * SAMPLE_RATE) + 1 - len(samples), 0)
        steps = np.concatenate([stream.push(np.pad(samples, (0, missing))), stream.flush()])
        made = sample_steps(torch.from_numpy(steps.T), torch.as_tensor(seconds)).numpy()
        return made, stream.lookahead_s

    def ask(self, film: Filmed, offset_s: float, *, live: bool = False) -> Answer:
        """Ask about a clip, or another piece of the actor's own."""
        seconds = film.seconds + offset_s
        late_s = float("nan")
        if live:
            made, late_s = self.stream(film.samples, seconds)
        else:
            made = self.predict(film.samples, seconds)
        said = self.lips.measure(self.space.mouth_to_expression(made))
        real = Lips.of(self.bench.model, film).measure(film.expression)
        marks = mark_lips(said, real, film.is_trusted)
        return Answer(made, marks, mark_errors(made, film, self.space), late_s)


@dataclass(frozen=True, eq=False)
class Answer:
    """What a pupil said about a clip, and how good that was."""

    mouth: np.ndarray  # (T, K)
    lips: LipMarks
    errors: Errors  # meaningful for the actor's own clip
    late_s: float  # of a live stream


def teach(
    bench: Bench,
    film: Filmed,
    others: Sequence[Filmed] = (),
    said: Sequence[Utterance] = (),
) -> Pupil:
    """Train on a clip, its offset corrected as in training.

    Args:
        bench: settings.
        film: the actor's own clip.
        others: clips of other people, learned from as well; their mouths are taken for the
            actor's, each about its own mean.
        said: the actor's pseudo video, learned from as well.

    Returns:
        The pupil.

    Raises:
        MetatalkError: as in training.
    """
    track = join_tracks([*others, film]) if others else film.track
    space = measure_mouth(bench.model, track, bench.config)
    ears = open_ears(bench.config)
    began = time.process_time()
    pieces, counts = [], np.cumsum([0, *(len(other.seconds) for other in [*others, film])])
    for piece, first, last in zip([*others, film], counts[:-1], counts[1:], strict=True):
        expression = track.expression[first:last].numpy()
        pieces.append(_footage(bench, piece, space, expression))
    (own, offset_s), rest = pieces[-1], [piece for piece, _ in pieces[:-1]]
    rest += [footage_of(one, space, own) for one in said]
    model, metrics = train_with_corpus(own, rest, bench.config, bench.seed, None, ears)
    spent_s = time.process_time() - began
    lips = Lips.of(bench.model, film)
    return Pupil(bench, model, space, lips, ears, own, offset_s, metrics, spent_s)


def offset_of(bench: Bench, film: Filmed, space: MouthSpace) -> float:
    """How late a clip's sound comes: as asked for, else as measured, else 0."""
    return _footage(bench, film, space, film.expression)[1]


def _footage(
    bench: Bench, film: Filmed, space: MouthSpace, expression: np.ndarray
) -> tuple[Footage, float]:
    """What is learned from, in sync, and how late the sound came."""
    lips, gap_mm = None, 0.0
    if bench.model.landmark_layout:
        meter = Lips.of(bench.model, film).meter
        lips, gap_mm = (
            read_lips(bench.model, space, meter),
            float(meter.gap_mm(space.mean[None])[0]),
        )
    footage = Footage(
        film.samples,
        film.seconds,
        space.expression_to_mouth(expression),
        film.is_trusted,
        film.shots(),
        space.scale,
        lips,
        gap_mm,
    )
    speech = hear_speech(film.samples, bench.config.activity)
    asked_s = bench.offset_s if bench.offset_s is not None else bench.config.offset_s
    try:
        moved, _ = correct_offset(footage, asked_s, speech)
    except FittingError:  # it need not be learned from to be asked about
        return footage, 0.0
    return moved, float(moved.frame_seconds[0] - footage.frame_seconds[0])


def batch_ms(pupil: Pupil) -> float:
    """Processor time of one training step, the median of several, a critic being listened to."""
    config = pupil.bench.config
    config = replace(
        config,
        voices=replace(config.voices, copies=0),
        critic=replace(config.critic, begin=0),
        kernel=replace(config.kernel, share=0.0),
    )
    lesson = make_lesson(pupil.footage, config, 0, pupil.ears)
    model = prepare_model(lesson, lesson.known, config, pupil.ears)
    learner = Learner(lesson, lesson.known, pupil.footage.weights(), model, config, 0)
    return 1e3 * float(np.median(list(_between(learner.run(_BATCHES, 1)))))


def minute_ms(pupil: Pupil) -> tuple[float, float]:
    """Processor time for one minute of sound: to predict it, and before that to hear it."""
    generator = np.random.default_rng(0)
    columns = 60 * COLUMNS_PER_SECOND
    shapes = ((BANDS, columns), (pupil.ears.size, columns))
    sound = Sound(*(generator.standard_normal(shape).astype(np.float32) for shape in shapes))
    samples = 0.1 * generator.standard_normal(60 * SAMPLE_RATE).astype(np.float32)
    with one_thread():
        told = [_spent_ms(lambda: predict_steps(pupil.model, sound, pupil.model.stats))
                for _ in range(_RUNS)]  # fmt: skip
        heard = _spent_ms(lambda: pupil.ears.listen(samples))
    return min(told), heard


def _spent_ms(work) -> float:  # type: ignore[no-untyped-def]
    began = time.process_time()
    work()
    return 1e3 * (time.process_time() - began)


def _between(ticks: Iterator[int]) -> Iterator[float]:
    """Processor seconds from tick to tick; the first, in which all is warmed up, is left out."""
    next(ticks)
    began = time.process_time()
    for _ in ticks:
        now = time.process_time()
        yield now - began
        began = now
