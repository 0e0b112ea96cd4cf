"""Texture of one frame, carried by the mesh into the pose and the expression of another.

Skin is carried where the mesh says that both frames show it. The inside of an open mouth is
carried as if it were stretched between the lips, see `membrane`, where both mouths are open.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import torch
from numba import njit
from torch import Tensor

from metatalk.morphable.coefficients import TrackCoefficients
from metatalk.morphable.lighting import shade
from metatalk.morphable.model import MorphableModel
from metatalk.render.backend import see_mesh
from metatalk.render.lower_face import box_around, drawn_normals, paint, project_to_crop
from metatalk.render.membrane import Membrane, mouth_membrane
from metatalk.render.rasterize import Box, Fragments
from metatalk.render.scene import Scene
from metatalk.render.trust import spread_px, trust_kept
from metatalk.render.warp import CarryMap, trace_back
from metatalk.shapes import check_shape

MARGIN_PX = 4  # around what is looked at
GRAZING = (0.15, 0.4)  # cosines of the angle of sight: not believed up to, wholly from
CHANNELS = 4  # RGB and how far it is to be believed
_GAP_SHARE = 0.002  # of the crop: larger ones are no gaps, and the network has to draw them
_GAP_REACH_PX = 2


@dataclass(frozen=True, eq=False)
class Surface:
    """The triangles of a head in the order in which they are rasterised."""

    faces: np.ndarray  # (F, 3) int32: skin of the lower face, inside of the mouth, all else
    skin: int  # so many of them are skin of the lower face
    shown: int  # so many of them are drawn: skin and the inside of the mouth
    membrane: Membrane
    strip: np.ndarray  # (M, 3) int32 triangles of the membrane


@dataclass(frozen=True, eq=False)
class Look:
    """What B crops show of a head."""

    vertices: Tensor  # (B, V, 3) mm, camera frame
    points: np.ndarray  # (B, V + R, 3) x and y in crop px, depth in mm; the inner lips last
    seen: Fragments

    def take(self, rows: np.ndarray) -> Look:
        """Some of the crops; the same may be taken more than once."""
        seen = Fragments(self.seen.triangle[rows], self.seen.weights[rows], self.seen.depth[rows])
        return Look(self.vertices[torch.from_numpy(rows)], self.points[rows], seen)


def surface_of(scene: Scene) -> Surface:
    """Sort a scene's triangles; done once for each face model."""
    return _surface_of(scene.model)


@lru_cache(maxsize=4)
def _surface_of(model: MorphableModel) -> Surface:
    skin = model.region_triangles("lower_face", "lips")
    drawn = model.region_triangles("lower_face", "lips", "inner_mouth")
    inside = drawn[~torch.isin(drawn, skin)]
    every = torch.arange(len(model.triangles))
    rest = every[~torch.isin(every, drawn)]
    order = torch.cat((skin, inside, rest))
    membrane = mouth_membrane(model)
    as_faces = lambda triangles: np.ascontiguousarray(triangles.numpy(), dtype=np.int32)  # noqa: E731
    return Surface(
        as_faces(model.triangles[order]),
        len(skin),
        len(drawn),
        membrane,
        as_faces(membrane.triangles),
    )


def look_at(
    scene: Scene,
    track: TrackCoefficients,
    transforms: np.ndarray,
    mask: np.ndarray | None = None,
    threads: int | None = None,
    weighted: bool = True,
) -> Look:
    """Rasterise a face into its crops, as far as the lower face and the mask reach.

    Args:
        scene: the actor before the camera that filmed the track.
        track: (B) the face.
        transforms: (B, 2, 3) frame px to crop px.
        mask: (B, S, S) uint8, what else is wanted; None: nothing.
        threads: at most this many at once on the processor; None means one for each core.
        weighted: whether the fragments' weights are wanted: of a face that is carried from,
            they are not.

    Returns:
        What is seen.
    """
    surface, vertices = surface_of(scene), scene.vertices(track)
    corners = torch.cat((vertices, surface.membrane.ring(vertices)), 1)
    points = project_to_crop(corners, scene.camera, transforms)
    box = _box(points, surface.faces[: surface.shown], mask)
    size, faces = scene.size, surface.faces
    seen = see_mesh(scene.backend, points, faces, size, size, True, None, threads, weighted, box)
    return Look(vertices, points, seen)


def _box(points: np.ndarray, shown: np.ndarray, mask: np.ndarray | None) -> Box:
    """What holds the lower faces and the masks: nothing else is looked at."""
    boxes = [box_around(points, shown)]
    if mask is not None and mask.any():
        rows, columns = np.flatnonzero(mask.any((0, 2))), np.flatnonzero(mask.any((0, 1)))
        boxes.append((int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1))
    left, top, right, bottom = zip(*boxes, strict=True)
    return (
        min(left) - MARGIN_PX,
        min(top) - MARGIN_PX,
        max(right) + MARGIN_PX,
        max(bottom) + MARGIN_PX,
    )


