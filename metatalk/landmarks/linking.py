"""Which face is the actor: faces linked over time, and the one that is followed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from metatalk.landmarks.detector import Face

_SAME_PLACE = 0.2  # overlap (intersection over union) that makes two faces one
_NEAR = 2.0  # widths of a face within which it may come back after it was lost
_SAME_SIZE = 2.0  # factor within which its size may differ then


@dataclass
class FaceTrack:
    """One face in consecutive frames of one shot, up to short gaps; grows while linking."""

    frames: list[int] = field(default_factory=list)
    faces: list[Face] = field(default_factory=list)

    @property
    def presence(self) -> float:
        """Area times time: frames of the face weighed by its area, pixels."""
        boxes = self._boxes()
        return float(((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).sum())

    @property
    def box(self) -> np.ndarray:
        """The face's usual box, (4,) left, top, right, bottom in pixels."""
        return np.median(self._boxes(), axis=0)

    def _boxes(self) -> np.ndarray:
        return np.array([face.box for face in self.faces])  # (N, 4)


def link_faces(
    faces: Sequence[Sequence[Face]], first: int, end: int, max_gap: int
) -> list[FaceTrack]:
    """Link the faces of one shot into tracks by the overlap of their boxes.

    Args:
        faces: faces of every frame of the clip.
        first: first frame of the shot.
        end: one past its last frame.
        max_gap: frames for which a face may be out of sight without ending its track.

    Returns:
        The tracks in the order in which they begin.
    """
    tracks: list[FaceTrack] = []
    for frame in range(first, end):
        alive = [track for track in tracks if frame - track.frames[-1] <= max_gap + 1]
        pairs = [
            (_overlap(track.faces[-1].box, face.box), number, place)
            for number, track in enumerate(alive)
            for place, face in enumerate(faces[frame])
        ]
        taken: set[int] = set()
        for overlap, number, place in sorted(pairs, reverse=True):
            track = alive[number]
            if overlap >= _SAME_PLACE and place not in taken and track.frames[-1] != frame:
                track.frames.append(frame)
                track.faces.append(faces[frame][place])
                taken.add(place)
        tracks += [
            FaceTrack([frame], [face])
            for place, face in enumerate(faces[frame])
            if place not in taken
        ]
    return tracks


def choose_face(
    shots: Sequence[Sequence[FaceTrack]], number: int | None, min_frames: int
) -> list[list[FaceTrack]]:
    """Choose the face to follow in every shot.

    Args:
        shots: tracks of every shot.
        number: 0 follows the leftmost steady face, 1 the next to its right, and so on, counted
            in the first shot that shows so many; None follows the face with most area times
            frames of the whole clip. In the other shots the face that is most alike in place
            and size goes on.
        min_frames: tracks with fewer frames are accidents, unless they fill half their shot.

    Returns:
        For every shot the tracks of the chosen face in order of time: several where it was
        lost for long, none where it is not seen.
    """
    steady = [_steady_tracks(tracks, min_frames) for tracks in shots]
    anchor = _find_anchor(steady, number)
    if anchor is None:
        return [[] for _ in shots]
    shot, main = anchor
    chosen: list[list[FaceTrack]] = [[] for _ in shots]
    chosen[shot] = _with_returns(main, steady[shot])
    for order in (range(shot + 1, len(shots)), range(shot - 1, -1, -1)):
        box = main.box
        for other in order:
            if steady[other]:
                best = _most_alike(steady[other], box)
                chosen[other] = _with_returns(best, steady[other])
                box = best.box
    return chosen


def _steady_tracks(tracks: Sequence[FaceTrack], min_frames: int) -> list[FaceTrack]:
    longest = max((len(track.frames) for track in tracks), default=0)
    needed = min(min_frames, max(longest // 2, 1))
    return [track for track in tracks if len(track.frames) >= needed]


def _find_anchor(
    shots: Sequence[Sequence[FaceTrack]], number: int | None
) -> tuple[int, FaceTrack] | None:
    """Return the shot and the track from which the actor's face is followed."""
    if number is None:
        everything = [(shot, track) for shot, tracks in enumerate(shots) for track in tracks]
        return max(everything, key=lambda pair: pair[1].presence, default=None)
    for shot, tracks in enumerate(shots):
        people = _people(tracks)
        if len(people) > number:
            return shot, sorted(people, key=lambda track: float(track.box[0]))[number]
    return None


def _people(tracks: Sequence[FaceTrack]) -> list[FaceTrack]:
    """Keep one track of each face: the longest of those that follow each other in one place."""
    people: list[FaceTrack] = []
    for track in sorted(tracks, key=lambda track: len(track.frames), reverse=True):
        if not any(_may_be_same(track, other) for other in people):
            people.append(track)
    return people


def _with_returns(main: FaceTrack, tracks: Sequence[FaceTrack]) -> list[FaceTrack]:
    """Add to a track those of the same face before it was found again, in order of time."""
    parts = [main]
    for track in sorted(tracks, key=lambda track: track.presence, reverse=True):
        if track is not main and all(_apart(track, part) for part in parts):
            pauses = [_pause(track, part) for part in parts]
            if _similar(track.box, parts[int(np.argmin(pauses))].box):
                parts.append(track)
    return sorted(parts, key=lambda track: track.frames[0])


def _may_be_same(track: FaceTrack, other: FaceTrack) -> bool:
    return _apart(track, other) and _similar(track.box, other.box)


def _apart(track: FaceTrack, other: FaceTrack) -> bool:
    """Say whether two tracks are never seen at the same time."""
    return track.frames[-1] < other.frames[0] or other.frames[-1] < track.frames[0]


def _pause(track: FaceTrack, other: FaceTrack) -> int:
    return max(other.frames[0] - track.frames[-1], track.frames[0] - other.frames[-1])


def _similar(box: np.ndarray, other: np.ndarray) -> bool:
    """Say whether two boxes are near each other and of about one size."""
    width, other_width = box[2] - box[0], other[2] - other[0]
    distance = np.linalg.norm(_centre(box) - _centre(other))
    ratio = max(width, other_width) / max(min(width, other_width), 1e-6)
    return bool(distance <= _NEAR * max(width, other_width) and ratio <= _SAME_SIZE)


def _most_alike(tracks: Sequence[FaceTrack], box: np.ndarray) -> FaceTrack:
    return max(tracks, key=lambda track: _likeness(track, box))


def _likeness(track: FaceTrack, box: np.ndarray) -> float:
    """Weigh a track by its presence and by how near in place and size it is to a box."""
    width, other = track.box[2] - track.box[0], box[2] - box[0]
    distance = np.linalg.norm(_centre(track.box) - _centre(box)) / max(other, 1e-6)
    size = abs(np.log(max(width, 1e-6) / max(other, 1e-6)))
    return float(track.presence * np.exp(-distance - 2.0 * size))


def _centre(box: np.ndarray) -> np.ndarray:
    return np.asarray(box[:2] + box[2:]) / 2


def _overlap(box: Sequence[float], other: Sequence[float]) -> float:
    """Intersection over union of two boxes."""
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (box, other)]
    return shared / (sum(areas) - shared)
