"""PyTorch3D's rasteriser behind the contract of ours.

Its normalised coordinates: x to the left, y up, the shorter side of the picture spans [-1, 1]
and the longer one more in proportion; z is the depth as given. It calls a pixel inside a triangle
where all weights are above zero, so that a centre just on an edge is in neither neighbour; the
mesh is moved by a fraction of our grid's step to give such centres to one of them. Which triangle
a pixel shows is its answer; weights and depth are then worked out as ours are, in double
precision and without that fraction, which would show in triangles smaller than a pixel.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from metatalk.render.rasterize import NEAR_MM, REACH_PX, SUBPIXEL, Fragments, check_mesh

# Up and to the left: a centre on a left edge, and then on a top edge, comes to lie inside. More
# to the left than up, so that an edge that is both right and top goes by its being a right one.
NUDGE_PX = (-1 / (2 * SUBPIXEL), -1 / (8 * SUBPIXEL))


def rasterize_with_pytorch3d(
    points: np.ndarray,
    triangles: np.ndarray,
    height: int,
    width: int,
    cull_back: bool = False,
    shown: int | None = None,
    device: str | None = None,
) -> Fragments:
    """Find the nearest triangle at each pixel centre with PyTorch3D.

    Args:
        points: (B, V, 3) x in px, y in px, camera depth in mm.
        triangles: (F, 3) corner numbers; counter-clockwise in the picture is the front.
        height: rows of the pictures.
        width: columns of the pictures.
        cull_back: leave out triangles seen from behind.
        shown: triangles from this number on hide others but leave their own pixels empty.
        device: where to work; None: the CUDA device where there is one.

    Returns:
        Fragments of B pictures.

    Raises:
        ShapeError: points or triangles are not shaped as documented.

    Source: PyTorch3D, Ravi et al. 2020. Departs: the rule for centres on edges holds only as
        far as float32 tells them from others, so single pixels on edges may differ from ours.
    """
    batch, _ = check_mesh(points, triangles)
    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    faces = torch.from_numpy(np.ascontiguousarray(triangles, dtype=np.int64)).to(place)
    seen = [
        _see(
            torch.from_numpy(np.array(points[number], np.float32)).to(place),
            faces,
            height,
            width,
            cull_back,
        )
        if len(faces)
        else _nothing(height, width, place)
        for number in range(batch)  # one at a time: its bins take memory by the mesh
    ]
    triangle, weights, depth = (torch.stack(values) for values in zip(*seen, strict=True))
    if shown is not None:
        empty = triangle >= shown
        triangle, weights, depth = _emptied(triangle, weights, depth, empty)
    return Fragments(
        triangle.to(torch.int32).cpu().numpy(), weights.cpu().numpy(), depth.cpu().numpy()
    )


def points_to_ndc(points: Tensor, height: int, width: int) -> Tensor:
    """Turn picture coordinates into PyTorch3D's.

    Args:
        points: (V, 3) x and y in px, depth in mm.
        height: rows of the picture.
        width: columns of the picture.

    Returns:
        (V, 3) x to the left and y up, the shorter side [-1, 1]; depth in mm.

    >>> points_to_ndc(torch.tensor([[0.0, 0.0, 9.0], [4.0, 1.0, 9.0]]), 2, 4)
    tensor([[ 2.,  1.,  9.],
            [-2.,  0.,  9.]])
    """
    size = points.new_tensor([width, height])
    plane = (size - 2.0 * points[:, :2]) / min(height, width)
    return torch.cat((plane, points[:, 2:]), dim=1)


def _see(
    points: Tensor, faces: Tensor, height: int, width: int, cull_back: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """One picture: (H, W) numbers, (H, W, 3) weights and (H, W) depths."""
    from pytorch3d.renderer.mesh.rasterize_meshes import rasterize_meshes
    from pytorch3d.structures import Meshes

    usable = _is_drawable(points)
    # A triangle whose corners are one point has no area and is left out; numbers stay the same.
    kept = torch.where(usable[faces].all(1, keepdim=True), faces, 0)
    corners = _snap(torch.where(usable[:, None], points.double(), 1.0))
    nudged = corners + corners.new_tensor([*NUDGE_PX, 0.0])
    numbers, *_ = rasterize_meshes(
        Meshes(verts=[points_to_ndc(nudged, height, width).float()], faces=[kept]),
        image_size=(height, width),
        blur_radius=0.0,
        faces_per_pixel=1,
        max_faces_per_bin=len(faces),  # else it drops triangles where many meet in one bin
        perspective_correct=True,
        cull_backfaces=cull_back,
    )
    triangle = numbers[0, ..., 0]
    weights, depth = _weigh(triangle, corners[kept])
    return _emptied(triangle, weights, depth, triangle < 0)


def _weigh(triangle: Tensor, corners: Tensor) -> tuple[Tensor, Tensor]:
    """(H, W, 3) perspective-correct weights and (H, W) depths in (F, 3, 3) triangles."""
    height, width = triangle.shape
    weights = torch.zeros(height, width, 3, dtype=corners.dtype, device=corners.device)
    depth = torch.zeros(height, width, dtype=corners.dtype, device=corners.device)
    row, column = (triangle >= 0).nonzero(as_tuple=True)
    seen = corners[triangle[row, column]]  # (N, 3, 3)
    centre = torch.stack((column, row), -1) + 0.5
    a, b, c = (seen[..., :2] - centre[:, None]).unbind(1)
    # A rounding error at an edge must not look through to the other side of it.
    flat = torch.stack((_cross(b, c), _cross(c, a), _cross(a, b)), -1)
    shares = (flat / flat.sum(-1, keepdim=True)).clamp_min(0.0) / seen[..., 2]
    shares = shares / shares.sum(-1, keepdim=True)
    weights[row, column] = shares
    depth[row, column] = (shares * seen[..., 2]).sum(-1)
    return weights.float(), depth.float()


def _cross(first: Tensor, second: Tensor) -> Tensor:
    """(N, 2) and (N, 2) to the (N,) area that they span."""
    return first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]


def _is_drawable(points: Tensor) -> Tensor:
    """(V,) bool: corners that can be projected, by the same rule as ours."""
    near_enough = (points[:, :2].abs() <= REACH_PX).all(1) & (points[:, 2] > NEAR_MM)
    return near_enough & points.isfinite().all(1)


def _snap(points: Tensor) -> Tensor:
    """Put corners on our grid."""
    plane = (points[:, :2] * SUBPIXEL + 0.5).floor() / SUBPIXEL
    return torch.cat((plane, points[:, 2:]), dim=1)


def _emptied(
    triangle: Tensor, weights: Tensor, depth: Tensor, empty: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Write into some pixels what ours writes where nothing is seen."""
    return (
        torch.where(empty, -1, triangle),
        torch.where(empty[..., None], 0.0, weights),
        torch.where(empty, torch.inf, depth),
    )


def _nothing(height: int, width: int, place: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    return (
        torch.full((height, width), -1, device=place),
        torch.zeros(height, width, 3, device=place),
        torch.full((height, width), torch.inf, device=place),
    )