def paint_surface(
    scene: Scene, look: Look, lighting: Tensor, threads: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Paint the synthetic lower face and its geometry.

    Args:
        scene: the actor.
        look: (B) what is seen.
        lighting: (B, 3, 9) spherical harmonics.
        threads: at most this many at once on the processor; None means one for each core.

    Returns:
        (B, S, S, 3) uint8 the shaded lower face, and (B, S, S, 3) uint8 its normals in the
        camera's frame, -1..1 as 0..255; both black elsewhere.
    """
    surface = surface_of(scene)
    faces = surface.faces[: surface.shown]
    normals = drawn_normals(look.vertices, scene.model, scene.drawn)
    colour = shade(scene.albedo, normals, lighting).numpy()
    return (
        paint(look.seen, faces, colour, threads),
        paint(look.seen, faces, (normals.numpy() + 1) / 2, threads),
    )


def carry_skin(scene: Scene, new: Look, old: Look, threads: int | None = None) -> CarryMap:
    """Find the skin of some faces in the crops of others; nothing is found inside the mouth.

    Args:
        scene: whose surface both show.
        new: (B) the faces to be shown.
        old: (B) those to carry from.
        threads: at most this many at once on the processor; None means one for each core.

    Returns:
        Where in the old crops the new ones' skin lies.
    """
    surface = surface_of(scene)
    outside = np.where(_is_inside(new.seen, surface), np.int32(-1), new.seen.triangle)
    skin = Fragments(outside, new.seen.weights, new.seen.depth)
    return trace_back(skin, surface.faces, old.points, old.seen.depth, threads=threads)


def carry_mouth(scene: Scene, new: Look, old: Look, threads: int | None = None) -> CarryMap:
    """As `carry_skin`, with the inside of the mouth where both mouths are open."""
    surface, skin = surface_of(scene), carry_skin(scene, new, old, threads)
    if not len(surface.strip):
        return skin
    size = scene.size
    # All that the membrane may show lies in a small box; on its right and lower side, the picture
    # may end before it does.
    left, top, right, bottom = box_around(new.points, surface.strip)
    box = (max(left, 0), max(top, 0), max(right, 0), max(bottom, 0))
    strip = see_mesh(
        scene.backend, new.points, surface.strip, size, size, True, None, threads, True, box
    )
    here = np.s_[:, box[1] : box[3], box[0] : box[2]]
    shown = np.where(_is_open(new.seen.triangle[here], surface), strip.triangle[here], np.int32(-1))
    fragments = Fragments(shown, np.ascontiguousarray(strip.weights[here]), strip.depth[here])
    depth = np.where(_is_open(old.seen.triangle, surface), np.float32(np.inf), np.float32(-np.inf))
    mouth = trace_back(fragments, surface.strip, old.points, depth, threads=threads)
    source, valid = skin.source.copy(), skin.valid.copy()
    source[here] = np.where(valid[here][..., None], source[here], mouth.source)
    between = np.zeros_like(valid)
    between[here] = mouth.valid & ~valid[here]
    return CarryMap(source, valid | between, between)


def fetch_texture(
    pictures: np.ndarray, carried: CarryMap, geometry: np.ndarray | None = None
) -> np.ndarray:
    """Carry the pixels.

    Args:
        pictures: (B, S, S, 3) uint8, the crops to carry from.
        carried: from `carry_skin` or `carry_mouth`.
        geometry: (B, S, S, 3) uint8, from `paint_surface`; where given, skin that is seen at a
            grazing angle is not believed. The mesh is a little wider or narrower than the
            head: from another pose, what lies behind the head would come along.

    Returns:
        (B, S, S, 4) uint8: RGB, black where nothing is known but in gaps of the skin so small
        that what surrounds them tells it, and how far it is to be believed, 0 in those gaps, see
        `trust.trust_kept`.

    Raises:
        ShapeError: an argument is not shaped as documented.
    """
    sizes = check_shape("pictures", pictures, "B S S 3")
    check_shape("source", carried.source, "B S S 2", **sizes)
    texture = np.zeros((*carried.valid.shape, CHANNELS), np.uint8)
    if geometry is None:
        geometry = np.zeros_like(pictures)  # nothing is drawn: nothing is seen to turn away
    for number, picture in enumerate(pictures):
        box = _known_box(carried.valid[number])
        if box is not None:
            here = (number, *box)
            between = None if carried.between is None else carried.between[here]
            texture[here] = _fetch_box(picture, carried.source[here], geometry[here], between)
            _close_gaps(texture[number], carried.valid[number], geometry[number])
    return texture


def _close_gaps(texture: np.ndarray, valid: np.ndarray, geometry: np.ndarray) -> None:
    """Carry skin on, in place, over small gaps: a network draws black specks as it is shown them.

    Below a mouth that was filmed wide open, skin that the lower lip hid lies in such gaps.
    """
    unknown = ~valid & geometry.any(-1)
    if not unknown.any():
        return
    _, labels, told, _ = cv2.connectedComponentsWithStats(unknown.view(np.uint8), connectivity=8)
    is_gap = told[:, cv2.CC_STAT_AREA] < _GAP_SHARE * unknown.size
    is_gap[0] = False  # all that is known
    gaps = is_gap[labels].astype(np.uint8)
    if gaps.any():
        colours = np.ascontiguousarray(texture[..., :3])
        texture[..., :3] = cv2.inpaint(colours, gaps, _GAP_REACH_PX, cv2.INPAINT_TELEA)


def _known_box(valid: np.ndarray) -> tuple[slice, slice] | None:
    """What trust may reach of a map, rows and columns; None where nothing is known."""
    left, top, width, height = cv2.boundingRect(np.ascontiguousarray(valid).view(np.uint8))
    if not width:
        return None
    spread = spread_px(len(valid))
    return (
        slice(max(top - spread, 0), top + height + spread),
        slice(max(left - spread, 0), left + width + spread),
    )


def _fetch_box(
    picture: np.ndarray, source: np.ndarray, geometry: np.ndarray, between: np.ndarray | None
) -> np.ndarray:
    """(h, w, 4) uint8: the texture of one box, see `fetch_texture`."""
    source = np.ascontiguousarray(source)
    where = np.empty((2, *source.shape[:2]), np.float32)
    _aim(source, where)
    # In floats: OpenCV's cubic is faster on them than on bytes.
    pixels = cv2.remap(
        picture.astype(np.float32), where[0], where[1], cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    trust = trust_kept(source, len(picture))
    if between is not None and between.any():
        # Teeth are small and stretch with the lips' distance: what is seen of them is better than
        # anything drawn from memory, and the network has its own say in how much of it shows.
        trust = np.maximum(trust, cv2.blur(between.astype(np.float32), (3, 3)))
    texture = np.zeros((*trust.shape, CHANNELS), np.uint8)
    _store(pixels, trust, source, np.ascontiguousarray(geometry), GRAZING, texture)
    return texture


@njit(cache=True, nogil=True)
def _aim(source: Any, where: Any) -> None:
    """Places as OpenCV counts them, with pixel centres at whole numbers."""
    half, nowhere = np.float32(0.5), np.float32(2)  # any place that is fetched cheaply
    for row in range(source.shape[0]):
        for column in range(source.shape[1]):
            x, y = source[row, column, 0], source[row, column, 1]
            known = not np.isnan(x)
            where[0, row, column] = x - half if known else nowhere
            where[1, row, column] = y - half if known else nowhere


@njit(cache=True, nogil=True)
def _store(pixels: Any, trust: Any, source: Any, geometry: Any, grazing: Any, texture: Any) -> None:
    """Round, blacken what is not known, and trust no surface that is seen at a grazing angle."""
    level, middle = np.float32(255), np.float32(127.5)
    start, span = np.float32(grazing[0]), np.float32(grazing[1] - grazing[0])
    for row in range(texture.shape[0]):
        for column in range(texture.shape[1]):
            if not np.isnan(source[row, column, 0]):
                for channel in range(3):
                    value = min(max(pixels[row, column, channel], np.float32(0)), level)
                    texture[row, column, channel] = np.uint8(np.rint(value))
            share = trust[row, column]
            normal = geometry[row, column]
            if normal[0] or normal[1] or normal[2]:
                towards = (middle - np.float32(normal[2])) / middle
                share *= min(max((towards - start) / span, np.float32(0)), np.float32(1))
            texture[row, column, 3] = np.uint8(np.rint(share * level))


def _is_open(triangle: np.ndarray, surface: Surface) -> np.ndarray:
    """(B, h, w) bool: pixels that show the inside of the mouth, or nothing."""
    return (triangle < surface.shown) & ((triangle >= surface.skin) | (triangle < 0))


def _is_inside(seen: Fragments, surface: Surface) -> np.ndarray:
    """(B, S, S) bool: pixels that show the inside of the mouth."""
    return (seen.triangle >= surface.skin) & (seen.triangle < surface.shown)
