"""A face unrolled onto a grid: the same cell shows the same skin in every frame.

Colours are read at the cells' places in a small picture of the head, so that what a cell shows
can be compared with what it showed at other times, whatever the pose and the mouth.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from metatalk.errors import ShapeError
from metatalk.morphable.camera import Camera
from metatalk.morphable.coefficients import PersonCoefficients, TrackCoefficients
from metatalk.morphable.model import MorphableModel
from metatalk.morphable.normals import vertex_normals
from metatalk.morphable.pose import euler_to_matrix, transform_points
from metatalk.render.rasterize import rasterize
from metatalk.shapes import check_shape

SIDE = 48  # cells of the grid's side: half a centimetre of a face
WIDEST_RAD = 1.75  # cells lie this far round the head, from the middle to either side
BLUR_PX = 1.0  # of a picture with some three pixels a cell: noise and small misfits count less
FACING = 0.35  # least cosine of the angle of sight at which a cell is seen
WIDE = 0.7  # of the widest mouth: as wide as speech gets


@dataclass(frozen=True, eq=False)
class SurfaceGrid:
    """Where K cells of one person's face lie; cell k belongs to the grid's place `places[k]`."""

    places: np.ndarray  # (K,) numbers of the grid's squares, row by row
    lower: np.ndarray  # (K,) bool: skin and lips of the lower face
    lips: np.ndarray  # (K,) bool
    neutral: Tensor  # (K, 3) mm, model frame: the resting face
    wide: Tensor  # (K, 3) mm, model frame: the same with the mouth wide open
    basis: Tensor  # (E, K, 3) mm
    normals: Tensor  # (K, 3) of the resting face, model frame
    area: np.ndarray  # (K,) float32 mm2 of skin
    side: int = SIDE  # squares of the grid's side

    def __len__(self) -> int:
        return len(self.places)

    def spread(self, values: np.ndarray) -> np.ndarray:
        """(..., K) values of the cells to (..., side, side) pictures, 0 elsewhere."""
        picture = np.zeros((*values.shape[:-1], self.side * self.side), values.dtype)
        picture[..., self.places] = values
        return picture.reshape(*values.shape[:-1], self.side, self.side)

    def take(self, kept: np.ndarray) -> SurfaceGrid:
        """The same grid with the cells of (K,) bool alone."""
        rows = torch.from_numpy(kept)
        return SurfaceGrid(
            self.places[kept],
            self.lower[kept],
            self.lips[kept],
            self.neutral[rows],
            self.wide[rows],
            self.basis[:, rows],
            self.normals[rows],
            self.area[kept],
            self.side,
        )


def build_grid(model: MorphableModel, person: PersonCoefficients, side: int = SIDE) -> SurfaceGrid:
    """Unroll a person's face from a cylinder around the head.

    Args:
        model: the face model.
        person: whose face.
        side: squares of the grid's side.

    Returns:
        The grid.

    Raises:
        ShapeError: the model tells no skin of a face.
    """
    resting = model.neutral(person.identity)
    skin = _skin_triangles(model)
    points = _unroll(resting.numpy(), np.unique(skin), side)
    unrolled = points[skin]
    flat = np.ptp(unrolled[..., 0], axis=1) < side / 2  # none that closes the cylinder behind
    seen = rasterize(points[None], skin[flat], side, side)
    places = np.flatnonzero(seen.covered[0])
    if not len(places):
        raise ShapeError(f"the face model {model.source} tells no skin of a face")
    corners = torch.from_numpy(skin[flat][seen.triangle[0].ravel()[places]]).long()
    weights = torch.from_numpy(seen.weights[0].reshape(-1, 3)[places])[..., None]  # (K, 3, 1)
    lips = model.regions["lips"][corners].all(1)
    lower = (model.regions["lower_face"] | model.regions["lips"])[corners].all(1)
    normals = vertex_normals(resting, model.triangles)
    at_rest = (resting[corners] * weights).sum(-2)
    basis = (model.expression_basis[:, corners] * weights).sum(-2)
    mean = (normals[corners] * weights).sum(-2)
    return SurfaceGrid(
        places,
        lower.numpy(),
        lips.numpy(),
        at_rest,
        at_rest + torch.tensordot(WIDE * model.open_mouth, basis, dims=1),
        basis,
        mean / mean.norm(dim=-1, keepdim=True).clamp_min(1e-6),
        _areas(resting, corners, points[:, :2]),
        side,
    )


def _skin_triangles(model: MorphableModel) -> np.ndarray:
    """(F, 3) int32: the face without eyes and the mouth's inside."""
    every = model.region_triangles("face", "lips", "lower_face")
    inner = [
        name for name in ("eyes", "inner_mouth", "teeth", "tongue") if len(model.regions[name])
    ]
    hidden = torch.stack([model.regions[name] for name in inner]).any(0)
    corners = model.triangles[every]
    kept = corners[~hidden[corners].any(-1)]
    return np.ascontiguousarray(kept.numpy(), dtype=np.int32)


