"""The joint pass: colours and landmarks move identity, pose, expression and lens together.

Each vertex's own albedo is what the keyframes agree on, near what the texture basis can say. So
what a step removes is disagreement: skin that slides over the face as the head turns, and shading
that does not follow the shape.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from metatalk.fitting.config import FitConfig
from metatalk.fitting.photometric import ColourSamples, solve_albedo, solve_light
from metatalk.fitting.residuals import Residuals, Unknowns, by_projection, by_rotation, chain
from metatalk.fitting.solver import More
from metatalk.fitting.windows import SIDE_PX, FaceWindows, read_pixels
from metatalk.morphable.lighting import ambient_light, sh_basis, sh_slopes
from metatalk.morphable.model import MorphableModel
from metatalk.morphable.normals import vertex_normals
from metatalk.render.rasterize import rasterize

POINTS = 800  # vertices whose colours are looked at, about
COLOUR_SIGMA = 0.05  # a difference of colours that counts as much as one millimetre
ROBUST_COLOUR = 0.12  # hands, highlights and shadows: colours further off count less
OWN_ALBEDO = 3.0  # weight of the texture basis's albedo against the vertex's own, in keyframes
HIDING_MM = 3.0  # a vertex is hidden where something is this much nearer
LEAST_FACING = 0.25  # cosine below which a surface is seen too flatly
FIRST_TURNS = 3  # of albedo and light, before the first step


@dataclass(frozen=True, eq=False)
class _View:
    """K vertices in N keyframes, posed."""

    turned: Tensor  # (N, K, 3) mm, rotated into the camera's frame and not yet moved there
    points: Tensor  # (N, K, 3) mm, camera frame
    normals: Tensor  # (N, K, 3) camera frame
    pixels: Tensor  # (N, K, 2) window px
    weights: Tensor  # (N, K) 0 where hidden, turned away or outside


def colour_term(
    model: MorphableModel, windows: FaceWindows, centre: Tensor, config: FitConfig, start: Unknowns
) -> More:
    """Make the function that compares the model's colours with the keyframes'.

    Args:
        model: the face model, on the device of everything else.
        windows: of the keyframes.
        centre: (2,) principal point, frame px.
        config: how much colours count.
        start: the keyframes' state, about which normals are taken to change linearly.

    Returns:
        A function from a state to its residuals. Each call also improves albedo and light,
        which it keeps for the next.

    Departs: an expression moves the skin under the picture but does not turn its normals, which
        identity and pose do.
    """
    vertices = _looked_at(model)
    bends = _bends(model, start.identity, vertices)
    texture = model.mean.new_zeros(len(model.texture_basis))
    count = len(windows.pictures)
    lighting = ambient_light().to(model.mean).expand(count, 3, -1)
    slopes, turns = windows.slopes(), FIRST_TURNS

    def term(state: Unknowns) -> Residuals:
        nonlocal texture, lighting, turns
        view = _look(model, state, windows, centre, vertices)
        colours = read_pixels(windows.pictures, view.pixels)
        samples = ColourSamples(np.arange(count), vertices, colours, view.normals, view.weights)
        for _ in range(turns):
            lighting = solve_light(samples, model.albedo(texture)[vertices], lighting)
            texture = solve_albedo(model, samples, model.albedo(texture)[vertices], lighting)
        turns = 1
        albedo = _own_albedo(samples, model.albedo(texture)[vertices], lighting)
        steepness = read_pixels(slopes, view.pixels).unflatten(-1, (2, 3)).mT  # (N, K, 3, 2)
        steepness = steepness @ windows.transforms[:, None, :, :2]  # per frame px
        predicted = albedo * torch.einsum("nkb,ncb->nkc", sh_basis(view.normals), lighting)
        by_normal = _by_normal(view.normals, albedo, lighting)
        return _rows(
            model, state, view, vertices, bends, predicted - colours, steepness, by_normal, config
        )

    return term


def _looked_at(model: MorphableModel) -> Tensor:
    """(K,) vertices of the face that move with the skull or the jaw: no lids, no eyes."""
    regions = model.regions
    face = (regions["face"] & ~regions["eyelids"] & ~regions["eyes"]).nonzero().flatten()
    return face[:: max(1, len(face) // POINTS)]


def _bends(model: MorphableModel, identity: Tensor, vertices: Tensor) -> Tensor:
    """(I, K, 3) how the neutral face's normals change with each identity mode."""
    neutral = model.neutral(identity)
    ahead = [vertex_normals(neutral + mode, model.triangles) for mode in model.identity_basis]
    here = vertex_normals(neutral, model.triangles)[vertices]
    return torch.stack([normals[vertices] for normals in ahead]) - here


