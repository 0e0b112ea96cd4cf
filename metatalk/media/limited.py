"""Full range squeezed into limited range, for formats that know no other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from metatalk.media.colour import ycc_scales
from metatalk.media.picture import Picture
from metatalk.media.ycc import sample_type


def to_limited_range(picture: Picture, bits: int) -> Picture:
    """The same colours in limited range.

    Args:
        picture: of any range.
        bits: of a sample of the result. From 8 bits of full range to 10 of limited range no
            two levels fall together, so the way back is exact.

    Returns:
        The picture itself where its range is limited; else one of `bits` and limited range.
    """
    if not picture.colour.full_range:
        return picture
    black, span, chroma_span = ycc_scales(False, bits)
    _, full_span, _ = ycc_scales(True, picture.bits)
    levels = np.arange(1 << picture.bits)
    luma = levels * (span / full_span) + black
    chroma = (levels - (1 << (picture.bits - 1))) * (chroma_span / full_span) + (1 << (bits - 1))
    tables = [np.rint(table).astype(sample_type(bits)) for table in (luma, chroma)]
    y, u, v = picture.planes
    planes = tables[0][y], tables[1][u], tables[1][v]
    return replace(
        picture, planes=planes, bits=bits, colour=replace(picture.colour, full_range=False)
    )
