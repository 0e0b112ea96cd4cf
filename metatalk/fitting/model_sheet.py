"""A face model to look at: from all sides, making each of its faces, as other people, unlit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from metatalk.morphable.camera import Camera
from metatalk.morphable.lighting import sh_basis
from metatalk.morphable.model import MorphableModel
from metatalk.morphable.normals import vertex_normals
from metatalk.morphable.pose import transform_points
from metatalk.render.rasterize import interpolate, rasterize

TILE_PX = 200
TITLE_PX = 26
SHOWN_MM = 300.0  # height of head that fills a tile
DISTANCE_MM = 1200.0
MIDDLE_BELOW_EYES_MM, MIDDLE_BEHIND_EYES_MM = 30.0, 60.0
YAWS_DEG = (-90.0, -60.0, -30.0, 0.0, 30.0, 60.0, 90.0)
COLUMNS = 8
SPREADS = 2.0  # standard deviations at which statistical modes are shown
PAPER, INK = 0.13, (235, 235, 235)
LIGHT = (2.2, -0.35, -0.75, -0.2, 0.0, 0.0, 0.0, 0.0, 0.0)
REGION_COLOURS = {  # later ones over earlier ones; told apart by colour-blind eyes, too
    "skin": (0.55, 0.55, 0.55),
    "face": (0.80, 0.80, 0.80),
    "lower_face": (0.90, 0.62, 0.00),
    "lips": (0.84, 0.15, 0.35),
    "eyelids": (0.34, 0.71, 0.91),
    "eyes": (0.00, 0.45, 0.70),
    "inner_mouth": (0.35, 0.20, 0.35),
    "teeth": (0.95, 0.90, 0.25),
    "tongue": (0.80, 0.47, 0.65),
}


@dataclass(frozen=True, eq=False)
class Tile:
    """One head of a sheet."""

    label: str
    picture: np.ndarray  # (TILE_PX, TILE_PX, 3) uint8


def draw_sheet(model: MorphableModel, units: int, people: int) -> np.ndarray:
    """Draw everything that tells whether a face model was read well.

    Args:
        model: with regions and landmarks.
        units: how many of its expressions to show, at full activation or two standard deviations.
        people: how many identity and albedo modes to show, at two standard deviations either way.

    Returns:
        (H, W, 3) uint8 RGB: a turntable; regions, landmarks, albedo and the open mouth;
        expressions; identities; albedos. Each part has a title, each head a label.
    """
    parts = (
        (f"{model.source}: {len(model.mean):,} vertices", turntable(model)),
        ("regions, landmarks, albedo, open mouth", overview(model)),
        ("expressions", expressions(model, units)),
        (f"identity modes, {SPREADS:g} standard deviations either way", identities(model, people)),
        (f"albedo modes, {SPREADS:g} standard deviations either way", albedos(model, people)),
    )
    rows = [row for title, tiles in parts for row in _part(title, tiles)]
    return np.concatenate(rows)


def turntable(model: MorphableModel) -> list[Tile]:
    """The mean face from the person's right to their left."""
    resting = _shape(model)
    return [
        Tile(f"yaw {yaw:+.0f} deg", draw_head(model, resting, model.texture_mean, yaw))
        for yaw in YAWS_DEG
    ]


def overview(model: MorphableModel) -> list[Tile]:
    """What else a fit goes by: regions, landmarks, colours, the open mouth."""
    resting, opened = _shape(model), _shape(model, expression=model.open_mouth)
    plain = torch.zeros_like(model.texture_mean)
    for name in (name for name in REGION_COLOURS if name in model.regions):
        plain[model.regions[name]] = torch.tensor(REGION_COLOURS[name])
    marked = draw_head(model, resting, model.texture_mean)
    corners = model.triangles[model.landmark_triangles]
    points = (resting[corners] * model.landmark_weights[..., None]).sum(1)
    for x, y in _place(points, 0.0)[:, :2].numpy():
        cv2.circle(marked, (round(float(x)), round(float(y))), 1, (0, 255, 120), -1, cv2.LINE_AA)
    return [
        Tile("regions", draw_head(model, resting, plain, shaded=False)),
        Tile("landmarks", marked),
        Tile("albedo", draw_head(model, resting, model.texture_mean, shaded=False)),
        Tile("open mouth", draw_head(model, opened, model.texture_mean)),
        Tile("open mouth", draw_head(model, opened, model.texture_mean, 40.0)),
        Tile("regions open", draw_head(model, opened, plain, shaded=False)),
    ]