def _look(
    model: MorphableModel,
    state: Unknowns,
    windows: FaceWindows,
    centre: Tensor,
    vertices: Tensor,
) -> _View:
    shape = model.shape(state.identity, state.expression)
    turned = shape @ state.rotation.mT
    points = turned + state.translation[:, None]
    in_frame = state.focal_px * points[..., :2] / points[..., 2:] + centre
    pixels = windows.place(in_frame)
    shown = ((in_frame > 0.5) & (in_frame < 2.0 * centre - 0.5)).all(-1)[:, vertices]
    normals = vertex_normals(turned, model.triangles)[:, vertices]
    seen = _seen(model, points, pixels, vertices)
    facing = -normals[..., 2]
    weights = seen * shown * torch.where(facing > LEAST_FACING, facing, torch.zeros_like(facing))
    return _View(turned[:, vertices], points[:, vertices], normals, pixels[:, vertices], weights)


def _seen(model: MorphableModel, points: Tensor, pixels: Tensor, vertices: Tensor) -> Tensor:
    """(N, K) 1 for vertices inside the window that nothing hides."""
    mesh = torch.cat((pixels, points[..., 2:]), -1).cpu().numpy()
    triangles = model.triangles.cpu().numpy().astype(np.int32)
    depth = rasterize(mesh, triangles, SIDE_PX, SIDE_PX, cull_back=True).depth
    spot = mesh[:, vertices.cpu().numpy()]
    column, row = np.clip(spot[..., :2], 0, SIDE_PX - 1).astype(int).transpose(2, 0, 1)
    nearest = depth[np.arange(len(mesh))[:, None], row, column]
    inside = ((spot[..., :2] > 2) & (spot[..., :2] < SIDE_PX - 2)).all(-1)
    return torch.from_numpy(inside & (nearest > spot[..., 2] - HIDING_MM)).to(points)


def _own_albedo(samples: ColourSamples, albedo: Tensor, lighting: Tensor) -> Tensor:
    """(K, 3) the basis's albedo, corrected by what is left over in all keyframes alike."""
    shading = torch.einsum("nkb,ncb->nkc", sh_basis(samples.normals), lighting)
    weights = samples.weights[..., None] * shading
    left_over = (weights * (samples.colours - albedo * shading)).sum(0)
    return albedo + left_over / ((weights * shading).sum(0) + OWN_ALBEDO)


def _by_normal(normals: Tensor, albedo: Tensor, lighting: Tensor) -> Tensor:
    """(N, K, 3 colours, 3) change of the shaded colour as the normal turns."""
    change = albedo[..., None] * torch.einsum("nkbi,ncb->nkci", sh_slopes(normals), lighting)
    along = (change * normals.unsqueeze(-2)).sum(-1, keepdim=True)
    return change - along * normals.unsqueeze(-2)


def _rows(
    model: MorphableModel,
    state: Unknowns,
    view: _View,
    vertices: Tensor,
    bends: Tensor,
    error: Tensor,
    steepness: Tensor,
    by_normal: Tensor,
    config: FitConfig,
) -> Residuals:
    """Weighted colour differences and their derivatives, three rows a vertex."""
    depth = view.points[..., 2:]
    flat = view.points[..., :2] / depth
    by_point = -steepness @ by_projection(flat, depth, state.focal_px)  # (N, K, 3, 3)
    turn = by_rotation(by_point, view.turned) + by_rotation(by_normal, view.normals)
    by_model, bend = by_point @ state.rotation[:, None], by_normal @ state.rotation[:, None]
    faces = chain(by_model, model.expression_basis[:, vertices].transpose(0, 1))
    people = chain(by_model, model.identity_basis[:, vertices].transpose(0, 1))
    people = people + chain(bend, bends.transpose(0, 1))
    focal = -steepness @ (state.focal_px * flat).unsqueeze(-1)
    robust = 1.0 / (1.0 + (error.abs().amax(-1) / ROBUST_COLOUR) ** 2)
    share = config.colour_weight / (3.0 * view.weights.sum(1, keepdim=True).clamp_min(1.0))
    weight = ((view.weights * robust * share).sqrt() / COLOUR_SIGMA)[..., None, None]
    columns = (error[..., None], torch.cat((turn, by_point), -1), faces,
               torch.cat((people, focal), -1))  # fmt: skip
    values, pose, expression, shared = ((weight * part).flatten(1, 2) for part in columns)
    return Residuals(values.squeeze(-1), pose, expression, shared, error.norm(dim=-1))
