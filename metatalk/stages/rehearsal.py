"""The actor before the teacher: a small copy of the clip, and an observer who looks on."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from metatalk.errors import MediaError
from metatalk.fitting.config import FitConfig
from metatalk.fitting.utterance import Observer, Utterance
from metatalk.landmarks.config import LandmarksConfig
from metatalk.landmarks.detector import open_detector
from metatalk.lipsync.config import PseudoConfig
from metatalk.lipsync.judged_faces import judged_boxes
from metatalk.lipsync.mel import SAMPLE_RATE
from metatalk.lipsync.pseudo import Stretch, View, forth_and_back, plan_footage, plan_view
from metatalk.lipsync.teachers import Scene, Teacher
from metatalk.lipsync.trusted_judge import TrustedJudge
from metatalk.media.audio import read_sound
from metatalk.media.ordered import read_pictures_in_order
from metatalk.morphable.coefficients import load_coefficients
from metatalk.stages.artefacts import load_index, load_landmarks
from metatalk.stages.face_model import open_face_model
from metatalk.stages.preview import keep_preview
from metatalk.stages.sentences import Sentence, is_written, save_utterance
from metatalk.stages.stage import Progress
from metatalk.stages.sync_watch import SyncWatch, open_trusted_judge
from metatalk.timing import FrameIndex
from metatalk.workspace.actor import disk_errors_remedied

LOG = logging.getLogger(__name__)
_COPY = "footage"  # in the stage's folder, while it works
_FAILURES = 3  # of the teacher, one after the other, that are no accident


@dataclass(frozen=True, eq=False)
class Backdrop:
    """A stretch of the clip, small enough to be kept."""

    stretch: Stretch
    view: View
    pictures: np.ndarray  # (N, H, W, 3) uint8 RGB, memory-mapped

    def scene(self, samples: np.ndarray, frames: int, start: int, rate: Fraction) -> Scene:
        """The footage behind a sentence, taken up at frame `start`."""
        order = forth_and_back(len(self.stretch.frames), frames, start)
        boxes = self.view.boxes_inside(self.stretch.boxes)
        return Scene(self.pictures, boxes, self.stretch.references, order, rate, samples)


@dataclass(frozen=True, eq=False)
class Rehearsal:
    """Everything that stays the same from sentence to sentence."""

    rate: Fraction
    backdrops: Sequence[Backdrop]
    teacher: Teacher
    observer: Observer
    judge: TrustedJudge | None = None
    judged: np.ndarray | None = None  # (T, 4) boxes of the clip's faces, as the judge takes them
    judge_outcome: str = ""  # what became of the judge; nothing without one

    def count_frames(self, samples: int) -> int:
        """Frames that begin within so many samples, at least one."""
        return max(1, int(Fraction(samples, SAMPLE_RATE) * self.rate))

    def take(
        self,
        sentence: Sentence,
        config: PseudoConfig,
        report: Callable[[int], None],
        preview: Path | None = None,
    ) -> tuple[Utterance, str]:
        """Let the actor say a sentence and read the expression off.

        Args:
            sentence: what to say.
            config: what the judge must find.
            report: told how many frames are done.
            preview: where to keep a small film of it, or None.

        Returns:
            The sentence with its expressions, and what the judge has against it, or ""; memory
            holds a few pictures at a time, and the faces for the judge.

        Raises:
            MediaError: the recording cannot be read, or the teacher fails.
        """
        samples = read_sound(sentence.path).samples
        frames = self.count_frames(len(samples))
        # Each sentence has one stretch, taken up where the last one left it: no cut in it.
        backdrop = self.backdrops[sentence.number % len(self.backdrops)]
        start = round(sentence.start_s * self.rate) // len(self.backdrops)
        scene = backdrop.scene(samples, frames, start, self.rate)
        shown = self.teacher.show(scene)
        if preview is not None:
            shown = keep_preview(shown, preview, scene.size, self.rate, sentence.path)
        watch = self._watch(scene, backdrop)
        seconds = np.arange(frames) / float(self.rate)
        said = self.observer.observe(
            watch.look_on(shown) if watch else shown,
            *(samples, seconds, report, backdrop.view.points_outside),
        )
        return said, watch.reason(config.gate) if watch else ""

    def _watch(self, scene: Scene, backdrop: Backdrop) -> SyncWatch | None:
        if self.judge is None or self.judged is None:
            return None
        boxes = backdrop.view.boxes_inside(self.judged[backdrop.stretch.frames])
        return SyncWatch(self.judge, scene, boxes)


@contextmanager
def open_rehearsal(
    inputs: Mapping[str, Path],
    config: PseudoConfig,
    fit: FitConfig,
    landmarks: LandmarksConfig,
    teacher: Teacher,
    out: Path,
    offset_s: float | None = None,
    device: str = "auto",
) -> Iterator[Rehearsal]:
    """Get an actor ready: one pass over the stretches of the clip that will speak.

    Args:
        inputs: the clip and the artefacts of ingest, landmarks and fit.
        config: of the pseudo stage.
        fit: of the fit.
        landmarks: of the landmarks.
        teacher: who shows the actor speaking.
        out: the stage's folder, where the small copy lies until the rehearsal ends.
        offset_s: how late the clip's sound was measured to come; None: nobody knows.
        device: where the judge works: auto, cpu or cuda.

    Yields:
        The rehearsal.

    Raises:
        FittingError: no frame of the clip has a face.
    """
    index = load_index(inputs["ingest"] / "frames.npz")
    track = load_landmarks(inputs["landmarks"] / "landmarks.npz")
    stretches = plan_footage(track, float(index.rate), config)
    person, _, camera = load_coefficients(inputs["fit"] / "coefficients.npz")
    observer = Observer(
        open_face_model(fit.face_model, landmarks),
        person.identity,
        (camera.width, camera.height),
        float(camera.focal_px),
        float(index.rate),
        landmarks,
        fit,
        open_detector(landmarks),
    )
    folder = out / _COPY
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed
    try:
        with disk_errors_remedied(out):
            folder.mkdir()
            backdrops = [
                _copy(inputs["clip"], index, stretch, observer.size, folder / f"{number}.npy")
                for number, stretch in enumerate(stretches)
            ]
        judge, judged, outcome = None, None, ""
        if config.judge:
            judge, outcome = open_trusted_judge(
                Path(config.judge), inputs, config.gate, offset_s, device
            )
            judged = judged_boxes(judge.judge, track, float(index.rate)) if judge else None
        yield Rehearsal(index.rate, backdrops, teacher, observer, judge, judged, outcome)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


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

    Raises:
        MediaError: the teacher fails at one sentence after the other.
    """
    lengths = [rehearsal.count_frames(round(s.duration_s * SAMPLE_RATE)) for s in sentences]
    failures = 0
    for sentence in sentences:
        number, before = sentence.number, sum(lengths[: sentence.number])
        if is_written(out, number):
            continue

        def report(frame: int, number: int = number, before: int = before) -> None:
            progress(before + frame, sum(lengths), f"sentence {number + 1} of {len(sentences)}")

        preview = out / "preview.mp4"
        try:
            film = None if preview.exists() else preview
            said, against = rehearsal.take(sentence, config, report, film)
            failures, reason = 0, _reason(said, config) or against
        except MediaError as error:
            failures += 1
            if failures >= min(_FAILURES, len(sentences)):
                raise
            LOG.warning("sentence %d, %s, is left out: %s", number + 1, sentence.path.name, error)
            said, reason = _unsaid(rehearsal.observer), "the teacher failed"
        save_utterance(out, number, said, reason)


