"""The fitted face drawn over its footage, for the eye that is to judge the fit.

Colours say whose word a mark is: orange the fit's, blue the detector's. The two differ in
brightness as well, so that they stay apart for the colour-blind.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import torch
from torch import Tensor

from metatalk.landmarks.points import PointGroups, point_groups
from metatalk.morphable.camera import Camera
from metatalk.morphable.coefficients import PersonCoefficients, TrackCoefficients
from metatalk.morphable.lighting import shade
from metatalk.morphable.model import MorphableModel
from metatalk.morphable.normals import vertex_normals
from metatalk.morphable.pose import transform_points
from metatalk.render.backend import see_mesh
from metatalk.render.rasterize import Fragments, interpolate
from metatalk.shapes import check_shape

FIT, SEEN, WARNING = (255, 176, 0), (86, 180, 233), (255, 110, 60)  # RGB
MARGIN = 0.08  # of the face's size, left free around it in its window
GRID_MM = 10.0  # between the lines that lie on the skin
GRID_ALPHA = 0.28
EDGE_MM = 6.0  # a step in depth between two pixels: what is in front ends here
EDGE_ALPHA = 0.75
HALO_ALPHA = 0.45  # of the dark rim that keeps a line apart from any skin
FACING = 0.05  # minus the z of the normal from which on a landmark can be seen
THICKER_PX = 360  # one pixel of line width for so many pixels of face
PAPER = 0.18  # grey level around a face that is drawn alone
TO_VIEWER = np.array([1.0, -1.0, -1.0], np.float32)  # camera frame to x right, y up, z to us
_SHIFT = 4  # fractional bits of the coordinates that OpenCV is given


@dataclass(frozen=True)
class Window:
    """A part of the frame, and how large it is drawn."""

    left: int  # frame px
    top: int  # frame px
    right: int  # frame px, excluded
    bottom: int  # frame px, excluded
    scale: float = 1.0  # drawn pixels for a pixel of the frame

    @property
    def width(self) -> int:
        """Columns drawn."""
        return round((self.right - self.left) * self.scale)

    @property
    def height(self) -> int:
        """Rows drawn."""
        return round((self.bottom - self.top) * self.scale)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to draw in."""
        return self.width < 2 or self.height < 2

    def place(self, points: np.ndarray) -> np.ndarray:
        """Take (..., 2) points from frame px to drawn px."""
        corner = np.array([self.left, self.top], np.float32)
        return np.asarray((points - corner) * np.float32(self.scale))


@dataclass(frozen=True, eq=False)
class Patch:
    """Something to be blended over a picture, see `Picture.with_patch`."""

    rgb: np.ndarray  # (h, w, 3) float32 in [0, 1]
    alpha: np.ndarray  # (h, w) float32 in [0, 1]
    left: int  # px
    top: int  # px

    def __post_init__(self) -> None:
        check_shape("rgb", self.rgb, "h w 3", **check_shape("alpha", self.alpha, "h w"))

    def over(self, rgb: np.ndarray) -> np.ndarray:
        """Blend a patch that begins at a picture's first pixel over the (h, w, 3) uint8 RGB."""
        below = rgb.astype(np.float32)
        blended = below + self.alpha[..., None] * (255 * self.rgb - below)
        return np.rint(blended).astype(np.uint8)


@dataclass(frozen=True, eq=False)
class Sight:
    """One frame's fitted face as it appears in a window."""

    window: Window
    fragments: Fragments  # one picture
    normals: Tensor  # (V, 3) camera frame
    landmarks: np.ndarray  # (L, 2) drawn px, on the mesh
    facing: np.ndarray  # (L,) bool: landmarks on skin that looks at the camera
    px_per_mm: float  # drawn pixels on a millimetre at the face's depth


