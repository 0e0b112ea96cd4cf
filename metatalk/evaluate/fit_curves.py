"""A reconstruction of real footage as curves over time, beside what the detector saw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from metatalk.evaluate.fit_errors import (
    face_height_px,
    in_picture,
    mesh_landmarks,
    skin_and_outline,
)
from metatalk.fitting.reconstruct import Reconstruction
from metatalk.landmarks.points import PointGroups, point_groups
from metatalk.landmarks.track import LandmarkTrack
from metatalk.morphable.lighting import sh_basis
from metatalk.morphable.model import MorphableModel
from metatalk.shapes import check_shape

PARTS = ("lips", "eyes", "brows", "nose", "jaw")


@dataclass(frozen=True, eq=False)
class FitCurves:
    """One clip's fit over time; row t belongs to frame t, NaN where there is no face.

    Lengths are distances in the picture, in millimetres at the face's depth, so that the fit's
    and the detector's can be compared.
    """

    seconds: np.ndarray  # (T,)
    rate: float  # frames a second
    shots: np.ndarray  # (K, 2) first frame and one past the last
    state: np.ndarray  # (T,) 0 no face, 1 detected, 2 interpolated
    lip_gap_mm: np.ndarray  # (T,)
    seen_gap_mm: np.ndarray  # (T,) the detector's
    width_mm: np.ndarray  # (T,) of the mouth
    seen_width_mm: np.ndarray  # (T,)
    jaw_mm: np.ndarray  # (T,) how far expression takes the chin from the brow, on the mesh
    rotation_deg: np.ndarray  # (T, 3) pitch, yaw, roll
    translation_mm: np.ndarray  # (T, 3) camera frame
    error_mm: np.ndarray  # (T,) the skin's landmarks
    part_mm: Mapping[str, np.ndarray]  # by PARTS, (T,) their landmarks
    motion_mm: np.ndarray  # (T,) how the landmarks' step from the frame before differs
    confidence: np.ndarray  # (T,)
    colour_error: np.ndarray  # (T,) mean difference of the skin's colours, 0 to 1
    visible_share: np.ndarray  # (T,) of the face's area
    light: np.ndarray  # (T,) brightness of a white surface that looks into the camera
    face_px: np.ndarray  # (T,) height of the face
    outside: np.ndarray  # (T,) share of the fitted landmarks that lie outside the picture
    focal_px: float
    expression: np.ndarray  # (T, E)
    expression_names: tuple[str, ...]
    has_units: bool  # activations from 0 to 1, not standard deviations

    def __post_init__(self) -> None:
        frames = check_shape("seconds", self.seconds, "T")["T"]
        vectors = dict(self.part_mm)
        vectors |= {name: value for name, value in vars(self).items() if name in _VECTORS}
        for name, value in vectors.items():
            check_shape(name, value, "T", T=frames)
        for name in ("rotation_deg", "translation_mm"):
            check_shape(name, getattr(self, name), "T 3", T=frames)
        check_shape("expression", self.expression, "T E", T=frames, E=len(self.expression_names))
        check_shape("shots", self.shots, "K 2")

    def __len__(self) -> int:
        return len(self.seconds)

    @property
    def has_face(self) -> np.ndarray:
        """(T,) bool: frames with a fit."""
        return np.asarray(self.state != 0)

    def worst_part(self, frame: int) -> str:
        """The part of the face that is farthest from what it is in the rest of the clip."""
        excess = {
            part: values[frame] - float(np.nanmedian(values))
            for part, values in self.part_mm.items()
            if np.isfinite(values[frame])
        }
        return max(excess, key=lambda part: excess[part]) if excess else "face"


# fmt: off
_VECTORS = frozenset([
    "state", "lip_gap_mm", "seen_gap_mm", "width_mm", "seen_width_mm", "jaw_mm", "error_mm",
    "motion_mm", "confidence", "light", "face_px", "outside", "colour_error", "visible_share",
])
# fmt: on


def measure_curves(
    model: MorphableModel,
    found: Reconstruction,
    landmarks: LandmarkTrack,
    seconds: np.ndarray,
    rate: float,
) -> FitCurves:
    """Read the curves off a reconstruction.

    Args:
        model: the face model, with the landmarks' layout embedded.
        found: what was reconstructed.
        landmarks: what the detector saw.
        seconds: (T,) when each frame is shown.
        rate: frames a second.

    Returns:
        The curves.

    Raises:
        ShapeError: the parts disagree about the number of frames.
    """
    groups, track = point_groups(landmarks.layout), found.track
    check_shape("points", landmarks.points, "T L 3", T=len(track))
    on_mesh = mesh_landmarks(model, found)
    fitted, seen = in_picture(found, on_mesh), landmarks.points[..., :2]
    mm_per_px = (track.translation[:, 2] / found.camera.focal_px).numpy()
    apart_mm = np.linalg.norm(fitted - seen, axis=-1) * mm_per_px[:, None]  # (T, L)
    face = np.where(landmarks.has_face, 1.0, np.nan)
    rotation = np.degrees(track.rotation.numpy())

    def length(points: np.ndarray, pair: tuple[int, int]) -> np.ndarray:
        apart_px = np.linalg.norm(points[:, pair[0]] - points[:, pair[1]], axis=-1)
        return np.asarray(apart_px * mm_per_px * face)

    return FitCurves(
        seconds=seconds,
        rate=rate,
        shots=landmarks.shots,
        state=landmarks.state,
        lip_gap_mm=length(fitted, groups.lip_gap),
        seen_gap_mm=length(seen, groups.lip_gap),
        width_mm=length(fitted, groups.mouth_corners),
        seen_width_mm=length(seen, groups.mouth_corners),
        jaw_mm=_jaw_drop(on_mesh.numpy(), model, found, groups) * face,
        rotation_deg=rotation * face[:, None],
        translation_mm=track.translation.numpy() * face[:, None],
        error_mm=found.error_mm,
        part_mm={
            part: apart_mm[:, list(getattr(groups, part))].mean(1) * face for part in PARTS
        },
        motion_mm=_motion(fitted - seen, mm_per_px, landmarks, groups),
        confidence=track.confidence.numpy(),
        light=_brightness(found) * face,
        face_px=face_height_px(found, on_mesh, groups) * face,
        outside=_outside(fitted, found) * face,
        focal_px=found.camera.focal_px,
        expression=track.expression.numpy() * face[:, None],
        expression_names=model.expression_names,
        has_units=model.has_units,
        colour_error=found.trust.colour_error * face,
        visible_share=found.trust.visible_share * face,
    )  # fmt: skip


def _jaw_drop(
    points: np.ndarray, model: MorphableModel, found: Reconstruction, groups: PointGroups
) -> np.ndarray:
    mean, shapes, _ = model.landmark_basis()
    resting = (mean + torch.tensordot(found.person.identity, shapes, 1)).numpy()
    brow, chin = groups.nose_bridge[0], groups.chin
    apart = np.linalg.norm(points[:, chin] - points[:, brow], axis=-1)
    return np.asarray(apart - np.linalg.norm(resting[chin] - resting[brow]))


def _motion(
    offset_px: np.ndarray, mm_per_px: np.ndarray, landmarks: LandmarkTrack, groups: PointGroups
) -> np.ndarray:
    """(T,) mm: mean difference of the skin landmarks' steps; 0 where a run of faces begins."""
    skin, _ = skin_and_outline(groups)
    motion = np.where(landmarks.has_face, 0.0, np.nan)
    for first, end in landmarks.runs():
        step = np.linalg.norm(np.diff(offset_px[first:end, skin], axis=0), axis=-1).mean(1)
        motion[first + 1 : end] = step * mm_per_px[first + 1 : end]
    return motion


def _brightness(found: Reconstruction) -> np.ndarray:
    frontal = sh_basis(torch.tensor([0.0, 0.0, -1.0]))
    return np.asarray((found.track.lighting @ frontal).mean(-1).numpy())


def _outside(fitted: np.ndarray, found: Reconstruction) -> np.ndarray:
    limit = np.array([found.camera.width, found.camera.height])
    return np.asarray(((fitted < 0) | (fitted > limit)).any(-1).mean(1))
