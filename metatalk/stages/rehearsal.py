"""The actor before the teacher: a clip, reference faces, and an observer who looks on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from metatalk.fitting.config import FitConfig
from metatalk.fitting.utterance import Observer, Utterance
from metatalk.landmarks.config import LandmarksConfig
from metatalk.landmarks.detector import open_detector
from metatalk.lipsync.config import PseudoConfig
from metatalk.lipsync.mel import SAMPLE_RATE, chunk_starts, mel_chunks, wav2lip_mel
from metatalk.lipsync.pseudo import Footage, forth_and_back, gather_faces, plan_footage, speak
from metatalk.lipsync.wav2lip import Teacher
from metatalk.media.audio import read_sound
from metatalk.media.ordered import read_pictures_in_order
from metatalk.morphable.coefficients import load_coefficients
from metatalk.stages.artefacts import load_index, load_landmarks
from metatalk.stages.face_model import open_face_model
from metatalk.stages.preview import keep_preview
from metatalk.stages.sentences import Sentence, is_written, save_utterance
from metatalk.stages.stage import Progress
from metatalk.timing import FrameIndex


@dataclass(frozen=True, eq=False)
class Rehearsal:
    """Everything that stays the same from sentence to sentence."""

    clip: Path
    index: FrameIndex
    plan: Footage
    faces: Mapping[int, np.ndarray]  # the reference faces, by place in the plan
    teacher: Teacher
    observer: Observer

    def count_frames(self, samples: int) -> int:
        """Frames that begin within so many samples, at least one."""
        return max(1, int(Fraction(samples, SAMPLE_RATE) * self.index.rate))

    def take(
        self, sentence: Sentence, report: Callable[[int], None], preview: Path | None = None
    ) -> Utterance:
        """Let the actor say a sentence and read the expression off.

        Args:
            sentence: what to say.
            report: told how many frames are done.
            preview: where to keep a small film of it, or None.

        Returns:
            The sentence with its expressions; memory holds a few pictures at a time.
        """
        samples = read_sound(sentence.path).samples
        rate, (width, height) = self.index.rate, self.observer.size
        frame_seconds = np.arange(self.count_frames(len(samples))) / float(rate)
        shown = self._show(samples, len(frame_seconds), round(sentence.start_s * rate))
        if preview is not None:
            shown = keep_preview(shown, preview, (width, height), rate, sentence.path)
        return self.observer.observe(shown, samples, frame_seconds, report)

    def _show(self, samples: np.ndarray, frames: int, start: int) -> Iterator[np.ndarray]:
        """Pictures of the actor; each sentence takes the footage up where the last one left it."""
        mel = wav2lip_mel(samples)
        chunks = mel_chunks(mel, chunk_starts(frames, self.index.rate, mel.shape[1]))
        order = forth_and_back(len(self.plan.frames), frames, start)
        wanted = self.plan.frames[order].tolist()
        pictures = (p.rgb() for p in read_pictures_in_order(self.clip, wanted, self.index))
        return speak(pictures, order, self.plan, self.faces, chunks, self.teacher)


def open_rehearsal(
    inputs: Mapping[str, Path],
    config: PseudoConfig,
    fit: FitConfig,
    landmarks: LandmarksConfig,
    teacher: Teacher,
) -> Rehearsal:
    """Get an actor ready: one pass over the stretch of the clip that will speak.

    Args:
        inputs: the clip and the artefacts of ingest, landmarks and fit.
        config: of the pseudo stage.
        fit: of the fit.
        landmarks: of the landmarks.
        teacher: who redraws the faces.

    Returns:
        The rehearsal.

    Raises:
        FittingError: no frame of the clip has a face.
    """
    clip = inputs["clip"]
    index = load_index(inputs["ingest"] / "frames.npz")
    rate = float(index.rate)
    plan = plan_footage(load_landmarks(inputs["landmarks"] / "landmarks.npz"), rate, config)
    faces: dict[int, np.ndarray] = {}
    if config.reference != "same":
        frames = plan.frames.tolist()
        pictures = (picture.rgb() for picture in read_pictures_in_order(clip, frames, index))
        faces = gather_faces(pictures, plan)
    person, _, camera = load_coefficients(inputs["fit"] / "coefficients.npz")
    observer = Observer(
        open_face_model(fit.face_model, landmarks),
        person.identity,
        (camera.width, camera.height),
        rate,
        landmarks,
        fit,
        open_detector(landmarks),
    )
    return Rehearsal(clip, index, plan, faces, teacher, observer)


def say_all(
    rehearsal: Rehearsal,
    sentences: Sequence[Sentence],
    config: PseudoConfig,
    out: Path,
    progress: Progress,
) -> None:
    """Let the actor say all sentences that a killed run has not written before.

    Args:
        rehearsal: the actor, ready.
        sentences: what to say.
        config: which fits are good enough to learn from.
        out: the stage's folder; each sentence is written as it is done.
        progress: told of frames done and in all.
    """
    lengths = [rehearsal.count_frames(round(s.duration_s * SAMPLE_RATE)) for s in sentences]
    for sentence in sentences:
        number, before = sentence.number, sum(lengths[: sentence.number])
        if is_written(out, number):
            continue

        def report(frame: int, number: int = number, before: int = before) -> None:
            progress(before + frame, sum(lengths), f"sentence {number + 1} of {len(sentences)}")

        said = rehearsal.take(sentence, report, out / "preview.mp4" if number == 0 else None)
        kept = said.is_sound(config.min_face_share, config.max_error_mm)
        save_utterance(out, number, said, kept)
