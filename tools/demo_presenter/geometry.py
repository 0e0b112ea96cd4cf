"""The presenter's head as a finer mesh, with eyes, hair and a jumper; millimetres, model frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sparse
import torch

from metatalk.morphable.model import MorphableModel
from metatalk.morphable.normals import vertex_normals
from metatalk.render.rasterize import rasterize

AXIS_Z = 60.0  # the upright axis about which the skin is unrolled
UNROLL_MM = 85.0  # radius of the cylinder that skin is painted on
EYE_RINGS, EYE_SECTORS = 24, 36


@dataclass(frozen=True, eq=False)
class Mesh:
    """Points and triangles."""

    vertices: np.ndarray  # (V, 3) float32
    triangles: np.ndarray  # (F, 3) int32, counter-clockwise seen from outside

    @property
    def normals(self) -> np.ndarray:
        """(V, 3) outward unit normals."""
        return smooth_normals(self.vertices, self.triangles)


def smooth_normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(V, 3) outward unit normals, averaged over the triangles around each vertex."""
    faces = torch.from_numpy(np.ascontiguousarray(triangles)).long()
    return vertex_normals(torch.from_numpy(np.ascontiguousarray(vertices)), faces).numpy()


def subdivide(triangles: np.ndarray, count: int) -> tuple[sparse.csr_matrix, np.ndarray]:
    """One step of Loop's subdivision, as a matrix.

    Args:
        triangles: (F, 3).
        count: V, the number of vertices.

    Returns:
        (V', V) weights of the old vertices in the new ones, and (4 F, 3) triangles. The first
        V new vertices are the old ones, moved.

    Source: Loop 1987, with Warren's weights. Departs: old vertices keep half of their place,
        so that thin parts such as lips do not shrink away.
    """
    pairs = np.sort(triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    edges, inverse, uses = np.unique(pairs, axis=0, return_inverse=True, return_counts=True)
    inverse = inverse.reshape(-1, 3)
    opposite = triangles[:, [2, 0, 1]]
    whole = uses[inverse] == 2
    size = len(edges)
    ends = sparse.coo_matrix(
        (
            np.repeat(np.where(uses == 2, 0.375, 0.5), 2),
            (np.repeat(np.arange(size), 2), edges.ravel()),
        ),
        (size, count),
    )
    wings = sparse.coo_matrix(
        (np.full(whole.sum(), 0.125), (inverse[whole], opposite[whole])), (size, count)
    )
    old = _moved_corners(edges, uses, count)
    a, b, c = triangles.T
    ab, bc, ca = (inverse + count).T
    corners = [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
    finer = np.concatenate([np.stack(part, -1) for part in corners]).astype(np.int32)
    return sparse.vstack([old, ends + wings]).tocsr(), finer


def _moved_corners(edges: np.ndarray, uses: np.ndarray, count: int) -> sparse.spmatrix:
    rim = np.zeros(count, bool)
    rim[edges[uses != 2].ravel()] = True
    both = np.concatenate([edges, edges[:, ::-1]])
    neighbours = sparse.coo_matrix((np.ones(len(both)), both.T), (count, count)).tocsr()
    degree = np.maximum(np.asarray(neighbours.sum(1)).ravel(), 1)
    share = np.where(rim, 0.0, 0.5 * 0.375)  # all neighbours together
    return sparse.diags(1 - share) + sparse.diags(share / degree) @ neighbours


def unroll(vertices: np.ndarray) -> np.ndarray:
    """(V, 2) place on the cylinder, millimetres: around from the face's middle, and down."""
    around = np.arctan2(vertices[:, 0], AXIS_Z - vertices[:, 2])
    return np.stack([around * UNROLL_MM, vertices[:, 1]], -1).astype(np.float32)


def eyeball(model: MorphableModel, neutral: np.ndarray, side: int) -> tuple[np.ndarray, float]:
    """Centre (3,) and radius of an eye, millimetres; side -1 is the one on the picture's left."""
    eyes = neutral[model.regions["eyes"].numpy()]
    points = eyes[np.sign(eyes[:, 0]) == side]
    system = np.concatenate([2 * points, np.ones((len(points), 1))], axis=1)
    solution, *_ = np.linalg.lstsq(system, (points**2).sum(1), rcond=None)
    centre = solution[:3]
    return centre, float(np.sqrt(solution[3] + centre @ centre))


def sphere() -> Mesh:
    """The unit sphere, its pole looking at the camera."""
    polar = np.linspace(0.0, np.pi, EYE_RINGS)[:, None]
    turn = np.linspace(0.0, 2 * np.pi, EYE_SECTORS, endpoint=False)[None]
    x, y = np.sin(polar) * np.cos(turn), np.sin(polar) * np.sin(turn)
    points = np.stack([x, y, np.broadcast_to(-np.cos(polar), x.shape)], -1).reshape(-1, 3)
    triangles = grid_triangles(EYE_RINGS, EYE_SECTORS, closed=True)
    return facing_out(Mesh(points.astype(np.float32), triangles), np.zeros(3))


def grid_triangles(rows: int, columns: int, closed: bool) -> np.ndarray:
    """(F, 3) triangles of a grid of points, row after row; closed joins last column and first."""
    wide = columns if closed else columns - 1
    row, column = (part.ravel() for part in np.mgrid[0 : rows - 1, 0:wide])
    after = (column + 1) % columns
    a, b = row * columns + column, row * columns + after
    c, d = a + columns, b + columns
    both = np.concatenate([np.stack([a, c, b], -1), np.stack([b, c, d], -1)])
    return both.astype(np.int32)


def facing_out(mesh: Mesh, centre: np.ndarray) -> Mesh:
    """The mesh with its triangles turned so that they face away from the centre."""
    outward = ((mesh.vertices - centre) * mesh.normals).sum(-1).mean() > 0
    return mesh if outward else Mesh(mesh.vertices, mesh.triangles[:, ::-1].copy())


def throat() -> Mesh:
    """A curtain behind the teeth, where the model's mouth has no wall."""
    across, y = np.meshgrid(np.linspace(-1, 1, 9), np.linspace(48, 92, 9))
    x = across * (34 - 18 * ((y - 48) / 44) ** 2)  # within the cheeks, and the jaw when it is shut
    z = 9.0 + 12.0 * across**2
    points = np.stack([x, y, z], -1).reshape(-1, 3).astype(np.float32)
    return facing_out(Mesh(points, grid_triangles(9, 9, closed=False)), np.array([0, 70, 60.0]))


def jumper() -> tuple[Mesh, np.ndarray]:
    """A crew-neck jumper from its collar to the picture's lower edge.

    Returns:
        The mesh, and (V, 2) its place on the knitting: around and along, millimetres.
    """
    turn = np.linspace(0, 2 * np.pi, 120, endpoint=False)
    # half width, half depth, middle's z and height of rings from inside the collar outwards
    rings = np.array([
        [66, 58, 96, 168], [66, 58, 95, 146], [68, 60, 94, 136], [71, 63, 93, 131],
        [76, 68, 93, 131], [80, 72, 93, 136], [82, 74, 93, 141], [94, 80, 94, 145],
        [120, 90, 98, 154], [152, 100, 102, 168], [186, 112, 104, 194], [208, 120, 104, 236],
        [222, 126, 104, 300], [226, 130, 104, 370],
    ])  # fmt: skip
    steps = np.linspace(0, len(rings) - 1, 90)
    half_x, half_z, middle, height = (
        np.interp(steps, np.arange(len(rings)), column) for column in rings.T
    )
    x = half_x[:, None] * np.sin(turn)
    z = middle[:, None] - half_z[:, None] * np.cos(turn)
    # the collar dips at the throat and rises at the nape; shoulders drop to the sides
    front = np.where(np.cos(turn) > 0, 1.0, 0.3) * np.cos(turn)
    dip = np.interp(steps, [0, 6, 9, 13], [27.0, 29.0, 24.0, 0.0])[:, None] * front
    points = np.stack([x, height[:, None] + dip, z], -1)
    along = np.concatenate([[0], np.cumsum(np.hypot(np.diff(half_x), np.diff(height)))])
    knit = np.stack(np.broadcast_arrays(turn * 75.0, along[:, None]), -1)
    mesh = Mesh(
        points.reshape(-1, 3).astype(np.float32),
        grid_triangles(len(steps), len(turn), closed=True)[:, ::-1].copy(),
    )
    return facing_out(mesh, np.array([0, 400.0, 60])), knit.reshape(-1, 2).astype(np.float32)


def visibility(mesh: Mesh, directions: np.ndarray, size: int = 384) -> np.ndarray:
    """How much of each direction's light reaches each vertex.

    Args:
        mesh: what shades itself.
        directions: (D, 3) unit vectors towards the light.
        size: of the shadow maps, pixels a side.

    Returns:
        (D, V) in [0, 1], softened over 3x3 pixels of the shadow map.
    """
    lifted = mesh.vertices + 1.2 * mesh.normals
    middle = mesh.vertices.mean(0)
    scale = size / (2.05 * np.abs(mesh.vertices - middle).max() * 1.4)
    seen = np.empty((len(directions), len(mesh.vertices)), np.float32)
    for number, direction in enumerate(directions):
        axes = _axes_towards(direction)
        map_points = _onto_map(mesh.vertices - middle, axes, scale, size)
        depth = rasterize(map_points[None], mesh.triangles, size, size, threads=1).depth[0]
        x, y, z = _onto_map(lifted - middle, axes, scale, size).T
        seen[number] = _share_in_front(depth, x, y, z)
    return seen


def _axes_towards(direction: np.ndarray) -> np.ndarray:
    helper = np.array([0, 1.0, 0]) if abs(direction[1]) < 0.9 else np.array([1.0, 0, 0])
    right = np.cross(helper, direction)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(direction, right), -direction])


def _onto_map(points: np.ndarray, axes: np.ndarray, scale: float, size: int) -> np.ndarray:
    turned = points @ axes.T
    turned[:, :2] = turned[:, :2] * scale + size / 2
    turned[:, 2] += 1000.0  # the rasteriser wants what it sees in front of it
    return turned.astype(np.float32)


def _share_in_front(depth: np.ndarray, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    last = len(depth) - 1
    share = np.zeros(len(x), np.float32)
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            rows = np.clip(y.astype(int) + down, 0, last)
            columns = np.clip(x.astype(int) + right, 0, last)
            share += z <= depth[rows, columns] + 1.5
    return share / 9.0


def sphere_directions(count: int) -> np.ndarray:
    """(count, 3) unit vectors spread evenly."""
    number = np.arange(count) + 0.5
    height = 1 - 2 * number / count
    turn = np.pi * (1 + 5**0.5) * number
    flat = np.sqrt(1 - height**2)
    return np.stack([flat * np.cos(turn), height, flat * np.sin(turn)], -1)
