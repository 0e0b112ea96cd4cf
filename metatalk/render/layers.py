"""What can be drawn of a head in a whole frame: shaded, lower face, normals, UV, depth, mask.

Only the box that the head fills is drawn; a layer knows where in the frame it lies. How each kind
is written for the eye and for other programs stands in `layer_values`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from metatalk.errors import ShapeError
from metatalk.morphable.coefficients import TrackCoefficients
from metatalk.morphable.lighting import shade
from metatalk.morphable.normals import vertex_normals
from metatalk.render.backend import see_mesh
from metatalk.render.crops import crop_sides
from metatalk.render.lower_face import see_triangles, solid_mask
from metatalk.render.rasterize import NEAR_MM, Fragments, interpolate
from metatalk.render.scene import GROWTH_AT_PX, MASK_OPEN, Scene
from metatalk.shapes import check_shape

LAYERS = ("shaded", "lower", "normals", "uv", "depth", "mask")
EYE_LEVEL_MM = 30.0  # above and below the eyes: a slice with neither chin nor shoulders in it
AXIS_BEHIND = (
    0.75  # widths of the head from its front to the axis: nearer, it would leave the throat behind
)


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer of one frame, within a box."""

    name: str  # one of LAYERS
    values: np.ndarray  # (h, w, C) float32, see `FrameLayers`; 0 where nothing is covered
    covered: np.ndarray  # (h, w) bool
    left: int  # column of the box's first pixel in the frame
    top: int  # row of the box's first pixel in the frame

    def __post_init__(self) -> None:
        sizes = check_shape("covered", self.covered, "h w")
        check_shape("values", self.values, "h w C", **sizes)

    def in_frame(self, values: np.ndarray, height: int, width: int) -> np.ndarray:
        """Put values of the box's pixels into a whole frame of zeros.

        Args:
            values: (h, w, ...) one for each pixel of the box.
            height: rows of the frame.
            width: columns of the frame.

        Returns:
            (height, width, ...) of the same kind.
        """
        frame = np.zeros((height, width, *values.shape[2:]), values.dtype)
        rows, columns = values.shape[:2]
        frame[self.top : self.top + rows, self.left : self.left + columns] = values
        return frame


@dataclass(frozen=True)
class Cylinder:
    """The upright cylinder about a head that UV coordinates are told on; model frame, mm."""

    x: float  # of the axis
    z: float  # of the axis
    top: float  # the y at which v is 1
    bottom: float  # the y at which v is 0

    def uv(self, points: np.ndarray) -> np.ndarray:
        """Unroll points: u grows to the right in the picture, v upwards.

        Args:
            points: (..., 3) mm, model frame.

        Returns:
            (..., 2) in [0, 1]; u is 0.5 where the head looks to, and 0 and 1 meet behind it.
        """
        angle = np.arctan2(points[..., 0] - self.x, self.z - points[..., 2])
        up = (self.bottom - points[..., 1]) / (self.bottom - self.top)
        return np.clip(np.stack([0.5 + angle / (2 * np.pi), up], -1), 0.0, 1.0)


def empty_layer(name: str) -> Layer:
    """A layer of a frame in which there is no face."""
    channels = {"uv": 2, "depth": 1, "mask": 1}.get(name, 3)
    return Layer(name, np.zeros((0, 0, channels), np.float32), np.zeros((0, 0), bool), 0, 0)


def measure_cylinder(mean: Tensor) -> Cylinder:
    """Lay a cylinder about a model's mean face.

    The axis runs through a whole head about where its spine meets the skull, told by the head's
    width at the height of the eyes, and so behind a model that is only a face.

    Args:
        mean: (V, 3) mm, model frame.

    Returns:
        The cylinder.
    """
    check_shape("mean", mean, "V 3")
    points = mean.numpy()
    level = points[np.abs(points[:, 1]) < EYE_LEVEL_MM]
    level = level if len(level) else points
    left, right = level[:, 0].min(), level[:, 0].max()
    front, top, bottom = level[:, 2].min(), points[:, 1].min(), points[:, 1].max()
    return Cylinder(
        float(left + right) / 2,
        float(front + AXIS_BEHIND * (right - left)),
        float(top),
        float(bottom),
    )


def mouth_sides(scene: Scene, track: TrackCoefficients, margin: float) -> np.ndarray:
    """How many pixels of the frame the crop about the lower face spans: the scale of masks.

    Args:
        scene: the person before the camera.
        track: (T) the frames.
        margin: of the crop, see `crops.measure_layout`.

    Returns:
        (T,) px; NaN without a face.

    Raises:
        ShapeError: no frame has a face.
    """
    layout = scene.measure_layout(track, margin)
    whole = np.array([[0, len(track)]])
    return crop_sides(scene.transforms(track, layout, 0.0, whole), scene.size)


