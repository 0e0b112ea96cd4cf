"""What a face model still needs after its file is read, so that a clip can be fitted with it."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from metatalk.fitting.embedding import Portrait, embed_landmarks, surface_under, take_portrait
from metatalk.fitting.model_regions import find_regions
from metatalk.landmarks.detector import Detector
from metatalk.landmarks.points import PointGroups, point_groups
from metatalk.morphable.model import MorphableModel
from metatalk.morphable.skin_texture import region_texture

LOG = logging.getLogger(__name__)
WIDE_OPEN_MM = 28.0  # between the middles of the lips of a mouth that is wide open
MOST_SPREADS = 2.5  # of any one mode, in standard deviations
STILL_WEIGHT = 4.0  # standard deviations squared that a millimetre of the still face costs
LEAST_OPEN_MM = 6.0  # less, and the inner lips cannot be told apart on a portrait


def prepare_model(model: MorphableModel, detector: Detector, centre: bool) -> MorphableModel:
    """Give a face model all that its file does not tell: regions, landmarks, an open mouth.

    Args:
        model: as a reader gives it, in millimetres and looking into the camera.
        detector: a landmark detector for single pictures.
        centre: whether its origin is only a guess at the point between the eyes.

    Returns:
        The model with regions, an albedo with modes, `wide_open` where its expressions are
        statistical, and the detector's landmarks.

    Raises:
        FittingError: the detector sees no face in a render of it.
    """
    groups = point_groups(detector.layout)
    shut = take_portrait(model, detector, torch.zeros(len(model.expression_names)))
    if centre:
        model = replace(model, mean=model.mean - _eye_middle(model, shut, groups))
        shut = take_portrait(model, detector, torch.zeros(len(model.expression_names)))
    model = replace(model, regions=find_regions(model, shut, groups))
    if not len(model.texture_basis):
        model = _with_texture(model)
    if not model.has_units:
        model = replace(model, wide_open=find_open_mouth(model, shut, groups))
    return embed_landmarks(model, detector)


def find_open_mouth(model: MorphableModel, portrait: Portrait, groups: PointGroups) -> Tensor:
    """Find the likeliest expression that opens the mouth wide and leaves the upper face still.

    It maximises `gap @ e - |e|^2 / 2 - w / 2 * |still @ e|^2`, which has the closed form
    `(1 + w still' still)^-1 gap`, and is then made as long as a mouth opens.

    Args:
        model: of statistical modes, with regions.
        portrait: of its resting mean face.
        groups: of the portrait's landmarks.

    Returns:
        (E,) standard deviations, none beyond MOST_SPREADS.
    """
    skin = model.region_triangles("skin")
    lips = _lip_middles(portrait.points, groups)
    still = portrait.points[list(groups.rigid + groups.eyes)]
    moved = _displacements(model, portrait, np.concatenate((lips, still)), skin)  # (E, N, 3)
    gap = moved[:, 1, 1] - moved[:, 0, 1]  # (E,) mm downwards per standard deviation
    rest = moved[:, 2:].flatten(1) / len(still) ** 0.5
    cost = torch.eye(len(gap)) + STILL_WEIGHT * rest @ rest.T
    direction = torch.linalg.solve(cost, gap)
    opens_mm = float(gap @ direction)
    longest = MOST_SPREADS / float(direction.abs().max().clamp_min(1e-9))
    opened = direction * min(WIDE_OPEN_MM / max(opens_mm, 1e-9), longest)
    if float(gap @ opened) < LEAST_OPEN_MM:
        LOG.warning(
            "the expressions of the %s face model open its mouth by %.1f mm only",
            model.source, float(gap @ opened),
        )  # fmt: skip
    return opened


def _lip_middles(points: np.ndarray, groups: PointGroups) -> np.ndarray:
    """(2, 2) px: amid the upper and the lower lip, away from the line where closed lips meet."""
    quarter = len(groups.lips_outer) // 4
    outer = points[[groups.lips_outer[quarter], groups.lips_outer[3 * quarter]]]
    return (outer + points[list(groups.lip_gap)]) / 2


def _displacements(
    model: MorphableModel, portrait: Portrait, points: np.ndarray, allowed: Tensor
) -> Tensor:
    """(E, N, 3) mm: how each expression moves the surface under pixels of the portrait."""
    triangles, weights = surface_under(points, portrait.fragments, allowed)
    corners = model.triangles[torch.from_numpy(triangles)]
    return (model.expression_basis[:, corners] * torch.from_numpy(weights)[..., None]).sum(-2)


def _eye_middle(model: MorphableModel, portrait: Portrait, groups: PointGroups) -> Tensor:
    """(3,) mm: the middle of both eyes' rings."""
    skin = model.region_triangles("skin")
    rings = portrait.points[list(groups.eyes)]
    triangles, weights = surface_under(rings, portrait.fragments, skin)
    corners = model.triangles[torch.from_numpy(triangles)]
    return (model.mean[corners] * torch.from_numpy(weights)[..., None]).sum(1).mean(0)


def _with_texture(model: MorphableModel) -> MorphableModel:
    """Modes for an albedo that has none; its own colours stay where no region has one."""
    regions = {name: region.numpy() for name, region in model.regions.items()}
    mean, basis = region_texture(model.triangles.numpy(), regions)
    lips = model.regions["lips"]
    colours = model.texture_mean.clone()
    colours[lips] = torch.from_numpy(mean.astype(np.float32))[lips]
    return replace(
        model, texture_mean=colours, texture_basis=torch.from_numpy(basis.astype(np.float32))
    )
