"""The actor's landmarks in every frame of a clip."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from metatalk.errors import FittingError, ShapeError
from metatalk.landmarks.config import LandmarksConfig
from metatalk.landmarks.detector import Detector, Face, open_detector
from metatalk.landmarks.linking import FaceTrack, choose_face, link_faces
from metatalk.landmarks.points import point_groups
from metatalk.landmarks.shots import ChangeWatch, find_shots, make_thumbnail
from metatalk.shapes import check_shape

_log = logging.getLogger(__name__)

NO_FACE, DETECTED, INTERPOLATED = 0, 1, 2
_DISTORTION = 0.12  # relative change of a face's proportions at which confidence is 1/e

Progress = Callable[[int, "int | None", str], None]


@dataclass(frozen=True, eq=False)
class LandmarkTrack:
    """One person's landmarks over a clip; row t belongs to video frame t."""

    points: np.ndarray  # (T, L, 3) float32: x, y in pixels, z in about pixels; NaN: no face
    confidence: np.ndarray  # (T,) float32, 0..1; 0 where there is no face
    state: np.ndarray  # (T,) uint8: 0 no face, 1 detected, 2 interpolated
    shots: np.ndarray  # (K, 2) int64: first frame and one past the last, hard cuts between
    layout: str  # see points.py

    def __post_init__(self) -> None:
        frames = check_shape("points", self.points, "T L 3", L=point_groups(self.layout).count)["T"]
        check_shape("confidence", self.confidence, "T", T=frames)
        check_shape("state", self.state, "T", T=frames)
        check_shape("shots", self.shots, "K 2")
        edges = self.shots.ravel().tolist()
        if edges[:1] != [0] or edges[-1:] != [frames] or edges[1:-1:2] != edges[2::2]:
            raise ShapeError(f"the shots do not cover the {frames} frames one after the other")

    def __len__(self) -> int:
        return len(self.points)

    @property
    def has_face(self) -> np.ndarray:
        """(T,) bool: frames with landmarks, seen or interpolated."""
        return np.asarray(self.state != NO_FACE)

    def runs(self) -> list[tuple[int, int]]:
        """Frame ranges (first, one past the last) with a face throughout, inside one shot."""
        runs: list[tuple[int, int]] = []
        for first, end in self.shots.tolist():
            seen = np.concatenate([[False], self.has_face[first:end], [False]])
            edges = first + np.flatnonzero(np.diff(seen.astype(np.int8)))
            runs += zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
        return runs


def track_landmarks(
    pictures: Iterable[np.ndarray],
    rate: float,
    config: LandmarksConfig,
    progress: Progress | None = None,
    detector: Detector | None = None,
) -> LandmarkTrack:
    """Follow one person's landmarks through a clip, in one pass over its pictures.

    Memory grows by the landmarks and a thumbnail a frame, not by the pictures.

    Args:
        pictures: RGB pictures in order, each (H, W, 3) uint8.
        rate: frames a second, for the lengths that the configuration gives in seconds.
        config: landmark settings.
        progress: told (frames done, None, note) after every picture.
        detector: used in place of the configured one.

    Returns:
        The track of the largest steady face, or of the face that `config.face` asks for.

    Raises:
        FittingError: no face in any picture, or not the one asked for.
        MissingAssetError: the detector's package or weights are not there.
    """
    detector = detector or open_detector(config)
    faces, thumbnails = _watch(pictures, detector, progress)
    if not any(faces):
        raise _no_face(len(faces))
    shots = find_shots(
        np.stack(thumbnails), _largest_rigid(faces, detector.layout), config.cut_sensitivity
    )
    chosen = _choose(faces, shots, rate, config)
    return _assemble(chosen, shots, round(config.max_gap_s * rate), detector.layout)


def _watch(
    pictures: Iterable[np.ndarray], detector: Detector, progress: Progress | None
) -> tuple[list[list[Face]], list[np.ndarray]]:
    """Look at every picture once: its faces, largest first, and its thumbnail."""
    watch, faces, thumbnails = ChangeWatch(), [], []
    for picture in pictures:
        check_shape("picture", picture, "H W 3")
        thumbnail = make_thumbnail(picture)
        if watch.is_new_scene(thumbnail):
            detector.reset()
        faces.append(detector.detect(picture))
        thumbnails.append(thumbnail)
        if progress:
            progress(len(faces), None, "")
    return faces, thumbnails


