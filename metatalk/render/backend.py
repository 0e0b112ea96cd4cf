"""Which rasteriser draws: ours on the processor, or PyTorch3D's on a graphics card.

Both find the same `Fragments`; everything that is drawn from them is drawn by our own shading.
"""

from __future__ import annotations

import importlib
from functools import cache
from typing import Literal, get_args

import numpy as np
import torch

from metatalk.errors import ConfigError, MissingAssetError
from metatalk.render.rasterize import Box, Fragments, rasterize

Backend = Literal["auto", "numba", "pytorch3d"]
HOW_TO_BUILD = (
    "use render.backend=auto or numba, or build PyTorch3D against the torch that is installed, as "
    "its INSTALL.md says (it has no ready-made wheel for current versions): "
    'pip install --no-build-isolation "git+https://github.com/facebookresearch/pytorch3d.git"'
)


def see_mesh(
    backend: str,
    points: np.ndarray,
    triangles: np.ndarray,
    height: int,
    width: int,
    cull_back: bool = False,
    shown: int | None = None,
    threads: int | None = None,
    weighted: bool = True,
    box: Box | None = None,
) -> Fragments:
    """Find the nearest triangle at each pixel centre with the rasteriser that was asked for.

    Args:
        backend: "auto", "numba" or "pytorch3d", see `choose_backend`.
        points: (B, V, 3) x in px, y in px, camera depth in mm.
        triangles: (F, 3) corner numbers.
        height: rows of the pictures.
        width: columns of the pictures.
        cull_back: leave out triangles seen from behind.
        shown: triangles from this number on hide others but leave their own pixels empty.
        threads: at most this many at once on the processor; None means one for each core.
        weighted: whether weights are wanted; ours is faster without them.
        box: left, top, right, bottom of what is wanted; ours leaves the rest empty.

    Returns:
        Fragments of B pictures, as `rasterize` describes them.

    Raises:
        ConfigError: there is no such backend.
        MissingAssetError: PyTorch3D is asked for and cannot be imported.
        ShapeError: points or triangles are not shaped as documented.
    """
    if choose_backend(backend) == "numba":
        return rasterize(points, triangles, height, width, cull_back, threads, shown, weighted, box)
    from metatalk.render.pytorch3d_backend import rasterize_with_pytorch3d

    return rasterize_with_pytorch3d(points, triangles, height, width, cull_back, shown)


def choose_backend(asked: str) -> Literal["numba", "pytorch3d"]:
    """Settle which rasteriser is used.

    Args:
        asked: "auto" takes PyTorch3D where it is installed and there is a CUDA device, and
            ours anywhere else: on a processor ours is by far the faster one.

    Returns:
        The rasteriser.

    Raises:
        ConfigError: there is no such backend.
        MissingAssetError: PyTorch3D is asked for and cannot be imported.
    """
    if asked == "numba":
        return "numba"
    if asked == "auto":
        return "pytorch3d" if torch.cuda.is_available() and not why_missing() else "numba"
    if asked != "pytorch3d":
        names = ", ".join(get_args(Backend))
        raise ConfigError(f"render.backend is {asked!r}", f"use one of {names}")
    if reason := why_missing():
        raise MissingAssetError(
            f"render.backend=pytorch3d, but PyTorch3D cannot be imported: {reason}", HOW_TO_BUILD
        )
    return "pytorch3d"


@cache
def why_missing() -> str:
    """Say why PyTorch3D's rasteriser cannot be used.

    Returns:
        What importing it says; empty where it can be used.
    """
    try:
        # Its compiled part as well: built for another torch, only that fails.
        importlib.import_module("pytorch3d.renderer.mesh.rasterize_meshes")
    except (ImportError, OSError) as error:
        return str(error)
    return ""