@dataclass(frozen=True, eq=False)
class FacePainter:
    """Draws one fitted person; what all frames share is worked out once."""

    model: MorphableModel
    person: PersonCoefficients
    camera: Camera
    backend: str = "numba"

    @cached_property
    def groups(self) -> PointGroups:
        """Names of the landmarks."""
        return point_groups(self.model.landmark_layout)

    @cached_property
    def _neutral(self) -> Tensor:
        return self.model.neutral(self.person.identity)

    @cached_property
    def _albedo(self) -> Tensor:
        return self.model.albedo(self.person.texture)

    @cached_property
    def _kinds(self) -> np.ndarray:
        """(F,) int: 0 triangles of the face, 1 of other skin, 2 of eyes, teeth and the like."""
        kinds = np.full(len(self.model.triangles), 2)
        kinds[self.model.region_triangles("skin").numpy()] = 1
        kinds[self.model.region_triangles("face", "lower_face", "lips").numpy()] = 0
        return kinds

    @cached_property
    def _triangles(self) -> np.ndarray:
        """(F, 3) int32: those of the face, then other skin, then the rest."""
        order = np.argsort(self._kinds, kind="stable")
        return np.ascontiguousarray(self.model.triangles.numpy()[order], np.int32)

    def window(self, row: TrackCoefficients, scale: float = 1.0, margin: float = MARGIN) -> Window:
        """The part of the frame that the face fills.

        Args:
            row: (1) the frame.
            scale: drawn pixels for a pixel of the frame.
            margin: left free around it, of its size.

        Returns:
            The window, inside the picture; empty where the face is outside. Its edges are even,
            so that a patch of it begins where colour samples begin.
        """
        face = self._vertices(row)[self.model.regions["face"]]
        if not bool((face[:, 2] > 1.0).all()):
            return Window(0, 0, 0, 0, scale)
        pixels = self.camera.project(face).numpy()
        low, high = pixels.min(0), pixels.max(0)
        reach = margin * float((high - low).max())
        limit = (self.camera.width, self.camera.height)
        left, top = (int(np.clip(low[i] - reach, 0, limit[i])) // 2 * 2 for i in (0, 1))
        right, bottom = (int(np.clip(np.ceil(high[i] + reach), 0, limit[i])) for i in (0, 1))
        return Window(left, top, max(left, right), max(top, bottom), scale)

    def look(self, row: TrackCoefficients, window: Window) -> Sight:
        """See one frame's face in a window.

        Args:
            row: (1) the frame.
            window: not empty.

        Returns:
            What the drawing functions take.
        """
        vertices = self._vertices(row)
        normals = vertex_normals(vertices, self.model.triangles)
        pixels = window.place(self.camera.project(vertices).numpy())
        points = np.concatenate([pixels, vertices[:, 2:].numpy()], 1)[None]
        fragments = see_mesh(
            self.backend, points, self._triangles, window.height, window.width, cull_back=True
        )
        corners = self.model.triangles[self.model.landmark_triangles]  # (L, 3)
        weights = self.model.landmark_weights[..., None]
        on_mesh = self.camera.project((vertices[corners] * weights).sum(1)).numpy()
        return Sight(
            window,
            fragments,
            normals,
            window.place(on_mesh),
            ((normals[corners] * weights).sum(1)[:, 2] < -FACING).numpy(),
            window.scale * self.camera.focal_px / float(row.translation[0, 2]),
        )

    def draw_marks(self, sight: Sight, seen: np.ndarray | None = None) -> Patch:
        """Draw a grid on the skin, the face's outlines and the features' contours.

        Args:
            sight: the face.
            seen: (L, 2) the detector's landmarks, frame px; None: none are drawn.

        Returns:
            The patch, for a picture drawn at the window's scale.
        """
        shape = sight.fragments.triangle.shape[1:]
        rgb = np.full((*shape, 3), 255, np.uint8)
        alpha = self._grid(sight)
        edges = _edges(sight.fragments.depth[0]) & self._shows(sight, 1)
        rgb[edges] = FIT
        alpha = np.maximum(alpha, np.uint8(255 * EDGE_ALPHA) * edges)
        thickness = self._thickness(sight)
        segments = list(self._contours(sight))
        _draw_segments(rgb, alpha, segments, FIT, thickness)
        if seen is not None:
            dots = sight.window.place(seen[self._named])
            _draw_dots(rgb, alpha, dots[np.isfinite(dots).all(1)], SEEN, thickness)
        return Patch(
            rgb.astype(np.float32) / 255,
            alpha.astype(np.float32) / 255,
            round(sight.window.left * sight.window.scale),
            round(sight.window.top * sight.window.scale),
        )

    def draw_shaded(self, sight: Sight, lighting: Tensor) -> np.ndarray:
        """Draw the face alone, in its own colours under its light.

        Args:
            sight: the face.
            lighting: (3, 9) SH bands 0-2 for R, G, B.

        Returns:
            (h, w, 3) uint8 RGB.
        """
        return self._alone(sight, shade(self._albedo, sight.normals, lighting).numpy())

    def draw_normals(self, sight: Sight) -> np.ndarray:
        """Draw the directions of the skin: (h, w, 3) uint8, red right, green up, blue to us."""
        return self._alone(sight, 0.5 + 0.5 * sight.normals.numpy() * TO_VIEWER)

    def _alone(self, sight: Sight, colours: np.ndarray) -> np.ndarray:
        picture = interpolate(sight.fragments, self._triangles, colours, background=PAPER)[0]
        # Rounds and saturates, several times as fast as numpy does.
        return np.asarray(cv2.convertScaleAbs(np.maximum(picture, 0, out=picture), alpha=255.0))

    def _vertices(self, row: TrackCoefficients) -> Tensor:
        """(V, 3) mm, camera frame."""
        moved = torch.tensordot(row.expression[0], self.model.expression_basis, dims=1)
        return transform_points(self._neutral + moved, row.rotation[0], row.translation[0])

    def _grid(self, sight: Sight) -> np.ndarray:
        """(h, w) uint8: lines on the skin that stay where they are on the mean face."""
        fragments = sight.fragments
        places = interpolate(fragments, self._triangles, self.model.mean[:, :2].numpy())[0]
        places *= np.float32(1 / GRID_MM)
        phase = np.abs(places - np.rint(places))  # 0 on a line
        apart_px = np.minimum(phase[..., 0], phase[..., 1]) * np.float32(GRID_MM * sight.px_per_mm)
        strength = np.clip(np.float32(1.2) - apart_px, 0, 1) * np.float32(255 * GRID_ALPHA)
        return (strength * self._shows(sight, 0)).astype(np.uint8)

    def _shows(self, sight: Sight, kind: int) -> np.ndarray:
        """(h, w) bool: pixels that show a triangle of this kind or of one before it."""
        triangle = sight.fragments.triangle[0]
        return (triangle >= 0) & (triangle < np.count_nonzero(self._kinds <= kind))

    def _thickness(self, sight: Sight) -> int:
        face_px = np.ptp(sight.landmarks[list(self.groups.jaw)], axis=0).max()
        return max(1, round(float(face_px) / THICKER_PX))

    @cached_property
    def _named(self) -> list[int]:
        groups = self.groups
        named = (*groups.lips, *groups.eyes, *groups.brows, *groups.nose, *groups.jaw)
        return sorted(set(named))

    def _contours(self, sight: Sight) -> Iterator[np.ndarray]:
        """(2, 2) drawn px: the parts of the contours that lie on visible skin."""
        groups = self.groups
        for ring in (groups.lips_outer, groups.lips_inner, groups.right_eye, groups.left_eye):
            yield from _segments(sight, (*ring, ring[0]))
        for line in (groups.right_brow, groups.left_brow, groups.nose_bridge, groups.nose_base):
            yield from _segments(sight, line)
        yield from _segments(sight, groups.jaw)


def draw_label(lines: Sequence[str], scale: float, warning: bool = False) -> Patch:
    """Write lines of text into the picture's upper left corner.

    Args:
        lines: ASCII.
        scale: 1 is a letter of about 22 px.
        warning: in the colour of warnings, with a bar of it at the side.

    Returns:
        The patch, with its own dark ground.
    """
    font, thickness = cv2.FONT_HERSHEY_SIMPLEX, max(1, round(1.6 * scale))
    step, pad = round(34 * scale), round(12 * scale)
    wide = max(cv2.getTextSize(line, font, scale, thickness)[0][0] for line in lines)
    rgb = np.zeros((step * len(lines) + pad, wide + 2 * pad, 3), np.uint8)
    for number, line in enumerate(lines):
        colour = WARNING if warning and number else (255, 255, 255)
        at = (pad, round(step * (number + 0.85)))
        cv2.putText(rgb, line, at, font, scale, colour, thickness, cv2.LINE_AA)
    if warning:
        rgb[:, : max(2, pad // 2)] = WARNING
    alpha = np.maximum(np.float32(0.6), rgb.max(-1).astype(np.float32) / 255)
    return Patch(rgb.astype(np.float32) / 255, alpha, 0, 0)


def _segments(sight: Sight, line: Sequence[int]) -> Iterator[np.ndarray]:
    chosen = list(line)
    places, facing = sight.landmarks[chosen], sight.facing[chosen]
    for i in range(len(chosen) - 1):
        if facing[i] and facing[i + 1]:
            yield places[i : i + 2]


def _edges(depth: np.ndarray) -> np.ndarray:
    """(h, w) bool: pixels of a surface that something farther away, or nothing, adjoins."""
    edges = np.zeros(depth.shape, bool)
    solid = np.where(np.isfinite(depth), depth, np.float32(1e9))
    across, down = np.diff(solid, axis=1), np.diff(solid, axis=0)
    edges[:, :-1] |= across > EDGE_MM
    edges[:, 1:] |= across < -EDGE_MM
    edges[:-1] |= down > EDGE_MM
    edges[1:] |= down < -EDGE_MM
    return edges


def _draw_segments(
    rgb: np.ndarray, alpha: np.ndarray, segments: list[np.ndarray],
    colour: tuple[int, int, int], thickness: int,
) -> None:  # fmt: skip
    if not segments:
        return
    lines = list(_fixed(np.stack(segments)))
    for width, ink, cover in ((thickness + 2, (0, 0, 0), HALO_ALPHA), (thickness, colour, 1.0)):
        strength = (int(255 * cover),)
        cv2.polylines(rgb, lines, False, ink, width, cv2.LINE_AA, _SHIFT)
        cv2.polylines(alpha, lines, False, strength, width, cv2.LINE_AA, _SHIFT)


def _draw_dots(
    rgb: np.ndarray, alpha: np.ndarray, dots: np.ndarray,
    colour: tuple[int, int, int], thickness: int,
) -> None:  # fmt: skip
    radius = round((0.3 + 0.7 * thickness) * (1 << _SHIFT))
    for x, y in _fixed(dots).tolist():
        cv2.circle(rgb, (x, y), radius, colour, cv2.FILLED, cv2.LINE_AA, _SHIFT)
        cv2.circle(alpha, (x, y), radius, (255,), cv2.FILLED, cv2.LINE_AA, _SHIFT)


def _fixed(points: np.ndarray) -> np.ndarray:
    """Drawn px as OpenCV takes them: fixed point, centres of pixels at integers."""
    return np.rint((points - 0.5) * (1 << _SHIFT)).astype(np.int32)
