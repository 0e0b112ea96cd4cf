"""Pseudo video: a universal lip-sync teacher shows the actor speaking in many voices.

The stage that uses this plans once over the clip, keeps a small copy of the stretches that will
speak, and then, for every sentence of the corpus, streams pictures of the actor saying it into a
landmark tracker:

    stretches = plan_footage(track, rate, config)
    scene = Scene(pictures, boxes, references, forth_and_back(...), rate, samples)
    for picture in teacher.show(scene): ...

Only expression is read off the result, so the teacher's 96x96 face is enough (Zhang et al.,
MetaTalk, ICASSP 2022).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from metatalk.errors import FittingError
from metatalk.landmarks.track import LandmarkTrack
from metatalk.lipsync.config import PseudoConfig
from metatalk.lipsync.faces import face_boxes
from metatalk.lipsync.references import choose_references
from metatalk.shapes import check_shape

_log = logging.getLogger(__name__)

_SPACE = 0.5  # around the face, in its box's sides: what a tracker or a strange teacher needs
_FACE_PX = 192  # height that a face is shown at, twice what Wav2Lip draws
_LONGER_SIDE_PX = 480


@dataclass(frozen=True, eq=False)
class Stretch:
    """Consecutive frames of one shot, all with a face."""

    frames: np.ndarray  # (N,) int64 numbers of the clip's frames
    boxes: np.ndarray  # (N, 4) float32 left, top, right, bottom, pixels of the clip
    references: np.ndarray  # (N,) int64, for each frame the place in `frames` of its reference

    def __post_init__(self) -> None:
        size = check_shape("frames", self.frames, "N")
        check_shape("boxes", self.boxes, "N 4", **size)
        check_shape("references", self.references, "N", **size)


@dataclass(frozen=True)
class View:
    """A part of the clip's picture, shown smaller: how pixels of the two go together."""

    left: int
    top: int
    right: int
    bottom: int
    width: int  # of what is shown, even
    height: int

    @property
    def scale(self) -> tuple[float, float]:
        """Pixels shown for a pixel of the clip, across and down."""
        return self.width / (self.right - self.left), self.height / (self.bottom - self.top)

    def boxes_inside(self, boxes: np.ndarray) -> np.ndarray:
        """(N, 4) left, top, right, bottom of the clip -> the same in the view."""
        across, down = self.scale
        corner = np.array([self.left, self.top, self.left, self.top])
        inside: np.ndarray = (boxes - corner) * np.array([across, down, across, down])
        return inside.astype(np.float32)

    def points_outside(self, points: np.ndarray) -> np.ndarray:
        """(..., 3) landmarks in the view -> in the clip's picture; depth grows with the width."""
        across, down = self.scale
        corner = np.array([self.left, self.top, 0.0])
        outside: np.ndarray = points / np.array([across, down, across]) + corner
        return outside.astype(np.float32)


def missing_teacher(config: PseudoConfig) -> str | None:
    """Say in one line why there is no pseudo video, and what it would add.

    Args:
        config: the stage's section.

    Returns:
        The line, or None where a teacher and a corpus are given.
    """
    absent = [] if config.checkpoint or config.command else ["pseudo.checkpoint"]
    absent += [] if config.corpus else ["pseudo.corpus"]
    if not absent:
        return None
    return (
        f"no pseudo video: {' and '.join(absent)} not given; with a Wav2Lip checkpoint and a "
        "folder of speech the actor would also learn from voices other than its own"
    )


def order_evenly(speakers: Sequence[str]) -> list[int]:
    """Order recordings so that any first part of them has as many voices as it can.

    Args:
        speakers: of each recording.

    Returns:
        Numbers of the recordings: one of each speaker, then another of each, and so on; the
        speakers, and what each says, taken evenly over the corpus.
    """
    said: dict[str, list[int]] = {}
    for number, speaker in enumerate(speakers):
        said.setdefault(speaker, []).append(number)
    queues = [_spread(numbers) for numbers in said.values()]
    turns = [queues[place] for place in _spread(list(range(len(queues))))]
    longest = max((len(queue) for queue in turns), default=0)
    return [queue[turn] for turn in range(longest) for queue in turns if turn < len(queue)]


def choose_sentences(durations_s: Iterable[float], config: PseudoConfig) -> list[int]:
    """Take recordings of a useful length, as many as fit into the time allowed.

    Args:
        durations_s: of each recording, seconds; asked for no further than is needed.
        config: limits.

    Returns:
        Numbers of those taken, ascending.
    """
    chosen: list[int] = []
    left_s = config.max_minutes * 60
    for number, seconds in enumerate(durations_s):
        if config.min_sentence_s <= seconds <= min(config.max_sentence_s, left_s):
            chosen.append(number)
            left_s -= seconds
        if left_s < config.min_sentence_s:
            break
    return chosen


def plan_footage(track: LandmarkTrack, rate: float, config: PseudoConfig) -> list[Stretch]:
    """Choose the stretches of the clip that speak, their face boxes and reference frames.

    Several stretches hold the head in more ways than one. The longest come first; what is more
    than `footage_s` is left out.

    Args:
        track: landmarks of the clip.
        rate: frames a second.
        config: the stage's section.

    Returns:
        At least one stretch.

    Raises:
        FittingError: no frame has a face.
    """
    runs = sorted(track.runs(), key=lambda run: run[0] - run[1])
    if not runs:
        raise FittingError(
            f"none of the clip's {len(track)} frames has a face for the teacher",
            "use footage that shows the actor's face",
        )
    boxes = face_boxes(track, config.box_smooth_s * rate, config.face_margin)
    stretches: list[Stretch] = []
    least, left = round(config.min_stretch_s * rate), max(2, round(config.footage_s * rate))
    for first, end in runs:
        end = min(end, first + left)
        if stretches and end - first < least:
            break
        references = np.arange(end - first)
        if config.reference == "closed":
            points = track.points[first:end]
            references = choose_references(points, track.layout, config.reference_pool)
        stretches.append(Stretch(np.arange(first, end), boxes[first:end], references))
        left -= end - first
    return stretches


def plan_view(stretch: Stretch, size: tuple[int, int]) -> View:
    """Choose the part of the picture that holds the face throughout, and how small it is shown.

    Args:
        stretch: frames and face boxes.
        size: width and height of the clip's pictures.

    Returns:
        The view.
    """
    left, top = stretch.boxes[:, :2].min(axis=0)
    right, bottom = stretch.boxes[:, 2:].max(axis=0)
    wide, high = np.median(stretch.boxes[:, 2:] - stretch.boxes[:, :2], axis=0)
    edges = (
        max(int(left - _SPACE * wide), 0),
        max(int(top - _SPACE * high), 0),
        min(int(np.ceil(right + _SPACE * wide)), size[0]),
        min(int(np.ceil(bottom + _SPACE * high)), size[1]),
    )
    across, down = max(edges[2] - edges[0], 2), max(edges[3] - edges[1], 2)
    scale = min(1.0, _FACE_PX / float(high), _LONGER_SIDE_PX / max(across, down))
    even = lambda side: max(2, 2 * round(side * scale / 2))  # noqa: E731  # for 4:2:0 video
    return View(edges[0], edges[1], edges[0] + across, edges[1] + down, even(across), even(down))


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


def _spread(numbers: Sequence[int]) -> list[int]:
    """Order numbers so that any first part of them covers the whole evenly."""
    golden = (5**0.5 - 1) / 2
    return [numbers[place] for place in np.argsort((np.arange(len(numbers)) * golden) % 1)]
