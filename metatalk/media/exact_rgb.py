"""A picture's colours as they are, without a floor at black or a ceiling at white."""

from __future__ import annotations

import numpy as np

from metatalk.media.conversion import replicate_chroma
from metatalk.media.picture import CHROMA_444, Picture
from metatalk.media.ycc import ycc_factors


def exact_rgb(picture: Picture) -> np.ndarray:
    """RGB of a picture at its full depth; 0 is black and 1 white, and both can be passed.

    Args:
        picture: of any depth and sampling; chroma is replicated to its pixels.

    Returns:
        (H, W, 3) float32, gamma-encoded as the clip is.
    """
    luma, *chroma = picture.planes
    size, shift = luma.shape, picture.shift
    planes = [luma, *(replicate_chroma(plane, shift, size, CHROMA_444) for plane in chroma)]
    factors = ycc_factors(picture.colour, picture.height, picture.bits).astype(np.float64)
    back = np.linalg.inv(factors[:, :3])
    offset = -back @ factors[:, 3]
    rgb = np.empty((*size, 3), np.float32)
    for channel in range(3):
        weights = back[channel].astype(np.float32)
        rgb[..., channel] = np.float32(offset[channel])
        for plane, weight in zip(planes, weights, strict=True):
            rgb[..., channel] += plane * weight
    return rgb
