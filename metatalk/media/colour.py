"""What a video says about its colours, and the matrix that follows from it."""

from __future__ import annotations

from dataclasses import dataclass

UNSPECIFIED = 2  # the same number for primaries, transfer and matrix
BT709, BT601 = 1, 6
LIMITED_RANGE, FULL_RANGE = 1, 2  # AVColorRange of FFmpeg

# Weights of red and blue in luma, by the matrix number of ITU-T H.273, table 4.
_LUMA_WEIGHTS = {
    1: (0.2126, 0.0722),  # BT.709
    4: (0.30, 0.11),  # FCC
    5: (0.299, 0.114),  # BT.470BG (601, 625 lines)
    6: (0.299, 0.114),  # SMPTE 170M (601, 525 lines)
    7: (0.212, 0.087),  # SMPTE 240M
    9: (0.2627, 0.0593),  # BT.2020, non-constant luminance
    10: (0.2627, 0.0593),
}


@dataclass(frozen=True)
class ColourTags:
    """Colour description of a stream, in the numbers of ITU-T H.273 (and of FFmpeg).

    Args:
        primaries: 1 BT.709, 9 BT.2020, 2 unspecified, ...
        transfer: 1 BT.709, 16 PQ, 18 HLG, 2 unspecified, ...
        matrix: 1 BT.709, 5 and 6 BT.601, 9 BT.2020, 2 unspecified, ...
        full_range: luma spans 0..255 (of 8 bits); otherwise 16..235.
    """

    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED
    matrix: int = UNSPECIFIED
    full_range: bool = False


def luma_weights(colour: ColourTags, height: int) -> tuple[float, float]:
    """Weights of red and blue in luma.

    Args:
        colour: tags of the picture.
        height: lines of the picture; it decides where the matrix is not tagged, as it
            does in players: BT.601 below 720 lines, BT.709 from there on.

    Returns:
        Kr, Kb, unitless.

    Source: ITU-T H.273, table 4 and eq. 38-40.
    """
    fallback = BT601 if height < 720 else BT709
    return _LUMA_WEIGHTS.get(colour.matrix, _LUMA_WEIGHTS[fallback])


def ycc_scales(full_range: bool, bits: int = 8) -> tuple[float, float, float]:
    """Black level, luma span and chroma span of Y'CbCr; colourless chroma is 2**(bits - 1).

    Args:
        full_range: luma spans all levels; otherwise 16..235, four times that in 10 bits.
        bits: bits of a sample, 8 or more.

    Returns:
        Levels of such samples.

    Source: ITU-T H.273, eq. 26-31 (limited) and 32-37 (full range).
    """
    if full_range:
        most = float((1 << bits) - 1)
        return 0.0, most, most
    scale = float(1 << (bits - 8))
    return 16.0 * scale, 219.0 * scale, 224.0 * scale
