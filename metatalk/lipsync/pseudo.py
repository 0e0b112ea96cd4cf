"""Pseudo video: a universal lip-sync teacher shows the actor speaking in many voices.

The stage that uses this plans once over the clip, keeps a few reference faces, and then, for
every sentence of the corpus, streams pictures of the actor saying it into a landmark tracker:

    plan = plan_footage(track, rate, config)
    faces = gather_faces(pictures of plan.frames, plan)
    for sentence in choose_sentences(durations, config):
        chunks = mel_chunks(mel, chunk_starts(frames, rate, mel.shape[1]))
        order = forth_and_back(len(plan.frames), frames)
        shown = speak(pictures of plan.frames[order], order, plan, faces, chunks, teacher)

Only expression is read off the result, so the teacher's 96x96 face is enough (Zhang et al.,
MetaTalk, ICASSP 2022).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from metatalk.errors import FittingError, MissingAssetError, ShapeError
from metatalk.landmarks.points import point_groups
from metatalk.landmarks.track import LandmarkTrack
from metatalk.lipsync.config import PseudoConfig
from metatalk.lipsync.faces import crop_face, face_boxes, paste_face
from metatalk.lipsync.wav2lip import Teacher
from metatalk.shapes import check_shape

_log = logging.getLogger(__name__)

SPEECH_SUFFIXES = frozenset(
    {".wav", ".flac", ".mp3", ".m4a", ".ogg", ".opus", ".aac", ".mp4", ".mov", ".mkv", ".webm"}
)
_CLOSED_SHARE = 0.25  # of the frames, those with the smallest lip gap, may serve as references


@dataclass(frozen=True, eq=False)
class Footage:
    """The stretch of the clip that the teacher works on: the longest one with a face."""

    frames: np.ndarray  # (N,) int64 numbers of the clip's frames, consecutive
    boxes: np.ndarray  # (N, 4) float32 left, top, right, bottom, pixels
    references: np.ndarray  # (N,) int64, for each frame the place in `frames` of its reference

    def __post_init__(self) -> None:
        size = check_shape("frames", self.frames, "N")
        check_shape("boxes", self.boxes, "N 4", **size)
        check_shape("references", self.references, "N", **size)


def missing_teacher(config: PseudoConfig) -> str | None:
    """Say in one line why there is no pseudo video, and what it would add.

    Args:
        config: the stage's section.

    Returns:
        The line, or None where checkpoint and corpus are given.
    """
    names = ("checkpoint", "corpus")
    absent = [f"pseudo.{name}" for name in names if not getattr(config, name)]
    if not absent:
        return None
    return (
        f"no pseudo video: {' and '.join(absent)} not given; with a Wav2Lip checkpoint and a "
        "folder of speech the actor would also learn from voices other than its own"
    )


def find_speech(corpus: Path) -> list[Path]:
    """List the recordings of a corpus: LRS2 or LibriSpeech layout, or any tree of folders.

    Args:
        corpus: folder that is searched, subfolders included.

    Returns:
        Paths of sound and video files in a fixed order.

    Raises:
        MissingAssetError: the folder is not there, or holds no recording.
    """
    if not corpus.is_dir():
        raise MissingAssetError(f"there is no speech folder {corpus}", "correct pseudo.corpus")
    found = sorted(path for path in corpus.rglob("*") if path.suffix.lower() in SPEECH_SUFFIXES)
    if not found:
        raise MissingAssetError(
            f"no recording lies in {corpus}",
            f"pseudo.corpus takes a folder of {', '.join(sorted(SPEECH_SUFFIXES))} files",
        )
    return found


def choose_sentences(durations_s: Sequence[float], config: PseudoConfig) -> list[int]:
    """Choose recordings of a useful length, as many as fit into the time allowed.

    They are taken evenly over the corpus, which lies in the order of its speakers, so that
    a small budget still holds many voices.

    Args:
        durations_s: of each recording, seconds.
        config: limits.

    Returns:
        Numbers of the chosen recordings, ascending.
    """
    fits = [
        number
        for number, seconds in enumerate(durations_s)
        if config.min_sentence_s <= seconds <= config.max_sentence_s
    ]
    chosen: list[int] = []
    left_s = config.max_minutes * 60
    for number in _spread(fits):
        if durations_s[number] <= left_s:
            chosen.append(number)
            left_s -= durations_s[number]
    _log.info("pseudo video: %d of %d recordings are used", len(chosen), len(durations_s))
    return sorted(chosen)


def plan_footage(track: LandmarkTrack, rate: float, config: PseudoConfig) -> Footage:
    """Choose the stretch of the clip that speaks, its face boxes and its reference frames.

    Args:
        track: landmarks of the clip.
        rate: frames a second.
        config: the stage's section.

    Returns:
        The plan.

    Raises:
        FittingError: no frame has a face.
    """
    runs = track.runs()
    if not runs:
        raise FittingError(
            f"none of the clip's {len(track)} frames has a face for the teacher",
            "use footage that shows the actor's face",
        )
    first, end = max(runs, key=lambda run: run[1] - run[0])
    boxes = face_boxes(track, config.box_smooth_s * rate, config.face_margin)[first:end]
    if config.reference == "same":
        references = np.arange(end - first)
    else:
        references = choose_references(track.points[first:end], track.layout, config.reference_pool)
    return Footage(np.arange(first, end), boxes, references)


def choose_references(points: np.ndarray, layout: str, pool: int) -> np.ndarray:
    """Give each frame a closed-mouth reference in which the head is held most alike.

    A reference that shows the mouth of the moment tells the teacher the answer of the actor's
    own words; a closed mouth tells nothing.

    Args:
        points: (N, L, 2 or 3) landmarks of consecutive frames, pixels.
        layout: name of the landmark layout.
        pool: how many references there are at most.

    Returns:
        (N,) int64, the number of each frame's reference.
    """
    upper, lower = point_groups(layout).lip_gap
    gap = np.linalg.norm(points[:, upper, :2] - points[:, lower, :2], axis=1)
    closed = np.argsort(gap, kind="stable")[: max(1, int(len(gap) * _CLOSED_SHARE))]
    closed = np.sort(closed)[:: max(1, -(-len(closed) // pool))]
    pose = _head_turn(points, layout)  # (N, 2)
    apart = np.linalg.norm(pose[:, None] - pose[None, closed], axis=2)  # (N, pool)
    return closed[apart.argmin(axis=1)].astype(np.int64)


def gather_faces(pictures: Iterable[np.ndarray], plan: Footage) -> dict[int, np.ndarray]:
    """Keep the reference faces of one pass over the footage.

    Args:
        pictures: (H, W, 3) uint8 RGB of the frames `plan.frames`, in order.
        plan: from `plan_footage`.

    Returns:
        (96, 96, 3) uint8 RGB by place in `plan.frames`.
    """
    wanted = set(plan.references.tolist())
    return {
        place: crop_face(picture, plan.boxes[place])
        for place, picture in enumerate(pictures)
        if place in wanted
    }


def forth_and_back(length: int, count: int, start: int = 0) -> np.ndarray:
    """Walk to and fro over `length` frames, so that any speech finds enough of them.

    Args:
        length: frames there are, at least 1.
        count: frames wanted.
        start: where to begin.

    Returns:
        (count,) int64 places; neighbours differ by one, and no turning point is held.

    >>> forth_and_back(3, 7).tolist()
    [0, 1, 2, 1, 0, 1, 2]
    """
    period = max(2 * (length - 1), 1)
    place = (np.arange(count, dtype=np.int64) + start) % period
    return np.minimum(place, period - place) if length > 1 else np.zeros(count, np.int64)


def speak(
    pictures: Iterable[np.ndarray],
    order: np.ndarray,
    plan: Footage,
    faces: Mapping[int, np.ndarray],
    chunks: np.ndarray,
    teacher: Teacher,
) -> Iterator[np.ndarray]:
    """Show the actor saying something, picture by picture.

    Args:
        pictures: (H, W, 3) uint8 RGB of the frames `plan.frames[order]`.
        order: (N,) places in the plan, one for each picture.
        plan: from `plan_footage`.
        faces: from `gather_faces`; not used for places that are their own reference.
        chunks: (N, 80, 16) mel of each picture.
        teacher: who redraws the faces; as many pictures as its batch are held at a time.

    Yields:
        (H, W, 3) uint8 RGB, one for each picture.

    Raises:
        ShapeError: order and chunks differ in length, or pictures are missing.
    """
    check_shape("chunks", chunks, "N 80 16", N=len(order))
    stream = iter(pictures)
    for first in range(0, len(order), teacher.batch):
        places = order[first : first + teacher.batch]
        group = list(islice(stream, len(places)))
        if len(group) < len(places):
            raise ShapeError(f"{first + len(group)} pictures for {len(order)} places")
        targets = np.stack(
            [crop_face(p, plan.boxes[at]) for p, at in zip(group, places, strict=True)]
        )
        references = np.stack(
            [
                target if plan.references[at] == at else faces[int(plan.references[at])]
                for target, at in zip(targets, places, strict=True)
            ]
        )
        drawn = teacher.redraw(targets, references, chunks[first : first + len(places)])
        for picture, face, at in zip(group, drawn, places, strict=True):
            yield paste_face(picture, face, plan.boxes[at])


def _head_turn(points: np.ndarray, layout: str) -> np.ndarray:
    """(N, 2): how far the nose lies sideways and below the eyes, in widths of the face."""
    groups = point_groups(layout)
    eyes = points[:, list(groups.eyes), :2].mean(axis=1)
    nose = points[:, list(groups.nose_base), :2].mean(axis=1)
    width = np.ptp(points[:, list(groups.oval), 0], axis=1)
    return (nose - eyes) / np.maximum(width, 1.0)[:, None]


def _spread(numbers: Sequence[int]) -> list[int]:
    """Order numbers so that any first part of them covers the whole evenly."""
    golden = (5**0.5 - 1) / 2
    return [numbers[place] for place in np.argsort((np.arange(len(numbers)) * golden) % 1)]