class FrameLayers:
    """Draws the layers of one frame; what several of them need is worked out once.

    The values: shaded and lower are RGB as the footage's; normals (x, y, z) are unit vectors and
    depth is in mm, both of the camera frame; uv is told by `Cylinder`; mask is 1.

    Args:
        scene: the person before the camera.
        track: (1) the frame.
        side_px: frame px that the crop about the lower face spans, see `mouth_sides`.
    """

    def __init__(self, scene: Scene, track: TrackCoefficients, side_px: float) -> None:
        if len(track) != 1:
            raise ShapeError(f"layers are drawn of one frame, not of {len(track)}")
        self.scene, self.track, self.side_px = scene, track, side_px

    def draw(self, names: Collection[str]) -> dict[str, Layer]:
        """Draw some layers.

        Args:
            names: some of LAYERS.

        Returns:
            The layers by name, in the order of `names`.
        """
        return {name: getattr(self, f"_{name}") for name in names}

    @cached_property
    def _vertices(self) -> Tensor:
        """(1, V, 3) mm, camera frame."""
        return self.scene.vertices(self.track)

    @cached_property
    def _triangles(self) -> np.ndarray:
        return self.scene.model.triangles.numpy().astype(np.int32)

    @cached_property
    def _box(self) -> tuple[int, int, int, int]:
        return self._box_around(self._points(self._vertices), 0)

    @cached_property
    def _seen(self) -> Fragments:
        left, top, right, bottom = self._box
        corner = np.array([left, top, 0], np.float32)
        points: np.ndarray = self._points(self._vertices) - corner
        return see_mesh(
            self.scene.backend, points, self._triangles, bottom - top, right - left, cull_back=True
        )

    @cached_property
    def _vertex_normals(self) -> Tensor:
        return vertex_normals(self._vertices, self.scene.model.triangles)

    @cached_property
    def _shaded(self) -> Layer:
        colour = shade(self.scene.albedo, self._vertex_normals, self.track.lighting)
        return self._spread("shaded", colour[0])

    @cached_property
    def _lower(self) -> Layer:
        # The whole head hides what lies behind it, so this is a part of what is seen of it.
        drawn = np.zeros(len(self._triangles) + 1, bool)  # the last is for no triangle, -1
        drawn[self.scene.drawn.numpy()] = True
        part = drawn[self._seen.triangle[0]]
        values = np.where(part[..., None], self._shaded.values, np.float32(0))
        return self._layer("lower", values, part)

    @cached_property
    def _normals(self) -> Layer:
        spread = self._spread("normals", self._vertex_normals[0])
        length = np.linalg.norm(spread.values, axis=-1, keepdims=True)
        return self._layer("normals", spread.values / np.maximum(length, 1e-6), spread.covered)

    @cached_property
    def _uv(self) -> Layer:
        # Unrolled at each pixel and not at the vertices: there a triangle behind the head would
        # have u near 0 at one corner and near 1 at another.
        spread = self._spread("uv", self.scene.model.mean)
        cylinder, covered = measure_cylinder(self.scene.model.mean), spread.covered
        unrolled = np.zeros((*covered.shape, 2), np.float32)
        unrolled[covered] = cylinder.uv(spread.values[covered])
        return self._layer("uv", unrolled, covered)

    @cached_property
    def _depth(self) -> Layer:
        covered = self._seen.covered[0]
        depth = np.where(covered, self._seen.depth[0], np.float32(0))
        return self._layer("depth", depth[..., None], covered)

    @cached_property
    def _mask(self) -> Layer:
        closed = torch.zeros_like(self.track.expression)
        wide = closed + MASK_OPEN * self.scene.model.open_mouth
        mouths = [
            self._points(self.scene.vertices(self.track.with_expression(mouth)))
            for mouth in (closed, wide)
        ]
        grow_px = max(1, round(self.scene.grow_px * self.side_px / GROWTH_AT_PX))
        skin = self._triangles[self.scene.skin.numpy()]
        both = np.concatenate(mouths)
        left, top, right, bottom = self._box_around(both[:, np.unique(skin)], grow_px)
        if left >= right or top >= bottom:
            return empty_layer("mask")
        fragments, _ = see_triangles(
            both - np.array([left, top, 0], np.float32),
            skin,
            (bottom - top, right - left),
            self._triangles[self.scene.occluders.numpy()],
            self.scene.backend,
        )
        covered = solid_mask(fragments.covered.any(0), grow_px) > 0
        return Layer("mask", covered[..., None].astype(np.float32), covered, left, top)

    def _points(self, vertices: Tensor) -> np.ndarray:
        """(1, V, 3) x and y in frame px, depth in mm."""
        pixels = self.scene.camera.project(vertices)
        return torch.cat((pixels, vertices[..., 2:]), -1).numpy()

    def _box_around(self, points: np.ndarray, reach_px: int) -> tuple[int, int, int, int]:
        """The part of the frame (left, top, right, bottom) that points may fill; maybe empty."""
        camera = self.scene.camera
        ahead = points[(points[..., 2] > NEAR_MM) & np.isfinite(points).all(-1)]
        if not len(ahead):
            return 0, 0, 0, 0
        low = np.floor(ahead.min(0)[:2]) - reach_px
        high = np.ceil(ahead.max(0)[:2]) + reach_px
        left, right = np.clip([low[0], high[0]], 0, camera.width).astype(int)
        top, bottom = np.clip([low[1], high[1]], 0, camera.height).astype(int)
        return int(left), int(top), int(right), int(bottom)

    def _spread(self, name: str, attributes: Tensor) -> Layer:
        """Carry (V, C) values from the vertices to the pixels."""
        values = interpolate(self._seen, self._triangles, attributes.numpy())[0]
        return self._layer(name, values, self._seen.covered[0])

    def _layer(self, name: str, values: np.ndarray, covered: np.ndarray) -> Layer:
        return Layer(name, values, covered, *self._box[:2])
