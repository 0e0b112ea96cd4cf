"""An albedo for heads that come without photographs: region colours, tints and smooth modes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import scipy.sparse
import scipy.sparse.linalg

from metatalk.shapes import check_shape

SMOOTH_TEXTURE_MODES = 40
ALBEDO_SPREAD = 0.12  # standard deviation of an albedo mode, in [0, 1]
ALBEDO = {  # RGB in [0, 1]; skin is what the texture basis moves most
    "skin": (0.72, 0.52, 0.43),
    "lips": (0.62, 0.34, 0.31),
    "inner_mouth": (0.28, 0.10, 0.10),
    "teeth": (0.86, 0.82, 0.76),
    "tongue": (0.62, 0.32, 0.31),
    "eyes": (0.85, 0.83, 0.82),
}
COLOURED = ("lips", "inner_mouth", "teeth", "tongue", "eyes")  # later ones over earlier ones
TINTED = ("skin", "lips", "inner_mouth", "eyes")


def region_texture(
    triangles: np.ndarray, regions: Mapping[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Region colours as the mean; region tints and smooth modes over the skin as the basis.

    Args:
        triangles: (F, 3) corner numbers.
        regions: (V,) bool by name; those of `COLOURED` and "skin" are used.

    Returns:
        (V, 3) albedo and (X, V, 3) albedo per standard deviation; three modes, R, G and B, for
        each tint and each smooth mode.

    Raises:
        ShapeError: an argument is not shaped as documented.
    """
    check_shape("triangles", triangles, "F 3")
    vertices = check_shape("skin", regions["skin"], "V")["V"]
    mean = np.tile(ALBEDO["skin"], (vertices, 1))
    for name in COLOURED:
        mean[regions[name]] = ALBEDO[name]
    modes = [regions[name].astype(float) for name in TINTED]
    modes += list(_smooth_modes(triangles, regions["skin"]))
    basis = np.zeros((3 * len(modes), vertices, 3))
    for number, mode in enumerate(modes):
        for colour in range(3):
            basis[3 * number + colour, :, colour] = ALBEDO_SPREAD * mode
    return mean, basis


def _smooth_modes(triangles: np.ndarray, skin: np.ndarray) -> np.ndarray:
    """(SMOOTH_TEXTURE_MODES, V) lowest vibrations of the skin's graph, root mean square 1 on it."""
    edges = np.concatenate([triangles[:, pair] for pair in ((0, 1), (1, 2), (2, 0))])
    edges = edges[skin[edges].all(1)]
    count = len(skin)
    skin = np.isin(np.arange(count), edges)  # a vertex of no triangle vibrates on its own
    ones = np.ones(len(edges))
    adjacency = scipy.sparse.coo_matrix((ones, (edges[:, 0], edges[:, 1])), (count, count))
    adjacency = ((adjacency + adjacency.T) > 0).astype(float).tocsr()[skin][:, skin]
    degree = scipy.sparse.diags(np.asarray(adjacency.sum(1)).ravel())
    laplacian = (degree - adjacency).tocsc()
    start = np.random.default_rng(0).standard_normal(laplacian.shape[0])  # same modes every time
    _, vectors = scipy.sparse.linalg.eigsh(
        laplacian, SMOOTH_TEXTURE_MODES + 1, sigma=-1e-3, v0=start
    )
    modes = np.zeros((SMOOTH_TEXTURE_MODES, count))
    waves = vectors[:, 1:].T  # the first is constant: the skin's own tint
    modes[:, skin] = waves / np.sqrt((waves**2).mean(1, keepdims=True))
    return modes