def _largest_rigid(faces: Sequence[Sequence[Face]], layout: str) -> np.ndarray:
    """Pick the rigid points of each frame's largest face, (T, N, 2); NaN where there is none."""
    chosen = list(point_groups(layout).rigid)
    rigid = np.full((len(faces), len(chosen), 2), np.nan, np.float32)
    for frame, found in enumerate(faces):
        if found:
            rigid[frame] = found[0].points[chosen, :2]
    return rigid


def _choose(
    faces: Sequence[Sequence[Face]], shots: np.ndarray, rate: float, config: LandmarksConfig
) -> list[list[FaceTrack]]:
    max_gap = round(config.max_gap_s * rate)
    tracks = [link_faces(faces, first, end, max_gap) for first, end in shots.tolist()]
    chosen = choose_face(tracks, config.face, math.ceil(config.min_track_s * rate))
    if not any(chosen):
        raise FittingError(
            f"face {config.face} was asked for, but no shot shows {(config.face or 0) + 1} faces",
            "count from the left, starting with 0, or leave --face out",
        )
    most = max(len(found) for found in faces)
    if most > 1 and config.face is None:
        _log.warning("up to %d faces in a picture; following the largest steady one", most)
    return chosen


def _assemble(
    chosen: Sequence[Sequence[FaceTrack]], shots: np.ndarray, max_gap: int, layout: str
) -> LandmarkTrack:
    """Put the chosen faces in their frames, fill short gaps and judge each."""
    frames, count = int(shots[-1, 1]), point_groups(layout).count
    points = np.full((frames, count, 3), np.nan, np.float32)
    scores, state = np.zeros(frames, np.float32), np.zeros(frames, np.uint8)
    for tracks in chosen:
        for track in tracks:
            points[track.frames] = np.stack([face.points for face in track.faces])
            scores[track.frames] = [face.score for face in track.faces]
            state[track.frames] = DETECTED
    confidence = scores * _agree_with_median(points, state == DETECTED, layout)
    for first, end in shots.tolist():
        shot = slice(first, end)
        _fill_gaps(points[shot], confidence[shot], state[shot], max_gap)
    _log.info(
        "%d frames in %d shots: face in %d, interpolated in %d",
        *(frames, len(shots), int((state == DETECTED).sum()), int((state == INTERPOLATED).sum())),
    )
    return LandmarkTrack(points, confidence, state, shots, layout)


def _fill_gaps(points: np.ndarray, confidence: np.ndarray, state: np.ndarray, max_gap: int) -> None:
    """Interpolate, in place, gaps of up to `max_gap` frames between two seen frames of a shot."""
    seen = np.flatnonzero(state == DETECTED)
    for before, after in zip(seen[:-1].tolist(), seen[1:].tolist(), strict=True):
        gap = after - before - 1
        if not 0 < gap <= max_gap:
            continue
        share = (np.arange(1, gap + 1, dtype=np.float32) / (gap + 1))[:, None, None]
        points[before + 1 : after] = (1 - share) * points[before] + share * points[after]
        confidence[before + 1 : after] = 0.5 * min(confidence[before], confidence[after])
        state[before + 1 : after] = INTERPOLATED


def _agree_with_median(points: np.ndarray, seen: np.ndarray, layout: str) -> np.ndarray:
    """Judge each frame by how well its proportions agree with the person's usual ones.

    The distances between points that expression does not move, divided by their mean, are the
    same in every pose; where they are not, the mesh has slipped.

    Args:
        points: (T, L, 3) pixels.
        seen: (T,) bool, frames to judge.
        layout: name of the point layout; one without depth cannot be judged like this.

    Returns:
        (T,) float32 in 0..1; 0 where not seen.
    """
    agreement = np.zeros(len(points), np.float32)
    rigid = points[:, point_groups(layout).rigid]
    if not np.any(rigid[seen, :, 2]):
        agreement[seen] = 1.0
        return agreement
    first, second = np.array(list(combinations(range(rigid.shape[1]), 2))).T
    distances = np.linalg.norm(rigid[seen][:, first] - rigid[seen][:, second], axis=-1)
    distances /= distances.mean(axis=1, keepdims=True)
    usual = np.median(distances, axis=0)
    change = np.sqrt(np.mean((distances - usual) ** 2, axis=1) / np.mean(usual**2))
    agreement[seen] = np.exp(-((change / _DISTORTION) ** 2))
    return agreement


def _no_face(frames: int) -> FittingError:
    if frames == 0:
        return FittingError("there is no picture to look for a face in", "check the clip")
    return FittingError(
        f"no face found in any of {frames} frames",
        "use footage in which the actor's face is well lit, turned to the camera and at least"
        " 40 pixels wide, or lower landmarks.min_confidence",
    )
