"""How well a reconstruction follows real footage, of which only the detector's word is known."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from metatalk.evaluate.fit_errors import (
    face_height_px,
    in_picture,
    mesh_landmarks,
    skin_and_outline,
)
from metatalk.evaluate.fit_errors_alignment import second_difference, series_correlation
from metatalk.fitting.reconstruct import Reconstruction
from metatalk.landmarks.points import PointGroups, point_groups
from metatalk.landmarks.track import LandmarkTrack
from metatalk.morphable.model import MorphableModel


@dataclass(frozen=True, eq=False)
class FootageErrors:
    """One clip's distance from the detector; percentages are of the face's height."""

    frames: int  # with a face
    landmark_pct: float  # mean over the skin's landmarks
    contour_pct: float  # over those of the outline
    lips_pct: float  # over both rings of the lips
    lip_gap_r: float  # Pearson's, gap in eye distances
    width_r: float  # of the mouth's width, so measured
    blink_r: float  # of the eyes' opening, so measured
    jitter: float  # second difference of static points by the detector's own
    confidence: float  # mean
    focal: float  # by the picture's longer side
    frame_pct: np.ndarray  # (T,) the skin's landmarks in each frame; nan without a face

    def as_dict(self) -> dict[str, object]:
        """Plain values, for JSON."""
        return {name: value for name, value in asdict(self).items() if name != "frame_pct"}


def measure_footage(
    model: MorphableModel, found: Reconstruction, landmarks: LandmarkTrack
) -> FootageErrors:
    """Hold a reconstruction of real footage against the detector.

    Args:
        model: the face model.
        found: what was reconstructed.
        landmarks: what the detector saw.

    Returns:
        The errors.
    """
    groups = point_groups(landmarks.layout)
    points = mesh_landmarks(model, found)
    fitted, detected = in_picture(found, points), landmarks.points[..., :2]
    unit = face_height_px(found, points, groups) / 100
    apart = np.linalg.norm(fitted - detected, axis=-1) / unit[:, None]  # (T, L)
    apart[~landmarks.has_face] = np.nan
    skin, outline = skin_and_outline(groups)
    seen = landmarks.has_face
    both = fitted[seen], detected[seen]
    gaps, widths, eyes = (
        [_in_eyes(part, measure, groups) for part in both]
        for measure in ("gap", "width", "opening")
    )
    return FootageErrors(
        frames=int(seen.sum()),
        landmark_pct=float(np.nanmean(apart[:, skin])),
        contour_pct=float(np.nanmean(apart[:, outline])),
        lips_pct=float(np.nanmean(apart[:, list(groups.lips)])),
        lip_gap_r=series_correlation(gaps[1], gaps[0]),
        width_r=series_correlation(widths[1], widths[0]),
        blink_r=series_correlation(eyes[1], eyes[0]),
        jitter=_jitter(fitted, detected, landmarks, groups),
        confidence=float(found.track.confidence[found.track.has_face].mean()),
        focal=found.camera.focal_px / max(found.camera.width, found.camera.height),
        frame_pct=apart[:, skin].mean(1),
    )


def _in_eyes(points: np.ndarray, measure: str, groups: PointGroups) -> np.ndarray:
    """(T,) a distance within the face by the distance of the eyes' corners."""
    eye = groups.right_eye
    quarter = len(eye) // 4
    first, second = {
        "gap": groups.lip_gap,
        "width": groups.mouth_corners,
        "opening": (eye[quarter], eye[-quarter]),
    }[measure]

    def distance(one: int, other: int) -> np.ndarray:
        return np.asarray(np.linalg.norm(points[:, one] - points[:, other], axis=-1))

    return distance(first, second) / distance(*groups.eye_corners)


def _jitter(
    fitted: np.ndarray, detected: np.ndarray, landmarks: LandmarkTrack, groups: PointGroups
) -> float:
    """Energy of the second difference within the runs of faces, as a ratio of amplitudes."""
    rigid = list(groups.rigid)
    energy = np.zeros(2)
    for first, end in landmarks.runs():
        kept = np.ones(end - first, bool)
        for number, track in enumerate((fitted, detected)):
            change = second_difference(track[first:end, rigid], kept)
            energy[number] += float((change**2).sum())
    return float(np.sqrt(energy[0] / max(energy[1], 1e-12)))