def _reason(said: Utterance, config: PseudoConfig) -> str:
    if said.face_share < config.min_face_share:
        return "a face is missing"
    return "" if said.is_sound(config.min_face_share, config.max_error_mm) else "the fit is poor"


def _unsaid(observer: Observer) -> Utterance:
    units = len(observer.model.expression_basis)
    nothing = np.zeros(0, np.float32)
    return Utterance(
        nothing, np.zeros(0), np.zeros((0, units), np.float32), np.zeros(0, bool), nothing
    )


def _copy(
    clip: Path, index: FrameIndex, stretch: Stretch, size: tuple[int, int], path: Path
) -> Backdrop:
    """Keep the part of a stretch's pictures that holds the face, at the size it is needed."""
    view = plan_view(stretch, size)
    shape = (len(stretch.frames), view.height, view.width, 3)
    kept = np.lib.format.open_memmap(path, "w+", np.uint8, shape)
    frames = stretch.frames.tolist()
    for number, picture in enumerate(read_pictures_in_order(clip, frames, index)):
        part = picture.rgb()[view.top : view.bottom, view.left : view.right]
        kept[number] = cv2.resize(part, (view.width, view.height), interpolation=cv2.INTER_AREA)
    kept.flush()
    return Backdrop(stretch, view, kept)
