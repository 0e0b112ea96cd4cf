"""Redraw a film so that its face speaks a recording, a few pictures at a time.

    plan = plan_faces(track, rate, config, strength)
    faces = gather_references(pictures of plan.wanted(), plan)
    starts = mel_starts(times of the result's frames, mel.shape[1])
    for picture in redraw_faces(pictures, mel, starts, plan, faces, redrawer, config): ...

Frames without a face pass through untouched.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice

import numpy as np

from metatalk.landmarks.filter import smooth_runs
from metatalk.landmarks.points import point_groups
from metatalk.landmarks.track import LandmarkTrack
from metatalk.lipsync.faces import cut_box, face_boxes, shrink_face, whole_pixels
from metatalk.lipsync.mel import CHUNK_COLUMNS, COLUMNS_PER_SECOND, SILENCE, mel_chunks
from metatalk.lipsync.references import choose_references
from metatalk.lipsync.seam import blend_face, lower_outlines
from metatalk.lipsync.wav2lip import Redrawer
from metatalk.lipsync.wav2lip_config import Wav2LipConfig
from metatalk.media.picture import Picture
from metatalk.shapes import check_shape


@dataclass(frozen=True, eq=False)
class FacePlan:
    """Where each frame of a film is redrawn; row t belongs to the film's frame t."""

    boxes: np.ndarray  # (T, 4) float32 left, top, right, bottom, pixels; NaN: no face
    outlines: np.ndarray  # (T, J, 2) float32 pixels, of the lower face
    references: np.ndarray  # (T,) int64: the frame whose face is the reference; its own, or another
    strength: np.ndarray  # (T,) float32: 0 leaves the frame as it was filmed, 1 redraws it

    def __post_init__(self) -> None:
        frames = check_shape("boxes", self.boxes, "T 4")
        check_shape("outlines", self.outlines, "T J 2", **frames)
        check_shape("references", self.references, "T", **frames)
        check_shape("strength", self.strength, "T", **frames)

    def wanted(self) -> list[int]:
        """Frames whose faces must be kept, in order: references of other frames."""
        own = self.references == np.arange(len(self.references))
        return np.unique(self.references[~own & (self.strength > 0)]).tolist()


def plan_faces(
    track: LandmarkTrack, rate: float, config: Wav2LipConfig, strength: np.ndarray
) -> FacePlan:
    """Plan where a film is redrawn, and from which references.

    Args:
        track: landmarks of the film.
        rate: frames a second.
        config: which references, how smooth the boxes, how far the mask reaches.
        strength: (T,) how fully each frame is redrawn; taken as 0 where there is no face.

    Returns:
        The plan.

    Raises:
        ShapeError: track and strength differ in length.
    """
    check_shape("strength", strength, "T", T=len(track))
    boxes = face_boxes(track, config.box_smooth_s * rate, config.face_margin)
    outlines = lower_outlines(track.points, track.layout, config.chin_reach)
    outlines = smooth_runs(outlines, track.runs())
    references = _choose_references(track, boxes, rate, config)
    return FacePlan(boxes, outlines, references, np.where(track.has_face, strength, 0.0))


def gather_references(pictures: Iterable[Picture], plan: FacePlan) -> dict[int, np.ndarray]:
    """Keep the reference faces.

    Args:
        pictures: of the frames `plan.wanted()`.
        plan: from `plan_faces`.

    Returns:
        (96, 96, 3) uint8 RGB by the film's frame.
    """
    return {
        picture.index: shrink_face(_cut_face(picture, plan.boxes[picture.index]))
        for picture in pictures
    }


