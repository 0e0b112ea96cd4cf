"""Regions of face models that come without painted ones, from landmarks on their portrait.

Distances are told in the portrait's plane, in millimetres at the depth of the model's origin.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from metatalk.fitting.embedding import DISTANCE_MM, FOCAL_PX, PICTURE_PX, Portrait, portrait_points
from metatalk.landmarks.points import Indices, PointGroups
from metatalk.morphable.model import REGIONS, MorphableModel

MM_PER_PX = DISTANCE_MM / FOCAL_PX
BEHIND_SURFACE_MM = 15.0  # what lies farther behind what is seen is another part of the head
# How far regions reach beyond the detector's rings, mm; measured on anny's painted regions.
LIPS_BEYOND = 0.6
EYES_BEYOND = -0.5
EYELIDS_BEYOND = 3.5
FACE_BEYOND = 2.0
LOWER_FACE_BEYOND = 3.5
# How the lower face lies about the base of the nose and the chin, mm.
BESIDE_NOSE = 5.0  # beyond the wings of the nose, the cheeks belong to it ...
ABOVE_NOSE_BASE = 15.0  # ... from so high
UNDER_CHIN, CHIN_HALF_WIDTH, BEHIND_CHIN = 14.0, 36.0, 26.0
CHIN_ROUND = 3.0  # from so far above its lowest landmark on, what is seen may be neck
LOWER_FACE_REACH_MM = 0.4  # skin that some expression moves further than this is lower face
_BITS_BELOW_PIXEL = 4  # of polygons' corners


def find_regions(
    model: MorphableModel, portrait: Portrait, groups: PointGroups
) -> dict[str, Tensor]:
    """Fill in the regions that a model does not know, by where the landmarks are.

    Args:
        model: with "skin" at least; regions that are not empty stay.
        portrait: of its resting mean face.
        groups: of the portrait's landmarks.

    Returns:
        (V,) bool for each of `model.REGIONS`. Where the model has no eyeballs of its own, what
        lies between the lids are the eyes, and no skin.
    """
    place = portrait_points(model.mean).numpy()
    front = _in_front(place, portrait)
    known = {name: region.numpy() for name, region in model.regions.items() if region.any()}

    def within(beyond_mm: float, *rings: Indices) -> np.ndarray:
        distances = [_distance(place, portrait.points, ring) for ring in rings]
        return front & (np.max(distances, axis=0) > -beyond_mm)

    eyes = known.get("eyes", within(EYES_BEYOND, groups.right_eye, groups.left_eye))
    skin = known["skin"] & ~eyes
    below = _about_chin(within(LOWER_FACE_BEYOND, groups.oval), place, portrait, groups)
    below &= _below(place, portrait, groups)
    found = {
        "eyes": eyes,
        "lips": skin & within(LIPS_BEYOND, groups.lips_outer),
        "eyelids": skin & within(EYELIDS_BEYOND, groups.right_eye, groups.left_eye),
        "face": skin & within(FACE_BEYOND, groups.oval),
        "lower_face": skin & below & _moved(model),
        **known,
        "skin": skin,
    }
    empty = np.zeros(len(place), bool)
    return {name: torch.from_numpy(found.get(name, empty)) for name in REGIONS}


def _in_front(place: np.ndarray, portrait: Portrait) -> np.ndarray:
    """(V,) bool: vertices on the surface that is seen, folds just behind it included."""
    columns, rows = np.clip(place[:, :2].astype(int), 0, PICTURE_PX - 1).T
    return place[:, 2] <= portrait.fragments.depth[0, rows, columns] + BEHIND_SURFACE_MM


def _distance(place: np.ndarray, points: np.ndarray, ring: Indices) -> np.ndarray:
    """(V,) mm from a ring of landmarks in the picture's plane; inside is positive."""
    # OpenCV counts pixel centres as whole numbers.
    corners = np.rint((points[list(ring)] - 0.5) * (1 << _BITS_BELOW_PIXEL)).astype(np.int32)
    filled = np.zeros((PICTURE_PX, PICTURE_PX), np.uint8)
    cv2.fillPoly(filled, [corners], (1.0,), shift=_BITS_BELOW_PIXEL)
    exact = lambda mask: cv2.distanceTransform(mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)  # noqa: E731
    # Either counts from the other's nearest pixel centre, half a pixel beyond the border.
    signed = np.where(filled > 0, exact(filled) - 0.5, 0.5 - exact(1 - filled))
    columns, rows = np.clip(place[:, :2].astype(int), 0, PICTURE_PX - 1).T
    return signed[rows, columns] * MM_PER_PX


def _below(place: np.ndarray, portrait: Portrait, groups: PointGroups) -> np.ndarray:
    """(V,) bool: under the nose the whole width, above its base only the cheeks beside it."""
    base = portrait.points[list(groups.nose_base)]
    down = (place[:, 1] - base[:, 1].mean()) * MM_PER_PX
    across = np.abs(place[:, 0] - base[:, 0].mean()) * MM_PER_PX
    wing = np.ptp(base[:, 0]) / 2 * MM_PER_PX
    return (down > -1.0) | ((down > -ABOVE_NOSE_BASE) & (across > wing + BESIDE_NOSE))


def _about_chin(
    face: np.ndarray, place: np.ndarray, portrait: Portrait, groups: PointGroups
) -> np.ndarray:
    """(V,) bool: the face, and under the chin the soft skin that the jaw takes along, no neck."""
    chin = portrait.points[groups.chin]
    off = (place[:, :2] - chin) * MM_PER_PX
    behind = place[:, 2] - place[np.abs(off).sum(1).argmin(), 2]
    soft = (off[:, 1] < UNDER_CHIN) & (np.abs(off[:, 0]) < CHIN_HALF_WIDTH) & (behind < BEHIND_CHIN)
    return np.where(off[:, 1] > -CHIN_ROUND, soft, face)


def _moved(model: MorphableModel) -> np.ndarray:
    """(V,) bool: what speech moves."""
    farthest = np.zeros(len(model.mean), np.float32)
    for unit in model.expression_basis[model.lower_units].numpy():
        np.maximum(farthest, np.linalg.norm(unit, axis=-1), out=farthest)
    return farthest > LOWER_FACE_REACH_MM