def expressions(model: MorphableModel, count: int) -> list[Tile]:
    """The first expressions: units at full, statistical modes either way."""
    amounts = (1.0,) if model.has_units else (-SPREADS, SPREADS)
    tiles = []
    for number, name in enumerate(model.expression_names[:count]):
        for amount in amounts:
            face = torch.zeros(len(model.expression_names))
            face[number] = amount
            label = name if model.has_units else f"{name} {amount:+g}"
            drawn = draw_head(model, _shape(model, expression=face), model.texture_mean)
            tiles.append(Tile(label, drawn))
    return tiles


def identities(model: MorphableModel, count: int) -> list[Tile]:
    """The first identity modes either way."""
    tiles = []
    for number in range(min(count, len(model.identity_basis))):
        for amount in (-SPREADS, SPREADS):
            person = torch.zeros(len(model.identity_basis))
            person[number] = amount
            drawn = draw_head(model, _shape(model, identity=person), model.texture_mean)
            tiles.append(Tile(f"identity {number} {amount:+g}", drawn))
    return tiles


def albedos(model: MorphableModel, count: int) -> list[Tile]:
    """The first albedo modes either way, unlit."""
    tiles = []
    resting = _shape(model)
    for number in range(min(count, len(model.texture_basis))):
        for amount in (-SPREADS, SPREADS):
            skin = torch.zeros(len(model.texture_basis))
            skin[number] = amount
            drawn = draw_head(model, resting, model.albedo(skin), shaded=False)
            tiles.append(Tile(f"albedo {number} {amount:+g}", drawn))
    return tiles


def draw_head(
    model: MorphableModel,
    vertices: Tensor,
    albedo: Tensor,
    yaw_deg: float = 0.0,
    shaded: bool = True,
) -> np.ndarray:
    """Draw one head into a tile.

    Args:
        model: for its triangles.
        vertices: (V, 3) mm, model frame.
        albedo: (V, 3) RGB in [0, 1].
        yaw_deg: how far it is turned; above 0 its left side comes into view.
        shaded: under a soft key light; else colours as they are.

    Returns:
        (TILE_PX, TILE_PX, 3) uint8 RGB.
    """
    placed = _place(vertices, yaw_deg)
    colours = albedo
    if shaded:
        normals = vertex_normals(_turn(vertices, yaw_deg), model.triangles)
        light = (sh_basis(normals) @ torch.tensor(LIGHT)).clamp_min(0.0)
        colours = albedo * light[:, None]
    triangles = model.triangles.numpy().astype(np.int32)
    seen = rasterize(placed.numpy()[None], triangles, TILE_PX, TILE_PX, cull_back=True)
    picture = interpolate(seen, triangles, colours.clamp(0, 1).numpy(), background=PAPER)[0]
    return (picture * 255).round().astype(np.uint8)


def _shape(
    model: MorphableModel, identity: Tensor | None = None, expression: Tensor | None = None
) -> Tensor:
    person = torch.zeros(len(model.identity_basis)) if identity is None else identity
    face = torch.zeros(len(model.expression_names)) if expression is None else expression
    return model.shape(person, face)


def _turn(vertices: Tensor, yaw_deg: float) -> Tensor:
    """Turn about the head's middle, which becomes the origin."""
    middle = vertices.new_tensor((0.0, MIDDLE_BELOW_EYES_MM, MIDDLE_BEHIND_EYES_MM))
    angles = vertices.new_tensor((0.0, np.deg2rad(yaw_deg), 0.0))
    return transform_points(vertices - middle, angles, torch.zeros(3))


def _place(vertices: Tensor, yaw_deg: float) -> Tensor:
    """(V, 3) x and y in px of the tile, depth in mm."""
    turned = _turn(vertices, yaw_deg) + vertices.new_tensor((0.0, 0.0, DISTANCE_MM))
    camera = Camera(TILE_PX * DISTANCE_MM / SHOWN_MM, TILE_PX, TILE_PX)
    return torch.cat((camera.project(turned), turned[:, 2:]), -1)


def _part(title: str, tiles: Sequence[Tile]) -> Iterable[np.ndarray]:
    """A title and rows of tiles, all of one width."""
    if not tiles:
        return
    yield _write(np.zeros((TITLE_PX, COLUMNS * TILE_PX, 3), np.uint8), title, 0.55)
    for first in range(0, len(tiles), COLUMNS):
        row = np.full((TILE_PX, COLUMNS * TILE_PX, 3), round(PAPER * 255), np.uint8)
        for column, tile in enumerate(tiles[first : first + COLUMNS]):
            labelled = _write(tile.picture.copy(), tile.label, 0.4)
            row[:, column * TILE_PX : (column + 1) * TILE_PX] = labelled
        yield row


def _write(picture: np.ndarray, text: str, scale: float) -> np.ndarray:
    place = (5, picture.shape[0] - 8)
    return cv2.putText(
        np.ascontiguousarray(picture), text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, INK, 1,
        cv2.LINE_AA,
    )  # fmt: skip