def _unroll(resting: np.ndarray, used: np.ndarray, side: int) -> np.ndarray:
    """(V, 3) mm to (V, 3): the angle round the head and the height as cells, and the depth."""
    face = resting[used]
    axis_z = face[:, 2].max()  # the ears' depth is near enough to the head's axis
    middle_x = (face[:, 0].min() + face[:, 0].max()) / 2
    across, deep = resting[:, 0] - middle_x, axis_z - resting[:, 2]
    angle = np.arctan2(across, np.maximum(deep, -1e3) + 1e-6)
    top, bottom = face[:, 1].min(), face[:, 1].max()
    x = (angle / WIDEST_RAD + 1) / 2 * side
    y = (resting[:, 1] - top) / max(bottom - top, 1e-6) * side
    depth = 1e3 - np.hypot(across, deep)  # the outermost is seen
    return np.stack([x, y, depth], -1).astype(np.float32)


def _areas(resting: Tensor, corners: Tensor, cells: np.ndarray) -> np.ndarray:
    """(K,) mm2 of skin that a cell stands for: its triangle's share of the grid undone."""
    a, b, c = resting[corners].unbind(1)
    skin = torch.linalg.cross(b - a, c - a).norm(dim=-1).numpy()
    one, two, three = (cells[corners[:, i].numpy()] for i in range(3))
    first, second = two - one, three - one
    grid = np.abs(first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0])
    area = skin / np.maximum(grid, 1e-3)
    return np.minimum(area, 4 * np.median(area)).astype(np.float32)


def place_cells(grid: SurfaceGrid, track: TrackCoefficients, camera: Camera) -> np.ndarray:
    """Where the cells lie: (T, K, 2) float32 frame px; whatever, where there is no face."""
    shape = grid.neutral + torch.tensordot(track.expression, grid.basis, dims=1)
    return _project(shape, track, camera)


def place_painted(grid: SurfaceGrid, track: TrackCoefficients, camera: Camera) -> np.ndarray:
    """Where what may be painted over ends: (T, P, 2) float32 frame px, points around it.

    They are the lower face's cells with the mouth closed and with it as wide open as speech gets.
    """
    lower = torch.from_numpy(grid.lower)
    ends = torch.cat((grid.neutral[lower], grid.wide[lower]))
    return _project(ends.expand(len(track), -1, -1), track, camera)


def _project(shape: Tensor, track: TrackCoefficients, camera: Camera) -> np.ndarray:
    placed = transform_points(shape, track.rotation, track.translation)
    pixels: np.ndarray = camera.project(placed).numpy().astype(np.float32)
    return pixels


def facing(grid: SurfaceGrid, track: TrackCoefficients) -> np.ndarray:
    """How far each cell looks at the camera.

    Args:
        grid: K cells.
        track: T frames.

    Returns:
        (T, K, 3) float32 unit normals of the resting face in the camera's frame: minus their z
        is about the cosine of the angle of sight.
    """
    turned: np.ndarray = (grid.normals @ euler_to_matrix(track.rotation).mT).numpy()
    return turned


def read_colours(head: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Read what cells show.

    Args:
        head: (S, S, 3) uint8 RGB.
        cells: (K, 2) px of that picture.

    Returns:
        (K, 3) uint8.
    """
    check_shape("head", head, "S S 3")
    soft = cv2.GaussianBlur(head, (0, 0), BLUR_PX)
    x, y = (cells.astype(np.float32) - 0.5).T  # OpenCV: centres at whole numbers
    grid_x, grid_y = np.ascontiguousarray(x)[None], np.ascontiguousarray(y)[None]
    read = cv2.remap(soft, grid_x, grid_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    colours: np.ndarray = read[0]
    return colours