def mel_starts(ticks: np.ndarray, time_base: Fraction, columns: int) -> np.ndarray:
    """Find the first mel column of each frame by the time at which it is shown.

    Args:
        ticks: (N,) int64 presentation times, the first at 0.
        time_base: seconds in one tick.
        columns: of the mel, M.

    Returns:
        (N,) int64: floor(80 seconds), held back so that the chunk ends inside the mel while the
        sound goes on; M, where there is nothing but silence, after its end.
    """
    rate = COLUMNS_PER_SECOND * time_base
    starts = [int(tick) * rate.numerator // rate.denominator for tick in ticks]
    held = [min(start, max(columns - CHUNK_COLUMNS, 0)) for start in starts]
    pairs = zip(starts, held, strict=True)
    return np.array([back if start < columns else columns for start, back in pairs], np.int64)


def redraw_faces(
    pictures: Iterable[Picture],
    mel: np.ndarray,
    starts: np.ndarray,
    plan: FacePlan,
    faces: Mapping[int, np.ndarray],
    redrawer: Redrawer,
    config: Wav2LipConfig,
) -> Iterator[Picture]:
    """Redraw pictures so that their face speaks; memory holds as many as the redrawer's batch.

    Args:
        pictures: of the film, any frames in any order; `Picture.index` says which.
        mel: (80, M) of the recording.
        starts: (N,) first column of each picture, from `mel_starts`.
        plan: from `plan_faces`.
        faces: from `gather_references`.
        redrawer: who redraws the faces.
        config: widths and strengths of the blend.

    Yields:
        As many pictures, in order; where there is no face, the very same.
    """
    silence = np.full((len(mel), CHUNK_COLUMNS), SILENCE, np.float32)
    heard = np.concatenate([mel, silence], axis=1)
    stream, done = iter(pictures), 0
    while group := list(islice(stream, redrawer.batch)):
        chunks = mel_chunks(heard, starts[done : done + len(group)])
        yield from _redraw_group(group, chunks, plan, faces, redrawer, config)
        done += len(group)


def _choose_references(
    track: LandmarkTrack, boxes: np.ndarray, rate: float, config: Wav2LipConfig
) -> np.ndarray:
    """(T,) int64: the frame that shows the generator who speaks; its own without a face."""
    references, seen = np.arange(len(track)), np.flatnonzero(track.has_face)
    if config.reference == "closed" and len(seen):
        points = track.points[seen]
        references[seen] = seen[choose_references(points, track.layout, config.reference_pool)]
    if config.reference == "far" and len(seen):
        pool = seen[:: -(-len(seen) // config.reference_pool)]
        shape = _rigid_shape(track, boxes)
        for t in seen:
            apart = np.linalg.norm(shape[t] - shape[pool], axis=1)
            apart[np.abs(pool - t) < config.reference_apart_s * rate] += 1e3  # only if all are near
            references[t] = pool[apart.argmin()]
    return references


def _rigid_shape(track: LandmarkTrack, boxes: np.ndarray) -> np.ndarray:
    """(T, 2 N) points that speech does not move, in their box: alike where the head is."""
    points = track.points[:, list(point_groups(track.layout).rigid), :2]
    inside = (points - boxes[:, None, :2]) / (boxes[:, None, 2:] - boxes[:, None, :2])
    return np.asarray(inside.reshape(len(points), -1))


def _redraw_group(
    group: Sequence[Picture],
    chunks: np.ndarray,
    plan: FacePlan,
    faces: Mapping[int, np.ndarray],
    redrawer: Redrawer,
    config: Wav2LipConfig,
) -> Iterator[Picture]:
    shown = [place for place, picture in enumerate(group) if _is_redrawn(picture, plan)]
    if not shown:
        yield from group
        return
    cuts = {at: _cut_face(group[at], plan.boxes[group[at].index]) for at in shown}
    targets = np.stack([shrink_face(cuts[at]) for at in shown])
    wanted = [int(plan.references[group[at].index]) for at in shown]
    references = np.stack(
        [
            target if number == group[at].index else faces[number]
            for at, number, target in zip(shown, wanted, targets, strict=True)
        ]
    )
    drawn = dict(zip(shown, redrawer.redraw(targets, references, chunks[shown]), strict=True))
    seen = dict(zip(shown, targets, strict=True))
    for at, picture in enumerate(group):
        if at not in drawn:
            yield picture
            continue
        t = picture.index
        patch = blend_face(cuts[at], seen[at], drawn[at], plan.outlines[t], plan.boxes[t], config)
        alpha = patch.alpha * np.float32(plan.strength[t])
        yield picture.with_patch(patch.picture, alpha, patch.left, patch.top)


def _is_redrawn(picture: Picture, plan: FacePlan) -> bool:
    if not plan.strength[picture.index] > 0:
        return False
    left, top, right, bottom = whole_pixels(plan.boxes[picture.index])
    return right > 0 and bottom > 0 and left < picture.width and top < picture.height


def _cut_face(picture: Picture, box: np.ndarray) -> np.ndarray:
    """(h, w, 3) uint8 RGB of a box; only that part of the picture is converted."""
    left, top, right, bottom = whole_pixels(box)
    x, y = max(left, 0), max(top, 0)
    part = picture.rgb((x, y, min(right, picture.width), min(bottom, picture.height)))
    return cut_box(part, (left - x, top - y, right - x, bottom - y))
