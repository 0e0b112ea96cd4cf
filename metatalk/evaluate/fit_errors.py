"""How far a reconstruction is from the truth of a synthetic clip."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metatalk.evaluate.fit_errors_alignment import (
    align,
    rotation_between,
    second_difference,
    series_correlation,
)
from metatalk.evaluate.truth import Truth
from metatalk.fitting.reconstruct import Reconstruction
from metatalk.landmarks.points import PointGroups, point_groups
from metatalk.landmarks.track import LandmarkTrack
from metatalk.morphable.lighting import sh_basis
from metatalk.morphable.model import MorphableModel
from metatalk.morphable.normals import vertex_normals
from metatalk.morphable.pose import euler_to_matrix, transform_points

ACTIVE = 0.03  # standard deviation from which on a unit counts as active in a clip
TOP = {"mediapipe478": 10, "ibug68": 27}  # the landmark from which a face's height is measured
AXES = ("pitch", "yaw", "roll")
FACING = -0.1  # z of the normals that light is compared at: those that look at the camera
LIT_EVERY = 5  # frames between two at which light is compared


@dataclass(frozen=True)
class FitErrors:
    """One clip's errors; r is Pearson's, percentages are of the face's height.

    nan where the clip cannot tell: no neutral frame, a head that is never still.
    """

    shape_rigid_mm: float  # neutral face, median over vertices, after rigid alignment
    shape_similarity_mm: float  # the same after alignment that may scale (as NoW's does)
    shape_average_mm: float  # of the average face, aligned so: what knowing nothing gives
    scale: float  # size of the fitted face by the true one's
    focal: float  # fitted focal length by the true one
    landmark_pct: float  # fitted from true landmarks, mean over the skin's
    contour_pct: float  # the same on the face's outline
    detected_pct: float  # fitted from detected landmarks, skin: what is left of the fit
    detector_pct: float  # detected from true landmarks, skin: what the fit is given
    lip_gap_r: float
    lip_gap_mm: float  # mean absolute error of the gap's changes
    detector_gap_r: float  # of the detector's own gap: what the fit is given
    jaw_r: float  # of the chin's distance from between the eyes
    width_r: float  # of the mouth's width
    units_r: dict[str, float]  # of the units that are active in the clip
    pitch_deg: float  # mean absolute error
    yaw_deg: float
    roll_deg: float
    pitch_offset_deg: float  # the part that all frames have in common
    yaw_offset_deg: float
    roll_offset_deg: float
    pitch_varying_deg: float  # the rest: mean distance from the offset
    yaw_varying_deg: float
    roll_varying_deg: float
    albedo: float  # mean absolute RGB error, after one gain for each channel
    light: float  # relative error of the shading on the true face, after the same gain
    leak: float  # mean of the lower face's units in neutral frames
    leaks: dict[str, float]  # the four units that leak most, and how much
    jaw_by_yaw_r: float  # fitted jawOpen and true yaw, in neutral frames
    jaw_spread: float  # standard deviation of the fitted jawOpen in those frames
    jitter_mm: float  # of the static points' error, across the picture, while the head is still
    jitter_depth_mm: float  # the same along the camera's axis

    @property
    def unit_r(self) -> float:
        """Median r over the active units."""
        return float(np.median(list(self.units_r.values()))) if self.units_r else float("nan")

    def as_dict(self) -> dict[str, object]:
        """Plain values, for JSON."""
        return {**asdict(self), "unit_r": self.unit_r}


def measure_fit(
    model: MorphableModel, truth: Truth, found: Reconstruction, landmarks: LandmarkTrack
) -> FitErrors:
    """Hold a reconstruction against the truth.

    Args:
        model: the face model of both.
        truth: what the clip was drawn from.
        found: what was reconstructed.
        landmarks: what it was reconstructed from.

    Returns:
        The errors.

    Source: Sanyal et al. 2019 (NoW) for the alignment with scale. Departs: distances are
        between corresponding vertices, which both faces have, and not to the surface.
    """
    groups = point_groups(landmarks.layout)
    true_points, points = mesh_landmarks(model, truth), mesh_landmarks(model, found)
    values: dict[str, Any] = dict(
        **_shape_errors(model, truth, found),
        **_landmark_errors(groups, truth, found, true_points, points, landmarks),
        **_mouth_errors(groups, true_points, points, landmarks),
        units_r=_unit_correlations(model, truth, found),
        **_pose_errors(truth, found),
        **_colour_errors(model, truth, found),
        **_leaks(model, truth, found),
        **_jitter(groups, truth, found, true_points, points),
    )
    return FitErrors(**values)


def mesh_landmarks(model: MorphableModel, clip: Truth | Reconstruction) -> Tensor:
    """Where a face's landmarks lie on its mesh, with its expression and without its pose.

    Args:
        model: the face model, with landmarks embedded.
        clip: whose face.

    Returns:
        (T, L, 3) mm, model frame.
    """
    mean, shapes, units = model.landmark_basis()
    neutral = mean + torch.tensordot(clip.person.identity, shapes, 1)
    return neutral + torch.tensordot(clip.track.expression, units, 1)


def in_picture(clip: Truth | Reconstruction, points: Tensor) -> np.ndarray:
    """Take points of the face to the picture: (T, L, 3) mm, model frame, to (T, L, 2) pixels."""
    placed = transform_points(points, clip.track.rotation, clip.track.translation)
    return clip.camera.project(placed).numpy()


def face_height_px(clip: Truth | Reconstruction, points: Tensor, groups: PointGroups) -> np.ndarray:
    """How tall the face is at its depth, from forehead to chin, whichever way it looks.

    Args:
        clip: whose face.
        points: (T, L, 3) landmarks on the mesh, mm, model frame.
        groups: of the landmarks.

    Returns:
        (T,) pixels.
    """
    tall_mm = (points[:, TOP[groups.layout]] - points[:, groups.chin]).norm(dim=-1).median()
    return (tall_mm * clip.camera.focal_px / clip.track.translation[:, 2]).numpy()


def skin_and_outline(groups: PointGroups) -> tuple[np.ndarray, np.ndarray]:
    """(L,) bool each: landmarks that stick to the skin, and those of the outline, which slide."""
    outline = np.zeros(groups.count, bool)
    outline[[*groups.oval, *groups.jaw]] = True
    skin = ~outline
    skin[[*groups.right_iris, *groups.left_iris]] = False
    return skin, outline


def _shape_errors(model: MorphableModel, truth: Truth, found: Reconstruction) -> dict[str, float]:
    face = model.regions["face"]
    true = model.neutral(truth.person.identity)[face].double()
    fitted = model.neutral(found.person.identity)[face].double()

    def apart(points: Tensor, scaled: bool) -> float:
        return float((align(points, true, scaled)[0] - true).norm(dim=-1).median())

    return {
        "shape_rigid_mm": apart(fitted, scaled=False),
        "shape_similarity_mm": apart(fitted, scaled=True),
        "shape_average_mm": apart(model.mean[face].double(), scaled=True),
        "scale": 1 / align(fitted, true, scaled=True)[1],
        "focal": found.camera.focal_px / truth.camera.focal_px,
    }


def _landmark_errors(
    groups: PointGroups, truth: Truth, found: Reconstruction, true_points: Tensor,
    points: Tensor, landmarks: LandmarkTrack,
) -> dict[str, float]:  # fmt: skip
    true, fitted = in_picture(truth, true_points), in_picture(found, points)
    detected, seen = landmarks.points[..., :2], landmarks.has_face
    unit = face_height_px(truth, true_points, groups) / 100
    skin, outline = skin_and_outline(groups)

    def apart(first: np.ndarray, second: np.ndarray, chosen: np.ndarray) -> float:
        distance = np.linalg.norm(first[seen][:, chosen] - second[seen][:, chosen], axis=-1)
        return float((distance.mean(1) / unit[seen]).mean())

    return {
        "landmark_pct": apart(fitted, true, skin),
        "contour_pct": apart(fitted, true, outline),
        "detected_pct": apart(fitted, detected, skin),
        "detector_pct": apart(detected, true, skin),
    }


def _mouth_errors(
    groups: PointGroups, true_points: Tensor, points: Tensor, landmarks: LandmarkTrack
) -> dict[str, float]:
    seen = landmarks.has_face
    (upper, lower), (left, right) = groups.lip_gap, groups.mouth_corners
    both = (true_points.numpy()[seen], points.numpy()[seen])
    gaps = [part[:, lower, 1] - part[:, upper, 1] for part in both]
    jaws = [part[:, groups.chin, 1] - part[:, groups.nose_bridge[0], 1] for part in both]
    widths = [np.linalg.norm(part[:, left] - part[:, right], axis=-1) for part in both]
    own = landmarks.points[seen, :, :2]
    eyes = np.linalg.norm(own[:, groups.eye_corners[0]] - own[:, groups.eye_corners[1]], axis=-1)
    detected = np.linalg.norm(own[:, upper] - own[:, lower], axis=-1) / eyes
    change = [gap - np.median(gap) for gap in gaps]
    return {
        "lip_gap_r": series_correlation(*gaps),
        "lip_gap_mm": float(np.abs(change[0] - change[1]).mean()),
        "detector_gap_r": series_correlation(gaps[0], detected),
        "jaw_r": series_correlation(*jaws),
        "width_r": series_correlation(*widths),
    }


def _unit_correlations(
    model: MorphableModel, truth: Truth, found: Reconstruction
) -> dict[str, float]:
    true, fitted = truth.track.expression.numpy(), found.track.expression.numpy()
    return {
        name: series_correlation(true[:, unit], fitted[:, unit])
        for unit, name in enumerate(model.expression_names)
        if true[:, unit].std() > ACTIVE
    }


def _pose_errors(truth: Truth, found: Reconstruction) -> dict[str, float]:
    turns = rotation_between(
        euler_to_matrix(truth.track.rotation.double()),
        euler_to_matrix(found.track.rotation.double()),
    )
    degrees = np.degrees(turns[found.track.has_face].numpy())
    offset = np.median(degrees, 0)
    errors = {}
    for axis, name in enumerate(AXES):
        errors[f"{name}_deg"] = float(np.abs(degrees[:, axis]).mean())
        errors[f"{name}_offset_deg"] = float(offset[axis])
        errors[f"{name}_varying_deg"] = float(np.abs(degrees[:, axis] - offset[axis]).mean())
    return errors


def _colour_errors(model: MorphableModel, truth: Truth, found: Reconstruction) -> dict[str, float]:
    """Albedo and light are known up to a gain in each channel: what one has, the other lacks."""
    told = model.regions["face"] & ~model.regions["eyes"] & truth.albedo.isfinite().all(-1)
    true, fitted = truth.albedo[told], model.albedo(found.person.texture)[told]
    gain = (true * fitted).sum(0) / fitted.square().sum(0).clamp_min(1e-9)  # (3,)
    shape, errors = model.neutral(truth.person.identity), []
    for frame in found.track.has_face.nonzero().flatten()[::LIT_EVERY].tolist():
        turned = shape @ euler_to_matrix(truth.track.rotation[frame]).T
        normals = vertex_normals(turned, model.triangles)[told]
        basis = sh_basis(normals[normals[:, 2] < FACING])
        lit = basis @ truth.track.lighting[frame].T
        shaded = basis @ found.track.lighting[frame].T / gain
        errors.append(float((shaded - lit).abs().mean() / lit.mean()))
    return {"albedo": float((gain * fitted - true).abs().mean()), "light": float(np.mean(errors))}


def _leaks(model: MorphableModel, truth: Truth, found: Reconstruction) -> dict[str, object]:
    quiet = truth.neutral & found.track.has_face.numpy()
    fitted, names = found.track.expression.numpy()[quiet], model.expression_names
    if not quiet.any() or not model.has_units:
        nothing = float("nan")
        return {"leak": nothing, "leaks": {}, "jaw_by_yaw_r": nothing, "jaw_spread": nothing}
    lower = model.lower_units.nonzero().flatten().tolist()
    amounts = {names[unit]: float(np.abs(fitted[:, unit]).mean()) for unit in lower}
    jaw = fitted[:, names.index("jawOpen")]
    return {
        "leak": float(np.mean(list(amounts.values()))),
        "leaks": dict(sorted(amounts.items(), key=lambda item: -item[1])[:4]),
        "jaw_by_yaw_r": series_correlation(truth.track.rotation[:, 1].numpy()[quiet], jaw),
        "jaw_spread": float(jaw.std()),
    }


def _jitter(
    groups: PointGroups, truth: Truth, found: Reconstruction, true_points: Tensor, points: Tensor
) -> dict[str, float]:
    """Root mean square of the error's second difference, while the head is still."""
    rigid = list(groups.rigid)
    true, fitted = (
        transform_points(part[:, rigid], clip.track.rotation, clip.track.translation).numpy()
        for part, clip in ((true_points, truth), (points, found))
    )
    change = second_difference(fitted - true, truth.still)
    if not len(change):
        return {"jitter_mm": float("nan"), "jitter_depth_mm": float("nan")}
    across, depth = change[..., :2], change[..., 2]
    return {
        "jitter_mm": float(np.sqrt((across**2).mean())),
        "jitter_depth_mm": float(np.sqrt((depth**2).mean())),
    }
